//! Metrics over a dataset, of a model as it is.

use super::inputs::matched;
use super::metrics::{KeptMetrics, Measured, Metrics};
use crate::base::{Error, Result};
use crate::data::{DataLoader, Position};
use crate::dispatch::State;
use crate::record::{Graph, Tensor};
use crate::train::Step;
use std::collections::VecDeque;

/// So many batches may be computed before their sums are waited for.
pub(super) const AHEAD: usize = 16;

impl<'g> Metrics<'g> {
    /// Compiles what computes them, in a graph begun by [`Graph::evaluation`], on the state of a training step: both see the
    /// same parameters, always.
    ///
    /// # Errors
    /// All mistakes of the recording at once; a tensor that exceeds the device's limits.
    #[track_caller]
    pub fn compile_on(self, state: &State) -> Result<Evaluation<'g>> {
        let graph = self.graph();
        let metrics = self.keep();
        let step = graph.infer(&[metrics.sums()]).compile_on(state)?;
        Ok(Evaluation::new(step, metrics))
    }
}

/// A step of inference that computes metrics.
///
/// ```
/// use retrograd::data::{DataLoader, Tensors};
/// use retrograd::{Device, Graph, Params, dispatch::State, fit::Metrics, nn};
///
/// # fn main() -> retrograd::Result<()> {
/// let mut params = Params::seeded(1);
/// let layer = nn::Linear::new(&mut params, "layer", 1, 2);
/// let state = State::new(&Device::cpu(), &params)?;
///
/// let g = Graph::evaluation();
/// let (x, y, weight) = (g.input("x", [2, 1]), g.labels("y", [2]), g.input("weight", [2]));
/// let metrics = Metrics::new(&g).weighted(weight).accuracy(layer.forward(x), y);
/// let mut evaluation = metrics.compile_on(&state)?;
///
/// let data = Tensors::new().column("x", [3, 1], vec![0.1f32, 0.2, 0.3])?.column("y", [3], vec![0, 0, 0])?;
/// let measured = evaluation.run(&DataLoader::new(data, 2).pad())?;
/// println!("{}", measured.values);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Evaluation<'g> {
    graph: &'g Graph,
    step: Step,
    metrics: KeptMetrics<'g>,
}

impl<'g> Evaluation<'g> {
    /// From a compiled step of inference that computes the sums of these metrics, such as one with
    /// [`with_average`](crate::Inference::with_average).
    #[must_use]
    pub fn new(step: Step, metrics: KeptMetrics<'g>) -> Self {
        Self { graph: metrics.sums().graph(), step, metrics }
    }

    /// The metrics of all samples of a loader. The loader stays where it stands: an epoch of its own is gone through, always the first.
    ///
    /// # Errors
    /// Where columns do not fit the inputs, listing both sides; where there is no batch, or one cannot be made; where the device fails.
    pub fn run(&mut self, loader: &DataLoader) -> Result<Measured> {
        let inputs = self.check(loader)?;
        let loader = loader.clone();
        loader.seek(Position::epoch(0))?;
        let mut meter = self.metrics.meter();
        let mut pending = VecDeque::new();
        for (number, batch) in loader.epoch().enumerate() {
            let during = |error: Error| error.during(format!("batch {} of an evaluation", number + 1));
            let batch = batch?;
            batch.feeds(&inputs[..]).and_then(|feeds| self.step.run(feeds)).map_err(during)?;
            pending.push_back(self.step.read_async(self.metrics.sums()).map_err(during)?);
            if pending.len() > AHEAD
                && let Some(read) = pending.pop_front()
            {
                meter.add(&read.wait().map_err(during)?)?;
            }
        }
        for read in pending {
            meter.add(&read.wait()?)?;
        }
        Ok(meter.measured())
    }

    pub(super) fn check(&self, loader: &DataLoader) -> Result<Vec<Tensor<'g>>> {
        matched(self.graph, loader, "the evaluation")
    }

    /// The names of the metrics.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metrics.names()
    }

    /// The step.
    #[must_use]
    pub const fn step(&self) -> &Step {
        &self.step
    }
}
