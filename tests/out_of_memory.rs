//! A device without room: the error says how much was planned, and the device goes on.

mod common;

use retrograd::{Device, ErrorKind, Graph, Params, Tensor};
use std::process::Command;

const NAME: &str = "a_step_without_room_is_refused_and_the_device_goes_on";
/// Set in the process whose memory is limited, to the device.
const LIMITED: &str = "RETROGRAD_TEST_LIMITED_MEMORY";
/// Elements of an input: 100 MiB, less than a binding may be.
const ELEMENTS: usize = 25 << 20;

#[test]
fn a_step_without_room_is_refused_and_the_device_goes_on() {
    if let Ok(name) = std::env::var(LIMITED) {
        compile_too_much(&name);
        return;
    }
    for name in ["vulkan", "gl"] {
        if !cfg!(target_os = "linux") || common::device(name).is_none() {
            continue;
        }
        // The same test in a process that may have three gigabytes of address space.
        let program = std::env::current_exe().unwrap();
        let shell = format!("ulimit -v 3000000; exec '{}' --exact {NAME} --nocapture", program.display());
        let output = Command::new("sh").args(["-c", &shell]).env(LIMITED, name).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("1 passed"), "{name}: {text}");
    }
}

fn compile_too_much(name: &str) {
    let device = Device::named(name).unwrap();
    let graph = Graph::new();
    let inputs: Vec<Tensor<'_>> = (0..40).map(|number| graph.input(&format!("x{number}"), [ELEMENTS])).collect();
    let sums: Vec<Tensor<'_>> = inputs.iter().map(|input| input.sum(..)).collect();
    let params = Params::seeded(0);
    let planned = graph.infer(&sums).plan(&params, &device.profile()).unwrap().total_bytes();
    assert!(planned > 4 << 30);
    let error = graph.infer(&sums).compile(&device, &params).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.to_string().contains(&planned.to_string()), "{error}");
    assert!(error.to_string().contains("allocating 104857600 bytes for input%"), "{error}");

    let small = Graph::new();
    let x = small.input("x", [3]);
    let y = x * 2.0;
    let mut step = small.infer(&[y]).compile(&device, &params).unwrap();
    step.run([x.feed(&[1.0f32, 2.0, 3.0])]).unwrap();
    assert_eq!(step.read(y).unwrap().to_vec(), [2.0, 4.0, 6.0]);
}
