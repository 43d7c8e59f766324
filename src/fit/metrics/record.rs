//! The sums of one batch, recorded in a graph.

use super::kind::{Output, Sums};
use super::meter::{Layout, Meter, Named};
use crate::base::DType;
use crate::record::{Graph, Tensor, TensorId};

/// Most rows of which a sum is taken in single precision: counts stay far below 2^24, where it skips integers.
const MOST_ROWS: usize = 1 << 20;

/// Metrics that a graph computes of every batch.
///
/// What they take are tensors of the graph: scores `[.., classes]` (before or after softmax, which changes no order), labels `[..]` (`i32`),
/// predictions and targets of one shape. Rows are all elements of the labels' shape. Where several scores are equal, the class of
/// the lower number comes first.
///
/// ```
/// use retrograd::fit::Metrics;
/// use retrograd::{Device, Graph, Params, nn};
///
/// # fn main() -> retrograd::Result<()> {
/// let mut params = Params::seeded(1);
/// let layer = nn::Linear::new(&mut params, "layer", 3, 2);
/// let g = Graph::evaluation();
/// let (x, y) = (g.input("x", [4, 3]), g.labels("y", [4]));
/// let scores = layer.forward(x);
/// let metrics = Metrics::new(&g).accuracy(scores, y).perplexity(scores, y).keep();
/// let mut step = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &params)?;
///
/// let mut meter = metrics.meter();
/// for batch in [[0.1f32; 12], [0.2; 12]] {
///     step.run([x.feed(&batch), y.feed(&[0, 1, 1, 0])])?;
///     meter.add(&step.read(metrics.sums())?)?;
/// }
/// assert_eq!(meter.measured().values.get("accuracy"), Some(0.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Metrics<'g> {
    pub(super) graph: &'g Graph,
    pub(super) weight: Option<Tensor<'g>>,
    /// What the next value is called.
    name: Option<String>,
    pub(super) entries: Vec<(Sums, Vec<Part<'g>>)>,
    outputs: Vec<Named>,
    /// Which entry counts the classes of these scores and labels, with this weight.
    pub(super) counted: Vec<(Counted, usize)>,
}

/// Scores, labels and the weight of their rows.
pub(super) type Counted = (TensorId, TensorId, Option<TensorId>);

/// Sums of rows, by chunks of these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'g> {
    /// `[chunks * width]`.
    pub sums: Tensor<'g>,
    pub chunks: usize,
    pub width: usize,
}

/// Metrics whose sums of a batch can be read; made by [`Metrics::keep`].
#[derive(Clone, Debug)]
pub struct KeptMetrics<'g> {
    sums: Tensor<'g>,
    meter: Meter,
}

impl<'g> KeptMetrics<'g> {
    /// The sums of one batch, which is kept.
    #[must_use]
    pub const fn sums(&self) -> Tensor<'g> {
        self.sums
    }

    /// What adds them up.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// The names of all values, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.meter.names()
    }
}

impl<'g> Metrics<'g> {
    /// No metrics yet, of a graph of training or evaluation.
    #[must_use]
    pub const fn new(graph: &'g Graph) -> Self {
        Self { graph, weight: None, name: None, entries: Vec::new(), outputs: Vec::new(), counted: Vec::new() }
    }

    pub(in crate::fit) const fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Counts every row with its weight, in all metrics that follow: `f32`, at least 0, of the labels' shape or of its first axes. Rows of
    /// weight 0, such as those that fill up a last batch, are left out whatever they hold.
    #[must_use]
    pub const fn weighted(mut self, weight: Tensor<'g>) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Calls the metric that follows by this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The mean of the loss over all rows, as `loss`: for a loss of one element that is the mean of its batch, weighted where the rows
    /// are.
    #[must_use]
    #[track_caller]
    pub fn loss(mut self, loss: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        if loss.is_valid() && loss.shape().elements() != 1 {
            let reason = "a loss is one float: give `Metrics::mean` the losses of the rows";
            self.refuse("loss", &[loss], reason);
            return self;
        }
        let loss = loss.reshape([1]);
        let weight = match self.weight {
            Some(weight) => weight.sum(..).reshape([1]),
            None => self.graph.full([1], 1.0),
        };
        // Of no rows the loss is 0/0, and counts for nothing.
        let zero = self.graph.full([1], 0.0);
        let sum = weight.gt(zero).where_cond(loss * weight, zero);
        let parts = [sum, weight].map(|sums| Part { sums, chunks: 1, width: 1 });
        self.entries.push((Sums::Mean, parts.to_vec()));
        self.output("loss".into(), Output::Mean)
    }

    /// The mean over all rows, by this name, of what is given for every row.
    #[must_use]
    #[track_caller]
    pub fn mean(mut self, name: &str, rows: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        self.mean_entry(rows);
        self.output(name.into(), Output::Mean)
    }

    /// Makes the sums of a batch readable: before the step is compiled.
    #[must_use]
    #[track_caller]
    pub fn keep(self) -> KeptMetrics<'g> {
        let _here = self.graph.here();
        let mut first = 0;
        let mut all = Vec::new();
        let mut layouts = Vec::new();
        for (sums, parts) in self.entries {
            let mut places = Vec::new();
            for Part { sums, chunks, width } in parts {
                places.push([first, chunks, width]);
                first += chunks * width;
                all.push(sums);
            }
            layouts.push(Layout { sums, parts: places });
        }
        let sums = if all.is_empty() {
            self.graph.fault("metrics", &[], "there is no metric: name at least one before `Metrics::keep`")
        } else {
            self.graph.concat(&all, 0).keep()
        };
        KeptMetrics { sums, meter: Meter::new(layouts, self.outputs) }
    }

    /// Notes a mistake, which `compile` reports.
    #[track_caller]
    pub(super) fn refuse(&mut self, metric: &str, operands: &[Tensor<'g>], reason: impl Into<String>) {
        let _ = self.graph.fault(metric, operands, reason);
        self.name = None;
    }

    /// The weight of every one of so many rows, which have the shape of `like`.
    #[track_caller]
    pub(super) fn row_weight(&mut self, rows: usize, like: Tensor<'g>) -> Option<Tensor<'g>> {
        let weight = self.weight.filter(|weight| weight.is_valid())?;
        let (shape, of) = (weight.shape(), like.shape());
        if shape.rank() > of.rank() || of[..shape.rank()] != shape[..] || weight.dtype() != DType::F32 {
            let reason = "weights are f32, of the shape of the rows or of its first axes";
            self.refuse("metrics", &[weight, like], reason);
            return None;
        }
        let mut extents = shape.to_vec();
        extents.resize(of.rank(), 1);
        Some(weight.reshape(extents).broadcast_to(of).reshape([rows]))
    }

    /// Sums of what is given for every row, weighted.
    #[track_caller]
    pub(super) fn mean_entry(&mut self, values: Tensor<'g>) {
        let rows = values.shape().elements();
        let (weight, values) = match self.row_weight(rows, values) {
            Some(weight) => {
                let zero = self.graph.full([1], 0.0);
                (weight, weight.gt(zero).where_cond(values.reshape([rows]), zero) * weight)
            }
            None => (self.graph.full([rows], 1.0), values.reshape([rows])),
        };
        let parts = [values, weight].map(|x| part(x.reshape([rows, 1])));
        self.entries.push((Sums::Mean, parts.to_vec()));
    }

    #[track_caller]
    pub(super) fn output(self, name: String, output: Output) -> Self {
        let entry = self.entries.len() - 1;
        self.output_of(entry, name, output)
    }

    #[track_caller]
    pub(super) fn output_of(mut self, entry: usize, name: String, output: Output) -> Self {
        let name = self.name.take().unwrap_or(name);
        if self.outputs.iter().any(|output| output.name == name) {
            let reason =
                format!("there is a metric `{name}` already: call one of them otherwise with `Metrics::named`");
            self.refuse("metrics", &[], reason);
        }
        self.outputs.push(Named { name, entry, output });
        self
    }
}

/// How many chunks of how many rows.
pub(super) fn chunks(rows: usize) -> (usize, usize) {
    let chunks = rows.div_ceil(MOST_ROWS).max(1);
    (chunks, rows.div_ceil(chunks))
}

/// The sums over rows of `[rows, width]`.
#[track_caller]
pub(super) fn part(x: Tensor<'_>) -> Part<'_> {
    let (rows, width) = (x.shape().first().copied().unwrap_or(1), x.shape().last());
    let (chunks, size) = chunks(rows);
    let sums = filled(x, chunks * size).reshape([chunks, size, width]).sum(1);
    Part { sums: sums.reshape([chunks * width]), chunks, width }
}

/// `[rows, width]` with zeros up to so many rows.
#[track_caller]
pub(super) fn filled(x: Tensor<'_>, rows: usize) -> Tensor<'_> {
    match rows - x.shape().first().copied().unwrap_or(rows).min(rows) {
        0 => x,
        lacking => x.pad(&[(0, lacking), (0, 0)]),
    }
}
