use crate::plan::{Phase, Plan};
use serde::Serialize;
use std::fmt;

/// What a device manages at best, measured. Bytes are those of memory: what lies in caches comes faster, so small
/// kernels may exceed it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceilings {
    /// Bytes read and written in a second.
    pub bytes_per_second: f64,
    /// Floating-point operations in a second.
    pub operations_per_second: f64,
}

impl Ceilings {
    /// The least seconds that work can take, and whether it is memory that bounds it: the roofline model of Williams,
    /// Waterman and Patterson (2009).
    #[must_use]
    pub fn least_seconds(&self, bytes: u64, operations: u64) -> (f64, bool) {
        let memory = bytes as f64 / self.bytes_per_second;
        let arithmetic = operations as f64 / self.operations_per_second;
        (memory.max(arithmetic), memory >= arithmetic)
    }
}

/// How long every dispatch of a step took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTimes {
    /// The device, in words.
    pub device: String,
    /// What the device manages at best, where that was measured.
    pub ceilings: Option<Ceilings>,
    /// The dispatches, in order.
    pub dispatches: Vec<DispatchTime>,
}

/// How long one dispatch took, and what it did meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DispatchTime {
    /// The kernel's name.
    pub kernel: String,
    /// The op with its attributes and what it makes.
    pub label: String,
    /// Its list.
    pub phase: Phase,
    /// When it began, in seconds after the first one.
    pub start: f64,
    /// Seconds.
    pub seconds: f64,
    /// Bytes read and written.
    pub bytes: u64,
    /// Floating-point operations.
    pub operations: u64,
    /// Bytes of intermediate tensors that are needed while it runs.
    pub live_bytes: u64,
    /// The share of the ceiling that it reached: the least time that its bytes and operations can take, by its own.
    pub share_of_ceiling: Option<f64>,
}

impl StepTimes {
    /// From the beginning and the end of every dispatch, in seconds.
    pub(super) fn new(device: String, plan: &Plan, times: &[(f64, f64)]) -> Self {
        let first = times.first().map_or(0.0, |(start, _)| *start);
        let dispatches = plan
            .dispatches
            .iter()
            .zip(times)
            .zip(plan.live_bytes_of_dispatches())
            .map(|((dispatch, &(start, end)), live_bytes)| DispatchTime {
                kernel: plan.kernels[dispatch.kernel].name.clone(),
                label: dispatch.label.clone(),
                phase: dispatch.phase,
                start: start - first,
                seconds: (end - start).max(0.0),
                bytes: plan.moved_bytes(dispatch),
                operations: dispatch.operations,
                live_bytes,
                share_of_ceiling: None,
            })
            .collect();
        Self { device, ceilings: None, dispatches }
    }

    /// With the share of the ceiling that every dispatch reached.
    #[must_use]
    pub fn against(mut self, ceilings: Ceilings) -> Self {
        for dispatch in &mut self.dispatches {
            let (least, _) = ceilings.least_seconds(dispatch.bytes, dispatch.operations);
            dispatch.share_of_ceiling = (dispatch.seconds > 0.0).then(|| least / dispatch.seconds);
        }
        self.ceilings = Some(ceilings);
        self
    }

    /// Seconds of all dispatches together.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.dispatches.iter().map(|dispatch| dispatch.seconds).sum()
    }
}

impl fmt::Display for StepTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.seconds();
        writeln!(f, "{:.3} ms on {}", all * 1e3, self.device)?;
        if let Some(Ceilings { bytes_per_second, operations_per_second }) = self.ceilings {
            let (bytes, operations) = (bytes_per_second / 1e9, operations_per_second / 1e9);
            writeln!(f, "ceilings as measured: {bytes:.2} GB/s, {operations:.2} GFLOP/s")?;
        }
        writeln!(f, "{:>10} {:>6} {:>9} {:>9} {:>13}  kernel", "us", "share", "GB/s", "GFLOP/s", "of ceiling")?;
        for dispatch in &self.dispatches {
            let rate = |amount: u64| if dispatch.seconds > 0.0 { amount as f64 / dispatch.seconds / 1e9 } else { 0.0 };
            let ceiling = match (self.ceilings, dispatch.share_of_ceiling) {
                (Some(ceilings), Some(share)) => {
                    let (_, memory) = ceilings.least_seconds(dispatch.bytes, dispatch.operations);
                    format!("{:.1}% {}", share * 100.0, if memory { "memory" } else { "arithm" })
                }
                _ => String::new(),
            };
            writeln!(
                f,
                "{:>10.1} {:>5.1}% {:>9.2} {:>9.2} {ceiling:>13}  {}: {}",
                dispatch.seconds * 1e6,
                if all > 0.0 { dispatch.seconds / all * 100.0 } else { 0.0 },
                rate(dispatch.bytes),
                rate(dispatch.operations),
                dispatch.kernel,
                dispatch.label
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_of_memory_and_arithmetic_is_the_ceiling() {
        let ceilings = Ceilings { bytes_per_second: 10.0, operations_per_second: 100.0 };
        assert_eq!(ceilings.least_seconds(20, 100), (2.0, true));
        assert_eq!(ceilings.least_seconds(20, 400), (4.0, false));
        let dispatch = |seconds: f64, operations: u64| DispatchTime {
            kernel: "k".into(),
            label: "l".into(),
            phase: Phase::Forward,
            start: 0.0,
            seconds,
            bytes: 20,
            operations,
            live_bytes: 12,
            share_of_ceiling: None,
        };
        let dispatches = vec![dispatch(8.0, 400), dispatch(4.0, 0), dispatch(0.0, 0)];
        let times = StepTimes { device: "d".into(), ceilings: None, dispatches }.against(ceilings);
        let shares: Vec<Option<f64>> = times.dispatches.iter().map(|dispatch| dispatch.share_of_ceiling).collect();
        assert_eq!(shares, [Some(0.5), Some(0.5), None]);
        let text = times.to_string();
        assert!(text.contains("50.0% arithm") && text.contains("50.0% memory"), "{text}");
    }
}
