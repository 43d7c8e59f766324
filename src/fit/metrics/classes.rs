//! Metrics of classifiers: scores of classes against labels.

use super::kind::{Average, Measure, Output, Sums};
use super::record::{Metrics, Part, chunks, filled, part};
use crate::base::DType;
use crate::record::Tensor;

/// Most classes of a confusion matrix, which has the square of that in elements.
const MOST_CLASSES: usize = 4096;

impl<'g> Metrics<'g> {
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

    /// How often rows of one class were taken for another: [`Measured::confusion`](super::Measured::confusion). At most 4,096 classes. Rows
    /// with a score of NaN are taken for none, and not counted.
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
        let predicted = predicted(scores.reshape([rows, classes]));
        let truth = match self.row_weight(rows, labels) {
            Some(weight) => truth * weight.reshape([rows, 1]),
            None => truth,
        };
        let sums = split(truth).swap_axes(1, 2).matmul(split(predicted)).reshape([chunks * classes * classes]);
        self.entries.push((Sums::Confusion(classes), vec![Part { sums, chunks, width: classes * classes }]));
        self
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

    /// The entry that counts classes, and how many these are.
    #[track_caller]
    fn class_entry(&mut self, metric: &str, scores: Tensor<'g>, labels: Tensor<'g>) -> Option<(usize, usize)> {
        let [rows, classes] = self.classified(metric, scores, labels)?;
        let of = (scores.id(), labels.id(), self.weight.map(Tensor::id));
        if let Some((_, entry)) = self.counted.iter().find(|(counted, _)| *counted == of) {
            return Some((*entry, classes));
        }
        let truth = labels.reshape([rows]).one_hot(classes);
        let predicted = predicted(scores.reshape([rows, classes]));
        let weight = self.row_weight(rows, labels);
        let weighted = |x: Tensor<'g>| part(weight.map_or(x, |weight| x * weight.reshape([rows, 1])));
        let parts = vec![weighted(truth * predicted), weighted(predicted), weighted(truth)];
        self.entries.push((Sums::Classes(classes), parts));
        self.counted.push((of, self.entries.len() - 1));
        Some((self.entries.len() - 1, classes))
    }
}

/// 1 for the class of the greatest score, of `[rows, classes]`; nothing where a score is NaN, which predicts no class.
#[track_caller]
fn predicted(scores: Tensor<'_>) -> Tensor<'_> {
    let (rows, classes) = (scores.shape()[0], scores.shape().last());
    let numbers = scores.eq(scores).to_f32().sum(-1);
    let whole = numbers.ge(scores.graph().full([1], classes as f64)).to_f32();
    scores.argmax(-1).one_hot(classes) * whole.reshape([rows, 1])
}
