use crate::base::{HostTensor, Shape};
use crate::record::{Init, Param, Params, Tensor};

/// y = (x - shift) / scale over the last axes, with a shift and a scale that no gradient changes: cells of the state, saved and loaded with the
/// weights. [`data::Scale::layer`](crate::data::Scale::layer) makes one of what was fitted with data; [`new`](Self::new) one that
/// is about to be loaded.
///
/// ```
/// use retrograd::{nn::Normalize, Graph, Params};
/// let mut params = Params::seeded(1);
/// let scale = Normalize::new(&mut params, "scale", [4]);
/// let g = Graph::new();
/// assert_eq!(scale.forward(g.input("x", [8, 4])).shape()[..], [8, 4]);
/// ```
#[derive(Clone, Debug)]
pub struct Normalize {
    name: String,
    shift: Param,
    scale: Param,
}

impl Normalize {
    /// Over axes of this shape. The shift is 0 and the scale 1, until others are loaded: the cells are called `shift` and `scale`.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let shift = params.add_cell(&format!("{name}.shift"), &shape, Init::Zeros);
        let scale = params.add_cell(&format!("{name}.scale"), &shape, Init::Constant(1.0));
        Self { name: name.to_owned(), shift, scale }
    }

    /// With these values, which are of one shape.
    #[track_caller]
    pub(crate) fn with(params: &mut Params, name: &str, shift: HostTensor, scale: HostTensor) -> Self {
        let layer = Self::new(params, name, shift.shape());
        params.set_initial(&layer.shift, shift);
        params.set_initial(&layer.scale, scale);
        layer
    }

    /// `x`, shifted and scaled, in its own shape.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        let (shape, own) = (x.shape(), self.shift.shape());
        if x.is_valid() && !shape.ends_with(own) {
            let reason = format!("its last axes must be those of the scale, {own}");
            return graph.fault("normalize", &[x], reason);
        }
        (x - graph.param(&self.shift)) / graph.param(&self.scale)
    }
}
