//! Metrics of predicted numbers: predictions against targets.

use super::kind::{Output, Sums};
use super::record::{Metrics, Part, part};
use crate::record::Tensor;

impl<'g> Metrics<'g> {
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
        // NaN is on no side.
        self.mean_entry(predicted.eq(truth).to_f32() * predictions.eq(predictions).to_f32());
        self.output("accuracy".into(), Output::Mean)
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

    #[track_caller]
    fn alike(&mut self, metric: &str, predictions: Tensor<'g>, targets: Tensor<'g>) -> bool {
        let alike = predictions.shape() == targets.shape();
        if !alike {
            self.refuse(metric, &[predictions, targets], "predictions and targets need one shape: reshape one of them");
        }
        alike && predictions.is_valid() && targets.is_valid()
    }
}
