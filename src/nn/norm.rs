use crate::base::Shape;
use crate::record::{Init, Param, Params, Tensor};

/// What is added to a variance before its root is taken, unless set.
const EPSILON: f64 = 1e-5;

/// Layer normalization over the last axes, with a weight and a bias of their shape: y = weight (x - mean) / sqrt(variance +
/// epsilon) + bias. See [`Tensor::layer_norm`]. Source: Ba, Kiros, Hinton 2016.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    name: String,
    weight: Param,
    bias: Param,
    epsilon: f64,
}

impl LayerNorm {
    /// Over axes of this shape, `[size]` or more. The weight starts at 1, the bias at 0; epsilon is 1e-5.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let weight = params.add(&format!("{name}.weight"), &shape, Init::Constant(1.0));
        let bias = params.add(&format!("{name}.bias"), &shape, Init::Zeros);
        Self { name: name.to_owned(), weight, bias, epsilon: EPSILON }
    }

    /// With another epsilon.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl LayerNorm {
    /// `x`, normalized over its last axes, in its own shape.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        x.layer_norm(graph.param(&self.weight), graph.param(&self.bias), self.epsilon)
    }
}

/// Normalization by the root mean square over the last axes, with a weight of their shape: y = weight x / sqrt(mean of x^2 +
/// epsilon). See [`Tensor::rms_norm`]. Source: Zhang, Sennrich 2019.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    name: String,
    weight: Param,
    epsilon: f64,
}

impl RmsNorm {
    /// Over axes of this shape, `[size]` or more. The weight starts at 1; epsilon is 1e-5.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, shape: impl Into<Shape>) -> Self {
        let weight = params.add(&format!("{name}.weight"), shape, Init::Constant(1.0));
        Self { name: name.to_owned(), weight, epsilon: EPSILON }
    }

    /// With another epsilon.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl RmsNorm {
    /// `x`, normalized over its last axes, in its own shape.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        x.rms_norm(graph.param(&self.weight), self.epsilon)
    }
}

/// Group normalization of `[batch, channels, ..]`, each group of channels of a sample by its own mean and variance, with a weight
/// and a bias of `[channels]`. See [`Tensor::group_norm`]. Source: Wu, He 2018.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    name: String,
    groups: usize,
    weight: Param,
    bias: Param,
    epsilon: f64,
}

impl GroupNorm {
    /// Of so many channels in so many groups. The weight starts at 1, the bias at 0; epsilon is 1e-5.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, groups: usize, channels: usize) -> Self {
        let weight = params.add(&format!("{name}.weight"), [channels], Init::Constant(1.0));
        let bias = params.add(&format!("{name}.bias"), [channels], Init::Zeros);
        Self { name: name.to_owned(), groups, weight, bias, epsilon: EPSILON }
    }

    /// With another epsilon.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl GroupNorm {
    /// `x`, `[batch, channels, ..]`, normalized in groups of channels, in its own shape.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        x.group_norm(self.groups, graph.param(&self.weight), graph.param(&self.bias), self.epsilon)
    }
}

/// Batch normalization of `[batch, channels, ..]`: see [`Tensor::batch_norm`].
///
/// In a graph for training it normalizes by the batch, and its running mean and variance, cells of the state, move towards
/// those of the batch when a step ends: running = (1 - momentum) running + momentum batch. In a graph for evaluation it
/// normalizes by the running ones.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    name: String,
    weight: Param,
    bias: Param,
    running_mean: Param,
    running_variance: Param,
    momentum: f64,
    epsilon: f64,
}

impl BatchNorm {
    /// Of so many channels. Weight and running variance start at 1, bias and running mean at 0; momentum is 0.1, epsilon
    /// 1e-5. The names are those of `PyTorch`: `weight`, `bias`, `running_mean`, `running_var`.
    #[track_caller]
    pub fn new(params: &mut Params, name: &str, channels: usize) -> Self {
        let weight = params.add(&format!("{name}.weight"), [channels], Init::Constant(1.0));
        let bias = params.add(&format!("{name}.bias"), [channels], Init::Zeros);
        let running_mean = params.add_cell(&format!("{name}.running_mean"), [channels], Init::Zeros);
        let running_variance = params.add_cell(&format!("{name}.running_var"), [channels], Init::Constant(1.0));
        Self { name: name.to_owned(), weight, bias, running_mean, running_variance, momentum: 0.1, epsilon: EPSILON }
    }

    /// With another share of the batch in the running statistics, above 0 and at most 1.
    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// With another epsilon.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

impl BatchNorm {
    /// `x`, `[batch, channels, ..]`, normalized channel by channel, in its own shape: by the batch in training, by the running
    /// statistics in evaluation.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        let graph = x.graph();
        let _scope = graph.scope(&self.name);
        let (weight, bias) = (graph.param(&self.weight), graph.param(&self.bias));
        let (mean, variance) = (graph.param(&self.running_mean), graph.param(&self.running_variance));
        if !graph.is_training() {
            return x.batch_norm_with(mean, variance, weight, bias, self.epsilon);
        }
        if !(self.momentum > 0.0 && self.momentum <= 1.0) {
            let reason = format!("the momentum must be above 0 and at most 1, and is {}", self.momentum);
            return graph.fault("batch_norm", &[x], reason);
        }
        let normed = x.batch_norm(weight, bias, self.epsilon);
        for (cell, old, new) in
            [(&self.running_mean, mean, normed.mean), (&self.running_variance, variance, normed.variance)]
        {
            graph.assign(cell, old * (1.0 - self.momentum) + new * self.momentum);
        }
        normed.output
    }
}
