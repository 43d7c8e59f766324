use super::DType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Deref, RangeFull};

/// The extent of every axis, outermost first. A scalar has no axes and one element.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The place along every axis of an element, given by its row-major number.
    ///
    /// ```
    /// let shape = retrograd::Shape::from([2, 3, 4]);
    /// assert_eq!(shape.place_of(23), [1, 2, 3]);
    /// ```
    #[must_use]
    pub fn place_of(&self, mut element: usize) -> Vec<usize> {
        let mut place: Vec<usize> = Vec::with_capacity(self.rank());
        for &extent in self.iter().rev() {
            place.push(element % extent.max(1));
            element /= extent.max(1);
        }
        place.reverse();
        place
    }

    /// The number of axes.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The number of elements, or `None` where the product does not fit a `usize`.
    #[must_use]
    pub fn checked_elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))
    }

    /// The number of elements. Shapes that were recorded have been checked not to overflow.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.checked_elements().unwrap_or(usize::MAX)
    }

    /// The extent of the last axis; 1 for a scalar.
    #[must_use]
    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or(1)
    }

    /// The axis that `axis` names, counting from the end where it is negative.
    ///
    /// # Errors
    /// The reason as text when the axis is outside the shape.
    pub fn axis(&self, axis: isize) -> Result<usize, String> {
        let rank = self.rank() as isize;
        let from_front = if axis < 0 { axis + rank } else { axis };
        if (0..rank).contains(&from_front) {
            Ok(from_front as usize)
        } else if rank == 0 {
            Err(format!("axis {axis} is outside shape {self}, which has no axes: give it one with `unsqueeze`"))
        } else {
            Err(format!(
                "axis {axis} is outside shape {self}, which has {rank} axes (allowed: {} to {})",
                -rank,
                rank - 1
            ))
        }
    }

    /// The common shape of two operands by the broadcasting rule of `NumPy`: aligned at the last
    /// axis, an extent of 1 stretches.
    #[must_use]
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let rank = self.rank().max(other.rank());
        let extent = |shape: &Self, axis: usize| (axis + shape.rank()).checked_sub(rank).map_or(1, |i| shape.0[i]);
        (0..rank)
            .map(|axis| match (extent(self, axis), extent(other, axis)) {
                (a, b) if a == b || b == 1 => Some(a),
                (1, b) => Some(b),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// The extent of the last axis, where there is one.
    #[must_use]
    pub fn last_extent(&self) -> Option<&usize> {
        self.0.last()
    }

    /// Whether a tensor of this shape stretches to `target` by broadcasting.
    #[must_use]
    pub fn broadcasts_to(&self, target: &Self) -> bool {
        self.broadcast(target).as_ref() == Some(target)
    }

    /// The strides, in elements, of a dense row-major tensor.
    #[must_use]
    pub fn strides(&self) -> Vec<isize> {
        let mut strides = vec![1isize; self.rank()];
        for axis in (0..self.rank().saturating_sub(1)).rev() {
            strides[axis] = strides[axis + 1] * self.0[axis + 1] as isize;
        }
        strides
    }

    /// The shape without the named axes, or with extent 1 in their place.
    #[must_use]
    pub fn reduced(&self, axes: &[usize], keep: bool) -> Self {
        let kept = self.0.iter().enumerate().filter_map(|(axis, &extent)| match axes.contains(&axis) {
            true if keep => Some(1),
            true => None,
            false => Some(extent),
        });
        Self(kept.collect())
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(extents: &[usize]) -> Self {
        Self(extents.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(extents: Vec<usize>) -> Self {
        Self(extents)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

/// Shape and element type together, printed as `f32[64, 10]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorType {
    /// The extent of every axis.
    pub shape: Shape,
    /// The element type.
    pub dtype: DType,
}

impl TensorType {
    /// A float tensor of this shape.
    #[must_use]
    pub fn f32(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::F32 }
    }

    /// The bytes of a dense tensor of this type.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shape.elements().saturating_mul(DType::BYTES)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

/// Which axes a reduction runs over: `..` for all, one axis, or a list. Negative axes count from
/// the end.
#[derive(Clone, Debug)]
pub enum Axes {
    /// Every axis.
    All,
    /// These axes.
    List(Vec<isize>),
}

impl Axes {
    /// The axes in ascending order, each within `shape`.
    ///
    /// # Errors
    /// The reason as text when an axis is outside the shape or named twice.
    pub fn resolve(&self, shape: &Shape) -> Result<Vec<usize>, String> {
        let mut axes = match self {
            Self::All => (0..shape.rank()).collect(),
            Self::List(list) => list.iter().map(|&axis| shape.axis(axis)).collect::<Result<Vec<_>, _>>()?,
        };
        axes.sort_unstable();
        match axes.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("axis {} is named twice", pair[0])),
            None => Ok(axes),
        }
    }
}

impl From<RangeFull> for Axes {
    fn from(_: RangeFull) -> Self {
        Self::All
    }
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Self::List(vec![axis])
    }
}

impl<const N: usize> From<[isize; N]> for Axes {
    fn from(axes: [isize; N]) -> Self {
        Self::List(axes.to_vec())
    }
}

impl From<&[isize]> for Axes {
    fn from(axes: &[isize]) -> Self {
        Self::List(axes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let shape = |extents: &[usize]| Shape::from(extents);
        assert_eq!(shape(&[4, 1]).broadcast(&shape(&[1, 5])), Some(shape(&[4, 5])));
        assert_eq!(shape(&[5]).broadcast(&shape(&[4, 5])), Some(shape(&[4, 5])));
        assert_eq!(shape(&[]).broadcast(&shape(&[2])), Some(shape(&[2])));
        assert_eq!(shape(&[3]).broadcast(&shape(&[4])), None);
        assert!(!shape(&[4, 5]).broadcasts_to(&shape(&[5])));
    }

    #[test]
    fn axes_count_from_the_end() {
        let shape = Shape::from([2, 3, 4]);
        assert_eq!(Axes::from([-1, 0]).resolve(&shape), Ok(vec![0, 2]));
        assert!(Axes::from(3).resolve(&shape).is_err());
        assert!(Axes::from([1, -2]).resolve(&shape).unwrap_err().contains("twice"));
    }
}
