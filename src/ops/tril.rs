//! The lower triangle of matrices: y[.., i, j] = x[.., i, j] where j <= i + k, else 0; dx = the same part of g.

use super::elementwise::floats;
use crate::base::{Real, TensorType, Value};
use crate::record::{
    Argument, Attributes, Case, CaseInput, Cotangents, EvalContext, HostFunction, LowerContext, Lowering, Op,
    Pointwise, Reference, Tensor, Text, Vjp,
};

#[derive(Debug)]
struct Tril {
    diagonal: i32,
    /// What stands above.
    fill: f64,
}

impl Op for Tril {
    fn name(&self) -> &'static str {
        "tril"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        floats(inputs)?;
        if inputs[0].shape.rank() < 2 { Err("it needs at least two axes".into()) } else { Ok(vec![inputs[0].clone()]) }
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        Cotangents::one(cx.cotangent().tril(self.diagonal))
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        let rank = cx.inputs[0].shape.rank();
        let (diagonal, fill) = (self.diagonal, Text::literal(self.fill));
        let expression = format!("select({fill}, {{0}}, i32({{2}}) <= i32({{1}}) + ({diagonal}))");
        let fill = (self.fill as f32).to_bits();
        let arguments = vec![Argument::Input(0), Argument::Coordinate(rank - 2), Argument::Coordinate(rank - 1)];
        let host = HostFunction::new(move |block, out| {
            let [x, rows, columns] = block.arguments else { return };
            for (((y, &x), &row), &column) in out.iter_mut().zip(*x).zip(*rows).zip(*columns) {
                *y = if column as i32 <= row as i32 + diagonal { x } else { fill };
            }
        });
        Lowering::Pointwise(Pointwise::new(expression, arguments, &[]).on_host(host))
    }
    fn attributes(&self) -> Attributes {
        Attributes::default().with("diagonal", self.diagonal).with("fill", self.fill)
    }
}

impl Reference for Tril {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let mut output = inputs[0].real().clone();
        let rank = output.ndim();
        for (index, x) in output.indexed_iter_mut() {
            if index[rank - 1] as i64 > index[rank - 2] as i64 + i64::from(self.diagonal) {
                *x = T::real(self.fill);
            }
        }
        vec![Value::Real(output)]
    }
}

impl Tensor<'_> {
    /// The lower triangle of the last two axes, up to the diagonal that lies `diagonal` columns
    /// right of the main one; zero above.
    #[must_use]
    #[track_caller]
    pub fn tril(self, diagonal: i32) -> Self {
        // No tensor has more rows or columns than this, and sums with it do not overflow.
        let diagonal = diagonal.clamp(-(1 << 30), 1 << 30);
        self.graph.record(Tril { diagonal, fill: 0.0 }, &[self])
    }

    /// The lower triangle with the main diagonal, and a number above.
    #[track_caller]
    pub(super) fn tril_filled(self, fill: f64) -> Self {
        self.graph.record(Tril { diagonal: 0, fill }, &[self])
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("square", vec![CaseInput::uniform([6, 6], -1.0, 1.0)], |x| x[0].tril(0)),
        Case::new("filled", vec![CaseInput::uniform([5, 7], -1.0, 1.0)], |x| x[0].tril_filled(-3.0).sin()),
        Case::new("batched, shifted", vec![CaseInput::uniform([2, 4, 7], -1.0, 1.0)], |x| x[0].tril(-1) + x[0].tril(2)),
    ]
}
