use crate::record::Tensor;

/// An activation function as a value, for layers that are told which to use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// x itself.
    #[default]
    Identity,
    /// max(x, 0).
    Relu,
    /// x where x > 0, else this slope times x.
    LeakyRelu(f64),
    /// x where x > 0, else this alpha times exp(x) - 1.
    Elu(f64),
    /// x (1 + erf(x / sqrt 2)) / 2.
    Gelu,
    /// The tanh form of gelu, as in GPT-2.
    GeluTanh,
    /// x sigmoid(x).
    Silu,
    /// x tanh(softplus(x)).
    Mish,
    /// x clamp(x / 6 + 1/2, 0, 1).
    Hardswish,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// ln(1 + exp(x)).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
}

impl Activation {
    /// The function of every element.
    #[must_use]
    #[track_caller]
    pub fn forward<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        match *self {
            Self::Identity => x,
            Self::Relu => x.relu(),
            Self::LeakyRelu(slope) => x.leaky_relu(slope),
            Self::Elu(alpha) => x.elu(alpha),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu_tanh(),
            Self::Silu => x.silu(),
            Self::Mish => x.mish(),
            Self::Hardswish => x.hardswish(),
            Self::Sigmoid => x.sigmoid(),
            Self::Tanh => x.tanh(),
            Self::Softplus => x.softplus(),
            Self::Softsign => x.softsign(),
        }
    }
}
