//! A plan as one HTML page.

mod fusion;
mod memory;
mod tables;

use super::save;
use super::text::{bytes, escape, grouped, number};
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::StepTimes;
use crate::plan::{Phase, Plan};
use crate::record::Recording;
use crate::train::Step;
use std::fmt::Write as _;
use std::path::Path;

/// The lists of a plan, in order.
const LISTS: [Phase; 4] = [Phase::Batch, Phase::Forward, Phase::Backward, Phase::Update];

/// A plan as one HTML page that needs nothing else: the lists of dispatches, which can be sorted, with bytes and operations,
/// and, where times were measured, the time of each, its share of the step, and what it reached of the roofline; memory as a
/// picture of which tensors lie where and when; which ops run as one kernel, and why neighbours do not; and the WGSL of every
/// kernel. It loads nothing, and opens from a file.
///
/// ```
/// use retrograd::{nn, optim::Adam, see::Report, Device, Graph, Params};
/// let mut params = Params::seeded(1);
/// let layer = nn::Linear::new(&mut params, "layer", 3, 2);
/// let g = Graph::new();
/// let (x, y) = (g.input("x", [4, 3]), g.labels("y", [4]));
/// let loss = layer.forward(x).cross_entropy(y);
/// let mut step = g.train(loss, Adam::new(1e-2)).compile(&Device::cpu(), &params)?;
/// let times = step.profile([x.feed(&[0.5f32; 12]), y.feed(&[0, 1, 0, 1])])?;
/// let page = step.report().title("a layer").times(&times).html()?;
/// assert!(page.contains("a layer") && page.contains("backward"));
/// # Ok::<(), retrograd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report<'a> {
    plan: &'a Plan,
    title: String,
    recording: Option<&'a Recording>,
    times: Option<&'a StepTimes>,
}

impl<'a> Report<'a> {
    /// Of a plan by itself: nodes and tensors have numbers.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        Self { plan, title: "Training step".into(), recording: None, times: None }
    }

    /// With what stands at its top and in the title of the window.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// With the recording that the plan was made from, [`Step::recording`]: nodes and tensors have names.
    #[must_use]
    pub const fn recording(mut self, recording: &'a Recording) -> Self {
        self.recording = Some(recording);
        self
    }

    /// With times of the same plan, from [`Step::profile`]; with the roofline where they are
    /// [`against`](StepTimes::against) ceilings.
    #[must_use]
    pub const fn times(mut self, times: &'a StepTimes) -> Self {
        self.times = Some(times);
        self
    }

    /// The page.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where the times are those of another plan.
    pub fn html(&self) -> Result<String> {
        if let Some(times) = self.times
            && times.dispatches.len() != self.plan.dispatches.len()
        {
            let message = format!(
                "the times are of {} dispatches, and the plan has {}: report the plan of the step that was profiled",
                times.dispatches.len(),
                self.plan.dispatches.len()
            );
            return Err(Error::new(ErrorKind::Argument, message));
        }
        let title = escape(&self.title);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; img-src data:\"/>\n<link rel=\"icon\" href=\"data:,\"/>\n\
             <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
            include_str!("page.css")
        );
        self.figures(&mut page);
        page.push_str("<nav aria-label=\"Parts\">");
        for phase in LISTS.into_iter().filter(|phase| self.plan.list(*phase).next().is_some()) {
            let _ = write!(page, "<a href=\"#{name}\">{name}</a>", name = phase.name());
        }
        page.push_str(
            "<a href=\"#memory\">memory</a><a href=\"#fusion\">fusion</a><a href=\"#kernels\">kernels</a></nav>\n</header>\n<main>\n",
        );
        for phase in LISTS {
            self.list(&mut page, phase);
        }
        self.memory(&mut page);
        self.fusion(&mut page);
        self.kernels(&mut page);
        let _ = write!(
            page,
            "</main>\n<footer class=\"faint\"><p>retrograd {}</p></footer>\n<script>\n{}</script>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION"),
            include_str!("page.js")
        );
        Ok(page)
    }

    /// Writes the page.
    ///
    /// # Errors
    /// As those of [`html`](Self::html); [`ErrorKind::File`] where it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save::write(path.as_ref(), "report", self.html()?.as_bytes())
    }

    /// What is to be seen at a glance.
    fn figures(&self, page: &mut String) {
        let plan = self.plan;
        let operations = plan.dispatches.iter().map(|own| own.operations).fold(0, u64::saturating_add);
        let moved = plan.dispatches.iter().map(|own| plan.moved_bytes(own)).fold(0, u64::saturating_add);
        let mut figures: Vec<(&str, String)> = Vec::new();
        if self.times.is_none_or(|times| times.device != plan.profile.name) {
            figures.push(("planned for", plan.profile.name.clone()));
        }
        if let Some(times) = self.times {
            figures.push(("measured on", times.device.clone()));
            figures.push(("time of all dispatches", format!("{} ms", number(times.seconds() * 1e3))));
            if let Some(ceilings) = times.ceilings {
                let giga = |rate: f64| number(rate / 1e9);
                figures.push(("memory, at best", format!("{} GB/s", giga(ceilings.bytes_per_second))));
                figures.push(("arithmetic, at best", format!("{} GFLOP/s", giga(ceilings.operations_per_second))));
            }
        }
        figures.push(("dispatches", grouped(plan.dispatches.len() as u64)));
        figures.push(("kernels", grouped(plan.kernels.len() as u64)));
        figures.push(("memory", bytes(plan.total_bytes())));
        figures.push(("read and written", bytes(moved)));
        figures.push(("operations", grouped(operations)));
        page.push_str("<dl class=\"figures\">\n");
        for (name, value) in figures {
            let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
        }
        page.push_str("</dl>\n");
    }

    /// The text of every kernel.
    fn kernels(&self, page: &mut String) {
        page.push_str("<section id=\"kernels\">\n<h2>Kernels</h2>\n");
        if self.plan.kernels.is_empty() {
            page.push_str("<p>There are none: the host computes ops itself.</p>\n");
        }
        for (number, kernel) in self.plan.kernels.iter().enumerate() {
            let users: Vec<String> = self
                .plan
                .dispatches
                .iter()
                .enumerate()
                .filter(|(_, dispatch)| dispatch.kernel == number)
                .map(|(user, _)| format!("<a href=\"#dispatch-{user}\">{user}</a>"))
                .collect();
            let _ = writeln!(
                page,
                "<details id=\"kernel-{number}\"><summary>{}</summary><p class=\"faint\">run by {}</p><pre>{}</pre></details>",
                escape(&kernel.name),
                if users.is_empty() { "no dispatch".to_owned() } else { users.join(", ") },
                escape(&kernel.wgsl)
            );
        }
        page.push_str("</section>\n");
    }
}

impl Step {
    /// The step's plan as an HTML page; see [`Report`].
    #[must_use]
    pub fn report(&self) -> Report<'_> {
        Report::new(self.plan()).recording(self.recording())
    }
}
