//! What stands in the metadata of a checkpoint beside what is counted.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

/// The metadata of a file.
pub(super) type Metadata = HashMap<String, String>;

/// Which form of these files it is: a number that grows where older versions would misread them.
const FORMAT: &str = "retrograd.format";
/// The form that is written. Files without a number are of the time before there was one, and are read.
const CURRENT: u32 = 1;
/// The version of this library that wrote it.
const VERSION: &str = "retrograd.version";
/// The number of steps.
const STEPS: &str = "retrograd.steps";
/// What random streams and the order of rows follow from, with the number of steps.
const SEED: &str = "retrograd.seed";
/// The learning rate, where it was set by hand.
const RATE: &str = "retrograd.learning_rate";
/// What the checkpoint is compared by.
const METRIC: &str = "retrograd.metric";
/// What the caller goes on from, as JSON.
const POSITION: &str = "retrograd.position";

/// What a checkpoint says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Head {
    /// The version of the library that wrote it, where it says so.
    pub version: Option<String>,
    pub steps: u32,
    pub seed: Option<u64>,
    pub rate: Option<f64>,
    pub metric: Option<f64>,
    pub position: Option<String>,
}

impl Head {
    /// As metadata.
    pub fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::from([
            (FORMAT.to_owned(), CURRENT.to_string()),
            (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            (STEPS.to_owned(), self.steps.to_string()),
        ]);
        // Floats are written with as many digits as tell them from all others.
        let texts = [
            (SEED, self.seed.map(|seed| seed.to_string())),
            (RATE, self.rate.map(|rate| format!("{rate:?}"))),
            (METRIC, self.metric.map(|metric| format!("{metric:?}"))),
            (POSITION, self.position.clone()),
        ];
        metadata.extend(texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))));
        metadata
    }

    /// What the metadata say, with all that is wrong with them.
    pub fn read(metadata: &Metadata, differences: &mut Vec<String>) -> Self {
        let version = metadata.get(VERSION).cloned();
        let format = parsed::<u32>(metadata, FORMAT, "number", differences).unwrap_or(0);
        if format > CURRENT {
            let by = version.as_ref().map_or_else(String::new, |version| format!(" by version {version}"));
            differences.push(format!(
                "it was written{by} in form {format} of these files, and this version ({}) reads forms up to {CURRENT}: use \
                 a newer one",
                env!("CARGO_PKG_VERSION")
            ));
        }
        let rate = parsed::<f64>(metadata, RATE, "number", differences);
        if let Some(rate) = rate.filter(|rate| !(*rate >= 0.0 && (*rate as f32).is_finite())) {
            differences.push(format!("its metadata `{RATE}` is {rate}, which is no learning rate"));
        }
        Self {
            version,
            steps: parsed(metadata, STEPS, "count", differences).unwrap_or(0),
            seed: parsed(metadata, SEED, "seed", differences),
            rate,
            metric: parsed(metadata, METRIC, "number", differences),
            position: metadata.get(POSITION).cloned(),
        }
    }
}

/// The number under this key, if there is one; what is none is a difference.
pub(super) fn parsed<T: FromStr>(
    metadata: &Metadata,
    key: impl Display,
    what: &str,
    differences: &mut Vec<String>,
) -> Option<T> {
    let key = key.to_string();
    let text = metadata.get(&key)?;
    text.parse().map_err(|_| differences.push(format!("its metadata `{key}` is `{text}`, which is no {what}"))).ok()
}

/// Whether these are the metadata of a file that this library wrote with everything that training goes on from.
pub(super) fn is_checkpoint(metadata: &Metadata) -> bool {
    metadata.contains_key(STEPS)
}
