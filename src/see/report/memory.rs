//! Memory: what it is for, and which tensors lie where and when.

use super::{LISTS, Report};
use crate::plan::{BufferKind, Held, Occupant};
use crate::see::text::{bytes, coordinate as at, escape, grouped};
use std::fmt::Write as _;

/// The width of the picture, that of the texts at its left, and the heights of its two parts.
const WIDTH: f64 = 1200.0;
const LEFT: f64 = 90.0;
const SLOTS: f64 = 380.0;
const LIVE: f64 = 90.0;
/// Between slots.
const GAP: f64 = 6.0;
/// Below this, the name of a slot would lie on the next.
const NAMED: f64 = 12.0;

impl Report<'_> {
    pub(super) fn memory(&self, page: &mut String) {
        page.push_str("<section id=\"memory\">\n<h2>Memory</h2>\n<div class=\"wide\"><table><tbody>\n");
        for (name, count) in self.plan.memory() {
            let _ = writeln!(
                page,
                "<tr><td>{name}</td><td class=\"number\">{} B</td><td class=\"number\">{}</td></tr>",
                grouped(count),
                bytes(count)
            );
        }
        let total = self.plan.total_bytes();
        let _ = writeln!(
            page,
            "<tr><th scope=\"row\">together</th><td class=\"number\">{} B</td><td class=\"number\">{}</td></tr>\n\
             </tbody></table></div>",
            grouped(total),
            bytes(total)
        );
        let occupants = self.plan.occupants();
        if occupants.is_empty() {
            page.push_str("<p>No intermediate tensor needs memory of its own.</p>\n</section>\n");
            return;
        }
        let _ = writeln!(
            page,
            "<h3>Intermediate tensors</h3>\n<p>From left to right the dispatches; every tensor from the one that writes it to \
             the last that uses it, at its place in the slots. At most {} are needed at a time.</p>",
            bytes(self.plan.live_bytes)
        );
        page.push_str("<div class=\"wide memory\">\n");
        self.picture(page, &occupants);
        page.push_str("</div>\n<output id=\"told\">Point at a tensor to see what it is.</output>\n</section>\n");
    }

    fn picture(&self, page: &mut String, occupants: &[Occupant]) {
        let plan = self.plan;
        let slots: Vec<usize> = (0..plan.buffers.len())
            .filter(|&buffer| matches!(plan.buffers[buffer].kind, BufferKind::Slot(_)))
            .collect();
        let all: f64 = slots.iter().map(|&slot| plan.buffers[slot].bytes as f64).sum::<f64>().max(1.0);
        let scale = SLOTS / all;
        let height = 20.0 + SLOTS + GAP * slots.len() as f64 + 24.0 + LIVE + 22.0;
        let step = (WIDTH - LEFT - 4.0) / plan.dispatches.len().max(1) as f64;
        let x = |dispatch: usize| LEFT + step * dispatch as f64;
        let _ = writeln!(
            page,
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Intermediate tensors in slots over the dispatches\">",
            at(height)
        );
        // Dispatches of one list follow one another.
        for phase in LISTS {
            let mut own = plan.dispatches.iter().enumerate().filter(|(_, dispatch)| dispatch.phase == phase);
            let Some((first, _)) = own.next() else { continue };
            let last = own.next_back().map_or(first, |(last, _)| last);
            let _ = writeln!(
                page,
                "<g class=\"{}\"><rect class=\"band\" x=\"{}\" y=\"0\" width=\"{}\" height=\"{}\"/></g>",
                phase.name(),
                at(x(first)),
                at(x(last + 1) - x(first)),
                at(height)
            );
            // A short list has no room for its name.
            if x(last + 1) - x(first) > 46.0 {
                let _ = writeln!(page, "<text x=\"{}\" y=\"13\">{}</text>", at(x(first) + 3.0), phase.name());
            }
        }
        let mut y = 20.0;
        let mut tops = vec![0.0; plan.buffers.len()];
        for &slot in &slots {
            let tall = plan.buffers[slot].bytes as f64 * scale;
            tops[slot] = y;
            let _ = writeln!(
                page,
                "<rect class=\"slot\" x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                at(y),
                at(WIDTH - LEFT - 4.0),
                at(tall)
            );
            if tall >= NAMED {
                let (kind, size) = (&plan.buffers[slot].kind, bytes(plan.buffers[slot].bytes));
                let middle = y + tall / 2.0;
                let _ = writeln!(
                    page,
                    "<text x=\"2\" y=\"{}\">{kind}</text>",
                    at(middle + if tall > 26.0 { -2.0 } else { 4.0 })
                );
                if tall > 26.0 {
                    let _ = writeln!(page, "<text class=\"faint\" x=\"2\" y=\"{}\">{size}</text>", at(middle + 11.0));
                }
            }
            y += tall + GAP;
        }
        for occupant in occupants {
            let phase = plan.dispatches[occupant.first].phase.name();
            let top = tops[occupant.buffer] + occupant.offset as f64 * scale;
            // What is small stays to be seen.
            let tall = (occupant.bytes as f64 * scale).max(1.2);
            let _ = writeln!(
                page,
                "<g class=\"{phase}\"><rect class=\"held\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect></g>",
                at(x(occupant.first)),
                at(top),
                at(x(occupant.last + 1) - x(occupant.first)),
                at(tall),
                escape(&self.told(occupant))
            );
        }
        self.live(page, y + 24.0, &x);
        page.push_str("</svg>\n");
    }

    /// How much is needed while every dispatch runs, as a curve.
    fn live(&self, page: &mut String, top: f64, x: &dyn Fn(usize) -> f64) {
        let live = self.plan.live_bytes_of_dispatches();
        let most = live.iter().copied().max().unwrap_or(0).max(1);
        let y = |count: u64| top + LIVE * (1.0 - count as f64 / most as f64);
        let mut path = format!("M{} {}", at(x(0)), at(y(0)));
        for (number, &count) in live.iter().enumerate() {
            let _ = write!(path, "V{}H{}", at(y(count)), at(x(number + 1)));
        }
        let _ = writeln!(
            page,
            "<path class=\"live\" d=\"{path}V{}\"/><text x=\"2\" y=\"{}\">needed</text>\
             <text class=\"faint\" x=\"2\" y=\"{}\">{}</text><text class=\"faint\" x=\"2\" y=\"{}\">0 B</text>",
            at(y(0)),
            at(top - 2.0),
            at(top + 12.0),
            bytes(most),
            at(top + LIVE)
        );
    }

    /// A tensor in words.
    fn told(&self, occupant: &Occupant) -> String {
        let name = match occupant.holds {
            Held::Tensor(tensor) => match self.recording {
                Some(recording) if tensor.node.index() < recording.nodes.len() => {
                    format!("%{} {}", tensor.node.0, recording.describe(tensor))
                }
                _ => format!("%{}.{}", tensor.node.0, tensor.output),
            },
            Held::Partial(node) => format!("partial sums of %{}", node.0),
            Held::Scratch => format!("scratch of {}", self.plan.dispatches[occupant.first].label),
            Held::State => "a part of the state".to_owned(),
        };
        let slot = &self.plan.buffers[occupant.buffer].kind;
        format!(
            "{name}\n{} ({} B) in {slot} from byte {}\ndispatches {} to {}",
            bytes(occupant.bytes),
            grouped(occupant.bytes),
            grouped(occupant.offset),
            occupant.first,
            occupant.last
        )
    }
}
