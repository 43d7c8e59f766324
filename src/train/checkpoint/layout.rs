//! How other programs lay out the elements of weights.

use crate::base::Shape;
use ndarray::{ArrayViewD, IxDyn};

/// How a weight lies in a file, where that is not as here. Linear layers here have `[outputs, inputs]`, convolutions `[outputs,
/// inputs / groups, kernel extents..]`, transposed ones `[inputs, outputs / groups, kernel extents..]`, and recurrent layers gates
/// in the order i, f, g, o and r, z, n: all as in `PyTorch`, whose files need no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// A matrix is transposed there, such as a linear weight `[inputs, outputs]` of Keras, of JAX, or of GPT-2's `Conv1D`. What
    /// has one axis is as it is.
    Transposed,
    /// Axis i there is this one of the axes here: a convolution of Keras, `[height, width, inputs, outputs]`, has `[2, 3, 1, 0]`.
    Axes(Vec<usize>),
    /// The first axis consists of as many equal blocks, and block i there is this one of the blocks here: the gates i, o, f, g of
    /// an LSTM in ONNX have `[0, 3, 1, 2]`.
    Blocks(Vec<usize>),
}

/// A layout that fits a weight.
#[derive(Clone, Debug)]
pub(super) enum Fitted {
    Axes(Vec<usize>),
    Blocks(Vec<usize>),
}

impl WeightLayout {
    /// For a weight of this shape here.
    ///
    /// # Errors
    /// Why it does not fit.
    pub(super) fn fitted(&self, shape: &Shape) -> Result<Fitted, String> {
        let rank = shape.rank();
        match self {
            Self::Transposed if rank > 2 => {
                Err(format!("its layout is that of a matrix, transposed, and {shape} is none: give its axes"))
            }
            Self::Transposed => Ok(Fitted::Axes((0..rank).rev().collect())),
            Self::Axes(axes) if axes.len() == rank && is_order(axes) => Ok(Fitted::Axes(axes.clone())),
            Self::Axes(axes) => {
                Err(format!("its layout has the axes {axes:?}, which are no order of those of {shape}"))
            }
            Self::Blocks(blocks) if rank == 0 || blocks.is_empty() || !shape[0].is_multiple_of(blocks.len()) => {
                Err(format!("its layout has {} blocks, which do not divide the first axis of {shape}", blocks.len()))
            }
            Self::Blocks(blocks) if is_order(blocks) => Ok(Fitted::Blocks(blocks.clone())),
            Self::Blocks(blocks) => {
                Err(format!("its layout has the blocks {blocks:?}, which are no order of 0 to {}", blocks.len() - 1))
            }
        }
    }
}

/// Whether these are the numbers from 0, each once.
fn is_order(numbers: &[usize]) -> bool {
    (0..numbers.len()).all(|number| numbers.contains(&number))
}

impl Fitted {
    /// The shape there of a weight of this shape here.
    pub fn stored_shape(&self, shape: &Shape) -> Vec<usize> {
        match self {
            Self::Axes(axes) => axes.iter().map(|&axis| shape[axis]).collect(),
            Self::Blocks(_) => shape.to_vec(),
        }
    }

    /// The elements there of a weight here.
    pub fn to_stored(&self, data: &[f32], shape: &Shape) -> Vec<f32> {
        match self {
            Self::Axes(axes) => permuted(data, shape, axes),
            Self::Blocks(order) => {
                let size = data.len() / order.len();
                order.iter().flat_map(|&block| &data[block * size..(block + 1) * size]).copied().collect()
            }
        }
    }

    /// The elements here of a weight there, which has this shape here.
    pub fn to_ours(&self, data: &[f32], shape: &Shape) -> Vec<f32> {
        match self {
            Self::Axes(axes) => permuted(data, &self.stored_shape(shape), &inverse(axes)),
            Self::Blocks(order) => Self::Blocks(inverse(order)).to_stored(data, shape),
        }
    }
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &number)| inverse[number] = place);
    inverse
}

/// With axis i being what was axis `axes[i]`.
fn permuted(data: &[f32], shape: &[usize], axes: &[usize]) -> Vec<f32> {
    let view = ArrayViewD::from_shape(IxDyn(shape), data).expect("there are as many elements as the shape says");
    view.permuted_axes(IxDyn(axes)).iter().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_there_and_back() {
        let data: Vec<f32> = (0..24u8).map(f32::from).collect();
        let shape = Shape::from([4, 2, 3]);
        for layout in [WeightLayout::Axes(vec![1, 2, 0]), WeightLayout::Blocks(vec![0, 3, 1, 2])] {
            let fitted = layout.fitted(&shape).unwrap();
            let there = fitted.to_stored(&data, &shape);
            assert_ne!(there, data);
            assert_eq!(fitted.to_ours(&there, &shape), data, "{layout:?}");
        }
        let axes = WeightLayout::Axes(vec![1, 2, 0]).fitted(&shape).unwrap();
        assert_eq!(axes.stored_shape(&shape), [2, 3, 4]);
        // Element [0, 1, 2] there is [2, 0, 1] here.
        assert_eq!(axes.to_stored(&data, &shape)[6], data[2 * 6 + 1]);
        let blocks = WeightLayout::Blocks(vec![0, 3, 1, 2]).fitted(&shape).unwrap();
        assert_eq!(blocks.to_stored(&data, &shape)[6], data[3 * 6]);
        let matrix = Shape::from([2, 3]);
        let transposed = WeightLayout::Transposed.fitted(&matrix).unwrap();
        assert_eq!(transposed.to_stored(&data[..6], &matrix), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(
            WeightLayout::Transposed.fitted(&Shape::from([6])).unwrap().to_ours(&data[..6], &[6].into()),
            data[..6]
        );
        for wrong in [
            WeightLayout::Transposed,
            WeightLayout::Axes(vec![0, 1]),
            WeightLayout::Axes(vec![0, 1, 1]),
            WeightLayout::Blocks(vec![0, 1, 2]),
            WeightLayout::Blocks(vec![0, 0]),
            WeightLayout::Blocks(vec![]),
        ] {
            assert!(wrong.fitted(&shape).is_err(), "{wrong:?}");
        }
    }
}
