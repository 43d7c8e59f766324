//! Checkpoints, and weights of other programs.
#![cfg(not(target_arch = "wasm32"))]

use super::Catalogue;
use retrograd::nn::Linear;
use retrograd::optim::{Adam, Sgd};
use retrograd::train::{Checkpoint, Checkpoints, WeightLayout, WeightMapping};
use retrograd::{Device, ErrorKind, Graph, Params, Step};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::Path;

/// A step of a small network that has been run so often.
fn step(seed: u64, runs: u32) -> Step {
    let mut params = Params::seeded(seed);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).square().mean(..);
    let mut step = g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    if runs > 0 {
        step.run_many(runs, [x.feed(&[0.5f32; 12])]).unwrap();
    }
    step
}

/// The bytes of a checkpoint with other metadata, and no checksum.
fn with_metadata(bytes: &[u8], change: impl FnOnce(&mut HashMap<String, String>)) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let mut metadata = SafeTensors::read_metadata(bytes).unwrap().1.metadata().clone().unwrap();
    metadata.remove("retrograd.checksum");
    change(&mut metadata);
    safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()
}

/// A file with this header and so many bytes behind it.
fn with_header(header: &str, bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn files() {
    let mut texts = Catalogue::new(ErrorKind::File);
    let whole = texts.path("step.safetensors");
    step(1, 3).save(&whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    let opens = |texts: &mut Catalogue, what: &str, bytes: &[u8]| {
        let file = texts.file("step.safetensors", bytes);
        texts.fails(what, Checkpoint::open(file));
    };
    texts.fails("a file that is not there", Checkpoint::open(texts.path("none.safetensors")));
    opens(&mut texts, "a file that was cut", &bytes[..bytes.len() - 7]);
    opens(&mut texts, "a file that was cut in its header", &bytes[..40]);
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    opens(&mut texts, "a file with one wrong bit", &damaged);
    opens(&mut texts, "a header without end", &[0xff; 16]);
    opens(&mut texts, "a header that is no JSON", &with_header("{\"w\": ", 0));
    let info = "{\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 8]}";
    opens(&mut texts, "one name twice", &with_header(&format!("{{\"w\": {info}, \"w\": {info}}}"), 8));
    let huge = "{\"w\": {\"dtype\": \"F32\", \"shape\": [4611686018427387904, 4], \"data_offsets\": [0, 8]}}";
    opens(&mut texts, "a shape of more than there can be", &with_header(huge, 8));
    opens(&mut texts, "weights of another program", &with_header(&format!("{{\"w\": {info}}}"), 8));
    let later = with_metadata(&bytes, |metadata| {
        metadata.insert("retrograd.format".into(), "7".into());
        metadata.insert("retrograd.version".into(), "9.0.0".into());
    });
    // What this version is called changes.
    let file = texts.file("step.safetensors", later);
    let told = Checkpoint::open(file).unwrap_err().to_string().replace(env!("CARGO_PKG_VERSION"), "0.0.0");
    texts.text("a file of a version to come", &told);
    let broken = with_metadata(&bytes, |metadata| {
        metadata.insert("retrograd.steps".into(), "many".into());
        metadata.insert("retrograd.learning_rate".into(), "-1".into());
    });
    opens(&mut texts, "metadata that are no numbers", &broken);

    let flat = texts.file("flat", "");
    texts.fails("a folder of checkpoints that is a file", Checkpoints::new(&flat));
    texts.fails("a checkpoint in a place that is no folder", step(1, 1).save(flat.join("step.safetensors")));
    let folder = texts.path("run");
    let mut checkpoints = Checkpoints::new(&folder).unwrap();
    let first = checkpoints.save(&step(1, 1), None).unwrap();
    texts.fails("resuming with another seed", checkpoints.resume(&mut step(2, 0)));
    let second = checkpoints.save(&step(1, 2), None).unwrap();
    std::fs::write(first, &bytes[..100]).unwrap();
    std::fs::write(second, &damaged).unwrap();
    texts.fails("resuming where all are damaged", checkpoints.resume(&mut step(1, 0)));
    std::fs::remove_dir_all(&folder).unwrap();
    texts.fails("saving where the folder is gone", checkpoints.save(&step(1, 3), None));

    let mut params = Params::seeded(1);
    let head = Linear::new(&mut params, "head", 4, 5);
    let layer = Linear::new(&mut params, "layer", 3, 4);
    let g = Graph::new();
    let loss = head.forward(layer.forward(g.input("x", [4, 3]))).square().mean(..);
    let mut other = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    let file = texts.file("step.safetensors", &bytes);
    texts.fails("a checkpoint of another network", other.load(file));
    texts.compare("checkpoint_file");
}

#[test]
fn arguments() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    let folder = texts.path("run");
    let checkpoints = || Checkpoints::new(&folder).unwrap();
    texts.fails("keeping none", checkpoints().keep_last(0).save(&step(1, 1), None));
    texts.fails("the best of no metric", checkpoints().best());
    let path = checkpoints().save_with(&step(1, 5), 0.5, &("fold", 3)).unwrap();
    texts.fails("a folder of another training", checkpoints().save(&step(1, 2), None));
    texts.fails("a position of another type", Checkpoint::open(&path).unwrap().position::<u32>());
    let map: HashMap<(u8, u8), u8> = [((1, 2), 3)].into();
    texts.fails("a position that JSON does not have", checkpoints().save_with(&step(1, 6), None, &map));

    let mut save = |what: &str, mapping: WeightMapping| {
        texts.fails(what, step(1, 0).save_weights(folder.join("weights.safetensors"), &mapping));
    };
    let mapping = WeightMapping::new;
    save("rules that are none", mapping().rename("*.*", "a").rename("layer.*", "up").allow_missing("**"));
    save("a layout of other axes", mapping().layout("layer.weight", WeightLayout::Axes(vec![0, 2])));
    save(
        "a layout of blocks that do not divide",
        mapping().layout("layer.weight", WeightLayout::Blocks(vec![2, 0, 1])),
    );
    save("two parameters of one name", mapping().rename("layer.weight", "w").rename("layer.bias", "w"));
    save("no parameter", mapping().only("decoder.*"));
    texts.compare("checkpoint_argument");
}

/// Name, type, shape and elements of a tensor.
type Stored<'a> = (&'a str, Dtype, &'a [usize], Vec<u8>);

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn weights() {
    let mut texts = Catalogue::new(ErrorKind::File);
    let write = |path: &Path, tensors: &[Stored<'_>]| {
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
        std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    };
    let path = texts.path("weights.safetensors");
    let load = |mapping: WeightMapping| step(1, 0).load_weights(&path, &mapping);
    texts.fails("a file that is not there", load(WeightMapping::new()));
    let doubles = [0.5f64, 1e300].iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let file = [
        ("up.kernel", Dtype::F32, &[2, 3][..], vec![0; 24]),
        ("layer.bias", Dtype::F64, &[2], doubles),
        ("layer.scale", Dtype::BF16, &[3], vec![0; 6]),
    ];
    write(&path, &file);
    texts.fails("names and numbers of another program", load(WeightMapping::pytorch()));
    let mapping = || WeightMapping::new().rename("layer.weight", "up.kernel").allow_unused("layer.scale");
    let transposed = mapping().layout("layer.weight", WeightLayout::Transposed).rename("layer.bias", "up.kernel");
    texts.fails("a layout that does not fit, and one tensor for two", load(transposed));
    let integers = [("up.kernel", Dtype::I64, &[2, 3][..], vec![0; 48]), ("layer.bias", Dtype::F32, &[2], vec![0; 8])];
    write(&path, &integers);
    texts.fails("weights that are integers", load(mapping()));
    texts.fails("weights of which none is wanted", load(mapping().only("decoder.*")));
    texts.compare("checkpoint_weights");
}
