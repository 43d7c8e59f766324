use super::moments::MomentKernel;
use super::{Decaying, Optimizer};
use crate::base::{Real, Result};
use crate::plan::{StepScalars, Update, UpdateRule};
use std::sync::Arc;

/// What Adam and `AdamW` share; they differ in where the weight decays.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moments {
    name: &'static str,
    learning_rate: f64,
    betas: [f64; 2],
    epsilon: f64,
    l2_decay: f64,
    decoupled_decay: f64,
}

impl Moments {
    const fn new(name: &'static str, learning_rate: f64) -> Self {
        Self { name, learning_rate, betas: [0.9, 0.999], epsilon: 1e-8, l2_decay: 0.0, decoupled_decay: 0.0 }
    }

    /// rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t), and rate times the decoupled decay.
    fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
        let power = |beta: f64| beta.powf(f64::from(count));
        let [first, second] = self.betas.map(|beta| 1.0 - power(beta));
        [learning_rate / first, second.sqrt().recip(), learning_rate * self.decoupled_decay, 0.0]
    }

    fn update(&self) -> Result<Update> {
        MomentKernel {
            name: self.name,
            source: include_str!("../../../shaders/adam.wgsl"),
            states: ["adam.mean", "adam.square"],
            learning_rate: self.learning_rate,
            betas: self.betas,
            epsilon: self.epsilon,
            l2_decay: self.l2_decay,
            decoupled_decay: self.decoupled_decay,
        }
        .update(Arc::new(*self))
    }
}

impl UpdateRule for Moments {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &StepScalars, gradient: &[T], weight: &mut [T], states: &mut [&mut [T]]) {
        let [rate, root, decay, _] = step.scalars.map(T::real);
        let [first, second] = self.betas.map(T::real);
        let [rest_first, rest_second] = self.betas.map(|beta| T::real(1.0 - beta));
        let (epsilon, l2) = (T::real(self.epsilon), T::real(self.l2_decay));
        let [mean, square] = states else { return };
        for (((w, &g), m), v) in weight.iter_mut().zip(gradient).zip(mean.iter_mut()).zip(square.iter_mut()) {
            let g = g + l2 * *w;
            *m = first * *m + rest_first * g;
            *v = second * *v + rest_second * g * g;
            let kept = *w - decay * *w;
            *w = kept - rate * *m / (v.sqrt() * root + epsilon);
        }
    }
}

macro_rules! optimizer {
    ($(#[$about:meta])* $name:ident, $text:literal, $decay:ident, $(#[$decay_about:meta])*) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name(Moments);

        impl $name {
            /// With betas 0.9 and 0.999 and epsilon 1e-8.
            #[must_use]
            pub const fn new(learning_rate: f64) -> Self {
                Self(Moments::new($text, learning_rate))
            }

            /// The decay rates of the running means of the gradient and of its square.
            #[must_use]
            pub const fn betas(mut self, first: f64, second: f64) -> Self {
                self.0.betas = [first, second];
                self
            }

            /// What is added to the root of the mean square.
            #[must_use]
            pub const fn epsilon(mut self, epsilon: f64) -> Self {
                self.0.epsilon = epsilon;
                self
            }

            $(#[$decay_about])*
            #[must_use]
            pub const fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.0.$decay = weight_decay;
                self
            }
        }

        impl Optimizer for $name {
            fn learning_rate(&self) -> f64 {
                self.0.learning_rate
            }
            fn scalars(&self, count: u32, learning_rate: f64) -> [f64; 4] {
                self.0.scalars(count, learning_rate)
            }
            fn update(&self) -> Result<Update> {
                self.0.update()
            }
        }

        impl Decaying for $name {
            fn without_decay(self) -> Self {
                self.weight_decay(0.0)
            }
        }
    };
}

optimizer! {
    /// Adam: steps in the direction of the running mean of gradients, over the root of the running
    /// mean of their squares, both corrected for their start at zero. Source: Kingma, Ba 2015.
    Adam, "adam", l2_decay,
    /// With the gradient of `weight_decay` / 2 times the sum of w^2 added before anything else.
}

optimizer! {
    /// Adam whose weights decay by themselves, by rate times decay per step, apart from the
    /// gradient. The decay is 0 unless set; 0.01 is usual. Source: Loshchilov, Hutter 2019.
    AdamW, "adamw", decoupled_decay,
    /// How much of every weight decays per step, times the learning rate.
}
