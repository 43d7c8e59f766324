//! The picture as SVG: forward from top to bottom, with the backward list beside it from bottom to top; circuits from left to
//! right.

use super::arrange::{Arranged, Request, arrange};
use super::layers::layers;
use super::{GraphPicture, Mark, Role, Wire};
use crate::see::text::{coordinate as at, escape, shortened, width};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Around everything.
const MARGIN: f64 = 24.0;
/// Between layers.
const BETWEEN: f64 = 38.0;
/// Between the forward and the backward side.
const SIDES: f64 = 70.0;
/// Sizes of texts, and the height of a line of each.
const TITLE: (f64, f64) = (13.0, 17.0);
const SMALL: (f64, f64) = (11.0, 14.0);
/// Most characters of a line in a box.
const CHARACTERS: usize = 34;
/// Height of one output of a circuit's box.
const PORT: f64 = 34.0;

/// A box in the picture.
#[derive(Clone, Copy, Debug)]
struct Placed {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    layer: usize,
}

/// Everything with its place.
struct Drawing<'p> {
    picture: &'p GraphPicture,
    boxes: Vec<Placed>,
    /// The points of every wire within a side; none for those between sides.
    passes: BTreeMap<usize, Vec<(usize, f64)>>,
    /// Where layers begin and end, along the flow.
    bands: Vec<(f64, f64)>,
    size: (f64, f64),
}

pub fn write(picture: &GraphPicture) -> String {
    let drawing = Drawing::new(picture);
    let (width, height) = drawing.size;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"{}\">\n",
        SMALL.0,
        w = at(width),
        h = at(height)
    );
    svg.push_str("<title>");
    svg.push_str(if picture.is_circuit { "Circuit" } else { "Graph" });
    svg.push_str("</title>\n<defs>\n");
    for (name, colour) in ARROWS {
        let _ = writeln!(
            svg,
            "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = writeln!(svg, "</defs>\n<rect width=\"{}\" height=\"{}\" fill=\"#ffffff\"/>", at(width), at(height));
    drawing.scopes(&mut svg);
    for (number, wire) in picture.wires.iter().enumerate() {
        drawing.wire(&mut svg, number, *wire);
    }
    for (mark, placed) in picture.marks.iter().zip(&drawing.boxes) {
        mark.draw(&mut svg, placed, picture.is_circuit);
    }
    drawing.legend(&mut svg);
    svg.push_str("</svg>\n");
    svg
}

/// The heads of lines, by what they belong to.
const ARROWS: [(&str, &str); 3] = [("forward", "#0072b2"), ("backward", "#c04f00"), ("kept", "#999999")];

impl<'p> Drawing<'p> {
    fn new(picture: &'p GraphPicture) -> Self {
        let sizes: Vec<(f64, f64)> = picture.marks.iter().map(|mark| mark.size(picture.is_circuit)).collect();
        let members = |backward: bool| -> Vec<usize> {
            (0..picture.marks.len()).filter(|&own| picture.marks[own].is_backward == backward).collect()
        };
        let mut sides = [Side::new(picture, members(false)), Side::new(picture, members(true))];
        // Both end at the loss: the backward list goes up from there.
        let depth = sides.iter().map(|side| side.depth).max().unwrap_or(0);
        for layer in &mut sides[1].layers {
            *layer = depth - 1 - *layer;
        }
        let [before, _] = &sides;
        let lift = depth - before.depth;
        sides[0].layers.iter_mut().for_each(|layer| *layer += lift);
        let flow = |number: usize| if picture.is_circuit { sizes[number].0 } else { sizes[number].1 };
        let across = |number: usize| if picture.is_circuit { sizes[number].1 } else { sizes[number].0 };
        let mut thickness = vec![0.0f64; depth];
        for side in &sides {
            for (&number, &layer) in side.members.iter().zip(&side.layers) {
                thickness[layer] = thickness[layer].max(flow(number));
            }
        }
        let mut bands = Vec::new();
        let mut start = MARGIN + 12.0;
        for thickness in thickness {
            bands.push((start, start + thickness));
            start += thickness + BETWEEN;
        }
        let length = bands.last().map_or(MARGIN, |(_, end)| *end) + MARGIN;
        let mut boxes = vec![Placed { x: 0.0, y: 0.0, width: 0.0, height: 0.0, layer: 0 }; picture.marks.len()];
        let mut passes = BTreeMap::new();
        let mut offset = MARGIN + 8.0;
        for side in &sides {
            let Arranged { centres, passes: own, extent } = side.arrange(picture, &across);
            for ((&number, &layer), centre) in side.members.iter().zip(&side.layers).zip(centres) {
                let (width, height) = sizes[number];
                let (band, centre) = (bands[layer], centre + offset);
                let (x, y) = if picture.is_circuit {
                    (band.0, centre - height / 2.0)
                } else {
                    (centre - width / 2.0, f64::midpoint(band.0, band.1) - height / 2.0)
                };
                boxes[number] = Placed { x, y, width, height, layer };
            }
            for (&wire, points) in side.wires.iter().zip(own) {
                passes.insert(wire, points.into_iter().map(|(layer, place)| (layer, place + offset)).collect());
            }
            if !side.members.is_empty() {
                offset += extent + SIDES;
            }
        }
        let breadth = (offset - SIDES).max(MARGIN) + MARGIN + 8.0;
        let legend = 26.0 + picture.notes.len() as f64 * 16.0;
        let size = if picture.is_circuit { (length, breadth + legend) } else { (breadth, length + legend) };
        Self { picture, boxes, passes, bands, size: (size.0.max(360.0), size.1) }
    }

    /// What lies behind the boxes of every scope: in each layer as far as these reach, joined from layer to layer.
    fn scopes(&self, svg: &mut String) {
        let marks = &self.picture.marks;
        let mut known: BTreeSet<(usize, bool, String)> = BTreeSet::new();
        for mark in marks {
            let names: Vec<&str> = mark.scope.split('.').filter(|name| !name.is_empty()).collect();
            known.extend((1..=names.len()).map(|depth| (depth, mark.is_backward, names[..depth].join("."))));
        }
        let deepest = known.iter().map(|(depth, ..)| *depth).max().unwrap_or(0);
        for (depth, is_backward, scope) in &known {
            let inside = |mark: &Mark| {
                let deeper = || mark.scope.strip_prefix(scope).is_some_and(|rest| rest.starts_with('.'));
                mark.is_backward == *is_backward && (mark.scope == *scope || deeper())
            };
            let around = 7.0 + 4.0 * (deepest - depth) as f64;
            // Where it reaches from and to within every layer.
            let mut reaches: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            for (_, own) in marks.iter().zip(&self.boxes).filter(|(mark, _)| inside(mark)) {
                let (from, to) =
                    if self.picture.is_circuit { (own.y, own.y + own.height) } else { (own.x, own.x + own.width) };
                let reach = reaches.entry(own.layer).or_insert((f64::INFINITY, 0.0));
                *reach = (reach.0.min(from - around), reach.1.max(to + around));
            }
            let mut path = String::new();
            for (&layer, &(from, to)) in &reaches {
                let (start, end) = self.bands[layer];
                // Half of the way to the next layer, where that has boxes of the scope as well.
                let joined = |next: Option<usize>| next.is_some_and(|next| reaches.contains_key(&next));
                let start = start - if joined(layer.checked_sub(1)) { BETWEEN / 2.0 } else { around + 5.0 };
                let end = end + if joined(Some(layer + 1)) { BETWEEN / 2.0 } else { around };
                let [x0, y0, x1, y1] =
                    if self.picture.is_circuit { [start, from, end, to] } else { [from, start, to, end] };
                let _ = write!(path, "M{} {}H{}V{}H{}z", at(x0), at(y0), at(x1), at(y1), at(x0));
            }
            let Some((&first, &(from, _))) = reaches.first_key_value() else { continue };
            let start = self.bands[first].0 - around;
            let (x, y) = if self.picture.is_circuit { (start, from + 9.0) } else { (from + 4.0, start + 3.0) };
            let name = escape(&shortened(scope.rsplit('.').next().unwrap_or_default(), 24));
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"#000000\" fill-opacity=\"0.06\"/>\
                 <text x=\"{}\" y=\"{}\" font-size=\"10\" fill=\"#555555\">{name}</text>",
                at(x),
                at(y)
            );
        }
    }

    fn wire(&self, svg: &mut String, number: usize, wire: Wire) {
        let (from, to) = (&self.boxes[wire.from], &self.boxes[wire.to]);
        let (source, target) = (&self.picture.marks[wire.from], &self.picture.marks[wire.to]);
        let circuit = self.picture.is_circuit;
        let Some(passes) = self.passes.get(&number) else {
            // From one side to the other.
            let (start, end) = ((from.x + from.width, from.y + from.height / 2.0), (to.x, to.y + to.height / 2.0));
            let (start, end) =
                if source.is_backward { ((from.x, start.1), (to.x + to.width, end.1)) } else { (start, end) };
            let middle = f64::midpoint(start.0, end.0);
            let path = format!(
                "M{} {}C{} {} {} {} {} {}",
                at(start.0),
                at(start.1),
                at(middle),
                at(start.1),
                at(middle),
                at(end.1),
                at(end.0),
                at(end.1)
            );
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"#999999\" stroke-opacity=\"0.55\" stroke-dasharray=\"4 3\" \
                 marker-end=\"url(#kept)\"/>"
            );
            return;
        };
        let onward = from.layer < to.layer;
        let end_of = |of: &Placed, far: bool, port: Option<u32>| {
            if circuit {
                let y = port.map_or(of.y + of.height / 2.0, |port| of.y + PORT * (f64::from(port) + 0.5));
                (if far { of.x + of.width } else { of.x }, y)
            } else {
                (of.x + of.width / 2.0, if far { of.y + of.height } else { of.y })
            }
        };
        let mut points = vec![end_of(from, onward, (source.signals.len() > 1).then_some(wire.output))];
        let mut between: Vec<(usize, f64)> = passes.clone();
        if !onward {
            between.reverse();
        }
        for (layer, place) in between {
            let (start, end) = self.bands[layer];
            let ends = if onward { [start, end] } else { [end, start] };
            points.extend(ends.map(|along| if circuit { (along, place) } else { (place, along) }));
        }
        points.push(end_of(to, !onward, None));
        let mut path = format!("M{} {}", at(points[0].0), at(points[0].1));
        for (place, pair) in points.windows(2).enumerate() {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            // Between layers a curve, and straight through those that are passed.
            if place % 2 == 1 {
                let _ = write!(path, "L{} {}", at(x1), at(y1));
                continue;
            }
            let [a, b] = if circuit {
                let middle = f64::midpoint(x0, x1);
                [(middle, y0), (middle, y1)]
            } else {
                let middle = f64::midpoint(y0, y1);
                [(x0, middle), (x1, middle)]
            };
            let _ = write!(path, "C{} {} {} {} {} {}", at(a.0), at(a.1), at(b.0), at(b.1), at(x1), at(y1));
        }
        let arrow = usize::from(target.is_backward);
        let (name, colour) = ARROWS[arrow];
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\" marker-end=\"url(#{name})\"/>"
        );
    }

    /// What colours mean, of what occurs.
    fn legend(&self, svg: &mut String) {
        let marks = &self.picture.marks;
        let name = |mark: &Mark| match mark.role {
            Role::Input => "input",
            Role::Parameter => "parameter",
            Role::Constant => "constant",
            Role::Op | Role::Scope if mark.is_backward => "backward",
            Role::Op | Role::Scope => "forward",
        };
        let mut x = MARGIN;
        let lines = self.picture.notes.len() as f64;
        let y = self.size.1 - 12.0 - 16.0 * lines;
        for own in ["input", "parameter", "constant", "forward", "backward"] {
            let Some(mark) = marks.iter().find(|mark| name(mark) == own) else { continue };
            let (border, within) = mark.colours();
            let _ = writeln!(
                svg,
                "<rect x=\"{}\" y=\"{}\" width=\"11\" height=\"11\" fill=\"{within}\" stroke=\"{border}\"/>\
                 <text x=\"{}\" y=\"{}\" fill=\"#333333\">{own}</text>",
                at(x),
                at(y - 9.5),
                at(x + 16.0),
                at(y)
            );
            x += 16.0 + width(own, SMALL.0) + 16.0;
        }
        for (line, note) in self.picture.notes.iter().enumerate() {
            let y = y + 16.0 * (line + 1) as f64;
            let _ =
                writeln!(svg, "<text x=\"{}\" y=\"{}\" fill=\"#333333\">{}</text>", at(MARGIN), at(y), escape(note));
        }
    }
}

/// The boxes of the forward or the backward list, with the wires between them.
struct Side {
    members: Vec<usize>,
    layers: Vec<usize>,
    depth: usize,
    /// The wires by number, and their ends as places in `members`, the lower one first.
    wires: Vec<usize>,
    edges: Vec<(usize, usize)>,
}

impl Side {
    fn new(picture: &GraphPicture, members: Vec<usize>) -> Self {
        let (mut wires, mut edges) = (Vec::new(), Vec::new());
        for (number, wire) in picture.wires.iter().enumerate() {
            if let (Ok(from), Ok(to)) = (members.binary_search(&wire.from), members.binary_search(&wire.to)) {
                wires.push(number);
                // Boxes of several nodes may read each other.
                edges.push((from.min(to), from.max(to)));
            }
        }
        let layers = layers(members.len(), &edges);
        let depth = layers.iter().map(|layer| layer + 1).max().unwrap_or(0);
        Self { members, layers, depth, wires, edges }
    }

    fn arrange(&self, picture: &GraphPicture, across: &dyn Fn(usize) -> f64) -> Arranged {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let mut scopes = Vec::new();
        for &number in &self.members {
            let scope = picture.marks[number].scope.as_str();
            let ends = scope.match_indices('.').map(|(end, _)| end).chain([scope.len()]);
            let mut own = Vec::new();
            for end in ends.filter(|end| *end > 0) {
                let next = known.len();
                own.push(*known.entry(&scope[..end]).or_insert(next));
            }
            scopes.push(own);
        }
        let extents: Vec<f64> = self.members.iter().map(|&number| across(number)).collect();
        // Edges as they run through layers: those of the backward list go up.
        let up = |&(a, b): &(usize, usize)| if self.layers[a] < self.layers[b] { (a, b) } else { (b, a) };
        let edges: Vec<(usize, usize)> = self.edges.iter().map(up).collect();
        arrange(&Request { layers: &self.layers, extents: &extents, scopes: &scopes, edges: &edges })
    }
}

impl Mark {
    /// What a line of the box shows.
    fn line(line: &str) -> String {
        shortened(line, CHARACTERS)
    }

    fn box_width(&self) -> f64 {
        let of =
            |(number, line): (usize, &String)| width(&Self::line(line), if number == 0 { TITLE.0 } else { SMALL.0 });
        (self.lines.iter().enumerate().map(of).fold(0.0, f64::max) + 18.0).max(44.0)
    }

    /// What the values beside it take.
    fn signal_width(&self) -> f64 {
        let texts = self.signals.iter().flat_map(|signal| [&signal.value, &signal.gradient]).flatten();
        let most = texts.map(|text| width(text, SMALL.0)).fold(0.0, f64::max);
        if most > 0.0 { most + 12.0 } else { 0.0 }
    }

    fn size(&self, circuit: bool) -> (f64, f64) {
        let lines = TITLE.1 + SMALL.1 * (self.lines.len() - 1) as f64 + 8.0;
        if circuit {
            (self.box_width() + self.signal_width(), lines.max(PORT * self.signals.len() as f64))
        } else {
            (self.box_width(), lines)
        }
    }

    fn draw(&self, svg: &mut String, placed: &Placed, circuit: bool) {
        let (border, within) = self.colours();
        let width = if circuit { self.box_width() } else { placed.width };
        let form = match self.role {
            Role::Input => format!(" rx=\"{}\"", at(placed.height / 2.0)),
            Role::Op | Role::Scope => " rx=\"5\"".to_owned(),
            Role::Parameter => String::new(),
            Role::Constant => " stroke-dasharray=\"4 2\"".to_owned(),
        };
        let stroke = if self.role == Role::Parameter { 2.2 } else { 1.2 };
        let _ = write!(
            svg,
            "<g><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{form} fill=\"{within}\" \
             stroke=\"{border}\" stroke-width=\"{stroke}\"/>",
            escape(&self.hover),
            at(placed.x),
            at(placed.y),
            at(width),
            at(placed.height)
        );
        let height = TITLE.1 + SMALL.1 * (self.lines.len() - 1) as f64;
        let mut y = placed.y + (placed.height - height) / 2.0 + 13.0;
        let x = placed.x + width / 2.0;
        for (number, line) in self.lines.iter().enumerate() {
            let style = if number == 0 {
                format!("font-size=\"{}\" font-weight=\"bold\" fill=\"#111111\"", TITLE.0)
            } else {
                "fill=\"#444444\"".to_owned()
            };
            let text = escape(&Self::line(line));
            let _ = write!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" {style}>{text}</text>", at(x), at(y));
            y += if number == 0 { TITLE.1 - 2.0 } else { SMALL.1 };
        }
        let (start, end) = (placed.x + width, placed.x + placed.width);
        for (port, signal) in self.signals.iter().enumerate().filter(|(_, signal)| signal.value.is_some()) {
            let y = placed.y + if self.signals.len() > 1 { PORT * (port as f64 + 0.5) } else { placed.height / 2.0 };
            let _ = write!(
                svg,
                "<path d=\"M{} {y}H{}\" stroke=\"#0072b2\" stroke-width=\"1.2\"/>",
                at(start),
                at(end),
                y = at(y)
            );
            let middle = at(f64::midpoint(start, end));
            for (text, below, colour) in [(&signal.value, -4.0, "#00684e"), (&signal.gradient, 13.0, "#b03a00")] {
                let Some(text) = text else { continue };
                let (y, text) = (at(y + below), escape(text));
                let _ = write!(
                    svg,
                    "<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\" fill=\"{colour}\">{text}</text>"
                );
            }
        }
        svg.push_str("</g>\n");
    }
}
