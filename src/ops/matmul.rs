//! C = A B; dA = dC B^T, dB = A^T dC. Transposed operands are views that the kernels read in place.

use crate::base::{DType, Layout, Real, Shape, TensorType, Value, View};
use crate::record::{
    Case, CaseInput, Contraction, Cotangents, EvalContext, KernelClass, LowerContext, Lowering, NodeKind, Op,
    Reference, Tensor, Vjp,
};
use ndarray::{Array3, Axis, Ix2, IxDyn, linalg::general_mat_mul};

/// `[.., m, k]` times `[.., k, n]` with equal leading axes.
#[derive(Debug)]
struct Matmul;

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }
    fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
        super::elementwise::floats(inputs)?;
        let (a, b) = (&inputs[0].shape, &inputs[1].shape);
        let rank = a.rank();
        if rank < 2 || b.rank() != rank || a[..rank - 2] != b[..rank - 2] {
            return Err(format!("shapes {a} and {b} are not stacks of as many matrices"));
        }
        if a[rank - 1] != b[rank - 2] {
            return Err(inner_sizes(a[rank - 1], b[rank - 2]));
        }
        let mut extents = a.to_vec();
        extents[rank - 1] = b[rank - 1];
        Ok(vec![TensorType { shape: extents.into(), dtype: DType::F32 }])
    }
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let (a, b, g) = (cx.inputs[0], cx.inputs[1], cx.cotangent());
        let product = |left: Tensor<'g>, right: Tensor<'g>| g.graph().record(Self, &[left, right]);
        // The gradient of a transposed operand is computed transposed, so that it lies in memory
        // like the operand does: (A^T dC)^T = dC^T A.
        let da = if is_transposed(a) { product(b, g.transpose()).transpose() } else { product(g, b.transpose()) };
        let db = if is_transposed(b) { product(g.transpose(), a).transpose() } else { product(a.transpose(), g) };
        Cotangents::two(da, db)
    }
    fn lower(&self, cx: &LowerContext<'_>) -> Lowering {
        Lowering::Contract(Contraction::of_matrices(cx.inputs[0].shape.rank()))
    }
}

/// Whether a tensor was recorded as a permutation that exchanges its last two axes.
fn is_transposed(tensor: Tensor<'_>) -> bool {
    tensor.graph().with_recording(|recording| {
        let node = recording.node(tensor.id());
        let NodeKind::Op(op) = &node.kind else { return false };
        let types: Vec<TensorType> = node.inputs.iter().map(|&input| recording.tensor_type(input).clone()).collect();
        let layouts: Vec<Layout> = types.iter().map(|input| Layout::dense(&input.shape)).collect();
        let cx = LowerContext { inputs: &types, layouts: &layouts, outputs: &node.outputs, class: KernelClass::Cpu };
        let Lowering::View(View::Permute(order)) = op.lower(&cx) else { return false };
        order.len() >= 2 && order[order.len() - 2] == order.len() - 1 && order[order.len() - 1] == order.len() - 2
    })
}

fn inner_sizes(left: usize, right: usize) -> String {
    format!("the inner sizes {left} and {right} differ: columns of the first must equal rows of the second")
}

impl Reference for Matmul {
    fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
        let (a, b) = (inputs[0].real(), inputs[1].real());
        let rank = a.ndim();
        let stack = |array: &'_ ndarray::ArrayD<T>| -> Array3<T> {
            let extents = array.shape();
            let batch: usize = extents[..rank - 2].iter().product();
            let flat = array.as_standard_layout().into_owned();
            flat.into_shape_with_order((batch, extents[rank - 2], extents[rank - 1]))
                .expect("a dense array takes any shape of as many elements")
        };
        if let (Ok(a), Ok(b)) = (a.view().into_dimensionality::<Ix2>(), b.view().into_dimensionality::<Ix2>()) {
            return vec![Value::Real(a.dot(&b).into_dyn())];
        }
        let (left, right) = (stack(a), stack(b));
        let product = products(&left, &right);
        let mut extents = a.shape().to_vec();
        extents[rank - 1] = b.shape()[rank - 1];
        vec![Value::Real(
            product.into_shape_with_order(IxDyn(&extents)).expect("the batch was flattened and is restored").into_dyn(),
        )]
    }
}

fn products<T: Real>(a: &Array3<T>, b: &Array3<T>) -> Array3<T> {
    let mut product = Array3::zeros((a.shape()[0], a.shape()[1], b.shape()[2]));
    for (batch, mut plane) in product.axis_iter_mut(Axis(0)).enumerate() {
        general_mat_mul(T::one(), &a.index_axis(Axis(0), batch), &b.index_axis(Axis(0), batch), T::zero(), &mut plane);
    }
    product
}

impl Tensor<'_> {
    /// The matrix product over the last two axes, `[.., m, k] x [.., k, n] -> [.., m, n]`; leading
    /// axes stretch to a common shape. `x.matmul(w.transpose())` reads `w` in place.
    #[must_use]
    #[track_caller]
    pub fn matmul(self, other: Self) -> Self {
        let _here = self.graph.here();
        let (a, b) = (self.shape(), other.shape());
        let fault = |reason: String| self.graph.fault("matmul", &[self, other], reason);
        if !self.is_valid() || !other.is_valid() {
            return fault(String::new());
        }
        if a.rank() < 2 || b.rank() < 2 {
            return fault("it needs matrices: give a vector a second axis with `unsqueeze`".into());
        }
        let (columns, rows) = (a.last(), b[b.rank() - 2]);
        if columns != rows {
            return fault(inner_sizes(columns, rows));
        }
        if b.rank() == 2 && a.rank() > 2 {
            // One matrix for the whole stack: a single product with all rows.
            let mut extents = a.to_vec();
            extents[a.rank() - 1] = b.last();
            let flat = self.reshape([a.elements() / columns, columns]);
            return self.graph.record(Matmul, &[flat, other]).reshape(extents);
        }
        let (lead_a, lead_b): (Shape, Shape) = (a[..a.rank() - 2].into(), b[..b.rank() - 2].into());
        let Some(lead) = lead_a.broadcast(&lead_b) else {
            return fault(format!("the leading axes {lead_a} and {lead_b} do not stretch to a common shape"));
        };
        let stretched = |tensor: Self, shape: &Shape| {
            let mut extents = lead.to_vec();
            extents.extend(&shape[shape.rank() - 2..]);
            tensor.broadcast_to(extents)
        };
        self.graph.record(Matmul, &[stretched(self, &a), stretched(other, &b)])
    }
}

pub(super) fn cases() -> Vec<Case> {
    let pair = |a: &[usize], b: &[usize]| vec![CaseInput::uniform(a, -1.0, 1.0), CaseInput::uniform(b, -1.0, 1.0)];
    let product = |x: &[Tensor<'_>]| x[0].matmul(x[1]).id();
    let plain =
        move |name: &str, a: &[usize], b: &[usize]| Case::new(name, pair(a, b), move |x| x[0].graph().at(product(x)));
    vec![
        plain("one element", &[1, 1], &[1, 1]),
        plain("primes", &[7, 13], &[13, 5]),
        plain("just past a tile", &[65, 33], &[33, 65]),
        // Positive, as one sum of both signs may cancel to nothing but rounding.
        Case::new(
            "row times column",
            vec![CaseInput::uniform([1, 129], 0.1, 1.0), CaseInput::uniform([129, 1], 0.1, 1.0)],
            |x| x[0].matmul(x[1]),
        ),
        plain("column times row", &[17, 1], &[1, 19]),
        plain("batched", &[2, 3, 4], &[2, 4, 5]),
        plain("one matrix for a stack", &[2, 3, 4], &[4, 5]),
        plain("stretched batch", &[2, 1, 3, 4], &[3, 4, 2]),
        plain("a long inner axis", &[2, 5000], &[5000, 3]),
        // Sizes for which operands are loaded in eights, in each of their forms, with a rest and without.
        plain("in eights", &[24, 32], &[32, 72]),
        Case::new("in eights, first transposed", pair(&[21, 24], &[21, 72]), |x| x[0].transpose().matmul(x[1])),
        Case::new("in eights, second transposed", pair(&[17, 40], &[64, 40]), |x| x[0].matmul(x[1].transpose())),
        Case::new("in eights, both transposed", pair(&[16, 24], &[72, 16]), |x| {
            x[0].transpose().matmul(x[1].transpose())
        }),
        Case::new("in eights, batched", pair(&[2, 13, 24], &[2, 13, 64]), |x| x[0].swap_axes(1, 2).matmul(x[1])),
        Case::new("bias gradients on the way", pair(&[19, 24], &[72, 24]), |x| {
            let y = x[0].matmul(x[1].transpose()).tanh();
            y * y.sum(0)
        }),
        Case::new("second transposed", pair(&[9, 12], &[7, 12]), |x| x[0].matmul(x[1].transpose())),
        Case::new("first transposed", pair(&[12, 9], &[12, 7]), |x| x[0].transpose().matmul(x[1])),
        Case::new("both transposed", pair(&[12, 9], &[7, 12]), |x| x[0].transpose().matmul(x[1].transpose())),
        Case::new("slices", pair(&[10, 9], &[11, 8]), |x| {
            x[0].slice_step(0, 1..9, 2).slice(1, 2..8).matmul(x[1].slice(0, 3..9).flip(0))
        }),
        Case::new("by itself", vec![CaseInput::uniform([6, 6], -1.0, 1.0)], |x| x[0].matmul(x[0])),
        Case::new("batch from a permutation", pair(&[3, 2, 4], &[2, 4, 5]), |x| x[0].permute([1, 0, 2]).matmul(x[1])),
    ]
}
