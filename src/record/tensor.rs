use super::{Graph, TensorId};
use crate::base::{DType, Element, HostData, HostTensor, Shape, TensorType};
use ndarray::{Array, ArrayView, Dimension};

/// A handle to a tensor of a recording: small, `Copy`, and only good within its [`Graph`].
///
/// Methods and operators record ops and return the handle of the result. They never fail: a
/// mistake gives an invalid tensor and is reported by `compile`, together with all others.
#[derive(Clone, Copy)]
pub struct Tensor<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) id: TensorId,
}

impl<'g> Tensor<'g> {
    /// The graph that the tensor belongs to.
    #[must_use]
    pub const fn graph(self) -> &'g Graph {
        self.graph
    }

    /// The position in the recording.
    #[must_use]
    pub const fn id(self) -> TensorId {
        self.id
    }

    /// Whether recording the tensor succeeded.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.id.is_valid()
    }

    /// The extent of every axis; no axes for an invalid tensor.
    #[must_use]
    pub fn shape(self) -> Shape {
        self.graph.tensor_type(self.id).shape
    }

    /// The number of axes.
    #[must_use]
    pub fn rank(self) -> usize {
        self.shape().rank()
    }

    /// The element type.
    #[must_use]
    pub fn dtype(self) -> DType {
        self.graph.tensor_type(self.id).dtype
    }

    /// Shape and element type.
    #[must_use]
    pub fn tensor_type(self) -> TensorType {
        self.graph.tensor_type(self.id)
    }

    /// The name by which it was recorded as an input; `None` for other tensors.
    #[must_use]
    pub fn input_name(self) -> Option<String> {
        self.graph.with_recording(|recording| {
            let input = recording.inputs.iter().find(|(_, node)| **node == self.id.node && self.is_valid());
            input.map(|(name, _)| name.clone())
        })
    }

    /// Makes the tensor readable after every step. Tensors that are not kept share memory with
    /// others and are gone when a step ends.
    #[must_use = "the returned handle is the same tensor"]
    pub fn keep(self) -> Self {
        self.graph.keep(self);
        self
    }

    /// Pairs an input with its data for one step: a slice, a `Vec`, an `ndarray` array, or a
    /// [`HostTensor`].
    pub fn feed(self, data: &(impl FeedSource + ?Sized)) -> Feed<'_> {
        let (shape, data) = data.source();
        Feed { graph: self.graph.id(), tensor: self.id, shape, data }
    }
}

impl std::fmt::Debug for Tensor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_valid() {
            write!(f, "%{}.{} {}", self.id.node.0, self.id.output, self.tensor_type())
        } else {
            f.write_str("invalid tensor")
        }
    }
}

/// Data for one input and one step; made by [`Tensor::feed`].
#[derive(Clone, Debug)]
pub struct Feed<'a> {
    pub(crate) graph: u64,
    pub(crate) tensor: TensorId,
    /// The shape of the source, where it has one.
    pub(crate) shape: Option<Shape>,
    pub(crate) data: std::borrow::Cow<'a, HostData>,
}

impl Feed<'_> {
    /// The same with data of its own, which need not outlive what was fed.
    #[must_use]
    pub fn into_owned<'b>(self) -> Feed<'b> {
        let Self { graph, tensor, shape, data } = self;
        Feed { graph, tensor, shape, data: std::borrow::Cow::Owned(data.into_owned()) }
    }
}

/// What an input can be fed from.
pub trait FeedSource {
    /// The shape, where the source has one, and the elements in row-major order.
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>);
}

impl<T: Element> FeedSource for [T] {
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>) {
        (None, std::borrow::Cow::Owned(T::wrap(self.to_vec())))
    }
}

impl<T: Element> FeedSource for Vec<T> {
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>) {
        self.as_slice().source()
    }
}

impl<T: Element, const N: usize> FeedSource for [T; N] {
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>) {
        self.as_slice().source()
    }
}

impl<T: Element, D: Dimension> FeedSource for Array<T, D> {
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>) {
        let data = T::wrap(self.iter().copied().collect());
        (Some(self.shape().into()), std::borrow::Cow::Owned(data))
    }
}

impl<T: Element, D: Dimension> FeedSource for ArrayView<'_, T, D> {
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>) {
        let data = T::wrap(self.iter().copied().collect());
        (Some(self.shape().into()), std::borrow::Cow::Owned(data))
    }
}

impl FeedSource for HostTensor {
    fn source(&self) -> (Option<Shape>, std::borrow::Cow<'_, HostData>) {
        (Some(self.shape().clone()), std::borrow::Cow::Borrowed(self.data()))
    }
}
