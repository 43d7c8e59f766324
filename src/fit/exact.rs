//! Numbers in JSON that may be NaN or infinite: these are written as texts, since JSON has none of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that comes back as it was.
#[derive(Clone, Copy)]
pub(super) struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => match text.as_str() {
                "NaN" => Ok(Self(f64::NAN)),
                "inf" => Ok(Self(f64::INFINITY)),
                "-inf" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom(format!("`{text}` is no number"))),
            },
        }
    }
}

// As serde calls it.
#[allow(clippy::trivially_copy_pass_by_ref)]
pub(super) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Exact(*number).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Exact::deserialize(deserializer).map(|number| number.0)
}

/// The same of lists of lists.
pub(super) mod lists {
    use super::{Deserialize, Deserializer, Exact, Serialize, Serializer};

    pub fn serialize<S: Serializer>(lists: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
        let exact = |list: &Vec<f64>| list.iter().copied().map(Exact).collect::<Vec<_>>();
        lists.iter().map(exact).collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let lists = Vec::<Vec<Exact>>::deserialize(deserializer)?;
        Ok(lists.into_iter().map(|list| list.into_iter().map(|number| number.0).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;

    #[test]
    fn what_is_no_number_comes_back() {
        for number in [0.0, -0.0, 0.1, 1e300, f64::INFINITY, f64::NEG_INFINITY, 3.0] {
            let text = serde_json::to_string(&Exact(number)).unwrap();
            assert_eq!(serde_json::from_str::<Exact>(&text).unwrap().0.to_bits(), number.to_bits(), "{text}");
        }
        let text = serde_json::to_string(&Exact(f64::NAN)).unwrap();
        assert!(serde_json::from_str::<Exact>(&text).unwrap().0.is_nan(), "{text}");
        assert!(serde_json::from_str::<Exact>("\"many\"").is_err());
    }
}
