//! Every file that is read may be damaged: arbitrary bytes, and valid files with bits turned, ends cut off, parts spliced in and
//! counts made huge, are an error that says so, or are read. Nothing panics, and what failed to load has changed nothing.
//!
//! `RETROGRAD_TEST_CASES` says how often each is tried.

mod common;
#[path = "../examples/support/mod.rs"]
mod support;

use common::hostile::failures;
use proptest::prelude::*;
use retrograd::optim::Adam;
use retrograd::plan::{Plan, Profile};
use retrograd::{Device, ErrorKind, Graph, Params, Step, nn};
use std::io::Write as _;

/// What happens to a valid file.
#[derive(Clone, Debug)]
enum Damage {
    /// It holds these bytes instead.
    Other(Vec<u8>),
    /// This bit, of all, is turned.
    Bit(usize),
    /// It ends here.
    Cut(usize),
    /// These bytes stand here instead of what did.
    Over(usize, Vec<u8>),
    /// These bytes are put in here.
    In(usize, Vec<u8>),
    /// A part is left out.
    Out(usize, usize),
    /// The number in decimal digits that follows here is another.
    Count(usize, u64),
}

fn damages() -> BoxedStrategy<Vec<Damage>> {
    let place = 0..1usize << 20;
    let bytes = || proptest::collection::vec(any::<u8>(), 1..20);
    let count = prop_oneof![Just(0u64), Just(u64::MAX), Just(1 << 32), Just(1 << 63), Just(4), any::<u64>()];
    let one = prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Damage::Other),
        4 => place.clone().prop_map(Damage::Bit),
        2 => place.clone().prop_map(Damage::Cut),
        3 => (prop_oneof![2 => 0..400usize, 1 => place.clone()], bytes()).prop_map(|(at, bytes)| Damage::Over(at, bytes)),
        2 => (place.clone(), bytes()).prop_map(|(at, bytes)| Damage::In(at, bytes)),
        2 => (place.clone(), 1..40usize).prop_map(|(at, length)| Damage::Out(at, length)),
        4 => (place, count).prop_map(|(at, count)| Damage::Count(at, count)),
    ];
    proptest::collection::vec(one, 1..4).boxed()
}

/// A file after all that happens to it; places are taken modulo its length.
fn damaged(valid: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut file = valid.to_vec();
    for damage in damages {
        let length = file.len().max(1);
        match damage {
            Damage::Other(bytes) => file.clone_from(bytes),
            Damage::Bit(bit) if !file.is_empty() => file[bit / 8 % length] ^= 1 << (bit % 8),
            Damage::Cut(at) => file.truncate(at % length),
            Damage::Over(at, bytes) => {
                let at = at % length;
                file.iter_mut().skip(at).zip(bytes).for_each(|(to, &byte)| *to = byte);
            }
            Damage::In(at, bytes) => {
                drop(file.splice(at % length..at % length, bytes.iter().copied()).collect::<Vec<_>>());
            }
            Damage::Out(at, size) => {
                let at = at % length;
                drop(file.drain(at.min(file.len())..(at + size).min(file.len())));
            }
            Damage::Count(at, count) => {
                let Some(start) =
                    (0..file.len()).map(|ahead| (at + ahead) % length).find(|&at| file[at].is_ascii_digit())
                else {
                    continue;
                };
                let digits = file[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                drop(file.splice(start..start + digits, count.to_string().into_bytes()).collect::<Vec<_>>());
            }
            Damage::Bit(_) => {}
        }
    }
    file
}

/// A small step that has trained a little.
fn trained() -> Step {
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let mut step = g.train(loss, Adam::new(0.1)).average(0.9).compile(&Device::cpu(), &params).expect("it is right");
    step.run_many(3, [x.feed(&[0.5f32; 12])]).expect("it runs");
    step
}

#[test]
fn damaged_checkpoints_change_nothing() {
    let step = trained();
    let bytes_of = |step: &Step| pollster::block_on(step.state().to_safetensors()).expect("it is on the host");
    let all_of = |step: &Step| {
        let bytes = bytes_of(step);
        let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("it was just written");
        let mut all: Vec<(String, Vec<u8>)> =
            tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect();
        all.sort();
        (all, step.state().steps())
    };
    let valid = bytes_of(&step);
    let before = all_of(&step);
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("damaged.safetensors");
    let failed = failures("checkpoint", &damages(), |damages| {
        std::fs::write(&path, damaged(&valid, &damages)).expect("the folder is there");
        match step.load(&path) {
            Ok(()) => {
                // What is read can be gone on with, whatever its counts are.
                prop_assert!(bytes_of(&step).len() > 100);
                step.state().load_safetensors(&valid).expect("it is the valid file");
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::File);
                prop_assert!(error.to_string().contains("damaged.safetensors"), "{}", error);
            }
        }
        prop_assert!(all_of(&step) == before, "a file that was refused, or the valid one, changed the state");
        Ok(())
    });
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
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
    let (mut params, g) = (Params::seeded(1), Graph::new());
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
    let plan = g.train(loss, Adam::new(0.1)).plan(&params, &Profile::webgpu_default()).expect("it is right");
    let valid = serde_json::to_vec(&plan).expect("a plan is plain data");
    let failed = failures("plan", &damages(), |damages| {
        if let Ok(plan) = serde_json::from_slice::<Plan>(&damaged(&valid, &damages)) {
            // Whatever it says, it can be looked at.
            let _ = (plan.to_string(), plan.total_bytes(), plan.explain());
        }
        Ok(())
    });
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
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
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&plain).expect("memory takes all");
        let valid = if ending.is_empty() { plain } else { packed.finish().expect("memory takes all") };
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
fn damaged_tables_of_digits_are_refused() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let row =
        |label: u32| (0..64).map(|pixel| (pixel % 17).to_string() + ",").collect::<String>() + &format!("{label}\n");
    let text = row(3) + &row(4);
    let failed = failures("digits.csv.gz", &damages(), |damages| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&damaged(text.as_bytes(), &damages)).expect("memory takes all");
        let packed = packed.finish().expect("memory takes all");
        std::fs::write(folder.path().join("digits.csv.gz"), packed).expect("the folder is there");
        match support::digits(Some(folder.path())) {
            Ok(images) => {
                prop_assert_eq!(images.pixels.len(), images.len() * 64);
                prop_assert!(images.labels.iter().all(|label| (0..10).contains(label)));
                prop_assert!(images.pixels.iter().all(|pixel| pixel.is_finite()), "pixels are numbers");
            }
            Err(error) => prop_assert!(error.to_string().contains("digits.csv.gz"), "{}", error),
        }
        Ok(())
    });
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}
