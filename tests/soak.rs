//! Training goes on for thousands of steps, with everything that a program does beside it, and neither the process nor the
//! device holds more at the end than near the beginning. The memory of a software adapter is that of the process, so one
//! figure tells both.
//!
//! `RETROGRAD_TEST_SOAK` says for how many steps, 600 where it does not.

mod common;

use common::device;
use retrograd::optim::Adam;
use retrograd::{Device, Generator, Graph, Params, Result, Step, nn};
use std::io::Write as _;

const BATCH: usize = 16;
/// Steps between two looks at everything.
const ROUND: u32 = 20;

/// Bytes of memory that the process holds; `None` where the system does not tell.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// A network with its steps.
struct Training {
    params: Params,
    first: nn::Linear,
    second: nn::Linear,
}

impl Training {
    fn new() -> Self {
        let mut params = Params::seeded(1);
        let first = nn::Linear::new(&mut params, "first", 8, 32);
        let second = nn::Linear::new(&mut params, "second", 32, 4);
        Self { params, first, second }
    }

    /// Trains in rounds: single steps and many at once, reads, a history, an evaluation beside, and a step that is compiled
    /// anew and dropped. `look` is called after every round with the number of steps so far.
    fn run(&self, device: &Device, steps: u32, mut look: impl FnMut(u32)) -> Result<f32> {
        let g = Graph::new();
        let (x, y) = (g.input("x", [BATCH, 8]), g.labels("y", [BATCH]));
        let scores = self.second.forward(self.first.forward(x).gelu().dropout(0.1)).keep();
        let loss = scores.cross_entropy(y);
        let mut step = g.train(loss, Adam::new(1e-3)).clip_norm(1.0).compile(device, &self.params)?;
        let h = Graph::evaluation();
        let one = h.input("one", [1, 8]);
        let class = self.second.forward(self.first.forward(one).gelu()).argmax(-1);
        let mut evaluation = h.infer(&[class]).compile_on(step.state())?;
        let mut random = Generator::new(7);
        let mut last = f32::NAN;
        let mut round = 0;
        while step.state().steps() < steps {
            let rows: Vec<f32> = (0..BATCH * 8).map(|_| random.uniform(-1.0, 1.0) as f32).collect();
            let labels: Vec<i32> =
                rows.chunks(8).map(|row| i32::from(row[0] > 0.0) + 2 * i32::from(row[1] > 0.0)).collect();
            for _ in 0..ROUND / 2 {
                step.run([x.feed(&rows), y.feed(&labels)])?;
            }
            step.run_many(ROUND / 2, [x.feed(&rows), y.feed(&labels)])?;
            let history = step.read_history(loss)?.to_vec();
            assert_eq!(history.len(), ROUND as usize / 2);
            last = step.read(loss)?.item();
            assert!(last.is_finite() && step.read(scores)?.to_vec().iter().all(|score| score.is_finite()));
            assert!(step.read_gradient_norm()?.is_finite());
            evaluation.run([one.feed(&rows[..8])])?;
            assert!((0.0..4.0).contains(&evaluation.read(class)?.item()));
            if round % 10 == 0 {
                self.once_more(&step, &rows, &labels)?;
            }
            round += 1;
            look(step.state().steps());
        }
        Ok(last)
    }

    /// Compiles another step on the state of a training, runs it, saves and loads, and drops it.
    fn once_more(&self, step: &Step, rows: &[f32], labels: &[i32]) -> Result<()> {
        let g = Graph::evaluation();
        let (x, y) = (g.input("x", [BATCH, 8]), g.labels("y", [BATCH]));
        let loss = self.second.forward(self.first.forward(x).gelu()).cross_entropy(y);
        let mut other = g.infer(&[loss]).compile_on(step.state())?;
        other.run([x.feed(rows), y.feed(labels)])?;
        assert!(other.read(loss)?.item().is_finite());
        let bytes = pollster::block_on(step.state().to_safetensors())?;
        step.state().load_safetensors(&bytes)
    }
}

/// Soaks a device: what the process holds at a twentieth of the way and at the end.
fn soak(name: &'static str) {
    let Some(device) = device(name) else { return };
    let steps = std::env::var("RETROGRAD_TEST_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(600u32);
    let mut held: Vec<(u32, u64)> = Vec::new();
    let mut allocated: Vec<(u32, u64)> = Vec::new();
    let training = Training::new();
    let look = |done: u32| {
        // What is under way holds copies.
        device.wait().unwrap_or_else(|error| panic!("{name}: {error}"));
        held.extend(resident().map(|bytes| (done, bytes)));
        allocated.extend(device.allocated_bytes().map(|bytes| (done, bytes)));
    };
    let loss = training.run(device, steps, look).unwrap_or_else(|error| panic!("{name}: {error}"));
    device_holds_no_more(name, steps, &allocated);
    assert!(steps < 600 || loss < 1.2, "{name}: it learns, and its loss is {loss}");
    let early = held.iter().position(|&(done, _)| done >= steps / 20);
    let Some((first, end)) = early.map(|early| (held[early], held[held.len() - 1])) else { return };
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let thousand = held.iter().find(|&&(done, _)| done >= 1000).map_or(first, |&at| at);
    let _ = writeln!(
        std::io::stderr(),
        "{name}: {:.1} MiB at step {}, {:.1} at {}, {:.1} at {}, loss {loss:.3}",
        megabytes(first.1),
        first.0,
        megabytes(thousand.1),
        thousand.0,
        megabytes(end.1),
        end.0,
    );
    // Allocators keep what they once had, and fragments of it: 24 MiB. A step that leaked its feeds alone, 576 bytes, would
    // be past that after 44,000 steps, and one that leaked a buffer of the smallest page, 4 KiB, after 6,000; a leak of
    // every compiled step, some 100 KiB, after 240 of them.
    let bound = 24 << 20;
    assert!(end.1 < first.1 + bound, "{name}: it grows from {first:?} to {end:?}");
}

/// What is allocated on a device that counts it: no more than in the first tenth of the way.
fn device_holds_no_more(name: &str, steps: u32, allocated: &[(u32, u64)]) {
    let most = |from: u32, to: u32| {
        let inside = allocated.iter().filter(|(done, _)| (from..=to).contains(done));
        inside.map(|(_, bytes)| *bytes).max().unwrap_or(0)
    };
    let Some(last) = allocated.last() else { return };
    let (early, late) = (most(0, steps / 10), most(steps / 10, u32::MAX));
    let thousand = allocated.iter().find(|&&(done, _)| done >= 1000).unwrap_or(last);
    let _ = writeln!(
        std::io::stderr(),
        "{name}: {} bytes on the device at step {}, {} at {}; at most {early} early and {late} later",
        thousand.1,
        thousand.0,
        last.1,
        last.0
    );
    // Alignment of what comes and goes moves it by some bytes. The smallest buffer, lost once in a round, would be 16 KiB after
    // 20,000 steps.
    let slack = 4 << 10;
    assert!(early > 0 && late <= early + slack, "{name}: the device holds {early} bytes at first and {late} later");
}

/// One test, as the memory of a process is that of all its devices.
#[test]
fn memory_does_not_grow() {
    for name in ["cpu", "vulkan", "gl"] {
        soak(name);
    }
}
