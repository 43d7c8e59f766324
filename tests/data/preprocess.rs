//! Scales and labels, fitted on one split and applied to another.

use crate::refused;
use retrograd::data::{Dataset, Labels, Scale, Tensors, Unseen};
use retrograd::nn::Normalize;
use retrograd::{Device, Graph, HostTensor, Params};

fn data() -> Tensors {
    let x: Vec<f32> = (0..10_000).flat_map(|i| [1e6 + (i % 100) as f32, -3.0, (i as f32).sin() * 1e-3]).collect();
    Tensors::new().column("x", [10_000, 3], x).unwrap().column("y", [10_000], vec![1i32; 10_000]).unwrap()
}

#[test]
fn standardised_features_have_mean_0_and_deviation_1() {
    let scale = Scale::standardize(&data(), "x").unwrap();
    assert_eq!(scale.constant_features(), [1]);
    // The variance of 0 to 99 is (100^2 - 1) / 12.
    assert!((scale.scale()[0] - (9999.0f32 / 12.0).sqrt()).abs() < 1e-4, "{}", scale.scale()[0]);
    let all = data().all().unwrap();
    let (x, y) = (all.get("x").unwrap(), scale.apply(all.get("x").unwrap()).unwrap().to_vec());
    for feature in 0..3 {
        let values: Vec<f64> = y.iter().skip(feature).step_by(3).map(|&y| f64::from(y)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / values.len() as f64;
        let wanted = if feature == 1 { 0.0 } else { 1.0 };
        assert!(mean.abs() < 2e-3 && (variance - wanted).abs() < 1e-3, "{feature}: {mean} {variance}");
    }
    let back = scale.undo(&scale.apply(x).unwrap()).unwrap().to_vec();
    assert!(back.iter().zip(x.to_vec()).all(|(back, x)| (back - x).abs() <= 0.13 * (1.0 + x.abs() * 1e-6)));
    assert_eq!(Scale::from_json(&scale.to_json()).unwrap(), scale);
    let range = Scale::min_max(&data(), "x").unwrap();
    let scaled = range.apply(x).unwrap().to_vec();
    assert!(scaled.iter().all(|y| (0.0..=1.0).contains(y)) && scaled.contains(&1.0));
    assert_eq!(Scale::from_json(&range.to_json()).unwrap(), range);
}

#[test]
fn a_graph_records_the_same_scaling() {
    let scale = Scale::standardize(&data(), "x").unwrap();
    let rows = data().batch(&[3, 77]).unwrap().get("x").unwrap().clone();
    let g = Graph::new();
    let x = g.input("x", [2, 3]);
    let y = scale.forward(x).keep();
    let mut step = g.infer(&[y]).compile(&Device::cpu(), &Params::seeded(1)).unwrap();
    step.run([x.feed(&rows)]).unwrap();
    let (device, host) = (step.read(y).unwrap().to_vec(), scale.apply(&rows).unwrap().to_vec());
    assert!(device.iter().zip(&host).all(|(one, two)| (one - two).abs() < 1e-5), "{device:?} {host:?}");
}

#[test]
fn a_layer_s_scale_is_saved_and_loaded_with_the_weights() {
    let fitted = Scale::standardize(&data(), "x").unwrap();
    let rows = data().batch(&[3, 77]).unwrap().get("x").unwrap().clone();
    let path = tempfile::tempdir().unwrap().keep().join("model.safetensors");
    let scaled = |layer: &Normalize, params: &Params, loads: bool| {
        let g = Graph::new();
        let x = g.input("x", [2, 3]);
        let y = layer.forward(x).keep();
        let mut step = g.infer(&[y]).compile(&Device::cpu(), params).unwrap();
        if loads {
            step.load(&path).unwrap();
        } else {
            step.save(&path).unwrap();
        }
        step.run([x.feed(&rows)]).unwrap();
        step.read(y).unwrap().to_vec()
    };
    let mut params = Params::seeded(1);
    let layer = fitted.layer(&mut params, "scale");
    assert_eq!(scaled(&layer, &params, false), fitted.apply(&rows).unwrap().to_vec());
    let mut others = Params::seeded(2);
    let layer = Normalize::new(&mut others, "scale", [3]);
    assert_eq!(scaled(&layer, &others, true), fitted.apply(&rows).unwrap().to_vec());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn a_scale_stretches_nothing_and_is_read_only_whole() {
    let scale = Scale::standardize(&data(), "x").unwrap();
    let mut params = Params::seeded(1);
    let layer = scale.layer(&mut params, "scale");
    let g = Graph::new();
    let narrow = g.input("x", [2, 1]);
    let error = g.infer(&[layer.forward(narrow), scale.forward(narrow)]).compile(&Device::cpu(), &params).unwrap_err();
    assert_eq!(error.faults().len(), 2, "{error}");
    for text in [
        r#"{"shape":[4],"shift":[],"divisor":[],"constant":[]}"#,
        r#"{"shape":[1],"shift":[0],"divisor":[0],"constant":[]}"#,
    ] {
        assert!(serde_json::from_str::<Scale>(text).is_err(), "{text}");
    }
}

#[test]
fn what_cannot_be_fitted_or_applied_is_said() {
    refused(Scale::standardize(&data(), "z"), &["no column `z`", "`x` f32[3], `y` i32[]"]);
    refused(Scale::standardize(&data(), "y"), &["`y` i32[]", "no floats"]);
    refused(Scale::standardize(&data().subset(vec![]).unwrap(), "x"), &["no samples"]);
    let broken = Tensors::new().column("x", [3], vec![1.0, f32::NAN, 2.0]).unwrap();
    refused(Scale::standardize(&broken, "x"), &["`x` has NaN in sample 1"]);
    refused(Scale::min_max(&broken, "x"), &["`x` has NaN in sample 1"]);
    let scale = Scale::standardize(&data(), "x").unwrap();
    refused(scale.apply(&HostTensor::from(vec![1.0f32, 2.0])), &["shape [3]", "f32[2]"]);
    refused(Scale::from_json("{"), &["no saved scale"]);
    let other = scale.to_json().replacen("[3]", "[4]", 1);
    refused(Scale::from_json(&other), &["do not fit together"]);
    refused(Labels::from_json("[\"b\", \"a\"]"), &["`b` and `a` are not in order"]);
    let labels = Labels::fit(["cat", "dog"]);
    assert_eq!(labels.numbers(["dog", "cow"], Unseen::Number(2)).unwrap().to_vec(), [1.0, 2.0]);
    refused(labels.numbers(["dog", "cow"], Unseen::Error), &["name 1 is `cow`", "`cat`, `dog`"]);
    let vectors = labels.one_hot(&vec![1, 0].into()).unwrap();
    assert_eq!((vectors.shape()[..].to_vec(), vectors.to_vec()), (vec![2, 2], vec![0.0, 1.0, 1.0, 0.0]));
    refused(labels.one_hot(&vec![1, 2].into()), &["element 1 is 2", "2 categories"]);
}
