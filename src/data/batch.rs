//! Samples that belong together, by name, and how a step is fed with them.

use crate::base::{Error, ErrorKind, HostTensor, Result};
use crate::record::{Feed, Graph, Tensor};

/// Stacked samples, by the names of their columns: what a [`DataLoader`](super::DataLoader) gives, one after another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    columns: Vec<(String, HostTensor)>,
    /// Samples that are no padding.
    samples: usize,
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::new(ErrorKind::Argument, message))
}

impl Batch {
    /// Columns that have the same number of rows, which is the extent of their first axis.
    ///
    /// # Errors
    /// When they have not, or a name comes twice.
    pub fn new(columns: impl IntoIterator<Item = (String, HostTensor)>) -> Result<Self> {
        let mut batch = Self::default();
        for (name, tensor) in columns {
            batch = batch.with(&name, tensor)?;
        }
        Ok(batch)
    }

    /// The number of rows, with those that pad it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |(_, tensor)| tensor.shape()[0])
    }

    /// The number of samples, without the rows that [`DataLoader::pad`](super::DataLoader::pad) adds.
    #[must_use]
    pub const fn samples(&self) -> usize {
        self.samples
    }

    pub(super) const fn set_samples(&mut self, samples: usize) {
        self.samples = samples;
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The columns.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &HostTensor)> {
        self.columns.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    pub(super) fn columns_mut(&mut self) -> &mut [(String, HostTensor)] {
        &mut self.columns
    }

    pub(super) fn into_columns(self) -> Vec<(String, HostTensor)> {
        self.columns
    }

    /// The column of this name, `[rows, ..]`.
    ///
    /// # Errors
    /// When there is none; the text lists what there is.
    pub fn get(&self, name: &str) -> Result<&HostTensor> {
        match self.columns.iter().find(|(column, _)| column == name) {
            Some((_, tensor)) => Ok(tensor),
            None => refuse(format!("there is no column `{name}`: {}", self.list())),
        }
    }

    fn list(&self) -> String {
        let columns: Vec<String> =
            self.columns().map(|(name, tensor)| format!("`{name}` {}", tensor.tensor_type())).collect();
        if columns.is_empty() { "there are no columns".into() } else { format!("there are {}", columns.join(", ")) }
    }

    /// The same with this column, in place of the one of that name where there is one.
    ///
    /// # Errors
    /// When its number of rows is another than that of the other columns, or it has no axis.
    pub fn with(mut self, name: &str, tensor: impl Into<HostTensor>) -> Result<Self> {
        let tensor = tensor.into();
        let Some(&rows) = tensor.shape().first() else {
            return refuse(format!(
                "column `{name}` has no axis, and the first one is that of the samples: one sample has the shape [1]"
            ));
        };
        let place = self.columns.iter().position(|(column, _)| column == name);
        let alone = self.columns.is_empty() || (self.columns.len() == 1 && place.is_some());
        if !alone && rows != self.rows() {
            return refuse(format!("column `{name}` has {rows} rows, and the others have {}", self.rows()));
        }
        if alone {
            self.samples = rows;
        }
        match place {
            Some(place) => self.columns[place].1 = tensor,
            None => self.columns.push((name.to_owned(), tensor)),
        }
        Ok(self)
    }

    /// The same without a column.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn without(mut self, name: &str) -> Result<Self> {
        self.get(name)?;
        self.columns.retain(|(column, _)| column != name);
        Ok(self)
    }

    /// What a step takes: the data for a graph's inputs, each from the column of the input's name.
    ///
    /// `inputs` is the graph, for all of its inputs; or an array of some inputs; or pairs of a column's name and an input, where the
    /// names differ. Columns that nothing asks for are left out.
    ///
    /// ```
    /// use retrograd::{Graph, HostTensor, data::Batch};
    ///
    /// let batch = Batch::default().with("x", [1.0f32, 2.0])?.with("class", [0, 1])?;
    /// let g = Graph::new();
    /// let (x, y) = (g.input("x", [2]), g.labels("y", [2]));
    /// assert_eq!(batch.feeds([x])?.len(), 1);
    /// assert_eq!(batch.feeds([("x", x), ("class", y)])?.len(), 2);
    /// assert!(batch.feeds(&g).unwrap_err().to_string().contains("input `y`"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// # Errors
    /// When an input has no column, or a tensor is no input. Shapes and element types are checked by the step.
    pub fn feeds<'g>(&self, inputs: impl Inputs<'g>) -> Result<Vec<Feed<'_>>> {
        let feed = |(name, tensor): (Result<String, String>, Tensor<'g>)| match name {
            Ok(name) => match self.columns.iter().find(|(column, _)| *column == name) {
                Some((_, data)) => Ok(tensor.feed(data)),
                None => Err(Error::new(
                    ErrorKind::Feed,
                    format!(
                        "input `{name}` {} has no column of its name: {}; or pair them, as in `feeds([(\"column\", input)])`",
                        tensor.tensor_type(),
                        self.list()
                    ),
                )),
            },
            Err(what) => Err(Error::new(ErrorKind::Feed, format!("{what} is no input of its graph: it cannot be fed"))),
        };
        inputs.named().into_iter().map(feed).collect()
    }
}

/// Inputs of a graph and the names of the columns that they are fed with: see [`Batch::feeds`].
pub trait Inputs<'g> {
    /// Every input with the name of its column, or with a description where it is no input.
    fn named(self) -> Vec<(Result<String, String>, Tensor<'g>)>;
}

fn input_name(tensor: Tensor<'_>) -> Result<String, String> {
    tensor.input_name().ok_or_else(|| {
        if tensor.is_valid() {
            tensor.graph().with_recording(|recording| recording.describe(tensor.id()))
        } else {
            format!("{tensor:?}")
        }
    })
}

impl<'g> Inputs<'g> for &'g Graph {
    fn named(self) -> Vec<(Result<String, String>, Tensor<'g>)> {
        self.inputs().into_iter().map(|(name, tensor)| (Ok(name), tensor)).collect()
    }
}

impl<'g, const N: usize> Inputs<'g> for [Tensor<'g>; N] {
    fn named(self) -> Vec<(Result<String, String>, Tensor<'g>)> {
        self.as_slice().named()
    }
}

impl<'g> Inputs<'g> for &[Tensor<'g>] {
    fn named(self) -> Vec<(Result<String, String>, Tensor<'g>)> {
        self.iter().map(|&tensor| (input_name(tensor), tensor)).collect()
    }
}

impl<'g, const N: usize> Inputs<'g> for [(&str, Tensor<'g>); N] {
    fn named(self) -> Vec<(Result<String, String>, Tensor<'g>)> {
        self.as_slice().named()
    }
}

impl<'g> Inputs<'g> for &[(&str, Tensor<'g>)] {
    fn named(self) -> Vec<(Result<String, String>, Tensor<'g>)> {
        self.iter().map(|&(name, tensor)| (Ok(name.to_owned()), tensor)).collect()
    }
}
