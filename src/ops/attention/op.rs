//! Attention as an op: its gradients, its kernels, what it is composed of, and its reference.

use super::host;
use super::parts::{Attention, Part, Sizes};
use crate::base::{Real, Shape, TensorType, Value};
use crate::record::{
    Attributes, Cotangents, Dispatched, Domain, EvalContext, HostKernel, Kernel, KernelClass, LowerContext, Lowering,
    Op, Operand, Reference, Tensor, Text, Vjp, grid, libraries,
};
use ndarray::{Array2, ArrayD, ArrayView2, Axis, Ix2};

/// Software adapters stop an invocation after 65,535 iterations of all its loops together.
const LONGEST_LOOP: usize = 60_000;

/// The iterations of a kernel that shares so many keys, or queries, among lanes: three loops over the elements of each.
const fn iterations(others: usize, size: usize) -> usize {
    others.saturating_mul(3 * size + 2)
}

/// Less than every score that matters.
const UNSEEN: f64 = -1e30;

impl Attention {
    /// Records a part; one tensor per output.
    #[track_caller]
    pub fn record<'g>(self, inputs: &[Tensor<'g>], mask: Option<Tensor<'g>>) -> Vec<Tensor<'g>> {
        let inputs: Vec<Tensor<'g>> = inputs.iter().copied().chain(mask).collect();
        inputs[0].graph().record_outputs(self, &inputs, if self.part == Part::Forward { 2 } else { 1 })
    }

    /// Scores, with those that count not at all far below.
    pub fn scores<'g>(self, q: Tensor<'g>, k: Tensor<'g>, mask: Option<Tensor<'g>>) -> Tensor<'g> {
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
    pub fn only_seen<'g>(self, p: Tensor<'g>, mask: Option<Tensor<'g>>) -> Tensor<'g> {
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
        crate::ops::elementwise::floats(&inputs[..self.inputs()])?;
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
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        // Planes are independent of one another. A mask has one for each, or one for all.
        let planes = inputs[0].shape[0];
        let mask = self.masked.then(|| inputs[self.inputs()].shape[0]);
        if mask.is_some_and(|own| own != planes && own != 1) {
            return None;
        }
        let outputs = self.outputs(inputs).ok()?;
        let mut domain = Domain::of_leading(1, inputs, &outputs.iter().collect::<Vec<_>>());
        if mask == Some(1) {
            domain.inputs[self.inputs()][0] = None;
        }
        Some(domain)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shapes: Vec<&Shape> = cx.inputs.iter().map(|input| &input.shape).collect();
        let sizes = self.sizes(&shapes);
        let (source, rows, others) = match self.part {
            Part::Forward => (include_str!("../../../shaders/attention.wgsl"), sizes.queries, sizes.keys),
            Part::Query => (include_str!("../../../shaders/attention_query_gradient.wgsl"), sizes.queries, sizes.keys),
            Part::Key => (include_str!("../../../shaders/attention_key_gradient.wgsl"), sizes.keys, sizes.queries),
            Part::Value => (include_str!("../../../shaders/attention_value_gradient.wgsl"), sizes.keys, sizes.queries),
        };
        let rows = rows * sizes.planes;
        let widest = sizes.size.max(sizes.value_size);
        let needed = iterations(others, widest).div_ceil(LONGEST_LOOP).next_power_of_two().min(64);
        let lanes = match cx.class {
            // A GPU wants many invocations.
            KernelClass::Gpu => (1usize << 16).div_ceil(rows).next_power_of_two().min(16).max(needed),
            _ => needed,
        };
        let workgroups = grid(rows.div_ceil(64 / lanes));
        let libraries = [
            &libraries::EXPONENTIAL,
            &libraries::LOGARITHM,
            &libraries::COMPARISON,
            &libraries::ROWS,
            &libraries::NUMBERS,
        ];
        let text = Text::new(source, &libraries)
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
