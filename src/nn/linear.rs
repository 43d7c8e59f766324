use crate::record::{Init, Param, Params, Tensor};

/// A fully connected layer: y = x W^T + b, with W of shape `[outputs, inputs]` and b of `[outputs]`.
#[derive(Clone, Debug)]
pub struct Linear {
    name: String,
    weight: Param,
    bias: Option<Param>,
}

impl Linear {
    /// With a bias. Weight and bias start uniform within 1 / sqrt(inputs), as in `PyTorch`.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, inputs: usize, outputs: usize) -> Self {
        let bound = (inputs.max(1) as f64).sqrt().recip();
        Self::with_init(params, name, inputs, outputs, Init::Uniform(-bound, bound), Some(Init::Uniform(-bound, bound)))
    }

    /// Without a bias: y = x W^T. The weight starts uniform within 1 / sqrt(inputs), as in `PyTorch`.
    #[track_caller]
    pub fn without_bias(params: &mut Params, name: &str, inputs: usize, outputs: usize) -> Self {
        let bound = (inputs.max(1) as f64).sqrt().recip();
        Self::with_init(params, name, inputs, outputs, Init::Uniform(-bound, bound), None)
    }

    /// With given initial values; no bias where `bias` is `None`.
    #[track_caller]
    pub fn with_init(
        params: &mut Params,
        name: &str,
        inputs: usize,
        outputs: usize,
        weight: Init,
        bias: Option<Init>,
    ) -> Self {
        let weight = params.add(&format!("{name}.weight"), [outputs, inputs], weight);
        // Not `map`: a closure would not pass the caller's line on.
        #[allow(clippy::manual_map)]
        let bias = match bias {
            Some(init) => Some(params.add(&format!("{name}.bias"), [outputs], init)),
            None => None,
        };
        Self { name: name.to_owned(), weight, bias }
    }

    /// The weight, `[outputs, inputs]`.
    #[must_use]
    pub const fn weight(&self) -> &Param {
        &self.weight
    }

    /// The bias, `[outputs]`.
    #[must_use]
    pub const fn bias(&self) -> Option<&Param> {
        self.bias.as_ref()
    }
}

impl Linear {
    /// `[.., inputs] -> [.., outputs]`.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        let y = x.matmul(graph.param(&self.weight).transpose());
        match &self.bias {
            Some(bias) => y + graph.param(bias),
            None => y,
        }
    }
}
