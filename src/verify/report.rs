//! What a verification has found.

use super::judge::Figures;
use super::outcome::{Outcome, Verdict};
use super::reproduction::Reproduction;
use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::Device;
use crate::plan::{Held, Phase, Plan};
use crate::record::Recording;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// A step, dispatch by dispatch, as a device computes it and as it should be. `Display` prints a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// The device.
    pub device: String,
    /// Its driver; empty for the host.
    pub driver: String,
    /// The profile that the plan was made for.
    pub profile: String,
    /// The number of the step that was verified, from 1.
    pub step: u32,
    /// Every dispatch of the plan, in order.
    pub dispatches: Vec<DispatchReport>,
    /// The first that diverges, if any does. Those after it read what the reference makes of it.
    pub divergence: Option<Divergence>,
}

/// One dispatch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DispatchReport {
    /// Its number in the plan.
    pub number: usize,
    /// Its list.
    pub phase: Phase,
    /// The kernel's name.
    pub kernel: String,
    /// The op with its attributes and what it makes; in the update, whose parameters change.
    pub label: String,
    /// The source line that recorded it.
    pub location: String,
    /// The scopes that it was recorded in.
    pub scope: String,
    /// All ops that it computes, each with its type and source line.
    pub ops: Vec<String>,
    /// How far what it wrote lies from the reference.
    pub figures: Figures,
    /// How many elements differ by more than is usual, but by no more than roundings move them.
    pub conditioned: usize,
    /// What is said of it.
    pub verdict: Verdict,
    /// What is wrong, if anything is.
    pub finding: String,
}

/// The first dispatch that diverges, with what is needed to look into it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Divergence {
    /// Its number in the plan.
    pub number: usize,
    /// What is wrong.
    pub finding: String,
    /// What every binding of the kernel holds.
    pub bindings: Vec<String>,
    /// Earlier dispatches of the same op, whose results only this one reads: what is wrong may be theirs.
    pub suspects: Vec<usize>,
    /// The kernel's text.
    pub wgsl: String,
    /// The dispatch by itself, for a file.
    pub reproduction: Reproduction,
}

impl DispatchReport {
    pub(super) fn new(plan: &Plan, recording: &Recording, number: usize) -> Self {
        let dispatch = &plan.dispatches[number];
        let describe = |&node| recording.describe(crate::record::TensorId { node, output: 0 });
        Self {
            number,
            phase: dispatch.phase,
            kernel: plan.kernels[dispatch.kernel].name.clone(),
            label: dispatch.label.clone(),
            location: dispatch.location.clone(),
            scope: dispatch.scope.clone(),
            ops: dispatch.nodes.iter().map(describe).collect(),
            figures: Figures::default(),
            conditioned: 0,
            verdict: Verdict::Agrees,
            finding: String::new(),
        }
    }
}

impl Divergence {
    pub(super) fn new(
        plan: &Plan,
        recording: &Recording,
        number: usize,
        outcome: &Outcome,
        reproduction: Reproduction,
    ) -> Self {
        let dispatch = &plan.dispatches[number];
        let kernel = &plan.kernels[dispatch.kernel];
        let describe = |(place, usage): (usize, &crate::fuse::Usage)| {
            let binding = &dispatch.bindings[place];
            let what = match dispatch.holds.get(place) {
                Some(Held::Tensor(tensor)) => recording.describe(*tensor),
                Some(Held::Partial(node)) => {
                    let tensor = crate::record::TensorId { node: *node, output: 0 };
                    format!("partial sums of {}", recording.describe(tensor))
                }
                Some(Held::Scratch) => "results between kernels of the op".to_owned(),
                _ => format!("{} from byte {}", plan.buffers[binding.buffer].kind, binding.offset),
            };
            format!("{place} ({}): {what}, {} bytes", if usage.writes() { "written" } else { "read" }, binding.bytes)
        };
        let same = |&earlier: &usize| {
            let other = &plan.dispatches[earlier];
            other.node.is_some() && other.node == dispatch.node && other.holds.contains(&Held::Scratch)
        };
        Self {
            number,
            finding: outcome.finding.clone(),
            bindings: kernel.usages.iter().enumerate().map(describe).collect(),
            suspects: (0..number).filter(same).collect(),
            wgsl: kernel.wgsl.clone(),
            reproduction,
        }
    }
}

impl Verification {
    pub(super) fn new(device: &Device, plan: &Plan, step: u32) -> Self {
        Self {
            device: device.name(),
            driver: device.driver(),
            profile: plan.profile.name.clone(),
            step,
            dispatches: Vec::new(),
            divergence: None,
        }
    }

    /// Whether every dispatch agrees with the reference.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.divergence.is_none()
    }

    /// The worst figures of all dispatches.
    #[must_use]
    pub fn worst(&self) -> Figures {
        self.dispatches.iter().fold(Figures::default(), |worst, report| worst.join(report.figures))
    }

    /// An error that names the first divergent dispatch, where there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Check`].
    pub fn check(&self) -> Result<()> {
        match &self.divergence {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Check, self.describe_divergence())),
        }
    }

    /// The first divergent dispatch in words, without its kernel; empty where there is none.
    #[must_use]
    pub fn describe_divergence(&self) -> String {
        let Some(divergence) = &self.divergence else { return String::new() };
        let Divergence { number, finding, bindings, suspects, .. } = divergence;
        let report = &self.dispatches[*number];
        let mut text = format!(
            "dispatch {number} of step {} diverges from the reference on {}: {finding}\n  kernel `{}`, {:?}: {}\n",
            self.step, self.device, report.kernel, report.phase, report.label
        );
        if !report.location.is_empty() {
            let scope = if report.scope.is_empty() { String::new() } else { format!(" in {}", report.scope) };
            let _ = writeln!(text, "  recorded at {}{scope}", report.location);
        }
        for op in &report.ops {
            let _ = writeln!(text, "  computes {op}");
        }
        for binding in bindings {
            let _ = writeln!(text, "  binding {binding}");
        }
        if !suspects.is_empty() {
            let _ = writeln!(
                text,
                "  dispatches {suspects:?} of the same op computed what only it reads: what is wrong may be theirs"
            );
        }
        let others = self.dispatches.iter().filter(|report| report.verdict.is_failure()).count() - 1;
        if others > 0 {
            let _ = writeln!(text, "  and {others} more: the printed verification lists them");
        }
        text
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {} on {}, planned for {}", self.step, self.device, self.profile)?;
        writeln!(
            f,
            "{:>4}  {:<8} {:<20} {:>10} {:>9} {:>9} {:>8} {:>7}  {:<13} label",
            "", "list", "kernel", "elements", "absolute", "relative", "ulps", "share", "verdict"
        )?;
        for report in &self.dispatches {
            let Figures { elements, absolute, relative, ulps, share, .. } = report.figures;
            let list = format!("{:?}", report.phase).to_lowercase();
            let kernel: String = report.kernel.chars().take(20).collect();
            let label: String = report.label.chars().take(60).collect();
            writeln!(
                f,
                "{:>4}  {list:<8} {kernel:<20} {elements:>10} {absolute:>9.1e} {relative:>9.1e} {ulps:>8} {share:>7.3}  \
                 {:<13} {label}",
                report.number,
                report.verdict.name()
            )?;
        }
        let conditioned: usize = self.dispatches.iter().map(|report| report.conditioned).sum();
        if conditioned > 0 {
            writeln!(
                f,
                "{conditioned} elements differ by more than is usual, but by no more than roundings move them"
            )?;
        }
        let not_finite = self.worst().not_finite;
        if not_finite > 0 {
            writeln!(
                f,
                "{not_finite} elements are NaN or infinite in the reference as well: `check_numbers` tells where the first comes from"
            )?;
        }
        match &self.divergence {
            None => writeln!(f, "every dispatch agrees with the reference in float64"),
            Some(divergence) => write!(f, "\n{}\n{}", self.describe_divergence(), divergence.wgsl),
        }
    }
}
