//! How far a result lies from what it should be.

use serde::Serialize;

/// How far results lie from what they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distance {
    /// The greatest |got - want|, as a multiple of what is allowed: at most 1 passes.
    pub excess: f64,
    /// The greatest |got - want| / |want|, where |want| is at least a thousandth of the greatest.
    pub relative: f64,
    /// The greatest |got - want| in units in the last place that |want| has in single precision, for the same elements.
    pub ulps: f64,
}

impl Distance {
    /// What is farther than everything.
    const INFINITE: Self = Self { excess: f64::INFINITY, relative: f64::INFINITY, ulps: f64::INFINITY };

    /// The greater of both in each respect; NaN is greater than all.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let worse = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
        Self {
            excess: worse(self.excess, other.excess),
            relative: worse(self.relative, other.relative),
            ulps: worse(self.ulps, other.ulps),
        }
    }

    /// Whether it is within what is allowed; NaN is not.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.excess <= 1.0
    }
}

/// An element of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Element {
    /// Its place in the tensor, flat.
    pub index: usize,
    /// What it is.
    pub got: f64,
    /// What it should be.
    pub want: f64,
}

/// Compares element by element; `relative` |want| + `share` max|want| is allowed.
#[must_use]
pub fn distance(got: &[f64], want: &[f64], relative: f64, share: f64) -> Distance {
    within(got, want, |want, greatest| relative * want + share * greatest)
}

/// Compares element by element; what is allowed is said for |want| and max|want|, the greatest that is finite. Where NaN or
/// an infinity is wanted, nothing else is as it should be, and the other elements are held to what they are held to
/// otherwise. Where there are more or fewer elements than wanted, all figures are infinite.
#[must_use]
pub fn within(got: &[f64], want: &[f64], allowed: impl Fn(f64, f64) -> f64) -> Distance {
    worst(got, want, allowed).0
}

/// As [`within`], with the element that exceeds most what is allowed, if any differs at all.
#[must_use]
pub fn worst(got: &[f64], want: &[f64], allowed: impl Fn(f64, f64) -> f64) -> (Distance, Option<Element>) {
    if got.len() != want.len() {
        return (Distance::INFINITE, None);
    }
    // An infinity among them would allow every other element everything.
    let greatest = want.iter().filter(|w| w.is_finite()).fold(0.0f64, |greatest, w| greatest.max(w.abs()));
    let (mut worst, mut element) = (Distance::default(), None);
    for (index, (&g, &w)) in got.iter().zip(want).enumerate() {
        let error = if g == w || (g.is_nan() && w.is_nan()) { 0.0 } else { (g - w).abs() };
        if error == 0.0 {
            continue;
        }
        let found = if error.is_infinite() {
            Distance::INFINITE
        } else {
            let is_large = w.abs() > 1e-3 * greatest;
            let [relative, ulps] = if is_large { [error / w.abs(), error / unit(w)] } else { [0.0; 2] };
            Distance { excess: error / allowed(w.abs(), greatest), relative, ulps }
        };
        if found.excess > worst.excess || (found.excess.is_nan() && !worst.excess.is_nan()) {
            element = Some(Element { index, got: g, want: w });
        }
        worst = worst.join(found);
    }
    (worst, element)
}

/// The unit in the last place of a number in single precision.
fn unit(want: f64) -> f64 {
    let bits = (want as f32).abs().to_bits();
    // Beyond the greatest number the unit is that of the greatest.
    let bits = bits.min(f32::MAX.to_bits() - 1);
    f64::from(f32::from_bits(bits + 1)) - f64::from(f32::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_one_unit_is_one_unit() {
        for x in [1.0f32, 1.5, -3.0, 1e-30, 1e30, 1e-44] {
            let next = f32::from_bits(x.to_bits() + 1);
            assert_eq!(distance(&[next.into()], &[x.into()], 1.0, 0.0).ulps, 1.0, "{x}");
        }
        assert_eq!(distance(&[f64::INFINITY], &[f64::from(f32::MAX)], 1.0, 0.0).ulps, f64::INFINITY);
    }

    #[test]
    fn the_worst_element_is_told_and_nan_is_worst() {
        let allowed = |want: f64, _: f64| 0.1 * want;
        let (found, element) = worst(&[1.0, 2.1, 3.6], &[1.0, 2.0, 3.0], allowed);
        assert_eq!(element, Some(Element { index: 2, got: 3.6, want: 3.0 }));
        assert!((found.excess - 2.0).abs() < 1e-12 && !found.passes());
        let (found, element) = worst(&[f64::NAN, 4.0], &[1.0, 2.0], allowed);
        assert!(found.excess.is_nan() && !found.passes());
        assert_eq!(element.map(|element| element.index), Some(0));
        assert_eq!(worst(&[f64::NAN, 2.0], &[f64::NAN, 2.0], allowed), (Distance::default(), None));
    }

    #[test]
    fn an_infinity_that_is_wanted_excuses_no_other_element() {
        let found = |got: &[f64], want: &[f64]| distance(got, want, 1e-6, 1e-6);
        assert_eq!(found(&[f64::INFINITY, 1.0], &[f64::INFINITY, 1.0]), Distance::default());
        assert!(!found(&[f64::INFINITY, 7.0], &[f64::INFINITY, 1.0]).passes());
        assert!((found(&[f64::INFINITY, 3.0], &[f64::INFINITY, 2.0]).relative - 0.5).abs() < 1e-12);
        for got in [7.0, f64::MAX, f64::NEG_INFINITY, f64::NAN] {
            let (found, element) = worst(&[1.0, got], &[1.0, f64::INFINITY], |want, greatest| want + greatest);
            assert!(!found.passes(), "{got}");
            assert_eq!(element.map(|element| element.index), Some(1));
        }
        assert!(!found(&[1.0, f64::INFINITY], &[1.0, f64::MAX]).passes());
    }
}
