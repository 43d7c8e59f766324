//! What makes the second start faster.

mod common;

use retrograd::{Device, Graph, Params};
use std::path::Path;

/// Doubles and halves on a device that keeps its kernels in a folder.
fn run(folder: &Path) -> Option<bool> {
    common::device("vulkan")?;
    let device = Device::named("vulkan").unwrap();
    let keeps = device.keep_pipelines(folder).unwrap();
    let graph = Graph::new();
    let x = graph.input("x", [5]);
    let y = (x * 2.0).exp();
    let mut step = graph.infer(&[y]).compile(&device, &Params::seeded(0)).unwrap();
    step.run([x.feed(&[0.0f32; 5])]).unwrap();
    assert_eq!(step.read(y).unwrap().to_vec(), vec![1.0; 5]);
    Some(keeps)
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn compiled_kernels_are_kept_and_damaged_files_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels");
    // A driver without a cache has nothing to keep.
    let Some(true) = run(&path) else { return };
    let [file] = &files(&path)[..] else { panic!("one file: {:?}", files(&path)) };
    let good = std::fs::read(file).unwrap();
    assert!(good.len() > 16);
    run(&path);
    assert_eq!(std::fs::read(file).unwrap().len(), good.len(), "the second start adds nothing");
    let device = Device::named("vulkan").unwrap();
    assert!(device.keep_pipelines(&path).unwrap() && device.keep_pipelines(&path).unwrap());
    assert!(device.keep_pipelines(folder.path()).unwrap_err().to_string().contains("already"));

    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [Vec::new(), good[..10].to_vec(), good[..good.len() - 1].to_vec(), flipped, vec![7; good.len()]] {
        std::fs::write(file, &bad).unwrap();
        run(&path);
        assert_ne!(std::fs::read(file).unwrap(), bad, "it is written anew");
    }
}

#[test]
fn kernels_of_another_adapter_are_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels");
    let Some(true) = run(&path) else { return };
    let file = files(&path).remove(0);
    // After 16 bytes of this library wgpu's own head: 17 bytes, then the adapter.
    let mut foreign = std::fs::read(&file).unwrap();
    foreign[16 + 17] ^= 1;
    let own = retrograd::base::fingerprint(&foreign[16..]).to_le_bytes();
    foreign[8..16].copy_from_slice(&own);
    std::fs::write(&file, &foreign).unwrap();
    assert_eq!(run(&path), Some(true));
    assert_ne!(std::fs::read(&file).unwrap(), foreign, "it is written anew");
}

#[test]
fn the_host_keeps_no_kernels() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!Device::cpu().keep_pipelines(folder.path().join("kernels")).unwrap());
}
