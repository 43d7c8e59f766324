//! Plots of what was measured.

use super::history::History;
use super::metrics::ConfusionMatrix;
use crate::base::Result;
use crate::see::{Confusion, Curves};
use std::path::{Path, PathBuf};

impl History {
    /// The curves of a metric over the epochs, such as `loss`: one for each part of the name that stands before a `/`, of training and of
    /// validation. Without values of that name an empty plot.
    ///
    /// ```
    /// use retrograd::fit::{Epoch, History};
    /// let mut history = History::default();
    /// for (epoch, (training, validation)) in (1..).zip([(1.1, 1.2), (0.4, 0.6), (0.2, 0.5)]) {
    ///     let values = [("train/loss", training), ("validation/loss", validation)].into_iter().collect();
    ///     history.epochs.push(Epoch { epoch, values, ..Epoch::default() });
    /// }
    /// let svg = history.plot("loss").svg()?;
    /// assert!(svg.contains("train") && svg.contains("validation"));
    /// # Ok::<(), retrograd::Error>(())
    /// ```
    #[must_use]
    pub fn plot(&self, metric: &str) -> Curves {
        let curves = Curves::new(metric).axes("epoch", metric);
        self.names().into_iter().filter(|name| metric_of(name) == metric).fold(curves, |curves, name| {
            let part = name.strip_suffix(metric).and_then(|part| part.strip_suffix('/')).unwrap_or(name);
            curves.points(part, self.curve(name))
        })
    }

    /// Writes a PNG into a folder for every metric ([`plot`](Self::plot)), named after it, `loss by step.png` with the loss of
    /// every step, and `confusion.png` of the best epoch where there is a confusion matrix; returns what was written. Others in the
    /// folder stay, those of the same names are replaced.
    ///
    /// # Errors
    /// [`ErrorKind::File`](crate::ErrorKind::File) where one cannot be written.
    pub fn save_plots(&self, folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let folder = folder.as_ref();
        let mut metrics: Vec<&str> = Vec::new();
        for name in self.names() {
            if !metrics.contains(&metric_of(name)) {
                metrics.push(metric_of(name));
            }
        }
        let mut written: Vec<PathBuf> = Vec::new();
        for metric in metrics {
            let path = free(folder, metric, &written);
            self.plot(metric).save(&path)?;
            written.push(path);
        }
        if !self.losses.is_empty() {
            let path = free(folder, "loss by step", &written);
            let losses = self.losses.iter().map(|&(step, loss)| (f64::from(step), f64::from(loss)));
            Curves::new("loss by step").axes("step", "loss").points("train", losses).save(&path)?;
            written.push(path);
        }
        let epoch = self.best().or_else(|| self.last());
        if let Some((epoch, confusion)) = epoch.and_then(|epoch| Some((epoch.epoch, epoch.confusion.as_ref()?))) {
            let path = free(folder, "confusion", &written);
            confusion.plot(format!("confusion in epoch {epoch}")).save(&path)?;
            written.push(path);
        }
        Ok(written)
    }
}

/// What was measured, of a name such as `train/loss`.
fn metric_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, metric)| metric)
}

/// A PNG of this name that was not written yet, without characters that mean something in paths.
fn free(folder: &Path, name: &str, written: &[PathBuf]) -> PathBuf {
    let plain = |own: char| if own.is_alphanumeric() || " -_.@()".contains(own) { own } else { '_' };
    let name: String = name.chars().map(plain).take(100).collect();
    // Some file systems take `a` and `A` for the same.
    let taken = |path: &PathBuf| {
        let lower = |path: &Path| path.to_string_lossy().to_lowercase();
        written.iter().any(|other| lower(other) == lower(path))
    };
    let numbered = (2..).map(|number| folder.join(format!("{name} ({number}).png")));
    let mut paths = std::iter::once(folder.join(format!("{name}.png"))).chain(numbered);
    paths.find(|path| !taken(path)).unwrap_or_else(|| folder.join("plot.png"))
}

impl ConfusionMatrix {
    /// As a picture, with the numbers of the classes: [`Confusion::names`] takes their names.
    #[must_use]
    pub fn plot(&self, title: impl Into<String>) -> Confusion {
        Confusion::weighted(title, self.rows().map(<[f64]>::to_vec).collect())
    }
}
