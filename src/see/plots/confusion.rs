//! Which class is taken for which.

use super::frame::{Area, DARK, Drawn, GREY, SMALL, centred, picture, style, titled};
use crate::base::{Error, ErrorKind, Result};
use crate::see::save::write_picture;
use crate::see::text::{grouped, shortened, width};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// A confusion matrix: a row for every true class, a column for every class that was predicted, and in every cell how many
/// there were. Colours are shares of the row; the diagonal is what was predicted rightly.
///
/// ```
/// use retrograd::see::Confusion;
/// let svg = Confusion::new("Species", &[vec![18, 2], vec![1, 19]]).names(["setosa", "virginica"]).svg()?;
/// assert!(svg.contains("setosa"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Confusion {
    title: String,
    counts: Vec<Vec<f64>>,
    names: Vec<String>,
}

impl Confusion {
    /// From counts: `counts[truth][prediction]`. Classes are named by their numbers.
    #[must_use]
    pub fn new(title: impl Into<String>, counts: &[Vec<u64>]) -> Self {
        Self::weighted(title, counts.iter().map(|row| row.iter().map(|&count| count as f64).collect()).collect())
    }

    /// From sums of weights: `sums[truth][prediction]`. Classes are named by their numbers.
    #[must_use]
    pub fn weighted(title: impl Into<String>, sums: Vec<Vec<f64>>) -> Self {
        let names = (0..sums.len()).map(|class| class.to_string()).collect();
        Self { title: title.into(), counts: sums, names }
    }

    /// With names of the classes.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The plot as SVG.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where there is no class, rows, columns and names are not equally many, or a count is below 0, NaN or
    /// infinite.
    pub fn svg(&self) -> Result<String> {
        let classes = self.counts.len();
        if classes == 0 {
            return Err(Error::new(ErrorKind::Argument, "a confusion matrix without classes shows nothing"));
        }
        if let Some((row, counts)) = self.counts.iter().enumerate().find(|(_, row)| row.len() != classes) {
            let message = format!(
                "row {row} of the confusion matrix has {} counts, and there are {classes} classes: rows are the true \
                 classes, columns the predicted ones",
                counts.len()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        if let Some(count) = self.counts.iter().flatten().find(|count| !(count.is_finite() && **count >= 0.0)) {
            let message = format!("the confusion matrix counts {count}: counts are 0 or more, and finite");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        if self.names.len() != classes {
            let message =
                format!("the confusion matrix has {classes} classes, and {} names were given", self.names.len());
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let cell = (560 / classes as i32).clamp(6, 64);
        let longest = self.longest().max(30.0);
        let left = longest as i32 + 48;
        let side = cell * classes as i32;
        let head = if self.title.is_empty() { 0 } else { 34 };
        let size = ((left + side + 24).max(320) as u32, (head + side + self.below(cell) + 16) as u32);
        picture(size, |area| {
            let area = titled(area, &self.title)?;
            self.cells(&area, cell, left)?;
            self.sides(&area, cell, left)
        })
    }

    /// Writes the plot as what the file's name ends with: `.svg`, or `.png` with twice as many pixels in each direction.
    ///
    /// # Errors
    /// As those of [`svg`](Self::svg); [`ErrorKind::File`] where it cannot be written; [`ErrorKind::Argument`] for another
    /// ending.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_picture(path.as_ref(), "plot", &self.svg()?)
    }

    /// Pixels of the longest name of a class.
    fn longest(&self) -> f64 {
        self.names.iter().map(|name| width(&shortened(name, 18), f64::from(SMALL))).fold(0.0, f64::max)
    }

    /// How far below the cells the name of the axis stands: below those of the classes, which are turned where they are wider
    /// than a cell.
    fn below(&self, cell: i32) -> i32 {
        let longest = self.longest();
        if longest > f64::from(cell - 6) { longest as i32 + 32 } else { 44 }
    }

    fn cells(&self, area: &Area<'_>, cell: i32, left: i32) -> Drawn {
        for (row, counts) in self.counts.iter().enumerate() {
            let all: f64 = counts.iter().sum();
            for (column, &count) in counts.iter().enumerate() {
                let share = if all == 0.0 { 0.0 } else { count / all };
                // From white to a dark blue.
                let mix = |end: f64| (255.0 + (end - 255.0) * share.powf(0.7)) as u8;
                let colour = RGBColor(mix(0.0), mix(75.0), mix(125.0));
                let (x, y) = (left + cell * column as i32, 8 + cell * row as i32);
                area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], colour.filled()))?;
                area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], RGBColor(205, 205, 205).stroke_width(1)))?;
                let text = match count.fract() {
                    0.0 => grouped(count as u64),
                    _ => format!("{count:.2}"),
                };
                let fits = (f64::from(cell - 4) / width(&text, 1.0)).min(f64::from(SMALL)) as u32;
                if fits >= 8 {
                    let colour = if share > 0.45 { WHITE } else { DARK };
                    area.draw_text(&text, &centred(fits, colour), (x + cell / 2, y + cell / 2))?;
                }
            }
        }
        Ok(())
    }

    /// The names of the classes and of the axes.
    fn sides(&self, area: &Area<'_>, cell: i32, left: i32) -> Drawn {
        let side = cell * self.counts.len() as i32;
        // Where cells are smaller than a line, not every class is named.
        let every = (18.0 / f64::from(cell)).ceil() as usize;
        let turned = self.longest() > f64::from(cell - 6);
        for (class, name) in self.names.iter().enumerate().filter(|(class, _)| class % every == 0) {
            let (name, middle) = (shortened(name, 18), cell * class as i32 + cell / 2);
            let right = style(SMALL, DARK).pos(Pos::new(HPos::Right, VPos::Center));
            area.draw_text(&name, &right, (left - 8, 8 + middle))?;
            let below = if turned {
                style(SMALL, DARK).transform(FontTransform::Rotate90).pos(Pos::new(HPos::Left, VPos::Center))
            } else {
                centred(SMALL, DARK)
            };
            area.draw_text(&name, &below, (left + middle, side + if turned { 16 } else { 20 }))?;
        }
        let foot = side + self.below(cell);
        area.draw_text("predicted class", &centred(SMALL, GREY), (left + side / 2, foot))?;
        let turned = style(SMALL, GREY).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw_text("true class", &turned, (14, 8 + side / 2))
    }
}
