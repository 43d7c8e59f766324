//! The k greatest elements along the last axis, in descending order, and where they stand; dx = g put back there.

use super::{elements, rows};
use crate::base::{DType, Real, TensorType, Value};
use crate::record::{
    Attributes, Case, CaseInput, Cotangents, Domain, Draw, EvalContext, HostKernel, LowerContext, Lowering, Op,
    Reference, Tensor, Text, Vjp, libraries,
};
use ndarray::ArrayD;
use std::cmp::Ordering;

/// Every element is compared with its whole row, and software adapters stop loops after 65,535 iterations, four elements
/// together.
const MOST_COLUMNS: usize = 16_000;

#[derive(Debug)]
struct TopK {
    k: usize,
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        let shape = &inputs[0].shape;
        if shape.rank() == 0 || self.k == 0 || self.k > shape.last() {
            return Err(format!(
                "k = {} must be at least 1 and at most the extent {} of the axis",
                self.k,
                shape.last()
            ));
        }
        if shape.last() > MOST_COLUMNS {
            return Err(format!("rows have {} elements, and it takes at most {MOST_COLUMNS}", shape.last()));
        }
        let mut extents = shape.to_vec();
        extents[shape.rank() - 1] = self.k;
        Ok(vec![TensorType::f32(extents.clone()), TensorType { shape: extents.into(), dtype: DType::I32 }])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let Some(g) = cx.cotangents[0] else { return Cotangents::ends(1) };
        let x = cx.inputs[0];
        Cotangents::one(x.graph().full(x.shape(), 0.0).scatter_add(-1, cx.outputs[1], g))
    }
    fn domain(&self, inputs: &[&TensorType]) -> Option<Domain> {
        rows::domain(self, inputs)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let shape = &cx.inputs[0].shape;
        let (columns, k) = (shape.last(), self.k);
        let text = Text::new(include_str!("../../shaders/top_k.wgsl"), &[&libraries::NUMBERS])
            .unsigned("COLUMNS", columns)
            .unsigned("K", k);
        let host = HostKernel::new(move |inputs, outputs| {
            let x: &[f32] = bytemuck::cast_slice(inputs[0]);
            let mut order = Vec::new();
            for (number, row) in x.chunks_exact(columns).enumerate() {
                order_row(row, &mut order);
                for (place, &column) in order.iter().take(k).enumerate() {
                    outputs[0][number * k + place] = row[column].to_bits();
                    outputs[1][number * k + place] = column as u32;
                }
            }
        });
        elements::lower("top_k", text, shape.elements(), columns + 1, cx.class, &["x"], &["values", "columns"], host)
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("k", self.k)
    }
}

/// The columns of a row in descending order of their elements: NaN first, of equals the first.
fn order_row<T: Real>(row: &[T], order: &mut Vec<usize>) {
    order.clear();
    order.extend(0..row.len());
    order.sort_by(|&a, &b| match (row[a].is_nan(), row[b].is_nan()) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => row[b].partial_cmp(&row[a]).unwrap_or(Ordering::Equal),
    });
}

/// Why arrays of the results fit their shapes.
const FITS: &str = "k elements were taken of every row";

impl Reference for TopK {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let x = inputs[0].real();
        let mut extents = x.shape().to_vec();
        let last = extents.len() - 1;
        let columns = extents[last];
        extents[last] = self.k;
        let elements: Vec<T> = x.iter().copied().collect();
        let (mut values, mut places, mut order) = (Vec::new(), Vec::new(), Vec::new());
        for row in elements.chunks_exact(columns) {
            order_row(row, &mut order);
            values.extend(order.iter().take(self.k).map(|&column| row[column]));
            places.extend(order.iter().take(self.k).map(|&column| column as i32));
        }
        vec![
            Value::Real(ArrayD::from_shape_vec(extents.clone(), values).expect(FITS)),
            Value::I32(ArrayD::from_shape_vec(extents, places).expect(FITS)),
        ]
    }
}

impl<'g> Tensor<'g> {
    /// The `k` greatest elements along an axis, in descending order, and their positions there (`i32`). NaN counts as
    /// greater than all; of equal elements the first comes first.
    #[must_use]
    #[track_caller]
    pub fn top_k(self, k: usize, axis: isize) -> (Self, Self) {
        let _here = self.graph.here();
        let axis = match self.shape().axis(axis) {
            Ok(axis) => axis as isize,
            Err(reason) => {
                let invalid = self.graph.fault("top_k", &[self], reason);
                return (invalid, invalid);
            }
        };
        let last = self.rank() as isize - 1;
        let turned = |x: Tensor<'g>| if axis == last { x } else { x.swap_axes(axis, last) };
        let outputs = self.graph.record_outputs(TopK { k }, &[turned(self)], 2);
        (turned(outputs[0]), turned(outputs[1]))
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = |shape: &[usize]| vec![CaseInput::new(shape, Draw::Distinct { low: -2.0, high: 2.0 })];
    vec![
        Case::new("values", input(&[5, 9]), |x| x[0].top_k(3, -1).0.sin()),
        Case::new("all", input(&[3, 65]), |x| x[0].top_k(65, -1).0.sin()),
        Case::new("first axis", input(&[13, 4]), |x| x[0].top_k(2, 0).0.sin()),
        Case::new("positions", input(&[2, 1025]), |x| x[0].top_k(7, -1).1).value_only(),
        Case::new("equal ones", vec![CaseInput::new([4, 30], Draw::Mask)], |x| x[0].to_f32().top_k(30, -1).1)
            .value_only(),
    ]
}
