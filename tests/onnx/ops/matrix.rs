//! Matrix products.

use super::Record;
use super::shape::permuted;
use crate::call::{Call, one};
use crate::data::{Stop, lacks};
use crate::recorder::Outcome;
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("MatMul", |cx| one(product(cx.float(0)?, cx.float(1)?))),
    ("Gemm", |cx| {
        let turned = |number: usize, name: &str| {
            let x = cx.float(number)?;
            Ok(if cx.int(name, 0) == 0 { x } else { x.transpose() })
        };
        let y = turned(0, "transA")?.matmul(turned(1, "transB")?) * cx.number("alpha", 1.0);
        one(match cx.optional_float(2)? {
            Some(c) => y + c * cx.number("beta", 1.0),
            None => y,
        })
    }),
    ("Einsum", einsum),
];

/// As in `NumPy`: a vector is a row on the left and a column on the right, and the axis goes.
fn product<'g>(a: Tensor<'g>, b: Tensor<'g>) -> Tensor<'g> {
    let row = if a.rank() == 1 { a.unsqueeze(0) } else { a };
    let column = if b.rank() == 1 { b.unsqueeze(1) } else { b };
    let y = row.matmul(column);
    let y = if b.rank() == 1 { y.squeeze(-1) } else { y };
    if a.rank() == 1 { y.squeeze(if b.rank() == 1 { -1 } else { -2 }) } else { y }
}

/// Every operand stretched over all letters, multiplied, and summed over those that the result lacks.
fn einsum<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let equation: String = cx.text("equation", "").chars().filter(|letter| !letter.is_whitespace()).collect();
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(l, r)| (l, Some(r)));
    let mut operands = Vec::new();
    // Three dots stand for the leading axes that have no letters: capitals, which no equation here has.
    let spell = |term: &str, rank: usize| -> String {
        let dots = rank - term.replace("...", "").len();
        term.replace("...", &"ABCDEF"[6 - dots..])
    };
    let mut most_dots = 0;
    for (number, term) in left.split(',').enumerate() {
        let mut x = cx.float(number)?;
        let mut letters = spell(term, x.rank());
        // The diagonal of the last two axes: every (n + 1)-th element of a matrix laid end to end.
        if let [.., before, last] = letters.as_bytes()
            && before == last
        {
            let extent = x.shape().last();
            x = x.flatten(x.rank() - 2).slice_step(-1, 0..extent * extent, extent + 1);
            letters.pop();
        }
        most_dots = most_dots.max(letters.chars().filter(char::is_ascii_uppercase).count());
        operands.push((x, letters));
    }
    if operands.iter().any(|(_, letters)| letters.chars().any(|letter| letters.matches(letter).count() > 1)) {
        return lacks("diagonals of an einsum between other axes than the last two");
    }
    let mut letters: Vec<char> = operands.iter().flat_map(|(_, letters)| letters.chars()).collect();
    letters.sort_unstable();
    letters.dedup();
    let once = |letter: &&char| operands.iter().map(|(_, own)| own.matches(**letter).count()).sum::<usize>() == 1;
    let result = right.map_or_else(
        || letters.iter().filter(once).collect(),
        |right| right.replace("...", &"ABCDEF"[6 - most_dots..]),
    );
    // Letters of the result first, in its order.
    let summed: Vec<char> = letters.iter().copied().filter(|&letter| !result.contains(letter)).collect();
    let order: Vec<char> = result.chars().chain(summed.iter().copied()).collect();
    if let Some(y) = as_product(&operands, &result, &summed) {
        return one(y);
    }
    let spread = |(x, own): &(Tensor<'g>, String)| {
        let places: Vec<usize> = order.iter().filter_map(|&letter| own.find(letter)).collect();
        let turned = permuted(*x, &places);
        let extents: Vec<usize> =
            order.iter().map(|&letter| own.find(letter).map_or(1, |place| x.shape()[place])).collect();
        turned.reshape(extents)
    };
    let product = operands.iter().map(spread).reduce(|a, b| a * b);
    let product = product.ok_or_else(|| Stop::Fails("an einsum of nothing".into()))?;
    let axes: Vec<isize> = (result.len() as isize..order.len() as isize).collect();
    one(if axes.is_empty() { product } else { product.sum(&axes[..]) })
}

/// Two operands whose letters make a batch of matrix products, as such.
fn as_product<'g>(operands: &[(Tensor<'g>, String)], result: &str, summed: &[char]) -> Option<Tensor<'g>> {
    let ([(a, left), (b, right)], [inner]) = (operands, summed) else { return None };
    let batch = result.strip_suffix(|_| true)?.strip_suffix(|_| true)?;
    let (row, column) = (result.chars().nth(batch.len())?, result.chars().last()?);
    let fits = *left == format!("{batch}{row}{inner}") && *right == format!("{batch}{inner}{column}");
    fits.then(|| a.matmul(*b))
}
