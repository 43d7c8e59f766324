//! The sums of one batch, recorded in a graph.

use super::kind::{Average, Measure, Output, Sums};
use super::meter::{Layout, Meter, Named};
use crate::base::DType;
use crate::record::{Graph, Tensor, TensorId};

/// Most rows of which a sum is taken in single precision: counts stay far below 2^24, where it skips integers.
const MOST_ROWS: usize = 1 << 20;
/// Most classes of a confusion matrix, which has the square of that in elements.
const MOST_CLASSES: usize = 4096;

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
    graph: &'g Graph,
    weight: Option<Tensor<'g>>,
    /// What the next value is called.
    name: Option<String>,
    entries: Vec<(Sums, Vec<Part<'g>>)>,
    outputs: Vec<Named>,
    /// Which entry counts the classes of these scores and labels.
    counted: Vec<([TensorId; 2], usize)>,
}

/// Sums of rows, by chunks of these.
#[derive(Clone, Copy, Debug)]
struct Part<'g> {
    /// `[chunks * width]`.
    sums: Tensor<'g>,
    chunks: usize,
    width: usize,
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

    /// The share of rows whose greatest score is that of their label, as `accuracy`. One with a score of NaN is wrong.
    #[must_use]
    #[track_caller]
    pub fn accuracy(self, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        self.ranked("accuracy".into(), 1, scores, labels)
    }

    /// The share of rows whose label is among the k greatest scores, as `top_<k>_accuracy`.
    #[must_use]
    #[track_caller]
    pub fn top_k_accuracy(self, k: usize, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        self.ranked(format!("top_{k}_accuracy"), k, scores, labels)
    }

    #[track_caller]
    fn ranked(mut self, name: String, k: usize, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        let Some([rows, classes]) = self.classified(&name, scores, labels) else { return self };
        if k == 0 || k > classes {
            let reason =
                format!("{k} of {classes} classes were asked for: k is at least 1 and at most the number of classes");
            self.refuse(&name, &[scores, labels], reason);
            return self;
        }
        let labels_shape = labels.shape();
        let (scores, labels) = (scores.reshape([rows, classes]), labels.reshape([rows, 1]));
        let own = scores.gather(-1, labels);
        // NaN is not at most anything, so it stands before everything.
        let one = self.graph.full([1], 1.0);
        let greater = one - scores.le(own).to_f32();
        let number = self.graph.constant((0..classes as i32).collect::<Vec<_>>()).to_f32();
        let before = scores.eq(own).to_f32() * number.lt(labels.to_f32()).to_f32();
        let rank = (greater + before).sum(-1);
        let right = rank.lt(self.graph.full([1], k as f64)).to_f32();
        self.mean_entry(right.reshape(labels_shape));
        self.output(name, Output::Mean)
    }

    /// The share of rows whose target, 0 or 1, is on the same side of the threshold as the prediction: a probability, or a logit
    /// with the threshold 0. As `accuracy`; a prediction of exactly the threshold is 1.
    #[must_use]
    #[track_caller]
    pub fn binary_accuracy(mut self, predictions: Tensor<'g>, targets: Tensor<'g>, threshold: f64) -> Self {
        let _here = self.graph.here();
        if !self.alike("binary_accuracy", predictions, targets) {
            return self;
        }
        let predicted = predictions.ge(self.graph.full([1], threshold)).to_f32();
        let truth = targets.ge(self.graph.full([1], 0.5)).to_f32();
        self.mean_entry(predicted.eq(truth).to_f32());
        self.output("accuracy".into(), Output::Mean)
    }

    /// exp of the mean cross-entropy of scores against labels, as `perplexity`.
    #[must_use]
    #[track_caller]
    pub fn perplexity(mut self, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        if self.classified("perplexity", scores, labels).is_none() {
            return self;
        }
        self.mean_entry(scores.cross_entropy_rows(labels, 0.0));
        self.output("perplexity".into(), Output::ExponentialOfMean)
    }

    /// The mean of |p - t|, as `mae`.
    #[must_use]
    #[track_caller]
    pub fn mean_absolute_error(mut self, predictions: Tensor<'g>, targets: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        self.mean_entry(predictions.absolute_error(targets));
        self.output("mae".into(), Output::Mean)
    }

    /// The mean of (p - t)^2, as `mse`.
    #[must_use]
    #[track_caller]
    pub fn mean_squared_error(mut self, predictions: Tensor<'g>, targets: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        self.mean_entry(predictions.squared_error(targets));
        self.output("mse".into(), Output::Mean)
    }

    /// The root of the mean of (p - t)^2 over all rows, as `rmse`.
    #[must_use]
    #[track_caller]
    pub fn root_mean_squared_error(mut self, predictions: Tensor<'g>, targets: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        self.mean_entry(predictions.squared_error(targets));
        self.output("rmse".into(), Output::RootOfMean)
    }

    /// The coefficient of determination, 1 - sum (t - p)^2 / sum (t - mean t)^2, as `r2`: of predictions and targets `[rows, ..]`, for
    /// every place of the further axes, and of these the mean. Of targets that are all the same it is 0, or 1 where every prediction is
    /// right. Weights are one for each row.
    ///
    /// Sums of squares are taken around the mean of their batch, and combined in double precision, so that targets far from zero lose nothing.
    #[must_use]
    #[track_caller]
    pub fn r_squared(mut self, predictions: Tensor<'g>, targets: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        if !self.alike("r_squared", predictions, targets) {
            return self;
        }
        let rows = targets.shape().first().copied().unwrap_or(1);
        let columns = targets.shape().elements() / rows;
        let weight = match self.weight {
            Some(weight) if weight.shape().elements() == rows => weight.reshape([rows, 1]),
            Some(weight) => {
                let reason =
                    format!("a weight is needed for each of {rows} rows, and they have shape {}", weight.shape());
                self.refuse("r_squared", &[predictions, targets], reason);
                return self;
            }
            None => self.graph.full([rows, 1], 1.0),
        };
        let zero = self.graph.full([1], 0.0);
        let counts = weight.gt(zero);
        let targets = counts.where_cond(targets.reshape([rows, columns]), zero);
        let errors = counts.where_cond(targets.squared_error(predictions.reshape([rows, columns])), zero);
        // The smallest divisor keeps a batch of no rows from 0/0.
        let total = weight.sum(..).maximum(self.graph.full([], 1e-30));
        let centre = (targets * weight).sum(0) / total;
        let apart = targets - centre;
        let parts = vec![
            part(weight.broadcast_to([rows, 1])),
            Part { sums: centre, chunks: 1, width: columns },
            part(apart * weight),
            part(apart.square() * weight),
            part(errors * weight),
        ];
        self.entries.push((Sums::Deviations(columns), parts));
        self.output("r2".into(), Output::RSquared)
    }

    /// Of the rows that are predicted to be of a class, the share that is: tp / (tp + fp), as `precision`.
    #[must_use]
    #[track_caller]
    pub fn precision(self, average: Average, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        self.averaged(Measure::Precision, average, scores, labels)
    }

    /// Of the rows of a class, the share that is predicted to be: tp / (tp + fn), as `recall`.
    #[must_use]
    #[track_caller]
    pub fn recall(self, average: Average, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        self.averaged(Measure::Recall, average, scores, labels)
    }

    /// The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn), as `f1`.
    #[must_use]
    #[track_caller]
    pub fn f1(self, average: Average, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        self.averaged(Measure::F1, average, scores, labels)
    }

    #[track_caller]
    fn averaged(mut self, measure: Measure, average: Average, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        match self.class_entry(measure.name(), scores, labels) {
            Some((entry, _)) => self.output_of(entry, measure.name().into(), Output::Averaged(measure, average)),
            None => self,
        }
    }

    /// Precision, recall and F1 of every class, as `precision/<class>` and so on; NaN for a class that is neither among labels nor
    /// among predictions.
    #[must_use]
    #[track_caller]
    pub fn class_report(mut self, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        let Some((entry, classes)) = self.class_entry("class_report", scores, labels) else { return self };
        for measure in [Measure::Precision, Measure::Recall, Measure::F1] {
            for class in 0..classes {
                let name = format!("{}/{class}", measure.name());
                self = self.output_of(entry, name, Output::Class(measure, class));
            }
        }
        self
    }

    /// How often rows of one class were taken for another: [`Measured::confusion`](super::Measured::confusion). At most 4,096 classes.
    #[must_use]
    #[track_caller]
    pub fn confusion_matrix(mut self, scores: Tensor<'g>, labels: Tensor<'g>) -> Self {
        let _here = self.graph.here();
        let Some([rows, classes]) = self.classified("confusion_matrix", scores, labels) else { return self };
        if classes > MOST_CLASSES || self.entries.iter().any(|(sums, _)| matches!(sums, Sums::Confusion(_))) {
            let reason =
                format!("there is one confusion matrix, of at most {MOST_CLASSES} classes, and these are {classes}");
            self.refuse("confusion_matrix", &[scores, labels], reason);
            return self;
        }
        let (chunks, size) = chunks(rows);
        let split = |x: Tensor<'g>| filled(x, chunks * size).reshape([chunks, size, classes]);
        let truth = labels.reshape([rows]).one_hot(classes);
        let predicted = scores.reshape([rows, classes]).argmax(-1).one_hot(classes);
        let truth = match self.row_weight(rows, labels) {
            Some(weight) => truth * weight.reshape([rows, 1]),
            None => truth,
        };
        let sums = split(truth).swap_axes(1, 2).matmul(split(predicted)).reshape([chunks * classes * classes]);
        self.entries.push((Sums::Confusion(classes), vec![Part { sums, chunks, width: classes * classes }]));
        self
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
    fn refuse(&mut self, metric: &str, operands: &[Tensor<'g>], reason: impl Into<String>) {
        let _ = self.graph.fault(metric, operands, reason);
        self.name = None;
    }

    /// The numbers of rows and classes.
    #[track_caller]
    fn classified(&mut self, metric: &str, scores: Tensor<'g>, labels: Tensor<'g>) -> Option<[usize; 2]> {
        if !scores.is_valid() || !labels.is_valid() {
            return None;
        }
        let (of, rows) = (scores.shape(), labels.shape());
        if of.rank() == 0
            || of[..of.rank() - 1] != rows[..]
            || scores.dtype() != DType::F32
            || labels.dtype() != DType::I32
        {
            let reason = "scores are f32[.., classes] and labels i32[..], with the same axes before the last";
            self.refuse(metric, &[scores, labels], reason);
            return None;
        }
        Some([rows.elements(), of.last()])
    }

    #[track_caller]
    fn alike(&mut self, metric: &str, predictions: Tensor<'g>, targets: Tensor<'g>) -> bool {
        let alike = predictions.shape() == targets.shape();
        if !alike {
            self.refuse(metric, &[predictions, targets], "predictions and targets need one shape: reshape one of them");
        }
        alike && predictions.is_valid() && targets.is_valid()
    }

    /// The weight of every one of so many rows, which have the shape of `like`.
    #[track_caller]
    fn row_weight(&mut self, rows: usize, like: Tensor<'g>) -> Option<Tensor<'g>> {
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
    fn mean_entry(&mut self, values: Tensor<'g>) {
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

    /// The entry that counts classes, and how many these are.
    #[track_caller]
    fn class_entry(&mut self, metric: &str, scores: Tensor<'g>, labels: Tensor<'g>) -> Option<(usize, usize)> {
        let [rows, classes] = self.classified(metric, scores, labels)?;
        let of = [scores.id(), labels.id()];
        if let Some((_, entry)) = self.counted.iter().find(|(counted, _)| *counted == of) {
            return Some((*entry, classes));
        }
        let truth = labels.reshape([rows]).one_hot(classes);
        let predicted = scores.reshape([rows, classes]).argmax(-1).one_hot(classes);
        let weight = self.row_weight(rows, labels);
        let weighted = |x: Tensor<'g>| part(weight.map_or(x, |weight| x * weight.reshape([rows, 1])));
        let parts = vec![weighted(truth * predicted), weighted(predicted), weighted(truth)];
        self.entries.push((Sums::Classes(classes), parts));
        self.counted.push((of, self.entries.len() - 1));
        Some((self.entries.len() - 1, classes))
    }

    #[track_caller]
    fn output(self, name: String, output: Output) -> Self {
        let entry = self.entries.len() - 1;
        self.output_of(entry, name, output)
    }

    #[track_caller]
    fn output_of(mut self, entry: usize, name: String, output: Output) -> Self {
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
fn chunks(rows: usize) -> (usize, usize) {
    let chunks = rows.div_ceil(MOST_ROWS).max(1);
    (chunks, rows.div_ceil(chunks))
}

/// The sums over rows of `[rows, width]`.
#[track_caller]
fn part(x: Tensor<'_>) -> Part<'_> {
    let (rows, width) = (x.shape().first().copied().unwrap_or(1), x.shape().last());
    let (chunks, size) = chunks(rows);
    let sums = filled(x, chunks * size).reshape([chunks, size, width]).sum(1);
    Part { sums: sums.reshape([chunks * width]), chunks, width }
}

/// `[rows, width]` with zeros up to so many rows.
#[track_caller]
fn filled(x: Tensor<'_>, rows: usize) -> Tensor<'_> {
    match rows - x.shape().first().copied().unwrap_or(rows).min(rows) {
        0 => x,
        lacking => x.pad(&[(0, lacking), (0, 0)]),
    }
}
