//! The usual graphs of a network that learns answers, recorded from the columns of its data.

use super::inputs::WEIGHT;
use super::metrics::Metrics;
use super::trainer::Trainer;
use crate::base::{DType, Result, TensorType};
use crate::data::DataLoader;
use crate::dispatch::Device;
use crate::record::{Graph, Params, Tensor};
use crate::train::optim::Grouped;

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Classes,
    Numbers,
}

/// A network that learns one column from another: records the inputs, the loss and the metrics that go with them, in a graph of training and
/// in one of evaluation, with the batch sizes of their loaders. Where a loader has a column `weight`, as those that
/// [pad](DataLoader::pad) do, loss and metrics are weighted by it.
///
/// ```
/// use retrograd::data::{DataLoader, Dataset, Tensors};
/// use retrograd::{Device, Graph, Params, fit::Supervised, nn::Linear, optim::Adam};
///
/// # fn main() -> retrograd::Result<()> {
/// let data = Tensors::new()
///     .column("length", [50, 1], (0..50).map(|i| i as f32 / 50.0).collect::<Vec<_>>())?
///     .column("weight of it", [50, 1], (0..50).map(|i| 3.0 - i as f32 / 25.0).collect::<Vec<_>>())?;
/// let [training, validation] = data.split([0.8, 0.2], 1)?;
///
/// let mut params = Params::seeded(1);
/// let layer = Linear::new(&mut params, "layer", 1, 1);
/// let graphs = [Graph::new(), Graph::evaluation()];
/// let mut trainer = Supervised::regressor("length", "weight of it", |x| layer.forward(x)).trainer(
///     &graphs,
///     &Device::cpu(),
///     &params,
///     Adam::new(0.1),
///     [DataLoader::new(training, 16).shuffle(1).pad(), DataLoader::new(validation, 10)],
/// )?;
/// let history = trainer.fit(60)?;
/// assert!(history.last().unwrap().values.get("validation/r2").unwrap() > 0.99);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Supervised<F> {
    task: Task,
    from: String,
    to: String,
    forward: F,
}

/// What was recorded of a network; made by [`Supervised::record`].
#[derive(Debug)]
pub struct Recorded<'g> {
    /// What the network gives: scores or predictions.
    pub output: Tensor<'g>,
    /// The mean loss of a batch.
    pub loss: Tensor<'g>,
    /// The loss, and what goes with it.
    pub metrics: Metrics<'g>,
}

impl<F: for<'g> Fn(Tensor<'g>) -> Tensor<'g>> Supervised<F> {
    /// Learns a column of classes (`i32`) from another column: `forward` gives scores `[rows, classes]`. The loss is the
    /// cross-entropy; metrics are `loss`, `accuracy` and the confusion matrix.
    #[must_use]
    pub fn classifier(from: &str, to: &str, forward: F) -> Self {
        Self { task: Task::Classes, from: from.to_owned(), to: to.to_owned(), forward }
    }

    /// Learns a column of numbers (`f32`) from another column: `forward` gives predictions of its shape. The loss is the mean squared
    /// error; metrics are `loss`, `mae` and `r2`.
    #[must_use]
    pub fn regressor(from: &str, to: &str, forward: F) -> Self {
        Self { task: Task::Numbers, from: from.to_owned(), to: to.to_owned(), forward }
    }

    /// Records it in a graph, for batches of a loader.
    #[must_use]
    #[track_caller]
    pub fn record<'g>(&self, graph: &'g Graph, loader: &DataLoader) -> Recorded<'g> {
        let _here = graph.here();
        let columns = loader.columns();
        let input = |name: &str, dtype: DType| match columns.iter().find(|column| column.name == name) {
            Some(column) if column.dtype == dtype => {
                let TensorType { shape, dtype } = column.stacked(loader.batch_size());
                graph.typed_input(name, shape, dtype)
            }
            found => {
                let found =
                    found.map_or_else(|| "there is none".to_owned(), |column| format!("it is {}", column.dtype));
                let all: Vec<String> = columns.iter().map(ToString::to_string).collect();
                let reason =
                    format!("a column `{name}` of {dtype} is needed, and {found}: there are {}", all.join(", "));
                graph.fault("supervised", &[], reason)
            }
        };
        let weighted = columns.iter().any(|column| column.name == WEIGHT && column.shape.rank() == 0)
            && ![&self.from, &self.to].iter().any(|name| *name == WEIGHT);
        let weight = weighted.then(|| input(WEIGHT, DType::F32));
        let output = (self.forward)(input(&self.from, DType::F32));
        let metrics = match weight {
            Some(weight) => Metrics::new(graph).weighted(weight),
            None => Metrics::new(graph),
        };
        match self.task {
            Task::Classes => {
                let labels = input(&self.to, DType::I32);
                let loss = match weight {
                    Some(weight) => output.cross_entropy_weighted(labels, weight),
                    None => output.cross_entropy(labels),
                };
                let metrics = metrics.loss(loss).accuracy(output, labels).confusion_matrix(output, labels);
                Recorded { output, loss, metrics }
            }
            Task::Numbers => {
                let targets = input(&self.to, DType::F32);
                let errors = output.squared_error(targets);
                let loss = match weight {
                    Some(weight) if errors.is_valid() => {
                        let rows = loader.batch_size();
                        let of_rows = errors.reshape([rows, errors.shape().elements() / rows]).mean(-1);
                        (of_rows * weight).sum(..) / weight.sum(..)
                    }
                    _ => errors.mean(..),
                };
                let metrics = metrics.loss(loss).mean_absolute_error(output, targets).r_squared(output, targets);
                Recorded { output, loss, metrics }
            }
        }
    }

    /// A trainer: of a step that is compiled in the first graph, begun by [`Graph::new`], with the batches of the first loader; and of
    /// validation in the second graph, begun by [`Graph::evaluation`], with those of the second.
    ///
    /// # Errors
    /// All mistakes of the recording at once, those of columns that are missing or of another type among them; what exceeds the
    /// device's limits.
    #[track_caller]
    pub fn trainer<'g>(
        &self,
        graphs: &'g [Graph; 2],
        device: &Device,
        params: &Params,
        optimizer: impl Into<Grouped>,
        [training, validation]: [DataLoader; 2],
    ) -> Result<Trainer<'g>> {
        let [training_graph, evaluation_graph] = graphs;
        let recorded = self.record(training_graph, &training);
        let step = training_graph.train(recorded.loss, optimizer).compile(device, params)?;
        let evaluation = self.record(evaluation_graph, &validation).metrics.compile_on(step.state())?;
        Ok(Trainer::new(step, recorded.loss, training).validate(evaluation, validation))
    }
}
