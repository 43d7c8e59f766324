//! Where tensors are cut.

use crate::base::{DType, Shape};
use crate::record::{Domain, Follows, Node, Parts, TensorId};
use std::collections::BTreeMap;
use std::ops::Range;

/// Rows of a part are a multiple of this wherever there are as many, so that every part begins where a binding may:
/// at a multiple of 256 bytes.
const ALIGNED: usize = 64;

/// A tensor in parts: the axis, and where along it each part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub axis: usize,
    pub ranges: Vec<Range<usize>>,
}

/// Ranges of at most `most` of `extent`, of nearly the same length, which begin at multiples of `aligned` where they can.
fn ranges(extent: usize, most: usize, aligned: usize) -> Vec<Range<usize>> {
    let even = extent.div_ceil(extent.div_ceil(most));
    let length = match even.next_multiple_of(aligned) {
        length if length <= most => length,
        _ if most >= aligned => most / aligned * aligned,
        _ => even,
    };
    (0..extent).step_by(length).map(|start| start..(start + length).min(extent)).collect()
}

/// Where a tensor that lies in memory already is cut, if it can be: every part lies in one piece, and begins where a binding
/// may. `limit` is in elements.
pub(super) fn of_memory(shape: &Shape, limit: usize) -> Option<Cut> {
    let axis = (0..shape.rank()).find(|&axis| shape[axis] > 1)?;
    let row: usize = shape[axis + 1..].iter().product();
    let aligned = ALIGNED / greatest_common_divisor(ALIGNED, row);
    let ranges = ranges(shape[axis], (limit / row).max(1), aligned);
    let begins = |range: &Range<usize>| (range.start * row * DType::BYTES).is_multiple_of(256);
    (row <= limit && ranges.iter().all(begins)).then_some(Cut { axis, ranges })
}

/// Where the results of an op are cut, if they can be, along an axis of its domain: where an input is cut, else along the
/// first axis. `prefers_first` wants the first axis whatever the inputs.
pub(super) fn of_domain(
    domain: &Domain,
    node: &Node,
    cuts: &BTreeMap<TensorId, Cut>,
    sizes: &[(usize, Vec<usize>)],
    limit: usize,
    prefers_first: bool,
) -> Option<Cut> {
    let mut found: Vec<(bool, Cut)> = Vec::new();
    for axis in (0..domain.axes.len()).filter(|&axis| domain.axes[axis].parts == Parts::Join) {
        let Some(most) = most(domain, axis, sizes, limit) else { continue };
        let extent = domain.axes[axis].extent;
        let along = |(&input, follows): (&TensorId, &Vec<Option<Follows>>)| {
            let cut = cuts.get(&input)?;
            let follows = follows[cut.axis].filter(|follows| follows.axis == axis)?;
            let back = |range: &Range<usize>| {
                let range = follows.back(range.start.max(follows.start))?..follows.back(range.end)?.min(extent);
                (range.len() <= most).then_some(range)
            };
            // Of a slice, some parts of its input lie outside.
            let inside = cut.ranges.iter().filter(|range| range.end > follows.start);
            let ranges: Vec<_> = inside.map(back).collect::<Option<_>>()?;
            let ranges: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
            (ranges.last()?.end == extent).then_some(ranges)
        };
        let follows = node.inputs.iter().zip(&domain.inputs).find_map(along);
        let aligned = follows.is_some();
        let ranges = follows.unwrap_or_else(|| even(domain, axis, most));
        found.push((aligned, Cut { axis, ranges }));
    }
    let aligned = found.iter().position(|(aligned, _)| *aligned && !prefers_first);
    (!found.is_empty()).then(|| found.swap_remove(aligned.unwrap_or(0)).1)
}

/// Where a domain is cut along an axis, if that can be and helps.
pub(super) fn along(domain: &Domain, axis: usize, sizes: &[(usize, Vec<usize>)], limit: usize) -> Option<Cut> {
    let parts = domain.axes[axis].parts;
    let most = (parts != Parts::None).then(|| most(domain, axis, sizes, limit))??;
    Some(Cut { axis, ranges: even(domain, axis, most) })
}

fn even(domain: &Domain, axis: usize, most: usize) -> Vec<Range<usize>> {
    let granule = granule(domain, axis);
    let ranges = ranges(domain.axes[axis].extent / granule, most / granule, ALIGNED);
    ranges.into_iter().map(|range| range.start * granule..range.end * granule).collect()
}

/// A range of an axis in ranges of at most `most`, if there are several.
pub(super) fn within(domain: &Domain, axis: usize, range: &Range<usize>, most: usize) -> Option<Vec<Range<usize>>> {
    let granule = granule(domain, axis);
    let most = most / granule;
    if most == 0 || most * granule >= range.len() {
        return None;
    }
    let ranges = ranges(range.len() / granule, most, ALIGNED);
    Some(ranges.into_iter().map(|of| range.start + of.start * granule..range.start + of.end * granule).collect())
}

/// Parts of an axis begin and end at multiples of this.
pub(super) fn granule(domain: &Domain, axis: usize) -> usize {
    let all = domain.inputs.iter().chain(&domain.outputs).flatten().flatten();
    all.filter(|follows| follows.axis == axis).map(|follows| follows.per).fold(1, least_common_multiple)
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    a / greatest_common_divisor(a, b) * b
}

fn greatest_common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// How much of an axis a part may have, if cutting it helps: everything that is too large has the axis.
fn most(domain: &Domain, axis: usize, sizes: &[(usize, Vec<usize>)], limit: usize) -> Option<usize> {
    let extent = domain.axes[axis].extent;
    let granule = granule(domain, axis);
    let mut most = extent;
    for (elements, _) in sizes.iter().filter(|(elements, _)| *elements > limit) {
        most = most.min((limit as u128 * extent as u128 / *elements as u128) as usize);
    }
    if sizes.iter().any(|(elements, axes)| *elements > limit && !axes.contains(&axis)) {
        return None;
    }
    let most = most / granule * granule;
    (most > 0 && extent.is_multiple_of(granule)).then_some(most)
}
