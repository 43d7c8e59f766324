//! The gradients of a whole model against differences of its loss, and a device's against the reference.

mod device;
mod float64;
mod report;
mod walk;

pub use report::{DeviceGradient, GradientReport, GradientRow, GradientVerdict, Suspect};

use super::compile::Training;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::{Device, State};
use crate::record::{Feed, Graph, Param, ParamInfo, Params, Tensor};
use walk::Walk;

impl Graph {
    /// A test of the gradients of a one-element `loss`: for every parameter that is not frozen, and every float input, the
    /// recorded gradient is compared with central differences of the loss in float64 along random directions, and the gradient
    /// that a device computes with that in float64.
    ///
    /// ```
    /// use retrograd::{nn, Device, Graph, Params};
    /// let mut params = Params::seeded(1);
    /// let (up, down) = (nn::Linear::new(&mut params, "up", 3, 8), nn::Linear::new(&mut params, "down", 8, 2));
    /// let g = Graph::new();
    /// let (x, y) = (g.input("x", [4, 3]), g.labels("y", [4]));
    /// let loss = down.forward(up.forward(x).relu()).cross_entropy(y);
    ///
    /// let (rows, classes) = ([0.1f32, -0.7, 0.5, 0.9, 0.2, -0.4, -0.3, 0.8, 0.6, -0.1, -0.9, 0.3], [0, 1, 1, 0]);
    /// let report = g.check_gradients(loss).on(&Device::cpu()).run(&params, [x.feed(&rows), y.feed(&classes)])?;
    /// println!("{report}");   // a row for `up.weight`, `up.bias`, `down.weight`, `down.bias` and `x`
    /// report.check()?;        // an error that names what is wrong, and the op that is to blame
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    ///
    /// A kink, as of `relu` or a maximum of equals, is told from a wrong gradient by differences from both sides and by steps of
    /// several sizes; where the loss has one at this very point, the gradient is looked at nearby as well, and the report says
    /// so. What is [detached](Tensor::detach) is held fixed. Dropout drops the same elements in all evaluations. Cells, such as
    /// running statistics, keep their values.
    ///
    /// Where a gradient is wrong, every op between is tested by itself, with the values that it has in the model, and those
    /// whose rule is wrong are named.
    ///
    /// It takes some tens of evaluations of the model for every tensor, in float64 on the host: use a small batch.
    #[must_use]
    pub fn check_gradients<'g>(&'g self, loss: Tensor<'g>) -> GradientTest<'g> {
        GradientTest {
            graph: self,
            loss,
            device: Device::cpu(),
            only: None,
            state: None,
            directions: 3,
            seed: 1,
            inputs: true,
        }
    }
}

/// A test of gradients that has not been run yet; made by [`Graph::check_gradients`].
#[derive(Debug)]
pub struct GradientTest<'g> {
    graph: &'g Graph,
    loss: Tensor<'g>,
    device: Device,
    only: Option<Vec<ParamInfo>>,
    state: Option<State>,
    directions: usize,
    seed: u64,
    inputs: bool,
}

impl GradientTest<'_> {
    /// Compares the gradients of this device, rather than the CPU's, with those in float64.
    #[must_use]
    pub fn on(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Looks at these parameters alone.
    #[must_use]
    pub fn only(mut self, params: &[&Param]) -> Self {
        self.only = Some(params.iter().map(|param| param.info().clone()).collect());
        self
    }

    /// Leaves inputs out.
    #[must_use]
    pub fn without_inputs(mut self) -> Self {
        self.inputs = false;
        self
    }

    /// Takes the values of parameters and cells from a state, as of a network that has been trained, rather than the initial
    /// ones, and its device. The state itself does not change.
    #[must_use]
    pub fn at(mut self, state: &State) -> Self {
        self.device = state.device().clone();
        self.state = Some(state.clone());
        self
    }

    /// So many random directions for every tensor, 3 by default.
    #[must_use]
    pub fn directions(mut self, directions: usize) -> Self {
        self.directions = directions;
        self
    }

    /// The seed of the directions, 1 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs the test on fed inputs, each exactly once.
    ///
    /// # Errors
    /// All mistakes of the recording at once, ops without a gradient rule among them; feeds that do not fit; what the device
    /// refuses; [`ErrorKind::Argument`] without directions or without any tensor to look at. That a gradient is wrong is no
    /// error here: see [`GradientReport::check`].
    pub async fn run_async<'a>(&self, params: &Params, feeds: impl AsRef<[Feed<'a>]>) -> Result<GradientReport> {
        if self.directions == 0 {
            return Err(Error::new(ErrorKind::Argument, "`GradientTest::directions` is 0 and must be at least 1"));
        }
        let of_state;
        let params = if let Some(state) = &self.state {
            if state.store() != params.store() {
                let message = "the state to test gradients at was made from another `Params` than the one given";
                return Err(Error::new(ErrorKind::Argument, message));
            }
            let mut values = Vec::new();
            for (name, _) in state.parameters() {
                values.push(state.parameter_async(name).await?);
            }
            of_state = params.with_values(values);
            &of_state
        } else {
            params
        };
        let (walk, draft) = self.graph.aside(|| Walk::new(self, params))?;
        let mut device = device::OnDevice::new(&walk, draft, &self.device, params, feeds.as_ref()).await?;
        walk.report(self, params, &mut device, feeds.as_ref()).await
    }

    /// As [`run_async`](Self::run_async), blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run<'a>(&self, params: &Params, feeds: impl AsRef<[Feed<'a>]>) -> Result<GradientReport> {
        pollster::block_on(self.run_async(params, feeds))
    }
}

impl Training<'_> {
    /// Tests the gradients of what this step trains, and of its float inputs, on a device: see [`Graph::check_gradients`],
    /// which has more settings.
    ///
    /// # Errors
    /// As those of [`GradientTest::run`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn check_gradients<'a>(
        &self,
        device: &Device,
        params: &Params,
        feeds: impl AsRef<[Feed<'a>]>,
    ) -> Result<GradientReport> {
        if !self.faults.is_empty() {
            return Err(Error::recording(self.faults.clone()));
        }
        let mut test = self.graph.check_gradients(self.loss).on(device);
        test.only.clone_from(&self.only);
        test.run(params, feeds)
    }
}
