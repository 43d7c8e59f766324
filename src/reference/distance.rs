//! How far a result lies from what it should be.

/// How far results lie from what they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// The greatest |got - want|, as a multiple of what is allowed: at most 1 passes.
    pub excess: f64,
    /// The greatest |got - want| / |want|, where |want| is at least a thousandth of the greatest.
    pub relative: f64,
}

impl Distance {
    /// The greater of both in each respect; NaN is greater than all.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let worse = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        Self { excess: worse(self.excess, other.excess), relative: worse(self.relative, other.relative) }
    }
}

/// Compares element by element; `relative` |want| + `share` max|want| is allowed.
#[must_use]
pub fn distance(got: &[f64], want: &[f64], relative: f64, share: f64) -> Distance {
    within(got, want, |want, greatest| relative * want + share * greatest)
}

/// Compares element by element; what is allowed is said for |want| and max|want|. NaN is as it should be where NaN is
/// wanted. Where there are more or fewer elements than wanted, both figures are infinite.
#[must_use]
pub fn within(got: &[f64], want: &[f64], allowed: impl Fn(f64, f64) -> f64) -> Distance {
    if got.len() != want.len() {
        return Distance { excess: f64::INFINITY, relative: f64::INFINITY };
    }
    let greatest = want.iter().fold(0.0f64, |greatest, w| greatest.max(w.abs()));
    let mut worst = Distance::default();
    for (&g, &w) in got.iter().zip(want) {
        let error = if g == w || (g.is_nan() && w.is_nan()) { 0.0 } else { (g - w).abs() };
        let excess = if error == 0.0 { 0.0 } else { error / allowed(w.abs(), greatest) };
        let ratio = if w.abs() > 1e-3 * greatest { error / w.abs() } else { 0.0 };
        worst = worst.join(Distance { excess, relative: ratio });
    }
    worst
}
