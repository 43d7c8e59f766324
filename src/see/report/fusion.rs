//! Which ops run as one kernel, and why neighbours do not.

use super::Report;
use crate::plan::Apart;
use crate::see::text::escape;
use std::collections::BTreeMap;
use std::fmt::Write as _;

impl Report<'_> {
    pub(super) fn fusion(&self, page: &mut String) {
        let plan = self.plan;
        let several: Vec<usize> =
            (0..plan.dispatches.len()).filter(|&number| plan.dispatches[number].nodes.len() > 1).collect();
        let _ = writeln!(
            page,
            "<section id=\"fusion\">\n<h2>Fusion</h2>\n<p>{} of {} dispatches compute several ops.</p>",
            several.len(),
            plan.dispatches.len()
        );
        for number in several {
            let dispatch = &plan.dispatches[number];
            let kernel = plan.kernels.get(dispatch.kernel).map_or("", |kernel| kernel.name.as_str());
            let _ = write!(
                page,
                "<details><summary class=\"tag {}\">{number}: {} computes {} ops</summary>\
                 <p><a href=\"#dispatch-{number}\">dispatch {number}</a></p><ul>",
                dispatch.phase.name(),
                escape(kernel),
                dispatch.nodes.len()
            );
            for node in &dispatch.nodes {
                let known = self.recording.and_then(|recording| recording.nodes.get(node.index()));
                let text = known.map_or_else(String::new, |known| {
                    let types: Vec<String> = known.outputs.iter().map(ToString::to_string).collect();
                    format!(" {} {} at {}", known.label(), types.join(", "), known.place.location)
                });
                let _ = write!(page, "<li>%{}{}</li>", node.0, escape(&text));
            }
            page.push_str("</ul></details>\n");
        }
        let mut by_reason: BTreeMap<&str, Vec<&Apart>> = BTreeMap::new();
        for apart in &plan.apart {
            by_reason.entry(&apart.reason).or_default().push(apart);
        }
        let mut reasons: Vec<(&str, Vec<&Apart>)> = by_reason.into_iter().collect();
        reasons.sort_by_key(|(reason, pairs)| (usize::MAX - pairs.len(), *reason));
        let _ = writeln!(page, "<h3>Neighbours that are kernels of their own: {} pairs</h3>", plan.apart.len());
        for (reason, pairs) in reasons {
            let count = if pairs.len() == 1 { "1 pair".to_owned() } else { format!("{} pairs", pairs.len()) };
            let _ = write!(page, "<details><summary>{count}: {}</summary><ul>", escape(reason));
            for pair in pairs {
                let _ = write!(
                    page,
                    "<li>{}<div class=\"faint\">reads {}</div></li>",
                    escape(&pair.consumer),
                    escape(&pair.producer)
                );
            }
            page.push_str("</ul></details>\n");
        }
        page.push_str("</section>\n");
    }
}
