//! Checkpoints: what goes on from them is what would have gone on, whatever happens to files and folders.

#[path = "common/allocations.rs"]
mod allocations;
mod common;

use allocations::within;
use common::devices;
use retrograd::optim::{Adam, Sgd};
use retrograd::schedule::Exponential;
use retrograd::train::{Best, Checkpoint, Checkpoints, WeightMapping};
use retrograd::{Device, ErrorKind, Feed, Graph, Init, Params, Step, nn};
use std::path::{Path, PathBuf};

/// A step in which everything takes part that a training may go on from: rows in another order in every pass, dropout, running
/// statistics, a schedule, gradients that are added up, running averages.
fn everything(device: &Device, seed: u64, width: usize) -> Step {
    let mut params = Params::seeded(seed);
    let up = nn::Linear::new(&mut params, "up", 3, width);
    let norm = nn::BatchNorm::new(&mut params, "norm", width);
    let down = nn::Linear::new(&mut params, "down", width, 2);
    let g = Graph::new();
    let (x, y) = (g.input("x", [4, 3]), g.labels("y", [4]));
    let hidden = nn::Dropout::new(0.3).forward(norm.forward(up.forward(x)).tanh());
    let loss = down.forward(hidden).cross_entropy(y);
    let rows: Vec<f32> = (0..51u8).map(|number| (f32::from(number) * 0.7).sin()).collect();
    let labels: Vec<i32> = (0..17).map(|number| number % 2).collect();
    g.train(loss, Adam::new(0.05))
        .schedule(Exponential::new(0.97))
        .accumulate(2)
        .average(0.9)
        .dataset([x.feed(&rows), y.feed(&labels)])
        .compile(device, &params)
        .unwrap()
}

#[test]
fn what_is_resumed_goes_on_to_the_bit() {
    for device in devices() {
        // The learning rate is set by hand before the interruption, or never.
        for by_hand in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let mut straight = everything(&device, 5, 6);
            let mut wanted = Vec::new();
            for number in 1..=14 {
                if by_hand && number == 3 {
                    straight.set_learning_rate(0.0123).unwrap();
                }
                straight.run([]).unwrap();
                wanted.push(straight.state().training_hash().unwrap());
            }
            // In the middle of a pass, between two gradients that make an update, and after a pass.
            let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
            let mut step = everything(&device, 5, 6);
            assert!(checkpoints.resume(&mut step).unwrap().is_none());
            let mut begun = 0;
            for end in [3, 8, 9, 14] {
                for number in begun + 1..=end {
                    if by_hand && number == 3 {
                        step.set_learning_rate(0.0123).unwrap();
                    }
                    step.run([]).unwrap();
                    assert_eq!(
                        step.state().training_hash().unwrap(),
                        wanted[number - 1],
                        "{}: step {number}, begun at {begun}",
                        device.name()
                    );
                }
                checkpoints.save(&step, None).unwrap();
                let rate = step.learning_rate();
                step = everything(&device, 5, 6);
                checkpoints = Checkpoints::new(folder.path()).unwrap();
                let resumed = checkpoints.resume(&mut step).unwrap().unwrap();
                assert_eq!((resumed.steps as usize, step.learning_rate()), (end, rate));
                begun = end;
            }
        }
    }
}

/// A step of two weights that counts.
fn small(seed: u64) -> (Step, Feed<'static>) {
    let mut params = Params::seeded(seed);
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let step = g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    (step, x.feed(&[0.5f32; 12]).into_owned())
}

/// Saves at every step up to this one, with these metrics.
fn saved(checkpoints: &mut Checkpoints, metrics: &[f64]) -> Step {
    let (mut step, feed) = small(1);
    for (number, &metric) in metrics.iter().enumerate() {
        step.run([feed.clone()]).unwrap();
        checkpoints.save_with(&step, metric, &(number, "row")).unwrap();
    }
    step
}

fn steps(folder: &Path) -> Vec<u32> {
    let mut steps: Vec<u32> = folder
        .read_dir()
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
        })
        .collect();
    steps.sort_unstable();
    steps
}

fn path_of(folder: &Path, step: u32) -> PathBuf {
    folder.join(format!("step-{step:010}.safetensors"))
}

#[test]
fn the_last_and_the_best_are_kept() {
    let nan = f64::NAN;
    for (best, metrics, kept, the_best) in [
        (None, &[0.5, 0.1, 0.4, 0.3, 0.2][..], &[4, 5][..], 0),
        (Some(Best::Lowest), &[0.5, 0.1, 0.4, 0.3, 0.1], &[2, 4, 5], 2),
        (Some(Best::Highest), &[nan, 0.1, 0.4, 0.3, 0.2], &[3, 4, 5], 3),
        (Some(Best::Highest), &[nan, nan, nan], &[2, 3], 0),
        (Some(Best::Lowest), &[0.5, 0.4, 0.3], &[2, 3], 3),
        (Some(Best::Lowest), &[f64::NEG_INFINITY, 0.4, 0.3, 0.2], &[1, 3, 4], 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path().join("made")).unwrap().keep_last(2);
        if let Some(best) = best {
            checkpoints = checkpoints.keep_best(best);
        }
        saved(&mut checkpoints, metrics);
        assert_eq!(steps(checkpoints.folder()), kept, "{metrics:?}");
        let latest = checkpoints.latest().unwrap().checkpoint.unwrap();
        let last = metrics.len();
        assert_eq!((latest.steps() as usize, latest.seed()), (last, Some(1)));
        assert_eq!(latest.metric().map(f64::to_bits), Some(metrics[last - 1].to_bits()));
        assert_eq!(latest.version(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(latest.position::<(usize, String)>().unwrap(), Some((last - 1, "row".to_owned())));
        let error = latest.position::<f64>().unwrap_err();
        assert!(error.kind() == ErrorKind::Argument && error.to_string().contains("f64"), "{error}");
        if best.is_some() {
            let found = checkpoints.best().unwrap().checkpoint;
            assert_eq!(found.map_or(0, |checkpoint| checkpoint.steps()), the_best);
        } else {
            assert!(checkpoints.best().unwrap_err().to_string().contains("keep_best"));
        }
    }
}

#[test]
fn damaged_checkpoints_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap().keep_last(5).keep_best(Best::Lowest);
    saved(&mut checkpoints, &[0.5, 0.1, 0.4, 0.3, 0.2]);
    // One was cut off, one has a bit turned in its last tensor.
    let last = path_of(folder.path(), 5);
    let bytes = std::fs::read(&last).unwrap();
    std::fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    let turn = |step: u32| {
        let mut bytes = std::fs::read(path_of(folder.path(), step)).unwrap();
        let place = bytes.len() - 2;
        bytes[place] ^= 4;
        std::fs::write(path_of(folder.path(), step), bytes).unwrap();
    };
    turn(4);
    turn(2);
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap().keep_last(5).keep_best(Best::Lowest);
    assert_eq!(checkpoints.best().unwrap().checkpoint.unwrap().steps(), 3);
    let (mut step, feed) = small(1);
    let resumed = checkpoints.resume(&mut step).unwrap().unwrap();
    assert_eq!((resumed.steps, resumed.metric, resumed.skipped.len()), (3, Some(0.4), 2));
    assert_eq!(resumed.position::<(usize, String)>().unwrap().unwrap().0, 2);
    let text = resumed.to_string();
    assert!(text.contains("resumed from step 3") && text.contains("step-0000000004.safetensors"), "{text}");
    assert!(resumed.skipped[0].reason.contains("no valid safetensors file"), "{text}");
    assert!(resumed.skipped[1].reason.contains("checksum"), "{text}");
    // Training goes on; what is damaged is put aside rather than taken for the last one.
    step.run([feed]).unwrap();
    checkpoints.save(&step, 0.9).unwrap();
    assert_eq!(steps(folder.path()), [1, 2, 3, 4]);
    assert_eq!(checkpoints.latest().unwrap().checkpoint.unwrap().steps(), 4);
    assert!(folder.path().join("step-0000000005.safetensors.damaged").exists());

    // Where none is whole, training does not begin anew by itself.
    for step in [1, 2, 3, 4] {
        turn(step);
    }
    turn(2);
    std::fs::remove_file(path_of(folder.path(), 2)).unwrap();
    let before = step.state().training_hash().unwrap();
    let error = checkpoints.resume(&mut step).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert_eq!(error.to_string().matches("checksum").count(), 3, "{error}");
    assert_eq!(step.state().training_hash().unwrap(), before);
}

#[test]
fn a_training_that_went_back_is_gone_on_with_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap().keep_last(2).keep_best(Best::Lowest);
    let (mut step, feed) = small(1);
    for metric in [0.1, 0.5, 0.6, 0.7] {
        step.run([feed.clone()]).unwrap();
        checkpoints.save(&step, metric).unwrap();
    }
    assert_eq!(steps(folder.path()), [1, 3, 4]);
    checkpoints.best().unwrap().checkpoint.unwrap().load(&mut step).unwrap();
    step.run([feed]).unwrap();
    let path = checkpoints.save(&step, 0.4).unwrap();
    assert!(path.is_file() && path == path_of(folder.path(), 2));
    assert_eq!(steps(folder.path()), [1, 2]);
    let aside = folder
        .path()
        .read_dir()
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "abandoned"));
    assert_eq!(aside.count(), 2);
    assert_eq!(checkpoints.latest().unwrap().checkpoint.unwrap().steps(), 2);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpoints::new(folder.path()).unwrap();
    saved(&mut checkpoints, &[0.5, 0.1]);
    // Another seed; it can be taken on purpose.
    let (mut other, _) = small(2);
    let error = checkpoints.resume(&mut other).unwrap_err().to_string();
    assert!(error.contains("the seed 1") && error.contains("`Params::seeded(1)`"), "{error}");
    assert_eq!(other.state().steps(), 0);
    checkpoints.latest().unwrap().checkpoint.unwrap().load(&mut other).unwrap();
    assert_eq!(other.state().steps(), 2);
    // Another network.
    let mut step = everything(&Device::cpu(), 1, 6);
    let before = step.state().training_hash().unwrap();
    let error = checkpoints.resume(&mut step).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::File);
    assert!(
        text.contains("step-0000000002.safetensors") && text.contains("the file lacks `up.weight` f32[6, 3]"),
        "{text}"
    );
    assert!(text.contains("the file has `layer.bias`, which the model lacks"), "{text}");
    assert_eq!(step.state().training_hash().unwrap(), before);
    // A training that begins anew among the files of another.
    let (mut fresh, feed) = small(1);
    fresh.run([feed]).unwrap();
    let mut again = Checkpoints::new(folder.path()).unwrap();
    let error = again.save(&fresh, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    assert!(error.to_string().contains("a checkpoint of step 2"), "{error}");
    assert_eq!(steps(folder.path()), [1, 2]);
    let error = again.keep_last(0).save(&fresh, None).unwrap_err();
    assert!(error.to_string().contains("at least 1"), "{error}");
    // A folder that is a file.
    let error = Checkpoints::new(path_of(folder.path(), 1)).unwrap_err();
    assert!(error.to_string().contains("cannot be used"), "{error}");
}

/// What killed processes left is removed, and nothing else.
#[test]
fn what_is_left_half_written_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| std::fs::write(folder.path().join(name), b"half").unwrap();
    let left = format!("step-0000000007.safetensors.{}-0-3.partial", std::process::id());
    let kept = ["notes.txt", "other.safetensors", "step-7.safetensors", "step-0000000007.safetensors.partial"];
    put(&left);
    for name in kept {
        put(name);
    }
    let checkpoints = Checkpoints::new(folder.path()).unwrap();
    assert!(!folder.path().join(left).exists());
    assert!(kept.iter().all(|name| folder.path().join(name).exists()));
    assert!(checkpoints.latest().unwrap().checkpoint.is_none());
}

/// Bytes of a file with this header, and so many zeros.
fn raw(header: &str, zeros: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; zeros]].concat()
}

/// Files that were made to do harm are errors, which name the file, and have changed nothing.
#[test]
fn hostile_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.safetensors");
    let (mut step, feed) = small(1);
    step.run([feed]).unwrap();
    let good = pollster::block_on(step.state().to_safetensors()).unwrap();
    let before = step.state().training_hash().unwrap();
    let tensor = |name: &str, dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let weight = tensor("layer.weight", "F32", "[2,3]", 0, 24);
    let bias = tensor("layer.bias", "F32", "[2]", 24, 32);
    let steps = r#""__metadata__":{"retrograd.steps":"1"}"#;
    let headers = [
        ("offsets that overlap", format!("{{{steps},{weight},{}}}", tensor("layer.bias", "F32", "[2]", 16, 24))),
        ("a gap", format!("{{{steps},{},{bias}}}", tensor("layer.weight", "F32", "[2,3]", 4, 24))),
        ("beyond the end", format!("{{{steps},{weight},{}}}", tensor("layer.bias", "F32", "[1000000]", 24, 4000024))),
        ("offsets that go back", format!("{{{steps},{}}}", tensor("layer.weight", "F32", "[2,3]", 24, 0))),
        ("a shape that overflows", format!("{{{steps},{}}}", tensor("w", "F32", "[4294967296,4294967296,16]", 0, 32))),
        ("a shape of another size", format!("{{{steps},{weight},{}}}", tensor("layer.bias", "F32", "[3]", 24, 32))),
        ("another type", format!("{{{steps},{weight},{}}}", tensor("layer.bias", "I32", "[2]", 24, 32))),
        ("a type that there is not", format!("{{{steps},{weight},{}}}", tensor("layer.bias", "F31", "[2]", 24, 32))),
        ("a name twice", format!("{{{steps},{weight},{weight},{bias}}}")),
        ("a name twice with another shape", {
            let other = tensor("layer.weight", "F32", "[3,2]", 0, 24);
            format!("{{{steps},{other},{weight},{bias}}}")
        }),
        ("metadata twice", format!(r#"{{{steps},"__metadata__":{{"retrograd.steps":"9"}},{weight},{bias}}}"#)),
        ("a count twice", {
            format!(r#"{{"__metadata__":{{"retrograd.steps":"1","retrograd.steps":"9"}},{weight},{bias}}}"#)
        }),
        ("names of paths", format!("{{{steps},{weight},{bias},{}}}", tensor("../../etc/passwd", "F32", "[0]", 32, 32))),
        ("a state of nothing", format!("{{{steps},{weight},{bias},{}}}", tensor("optimizer//", "F32", "[0]", 32, 32))),
        ("steps that are none", format!(r#"{{"__metadata__":{{"retrograd.steps":"-1"}},{weight},{bias}}}"#)),
        ("a rate that is none", {
            format!(r#"{{"__metadata__":{{"retrograd.steps":"1","retrograd.learning_rate":"NaN"}},{weight},{bias}}}"#)
        }),
        ("a form of later versions", {
            format!(r#"{{"__metadata__":{{"retrograd.steps":"1","retrograd.format":"99"}},{weight},{bias}}}"#)
        }),
        ("metadata that are a list", format!(r#"{{"__metadata__":["x"],{weight},{bias}}}"#)),
        ("a list", "[]".to_owned()),
        ("no JSON", "{".repeat(100)),
        ("depth", "[".repeat(100_000)),
    ];
    let mut files: Vec<(&str, Vec<u8>)> = headers.iter().map(|(what, header)| (*what, raw(header, 32))).collect();
    files.push(("nothing", Vec::new()));
    files.push(("less than a length", vec![1, 2, 3]));
    files.push(("a huge header", [&u64::MAX.to_le_bytes()[..], &[b'{'; 64]].concat()));
    files.push(("a header of 99 MB", [&99_000_000u64.to_le_bytes()[..], b"{}"].concat()));
    files.push(("an end that was cut off", good[..good.len() - 1].to_vec()));
    files.push(("a byte more", [&good[..], &[0]].concat()));
    for (what, bytes) in files {
        std::fs::write(&path, &bytes).unwrap();
        let error = within(bytes.len(), || step.load(&path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File, "{what}: {error}");
        assert!(error.to_string().contains("hostile.safetensors"), "{what}: {error}");
        assert_eq!(step.state().training_hash().unwrap(), before, "{what}");
        // Opening alone does not know the model; it, too, gives a file or an error.
        if let Ok(checkpoint) = Checkpoint::open(&path) {
            assert!(checkpoint.load(&mut step).is_err(), "{what}");
        }
        if let Err(error) = step.load_weights(&path, &WeightMapping::new()) {
            assert!(error.to_string().contains("hostile.safetensors"), "{what}: {error}");
        }
        step.state().load_safetensors(&good).unwrap();
    }
    // What is whole, and no checkpoint.
    let weights = pollster::block_on(step.state().weights_to_safetensors(&WeightMapping::new())).unwrap();
    std::fs::write(&path, weights).unwrap();
    let error = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(error.contains("is no checkpoint") && error.contains("load_weights"), "{error}");
    // The weights of a checkpoint, without the rest.
    std::fs::write(&path, &good).unwrap();
    let (other, _) = small(2);
    let loaded = other.load_weights(&path, &WeightMapping::new()).unwrap();
    assert_eq!((loaded.loaded.len(), other.state().steps()), (2, 0));
    assert_eq!(other.state().weights_hash().unwrap(), step.state().weights_hash().unwrap());
}

/// A large file is mapped: nothing of its size is asked for, one tensor at a time is.
#[test]
fn large_files_are_not_read_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.safetensors");
    let mut params = Params::seeded(1);
    let g = Graph::new();
    let mut sum = g.full([1], 0.0);
    for number in 0..5 {
        let weight = params.add(&format!("weight{number}"), [1 << 20], Init::Constant(f64::from(number)));
        sum = sum + g.param(&weight).mean(..);
    }
    let mut step = g.train(sum.mean(..), Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    step.save(&path).unwrap();
    let size = path.metadata().unwrap().len();
    assert!(size > 20 << 20);
    // 4 MiB are a tensor, and 2 MiB are always allowed for.
    let most = (4 << 20) / 64;
    within(most, || step.load(&path)).unwrap();
    within(most, || Checkpoint::open(&path)).unwrap();
    within(most, || step.load_weights(&path, &WeightMapping::new())).unwrap();
}

/// Set in a process that may write no large file: the folder.
const FULL: &str = "RETROGRAD_TEST_FULL_DISK";

/// In a process of its own: what cannot be written.
#[test]
fn saving_where_nothing_fits() {
    let Some(folder) = std::env::var_os(FULL) else { return };
    let mut step = everything(&Device::cpu(), 1, 800);
    let mut checkpoints = Checkpoints::new(folder).unwrap().keep_last(1);
    assert_eq!(checkpoints.resume(&mut step).unwrap().unwrap().steps, 2);
    step.run([]).unwrap();
    let error = checkpoints.save(&step, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert!(error.to_string().contains("step-0000000003.safetensors could not be written"), "{error}");
    assert!(error.to_string().contains("nothing is left"), "{error}");
    let error = step.save(checkpoints.folder().join("step-0000000002.safetensors")).unwrap_err();
    assert!(error.to_string().contains("is as it was"), "{error}");
    println!("refused as it should");
}

/// Where a disk is full, or a process may write no more, the former files are as they were.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut step = everything(&Device::cpu(), 1, 800);
    step.run_many(2, []).unwrap();
    let path = Checkpoints::new(folder.path()).unwrap().save(&step, None).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(before.len() > 50_000);
    // 16 or 8 KiB are the most that a file may have, and the signal that tells of more is not to kill.
    let output = std::process::Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 16; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "saving_where_nothing_fits", "--nocapture"])
        .env(FULL, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("refused as it should"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left of what failed");
    let mut other = everything(&Device::cpu(), 1, 800);
    assert_eq!(Checkpoints::new(folder.path()).unwrap().resume(&mut other).unwrap().unwrap().steps, 2);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let (step, _) = small(1);
    // Nobody writes there, whoever they are.
    if Path::new("/proc/self").exists() {
        let error = step.save("/proc/self/step.safetensors").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File);
        assert!(error.to_string().contains("/proc/self/step.safetensors could not be written"), "{error}");
        assert!(Checkpoints::new("/proc/self/checkpoints").unwrap_err().to_string().contains("/proc/self/checkpoints"));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.safetensors");
    step.save(&path).unwrap();
    let before = std::fs::read(&path).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser writes everywhere.
    if let Err(error) = step.save(&path) {
        assert!(error.to_string().contains("is as it was"), "{error}");
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
