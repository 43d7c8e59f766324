//! What a classifier of points in a plane answers where.

use super::axis::Axis;
use super::frame::{COLOURS, Drawn, Entry, Sign, chart, legend, picture, point, titled};
use crate::base::{Error, ErrorKind, Result};
use crate::see::save::write_picture;
use plotters::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// The regions in which a classifier of points in a plane gives each class, with the points it learned from.
///
/// ```
/// use retrograd::see::DecisionBoundary;
/// let mut plot = DecisionBoundary::new("Circle", -1.0..1.0, -1.0..1.0, 64)?;
/// let grid = plot.grid();                     // 64 x 64 points, one after another: feed them to the network
/// let classes: Vec<i32> = grid.chunks(2).map(|p| i32::from(p[0].hypot(p[1]) < 0.7)).collect();
/// plot = plot.classes(&classes)?.points(&[0.0, 0.1, 0.9, 0.9], &[1, 0])?;
/// assert!(plot.svg()?.contains("class 1"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DecisionBoundary {
    title: String,
    x: Range<f64>,
    y: Range<f64>,
    resolution: usize,
    classes: Vec<i32>,
    points: Vec<(f64, f64, i32)>,
    names: Vec<String>,
}

impl DecisionBoundary {
    /// For so many cells in each direction of a rectangle.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a range that is empty or not finite, and other resolutions than 1 to 1,000.
    pub fn new(title: impl Into<String>, x: Range<f64>, y: Range<f64>, resolution: usize) -> Result<Self> {
        for (name, range) in [("x", &x), ("y", &y)] {
            if !(range.start < range.end && range.start.abs() < 1e30 && range.end.abs() < 1e30) {
                let message = format!(
                    "the range {} to {} of {name} has no place on an axis: it must go up, and stay within 1e30",
                    range.start, range.end
                );
                return Err(Error::new(ErrorKind::Argument, message));
            }
        }
        if !(1..=1_000).contains(&resolution) {
            let message = format!("a resolution of {resolution} cells: take 1 to 1,000");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let (classes, points, names) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { title: title.into(), x, y, resolution, classes, points, names })
    }

    /// The middles of the cells as pairs x, y, one after another: rows from the lowest y, in each from the lowest x. The shape is
    /// `[resolution * resolution, 2]`.
    #[must_use]
    pub fn grid(&self) -> Vec<f32> {
        let middle = |range: &Range<f64>, cell: usize| {
            (range.start + (range.end - range.start) * (cell as f64 + 0.5) / self.resolution as f64) as f32
        };
        let cells = (0..self.resolution).flat_map(|row| (0..self.resolution).map(move |column| (row, column)));
        cells.flat_map(|(row, column)| [middle(&self.x, column), middle(&self.y, row)]).collect()
    }

    /// With the class of every cell, in the order of [`grid`](Self::grid).
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where these are not as many as there are cells, or any is negative.
    pub fn classes(mut self, classes: &[i32]) -> Result<Self> {
        let cells = self.resolution * self.resolution;
        if classes.len() != cells {
            let message = format!(
                "{} classes were given, and the grid has {cells} cells: give the class of every point of `grid()`",
                classes.len()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        not_negative(classes)?;
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// With points as pairs x, y, one after another, and the class of each. Those outside of the rectangle are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where there are not twice as many numbers as classes, or a class is negative.
    pub fn points(mut self, points: &[f32], classes: &[i32]) -> Result<Self> {
        if points.len() != 2 * classes.len() {
            let (numbers, count) = (points.len(), classes.len());
            let message = format!("{numbers} numbers were given for {count} points: each has an x, a y and a class");
            return Err(Error::new(ErrorKind::Argument, message));
        }
        not_negative(classes)?;
        let pairs = points.chunks_exact(2).zip(classes);
        self.points = pairs.map(|(pair, &class)| (f64::from(pair[0]), f64::from(pair[1]), class)).collect();
        Ok(self)
    }

    /// With names of the classes, from class 0 on.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// The plot as SVG.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where the cells have no classes yet.
    pub fn svg(&self) -> Result<String> {
        if self.classes.is_empty() {
            let message = "the cells have no classes yet: compute them for `grid()`, and pass them to `classes`";
            return Err(Error::new(ErrorKind::Argument, message));
        }
        picture((640, 640), |area| {
            let area = titled(area, &self.title)?;
            let occurring: BTreeSet<i32> =
                self.classes.iter().copied().chain(self.points.iter().map(|(.., class)| *class)).collect();
            let entry = |class: i32| {
                let name = self.names.get(class as usize).cloned().unwrap_or_else(|| format!("class {class}"));
                Entry { name, colour: colour(class), sign: Sign::Class(class as usize) }
            };
            let entries: Vec<Entry> = occurring.into_iter().map(entry).collect();
            let area = legend(&area, &entries)?;
            let axes = [&self.x, &self.y].map(|range| Axis::exactly(range.start, range.end));
            let mut chart = chart(&area, (&axes[0], ""), (&axes[1], ""))?;
            self.regions(&mut chart)?;
            let inside = |(x, y, _): &&(f64, f64, i32)| self.x.contains(x) && self.y.contains(y);
            for &(x, y, class) in self.points.iter().filter(inside) {
                for shape in point(class as usize, 4) {
                    let outline = shape.iter().chain(&shape[..1]).copied().collect::<Vec<_>>();
                    let mark = EmptyElement::at((x, y))
                        + Polygon::new(shape, colour(class).filled())
                        + PathElement::new(outline, WHITE.stroke_width(1));
                    chart.draw_series([mark])?;
                }
            }
            Ok(())
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

    /// Neighbours in a row that have the same class, as one rectangle.
    fn regions(&self, chart: &mut super::frame::Chart<'_, '_>) -> Drawn {
        let place = |range: &Range<f64>, cell: usize| {
            range.start + (range.end - range.start) * cell as f64 / self.resolution as f64
        };
        for (row, classes) in self.classes.chunks(self.resolution).enumerate() {
            let (low, high) = (place(&self.y, row), place(&self.y, row + 1));
            let mut column = 0;
            for run in classes.chunk_by(|a, b| a == b) {
                let (left, right) = (place(&self.x, column), place(&self.x, column + run.len()));
                let RGBColor(red, green, blue) = colour(run[0]);
                let tint = |part: u8| (255.0 - (255.0 - f64::from(part)) * 0.32) as u8;
                let colour = RGBColor(tint(red), tint(green), tint(blue));
                chart.draw_series([Rectangle::new([(left, low), (right, high)], colour.filled())])?;
                column += run.len();
            }
        }
        Ok(())
    }
}

fn colour(class: i32) -> RGBColor {
    COLOURS[class as usize % COLOURS.len()]
}

fn not_negative(classes: &[i32]) -> Result<()> {
    match classes.iter().find(|class| **class < 0) {
        Some(class) => Err(Error::new(ErrorKind::Argument, format!("{class} is no class: they count from 0"))),
        None => Ok(()),
    }
}
