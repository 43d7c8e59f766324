//! Choosing kernels by measurement, and the file that keeps the choices.

mod common;

use common::device;
use retrograd::fuse::Form;
use retrograd::{Device, Graph, Params};
use std::path::Path;

/// Tunes a product of 40 by 24 by 33, and returns what it was tuned to, by class.
fn tune(device: &Device, path: &Path) -> Vec<(String, Form)> {
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [40, 24]), graph.input("b", [24, 33]));
    let tuned = graph.infer(&[a.matmul(b)]).tune(device, &Params::seeded(0), path).unwrap();
    tuned.profile().forms.tuned.into_iter().collect()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn choices_are_measured_once_and_kept() {
    let Some(device) = device("vulkan") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/tuning.json");
    let first = tune(device, &path);
    assert_eq!(first.len(), 1);
    assert!(Form::of_class(device.profile().class).contains(&first[0].1));
    assert!(text(&path).contains(&device.name()) && text(&path).contains(first[0].1.name()), "{}", text(&path));

    // Another choice in the file is taken as it is: nothing is measured again.
    let forms = Form::of_class(device.profile().class);
    let other = forms.iter().find(|form| **form != first[0].1).unwrap();
    std::fs::write(&path, text(&path).replace(&format!("\"{}\"", first[0].1.name()), &format!("\"{}\"", other.name())))
        .unwrap();
    assert_eq!(tune(device, &path)[0].1, *other);
}

#[test]
fn sizes_of_one_class_share_an_entry() {
    let Some(device) = device("vulkan") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    let tune = |rows: usize| {
        let graph = Graph::new();
        let (a, b) = (graph.input("a", [rows, 24]), graph.input("b", [24, 36]));
        graph.infer(&[a.matmul(b)]).tune(device, &Params::seeded(0), &path).unwrap();
        text(&path)
    };
    let first = tune(40);
    assert_eq!(tune(57), first);
    assert_eq!(tune(64), first);
    assert_ne!(tune(65), first);
}

#[test]
fn a_product_with_a_broadcast_operand_is_measured_without_copies_of_it() {
    let Some(device) = device("vulkan") else { return };
    let folder = tempfile::tempdir().unwrap();
    let graph = Graph::new();
    // The first operand takes 2 MiB, and 512 MiB if it stood there for every product.
    let (a, b) = (graph.input("a", [512, 1024]), graph.input("b", [256, 1024, 4]));
    let tuned = graph.infer(&[a.matmul(b)]).tune(device, &Params::seeded(0), folder.path().join("tuning.json"));
    assert_eq!(tuned.unwrap().profile().forms.tuned.len(), 1);
}

#[test]
fn a_damaged_or_foreign_cache_is_written_anew() {
    let Some(device) = device("vulkan") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    let class = tune(device, &path)[0].0.clone();
    let good = text(&path);
    let kernels = serde_json::from_str::<serde_json::Value>(&good).unwrap()["adapters"]
        .as_object()
        .and_then(|adapters| adapters.values().next())
        .map(|classes| classes[&class]["kernels"].as_str().unwrap().to_owned())
        .unwrap();
    let bad = [
        String::new(),
        "{\"version\": 1, \"adapters\": ".to_owned(),
        "[]".to_owned(),
        good.replace("\"version\": 1", "\"version\": 77"),
        good.replace(&device.name(), "another adapter"),
        good.replace(&kernels, "0123456789abcdef"),
        // A form that these kernels do not have, and one that does not exist.
        good.replace("\"form\": \"", "\"form\": \"x"),
    ];
    for (number, bad) in bad.into_iter().enumerate() {
        std::fs::write(&path, &bad).unwrap();
        let tuned = tune(device, &path);
        assert!(Form::of_class(device.profile().class).contains(&tuned[0].1), "{number}");
        assert!(text(&path).contains(&kernels) && text(&path).contains(&device.name()), "{number}: {}", text(&path));
    }
    // What is no cache is moved aside.
    std::fs::write(&path, "my thesis").unwrap();
    tune(device, &path);
    assert_eq!(text(&folder.path().join("tuning.json.old")), "my thesis");
    // What belongs to another adapter stays.
    std::fs::write(&path, good.replace(&device.name(), "another adapter")).unwrap();
    tune(device, &path);
    assert!(text(&path).contains("another adapter") && text(&path).contains(&device.name()));
}

#[test]
fn a_form_of_other_kernels_in_the_cache_is_not_used() {
    let Some(device) = device("vulkan") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    let first = tune(device, &path);
    let foreign = if device.profile().class == retrograd::record::KernelClass::Gpu { "own8" } else { "64x64" };
    let changed = text(&path).replace(&format!("\"{}\"", first[0].1.name()), &format!("\"{foreign}\""));
    std::fs::write(&path, changed).unwrap();
    tune(device, &path);
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [40, 24]), graph.input("b", [24, 33]));
    let product = a.matmul(b);
    let tuned = graph.infer(&[product]).tune(device, &Params::seeded(0), &path).unwrap();
    let mut step = graph.infer(&[product]).compile(&tuned, &Params::seeded(0)).unwrap();
    step.run([a.feed(&[1.0f32; 960]), b.feed(&[2.0f32; 792])]).unwrap();
    assert_eq!(step.read(product).unwrap().to_vec(), vec![48.0; 40 * 33]);
}

#[test]
fn the_host_has_nothing_to_choose() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    assert!(tune(&Device::cpu(), &path).is_empty());
    assert!(!path.exists());
}

#[test]
fn a_cache_that_cannot_be_written_is_an_error() {
    let Some(device) = device("vulkan") else { return };
    let folder = tempfile::tempdir().unwrap();
    let graph = Graph::new();
    let (a, b) = (graph.input("a", [4, 4]), graph.input("b", [4, 4]));
    let error = graph.infer(&[a.matmul(b)]).tune(device, &Params::seeded(0), folder.path()).unwrap_err();
    assert_eq!(error.kind(), retrograd::ErrorKind::File);
    assert!(error.to_string().contains("could not be written"), "{error}");
}
