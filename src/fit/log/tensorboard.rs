//! Event files of `TensorBoard`: records of a length, its checksum, a message of protocol buffers, and its checksum.
//!
//! Source: `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`, `tensorflow/core/lib/io/record_writer.h`.

use super::super::callback::{Beginning, Callback, EpochReport, Flow, StepReport};
use super::super::history::{Epoch, file};
use crate::base::Result;
use crate::train::Step;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes an event file for `TensorBoard` into a folder: the loss of every step as `train/step_loss`, and the values of every epoch,
/// by their names and the number of its last step. What was written is whole after every epoch.
///
/// A training that [goes on](super::super::Trainer::resume) writes another file into the folder, which tells the program to forget what is trained
/// again.
#[derive(Debug)]
pub struct TensorBoardLog {
    folder: PathBuf,
    out: Option<(PathBuf, File)>,
    /// Records of the epoch that is not over.
    waiting: Vec<u8>,
}

impl TensorBoardLog {
    /// Into this folder, which is made if there is none: `tensorboard --logdir <folder>` shows it.
    #[must_use]
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self { folder: folder.as_ref().to_owned(), out: None, waiting: Vec::new() }
    }

    fn scalar(&mut self, step: u32, tag: &str, value: f64) {
        let mut single = Message::default();
        single.bytes(1, tag.as_bytes()).float(2, value as f32);
        let mut summary = Message::default();
        summary.bytes(1, &single.0);
        let mut event = event(step);
        event.bytes(5, &summary.0);
        self.waiting.extend(record(&event.0));
    }

    fn values(&mut self, epoch: &Epoch) {
        for (name, value) in epoch.values.iter().chain([("learning_rate", epoch.learning_rate)]) {
            self.scalar(epoch.steps, name, value);
        }
    }

    fn flush(&mut self) -> Result<()> {
        if let Some((path, out)) = &mut self.out {
            out.write_all(&self.waiting).map_err(|error| file("be written", path, error))?;
            self.waiting.clear();
        }
        Ok(())
    }
}

impl Callback for TensorBoardLog {
    fn begin(&mut self, beginning: &Beginning<'_>) -> Result<()> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        self.waiting.clear();
        std::fs::create_dir_all(&self.folder).map_err(|error| file("be made", &self.folder, error))?;
        let (seconds, number) = (now() as u64, NUMBER.fetch_add(1, Ordering::Relaxed));
        // Programs read the files of a folder in the order of their names.
        let name = format!("events.out.tfevents.{seconds:010}.retrograd.{}.{number}", std::process::id());
        let path = self.folder.join(name);
        let out = OpenOptions::new().create_new(true).append(true).open(&path);
        self.out = Some((path.clone(), out.map_err(|error| file("be written", &path, error))?));
        let mut version = event(0);
        version.bytes(3, b"brain.Event:2");
        self.waiting.extend(record(&version.0));
        // The start of a session at a step: what earlier files have from there on no longer counts.
        let first = beginning.history.epochs.last().map_or(0, |epoch| epoch.steps) + 1;
        let mut start = Message::default();
        start.integer(1, 1);
        let mut session = event(if beginning.resumes { first } else { 0 });
        session.bytes(7, &start.0);
        self.waiting.extend(record(&session.0));
        beginning.losses_since().for_each(|(step, loss)| self.scalar(step, "train/step_loss", f64::from(loss)));
        self.flush()
    }

    fn step(&mut self, report: &StepReport) -> Result<Flow> {
        self.scalar(report.step, "train/step_loss", f64::from(report.loss));
        Ok(Flow::Continue(()))
    }

    fn epoch(&mut self, report: &EpochReport<'_>, _step: &mut Step) -> Result<Flow> {
        self.values(report.epoch);
        self.flush()?;
        Ok(Flow::Continue(()))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The beginning of every event: its time and its step.
fn event(step: u32) -> Message {
    let mut event = Message::default();
    event.double(1, now()).integer(2, u64::from(step));
    event
}

/// A message of protocol buffers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) -> &mut Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn double(&mut self, field: u64, value: f64) -> &mut Self {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }
}

/// A message with its length and their checksums.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length, &masked(&length)[..], message, &masked(message)].concat()
}

/// The masked checksum of a record.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The cyclic redundancy check of Castagnoli, whose reflected polynomial is 0x82f63b78.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_record_is_laid_out_as_its_readers_expect() {
        let mut message = event(300);
        message.bytes(3, b"brain.Event:2");
        let record = record(&message.0);
        assert_eq!(record[..8], 27u64.to_le_bytes());
        assert_eq!(record.len(), 8 + 4 + 27 + 4);
        assert_eq!(record[12..13], [9], "a double of field 1");
        assert_eq!(record[21..26], [16, 0xac, 2, 26, 13], "300 in field 2, and 13 bytes of field 3");
    }
}
