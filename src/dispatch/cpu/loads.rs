//! What pointwise programs load on the host, run by run of the last axis: elements of a layout, of tensors laid end to
//! end, of a tensor among zeros, and coordinates.

use crate::base::{Layout, Shape};

/// Memory with the layout in which it is seen.
pub type Source<'a> = (&'a [u32], Layout);

/// Copies a run of elements from a place on, so far apart.
fn copy(words: &[u32], place: isize, stride: isize, run: &mut [u32]) {
    match stride {
        0 => run.fill(words[place as usize]),
        1 => run.copy_from_slice(&words[place as usize..][..run.len()]),
        _ => {
            for (step, word) in run.iter_mut().enumerate() {
                *word = words[(place + step as isize * stride) as usize];
            }
        }
    }
}

/// Calls `run` for every run of the last axis from a row-major index on, with the coordinates of its first element.
fn runs(shape: &[usize], first: usize, out: &mut [u32], mut run: impl FnMut(&[usize], &mut [u32])) {
    let mut at = vec![0; shape.len()];
    let mut rest = first;
    for (coordinate, &extent) in at.iter_mut().zip(shape).rev() {
        *coordinate = rest % extent;
        rest /= extent;
    }
    let Some(last) = shape.len().checked_sub(1) else {
        run(&[], out);
        return;
    };
    let mut rest = out;
    while !rest.is_empty() {
        let length = (shape[last] - at[last]).min(rest.len());
        let (own, after) = rest.split_at_mut(length);
        run(&at, own);
        rest = after;
        at[last] = 0;
        for axis in (0..last).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

/// The elements of a layout from an index on.
pub fn collect((words, layout): &Source<'_>, first: usize, out: &mut [u32]) {
    let stride = layout.strides.last().copied().unwrap_or(0);
    runs(&layout.shape, first, out, |at, run| {
        let steps = at.iter().zip(&layout.strides).map(|(&at, &stride)| at as isize * stride);
        copy(words, layout.offset as isize + steps.sum::<isize>(), stride, run);
    });
}

/// The elements of tensors laid end to end along an axis.
pub fn joined(parts: &[Source<'_>], shape: &Shape, axis: usize, first: usize, out: &mut [u32]) {
    let last = shape.rank() - 1;
    runs(shape, first, out, |at, run| {
        let (mut skipped, mut done) = (at[axis], 0);
        for (words, layout) in parts {
            let extent = layout.shape[axis];
            if skipped >= extent {
                skipped -= extent;
                continue;
            }
            let steps = at.iter().zip(&layout.strides).enumerate();
            let steps = steps.map(|(of, (&at, &stride))| if of == axis { skipped } else { at } as isize * stride);
            let place = layout.offset as isize + steps.sum::<isize>();
            let length = if axis == last { (extent - skipped).min(run.len() - done) } else { run.len() };
            copy(words, place, layout.strides[last], &mut run[done..done + length]);
            (skipped, done) = (0, done + length);
            if done == run.len() {
                return;
            }
        }
    });
}

/// A tensor among zeros.
#[derive(Debug)]
pub struct Padding {
    shape: Vec<usize>,
    layout: Layout,
    before: Vec<usize>,
    steps: Vec<usize>,
}

impl Padding {
    /// Of a tensor with this layout in a whole of this shape. Axes that neither zeros nor gaps part become one: runs are
    /// longer then.
    pub fn new(shape: &Shape, layout: &Layout, before: &[usize], steps: &[usize]) -> Self {
        let mut all =
            Self { shape: shape.to_vec(), layout: layout.clone(), before: before.to_vec(), steps: steps.to_vec() };
        let (mut extents, mut strides) = (layout.shape.to_vec(), layout.strides.clone());
        for axis in (1..shape.rank()).rev() {
            let (inner, outer) = (axis, axis - 1);
            let whole = all.before[inner] == 0 && all.steps[inner] == 1 && all.shape[inner] == extents[inner];
            if whole && all.steps[outer] == 1 && strides[outer] == strides[inner] * extents[inner] as isize {
                all.before[outer] *= extents[inner];
                all.shape[outer] *= extents[inner];
                strides[outer] = strides[inner];
                extents[outer] *= extents[inner];
                for list in [&mut all.before, &mut all.shape, &mut all.steps, &mut extents] {
                    list.remove(inner);
                }
                strides.remove(inner);
            }
        }
        all.layout = Layout { shape: extents.into(), strides, offset: layout.offset };
        all
    }

    /// Its elements from an index on.
    pub fn fill(&self, words: &[u32], first: usize, out: &mut [u32]) {
        let Self { shape, layout, before, steps } = self;
        let Some(last) = shape.len().checked_sub(1) else {
            out.fill(words[layout.offset]);
            return;
        };
        runs(shape, first, out, |at, run| {
            let mut place = layout.offset as isize;
            for axis in 0..last {
                let inside = at[axis].checked_sub(before[axis]);
                let element = inside.filter(|inside| steps[axis] == 1 || inside % steps[axis] == 0);
                let element = element.map(|inside| if steps[axis] == 1 { inside } else { inside / steps[axis] });
                let Some(element) = element.filter(|&element| element < layout.shape[axis]) else {
                    run.fill(0);
                    return;
                };
                place += element as isize * layout.strides[axis];
            }
            let (before, step, stride) = (before[last], steps[last], layout.strides[last]);
            // The elements that stand in this run.
            let reached = |coordinate: usize| coordinate.saturating_sub(before).div_ceil(step).min(layout.shape[last]);
            let (from, to) = (reached(at[last]), reached(at[last] + run.len()));
            place += from as isize * stride;
            if from == to {
                run.fill(0);
            } else if step == 1 {
                let start = before + from - at[last];
                run[..start].fill(0);
                copy(words, place, stride, &mut run[start..start + to - from]);
                run[start + to - from..].fill(0);
            } else {
                run.fill(0);
                for element in from..to {
                    run[before + element * step - at[last]] = words[place as usize];
                    place += stride;
                }
            }
        });
    }
}

/// Coordinates along an axis: index / stride % extent.
pub fn coordinates(first: usize, stride: usize, extent: usize, out: &mut [u32]) {
    let (mut value, mut left) = (first / stride % extent, stride - first % stride);
    let mut rest = out;
    while !rest.is_empty() {
        let length = if stride == 1 { extent - value } else { left }.min(rest.len());
        let (own, after) = rest.split_at_mut(length);
        rest = after;
        if stride == 1 {
            own.iter_mut().zip(value as u32..).for_each(|(word, value)| *word = value);
            value = 0;
        } else {
            own.fill(value as u32);
            value = (value + 1) % extent;
            left = stride;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_those_of_the_definition() {
        for (stride, extent) in [(1, 7), (3, 5), (10, 1), (1, 1), (4, 2)] {
            for first in [0, 1, 5, 33] {
                let mut out = [0; 50];
                coordinates(first, stride, extent, &mut out);
                for (place, &value) in out.iter().enumerate() {
                    assert_eq!(value as usize, (first + place) / stride % extent, "{stride} {extent} {first} {place}");
                }
            }
        }
    }

    /// Element by element, from the definition.
    fn element(at: &[usize], words: &[u32], layout: &Layout, before: &[usize], steps: &[usize]) -> u32 {
        let mut place = layout.offset as isize;
        for axis in 0..at.len() {
            let Some(inside) = at[axis].checked_sub(before[axis]) else { return 0 };
            if inside % steps[axis] != 0 || inside / steps[axis] >= layout.shape[axis] {
                return 0;
            }
            place += (inside / steps[axis]) as isize * layout.strides[axis];
        }
        words[place as usize]
    }

    #[test]
    fn padding_is_that_of_the_definition() {
        let words: Vec<u32> = (1..=120).collect();
        let dense = |shape: &[usize]| Layout::dense(&shape.into());
        let swapped = Layout { shape: [3, 2, 4].into(), strides: vec![4, 12, 1], offset: 7 };
        let backward = Layout { shape: [2, 5].into(), strides: vec![5, -1], offset: 4 };
        let whole = [
            (vec![4, 6, 9], dense(&[2, 3, 4]), vec![1, 2, 0], vec![2, 1, 2]),
            (vec![3, 3, 5, 2], dense(&[2, 3, 5, 2]), vec![1, 0, 0, 0], vec![1; 4]),
            (vec![3, 2, 8], swapped, vec![0, 0, 3], vec![1; 3]),
            (vec![5, 9], backward, vec![2, 1], vec![1, 1]),
            (vec![11], dense(&[4]), vec![1], vec![3]),
        ];
        for (shape, layout, before, steps) in whole {
            let padding = Padding::new(&shape.clone().into(), &layout, &before, &steps);
            let elements: usize = shape.iter().product();
            for first in [0, 1, elements / 2] {
                let mut out = vec![9; elements - first];
                padding.fill(&words, first, &mut out);
                for (place, &value) in out.iter().enumerate() {
                    let mut rest = first + place;
                    let mut at = vec![0; shape.len()];
                    for axis in (0..shape.len()).rev() {
                        at[axis] = rest % shape[axis];
                        rest /= shape[axis];
                    }
                    assert_eq!(value, element(&at, &words, &layout, &before, &steps), "{shape:?} {at:?}");
                }
            }
        }
    }
}
