//! The lists of dispatches as tables.

use super::Report;
use crate::plan::{Dispatch, Phase};
use crate::see::text::{bytes, escape, grouped, number};
use std::fmt::Write as _;

impl Report<'_> {
    /// One list, with what every dispatch moves and computes.
    pub(super) fn list(&self, page: &mut String, phase: Phase) {
        let list: Vec<(usize, &Dispatch)> =
            self.plan.dispatches.iter().enumerate().filter(|(_, own)| own.phase == phase).collect();
        if list.is_empty() {
            return;
        }
        let name = phase.name();
        let count = if list.len() == 1 { "1 dispatch".to_owned() } else { format!("{} dispatches", list.len()) };
        let _ = write!(page, "<section id=\"{name}\">\n<h2 class=\"tag {name}\">{name}: {count}");
        if let Some(times) = self.times {
            let seconds: f64 = list.iter().map(|(number, _)| times.dispatches[*number].seconds).sum();
            let _ = write!(page, ", {} ms", number(seconds * 1e3));
        }
        page.push_str("</h2>\n<div class=\"wide\"><table class=\"sortable dispatches\"><thead><tr>");
        // What was measured comes first, so that it is seen without scrolling; where things lie comes last.
        let mut columns: Vec<(&str, bool)> = vec![("no.", true), ("kernel", false), ("computes", false)];
        if let Some(times) = self.times {
            columns.extend([("\u{b5}s", true), ("of step", true)]);
            if times.ceilings.is_some() {
                columns.push(("of roofline", true));
            }
            columns.extend([("GB/s", true), ("GFLOP/s", true)]);
        }
        columns.extend([("bytes", true), ("operations", true), ("workgroups", true), ("reads \u{2192} writes", false)]);
        for (name, is_number) in columns {
            let class = if is_number { " class=\"number\"" } else { "" };
            let _ = write!(
                page,
                "<th scope=\"col\"{class} aria-sort=\"none\"><button type=\"button\">{name}</button></th>"
            );
        }
        page.push_str("</tr></thead><tbody>\n");
        for (number, dispatch) in list {
            self.row(page, number, dispatch);
        }
        page.push_str("</tbody></table></div>\n");
        if phase == Phase::Forward && self.times.is_some_and(|times| times.ceilings.is_some()) {
            page.push_str(
                "<p class=\"faint\">The roofline is the least time that the bytes or the operations can take on this device, \
                 whichever is longer; the share is that by the time measured. Above 100% lies what comes from caches, faster \
                 than from memory.</p>\n",
            );
        }
        page.push_str("</section>\n");
    }

    fn row(&self, page: &mut String, place: usize, dispatch: &Dispatch) {
        let kernel = self.plan.kernels.get(dispatch.kernel).map_or("a kernel that it lacks", |kernel| &kernel.name);
        let mut about = Vec::new();
        if let Some(node) = dispatch.node {
            let origin = dispatch.origin.map_or_else(String::new, |origin| format!(", gradient of %{}", origin.0));
            about.push(format!("%{}{origin}", node.0));
        }
        if dispatch.nodes.len() > 1 {
            about.push(format!("{} ops", dispatch.nodes.len()));
        }
        if !dispatch.scope.is_empty() {
            about.push(format!("in {}", dispatch.scope));
        }
        if !dispatch.location.is_empty() {
            about.push(format!("at {}", dispatch.location));
        }
        let moves = self.plan.moved_bytes(dispatch);
        let [x, y, z] = dispatch.workgroups;
        let groups: u64 = dispatch.workgroups.iter().map(|&own| u64::from(own)).product();
        let _ = write!(
            page,
            "<tr id=\"dispatch-{place}\"><td class=\"number\" data-value=\"{place}\">{place}</td>\
             <td><a href=\"#kernel-{}\">{}</a></td><td>{}<div class=\"faint\">{}</div></td>",
            dispatch.kernel,
            escape(kernel),
            escape(&dispatch.label),
            escape(&about.join("; "))
        );
        if let Some(times) = self.times {
            let own = &times.dispatches[place];
            let all = times.seconds();
            let share = if all > 0.0 { own.seconds / all } else { 0.0 };
            let rate = |amount: u64| if own.seconds > 0.0 { amount as f64 / own.seconds / 1e9 } else { 0.0 };
            cell(page, own.seconds * 1e6, &number(own.seconds * 1e6), None);
            cell(page, share, &percent(share), Some(share));
            if let Some(ceilings) = times.ceilings {
                match own.share_of_ceiling {
                    Some(share) => {
                        let (_, memory) = ceilings.least_seconds(own.bytes, own.operations);
                        let bound = if memory { "memory" } else { "arithmetic" };
                        cell(page, share, &format!("{} of {bound}", percent(share)), Some(share));
                    }
                    None => cell(page, -1.0, "\u{2013}", None),
                }
            }
            cell(page, rate(own.bytes), &number(rate(own.bytes)), None);
            cell(page, rate(own.operations), &number(rate(own.operations)), None);
        }
        let _ = writeln!(
            page,
            "<td class=\"number\" data-value=\"{moves}\" title=\"{} B\">{}</td>\
             <td class=\"number\" data-value=\"{}\">{}</td>\
             <td class=\"number\" data-value=\"{groups}\">{x} \u{d7} {y} \u{d7} {z}</td>\
             <td class=\"faint\">{} \u{2192} {}</td></tr>",
            grouped(moves),
            bytes(moves),
            dispatch.operations,
            grouped(dispatch.operations),
            escape(&self.plan.operands(dispatch, false)),
            escape(&self.plan.operands(dispatch, true))
        );
    }
}

/// A cell with a number, what it is sorted by, and a bar below it.
fn cell(page: &mut String, value: f64, text: &str, bar: Option<f64>) {
    let value = if value.is_finite() { value } else { -1.0 };
    let _ = write!(page, "<td class=\"number\" data-value=\"{value:e}\">{text}");
    if let Some(share) = bar {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let _ = write!(page, "<span class=\"bar\" style=\"--w:{:.1}%\"></span>", share * 100.0);
    }
    page.push_str("</td>");
}

/// A share in hundredths.
fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}
