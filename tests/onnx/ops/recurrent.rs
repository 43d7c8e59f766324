//! Recurrent networks, unrolled over their length by the crate's cells.

use super::Record;
use crate::call::Call;
use crate::data::{Stop, lacks};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;
use retrograd::ops::CellWeights;

pub const OPS: &[(&str, Record)] = &[
    ("RNN", |cx| unrolled(cx, &Recurrence::of(cx, &[0])?, |r, x, h, c| (x.rnn_cell(h, &r.weights), c))),
    // The rows of ONNX are those of i, o, f and c, the crate's those of i, f, g and o.
    ("LSTM", |cx| {
        unrolled(cx, &Recurrence::of(cx, &[0, 2, 3, 1])?, |r, x, h, c| match r.peepholes {
            None => x.lstm_cell(h, c, &r.weights),
            Some(peepholes) => r.lstm_with_peepholes(x, h, c, peepholes),
        })
    }),
    // The rows of ONNX are those of z, r and h, the crate's those of r, z and n.
    ("GRU", |cx| {
        let late = cx.int("linear_before_reset", 0) != 0;
        unrolled(cx, &Recurrence::of(cx, &[1, 0, 2])?, move |r, x, h, c| {
            (if late { x.gru_cell(h, &r.weights) } else { r.gru_reset_first(x, h) }, c)
        })
    }),
];

/// The weights of a cell, in the crate's order.
struct Recurrence<'g> {
    weights: CellWeights<'g>,
    peepholes: Option<Tensor<'g>>,
    size: usize,
}

impl<'g> Recurrence<'g> {
    /// Gates in the order in which the crate has them, each named by its place in ONNX.
    fn of(cx: &Call<'_, 'g>, gates: &[usize]) -> Result<Self, Stop> {
        let size = cx.int("hidden_size", 0) as usize;
        if cx.text("direction", "forward") != "forward" {
            return lacks("recurrence from the end");
        }
        if cx.attribute("activations").is_some() || cx.attribute("clip").is_some() {
            return lacks("recurrence with other activations");
        }
        let ordered = |x: Tensor<'g>, start: usize| {
            let rows: Vec<Tensor<'g>> =
                gates.iter().map(|gate| x.slice(0, start + gate * size..start + (gate + 1) * size)).collect();
            cx.g.concat(&rows, 0)
        };
        let bias = cx.optional_float(3)?.map(|bias| bias.squeeze(0));
        let weights = CellWeights {
            input: ordered(cx.float(1)?.squeeze(0), 0),
            hidden: ordered(cx.float(2)?.squeeze(0), 0),
            input_bias: bias.map(|bias| ordered(bias, 0)),
            hidden_bias: bias.map(|bias| ordered(bias, gates.len() * size)),
        };
        Ok(Self { weights, peepholes: cx.optional_float(7)?.map(|peepholes| peepholes.squeeze(0)), size })
    }

    /// What gates of the input and of the state add up to: two tensors of `[batch, gates size]`.
    fn parts(&self, x: Tensor<'g>, h: Tensor<'g>) -> [Tensor<'g>; 2] {
        let part = |x: Tensor<'g>, w: Tensor<'g>, bias: Option<Tensor<'g>>| {
            let y = x.matmul(w.transpose());
            bias.map_or(y, |bias| y + bias)
        };
        let weights = &self.weights;
        [part(x, weights.input, weights.input_bias), part(h, weights.hidden, weights.hidden_bias)]
    }

    fn gate(&self, x: Tensor<'g>, gate: usize) -> Tensor<'g> {
        x.slice(-1, gate * self.size..(gate + 1) * self.size)
    }

    /// A cell whose gates also see its state, those of the input and of what is forgotten the old one, that of the output
    /// the new one. Source: Gers, Schmidhuber 2000.
    fn lstm_with_peepholes(
        &self,
        x: Tensor<'g>,
        h: Tensor<'g>,
        c: Tensor<'g>,
        peepholes: Tensor<'g>,
    ) -> (Tensor<'g>, Tensor<'g>) {
        let [from_input, from_state] = self.parts(x, h);
        let gates = from_input + from_state;
        // Peepholes are those of i, o and f.
        let hole = |place: usize| self.gate(peepholes, place);
        let input = (self.gate(gates, 0) + hole(0) * c).sigmoid();
        let forget = (self.gate(gates, 1) + hole(2) * c).sigmoid();
        let cell = forget * c + input * self.gate(gates, 2).tanh();
        let output = (self.gate(gates, 3) + hole(1) * cell).sigmoid();
        (output * cell.tanh(), cell)
    }

    /// A unit that resets the state before it is multiplied by weights: the form of the paper, Cho et al. 2014.
    fn gru_reset_first(&self, x: Tensor<'g>, h: Tensor<'g>) -> Tensor<'g> {
        let [from_input, from_state] = self.parts(x, h);
        let gate = |place| (self.gate(from_input, place) + self.gate(from_state, place)).sigmoid();
        let (reset, update) = (gate(0), gate(1));
        let rows = 2 * self.size..3 * self.size;
        let again = (reset * h).matmul(self.weights.hidden.slice(0, rows.clone()).transpose());
        let again = self.weights.hidden_bias.map_or(again, |bias| again + bias.slice(0, rows));
        let new = (self.gate(from_input, 2) + again).tanh();
        (1.0 - update) * new + update * h
    }
}

/// Steps over the length, `[length, batch, inputs]`, or with another layout `[batch, length, inputs]`.
fn unrolled<'g>(
    cx: &Call<'_, 'g>,
    cell: &Recurrence<'g>,
    step: impl Fn(&Recurrence<'g>, Tensor<'g>, Tensor<'g>, Tensor<'g>) -> (Tensor<'g>, Tensor<'g>),
) -> Outcome<'g> {
    let batch_first = cx.int("layout", 0) != 0;
    let turned = |x: Tensor<'g>| if batch_first { x.swap_axes(0, 1) } else { x };
    let x = turned(cx.float(0)?);
    let (length, batch) = (x.shape()[0], x.shape()[1]);
    if cx.optional_ints(4)?.is_some_and(|lengths| lengths.iter().any(|&own| own != length as i64)) {
        return lacks("recurrence over sequences of unequal length");
    }
    let state = |number: usize| -> Result<Tensor<'g>, Stop> {
        Ok(match cx.optional_float(number)? {
            Some(state) => turned(state).squeeze(0),
            None => cx.g.full([batch, cell.size], 0.0),
        })
    };
    let (mut h, mut c) = (state(5)?, state(6)?);
    let mut all = Vec::new();
    for place in 0..length {
        (h, c) = step(cell, x.slice(0, place..place + 1).squeeze(0), h, c);
        all.push(h);
    }
    // One direction: [length, 1, batch, hidden], or [batch, length, 1, hidden].
    let y = cx.g.stack(&all, 0);
    let y = if batch_first { y.swap_axes(0, 1).unsqueeze(2) } else { y.unsqueeze(1) };
    let last = |state: Tensor<'g>| Val::float(state.unsqueeze(isize::from(batch_first)));
    Ok(vec![Val::float(y), last(h), last(c)])
}
