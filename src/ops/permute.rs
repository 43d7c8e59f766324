//! Axes in another order; dx = g with the axes put back.

use super::view::{ViewGradient, ViewOp};
use crate::base::View;
use crate::record::{Case, CaseInput, Cotangents, Tensor, Vjp};

#[derive(Debug)]
struct Back(Vec<usize>);

impl ViewGradient for Back {
    fn vjp<'g>(&self, cx: &Vjp<'g>) -> Cotangents<'g> {
        let mut inverse = vec![0isize; self.0.len()];
        for (place, &axis) in self.0.iter().enumerate() {
            inverse[axis] = place as isize;
        }
        Cotangents::one(cx.cotangent().permute(inverse))
    }
}

impl Tensor<'_> {
    /// Axis `i` of the result is axis `order[i]` of this tensor. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn permute(self, order: impl AsRef<[isize]>) -> Self {
        let shape = self.shape();
        let axes: Result<Vec<usize>, String> = order.as_ref().iter().map(|&axis| shape.axis(axis)).collect();
        let complete =
            |axes: &[usize]| axes.len() == shape.rank() && (0..shape.rank()).all(|axis| axes.contains(&axis));
        match axes {
            Ok(axes) if complete(&axes) => self
                .graph
                .record(ViewOp { name: "permute", view: View::Permute(axes.clone()), gradient: Back(axes) }, &[self]),
            Ok(_) => self.graph.fault(
                "permute",
                &[self],
                format!("{:?} does not name every axis once: there are {}", order.as_ref(), self.rank()),
            ),
            Err(reason) => self.graph.fault("permute", &[self], reason),
        }
    }

    /// The last two axes exchanged, `[.., rows, columns]` to `[.., columns, rows]`. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn transpose(self) -> Self {
        if self.is_valid() && self.rank() < 2 {
            return self.graph.fault("transpose", &[self], "it needs at least two axes");
        }
        self.swap_axes(-2, -1)
    }

    /// Two axes exchanged. Moves no data.
    #[must_use]
    #[track_caller]
    pub fn swap_axes(self, first: isize, second: isize) -> Self {
        let shape = self.shape();
        match (shape.axis(first), shape.axis(second)) {
            (Ok(first), Ok(second)) => {
                let mut order: Vec<isize> = (0..shape.rank() as isize).collect();
                order.swap(first, second);
                self.permute(order)
            }
            (Err(reason), _) | (_, Err(reason)) => self.graph.fault("swap_axes", &[self], reason),
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    let input = || vec![CaseInput::uniform([3, 4, 5], -1.0, 1.0)];
    vec![
        Case::new("cycle", input(), |x| x[0].permute([2, 0, 1]).sin()),
        Case::new("transpose", input(), |x| x[0].transpose().sin()),
    ]
}
