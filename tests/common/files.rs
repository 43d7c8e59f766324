//! What must hold of every file that is read, whatever its bytes are: nothing panics, nothing asks for much more memory than the
//! file has bytes, and what is refused has changed nothing. `tests/parsers.rs` tries it with damaged files, and the targets in
//! `fuzz` with what they find.

use crate::allocations::within;
use crate::support;
use retrograd::data::{Csv, Dataset, Elements, FileArray, Missing, idx, npy};
use retrograd::optim::Adam;
use retrograd::plan::{Choices, Plan, Profile, StepScalars};
use retrograd::train::WeightMapping;
use retrograd::verify::Reproduction;
use retrograd::{Device, ErrorKind, Feed, Graph, HostTensor, Params, Step, Training, nn};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A small step, in which everything that a checkpoint may hold is computed, that has trained a little.
fn trained(device: &Device) -> (Step, Feed<'static>) {
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let mut step =
        g.train(loss, Adam::new(0.1)).average(0.9).accumulate(2).compile(device, &params).expect("it is right");
    let feed = x.feed(&[0.5f32; 12]).into_owned();
    step.run_many(3, [feed.clone()]).expect("it runs");
    (step, feed)
}

/// Everything that a state holds: counts, and the bits of every tensor by name.
type Contents = (Option<BTreeMap<String, String>>, BTreeMap<String, Vec<u8>>);

/// Checkpoints, which are loaded into a step.
pub struct Checkpoint {
    step: Step,
    feed: Feed<'static>,
    /// The bytes of a valid file, of a state that differs in all tensors and counts: whatever of it is taken over shows. It has no
    /// checksum, so that damage gets past that.
    pub valid: Vec<u8>,
    /// The same with its checksum.
    pub sealed: Vec<u8>,
    own: Vec<u8>,
    before: Contents,
}

impl Checkpoint {
    pub fn new(device: &Device) -> Self {
        let (mut step, feed) = trained(device);
        let own = bytes_of(&step);
        let before = contents(&own);
        step.run_many(2, [feed.clone()]).expect("it runs");
        let sealed = bytes_of(&step);
        let valid = unsealed(&sealed);
        step.state().load_safetensors(&own).expect("it was just written");
        Self { step, feed, valid, sealed, own, before }
    }

    /// Whether it was loaded.
    pub fn check(&mut self, bytes: &[u8]) -> bool {
        // Weights alone are taken from the same bytes, or not at all.
        let weights = within(bytes.len(), || self.step.state().load_weights_from(bytes, &WeightMapping::pytorch()));
        if let Err(error) = weights {
            assert_eq!(error.kind(), ErrorKind::File, "{error}");
        }
        self.step.state().load_safetensors(&self.own).expect("it was written here");
        let outcome = within(bytes.len(), || self.step.state().load_safetensors(bytes));
        let loaded = outcome.is_ok();
        match outcome {
            // What is read can be gone on with, as far as counts go, and what was there before can be had again.
            Ok(()) => {
                let run = self.step.run([self.feed.clone()]);
                assert!(bytes_of(&self.step).len() > 100);
                self.step.state().load_safetensors(&self.own).expect("it was written here");
                if let Err(error) = run {
                    // Counts at the end of their range, or that differ between parameters.
                    assert!(
                        [ErrorKind::Limit, ErrorKind::Argument].contains(&error.kind()),
                        "{:?}: {error}",
                        error.kind()
                    );
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::File, "{error}");
                assert!(error.to_string().len() > 20, "{error}");
            }
        }
        let after = contents(&bytes_of(&self.step));
        assert_eq!(after.0, self.before.0, "a file that was refused, or its own, changed what is counted");
        for (name, bits) in &self.before.1 {
            assert_eq!(after.1.get(name), Some(bits), "a file that was refused, or its own, changed `{name}`");
        }
        assert_eq!(after.1.len(), self.before.1.len());
        loaded
    }
}

/// The same file without its checksum.
fn unsealed(bytes: &[u8]) -> Vec<u8> {
    let mut metadata = safetensors::SafeTensors::read_metadata(bytes).expect("it is whole").1.metadata().clone();
    metadata.as_mut().and_then(|metadata| metadata.remove("retrograd.checksum")).expect("it has one");
    let tensors = safetensors::SafeTensors::deserialize(bytes).expect("it is whole").tensors();
    safetensors::serialize(tensors, metadata).expect("it was one")
}

/// Whether another file says the same in other bytes, as with a space more in its header; or has no checksum.
pub fn is_same_content(sealed: &[u8], other: &[u8]) -> bool {
    let (sealed, other) = (contents(sealed), contents(other));
    let has_none = other.0.as_ref().is_none_or(|metadata| !metadata.contains_key("retrograd.checksum"));
    has_none || sealed == other
}

fn bytes_of(step: &Step) -> Vec<u8> {
    pollster::block_on(step.state().to_safetensors()).expect("the device is there")
}

fn contents(bytes: &[u8]) -> Contents {
    let (_, head) = safetensors::SafeTensors::read_metadata(bytes).expect("it was just written");
    let tensors = safetensors::SafeTensors::deserialize(bytes).expect("it was just written");
    let counts = head.metadata().as_ref().map(|counts| counts.clone().into_iter().collect());
    (counts, tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect())
}

/// The training that plans and choices are of.
fn with_training<R>(run: impl FnOnce(Training<'_>, &Params) -> R) -> R {
    let (mut params, g) = (Params::seeded(1), Graph::new());
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let loss = layer.forward(g.input("x", [4, 3])).square().mean(..);
    run(g.train(loss, Adam::new(0.1)), &params)
}

fn planned(profile: &Profile) -> Plan {
    with_training(|training, params| training.plan(params, profile).expect("it is right"))
}

/// A saved plan.
pub fn valid_plan() -> Vec<u8> {
    serde_json::to_vec(&planned(&Profile::webgpu_default())).expect("a plan is plain data")
}

pub fn check_plan(bytes: &[u8]) {
    within(bytes.len(), || {
        if let Ok(plan) = serde_json::from_slice::<Plan>(bytes) {
            // Whatever it says, it can be looked at.
            let _ = (plan.to_string(), plan.total_bytes(), plan.explain(), plan.fingerprint(), plan.choices());
            for dispatch in &plan.dispatches {
                let _ = (plan.moved_bytes(dispatch), dispatch.gathers(), dispatch.group());
            }
        }
    });
}

/// Choices for the limits of every device.
pub fn valid_choices() -> Vec<u8> {
    serde_json::to_vec(&planned(&Profile::webgpu_default()).choices()).expect("choices are plain data")
}

pub fn check_choices(bytes: &[u8]) {
    let Ok(choices) = within(bytes.len(), || serde_json::from_slice::<Choices>(bytes)) else { return };
    for profile in [Profile::webgpu_default(), Profile::host()] {
        with_training(|training, params| match training.pinned(&choices).plan(params, &profile) {
            Ok(plan) => assert_eq!(plan.fingerprint(), choices.plan),
            Err(error) => {
                assert!([ErrorKind::Argument, ErrorKind::Limit].contains(&error.kind()), "{:?}: {error}", error.kind());
                assert!(error.to_string().len() > 20, "{error}");
            }
        });
    }
}

/// A reproduction of the first product of a plan, which should write zeros.
pub fn valid_reproduction() -> Vec<u8> {
    let plan = planned(&Profile::webgpu_default());
    let number = plan.dispatches.iter().position(|dispatch| dispatch.chosen.is_some()).expect("a layer is a product");
    let plan = plan.alone(number, 256);
    let buffers: Vec<Vec<u32>> = plan.buffers.iter().map(|buffer| vec![0; buffer.bytes as usize / 4]).collect();
    let written = plan.kernels[0].usages.iter().position(|usage| usage.writes()).expect("a product is written");
    let scalars = vec![StepScalars::default(); plan.groups];
    let want = json!({
        "binding": written, "start": 0, "end": 8, "what": "zeros", "shape": [4, 2], "reading": "f32",
        "values": [0, 0, 0, 0, 0, 0, 0, 0], "allowed": [0, 0, 0, 0, 0, 0, 0, 0],
    });
    let all: Value = json!({
        "version": "0.1.0", "device": "none", "driver": "", "plan": plan, "buffers": buffers, "scalars": scalars,
        "wants": [want], "poisoned": false,
    });
    all.to_string().into_bytes()
}

/// Gives what was read, where it was.
pub fn check_reproduction(bytes: &[u8]) -> Option<Reproduction> {
    match within(bytes.len(), || Reproduction::from_json(bytes)) {
        Ok(reproduction) => {
            let error = reproduction.run(&Device::cpu()).expect_err("the host has no kernels");
            assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
            let again = serde_json::to_vec(&reproduction).expect("it is plain data");
            Reproduction::from_json(&again).expect("what was read is whole");
            Some(reproduction)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::File, "{error}");
            None
        }
    }
}

/// Two images of 2 x 3 pixels in IDX.
pub fn valid_images() -> Vec<u8> {
    [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 12]].concat()
}

/// Plain files of images and of labels, and packed ones.
pub fn check_idx(bytes: &[u8]) {
    for packed in [false, true] {
        // What is packed may be a thousand times as long.
        let length = if packed { 1100 * bytes.len() } else { bytes.len() };
        match within(length, || idx::read_bytes("pixels", bytes, packed)) {
            Ok(array) => {
                let (shape, elements) = (array.shape(), array.elements());
                assert_eq!(shape.elements(), elements.len());
                let bytes_of = |bits: usize| elements.len() * bits / 8 + 4 + 4 * shape.rank();
                let bits = elements.type_name()[1..].parse().expect("a letter and the number of bits");
                assert!(packed || bytes_of(bits) == bytes.len());
            }
            Err(error) => assert!(error.to_string().starts_with("pixels "), "{error}"),
        }
    }
}

/// An array as `NumPy` writes it.
pub fn valid_npy() -> Vec<u8> {
    npy::to_bytes(&FileArray::new([4, 3], Elements::F32((0..12).map(|x| x as f32).collect())).expect("twelve elements"))
}

pub fn check_npy(bytes: &[u8]) {
    match within(bytes.len(), || npy::read_bytes("array", bytes)) {
        // Read, it can be written, and is then read as the same.
        Ok(array) => {
            let written = npy::to_bytes(&array);
            let again = npy::read_bytes("array", &written).expect("it was just written");
            assert_eq!(again.shape(), array.shape());
            assert_eq!(npy::to_bytes(&again), written);
        }
        Err(error) => assert!(error.to_string().starts_with("array "), "{error}"),
    }
    if let Err(error) = within(1100 * bytes.len(), || npy::read_npz_bytes("arrays", bytes)) {
        assert!(error.to_string().starts_with("arrays"), "{error}");
    }
}

/// A table with numbers, a fraction, texts, quotes and a missing value.
pub fn valid_csv() -> Vec<u8> {
    b"a,b,c\r\n1,0.5,x\r\n2,1e3,\"y, z\"\r\n3,,x\r\n".to_vec()
}

pub fn check_csv(bytes: &[u8]) {
    for policy in [Missing::Error, Missing::DropRow, Missing::Value(0.5), Missing::Mean] {
        for csv in [Csv::new(), Csv::new().without_header()] {
            match within(bytes.len(), || csv.missing(policy).read_bytes("table", bytes)) {
                Ok(table) => {
                    let all = table.all().expect("what was read is there");
                    assert_eq!(all.rows(), table.len());
                    let finite = |(name, tensor): (&str, &HostTensor)| {
                        assert!(tensor.to_vec().iter().all(|x| x.is_finite()), "column `{name}`");
                    };
                    all.columns().for_each(finite);
                }
                Err(error) => assert!(error.to_string().starts_with("table"), "{error}"),
            }
        }
    }
}

pub fn packed(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("memory takes all");
    packed.finish().expect("memory takes all")
}

/// Rows of pixels and a digit each, not packed.
pub fn valid_digits() -> Vec<u8> {
    let row =
        |label: u32| (0..64).map(|pixel| (pixel % 17).to_string() + ",").collect::<String>() + &format!("{label}\n");
    (row(3) + &row(4)).into_bytes()
}

/// The text of a table, and as it stands: as what is packed already.
pub fn check_digits(bytes: &[u8]) {
    for file in [packed(bytes), bytes.to_vec()] {
        match within(1100 * bytes.len(), || support::table("digits", &file)) {
            Ok(images) => {
                assert_eq!(images.pixels.len(), images.len() * 64);
                assert!(images.labels.iter().all(|label| (0..10).contains(label)));
                assert!(images.pixels.iter().all(|pixel| pixel.is_finite()), "pixels are numbers");
            }
            Err(error) => assert!(error.to_string().starts_with("digits"), "{error}"),
        }
    }
}

pub fn check_series(bytes: &[u8]) {
    match within(bytes.len(), || support::series("series", bytes)) {
        Ok(values) => assert!(values.iter().all(|&value| (value as f32).is_finite())),
        Err(error) => assert!(error.to_string().starts_with("series: line "), "{error}"),
    }
}
