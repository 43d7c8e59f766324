//! What all plots share: size, colours, title, legend, axes.

use super::axis::Axis;
use crate::base::{Error, ErrorKind, Result};
use crate::see::text::{shortened, width};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;

/// Where a plot is drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// A plot with two axes.
pub type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<Scale, Scale>>;
pub type Drawn<T = ()> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// A range of numbers on pixels, with its ticks.
#[derive(Clone)]
pub struct Scale {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        // What is far outside stays a coordinate.
        start + (f64::from(end - start) * share.clamp(-4.0, 5.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Lines between the ticks would say nothing.
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// The colours of series and classes: blue, vermillion, green, purple, orange, sky blue, black. After Okabe and Ito (2008).
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(170, 80, 135),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(30, 30, 30),
];
pub const DARK: RGBColor = RGBColor(40, 40, 40);
pub const GREY: RGBColor = RGBColor(90, 90, 90);
/// Sizes of texts.
pub const TITLE: u32 = 17;
pub const SMALL: u32 = 13;

/// Draws a picture of this size.
pub fn picture(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).and_then(|()| draw(&area)).and_then(|()| area.present())
    };
    drawn.map_err(|error| Error::new(ErrorKind::System, format!("the plot could not be drawn: {error}")))?;
    Ok(svg)
}

/// A size that has room for axes, and is no mistake.
pub fn bounded(width: u32, height: u32) -> (u32, u32) {
    (width.clamp(320, 8_000), height.clamp(240, 8_000))
}

/// A text style of this size and colour that stands to the right of its place, vertically in the middle.
pub fn style(size: u32, colour: RGBColor) -> TextStyle<'static> {
    let mut style = TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(HPos::Left, VPos::Center));
    style.color = colour.to_backend_color();
    style
}

/// The same, in the middle of its place.
pub fn centred(size: u32, colour: RGBColor) -> TextStyle<'static> {
    style(size, colour).pos(Pos::new(HPos::Center, VPos::Center))
}

/// A title at the top, and the rest of the area.
pub fn titled<'a>(area: &Area<'a>, title: &str) -> Drawn<Area<'a>> {
    if title.is_empty() {
        return Ok(area.clone());
    }
    let (top, rest) = area.split_vertically(34);
    let most = top.dim_in_pixel().0 as usize / 9;
    top.draw_text(&shortened(title, most), &style(TITLE, DARK), (14, 20))?;
    Ok(rest)
}

/// An entry of a legend.
pub struct Entry {
    pub name: String,
    pub colour: RGBColor,
    pub sign: Sign,
}

/// What stands before an entry.
#[derive(Clone, Copy)]
pub enum Sign {
    Line,
    Dashes,
    /// The shape of a class's points.
    Class(usize),
}

/// A legend in as many rows as it takes, and the rest of the area.
pub fn legend<'a>(area: &Area<'a>, entries: &[Entry]) -> Drawn<Area<'a>> {
    let across = f64::from(area.dim_in_pixel().0);
    let most = ((across - 60.0) / 8.5) as usize;
    let (mut x, mut row) = (14.0, 0);
    let mut places = Vec::new();
    for entry in entries {
        let name = shortened(&entry.name, most);
        let takes = 34.0 + width(&name, f64::from(SMALL)) + 18.0;
        if x + takes > across && x > 14.0 {
            (x, row) = (14.0, row + 1);
        }
        places.push((x as i32, 10 + 20 * row, name));
        x += takes;
    }
    if entries.is_empty() {
        return Ok(area.clone());
    }
    let (top, rest) = area.split_vertically(20 * (row + 1) + 4);
    for (entry, (x, y, name)) in entries.iter().zip(places) {
        let stroke = entry.colour.stroke_width(3);
        match entry.sign {
            Sign::Line => top.draw(&PathElement::new([(x, y), (x + 24, y)], stroke))?,
            Sign::Dashes => {
                for start in [x, x + 9, x + 18] {
                    top.draw(&PathElement::new([(start, y), (start + 6, y)], stroke))?;
                }
            }
            Sign::Class(class) => {
                for shape in point(class, 6) {
                    let placed: Vec<(i32, i32)> = shape.iter().map(|(dx, dy)| (x + 12 + dx, y + dy)).collect();
                    top.draw(&Polygon::new(placed, entry.colour.filled()))?;
                }
            }
        }
        top.draw_text(&name, &style(SMALL, DARK), (x + 30, y))?;
    }
    Ok(rest)
}

/// The outline of a point of a class: octagon, square, triangle or diamond, around the origin.
pub fn point(class: usize, size: i32) -> Vec<Vec<(i32, i32)>> {
    let (s, h) = (size, size / 2);
    vec![match class % 4 {
        0 => vec![(-h, -s), (h, -s), (s, -h), (s, h), (h, s), (-h, s), (-s, h), (-s, -h)],
        1 => vec![(-s, -s), (s, -s), (s, s), (-s, s)],
        2 => vec![(0, -s - 1), (s + 1, s), (-s - 1, s)],
        _ => vec![(0, -s - 2), (s + 2, 0), (0, s + 2), (-s - 2, 0)],
    }]
}

/// Axes with their names, and the plot within.
pub fn chart<'a, 'b>(area: &Area<'a>, (x, x_name): (&Axis, &str), (y, y_name): (&Axis, &str)) -> Drawn<Chart<'a, 'b>> {
    let (across, down) = area.dim_in_pixel();
    let rows = (down / 45).max(2) as usize;
    let y_ticks = y.ticks(rows);
    // As wide as the longest number, with the name of the axis before it.
    let longest = y_ticks.iter().map(|tick| width(&y.label(*tick, rows), f64::from(SMALL))).fold(0.0, f64::max);
    let left = longest as u32 + if y_name.is_empty() { 14 } else { 36 };
    let columns = x.fitting(f64::from(across.saturating_sub(left + 28)).min(1_000.0), f64::from(SMALL));
    let x_ticks = x.ticks(columns);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(if x_name.is_empty() { 28 } else { 48 })
        .y_label_area_size(left)
        .build_cartesian_2d(Scale { range: x.range(), ticks: x_ticks }, Scale { range: y.range(), ticks: y_ticks })?;
    let x_label = |tick: &f64| x.label(*tick, columns);
    let y_label = |tick: &f64| y.label(*tick, rows);
    chart
        .configure_mesh()
        .bold_line_style(RGBColor(225, 225, 225))
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .label_style(("sans-serif", SMALL).into_font().color(&DARK))
        .axis_desc_style(("sans-serif", SMALL).into_font().color(&DARK))
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .x_desc(shortened(x_name, across as usize / 9))
        .y_desc(shortened(y_name, down as usize / 9))
        .draw()?;
    Ok(chart)
}
