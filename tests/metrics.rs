//! Metrics beside the plain formulas in float64 over all rows at once.

mod common;

use common::device;
use retrograd::fit::{Average, Measured, Metrics, Values};
use retrograd::{Device, ErrorKind, Generator, Graph, Params};

const METRICS: usize = 3;

/// A measure from how often a class was rightly predicted, predicted, and the label.
type Measure = fn([f64; 3]) -> f64;

/// Rows of a classifier and of a regression, in batches.
struct Rows {
    batch: usize,
    classes: usize,
    scores: Vec<f32>,
    labels: Vec<i32>,
    predictions: Vec<f32>,
    targets: Vec<f32>,
    weights: Vec<f32>,
}

impl Rows {
    /// Scores on a coarse grid, so that many are equal; the last class is neither a label nor ever predicted, and the one before it never
    /// predicted. What has no weight is NaN in every second case.
    fn draw(random: &mut Generator, batch: usize, batches: usize, classes: usize, offset: f64) -> Self {
        let rows = batch * batches;
        let labels: Vec<i32> = (0..rows).map(|_| (random.uniform(0.0, 1.0) * (classes - 1) as f64) as i32).collect();
        let weights: Vec<f32> =
            (0..rows).map(|row| f32::from(u8::from(row == 0 || random.uniform(0.0, 1.0) < 0.8))).collect();
        let mut scores: Vec<f32> = (0..rows * classes)
            .map(|place| match place % classes {
                class if class + 1 == classes => -9.0,
                class if class + 2 == classes && classes > 3 => -8.0,
                _ => (random.uniform(-2.0, 2.0) * 2.0).round() as f32,
            })
            .collect();
        let mut draw = |deviation: f64| {
            (0..rows * METRICS).map(|_| (offset + random.normal(0.0, deviation)) as f32).collect::<Vec<_>>()
        };
        let (mut predictions, targets) = (draw(1.5), draw(1.0));
        for row in (0..rows).filter(|&row| weights[row] == 0.0 && row % 2 == 0) {
            scores[row * classes] = f32::NAN;
            predictions[row * METRICS] = f32::NAN;
        }
        Self { batch, classes, scores, labels, predictions, targets, weights }
    }

    /// The metrics by the formulas.
    fn expected(&self) -> Values {
        let used: Vec<usize> = (0..self.labels.len()).filter(|&row| self.weights[row] != 0.0).collect();
        let count = used.len() as f64;
        let of = |row: usize| &self.scores[row * self.classes..(row + 1) * self.classes];
        // The place in a stable sorting from the greatest down.
        let rank = |row: usize| {
            let mut order: Vec<usize> = (0..self.classes).collect();
            order.sort_by(|&a, &b| of(row)[b].partial_cmp(&of(row)[a]).expect("what counts is a number"));
            order.iter().position(|&class| class == self.labels[row] as usize).unwrap()
        };
        let predicted = |row: usize| {
            let mut best = 0;
            for class in 0..self.classes {
                if of(row)[class] > of(row)[best] {
                    best = class;
                }
            }
            best
        };
        let mut values = Values::default();
        let share = |k: usize| used.iter().filter(|&&row| rank(row) < k).count() as f64 / count;
        values.set("accuracy", share(1));
        values.set("top_2_accuracy", share(2));
        let cross_entropy = |row: usize| {
            let scores: Vec<f64> = of(row).iter().map(|&score| f64::from(score)).collect();
            scores.iter().map(|score| score.exp()).sum::<f64>().ln() - scores[self.labels[row] as usize]
        };
        values.set("perplexity", (used.iter().map(|&row| cross_entropy(row)).sum::<f64>() / count).exp());
        let counts: Vec<[f64; 3]> = (0..self.classes)
            .map(|class| {
                let is = |row: usize| self.labels[row] as usize == class;
                let said = |row: usize| predicted(row) == class;
                let number = |test: &dyn Fn(usize) -> bool| used.iter().filter(|&&row| test(row)).count() as f64;
                [number(&|row| is(row) && said(row)), number(&said), number(&is)]
            })
            .collect();
        let measures: [(&str, Measure); 3] = [
            ("precision", |[right, said, _]| if said > 0.0 { right / said } else { 0.0 }),
            ("recall", |[right, _, is]| if is > 0.0 { right / is } else { 0.0 }),
            ("f1", |[right, said, is]| 2.0 * right / (said + is)),
        ];
        for (name, measure) in measures {
            let there: Vec<[f64; 3]> = counts.iter().copied().filter(|[_, said, is]| said + is > 0.0).collect();
            let sum = there.iter().fold([0.0; 3], |sum, counts| [0, 1, 2].map(|part| sum[part] + counts[part]));
            values.set(
                format!("macro {name}"),
                there.iter().map(|&counts| measure(counts)).sum::<f64>() / there.len() as f64,
            );
            values.set(format!("micro {name}"), measure(sum));
            values.set(
                format!("weighted {name}"),
                there.iter().map(|&counts| counts[2] * measure(counts)).sum::<f64>() / count,
            );
        }
        for (name, measure) in measures {
            for (class, &counts) in counts.iter().enumerate() {
                let value = if counts[1] + counts[2] > 0.0 { measure(counts) } else { f64::NAN };
                values.set(format!("{name}/{class}"), value);
            }
        }
        let pairs = |column: usize| {
            used.iter()
                .map(move |&row| [&self.predictions, &self.targets].map(|of| f64::from(of[row * METRICS + column])))
        };
        let all = || (0..METRICS).flat_map(pairs);
        let mean = |sum: f64| sum / (count * METRICS as f64);
        values.set("mae", mean(all().map(|[p, t]| (p - t).abs()).sum()));
        values.set("mse", mean(all().map(|[p, t]| (p - t).powi(2)).sum()));
        values.set("rmse", mean(all().map(|[p, t]| (p - t).powi(2)).sum()).sqrt());
        let r2 = |column: usize| {
            let centre = pairs(column).map(|[_, t]| t).sum::<f64>() / count;
            let [errors, squares] = [
                pairs(column).map(|[p, t]| (p - t).powi(2)).sum::<f64>(),
                pairs(column).map(|[_, t]| (t - centre).powi(2)).sum::<f64>(),
            ];
            if errors == 0.0 {
                1.0
            } else if squares == 0.0 {
                0.0
            } else {
                1.0 - errors / squares
            }
        };
        values.set("r2", (0..METRICS).map(r2).sum::<f64>() / METRICS as f64);
        values
    }

    fn confusion(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.classes * self.classes];
        for row in (0..self.labels.len()).filter(|&row| self.weights[row] != 0.0) {
            let scores = &self.scores[row * self.classes..(row + 1) * self.classes];
            let mut best = 0;
            for class in 0..self.classes {
                if scores[class] > scores[best] {
                    best = class;
                }
            }
            counts[self.labels[row] as usize * self.classes + best] += 1.0;
        }
        counts
    }

    fn check(&self, device: &Device) {
        let (batch, classes) = (self.batch, self.classes);
        let g = Graph::evaluation();
        let (scores, labels) = (g.input("scores", [batch, classes]), g.labels("labels", [batch]));
        let (predictions, targets) = (g.input("predictions", [batch, METRICS]), g.input("targets", [batch, METRICS]));
        let weights = g.input("weights", [batch]);
        let mut metrics = Metrics::new(&g)
            .weighted(weights)
            .accuracy(scores, labels)
            .top_k_accuracy(2, scores, labels)
            .perplexity(scores, labels);
        for (name, average) in [("macro", Average::Macro), ("micro", Average::Micro), ("weighted", Average::Weighted)] {
            metrics = metrics.named(&format!("{name} precision")).precision(average, scores, labels);
            metrics = metrics.named(&format!("{name} recall")).recall(average, scores, labels);
            metrics = metrics.named(&format!("{name} f1")).f1(average, scores, labels);
        }
        let metrics = metrics
            .class_report(scores, labels)
            .mean_absolute_error(predictions, targets)
            .mean_squared_error(predictions, targets)
            .root_mean_squared_error(predictions, targets)
            .r_squared(predictions, targets)
            .confusion_matrix(scores, labels)
            .keep();
        let mut step = g.infer(&[metrics.sums()]).compile(device, &Params::seeded(1)).unwrap();
        let mut meter = metrics.meter();
        for first in (0..self.labels.len()).step_by(batch) {
            let part = |data: &[f32], width: usize| data[first * width..(first + batch) * width].to_vec();
            step.run([
                scores.feed(&part(&self.scores, classes)),
                labels.feed(&self.labels[first..first + batch]),
                predictions.feed(&part(&self.predictions, METRICS)),
                targets.feed(&part(&self.targets, METRICS)),
                weights.feed(&part(&self.weights, 1)),
            ])
            .unwrap();
            meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
        }
        let measured = meter.measured();
        let expected = self.expected();
        for (name, value) in expected.iter() {
            let got = measured.values.get(name).unwrap_or_else(|| panic!("no {name}"));
            // Counts are exact; sums over rows are those of single precision.
            let counted = !["perplexity", "mae", "mse", "rmse", "r2"].contains(&name);
            let tolerance = if counted { 1e-12 } else { 2e-5 * value.abs().max(1.0) };
            let equal = (got - value).abs() <= tolerance || (got.is_nan() && value.is_nan());
            assert!(equal, "{device:?} {batch} x {classes}: {name} is {got}, by the formula {value}");
        }
        assert_eq!(measured.values.len(), expected.len());
        let confusion = measured.confusion.unwrap();
        assert_eq!(confusion.rows().flatten().copied().collect::<Vec<_>>(), self.confusion(), "{batch} x {classes}");
    }
}

#[test]
fn every_metric_is_that_of_its_formula() {
    let mut random = Generator::new(5);
    for (batch, batches, classes) in [(1, 9, 2), (7, 3, 3), (65, 4, 11), (1025, 2, 5), (16, 3, 37)] {
        for offset in [0.0, 1e4] {
            let rows = Rows::draw(&mut random, batch, batches, classes, offset);
            for device in ["cpu", "vulkan", "gl"].into_iter().filter_map(device) {
                rows.check(device);
            }
        }
    }
}

#[test]
fn counts_beyond_the_integers_of_single_precision_are_exact() {
    // 2^24 + 3 rows are one more than f32 can count one by one.
    let rows = (1 << 24) + 3;
    let g = Graph::evaluation();
    let values = g.input("values", [rows]);
    let metrics = Metrics::new(&g).mean("ones", values.ge(g.full([1], 0.0)).to_f32()).keep();
    let mut step = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &Params::seeded(1)).unwrap();
    let mut data = vec![1.0f32; rows];
    data[rows - 1] = -1.0;
    step.run([values.feed(&data)]).unwrap();
    let mut meter = metrics.meter();
    meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
    assert_eq!(meter.measured().values.get("ones"), Some((rows - 1) as f64 / rows as f64));
}

#[test]
fn weights_of_the_first_axes_count_all_that_belongs_to_a_row() {
    let g = Graph::evaluation();
    let (scores, labels, weight) = (g.input("scores", [2, 3, 2]), g.labels("labels", [2, 3]), g.input("weight", [2]));
    let metrics = Metrics::new(&g).weighted(weight).accuracy(scores, labels).confusion_matrix(scores, labels).keep();
    let mut step = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &Params::seeded(1)).unwrap();
    let all = [1.0f32, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
    step.run([scores.feed(&all), labels.feed(&[0, 1, 1, 1, 1, 1]), weight.feed(&[1.0f32, 0.0])]).unwrap();
    let mut meter = metrics.meter();
    meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
    let measured = meter.measured();
    assert_eq!(measured.values.get("accuracy"), Some(2.0 / 3.0));
    let confusion = measured.confusion.unwrap();
    assert_eq!(confusion.rows().collect::<Vec<_>>(), [[1.0, 0.0], [1.0, 1.0]]);
    assert_eq!(confusion.to_string(), "   0  1\n0  1  0\n1  1  1");
}

#[test]
fn a_score_of_nan_is_never_right() {
    let g = Graph::evaluation();
    let (scores, labels) = (g.input("scores", [2, 2]), g.labels("labels", [2]));
    let (guess, truth) = (g.input("guess", [2]), g.input("truth", [2]));
    let metrics = Metrics::new(&g).accuracy(scores, labels).f1(Average::Micro, scores, labels);
    let metrics = metrics.confusion_matrix(scores, labels).named("binary").binary_accuracy(guess, truth, 0.5).keep();
    for device in common::devices() {
        let mut step = g.infer(&[metrics.sums()]).compile(&device, &Params::seeded(1)).unwrap();
        let fed = [scores.feed(&[f32::NAN, 0.0, 1.0, f32::NAN]), labels.feed(&[0, 0])];
        let guessed = [guess.feed(&[f32::NAN, 0.1]), truth.feed(&[0.0f32, 0.0])];
        step.run([&fed[..], &guessed[..]].concat()).unwrap();
        let mut meter = metrics.meter();
        meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
        let Measured { values, confusion } = meter.measured();
        let found = ["accuracy", "f1", "binary"].map(|name| values.get(name));
        assert_eq!(found, [Some(0.0), Some(0.0), Some(0.5)], "{}", device.name());
        assert_eq!(confusion.unwrap().rows().flatten().sum::<f64>(), 0.0, "{}", device.name());
    }
}

#[test]
fn targets_that_are_all_the_same_are_explained_by_none_of_rounding() {
    let g = Graph::evaluation();
    let (predictions, targets, weight) = (g.input("p", [64]), g.input("t", [64]), g.input("w", [64]));
    let metrics = Metrics::new(&g).weighted(weight).r_squared(predictions, targets).keep();
    let mut step = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &Params::seeded(1)).unwrap();
    let mut random = Generator::new(7);
    for _ in 0..200 {
        let mut meter = metrics.meter();
        let value = random.uniform(-100.0, 100.0) as f32;
        for _ in 0..3 {
            let weights: Vec<f32> = (0..64).map(|_| random.uniform(0.1, 2.0) as f32).collect();
            let guesses: Vec<f32> = (0..64).map(|_| value + random.normal(0.0, 1.0) as f32).collect();
            step.run([predictions.feed(&guesses), targets.feed(&[value; 64]), weight.feed(&weights)]).unwrap();
            meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
        }
        assert_eq!(meter.measured().values.get("r2"), Some(0.0), "{value}");
    }
}

#[test]
fn weights_count_for_what_follows_them_alone() {
    let g = Graph::evaluation();
    let (scores, labels, weight) = (g.input("scores", [4, 2]), g.labels("labels", [4]), g.input("weight", [4]));
    let plain = Metrics::new(&g).recall(Average::Micro, scores, labels);
    let metrics = plain.weighted(weight).named("weighted").recall(Average::Micro, scores, labels).keep();
    let mut step = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &Params::seeded(0)).unwrap();
    let classes = [1.0f32, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    step.run([scores.feed(&classes), labels.feed(&[0, 1, 1, 0]), weight.feed(&[3.0f32, 1.0, 3.0, 1.0])]).unwrap();
    let mut meter = metrics.meter();
    meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
    let values = meter.measured().values;
    assert_eq!((values.get("recall"), values.get("weighted")), (Some(0.5), Some(0.75)));
}

#[test]
fn binary_targets_and_a_loss_of_batches() {
    let g = Graph::evaluation();
    let (logits, targets, weight) = (g.input("logits", [4]), g.input("targets", [4]), g.input("weight", [4]));
    let rows = logits.binary_cross_entropy_with_logits_error(targets);
    let loss = (rows * weight).sum(..) / weight.sum(..);
    let metrics =
        Metrics::new(&g).weighted(weight).loss(loss).mean("by rows", rows).binary_accuracy(logits, targets, 0.0).keep();
    let mut step = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &Params::seeded(1)).unwrap();
    let mut meter = metrics.meter();
    for (values, weights) in
        [([1.0f32, -1.0, 0.0, -0.1], [1.0f32; 4]), ([3.0, 2.0, 1.0, 0.5], [1.0, 0.0, 0.0, 0.0]), ([0.0; 4], [0.0; 4])]
    {
        step.run([logits.feed(&values), targets.feed(&[1.0f32, 0.0, 1.0, 1.0]), weight.feed(&weights)]).unwrap();
        meter.add(&step.read(metrics.sums()).unwrap()).unwrap();
    }
    let values = meter.measured().values;
    assert_eq!(values.get("accuracy"), Some(4.0 / 5.0));
    let (of_batches, of_rows) = (values.get("loss").unwrap(), values.get("by rows").unwrap());
    assert!((of_batches - of_rows).abs() < 1e-6, "{of_batches} {of_rows}");
}

#[test]
fn mistakes_are_told_where_they_were_made() {
    let g = Graph::evaluation();
    let (scores, labels, other) = (g.input("scores", [4, 3]), g.labels("labels", [4]), g.labels("other", [5]));
    let metrics = Metrics::new(&g)
        .accuracy(scores, other)
        .accuracy(scores, labels)
        .accuracy(scores, labels)
        .top_k_accuracy(4, scores, labels)
        .keep();
    let error = g.infer(&[metrics.sums()]).compile(&Device::cpu(), &Params::seeded(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recording);
    assert_eq!(error.faults().len(), 3, "{error}");
    let text = error.to_string();
    for part in ["i32[..]", "`accuracy` already", "4 of 3 classes", "tests/metrics.rs"] {
        assert!(text.contains(part), "{text}");
    }
    let empty = Graph::evaluation();
    let none = Metrics::new(&empty).keep();
    assert!(none.meter().measured().values.is_empty());
    let error = empty.infer(&[none.sums()]).compile(&Device::cpu(), &Params::seeded(1)).unwrap_err();
    assert!(error.to_string().contains("no metric"), "{error}");
}
