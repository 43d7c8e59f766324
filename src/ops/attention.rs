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

use super::attention_host as host;
use crate::base::{DType, Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Dispatched, Draw, EvalContext, HostKernel, Kernel, KernelClass,
    LowerContext, Lowering, Op, Operand, Reference, Tensor, Text, Vjp, grid, libraries,
};
use ndarray::{Array2, ArrayD, ArrayView2, Axis, Ix2};

/// Sequences of up to so many queries times keys are composed.
const SHORT: usize = 1 << 16;
/// Software adapters stop an invocation after 65,535 iterations of all its loops together.
const LONGEST_LOOP: usize = 60_000;

/// The iterations of a kernel that shares so many keys, or queries, among lanes: three loops over the elements of each.
const fn iterations(others: usize, size: usize) -> usize {
    others.saturating_mul(3 * size + 2)
}

/// Less than every score that matters.
const UNSEEN: f64 = -1e30;

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

/// The part that a kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// y and t from q, k and v.
    Forward,
    /// dq from q, k, v, g, t and d.
    Query,
    /// dk from the same.
    Key,
    /// dv from q, k, g and t.
    Value,
}

/// Attention over planes, `[planes, length, size]`, and its gradients. The mask, `[planes or 1, queries, keys]`, is the last
/// input where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attention {
    pub part: Part,
    pub causal: bool,
    pub masked: bool,
    pub scale: f64,
}

/// Sizes of the planes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub planes: usize,
    pub queries: usize,
    pub keys: usize,
    pub size: usize,
    pub value_size: usize,
    /// Planes of the mask; 0 where there is none.
    pub mask_planes: usize,
}

impl Attention {
    /// How many inputs there are beside the mask.
    const fn inputs(self) -> usize {
        match self.part {
            Part::Forward => 3,
            Part::Query | Part::Key => 6,
            Part::Value => 4,
        }
    }

    fn sizes(self, inputs: &[&Shape]) -> Sizes {
        let (q, k) = (inputs[0], inputs[1]);
        let value_size = inputs[2][2];
        let mask_planes = if self.masked { inputs[self.inputs()][0] } else { 0 };
        Sizes { planes: q[0], queries: q[1], keys: k[1], size: q[2], value_size, mask_planes }
    }

    const fn with(self, part: Part) -> Self {
        Self { part, ..self }
    }

    /// Records a part; one tensor per output.
    #[track_caller]
    fn record<'g>(self, inputs: &[Tensor<'g>], mask: Option<Tensor<'g>>) -> Vec<Tensor<'g>> {
        let inputs: Vec<Tensor<'g>> = inputs.iter().copied().chain(mask).collect();
        inputs[0].graph().record_outputs(self, &inputs, if self.part == Part::Forward { 2 } else { 1 })
    }

    /// Scores, with those that count not at all far below.
    fn scores<'g>(self, q: Tensor<'g>, k: Tensor<'g>, mask: Option<Tensor<'g>>) -> Tensor<'g> {
        let mut scores = q.matmul(k.transpose()) * self.scale;
        if self.causal {
            scores = scores.tril_filled(UNSEEN);
        }
        match mask {
            Some(mask) => mask.where_cond(scores, q.graph().scalar(UNSEEN)),
            None => scores,
        }
    }

    /// p where keys are seen, and 0 elsewhere: a query that sees nothing gets nothing. Without a mask every query sees the
    /// first key, and p is as it should be.
    fn only_seen<'g>(self, p: Tensor<'g>, mask: Option<Tensor<'g>>) -> Tensor<'g> {
        let Some(mask) = mask else { return p };
        let p = mask.where_cond(p, p.graph().scalar(0.0));
        if self.causal { p.tril(0) } else { p }
    }

    /// p from scores and what one number per query tells of its softmax.
    fn probabilities<'g>(
        self,
        q: Tensor<'g>,
        k: Tensor<'g>,
        total: Tensor<'g>,
        mask: Option<Tensor<'g>>,
    ) -> Tensor<'g> {
        let p = (self.scores(q, k, mask) - total.unsqueeze(-1)).exp();
        self.only_seen(p, mask)
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        match self.part {
            Part::Forward => "attention",
            Part::Query => "attention_query_gradient",
            Part::Key => "attention_key_gradient",
            Part::Value => "attention_value_gradient",
        }
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(&inputs[..self.inputs()])?;
        let shapes: Vec<&Shape> = inputs.iter().map(|input| &input.shape).collect();
        if shapes[..3].iter().any(|shape| shape.rank() != 3) {
            return Err("queries, keys and values need three axes each: planes, length, size".into());
        }
        let Sizes { planes, queries, keys, size, value_size, .. } = self.sizes(&shapes);
        let (longest, widest) = (queries.max(keys), size.max(value_size));
        if iterations(longest, widest) > 64 * LONGEST_LOOP {
            return Err(format!(
                "sequences of {longest} with {widest} elements each are longer than its kernels take: with this size the \
                 length is at most {}",
                64 * LONGEST_LOOP / iterations(1, widest)
            ));
        }
        Ok(match self.part {
            Part::Forward => {
                vec![TensorType::f32([planes, queries, value_size]), TensorType::f32([planes, queries])]
            }
            Part::Query => vec![TensorType::f32([planes, queries, size])],
            Part::Key => vec![TensorType::f32([planes, keys, size])],
            Part::Value => vec![TensorType::f32([planes, keys, value_size])],
        })
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        if self.part != Part::Forward {
            return Cotangents::Composition;
        }
        let [q, k, v] = [cx.inputs[0], cx.inputs[1], cx.inputs[2]];
        let mask = self.masked.then(|| cx.inputs[3]);
        let (y, total) = (cx.outputs[0], cx.outputs[1]);
        let graph = y.graph();
        let g = cx.cotangents[0].unwrap_or_else(|| graph.full(y.shape(), 0.0));
        // The gradient of t acts as one of every score, times p.
        let delta = (g * y).sum(-1);
        let delta = cx.cotangents[1].map_or(delta, |c| delta - c);
        let common = [q, k, v, g, total, delta];
        let dq = self.with(Part::Query).record(&common, mask)[0];
        let dk = self.with(Part::Key).record(&common, mask)[0];
        let dv = self.with(Part::Value).record(&[q, k, g, total], mask)[0];
        let gradients = [dq, dk, dv].into_iter().map(Some);
        Cotangents::Inputs(gradients.chain(mask.map(|_| None)).collect())
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shapes: Vec<&Shape> = cx.inputs.iter().map(|input| &input.shape).collect();
        let sizes = self.sizes(&shapes);
        let (source, rows, others) = match self.part {
            Part::Forward => (include_str!("../../shaders/attention.wgsl"), sizes.queries, sizes.keys),
            Part::Query => (include_str!("../../shaders/attention_query_gradient.wgsl"), sizes.queries, sizes.keys),
            Part::Key => (include_str!("../../shaders/attention_key_gradient.wgsl"), sizes.keys, sizes.queries),
            Part::Value => (include_str!("../../shaders/attention_value_gradient.wgsl"), sizes.keys, sizes.queries),
        };
        let rows = rows * sizes.planes;
        let lanes = match cx.class {
            // A GPU wants many invocations.
            KernelClass::Gpu => (1usize << 16).div_ceil(rows).next_power_of_two().min(16),
            _ => {
                iterations(others, sizes.size.max(sizes.value_size)).div_ceil(LONGEST_LOOP).next_power_of_two().min(64)
            }
        };
        let workgroups = grid(rows.div_ceil(64 / lanes));
        let needed = [
            &libraries::EXPONENTIAL,
            &libraries::LOGARITHM,
            &libraries::COMPARISON,
            &libraries::ROWS,
            &libraries::NUMBERS,
        ];
        let text = Text::new(source, &needed)
            .unsigned("PLANES", sizes.planes)
            .unsigned("QUERIES", sizes.queries)
            .unsigned("KEYS", sizes.keys)
            .unsigned("SIZE", sizes.size)
            .unsigned("VALUE_SIZE", sizes.value_size)
            .float("SCALE", self.scale)
            .unsigned("CAUSAL", usize::from(self.causal))
            .unsigned("MASK_PLANES", sizes.mask_planes)
            .unsigned("LANES", lanes)
            .unsigned("ROWS_PER_GROUP", 64 / lanes)
            .unsigned("GRID_WIDTH", workgroups[0] as usize);
        let (loads, stores): (&[&str], &[&str]) = match self.part {
            Part::Forward => (&["q", "k", "v"], &["y", "total"]),
            Part::Query => (&["q", "k", "v", "g", "total", "delta"], &["dq"]),
            Part::Key => (&["q", "k", "v", "g", "total", "delta"], &["dk"]),
            Part::Value => (&["q", "k", "g", "total"], &["dv"]),
        };
        // Without a mask something else is bound in its place, and not read.
        let mask = if self.masked { self.inputs() } else { 0 };
        let mut reads: Vec<Operand> = (0..loads.len()).map(Operand::Input).collect();
        reads.push(Operand::Input(mask));
        let mut loads: Vec<(usize, &'static str)> = loads.iter().copied().enumerate().collect();
        if self.masked {
            loads.push((self.inputs(), "mask"));
        }
        let stage = Dispatched {
            name: self.name(),
            text,
            reads,
            writes: (0..stores.len()).map(Operand::Output).collect(),
            loads,
            stores: stores.iter().copied().enumerate().collect(),
            uses_step: false,
            workgroups,
        };
        let this = *self;
        let kernel = HostKernel::new(move |inputs, outputs| host::run(this, sizes, inputs, outputs));
        let any_layout = vec![false; cx.inputs.len()];
        Lowering::Kernel(Kernel { stages: vec![stage], scratch: Vec::new(), any_layout, host: Some(kernel) })
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("causal", self.causal).with("masked", self.masked).with("scale", self.scale)
    }
    fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
        let mask = self.masked.then(|| inputs[self.inputs()]);
        let (q, k) = (inputs[0], inputs[1]);
        let graph = q.graph();
        if self.part == Part::Forward {
            let scores = self.scores(q, k, mask);
            let p = self.only_seen(scores.softmax(-1), mask);
            let total = scores.logsumexp(-1);
            let seen = p.amax(-1).gt(graph.scalar(0.0));
            return Some(vec![p.matmul(inputs[2]), seen.where_cond(total, graph.scalar(0.0))]);
        }
        if self.part == Part::Value {
            let p = self.probabilities(q, k, inputs[3], mask);
            return Some(vec![p.transpose().matmul(inputs[2])]);
        }
        let (v, g, total, delta) = (inputs[2], inputs[3], inputs[4], inputs[5]);
        let p = self.probabilities(q, k, total, mask);
        let ds = p * (g.matmul(v.transpose()) - delta.unsqueeze(-1)) * self.scale;
        Some(vec![if self.part == Part::Query { ds.matmul(k) } else { ds.transpose().matmul(q) }])
    }
}

impl Reference for Attention {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().into()).collect();
        let sizes = self.sizes(&shapes.iter().collect::<Vec<_>>());
        let mask = self.masked.then(|| inputs[self.inputs()].integers());
        let mut planes: Vec<Vec<ArrayD<T>>> = Vec::new();
        for plane in 0..sizes.planes {
            let part = |number: usize| -> ArrayD<T> { inputs[number].real().index_axis(Axis(0), plane).to_owned() };
            let matrix = |number: usize| -> Array2<T> {
                part(number).into_dimensionality::<Ix2>().expect("the shape rule asks for three axes")
            };
            let sees = |query: usize, key: usize| {
                let seen = mask.as_ref().is_none_or(|mask| mask[[plane % sizes.mask_planes.max(1), query, key]] != 0);
                seen && !(self.causal && key > query)
            };
            planes.push(self.plane(&sees, &matrix, &part));
        }
        let outputs = planes[0].len();
        (0..outputs)
            .map(|output| {
                let views: Vec<_> = planes.iter().map(|plane| plane[output].view()).collect();
                Value::Real(ndarray::stack(Axis(0), &views).expect("all planes have one shape"))
            })
            .collect()
    }
}

impl Attention {
    /// The outputs of one plane.
    fn plane<T: Real>(
        self,
        sees: &dyn Fn(usize, usize) -> bool,
        matrix: &dyn Fn(usize) -> Array2<T>,
        part: &dyn Fn(usize) -> ArrayD<T>,
    ) -> Vec<ArrayD<T>> {
        let (q, k) = (matrix(0), matrix(1));
        let scores: Array2<T> = q.dot(&k.t()) * T::real(self.scale);
        let weights = |total: &dyn Fn(usize, ArrayView2<'_, T>) -> T| {
            let totals: Vec<T> = (0..scores.nrows()).map(|query| total(query, scores.view())).collect();
            let weight = |(query, key): (usize, usize), &score: &T| {
                if sees(query, key) { (score - totals[query]).exp() } else { T::zero() }
            };
            let p = ndarray::Zip::indexed(&scores).map_collect(weight);
            (p, totals)
        };
        if self.part == Part::Forward {
            let of = |query: usize, scores: ArrayView2<'_, T>| {
                let seen = || (0..scores.ncols()).filter(|&key| sees(query, key)).map(|key| scores[[query, key]]);
                let greatest = seen().fold(T::neg_infinity(), T::max);
                if seen().next().is_none() {
                    return T::zero();
                }
                greatest + seen().map(|score| (score - greatest).exp()).sum::<T>().ln()
            };
            let (p, totals) = weights(&of);
            return vec![p.dot(&matrix(2)).into_dyn(), ndarray::Array1::from(totals).into_dyn()];
        }
        let total = part(if self.part == Part::Value { 3 } else { 4 });
        let (p, _) = weights(&|query, _| total[query]);
        if self.part == Part::Value {
            return vec![p.t().dot(&matrix(2)).into_dyn()];
        }
        let delta = part(5).insert_axis(Axis(1)).into_dimensionality::<Ix2>().expect("one number per query");
        let ds = p * (matrix(3).dot(&matrix(2).t()) - delta) * T::real(self.scale);
        vec![if self.part == Part::Query { ds.dot(&k) } else { ds.t().dot(&q) }.into_dyn()]
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
    /// stretch to a common shape. A query that sees no key gets zeros.
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
