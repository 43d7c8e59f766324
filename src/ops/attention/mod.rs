//! Scaled dot-product attention: every query takes the mean of values, weighted by how well their keys match it,
//!
//! y = softmax(scale Q K^T) V, over the keys that a query may see.
//!
//! Short sequences are composed of products and softmax. For long ones the scores, as many as queries times keys, are never
//! stored: kernels compute them anew in both directions, from what one number per query tells of its softmax:
//!
//! t = ln(sum of exp(s)), p = exp(s - t), and for the gradient g of y, with d = g . y per query,
//! ds = p (g . v - d), dq = scale sum of ds k, dk = scale sum of ds q, dv = sum of p g.
//!
//! Source: Vaswani et al. 2017; Dao, Fu, Ermon, Rudra, Re 2022 (`FlashAttention`).

mod host;
mod op;
mod parts;

use self::parts::{Attention, Part};
use crate::base::{DType, Shape};
use crate::record::{Case, CaseInput, Draw, Tensor};

/// Sequences of up to so many queries times keys are composed.
const SHORT: usize = 1 << 16;
/// What a query sees, and how scores are scaled.
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionSettings<'g> {
    /// Query i sees keys 0 to i alone.
    pub causal: bool,
    /// A mask (`u32`, or integers), 1 where a query sees a key, which stretches to `[.., queries, keys]`.
    pub mask: Option<Tensor<'g>>,
    /// What scores are multiplied by; 1 / sqrt(size) where it is not given.
    pub scale: Option<f64>,
}

impl<'g> AttentionSettings<'g> {
    /// Every query sees every key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Query i sees keys 0 to i alone.
    #[must_use]
    pub const fn causal(self) -> Self {
        Self { causal: true, ..self }
    }

    /// Queries see the keys for which the mask is not zero.
    #[must_use]
    pub const fn mask(self, mask: Tensor<'g>) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// Another scale than 1 / sqrt(size).
    #[must_use]
    pub const fn scale(self, scale: f64) -> Self {
        Self { scale: Some(scale), ..self }
    }
}

/// Planes of queries, keys, values and the mask, and the shape of the result.
type Planes<'g> = ([Tensor<'g>; 3], Option<Tensor<'g>>, Vec<usize>);

/// The common leading axes of operands, or why they do not fit one another.
fn fit(q: Tensor<'_>, k: Tensor<'_>, v: Tensor<'_>, mask: Option<Tensor<'_>>) -> Result<Shape, String> {
    let [of_q, of_k, of_v] = [q.shape(), k.shape(), v.shape()];
    if of_q.rank() < 2 || of_k.rank() < 2 || of_v.rank() < 2 {
        return Err("queries, keys and values need two axes at least, length and size".into());
    }
    let two = |shape: &Shape| [shape[shape.rank() - 2], shape[shape.rank() - 1]];
    let ([queries, size], [keys, key_size], [values, _]) = (two(&of_q), two(&of_k), two(&of_v));
    if size != key_size {
        return Err(format!("queries of size {size} cannot be compared with keys of size {key_size}"));
    }
    if keys != values {
        return Err(format!("there are {keys} keys and {values} values: every key needs a value"));
    }
    let lead = |shape: &Shape| -> Shape { shape[..shape.rank() - 2].into() };
    let common = lead(&of_q).broadcast(&lead(&of_k)).and_then(|common| common.broadcast(&lead(&of_v)));
    let common = common
        .ok_or_else(|| format!("the leading axes of {of_q}, {of_k} and {of_v} do not stretch to a common shape"))?;
    let full: Shape = common.iter().copied().chain([queries, keys]).collect::<Vec<_>>().into();
    if let Some(mask) = mask.filter(|mask| mask.dtype() == DType::F32 || !mask.shape().broadcasts_to(&full)) {
        return Err(format!(
            "the mask must be a mask or integers that stretch to {full}, and is {}",
            mask.tensor_type()
        ));
    }
    Ok(common)
}

/// Brings operands to planes.
fn planes<'g>(common: &Shape, q: Tensor<'g>, k: Tensor<'g>, v: Tensor<'g>, mask: Option<Tensor<'g>>) -> Planes<'g> {
    let count = common.elements();
    let flat = |tensor: Tensor<'g>| {
        let shape = tensor.shape();
        let extents = [shape[shape.rank() - 2], shape[shape.rank() - 1]];
        let full: Vec<usize> = common.iter().copied().chain(extents).collect();
        tensor.broadcast_to(full).reshape([count, extents[0], extents[1]])
    };
    let [q, k, v] = [q, k, v].map(flat);
    let [queries, keys] = [q, k].map(|tensor| tensor.shape()[1]);
    let mask = mask.map(|mask| {
        let shape = mask.shape();
        // Where every plane has the same mask, it is kept once.
        let lead: usize = shape.iter().rev().skip(2).product();
        let lean =
            if lead == 1 { mask.reshape(shape.iter().rev().take(2).rev().copied().collect::<Vec<_>>()) } else { mask };
        let full: Vec<usize> = common.iter().copied().chain([queries, keys]).collect();
        let (extents, planes) = if lead == 1 { (vec![1, queries, keys], 1) } else { (full, count) };
        lean.broadcast_to(extents).reshape([planes, queries, keys])
    });
    ([q, k, v], mask, common.iter().copied().chain([queries, v.shape()[2]]).collect())
}

impl<'g> Tensor<'g> {
    /// Scaled dot-product attention of these queries, `[.., queries, size]`, over keys `[.., keys, size]` and values
    /// `[.., keys, value size]`: softmax(scale Q K^T) V, `[.., queries, value size]`. Leading axes, such as batch and heads,
    /// stretch to a common shape. A query that sees no key gets zeros; one whose scores are all -infinity gets NaN. Keys and values that no query sees have to be finite all
    /// the same.
    ///
    /// Beyond 65,536 queries times keys, the scores are never stored: memory grows with the length, not with its square.
    #[must_use]
    #[track_caller]
    pub fn attention(self, key: Self, value: Self, settings: &AttentionSettings<'g>) -> Self {
        let keys = if key.rank() >= 2 { key.shape()[key.rank() - 2] } else { 1 };
        let queries = if self.rank() >= 2 { self.shape()[self.rank() - 2] } else { 1 };
        self.attends(key, value, settings, queries * keys > SHORT)
    }

    /// Attention by its kernels, or composed.
    #[track_caller]
    fn attends(self, key: Self, value: Self, settings: &AttentionSettings<'g>, fused: bool) -> Self {
        let _here = self.graph.here();
        let operands: Vec<Self> = [self, key, value].into_iter().chain(settings.mask).collect();
        let refuse = |reason: String| self.graph.fault("attention", &operands, reason);
        if operands.iter().any(|operand| !operand.is_valid()) {
            return refuse(String::new());
        }
        let scale = settings.scale.unwrap_or_else(|| (self.shape().last() as f64).sqrt().recip());
        if !(scale as f32).is_finite() {
            return refuse(format!("the scale must be finite in single precision, and is {scale}"));
        }
        let mask = settings.mask;
        let op = Attention { part: Part::Forward, causal: settings.causal, masked: mask.is_some(), scale };
        let common = match fit(self, key, value, mask) {
            Ok(common) => common,
            Err(reason) => return refuse(reason),
        };
        if fused {
            let ([q, k, v], mask, shape) = planes(&common, self, key, value, mask);
            return op.record(&[q, k, v], mask)[0].reshape(shape);
        }
        // Products read batches in place, however they lie.
        let p = op.only_seen(op.scores(self, key, mask).softmax(-1), mask);
        p.matmul(value)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |lead: &[usize], queries: usize, keys: usize, size: usize| {
        let of = |length: usize| {
            let shape: Vec<usize> = lead.iter().copied().chain([length, size]).collect();
            CaseInput::uniform(shape, -1.0, 1.0)
        };
        vec![of(queries), of(keys), of(keys)]
    };
    let masked = |mut inputs: Vec<CaseInput>, mask: &[usize]| {
        inputs.push(CaseInput::new(mask, Draw::Mask));
        inputs
    };
    let plain = AttentionSettings::new;
    vec![
        Case::new("composed", input(&[2, 3], 5, 7, 4), |x| x[0].attention(x[1], x[2], &AttentionSettings::new())),
        Case::new("composed, causal", input(&[2], 6, 6, 3), |x| {
            x[0].attention(x[1], x[2], &AttentionSettings::new().causal())
        }),
        Case::new("composed, masked", masked(input(&[2, 2], 5, 6, 4), &[2, 1, 5, 6]), |x| {
            x[0].attention(x[1], x[2], &AttentionSettings::new().mask(x[3]))
        }),
        Case::new("fused", input(&[2, 3], 5, 7, 4), move |x| x[0].attends(x[1], x[2], &plain(), true)),
        Case::new("fused, causal", input(&[3], 9, 9, 5), move |x| x[0].attends(x[1], x[2], &plain().causal(), true)),
        Case::new("fused, masked", masked(input(&[2, 2], 5, 6, 4), &[2, 1, 5, 6]), move |x| {
            x[0].attends(x[1], x[2], &AttentionSettings::new().mask(x[3]), true)
        }),
        Case::new("fused, one mask for all", masked(input(&[3], 7, 4, 6), &[7, 4]), move |x| {
            x[0].attends(x[1], x[2], &AttentionSettings::new().mask(x[3]).scale(0.3), true)
        }),
        Case::new("composed, causal and masked", masked(input(&[2, 2], 6, 6, 4), &[2, 1, 6, 6]), |x| {
            x[0].attention(x[1], x[2], &AttentionSettings::new().causal().mask(x[3]))
        }),
        Case::new("fused, causal and masked", masked(input(&[2, 2], 6, 6, 4), &[2, 1, 6, 6]), move |x| {
            x[0].attends(x[1], x[2], &AttentionSettings::new().causal().mask(x[3]), true)
        }),
        Case::new("fused, many keys", input(&[1], 3, 1025, 65), move |x| x[0].attends(x[1], x[2], &plain(), true)),
        Case::new("fused, long and causal", input(&[2], 130, 130, 16), move |x| {
            x[0].attends(x[1], x[2], &plain().causal(), true)
        }),
        Case::new("one key", input(&[2], 3, 1, 2), move |x| x[0].attends(x[1], x[2], &plain(), true)).value_only(),
    ]
}
