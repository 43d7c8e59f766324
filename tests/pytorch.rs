//! Weights that PyTorch wrote give PyTorch's outputs, and go back as they came.
//!
//! `tests/pytorch/model.py` writes the files, and checks with PyTorch what is exported: with `RETROGRAD_PYTORCH_EXPORT` set, the
//! exported file stays at that path.

mod common;

use common::devices;
use retrograd::nn::{BatchNorm, Conv2d, ConvTranspose2d, Embedding, GroupNorm, Gru, LayerNorm, Linear, Lstm};
use retrograd::ops::ConvSettings;
use retrograd::train::{WeightLayout, WeightMapping};
use retrograd::{Device, ErrorKind, Graph, Init, Params, State, Tensor, nn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;

/// The model of `model.py`, with names of its own for images, and the parts of the rest under `text`.
struct Model {
    first: Conv2d,
    norm: BatchNorm,
    second: Conv2d,
    larger: ConvTranspose2d,
    classes: Linear,
    tokens: Embedding,
    token_norm: LayerNorm,
    attention: nn::MultiHeadAttention,
    lstm: Lstm,
    gru: Gru,
    group: GroupNorm,
    scores: Linear,
}

impl Model {
    fn new(p: &mut Params) -> Self {
        let strided = ConvSettings::new().stride(2).padding(1);
        Self {
            first: Conv2d::without_bias(p, "first", 2, 4, [3, 3], strided),
            norm: BatchNorm::new(p, "norm", 4),
            second: Conv2d::with_settings(p, "second", 4, 4, [3, 1], ConvSettings::new().groups(2)),
            larger: ConvTranspose2d::new(p, "larger", 4, 3, [2, 3], ConvSettings::new().stride(2)),
            classes: Linear::new(p, "classes", 54, 5),
            tokens: Embedding::new(p, "text.tokens", 11, 6),
            token_norm: LayerNorm::new(p, "text.norm", [6]),
            attention: nn::MultiHeadAttention::new(p, "text.attention", 6, 2),
            lstm: Lstm::stacked(p, "text.lstm", 6, 7, 2),
            gru: Gru::new(p, "text.gru", 7, 5),
            group: GroupNorm::new(p, "text.group", 2, 4),
            scores: Linear::new(p, "text.scores", 5, 3),
        }
    }

    /// What `model.py` calls `images`, `tokens` and `features`.
    fn forward<'g>(&self, images: Tensor<'g>, tokens: Tensor<'g>) -> [(&'static str, Tensor<'g>); 3] {
        let features = self.norm.forward(self.first.forward(images));
        let large = self.larger.forward(self.second.forward(features.relu()));
        let x = self.token_norm.forward(self.tokens.forward(tokens));
        let x = x + self.attention.forward(x);
        let x = self.gru.forward(self.lstm.forward(x));
        [
            ("images", self.classes.forward(large.reshape([3, 54]))),
            ("tokens", self.scores.forward(x)),
            ("features", self.group.forward(features)),
        ]
    }
}

fn mapping() -> WeightMapping {
    let number = |ours: &str| {
        let names = ["first", "norm", "", "second", "larger", "", "classes"];
        let (layer, rest) = ours.split_once('.')?;
        let number = names.iter().position(|name| *name == layer)?;
        Some(format!("vision.{number}.{rest}"))
    };
    WeightMapping::pytorch().rename("text.*", "*").rename_by(number)
}

const WEIGHTS: &[u8] = include_bytes!("pytorch/model.safetensors");
const OUTPUTS: &[u8] = include_bytes!("pytorch/outputs.safetensors");

fn floats(view: &TensorView<'_>) -> Vec<f32> {
    view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Names, shapes and elements, without the counts that nothing here takes.
fn contents(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors().into_iter();
    let floats = tensors.filter(|(_, view)| view.dtype() == Dtype::F32);
    floats.map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec()))).collect()
}

#[test]
fn weights_of_pytorch_give_its_outputs_and_go_back() {
    let known = SafeTensors::deserialize(OUTPUTS).unwrap();
    let indices = known.tensor("input.tokens").unwrap();
    let indices: Vec<i32> =
        indices.data().chunks_exact(4).map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let pixels = floats(&known.tensor("input.images").unwrap());
    for device in devices() {
        let mut params = Params::seeded(1);
        let model = Model::new(&mut params);
        let g = Graph::evaluation();
        let (images, tokens) = (g.input("images", [3, 2, 6, 8]), g.labels("tokens", [3, 5]));
        let outputs = model.forward(images, tokens);
        let mut step = g.infer(&outputs.map(|(_, output)| output)).compile(&device, &params).unwrap();
        let report = step.state().load_weights_from(WEIGHTS, &mapping()).unwrap();
        assert_eq!(report.loaded.len(), params.iter().count());
        assert!(report.loaded.contains(&("text.attention.in_proj.bias".into(), "attention.in_proj_bias".into())));
        assert_eq!((report.left.len(), &report.unused[..]), (0, &["vision.1.num_batches_tracked".to_owned()][..]));
        step.run([images.feed(&pixels), tokens.feed(&indices)]).unwrap();
        for (name, output) in outputs {
            let wanted = floats(&known.tensor(&format!("output.{name}")).unwrap());
            let got = step.read(output).unwrap().to_vec();
            let distance = got.iter().zip(&wanted).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
            assert!(got.len() == wanted.len() && distance < 1e-5, "{}: {name} is {distance} off", device.name());
            eprintln!("{}: {name} is {distance:e} off", device.name());
        }
        let bytes = pollster::block_on(step.state().weights_to_safetensors(&mapping())).unwrap();
        assert_eq!(contents(&bytes), contents(WEIGHTS));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.safetensors");
        step.save_weights(&path, &mapping()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(step.load_weights(&path, &mapping()).unwrap().loaded, report.loaded);
        if let Some(path) = std::env::var_os("RETROGRAD_PYTORCH_EXPORT") {
            step.save_weights(path, &mapping()).unwrap();
        }
    }
}

/// A state of two weights, 1 to 6 and 7, 8.
fn small() -> State {
    let mut params = Params::seeded(1);
    params.add("up.weight", [2, 3], Init::Values((1..=6u8).map(f32::from).collect()));
    params.add("down.bias", [2], Init::Values(vec![7.0, 8.0]));
    State::new(&Device::cpu(), &params).unwrap()
}

fn file_of(tensors: &[(&str, Dtype, &[usize], &[u8])]) -> Vec<u8> {
    let view = |&(name, dtype, shape, bytes): &(&'static str, Dtype, &[usize], &'static [u8])| {
        (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
    };
    let leaked: Vec<_> = tensors
        .iter()
        .map(|&(name, dtype, shape, bytes)| {
            let (name, bytes): (&'static str, &'static [u8]) =
                (Box::leak(name.to_owned().into_boxed_str()), Box::leak(bytes.to_vec().into_boxed_slice()));
            (name, dtype, shape, bytes)
        })
        .collect();
    safetensors::serialize(leaked.iter().map(view), None).unwrap()
}

fn values(state: &State) -> [Vec<f32>; 2] {
    ["up.weight", "down.bias"].map(|name| state.parameter(name).unwrap().to_vec())
}

/// Everything that does not fit is told at once, and nothing has changed.
#[test]
fn all_differences_are_listed_at_once() {
    let state = small();
    let before = values(&state);
    let long = (1e300f64).to_le_bytes();
    let bytes = file_of(&[
        ("up.weight", Dtype::F32, &[3, 2], &[0; 24]),
        ("lower.bias", Dtype::F32, &[2], &[0; 8]),
        ("ids", Dtype::I64, &[1], &[0; 8]),
    ]);
    let error = state.load_weights_from(&bytes, &WeightMapping::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    let text = error.to_string();
    for part in [
        "`up.weight` has shape [3, 2] in the file, and [2, 3] in the model",
        "the file lacks `down.bias` f32[2]; of this shape it has `lower.bias`",
        "the file has `lower.bias` F32[2], which no parameter takes",
        "the file has `ids` I64[1], which no parameter takes",
        "`WeightMapping`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.lines().count(), 5, "{text}");
    // What is an error of elements.
    let bytes = file_of(&[
        ("up.weight", Dtype::I32, &[2, 3], &[0; 24]),
        ("down.bias", Dtype::F64, &[2], &[long, long].concat()),
    ]);
    let text = state.load_weights_from(&bytes, &WeightMapping::new()).unwrap_err().to_string();
    assert!(text.contains("`up.weight`: its elements are I32"), "{text}");
    assert!(text.contains("`down.bias`: element 0 is 1") && text.contains("cannot hold"), "{text}");
    // Rules that cannot be used, or give one tensor to two.
    let wrong = WeightMapping::new().rename("a*", "b").only("*x*").layout("**", WeightLayout::Transposed);
    let text = state.load_weights_from(&bytes, &wrong).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 4, "{text}");
    let both = WeightMapping::new().rename("*", "same*").rename_by(|_| None);
    assert!(state.load_weights_from(&bytes, &both).is_err());
    let both = WeightMapping::new().rename("up.weight", "x").rename("down.bias", "x");
    let text = state.load_weights_from(&bytes, &both).unwrap_err().to_string();
    assert!(text.contains("`x` of the file would go to up.weight and down.bias"), "{text}");
    let text = pollster::block_on(state.weights_to_safetensors(&both)).unwrap_err().to_string();
    assert!(text.contains("`down.bias`") && text.contains("`x`"), "{text}");
    let none = WeightMapping::new().only("head.*");
    let text = state.load_weights_from(&bytes, &none).unwrap_err().to_string();
    assert!(text.contains("no parameter of the model"), "{text}");
    let axes = WeightMapping::new().layout("up.weight", WeightLayout::Axes(vec![0, 2]));
    let text = state.load_weights_from(&bytes, &axes).unwrap_err().to_string();
    assert!(text.contains("[0, 2]") && text.contains("[2, 3]"), "{text}");
    assert_eq!(values(&state), before);
}

/// 16 and 64 bits become 32; parts may be left out on purpose; and layouts are undone on the way back.
#[test]
fn element_types_parts_and_layouts() {
    let state = small();
    // 1.5, -2, infinity, NaN, the least of all, and the largest, in 16 bits.
    let halves: Vec<u8> =
        [0x3e00u16, 0xc000, 0x7c00, 0x7e00, 0x0001, 0x7bff].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let brain: Vec<u8> = [0x3fc0u16, 0xc000].iter().flat_map(|bits| bits.to_le_bytes()).collect();
    let bytes = file_of(&[("up.weight", Dtype::F16, &[2, 3], &halves), ("down.bias", Dtype::BF16, &[2], &brain)]);
    state.load_weights_from(&bytes, &WeightMapping::new()).unwrap();
    let [weight, bias] = values(&state);
    assert_eq!(weight[..3], [1.5, -2.0, f32::INFINITY]);
    assert!(weight[3].is_nan());
    assert_eq!((weight[4], weight[5], &bias[..]), (2f32.powi(-24), 65504.0, &[1.5, -2.0][..]));

    let doubles: Vec<u8> = [0.1f64, f64::INFINITY].iter().flat_map(|number| number.to_le_bytes()).collect();
    let bytes = file_of(&[("down.bias", Dtype::F64, &[2], &doubles), ("else", Dtype::I64, &[], &[0; 8])]);
    let state = small();
    let report = state.load_weights_from(&bytes, &WeightMapping::new().only("down.*")).unwrap();
    assert_eq!((report.left, report.unused), (vec!["up.weight".to_owned()], vec!["else".to_owned()]));
    assert_eq!(values(&state), [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], vec![0.1, f32::INFINITY]]);
    let rules = WeightMapping::new().allow_missing("up.*").allow_unused("el*");
    assert_eq!(state.load_weights_from(&bytes, &rules).unwrap().loaded.len(), 1);

    let state = small();
    let rules = || WeightMapping::new().layout("up.weight", WeightLayout::Transposed).rename("up.*", "dense.*");
    let there = pollster::block_on(state.weights_to_safetensors(&rules())).unwrap();
    let view = SafeTensors::deserialize(&there).unwrap();
    let kernel = view.tensor("dense.weight").unwrap();
    assert_eq!((kernel.shape(), floats(&kernel)), (&[3, 2][..], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    let other = small();
    other.set_parameter("up.weight", &retrograd::ndarray::Array2::<f32>::zeros((2, 3))).unwrap();
    other.load_weights_from(&there, &rules()).unwrap();
    assert_eq!(values(&other), values(&state));
}
