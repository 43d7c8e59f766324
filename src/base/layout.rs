use super::Shape;
use ndarray::{ArrayD, Axis, Dimension, IxDyn, Slice};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// A change of how a tensor is looked at, without moving its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// The same elements in row-major order under another shape.
    Reshape(Shape),
    /// Axis `i` of the result is axis `permutation[i]` of the input.
    Permute(Vec<usize>),
    /// Extents of 1, and missing leading axes, stretch to this shape.
    Broadcast(Shape),
    /// Axis `i` of the result takes `extents[i]` elements from `starts[i]`, `steps[i]` apart;
    /// a negative step walks backwards.
    Slice {
        /// First element taken along every axis.
        starts: Vec<usize>,
        /// Distance between taken elements along every axis.
        steps: Vec<isize>,
        /// Number of elements taken along every axis.
        extents: Vec<usize>,
    },
    /// Axis `i` of the result takes `extents` steps along an axis of the input; several may walk along the same one, which
    /// gives windows that overlap. Axes of the input that none walks along stay at their first element.
    Walk(Vec<Walk>),
}

/// One axis of a [`View::Walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// The axis of the input.
    pub axis: usize,
    /// How many elements of it every step passes; 0 stays where it is.
    pub step: usize,
    /// How many elements the new axis has.
    pub extent: usize,
}

impl Walk {
    /// So many elements of an axis, `step` apart.
    #[must_use]
    pub const fn new(axis: usize, step: usize, extent: usize) -> Self {
        Self { axis, step, extent }
    }
}

impl View {
    /// What a view shows of an array, as an array of its own. The view must fit the array's shape.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn apply<A: Clone>(&self, array: &ArrayD<A>) -> ArrayD<A> {
        const CHECKED: &str = "a view is checked against the shape when it is recorded";
        match self {
            Self::Reshape(shape) => {
                array.as_standard_layout().into_owned().into_shape_with_order(IxDyn(shape)).expect(CHECKED)
            }
            Self::Permute(order) => array.view().permuted_axes(IxDyn(order)).as_standard_layout().into_owned(),
            Self::Broadcast(shape) => array.broadcast(IxDyn(shape)).expect(CHECKED).as_standard_layout().into_owned(),
            Self::Slice { starts, steps, extents } => {
                let mut result = array.view();
                for axis in 0..starts.len() {
                    let (start, step, extent) = (starts[axis] as isize, steps[axis], extents[axis] as isize);
                    // ndarray walks backwards from the end of the range.
                    let reach = start + step * (extent - 1);
                    let (from, to) = if step > 0 { (start, reach + 1) } else { (reach, start + 1) };
                    result.slice_axis_inplace(Axis(axis), Slice::new(from, Some(to), step));
                }
                result.as_standard_layout().into_owned()
            }
            Self::Walk(walks) => {
                let extents: Vec<usize> = walks.iter().map(|walk| walk.extent).collect();
                ArrayD::from_shape_fn(IxDyn(&extents), |at| {
                    let mut place = vec![0; array.ndim()];
                    for (walk, &index) in walks.iter().zip(at.slice()) {
                        place[walk.axis] += walk.step * index;
                    }
                    array[IxDyn(&place)].clone()
                })
            }
        }
    }
}

/// Where the elements of a tensor lie in its buffer: element `(i, j, ..)` at
/// `offset + i * strides[0] + j * strides[1] + ..`, all in elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The extent of every axis.
    pub shape: Shape,
    /// The distance between neighbours along every axis; 0 where an axis was broadcast.
    pub strides: Vec<isize>,
    /// The position of the first element.
    pub offset: usize,
}

impl Layout {
    /// Dense, row-major, from the start of the buffer.
    #[must_use]
    pub fn dense(shape: &Shape) -> Self {
        Self { shape: shape.clone(), strides: shape.strides(), offset: 0 }
    }

    /// Whether the elements are dense, row-major and start at the front of the buffer.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        let expected = self.shape.strides();
        self.offset == 0
            && (0..self.shape.rank()).all(|axis| self.shape[axis] == 1 || self.strides[axis] == expected[axis])
    }

    /// The same elements in the same order with as few axes as possible: axes of one element are left out, and
    /// neighbours that lie one after another in memory are joined.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut extents: Vec<usize> = Vec::new();
        let mut strides: Vec<isize> = Vec::new();
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).filter(|&(&extent, _)| extent != 1) {
            match (extents.last_mut(), strides.last_mut()) {
                (Some(size), Some(inner)) if *inner == stride * extent as isize => {
                    *size *= extent;
                    *inner = stride;
                }
                _ => {
                    extents.push(extent);
                    strides.push(stride);
                }
            }
        }
        Self { shape: extents.into(), strides, offset: self.offset }
    }

    /// The layout after a view, or `None` where the view needs the data moved first (a reshape
    /// that joins axes which are not adjacent in memory).
    #[must_use]
    pub fn view(&self, view: &View) -> Option<Self> {
        match view {
            View::Reshape(shape) => self.reshape(shape),
            View::Permute(permutation) => Some(Self {
                shape: permutation.iter().map(|&axis| self.shape[axis]).collect::<Vec<_>>().into(),
                strides: permutation.iter().map(|&axis| self.strides[axis]).collect(),
                offset: self.offset,
            }),
            View::Broadcast(shape) => {
                let lead = shape.rank() - self.shape.rank();
                let stride = |axis: usize| match axis.checked_sub(lead) {
                    Some(own) if self.shape[own] == shape[axis] => self.strides[own],
                    _ => 0,
                };
                Some(Self {
                    shape: shape.clone(),
                    strides: (0..shape.rank()).map(stride).collect(),
                    offset: self.offset,
                })
            }
            View::Slice { starts, steps, extents } => {
                let shift: isize =
                    starts.iter().zip(&self.strides).map(|(&start, stride)| start as isize * stride).sum();
                Some(Self {
                    shape: extents.clone().into(),
                    strides: self.strides.iter().zip(steps).map(|(stride, step)| stride * step).collect(),
                    offset: (self.offset as isize + shift) as usize,
                })
            }
            View::Walk(walks) => Some(Self {
                shape: walks.iter().map(|walk| walk.extent).collect::<Vec<_>>().into(),
                strides: walks.iter().map(|walk| self.strides[walk.axis] * walk.step as isize).collect(),
                offset: self.offset,
            }),
        }
    }

    fn reshape(&self, shape: &Shape) -> Option<Self> {
        // Join axes that are adjacent in memory into blocks, then cut the blocks anew.
        let mut blocks: Vec<(usize, isize)> = Vec::new();
        for (&extent, &stride) in self.shape.iter().zip(&self.strides).filter(|&(&extent, _)| extent != 1) {
            match blocks.last_mut() {
                Some((size, inner)) if *inner == stride * extent as isize => (*size, *inner) = (*size * extent, stride),
                _ => blocks.push((extent, stride)),
            }
        }
        let mut strides = vec![0isize; shape.rank()];
        let mut axis = shape.rank();
        for &(size, inner) in blocks.iter().rev() {
            let mut taken = 1usize;
            while taken < size {
                axis = axis.checked_sub(1)?;
                strides[axis] = inner * taken as isize;
                taken *= shape[axis];
            }
            if taken != size {
                return None;
            }
        }
        Some(Self { shape: shape.clone(), strides, offset: self.offset })
    }

    /// The WGSL expression for the element at these coordinates, each a WGSL expression of type
    /// `u32`. Positive terms come first, so that no partial sum is below zero.
    #[must_use]
    pub fn index_expression(&self, coordinates: &[String]) -> String {
        let term = |axis: usize, stride: usize| match stride {
            1 => coordinates[axis].clone(),
            _ => format!("{} * {stride}u", coordinates[axis]),
        };
        let terms = |sign: isize| {
            (0..self.shape.rank())
                .filter(move |&axis| self.shape[axis] != 1 && self.strides[axis].signum() == sign)
                .map(move |axis| term(axis, self.strides[axis].unsigned_abs()))
        };
        let mut sum: Vec<String> = terms(1).collect();
        if self.offset != 0 || sum.is_empty() {
            sum.insert(0, format!("{}u", self.offset));
        }
        terms(-1).fold(sum.join(" + "), |text, term| format!("{text} - {term}"))
    }

    /// WGSL statements that take the linear row-major index `index` apart into coordinates
    /// `{prefix}0`, `{prefix}1`, ..; and the names of those coordinates.
    #[must_use]
    pub fn coordinates(shape: &Shape, index: &str, prefix: &str) -> (String, Vec<String>) {
        let mut text = String::new();
        let mut names = Vec::new();
        let strides = shape.strides();
        let outermost = shape.iter().position(|&extent| extent != 1);
        for axis in 0..shape.rank() {
            if shape[axis] == 1 {
                names.push("0u".to_owned());
                continue;
            }
            let name = format!("{prefix}{axis}");
            let quotient = if strides[axis] == 1 { index.to_owned() } else { format!("{index} / {}u", strides[axis]) };
            let expression = if Some(axis) == outermost { quotient } else { format!("{quotient} % {}u", shape[axis]) };
            let _ = writeln!(text, "    let {name} = {expression};");
            names.push(name);
        }
        (text, names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_splits_and_joins_what_is_adjacent() {
        let dense = Layout::dense(&[2, 3, 4].into());
        assert_eq!(dense.view(&View::Reshape([6, 4].into())).unwrap().strides, [4, 1]);
        let turned = dense.view(&View::Permute(vec![2, 0, 1])).unwrap();
        assert_eq!(turned.strides, [1, 12, 4]);
        assert_eq!(turned.view(&View::Reshape([4, 6].into())).unwrap().strides, [1, 4]);
        assert_eq!(turned.view(&View::Reshape([24].into())), None);
    }

    #[test]
    fn index_expressions_never_go_below_zero_midway() {
        let flipped = Layout::dense(&[5].into())
            .view(&View::Slice { starts: vec![4], steps: vec![-1], extents: vec![5] })
            .unwrap();
        assert_eq!(flipped.index_expression(&["i".into()]), "4u - i");
        assert!(!flipped.is_dense());
    }
}
