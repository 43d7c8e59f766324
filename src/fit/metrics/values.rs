//! Results by name.

use crate::fit::exact::Exact;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Numbers by name, in the order in which they were named.
///
/// In JSON a map; what is NaN or infinite is written as `null`, and read as NaN.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<(String, f64)>);

/// The same names in the same order, and the same bits: NaN equals itself.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        let bits =
            |values: &Self| values.0.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect::<Vec<_>>();
        bits(self) == bits(other)
    }
}

impl Values {
    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// Sets a value; one of that name is replaced.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name, value)),
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Values {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(values: I) -> Self {
        let mut all = Self::default();
        values.into_iter().for_each(|(name, value)| all.set(name, value));
        all
    }
}

/// `name value, name value`.
impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name} {}", if number == 0 { "" } else { ", " }, brief(value))?;
        }
        Ok(())
    }
}

/// Four digits that count.
pub(in crate::fit) fn brief(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || (1e-3..1e5).contains(&value.abs()) {
        let whole = if value.is_finite() && value != 0.0 { value.abs().log10().floor() as i32 } else { 0 };
        return format!("{value:.*}", (3 - whole).clamp(0, 4) as usize);
    }
    format!("{value:.3e}")
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &Some(value).filter(|value| value.is_finite()))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Values;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names to numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
                let mut values = Values::default();
                while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                    values.set(name, value.unwrap_or(f64::NAN));
                }
                Ok(values)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// What was measured over all rows of some batches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The metrics by name.
    pub values: Values,
    /// The confusion matrix, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
}

/// How often rows of one class were taken for another; with weights, the sum of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<f64>,
}

/// A confusion matrix as it is written.
#[derive(Serialize, Deserialize)]
#[serde(expecting = "classes and their counts")]
struct Written {
    classes: usize,
    counts: Vec<Exact>,
}

impl From<ConfusionMatrix> for Written {
    fn from(matrix: ConfusionMatrix) -> Self {
        Self { classes: matrix.classes, counts: matrix.counts.into_iter().map(Exact).collect() }
    }
}

impl TryFrom<Written> for ConfusionMatrix {
    type Error = String;

    fn try_from(Written { classes, counts }: Written) -> Result<Self, String> {
        if classes == 0 || classes.checked_mul(classes) != Some(counts.len()) {
            return Err(format!("a confusion matrix of {classes} classes has not {} counts", counts.len()));
        }
        Ok(Self { classes, counts: counts.into_iter().map(|count| count.0).collect() })
    }
}

impl ConfusionMatrix {
    pub(super) const fn new(classes: usize, counts: Vec<f64>) -> Self {
        Self { classes, counts }
    }

    /// The number of classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// How many rows with label `truth` were predicted to be `predicted`; 0 for a class that there is not.
    #[must_use]
    pub fn count(&self, truth: usize, predicted: usize) -> f64 {
        if truth < self.classes && predicted < self.classes {
            self.counts[truth * self.classes + predicted]
        } else {
            0.0
        }
    }

    /// All counts: a row for every label, in it a column for every prediction.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.counts.chunks(self.classes)
    }
}

/// A table: labels downwards, predictions across.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &f64| if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        let digits = self.classes.saturating_sub(1).to_string().len();
        let width = self.counts.iter().map(|count| text(count).len()).max().unwrap_or(1).max(digits);
        write!(f, "{:digits$}", "")?;
        (0..self.classes).try_for_each(|class| write!(f, "  {class:>width$}"))?;
        for (truth, row) in self.rows().enumerate() {
            write!(f, "\n{truth:>digits$}")?;
            row.iter().try_for_each(|count| write!(f, "  {:>width$}", text(count)))?;
        }
        Ok(())
    }
}
