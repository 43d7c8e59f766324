//! How values are distributed: of weights and gradients, parameter by parameter.

use super::axis::{Axis, MOST};
use super::frame::{Area, COLOURS, DARK, Drawn, GREY, SMALL, centred, chart, picture, style, titled};
use crate::base::Result;
use crate::dispatch::State;
use crate::see::save::write_picture;
use crate::see::text::{grouped, number, shortened};
use plotters::prelude::*;
use std::path::Path;

/// The size of one histogram.
const PANEL: (u32, u32) = (330, 220);
/// Most histograms in a row.
const COLUMNS: usize = 3;

/// Histograms side by side, each with an axis of its own: how many values lie where. NaN and infinite values are counted above
/// it.
///
/// ```
/// use retrograd::see::Histograms;
/// let svg = Histograms::new("Gradients").group("up.weight", &[0.1, 0.2, 0.2, f32::NAN]).svg()?;
/// assert!(svg.contains("1 NaN or infinite"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Histograms {
    title: String,
    groups: Vec<Group>,
    bins: usize,
}

#[derive(Clone, Debug)]
struct Group {
    name: String,
    values: Vec<f32>,
}

impl Histograms {
    /// No histogram yet; every one will have 40 bins.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), groups: Vec::new(), bins: 40 }
    }

    /// The current values of all parameters of a state, each with a histogram of its own.
    ///
    /// # Errors
    /// When the device is lost.
    pub fn of_parameters(state: &State) -> Result<Self> {
        let names: Vec<String> = state.parameters().map(|(name, _)| name.to_owned()).collect();
        names.into_iter().try_fold(Self::new("Parameters"), |all, name| {
            let values = state.parameter(&name)?.to_vec();
            Ok(all.group(name, &values))
        })
    }

    /// With a histogram of these values.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>, values: &[f32]) -> Self {
        self.groups.push(Group { name: name.into(), values: values.to_vec() });
        self
    }

    /// With so many bins in every histogram: 1 to 500.
    #[must_use]
    pub fn bins(mut self, bins: usize) -> Self {
        self.bins = bins.clamp(1, 500);
        self
    }

    /// The plot as SVG.
    ///
    /// # Errors
    /// None that is known of.
    pub fn svg(&self) -> Result<String> {
        let columns = self.groups.len().clamp(1, COLUMNS);
        let rows = self.groups.len().div_ceil(columns).max(1);
        let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32 + if self.title.is_empty() { 0 } else { 34 });
        picture(size, |area| {
            let area = titled(area, &self.title)?;
            if self.groups.is_empty() {
                let middle = (PANEL.0 as i32 / 2, PANEL.1 as i32 / 2);
                return area.draw_text("there is nothing to count", &centred(SMALL, DARK), middle);
            }
            for (panel, group) in area.split_evenly((rows, columns)).iter().zip(&self.groups) {
                group.draw(panel, self.bins)?;
            }
            Ok(())
        })
    }

    /// Writes the plot as what the file's name ends with: `.svg`, or `.png` with twice as many pixels in each direction.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) where it cannot be written; [`ErrorKind::Argument`](crate::ErrorKind::Argument)
    /// for another ending; [`ErrorKind::Limit`](crate::ErrorKind::Limit) for more histograms than a PNG has room for.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_picture(path.as_ref(), "plot", &self.svg()?)
    }
}

impl Group {
    fn draw(&self, area: &Area<'_>, bins: usize) -> Drawn {
        let finite: Vec<f64> =
            self.values.iter().map(|&value| f64::from(value)).filter(|value| value.abs() < MOST).collect();
        let (top, rest) = area.split_vertically(36);
        top.draw_text(&shortened(&self.name, PANEL.0 as usize / 9), &style(SMALL, DARK), (14, 8))?;
        let missing = self.values.len() - finite.len();
        let count = grouped(self.values.len() as u64);
        let mean = finite.iter().sum::<f64>() / finite.len().max(1) as f64;
        let about = format!("{count} values, mean {}", number(mean));
        match (finite.is_empty(), missing) {
            (_, 0) if finite.is_empty() => top.draw_text("no values", &style(SMALL - 2, GREY), (14, 26))?,
            (_, 0) => top.draw_text(&about, &style(SMALL - 2, GREY), (14, 26))?,
            _ => {
                let text = format!("{count} values, {} NaN or infinite", grouped(missing as u64));
                top.draw_text(&text, &style(SMALL - 2, RGBColor(180, 60, 0)), (14, 26))?;
            }
        }
        if finite.is_empty() {
            return Ok(());
        }
        let x = Axis::around(finite.iter().copied(), 0.0, false);
        let range = x.range();
        let step = (range.end - range.start) / bins as f64;
        let mut counts = vec![0u64; bins];
        for value in finite {
            let bin = ((value - range.start) / step) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(0) as f64;
        let y = Axis::counts(most);
        let mut chart = chart(&rest, (&x, ""), (&y, ""))?;
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bin, &count)| {
            let start = range.start + step * bin as f64;
            Rectangle::new([(start, 0.0), (start + step, count as f64)], COLOURS[0].mix(0.85).filled())
        });
        chart.draw_series(bars)?;
        Ok(())
    }
}
