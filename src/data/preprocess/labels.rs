//! Names of categories and their numbers.

use crate::base::{Error, ErrorKind, HostData, HostTensor, Result};
use serde::{Deserialize, Serialize};

/// What becomes of a name that no category has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// It is an error that names it.
    Error,
    /// It takes this number: that of a category for all others, such as the number of categories.
    Number(i32),
}

/// The names of categories: the number of one is its place.
///
/// ```
/// use retrograd::data::{Labels, Unseen};
///
/// let labels = Labels::fit(["setosa", "virginica", "setosa", "versicolor"]);
/// assert_eq!(labels.names(), ["setosa", "versicolor", "virginica"]);
/// assert_eq!(labels.numbers(["virginica", "setosa"], Unseen::Error)?.to_vec(), [2.0, 0.0]);
/// assert_eq!(labels.name(1), Some("versicolor"));
/// assert!(labels.numbers(["rosa"], Unseen::Error).unwrap_err().to_string().contains("`rosa`"));
/// assert_eq!(Labels::from_json(&labels.to_json())?, labels);
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Labels {
    /// Sorted, each once: the same samples in another order give the same numbers.
    names: Vec<String>,
}

impl From<Labels> for Vec<String> {
    fn from(labels: Labels) -> Self {
        labels.names
    }
}

impl TryFrom<Vec<String>> for Labels {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        match names.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(format!("the categories `{}` and `{}` are not in order", pair[0], pair[1])),
            None => Ok(Self { names }),
        }
    }
}

impl Labels {
    /// The categories of these names, in alphabetical order (that of their bytes).
    #[must_use]
    pub fn fit<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        let names: std::collections::BTreeSet<String> = names.into_iter().map(Into::into).collect();
        Self { names: names.into_iter().collect() }
    }

    /// The names, by number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of categories.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The name of a number, such as that of a class that a network gives.
    #[must_use]
    pub fn name(&self, number: usize) -> Option<&str> {
        self.names.get(number).map(String::as_str)
    }

    /// The number of a name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i32> {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).ok().map(|place| place as i32)
    }

    /// The numbers of names, `i32[names]`.
    ///
    /// # Errors
    /// When a name was not seen in fitting, where that is to be an error.
    pub fn numbers<'n>(&self, names: impl IntoIterator<Item = &'n str>, unseen: Unseen) -> Result<HostTensor> {
        let number = |(place, name): (usize, &str)| match (self.number(name), unseen) {
            (Some(number), _) | (None, Unseen::Number(number)) => Ok(number),
            (None, Unseen::Error) => Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "name {place} is `{name}`, and the labels were fitted with {}: fit them with it too, or give such names a \
                     number by `Unseen::Number`",
                    self.list()
                ),
            )),
        };
        Ok(names.into_iter().enumerate().map(number).collect::<Result<Vec<i32>>>()?.into())
    }

    /// A vector for every number, 1 in its place and 0 elsewhere: `[..]` becomes `[.., categories]`.
    ///
    /// # Errors
    /// When a number is that of no category, or the tensor does not hold `i32`.
    pub fn one_hot(&self, numbers: &HostTensor) -> Result<HostTensor> {
        let HostData::I32(data) = numbers.data() else {
            let held = numbers.data().dtype();
            return Err(Error::new(
                ErrorKind::Argument,
                format!("the numbers of categories are i32, and these are {held}"),
            ));
        };
        let mut vectors = vec![0f32; data.len() * self.len()];
        for (place, &number) in data.iter().enumerate() {
            let known = usize::try_from(number).ok().filter(|&number| number < self.len());
            let Some(number) = known else {
                return Err(Error::new(
                    ErrorKind::Index,
                    format!("element {place} is {number}, and there are {} categories: {}", self.len(), self.list()),
                ));
            };
            vectors[place * self.len() + number] = 1.0;
        }
        let shape: Vec<usize> = numbers.shape().iter().copied().chain([self.len()]).collect();
        HostTensor::new(shape, HostData::F32(vectors))
    }

    fn list(&self) -> String {
        let shown: Vec<String> = self.names.iter().take(8).map(|name| format!("`{name}`")).collect();
        let more = self.names.len().saturating_sub(shown.len());
        if shown.is_empty() {
            return "none".into();
        }
        format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    }

    /// As JSON: an array of the names.
    #[must_use]
    pub fn to_json(&self) -> String {
        super::to_json(self)
    }

    /// From [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// When the text is something else.
    pub fn from_json(text: &str) -> Result<Self> {
        super::from_json("list of categories", text)
    }
}
