//! Every file that is read may be damaged: arbitrary bytes, and valid files with bits turned, ends cut off, parts spliced in and
//! counts made huge, are an error that says so, or are read. Nothing panics, and what failed to load has changed nothing.
//!
//! `RETROGRAD_TEST_CASES` says how often each is tried; into the folder `RETROGRAD_FUZZ_SEEDS` go the valid files.

#[path = "common/allocations.rs"]
mod allocations;
mod common;
#[path = "common/damage.rs"]
mod damage;
#[path = "common/files.rs"]
mod files;
#[path = "../examples/support/mod.rs"]
mod support;

use common::device;
use common::hostile::failures;
use damage::{damaged, damages};
use files::Checkpoint;
use proptest::prelude::*;
use retrograd::optim::Adam;
use retrograd::plan::Plan;
use retrograd::verify::{Reproduction, Verdict};
use retrograd::{Device, ErrorKind, Graph, Params, nn};
use std::cell::RefCell;
use std::path::Path;

/// Checks a valid file after all that may happen to it.
fn sweep(name: &str, valid: &[u8], check: impl Fn(&[u8])) {
    check(valid);
    // What the targets in `fuzz` begin with.
    if let Some(folder) = std::env::var_os("RETROGRAD_FUZZ_SEEDS") {
        let folder = Path::new(&folder).join(name.split(' ').next().unwrap_or_default());
        std::fs::create_dir_all(&folder).expect("a folder can be made there");
        std::fs::write(folder.join(name), valid).expect("the folder is there");
    }
    let failed = failures(name, &damages(), |damages| {
        check(&damaged(valid, &damages));
        Ok(())
    });
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}

#[test]
fn damaged_checkpoints_change_nothing() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let checkpoint = Checkpoint::new(device);
        let (valid, sealed) = (checkpoint.valid.clone(), checkpoint.sealed.clone());
        let checkpoint = RefCell::new(checkpoint);
        sweep(&format!("checkpoint on {name}"), &valid, |bytes| {
            checkpoint.borrow_mut().check(bytes);
        });
        // With its checksum, whatever happens to it is seen.
        assert!(checkpoint.borrow_mut().check(&sealed));
        let failed = failures("sealed checkpoint", &damages(), |damages| {
            let other = damaged(&sealed, &damages);
            let loaded = checkpoint.borrow_mut().check(&other);
            prop_assert!(!loaded || files::is_same_content(&sealed, &other), "a damaged checkpoint was loaded");
            Ok(())
        });
        assert!(failed.is_none(), "{}", failed.unwrap_or_default());
    }
}

/// The error of a file names it.
#[test]
fn the_error_of_a_checkpoint_names_its_file() {
    let (mut params, g) = (Params::seeded(1), Graph::new());
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
    let mut step = g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params).expect("it is right");
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("damaged.safetensors");
    std::fs::write(&path, [0xff; 30]).expect("the folder is there");
    let error = step.load(&path).expect_err("it is none");
    assert!(error.kind() == ErrorKind::File && error.to_string().contains("damaged.safetensors"), "{error}");
}

/// Counts in a checkpoint at the end of what 32 bits hold: training goes on, or says why not.
#[test]
fn counts_at_the_end_of_their_range_are_no_panic() {
    let (mut params, g) = (Params::seeded(1), Graph::new());
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let mut step = g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params).expect("it is right");
    for steps in [u32::MAX - 2, u32::MAX - 1, u32::MAX] {
        step.state().set_steps(steps);
        for _ in 0..2 {
            if let Err(error) = step.run([x.feed(&[0.5f32; 12])]) {
                assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            }
            if let Err(error) = step.run_many(3, [x.feed(&[0.5f32; 12])]) {
                assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            }
        }
    }
    let text = step.run_many(u32::MAX, [x.feed(&[0.5f32; 12])]).expect_err("no state counts so many").to_string();
    assert!(text.contains("4294967295"), "{text}");
}

#[test]
fn damaged_plans_are_refused() {
    sweep("plan", &files::valid_plan(), files::check_plan);
}

#[test]
fn damaged_choices_are_refused() {
    sweep("choices", &files::valid_choices(), files::check_choices);
}

/// What of a damaged reproduction is whole, with the kernel as it was, runs or is refused.
#[test]
fn damaged_reproductions_are_refused() {
    let valid = files::valid_reproduction();
    let whole = files::check_reproduction(&valid).expect("it is whole");
    let vulkan = device("vulkan");
    if let Some(device) = &vulkan {
        let replayed = whole.run(device).expect("the device takes it");
        assert_eq!(replayed.verdict, Verdict::Agrees, "{}", replayed.finding);
    }
    sweep("reproduction", &valid, |bytes| {
        let read = files::check_reproduction(bytes);
        let (Some(read), Some(device)) = (read, &vulkan) else { return };
        let same = |one: &Plan, other: &Plan| {
            one.kernels[0].wgsl == other.kernels[0].wgsl
                && one.dispatches[0].workgroups == other.dispatches[0].workgroups
        };
        if same(&read.plan, &whole.plan) {
            let _ = read.run(device);
        }
    });
}

/// What would be taken for less than it says, or would reach past what is there.
#[test]
fn reproductions_that_do_not_fit_together_are_refused() {
    let valid: serde_json::Value = serde_json::from_slice(&files::valid_reproduction()).expect("it is JSON");
    let row = serde_json::json!({ "dtype": "F32", "rows": 1 });
    let changes: [&[(&str, serde_json::Value)]; 9] = [
        &[("/wants/0/reading", "f33".into())],
        &[("/wants/0/reading", "scaled".into()), ("/wants/0/end", 7.into())],
        &[("/wants/0/end", 1000.into())],
        &[("/wants/0/allowed", vec![0; 7].into())],
        &[("/plan/buffers/0/kind", "GradientNorm".into())],
        &[
            ("/plan/dispatches/0/images", vec![0].into()),
            ("/plan/kernels/0/usages/0", serde_json::json!({ "Image": "F32" })),
        ],
        &[
            ("/plan/kernels/0/usages/0", serde_json::json!({ "Image": "F32" })),
            ("/plan/images", vec![row.clone()].into()),
        ],
        &[("/plan/dispatches/0/images", vec![0].into()), ("/plan/images", vec![row].into())],
        &[("/plan/groups", 2.into())],
    ];
    for changes in changes {
        let mut other = valid.clone();
        for (place, value) in changes {
            *other.pointer_mut(place).expect(place) = value.clone();
        }
        let error = Reproduction::from_json(other.to_string().as_bytes()).expect_err("it does not fit together");
        assert!(error.to_string().contains("fit together"), "{changes:?}: {error}");
    }
}

/// Two images of 2 x 3 pixels in IDX, and their labels.
fn idx() -> [(&'static str, Vec<u8>); 2] {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 12]].concat();
    [("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", vec![0, 0, 8, 1, 0, 0, 0, 2, 3, 4])]
}

#[test]
fn damaged_image_files_are_refused() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("the folder is there");
    for (number, ending) in [(0, ""), (1, ""), (0, ".gz"), (1, ".gz")] {
        let [(images, pixels), (labels, classes)] = idx();
        for file in folder.path().read_dir().expect("it is there").flatten() {
            std::fs::remove_file(file.path()).expect("it was just written");
        }
        put(images, &pixels);
        put(labels, &classes);
        let (name, plain) = [(images, pixels), (labels, classes)][number].clone();
        std::fs::remove_file(folder.path().join(name)).expect("it was just written");
        let name = format!("{name}{ending}");
        let valid = if ending.is_empty() { plain } else { files::packed(&plain) };
        let failed = failures(&name, &damages(), |damages| {
            put(&name, &damaged(&valid, &damages));
            match support::idx::images(folder.path(), "t10k") {
                Ok(images) => prop_assert_eq!(images.pixels.len(), images.len() * images.width),
                Err(error) => prop_assert!(error.to_string().contains("t10k"), "{}", error),
            }
            Ok(())
        });
        assert!(failed.is_none(), "{}", failed.unwrap_or_default());
    }
}

#[test]
fn damaged_pixels_are_refused() {
    sweep("idx", &files::valid_images(), files::check_idx);
    sweep("idx packed", &files::packed(&files::valid_images()), files::check_idx);
}

#[test]
fn damaged_arrays_are_refused() {
    sweep("npy", &files::valid_npy(), files::check_npy);
}

#[test]
fn damaged_tables_are_refused() {
    sweep("csv", &files::valid_csv(), files::check_csv);
}

#[test]
fn damaged_tables_of_digits_are_refused() {
    sweep("digits", &files::valid_digits(), files::check_digits);
    sweep("digits packed", &files::packed(&files::valid_digits()), files::check_digits);
}

#[test]
fn digits_that_are_none_are_refused() {
    let text = String::from_utf8(files::valid_digits()).expect("it is text");
    for (is, other) in [
        (",3\n", ",3.7\n"),
        (",3\n", ",-1\n"),
        (",3\n", ",10\n"),
        ("0,1,", "inf,1,"),
        ("0,1,", "nan,1,"),
        ("0,1,", "1e39,1,"),
    ] {
        let table = files::packed(text.replacen(is, other, 1).as_bytes());
        let error = support::table("digits", &table).expect_err(other);
        assert!(error.to_string().contains("digits, line 1"), "{error}");
    }
    // Far fewer bytes than they become.
    let bomb = files::packed(&vec![b'1'; 70 << 20]);
    let error = support::table("digits", &bomb).expect_err("it is none");
    assert!(bomb.len() < 1 << 20 && error.to_string().contains("more than"), "{error}");
}

#[test]
fn damaged_series_are_refused() {
    sweep("series", b"0.5\n-1.25e-3\n7\n\n100\n", files::check_series);
    for other in ["inf", "nan", "1e300", "x", ""] {
        let error = support::series("series", format!("1\n{other},2\n").as_bytes()).expect_err(other);
        assert!(error.to_string().starts_with("series: line 2"), "{error}");
    }
}
