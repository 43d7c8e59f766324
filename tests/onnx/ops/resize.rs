//! Images at another size: in the crate's own ways where they say exactly what is asked for, and else by selecting elements,
//! or by products with matrices of how much every element counts.

use super::Record;
use super::movement::selected;
use crate::call::{Call, one};
use crate::data::{Data, Kind, Stop, lacks};
use crate::recorder::Outcome;
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[("AffineGrid", affine_grid), ("Resize", resize), ("Upsample", resize)];

fn resize<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let x = cx.float(0)?;
    let shape = x.shape();
    let (scales, sizes) = if cx.node.op == "Upsample" { (1, usize::MAX) } else { (2, 3) };
    let rank = shape.rank();
    let axes: Vec<usize> = cx.ints("axes").map_or_else(
        || (0..rank).collect(),
        |axes| axes.iter().map(|&axis| (axis + rank as i64) as usize % rank).collect(),
    );
    let mut output = shape.to_vec();
    // What is asked for along every axis: a factor, or an extent.
    let mut factors = vec![1.0; rank];
    let policy = cx.text("keep_aspect_ratio_policy", "stretch");
    if cx.optional(scales).is_some_and(|value| !value.shape().contains(&0)) {
        for (&axis, &scale) in axes.iter().zip(&cx.known(scales)?.values) {
            factors[axis] = scale;
            output[axis] = (shape[axis] as f64 * scale).floor() as usize;
        }
    } else {
        let wanted = cx.known(sizes)?.to_ints();
        let ratios = axes.iter().zip(&wanted).map(|(&axis, &size)| size as f64 / shape[axis] as f64);
        let common = match policy.as_str() {
            "not_larger" => Some(ratios.fold(f64::INFINITY, f64::min)),
            "not_smaller" => Some(ratios.fold(0.0, f64::max)),
            _ => None,
        };
        for (&axis, &size) in axes.iter().zip(&wanted) {
            output[axis] = common.map_or(size as usize, |ratio| (ratio * shape[axis] as f64).round() as usize);
            factors[axis] = common.unwrap_or(size as f64 / shape[axis] as f64);
        }
    }
    let plane = rank.saturating_sub(2);
    if rank < 2 || output[..plane] != shape[..plane] {
        return lacks("resizing along other axes than the last two");
    }
    let coordinates = cx.text("coordinate_transformation_mode", "half_pixel");
    let exact = (plane..rank).all(|axis| output[axis] as f64 == factors[axis] * shape[axis] as f64);
    let [height, width] = [output[plane], output[plane + 1]];
    let smooths = cx.int("antialias", 0) != 0;
    match cx.text("mode", "nearest").as_str() {
        "nearest" => {
            // By whole factors these two rules are the crate's; by others elements are selected.
            let whole = exact && (plane..rank).all(|axis| output[axis] % shape[axis] == 0);
            let rule = (cx.text("nearest_mode", "round_prefer_floor"), coordinates.as_str());
            let centred = rule.0.starts_with("round") && rule.1 == "half_pixel";
            if whole && (centred || (rule.0 == "floor" && rule.1 == "asymmetric") || cx.node.op == "Upsample") {
                return cx.same(x.upsample_nearest2d([height / shape[plane], width / shape[plane + 1]]));
            }
            let places = |axis: usize| nearest(&rule.0, rule.1, shape[axis], output[axis], factors[axis]);
            cx.same((plane..rank).fold(x, |x, axis| selected(x, axis, places(axis))))
        }
        "linear" if coordinates == "align_corners" && exact && !smooths => {
            cx.same(x.upsample_bilinear2d([height, width], true))
        }
        "linear" if coordinates == "half_pixel" && exact && !smooths => {
            cx.same(x.upsample_bilinear2d([height, width], false))
        }
        _ if coordinates == "tf_crop_and_resize" => lacks("cutting out while resizing"),
        mode @ ("linear" | "cubic") => {
            let rows = |axis: usize| interpolation(cx, mode, &coordinates, shape[axis], output[axis], factors[axis]);
            cx.same(rows(plane).matmul(x).matmul(rows(plane + 1).transpose()))
        }
        mode => Err(Stop::Fails(format!("a mode {mode}"))),
    }
}

/// Where an element of the result lies between those along an axis.
fn position(coordinates: &str, number: usize, extent: usize, output: usize, factor: f64) -> f64 {
    let (at, extent) = (number as f64, extent as f64);
    match coordinates {
        "asymmetric" => at / factor,
        "align_corners" => at * (extent - 1.0) / (factor * extent - 1.0).max(1.0),
        "pytorch_half_pixel" if output == 1 => 0.0,
        // What a whole number of elements leaves over of the factor is shared by both ends.
        "half_pixel_symmetric" => {
            let share = output as f64 / (factor * extent);
            extent / 2.0 * (1.0 - share) + (at + 0.5) / factor - 0.5
        }
        _ => (at + 0.5) / factor - 0.5,
    }
}

/// Along an axis how much every element counts for those of the result: a matrix of `[output, extent]`. Beyond the ends
/// stands the element at the end, or with `exclude_outside` nothing.
fn interpolation<'g>(
    cx: &Call<'_, 'g>,
    mode: &str,
    coordinates: &str,
    extent: usize,
    output: usize,
    factor: f64,
) -> Tensor<'g> {
    let a = cx.number("cubic_coeff_a", -0.75);
    let excludes = cx.int("exclude_outside", 0) != 0;
    // Against aliases the kernel is as wide as what an element of the result stands for.
    let narrow = if cx.int("antialias", 0) == 0 { 1.0 } else { factor.min(1.0) };
    let reach = (2.0 / narrow).ceil() as i32;
    // By distance: a hat, or Keys' kernel.
    let weight = |distance: f64| match (mode, distance.abs()) {
        ("linear", d) => (1.0 - d).max(0.0),
        (_, d) if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        (_, d) if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
        _ => 0.0,
    };
    let mut matrix = vec![0.0f64; output * extent];
    for (number, row) in matrix.chunks_exact_mut(extent).enumerate() {
        let position = position(coordinates, number, extent, output, factor);
        for neighbour in 1 - reach..=reach {
            let place = position.floor() + f64::from(neighbour);
            let within = place.clamp(0.0, extent as f64 - 1.0);
            if !excludes || within == place {
                row[within as usize] += weight((position - place) * narrow);
            }
        }
        let sum: f64 = row.iter().sum();
        for share in row {
            *share /= sum;
        }
    }
    cx.g.constant(Data::new(Kind::Float, vec![output, extent], matrix).to_host())
}

/// Which element along an axis is the nearest to each of the result's, by how positions are scaled and rounded.
fn nearest(rounding: &str, coordinates: &str, extent: usize, output: usize, factor: f64) -> Vec<usize> {
    let place = |number: usize| {
        let position = position(coordinates, number, extent, output, factor);
        let rounded = match rounding {
            "floor" => position.floor(),
            "ceil" => position.ceil(),
            "round_prefer_ceil" => (position + 0.5).floor(),
            _ => (position - 0.5).ceil(),
        };
        rounded.clamp(0.0, extent as f64 - 1.0) as usize
    };
    (0..output).map(place).collect()
}

/// The positions, -1 to 1 along every axis, that an affine map sends those of an image or volume to. Corners are elements, or
/// the edges of elements.
fn affine_grid<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (theta, size) = (cx.float(0)?, super::shape::extents(cx, 1)?);
    let corners = cx.int("align_corners", 0) != 0;
    let spatial = &size[2..];
    let along = |axis: usize| {
        let extent = spatial[axis] as f64;
        let (first, step) =
            if corners { (-1.0, 2.0 / (extent - 1.0).max(1.0)) } else { (1.0 / extent - 1.0, 2.0 / extent) };
        let mut extents = vec![1; spatial.len()];
        extents[axis] = spatial[axis];
        let line = (cx.g.full([spatial[axis]], 1.0).cumsum(0) - 1.0).affine(step, first);
        line.reshape(extents).broadcast_to(spatial)
    };
    // The last axis comes first in a position, and a one last, which the shift is multiplied by.
    let mut parts: Vec<Tensor<'g>> = (0..spatial.len()).rev().map(along).collect();
    parts.push(cx.g.full(spatial, 1.0));
    let positions = cx.g.stack(&parts, -1).reshape([spatial.iter().product(), spatial.len() + 1]);
    let mut extents = vec![size[0]];
    extents.extend(spatial);
    extents.push(spatial.len());
    one(positions.matmul(theta.transpose()).reshape(extents))
}
