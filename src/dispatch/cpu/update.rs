//! What the host does to the state: it adds up gradients, measures them, and changes parameters.

use crate::plan::{StepScalars, Update, Updates};
use rayon::prelude::*;

/// Fewer elements than this are not worth a thread.
const PART: usize = 1 << 15;

/// The Euclidean norm of everything, added up in parts of fixed length: threads do not change the result.
fn norm(arrays: &[&[u32]]) -> f32 {
    const SUMMED: usize = 1 << 14;
    let part = |words: &[u32]| -> f64 { words.iter().map(|&word| f64::from(f32::from_bits(word)).powi(2)).sum() };
    let sums: Vec<f64> =
        arrays.iter().flat_map(|words| words.par_chunks(SUMMED).map(part).collect::<Vec<_>>()).collect();
    sums.iter().sum::<f64>().sqrt() as f32
}

/// Writes a cell. What is read is its new value, and what follows from the norm of gradients where cells stay as they are
/// without one.
pub fn assign(reads: &[&[u32]], cell: &mut [u32]) {
    if reads.get(1).is_none_or(|clip| f32::from_bits(clip[3]) >= 0.0) {
        cell.copy_from_slice(reads[0]);
    }
}

/// Writes the norm of all gradients, and with a limit what follows from it: the factor for gradients, how many updates
/// were left out so far, and the sign of whether the norm is a number, which is all of it where gradients are only added up.
pub fn gradient_norm(gradients: &[&[u32]], limit: Option<f64>, gathers_only: bool, clip: &mut [u32]) {
    let norm = norm(gradients);
    if limit.is_some() {
        clip[3] = if norm.is_finite() { 1.0f32 } else { -1.0 }.to_bits();
    }
    if gathers_only {
        return;
    }
    clip[0] = norm.to_bits();
    if let Some(limit) = limit {
        let factor = Updates::clip_factor(norm, limit);
        clip[1] = factor.to_bits();
        clip[2] = (f32::from_bits(clip[2]) + if factor < 0.0 { 1.0 } else { 0.0 }).to_bits();
    }
}

/// Writes the norms of gradients and parameters, which come in turn.
pub fn parameter_norms(arrays: &[&[u32]], norms: &mut [u32]) {
    for (array, to) in arrays.iter().zip(norms) {
        *to = norm(&[array]).to_bits();
    }
}

/// The mean of gradients and those of so many runs before.
pub fn accumulate(before: u32, gradient: &[u32], accumulated: &mut [u32]) {
    let runs = before as f32 + 1.0;
    let (kept, share) = (before as f32 / runs, 1.0 / runs);
    let accumulated: &mut [f32] = bytemuck::cast_slice_mut(accumulated);
    let gradient: &[f32] = bytemuck::cast_slice(gradient);
    accumulated.par_chunks_mut(PART).zip(gradient.par_chunks(PART)).for_each(|(sums, gradient)| {
        for (sum, &g) in sums.iter_mut().zip(gradient) {
            *sum = if before == 0 { 0.0 } else { kept * *sum } + share * g;
        }
    });
}

/// Changes the parameters of a run by their gradients. `reads` are the gradient, and what follows from its norm; `writes`
/// the weight, the states, and the running average of the weight.
pub fn change(
    updates: &Updates,
    update: &Update,
    scalars: &StepScalars,
    reads: &[&[u32]],
    mut writes: Vec<&mut [u32]>,
) {
    let factor = updates.clip_norm.map_or(1.0, |_| f32::from_bits(reads[1][1]));
    if factor < 0.0 {
        return;
    }
    let gradient: &[f32] = bytemuck::cast_slice(reads[0]);
    let threads = if update.trust_ratio { 1 } else { rayon::current_num_threads() };
    let parts = gradient.len().div_ceil(PART).min(threads).max(1);
    let length = gradient.len().div_ceil(parts).max(1);
    let mut arrays: Vec<_> =
        writes.iter_mut().map(|words| bytemuck::cast_slice_mut::<u32, f32>(words).chunks_mut(length)).collect();
    let mut jobs = Vec::new();
    for gradient in gradient.chunks(length) {
        let slices: Vec<&mut [f32]> = arrays.iter_mut().filter_map(Iterator::next).collect();
        jobs.push((gradient, slices));
    }
    let clips = updates.clip_norm.is_some() || updates.clip_value.is_some();
    let work = |(gradient, mut slices): (&[f32], Vec<&mut [f32]>)| {
        let clipped: Vec<f32>;
        let gradient = if clips {
            clipped = gradient.iter().map(|&g| limited(g * factor, updates.clip_value)).collect();
            &clipped
        } else {
            gradient
        };
        let average = if updates.averages { slices.pop() } else { None };
        let (weight, states) = slices.split_at_mut(1);
        update.host.apply_f32(scalars, gradient, weight[0], states);
        if let Some(average) = average {
            let share = scalars.averaging as f32;
            for (average, &weight) in average.iter_mut().zip(weight[0].iter()) {
                *average += share * (weight - *average);
            }
        }
    };
    if jobs.len() == 1 {
        jobs.into_iter().for_each(work);
    } else {
        jobs.into_par_iter().for_each(work);
    }
}

/// A value between the limits; NaN stays NaN.
fn limited(value: f32, limit: Option<f64>) -> f32 {
    limit.map_or(value, |limit| value.clamp(-limit as f32, limit as f32))
}
