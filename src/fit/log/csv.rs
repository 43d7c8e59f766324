use super::super::callback::{Beginning, Callback, EpochReport, Flow};
use super::super::history::Epoch;
use super::lines::Lines;
use crate::base::{Error, ErrorKind, Result};
use crate::train::Step;
use std::path::{Path, PathBuf};

/// The columns before those of the values.
const FIRST: [&str; 5] = ["epoch", "step", "samples", "seconds", "learning_rate"];

/// Writes a line for every epoch to a CSV file, with a header. The file is whole after every epoch.
///
/// A training that [goes on](super::super::Trainer::resume) goes on in the file as well, from which the epochs that are trained again are
/// removed; one that begins anew begins the file anew.
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    names: Vec<String>,
    lines: Option<Lines>,
}

impl CsvLog {
    /// To this file; folders that are missing are made.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), names: Vec::new(), lines: None }
    }

    fn line(&self, epoch: &Epoch) -> String {
        let Epoch { epoch: number, steps, samples, seconds, learning_rate, values, .. } = epoch;
        let mut fields = vec![
            number.to_string(),
            steps.to_string(),
            samples.to_string(),
            format!("{seconds:.3}"),
            learning_rate.to_string(),
        ];
        // As pandas reads it: nothing for what there is not, and `NaN` and `inf` in words.
        fields.extend(self.names.iter().map(|name| values.get(name).map_or(String::new(), |value| value.to_string())));
        fields.join(",") + "\n"
    }
}

/// As RFC 4180 has it: quoted where it has to be.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

impl Callback for CsvLog {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<()> {
        self.names = beginning.names.to_vec();
        let names = FIRST.iter().copied().chain(self.names.iter().map(String::as_str));
        let header = names.map(field).collect::<Vec<_>>().join(",");
        let mut found = false;
        let done = beginning.epochs_done();
        let keep = |number: usize, line: &str| {
            if number == 0 {
                found = true;
                if line != header {
                    let message = format!(
                        "{} has the columns {line}, and this training has {header}: log to another file",
                        self.path.display()
                    );
                    return Err(Error::new(ErrorKind::File, message));
                }
                return Ok(true);
            }
            let epoch = line.split(',').next().and_then(|epoch| epoch.parse::<u32>().ok());
            Ok(epoch.is_some_and(|epoch| epoch <= done))
        };
        let mut lines = if beginning.resumes { Lines::keeping(&self.path, keep)? } else { Lines::new(&self.path)? };
        if !found {
            lines.add(&(header + "\n"))?;
            // Of a file that is gone, the epochs are known.
            beginning.history.epochs.iter().try_for_each(|epoch| lines.add(&self.line(epoch)))?;
        }
        self.lines = Some(lines);
        Ok(())
    }

    fn epoch(&mut self, report: &EpochReport<'_>, _step: &mut Step) -> Result<Flow> {
        let line = self.line(report.epoch);
        if let Some(lines) = &mut self.lines {
            lines.add(&line)?;
        }
        Ok(Flow::Continue(()))
    }
}
