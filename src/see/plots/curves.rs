//! Curves of losses and metrics.

use super::axis::{Axis, MOST};
use super::frame::{COLOURS, Chart, DARK, Drawn, Entry, SMALL, Sign, bounded, centred, chart, legend, picture, titled};
use crate::base::Result;
use crate::see::save::write_picture;
use plotters::prelude::*;
use std::path::Path;

/// Most points of a series that are drawn one by one; of more, the least and the greatest of every part.
const POINTS: usize = 2_000;

/// Losses and metrics over steps or epochs: several series in one plot, with a linear or a logarithmic axis. Where a value is
/// NaN or infinite there is a gap, a mark at the bottom, and the number of such values in the legend.
///
/// ```
/// use retrograd::see::Curves;
/// let svg = Curves::new("Digits")
///     .axes("epoch", "loss")
///     .series("training", [2.3f32, 0.9, 0.4, f32::NAN, 0.2])
///     .series("validation", [2.3f32, 1.0, 0.6, 0.5, 0.5])
///     .logarithmic()
///     .svg()?;
/// assert!(svg.contains("training (1 NaN or infinite)"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Curves {
    title: String,
    names: (String, String),
    series: Vec<Series>,
    logarithmic: bool,
    size: (u32, u32),
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Points that can be drawn, in runs without gaps, and those that cannot.
struct Split {
    runs: Vec<Vec<(f64, f64)>>,
    not_finite: Vec<f64>,
    not_positive: usize,
    too_large: usize,
}

impl Curves {
    /// A plot without series, of 800 x 480 pixels.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        let names = ("step".into(), String::new());
        Self { title: title.into(), names, series: Vec::new(), logarithmic: false, size: (800, 480) }
    }

    /// With names of the axes, units included.
    #[must_use]
    pub fn axes(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.names = (x.into(), y.into());
        self
    }

    /// With a series of values at 0, 1, 2 and so on.
    #[must_use]
    pub fn series(self, name: impl Into<String>, values: impl IntoIterator<Item = impl Into<f64>>) -> Self {
        let values = values.into_iter().enumerate().map(|(place, value)| (place as f64, value.into()));
        self.points(name, values)
    }

    /// With a series of points x, y.
    #[must_use]
    pub fn points(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        self.series.push(Series { name: name.into(), points: points.into_iter().collect() });
        self
    }

    /// With a logarithmic axis of values. What is not above 0 is left out, and counted in the legend.
    #[must_use]
    pub const fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// In another size: at least 320 x 240 pixels, at most 8,000 x 8,000.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = bounded(width, height);
        self
    }

    /// The plot as SVG.
    ///
    /// # Errors
    /// None that is known of.
    pub fn svg(&self) -> Result<String> {
        let splits: Vec<Split> = self.series.iter().map(|series| self.split(series)).collect();
        picture(self.size, |area| {
            let area = titled(area, &self.title)?;
            let entry = |(number, (series, split)): (usize, (&Series, &Split))| Entry {
                name: split.named(series),
                colour: COLOURS[number % COLOURS.len()],
                sign: if number < COLOURS.len() { Sign::Line } else { Sign::Dashes },
            };
            let entries: Vec<Entry> = self.series.iter().zip(&splits).enumerate().map(entry).collect();
            let area = legend(&area, &entries)?;
            let points = || splits.iter().flat_map(|split| split.runs.iter().flatten().copied());
            let marks = splits.iter().flat_map(|split| split.not_finite.iter().copied());
            let x = Axis::around(points().map(|(x, _)| x).chain(marks), 0.02, false);
            let y = Axis::around(points().map(|(_, y)| y), 0.06, self.logarithmic);
            let mut chart = chart(&area, (&x, &self.names.0), (&y, &self.names.1))?;
            for (number, split) in splits.iter().enumerate() {
                split.draw(&mut chart, number, y.range().start)?;
            }
            if points().next().is_none() {
                let (across, down) = area.dim_in_pixel();
                let text = if self.series.iter().all(|series| series.points.is_empty()) {
                    "there are no values yet"
                } else {
                    "no value can be drawn"
                };
                area.draw_text(text, &centred(SMALL + 2, DARK), (across as i32 / 2, down as i32 / 2))?;
            }
            Ok(())
        })
    }

    /// Writes the plot as what the file's name ends with: `.svg`, or `.png` with twice as many pixels in each direction.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) where it cannot be written; [`ErrorKind::Argument`](crate::ErrorKind::Argument)
    /// for another ending.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_picture(path.as_ref(), "plot", &self.svg()?)
    }

    fn split(&self, series: &Series) -> Split {
        let mut split = Split { runs: Vec::new(), not_finite: Vec::new(), not_positive: 0, too_large: 0 };
        let mut run = Vec::new();
        for &(x, y) in &series.points {
            let drawn = if !y.is_finite() || !x.is_finite() {
                split.not_finite.push(x);
                None
            } else if y.abs() > MOST || x.abs() > MOST {
                split.too_large += 1;
                None
            } else if self.logarithmic && y <= 0.0 {
                split.not_positive += 1;
                None
            } else {
                Some((x, if self.logarithmic { y.log10() } else { y }))
            };
            match drawn {
                Some(point) => run.push(point),
                None if !run.is_empty() => split.runs.push(std::mem::take(&mut run)),
                None => {}
            }
        }
        if !run.is_empty() {
            split.runs.push(run);
        }
        split.runs = split.runs.into_iter().map(thinned).collect();
        split
    }
}

impl Split {
    /// The series' name, with what is missing of it.
    fn named(&self, series: &Series) -> String {
        let mut missing = Vec::new();
        for (count, what) in [
            (self.not_finite.len(), "NaN or infinite"),
            (self.not_positive, "not above 0"),
            (self.too_large, "beyond 1e100"),
        ] {
            if count > 0 {
                missing.push(format!("{count} {what}"));
            }
        }
        if missing.is_empty() { series.name.clone() } else { format!("{} ({})", series.name, missing.join(", ")) }
    }

    fn draw(&self, chart: &mut Chart<'_, '_>, number: usize, bottom: f64) -> Drawn {
        let colour = COLOURS[number % COLOURS.len()];
        for run in &self.runs {
            if let &[alone] = run.as_slice() {
                chart.draw_series([Circle::new(alone, 4, colour.filled())])?;
            } else if number < COLOURS.len() {
                chart.draw_series(LineSeries::new(run.iter().copied(), colour.stroke_width(2)))?;
            } else {
                chart.draw_series(DashedLineSeries::new(run.iter().copied(), 7, 4, colour.stroke_width(2)))?;
            }
        }
        let marks = self.not_finite.iter().filter(|x| x.is_finite() && x.abs() <= MOST).take(POINTS);
        chart.draw_series(marks.map(|&x| {
            let cross = [[(-4, -10), (4, -2)], [(-4, -2), (4, -10)]];
            let [a, b] = cross;
            EmptyElement::at((x, bottom))
                + PathElement::new(a, colour.stroke_width(2))
                + PathElement::new(b, colour.stroke_width(2))
        }))?;
        Ok(())
    }
}

/// A run with few points: of every part of a longer one the least and the greatest, so that no spike is lost.
fn thinned(run: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if run.len() <= POINTS {
        return run;
    }
    let part = run.len().div_ceil(POINTS / 2);
    let mut thin = Vec::new();
    for part in run.chunks(part) {
        let by = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        if let (Some(&low), Some(&high)) = (part.iter().min_by(by), part.iter().max_by(by)) {
            thin.extend(if low.0 <= high.0 { [low, high] } else { [high, low] });
        }
    }
    // The ends stay where they are.
    thin.insert(0, run[0]);
    thin.push(run[run.len() - 1]);
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_among_a_million_points_stays() {
        let run: Vec<(f64, f64)> =
            (0..1_000_000).map(|i| (f64::from(i), if i == 777_777 { 9.0 } else { 1.0 })).collect();
        let thin = thinned(run);
        assert!(thin.len() <= POINTS + 4 && thin.contains(&(777_777.0, 9.0)));
        assert!(thin.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }
}
