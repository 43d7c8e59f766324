//! Comparison of what a dispatch has written with what it should have.

use crate::base::DType;
use std::ops::Range;

/// What is written to memory before a dispatch runs that shall overwrite all of it: a quiet NaN that nothing computes.
pub(super) const POISON: u32 = 0x7fe1_dead;
/// What stands behind the memory that a dispatch may write.
pub(super) const SENTINEL: u32 = 0x7fd5_afe5;
/// How many of those words.
pub(super) const SENTINELS: usize = 64;

/// How words are read as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Every word is an element.
    Elements(DType),
    /// Floats whose sum counts.
    Total,
    /// Rows of (a, s, b, t), which stand for a s^2 and b t^2.
    Scaled,
    /// Floats of which only the direction counts.
    Direction,
    /// Floats of which only the sign counts.
    Sign,
    /// Nothing counts: it fills up.
    Padding,
}

/// A part of a binding, and what it should hold.
#[derive(Clone, Debug)]
pub(super) struct Want {
    /// The number of the binding.
    pub binding: usize,
    /// The words.
    pub words: Range<usize>,
    /// What they are called in a report.
    pub what: String,
    /// The extents of what they are, for naming an element.
    pub shape: Vec<usize>,
    pub reading: Reading,
    pub values: Vec<f64>,
    /// For every value, by how much it may differ.
    pub allowed: Vec<f64>,
}

impl Reading {
    /// The numbers that words stand for.
    pub fn read(self, words: &[u32]) -> Vec<f64> {
        let floats = || words.iter().map(|&word| f64::from(f32::from_bits(word)));
        match self {
            Self::Elements(DType::F32) => floats().collect(),
            Self::Elements(DType::I32) => words.iter().map(|&word| f64::from(word as i32)).collect(),
            Self::Elements(DType::U32) => words.iter().copied().map(f64::from).collect(),
            Self::Total => vec![in_single(floats().sum())],
            Self::Scaled => {
                let all: Vec<f64> = floats().collect();
                all.chunks(2).map(|pair| pair[0] * pair[1] * pair[1]).collect()
            }
            Self::Direction => direction(floats().collect()),
            Self::Sign => floats().map(f64::signum).collect(),
            Self::Padding => Vec::new(),
        }
    }

    /// The words for numbers, where they can be told.
    pub fn write(self, values: &[f64]) -> Option<Vec<u32>> {
        let word = |&value: &f64| match self {
            Self::Elements(DType::F32) => Some((value as f32).to_bits()),
            Self::Elements(DType::I32) => Some(value as i32 as u32),
            Self::Elements(DType::U32) => Some(value as u32),
            Self::Total | Self::Scaled | Self::Direction | Self::Sign | Self::Padding => None,
        };
        if self == Self::Padding { None } else { values.iter().map(word).collect() }
    }
}

/// What single precision makes of a sum: infinity where it is beyond.
pub(super) fn in_single(sum: f64) -> f64 {
    if sum.abs() > f64::from(f32::MAX) { f64::INFINITY.copysign(sum) } else { sum }
}

/// A vector over its length.
pub(super) fn direction(vector: Vec<f64>) -> Vec<f64> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 { vector.iter().map(|x| x / length).collect() } else { vector }
}

/// How far results lie from the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// Elements that were compared.
    pub elements: usize,
    /// Those among them that should be NaN or infinite.
    #[serde(default)]
    pub not_finite: usize,
    /// The greatest |got - want|.
    pub absolute: f64,
    /// The greatest |got - want| / |want|, where |want| is at least a thousandth of the greatest.
    pub relative: f64,
    /// The greatest distance of the same elements in units in the last place: how many single-precision numbers lie between.
    pub ulps: u64,
    /// The greatest |got - want| as a share of what is allowed; above 1 is wrong.
    pub share: f64,
}

impl Figures {
    /// The worse of both in every respect.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let worse = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        Self {
            elements: self.elements + other.elements,
            not_finite: self.not_finite + other.not_finite,
            absolute: worse(self.absolute, other.absolute),
            relative: worse(self.relative, other.relative),
            ulps: self.ulps.max(other.ulps),
            share: worse(self.share, other.share),
        }
    }
}

/// How many single-precision numbers lie between two.
#[must_use]
pub fn ulps(a: f32, b: f32) -> u64 {
    // Floats in order of their bits: negative ones backwards.
    let place = |x: f32| {
        let bits = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() && b.is_nan() { 0 } else { u64::MAX };
    }
    place(a).abs_diff(place(b))
}

/// The error of an element: zero where both are the same, NaN and infinities included.
pub(super) fn error(got: f64, want: f64) -> f64 {
    let rounded = f64::from(want as f32);
    if got == want || got == rounded || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let difference = (got - want).abs();
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// The figures of a part, and the numbers of the elements that differ by more than is allowed.
pub(super) fn compare(got: &[f64], want: &Want) -> (Figures, Vec<usize>) {
    let greatest = want.values.iter().filter(|want| want.is_finite()).fold(0.0f64, |most, want| most.max(want.abs()));
    let not_finite = want.values.iter().filter(|value| !value.is_finite()).count();
    let mut figures = Figures { elements: want.values.len(), not_finite, ..Figures::default() };
    let mut wrong = Vec::new();
    for (place, ((&g, &w), &allowed)) in got.iter().zip(&want.values).zip(&want.allowed).enumerate() {
        let absolute = error(g, w);
        if absolute == 0.0 {
            continue;
        }
        let counts = w.abs() > 1e-3 * greatest || !w.is_finite();
        // Nothing but the same is close to infinity, whatever a share of it would allow.
        let share = if allowed > 0.0 && absolute.is_finite() { absolute / allowed } else { f64::INFINITY };
        let one = Figures {
            elements: 0,
            not_finite: 0,
            absolute,
            relative: if counts { absolute / w.abs() } else { 0.0 },
            ulps: if counts { ulps(g as f32, w as f32) } else { 0 },
            share,
        };
        figures = figures.join(one);
        if share.is_nan() || share > 1.0 {
            wrong.push(place);
        }
    }
    if got.len() != want.values.len() {
        figures.share = f64::INFINITY;
        wrong.push(got.len().min(want.values.len()));
    }
    (figures, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_ulp_apart() {
        assert_eq!(ulps(1.0, 1.0 + f32::EPSILON), 1);
        assert_eq!(ulps(-0.0, 0.0), 0);
        assert_eq!(ulps(-f32::from_bits(1), f32::from_bits(1)), 2);
        assert_eq!(ulps(f32::MAX, f32::INFINITY), 1);
        assert_eq!(ulps(f32::NAN, 1.0), u64::MAX);
    }

    #[test]
    fn what_is_no_number_where_a_number_is_wanted_is_wrong() {
        let want = |values: &[f64]| Want {
            binding: 0,
            words: 0..values.len(),
            what: String::new(),
            shape: vec![values.len()],
            reading: Reading::Elements(DType::F32),
            values: values.to_vec(),
            allowed: vec![1e-3; values.len()],
        };
        let nan = f64::NAN;
        assert_eq!(compare(&[1.0, nan, 3.0], &want(&[1.0, 2.0, 3.0])).1, [1]);
        assert_eq!(compare(&[1.0, 2.0], &want(&[nan, 2.0])).1, [0]);
        assert_eq!(compare(&[nan, f64::INFINITY], &want(&[nan, 1e39])).1, [0usize; 0]);
        assert_eq!(compare(&[f64::NEG_INFINITY], &want(&[1e39])).1, [0]);
        assert_eq!(compare(&[1.0], &want(&[1.0, 2.0])).1, [1]);
        let all = |values: &[f64]| Want { allowed: vec![f64::INFINITY; values.len()], ..want(values) };
        let infinite = f64::INFINITY;
        assert_eq!(compare(&[5.0, nan, -infinite], &all(&[-infinite, infinite, infinite])).1, [0, 1, 2]);
    }
}
