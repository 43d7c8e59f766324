//! Times of a step in the trace event format.

use super::StepTimes;
use crate::plan::Phase;
use serde_json::{Value, json};

/// The one process of a trace.
const PROCESS: u32 = 1;

impl StepTimes {
    /// The times in the trace event format (JSON), which Perfetto (ui.perfetto.dev) and `chrome://tracing` show: a row for
    /// every list of dispatches, and a curve of the bytes of intermediate tensors that are needed meanwhile. Times are in
    /// microseconds since the first dispatch began.
    ///
    /// Source: Duca and Sinclair, "Trace Event Format", 2016.
    #[must_use]
    pub fn trace(&self) -> String {
        let lists = [Phase::Batch, Phase::Forward, Phase::Backward, Phase::Update];
        let metadata = |name: &str, thread: u32, arguments: Value| json!({ "name": name, "ph": "M", "pid": PROCESS, "tid": thread, "args": arguments });
        let mut events = vec![metadata("process_name", 0, json!({ "name": format!("step on {}", self.device) }))];
        for phase in lists.into_iter().filter(|phase| self.dispatches.iter().any(|own| own.phase == *phase)) {
            events.push(metadata("thread_name", thread(phase), json!({ "name": phase.name() })));
            events.push(metadata("thread_sort_index", thread(phase), json!({ "sort_index": thread(phase) })));
        }
        let live = |at: f64, bytes: u64| {
            let name = "bytes of intermediate tensors";
            json!({ "name": name, "ph": "C", "ts": at * 1e6, "pid": PROCESS, "tid": 0, "args": { "live": bytes } })
        };
        let mut end = 0.0f64;
        for (number, dispatch) in self.dispatches.iter().enumerate() {
            events.push(live(dispatch.start, dispatch.live_bytes));
            end = end.max(dispatch.start + dispatch.seconds);
            let mut arguments = json!({
                "number": number,
                "op": dispatch.label,
                "bytes": dispatch.bytes,
                "operations": dispatch.operations,
                "live_bytes": dispatch.live_bytes,
            });
            if let Some(share) = dispatch.share_of_ceiling {
                arguments["share_of_ceiling"] = json!(share);
            }
            events.push(json!({
                "name": dispatch.kernel,
                "cat": dispatch.phase.name(),
                "ph": "X",
                "ts": dispatch.start * 1e6,
                "dur": dispatch.seconds * 1e6,
                "pid": PROCESS,
                "tid": thread(dispatch.phase),
                "args": arguments,
            }));
        }
        if !self.dispatches.is_empty() {
            events.push(live(end, 0));
        }
        let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
        let ceilings = self.ceilings.map_or(Value::Null, |ceilings| json!(ceilings));
        let about = json!({ "device": self.device, "ceilings": ceilings });
        format!("{{\"displayTimeUnit\":\"ns\",\"otherData\":{about},\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
    }
}

/// The row of a list.
const fn thread(phase: Phase) -> u32 {
    match phase {
        Phase::Batch => 1,
        Phase::Forward => 2,
        Phase::Backward => 3,
        Phase::Update => 4,
    }
}
