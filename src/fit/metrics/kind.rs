//! From sums over rows to values.

/// How one number is made of those of all classes.
///
/// A class that is neither among the labels nor among the predictions has no precision, recall or F1 (0/0, NaN), and is left out of every
/// average, as in scikit-learn and torchmetrics. One that is among the labels but never predicted has precision 0, and one that is
/// predicted but not among the labels recall 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The mean over classes.
    Macro,
    /// That of the sums over classes; with one label per row all three are the accuracy.
    Micro,
    /// The mean over classes, each weighted by how often it is among the labels.
    Weighted,
}

/// Which of the three measures of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// tp / (tp + fp).
    Precision,
    /// tp / (tp + fn).
    Recall,
    /// 2 tp / (2 tp + fp + fn).
    F1,
}

impl Measure {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Precision => "precision",
            Self::Recall => "recall",
            Self::F1 => "f1",
        }
    }

    /// From how often a class was rightly predicted, predicted, and the label.
    fn of(self, right: f64, predicted: f64, labels: f64) -> f64 {
        let zero_or = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        match self {
            _ if predicted + labels <= 0.0 => f64::NAN,
            Self::Precision => zero_or(right, predicted),
            Self::Recall => zero_or(right, labels),
            Self::F1 => 2.0 * right / (predicted + labels),
        }
    }
}

/// What the sums of an entry are, and how those of batches are combined.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sums {
    /// sum(w v), sum(w).
    Mean,
    /// Of every class: rightly predicted, predicted, labels.
    Classes(usize),
    /// Rows of labels, columns of predictions.
    Confusion(usize),
    /// sum(w), and of every one of so many columns: a centre c, sum(w (t - c)), sum(w (t - c)^2), sum(w (t - p)^2).
    Deviations(usize),
}

impl Sums {
    /// Adds the sums of one batch to those of all before.
    pub fn add(&self, total: &mut Vec<f64>, batch: &[Vec<f64>]) {
        match self {
            Self::Mean | Self::Classes(_) | Self::Confusion(_) => {
                let batch: Vec<f64> = batch.concat();
                total.resize(batch.len(), 0.0);
                total.iter_mut().zip(batch).for_each(|(total, sum)| *total += sum);
            }
            &Self::Deviations(columns) => {
                // Of all: the weight, and of every column mean, sum of squared deviations from it, and sum of squared errors.
                total.resize(1 + 3 * columns, 0.0);
                let weight = batch[0][0];
                if weight == 0.0 {
                    return;
                }
                let before = total[0];
                let all = before + weight;
                for (column, so_far) in total[1..].chunks_exact_mut(3).enumerate() {
                    let [centre, first, second, more_errors] = [1, 2, 3, 4].map(|part: usize| batch[part][column]);
                    let mean_of_batch = centre + first / weight;
                    let squares_of_batch = second - first * first / weight;
                    let [mean, squares, errors] = so_far else { continue };
                    // Source: Chan, Golub, LeVeque 1983.
                    let apart = mean_of_batch - *mean;
                    *mean += apart * weight / all;
                    *squares += squares_of_batch.max(0.0) + apart * apart * before * weight / all;
                    *errors += more_errors;
                }
                total[0] = all;
            }
        }
    }
}

/// A number that is made of the sums of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    Mean,
    RootOfMean,
    ExponentialOfMean,
    Class(Measure, usize),
    Averaged(Measure, Average),
    RSquared,
}

impl Output {
    /// The value of all rows. NaN where there was none.
    pub fn of(&self, sums: &Sums, total: &[f64]) -> f64 {
        if total.is_empty() {
            return f64::NAN;
        }
        let mean = || total[0] / total[1];
        match (self, sums) {
            (Self::Mean, _) => mean(),
            (Self::RootOfMean, _) => mean().sqrt(),
            (Self::ExponentialOfMean, _) => mean().exp(),
            (Self::Class(measure, class), Sums::Classes(classes)) => {
                measure.of(total[*class], total[classes + class], total[2 * classes + class])
            }
            (Self::Averaged(measure, average), &Sums::Classes(classes)) => averaged(*measure, *average, classes, total),
            (Self::RSquared, &Sums::Deviations(columns)) => r_squared(columns, total),
            _ => f64::NAN,
        }
    }
}

fn averaged(measure: Measure, average: Average, classes: usize, total: &[f64]) -> f64 {
    let (right, predicted, labels) = (&total[..classes], &total[classes..2 * classes], &total[2 * classes..]);
    if average == Average::Micro {
        return measure.of(right.iter().sum(), predicted.iter().sum(), labels.iter().sum());
    }
    let (mut sum, mut weights) = (0.0, 0.0);
    for class in 0..classes {
        let value = measure.of(right[class], predicted[class], labels[class]);
        let weight = if average == Average::Macro { 1.0 } else { labels[class] };
        if !value.is_nan() {
            sum += weight * value;
            weights += weight;
        }
    }
    sum / weights
}

fn r_squared(columns: usize, total: &[f64]) -> f64 {
    if total[0] <= 0.0 {
        return f64::NAN;
    }
    // Less than single precision tells apart of targets of this size: what rounding leaves of those that are all the same.
    let is_nothing = |mean: f64, squares: f64| squares <= 1e-17 * total[0] * mean * mean;
    let of = |column: usize| match (total[1 + 3 * column], total[2 + 3 * column], total[3 + 3 * column]) {
        (_, _, 0.0) => 1.0,
        (mean, squares, _) if is_nothing(mean, squares) => 0.0,
        (_, squares, errors) => 1.0 - errors / squares,
    };
    (0..columns).map(of).sum::<f64>() / columns as f64
}
