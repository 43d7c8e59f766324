//! What is shown on a terminal while a training goes on.

use super::callback::{Beginning, Callback, EpochReport, Flow, StepReport};
use super::history::History;
use super::metrics::brief;
use crate::base::Result;
use crate::train::Step;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Columns of a terminal that does not tell how many it has.
const WIDTH: usize = 80;
/// Most columns that the bar itself takes.
const BAR: usize = 24;

/// A line that is drawn again and again, and one for every epoch that stays.
pub(super) struct Progress {
    target: Option<ProgressDrawTarget>,
    width: Option<Box<dyn Fn() -> usize>>,
    bar: ProgressBar,
    epochs: u32,
    /// Of this call: when it began, batches until its end, and batches and samples that are over.
    began: Instant,
    batches: u64,
    done: u64,
    samples: u64,
    drawn: Option<Instant>,
    last: Option<StepReport>,
    /// The mean loss of the epoch so far.
    loss: f64,
}

/// How often the line is drawn anew.
const EVERY: Duration = Duration::from_millis(50);

impl Progress {
    pub fn new(target: ProgressDrawTarget) -> Self {
        Self {
            target: Some(target),
            width: None,
            bar: ProgressBar::hidden(),
            epochs: 0,
            began: Instant::now(),
            batches: 0,
            done: 0,
            samples: 0,
            drawn: None,
            last: None,
            loss: 0.0,
        }
    }

    fn width(&self) -> usize {
        let own = || terminal_width().unwrap_or(WIDTH);
        self.width.as_ref().map_or_else(own, |width| width()).max(1)
    }

    /// The line of a running epoch.
    fn running(&self, report: &StepReport) -> Running {
        let seconds = self.began.elapsed().as_secs_f64();
        let left = self.batches.saturating_sub(self.done) as f64 * seconds / self.done.max(1) as f64;
        Running {
            epoch: report.epoch,
            epochs: self.epochs,
            share: report.batch as f64 / report.batches.max(1) as f64,
            loss: self.loss,
            rate: self.samples as f64 / seconds.max(1e-9),
            left,
        }
    }
}

fn terminal_width() -> Option<usize> {
    let (_, columns) = console::Term::stderr().size_checked()?;
    Some(usize::from(columns)).filter(|&columns| columns > 0)
}

/// What the line of a running epoch says.
#[derive(Clone, Copy, Debug)]
struct Running {
    epoch: u32,
    epochs: u32,
    share: f64,
    loss: f64,
    rate: f64,
    left: f64,
}

impl Running {
    /// As much as so many columns hold; what matters more is left out later.
    fn line(&self, width: usize) -> String {
        let epoch = format!("{}/{}", self.epoch, self.epochs);
        let parts = [
            epoch,
            format!("{:.0}%", (self.share * 100.0).floor()),
            format!("loss {}", brief(self.loss)),
            format!("{} samples/s", thousands(self.rate)),
            format!("{} left", clock(self.left)),
        ];
        let mut shown = [false; 5];
        let mut columns = 0;
        for part in [0, 2, 1, 4, 3] {
            let more = parts[part].chars().count() + usize::from(columns > 0);
            if columns + more <= width {
                (columns, shown[part]) = (columns + more, true);
            }
        }
        let mut texts: Vec<String> =
            parts.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(text, _)| text).collect();
        // With its brackets and a space.
        let bar = width.saturating_sub(columns + 3).min(BAR);
        if bar >= 4 && texts.len() == 5 {
            let full = (self.share.clamp(0.0, 1.0) * bar as f64).floor() as usize;
            texts.insert(1, format!("[{}{}]", "=".repeat(full), " ".repeat(bar - full)));
        }
        if texts.is_empty() {
            return format!("{}/{}", self.epoch, self.epochs).chars().take(width).collect();
        }
        texts.join(" ")
    }
}

/// Parts in as many lines as so many columns need; one that is wider than all of them is cut.
fn wrapped(parts: impl IntoIterator<Item = String>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let part: String = part.chars().take(width).collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + part.chars().count() <= width => {
                line.push_str("  ");
                line.push_str(&part);
            }
            _ => lines.push(part),
        }
    }
    lines
}

/// A rate with its thousands apart.
fn thousands(value: f64) -> HumanCount {
    HumanCount(value.round() as u64)
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 1e9) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

impl Callback for Progress {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<()> {
        let target = self.target.take().unwrap_or_else(ProgressDrawTarget::stderr);
        self.bar = ProgressBar::with_draw_target(None, target);
        // The line is made here, to fit; the template is known to be right.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            self.bar.set_style(style);
        }
        let epochs = beginning.epochs.saturating_sub(beginning.epochs_done());
        let all = u64::from(epochs) * beginning.batches as u64;
        self.batches = all.saturating_sub(beginning.batches_done as u64);
        (self.epochs, self.began, self.done, self.samples) = (beginning.epochs, Instant::now(), 0, 0);
        (self.drawn, self.last, self.loss) = (None, None, 0.0);
        Ok(())
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.done += 1;
        self.last = Some(*report);
        self.samples += report.samples as u64;
        let before = if report.batch == 1 { 0.0 } else { self.loss };
        self.loss = before + (f64::from(report.loss) - before) / report.batch as f64;
        if !self.bar.is_hidden() && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY) {
            self.drawn = Some(Instant::now());
            self.bar.set_message(self.running(report).line(self.width()));
            self.bar.tick();
        }
        Ok(Flow::Continue(()))
    }

    fn epoch(&mut self, report: &EpochReport<'_>, _step: &mut Step) -> Result<Flow> {
        if self.bar.is_hidden() {
            return Ok(Flow::Continue(()));
        }
        // Below what is printed the line is drawn again: not one of steps that are long over.
        if let Some(last) = &self.last {
            self.bar.set_message(self.running(last).line(self.width()));
        }
        let epoch = report.epoch;
        let values = epoch.values.iter().map(|(name, value)| format!("{name} {}", brief(value)));
        let rate = thousands(epoch.samples as f64 / epoch.seconds.max(1e-9));
        let parts = std::iter::once(format!("epoch {}/{}", epoch.epoch, report.epochs))
            .chain(values)
            .chain([format!("{rate} samples/s"), clock(epoch.seconds)]);
        for line in wrapped(parts, self.width()) {
            self.bar.println(line);
        }
        Ok(Flow::Continue(()))
    }

    fn end(&mut self, history: &History) -> Result<()> {
        if let Some(why) = &history.stopped {
            for line in wrapped(why.split(' ').map(str::to_owned), self.width()) {
                self.bar.println(line);
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }
}

/// What failed may have left a line behind.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::Epoch;
    use indicatif::TermLike;
    use std::sync::{Arc, Mutex};

    /// A terminal that notes what is written.
    #[derive(Clone, Debug)]
    struct Terminal {
        columns: u16,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            self.columns
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, line: &str) -> std::io::Result<()> {
            self.write_str(line)
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.lines.lock().unwrap().push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_fit_terminals_of_every_width() {
        let running = Running { epoch: 3, epochs: 20, share: 0.455, loss: 0.12345, rate: 123_456.0, left: 3723.0 };
        for width in 1..200 {
            assert!(running.line(width).chars().count() <= width, "{width}: {}", running.line(width));
        }
        assert_eq!(running.line(20), "3/20 45% loss 0.1235");
        assert_eq!(running.line(80), "3/20 [==========              ] 45% loss 0.1235 123,456 samples/s 1:02:03 left");
        assert_eq!((running.line(3), running.line(2)), ("45%".to_owned(), "3/".to_owned()));
        let wild = Running { loss: f64::NAN, rate: f64::INFINITY, left: f64::NAN, share: 7.0, ..running };
        assert!(wild.line(60).starts_with("3/20"), "{}", wild.line(60));
    }

    #[test]
    fn what_is_drawn_breaks_no_line() {
        for columns in [20usize, 80] {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let terminal = Terminal { columns: columns as u16, lines: Arc::clone(&lines) };
            let mut progress = Progress::new(ProgressDrawTarget::term_like(Box::new(terminal)));
            progress.width = Some(Box::new(move || columns));
            let history = History::default();
            let beginning =
                Beginning { epochs: 2, history: &history, batches: 3, batches_done: 0, names: &[], resumes: false };
            progress.begin(&beginning).unwrap();
            for step in 1..=3 {
                let report = StepReport { step, epoch: 1, batch: step as usize, batches: 3, samples: 64, loss: 0.7 };
                let _ = progress.step(&report).unwrap();
            }
            let values = [("train/loss", 0.5), ("validation/accuracy", 0.25)].into_iter().collect();
            let epoch = Epoch { epoch: 1, steps: 3, samples: 192, seconds: 1.5, values, ..Epoch::default() };
            let report = EpochReport { epoch: &epoch, epochs: 2, is_best: true };
            let mut params = crate::Params::seeded(1);
            let (layer, g) = (crate::nn::Linear::new(&mut params, "layer", 1, 1), crate::Graph::new());
            let loss = layer.forward(g.input("x", [1, 1])).sum(..);
            let mut step = g.train(loss, crate::optim::Sgd::new(0.1)).compile(&crate::Device::cpu(), &params).unwrap();
            let _ = progress.epoch(&report, &mut step).unwrap();
            progress.end(&History { stopped: Some("early stopping: no better".into()), ..history }).unwrap();
            let lines = lines.lock().unwrap();
            let text = |line: &String| line.trim_end().chars().count();
            assert!(lines.iter().all(|line| text(line) <= columns), "{lines:?}");
            for part in ["loss 0.7000", "epoch 1/2", "128 samples/s", "stopping"] {
                assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:?}");
            }
        }
    }
}
