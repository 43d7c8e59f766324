//! A training that is killed at random moments, and resumed every time, ends with the bits of one that was not disturbed.
//!
//! `RETROGRAD_TEST_KILLS` says how often it is killed on every device, 5 times otherwise. The training is the example `digits`, run
//! by this program itself in a process of its own.
#![cfg(unix)]

mod common;
#[path = "../examples/digits.rs"]
#[allow(dead_code)] // its `main`
mod digits;

use clap::Parser;
use common::device;
use retrograd::Generator;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// In the process of its own: what the example is told.
const ARGUMENTS: &str = "RETROGRAD_TEST_KILL_ARGUMENTS";
/// Epochs of a training, each with a checkpoint.
const EPOCHS: u32 = 120;

/// The training, in the process that is killed; elsewhere nothing.
#[test]
fn training_in_a_process_of_its_own() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let options = digits::Options::try_parse_from(arguments.lines()).expect("the example knows them");
    digits::run(&options).expect("the training goes to its end");
}

fn start(device: &str, folder: &Path) -> Child {
    let epochs = EPOCHS.to_string();
    let folder = folder.to_str().expect("temporary folders have plain names");
    let arguments = ["digits", "--hash", "--epochs", &epochs, "--checkpoints", folder, "--resume"];
    Command::new(std::env::current_exe().expect("it runs"))
        .args(["--exact", "training_in_a_process_of_its_own", "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .env("RETROGRAD_DEVICE", device)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be run again")
}

/// The fingerprints of the weights that a process printed, by epoch.
fn hashes(output: &[u8]) -> Vec<(u32, String)> {
    let text = String::from_utf8_lossy(output);
    let line = |line: &str| {
        let (epoch, hash) = line.strip_prefix("epoch ")?.split_once(": weights ")?;
        Some((epoch.parse().ok()?, hash.to_owned()))
    };
    text.lines().filter_map(line).filter(|(_, hash)| hash.len() == 64).collect()
}

/// The files of a folder: of one content, all bytes are the same.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: std::fs::DirEntry| {
        let bytes = std::fs::read(entry.path()).expect("nobody removes it");
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    };
    folder.read_dir().expect("it is there").flatten().map(read).collect()
}

/// Whether a file is half written, which is not given its name until it is whole.
fn writes(folder: &Path) -> bool {
    let mut names = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().ends_with(".partial"))
}

/// Runs to the end.
fn finish(child: Child, device: &str) -> Vec<(u32, String)> {
    let output = child.wait_with_output().expect("it was started");
    assert!(output.status.success(), "on {device}: {}", String::from_utf8_lossy(&output.stderr));
    hashes(&output.stdout)
}

#[test]
fn what_is_killed_and_resumed_ends_with_the_same_bits() {
    let kills: u32 = std::env::var("RETROGRAD_TEST_KILLS").map_or(5, |text| text.parse().expect("a number"));
    for name in ["cpu", "vulkan"] {
        if device(name).is_none() {
            continue;
        }
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let started = Instant::now();
        let wanted = finish(start(name, folder.path()), name);
        let whole = started.elapsed();
        let mut span = whole;
        let kept = files(folder.path());
        assert_eq!(kept.len(), 3);
        assert_eq!(wanted.last().map(|(epoch, _)| *epoch), Some(EPOCHS), "on {name}");
        let seed = std::env::var("RETROGRAD_TEST_SEED").map_or(1, |text| text.parse().expect("a number"));
        let mut random = Generator::named(seed, name);
        let (mut killed, mut half_written, mut trainings, mut compared) = (0, 0, 0, 0);
        while killed < kills {
            trainings += 1;
            let folder = tempfile::tempdir().expect("there is a place for temporary files");
            let mut compare = |seen: Vec<(u32, String)>| {
                for (epoch, hash) in seen {
                    assert_eq!(hash, wanted[epoch as usize - 1].1, "after epoch {epoch} on {name}");
                    compared += 1;
                }
            };
            loop {
                let mut child = start(name, folder.path());
                // A few kills to a training, some of them before it has begun or when it has ended.
                let (begun, until) = (Instant::now(), span.mul_f64(random.uniform(0.0, 0.6)));
                while begun.elapsed() < until && child.try_wait().expect("it was started").is_none() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // Where the machine was busy before, what was measured is too long to hit anything.
                if child.try_wait().expect("it was started").is_some() {
                    span = span.min(begun.elapsed().max(Duration::from_secs(1)));
                }
                // Every other one while it writes.
                while killed % 2 == 1 && !writes(folder.path()) && child.try_wait().expect("it was started").is_none() {
                    std::thread::sleep(Duration::from_micros(200));
                }
                if killed == kills || child.try_wait().expect("it was started").is_some() {
                    compare(finish(child, name));
                    break;
                }
                child.kill().expect("it runs");
                compare(hashes(&child.wait_with_output().expect("it was started").stdout));
                killed += 1;
                half_written += u32::from(writes(folder.path()));
            }
            // Once more, when all is done: what is left half written goes, and the files stay.
            assert!(finish(start(name, folder.path()), name).is_empty());
            // Weights, optimizer states and counts, and no other file.
            assert!(files(folder.path()) == kept, "{name}: the files differ: {:?}", files(folder.path()).keys());
        }
        eprintln!(
            "{name}: a training of {whole:.1?} was killed {killed} times in {trainings} trainings, {half_written} times while it \
             wrote; {compared} fingerprints compared"
        );
    }
}
