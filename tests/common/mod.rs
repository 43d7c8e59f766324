//! What the test programs share: devices, comparison, running a recording on any engine.
#![allow(dead_code)] // every test program uses another part

pub mod hostile;

use retrograd::base::Value;
use retrograd::record::{EvalContext, Leaf, NodeId, TensorId};
use retrograd::reference::evaluate;
#[allow(unused_imports)] // every test program uses another part
pub use retrograd::reference::{Distance, distance, within};
use retrograd::{Device, Graph, HostTensor, Params, Tensor};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

/// The software adapters that the suite runs on, opened once. An adapter that is missing is named
/// on standard error, as nothing that was not run may look as if it was.
pub fn device(name: &'static str) -> Option<&'static Device> {
    static VULKAN: OnceLock<Option<Device>> = OnceLock::new();
    static GL: OnceLock<Option<Device>> = OnceLock::new();
    let open = || match Device::named(name) {
        Ok(device) => Some(with_images(device)),
        Err(error) => {
            assert!(
                std::env::var_os("RETROGRAD_TEST_ALL_ADAPTERS").is_none(),
                "RETROGRAD_TEST_ALL_ADAPTERS is set, and an adapter is missing: {error}"
            );
            // Written past the capture of test output, which hides what passing tests print.
            let _ = writeln!(std::io::stderr(), "\n*** NOT RUN on {name}: {error}\n");
            None
        }
    };
    match name {
        "vulkan" => VULKAN.get_or_init(open).as_ref(),
        "gl" => GL.get_or_init(open).as_ref(),
        _ => {
            static CPU: OnceLock<Device> = OnceLock::new();
            Some(CPU.get_or_init(Device::cpu))
        }
    }
}

/// All devices that are there.
pub fn devices() -> Vec<Device> {
    ["cpu", "vulkan", "gl"].into_iter().filter_map(device).cloned().collect()
}

/// With `RETROGRAD_TEST_IMAGES` set, kernels read whatever they can as images, however little it is.
fn with_images(device: Device) -> Device {
    if std::env::var_os("RETROGRAD_TEST_IMAGES").is_none() {
        return device;
    }
    let mut profile = device.profile();
    profile.image_loads = 0;
    device.with_profile(profile).expect("images are no limit")
}

/// A value as numbers in double precision.
pub fn numbers(value: &Value<f64>) -> Vec<f64> {
    value.to_real().iter().copied().collect()
}

/// Evaluates tensors on the float64 reference.
pub fn on_reference(
    graph: &Graph,
    wanted: &[Tensor<'_>],
    feeds: &BTreeMap<NodeId, HostTensor>,
    seed: [u32; 2],
) -> Vec<Vec<f64>> {
    let recording = graph.recording();
    assert!(recording.faults.is_empty(), "{}", retrograd::Error::recording(recording.faults));
    let ids: Vec<TensorId> = wanted.iter().map(|tensor| tensor.id()).collect();
    let evaluation = evaluate::<f64>(&recording, &ids, &EvalContext { seed }, |id, node, leaf| match leaf {
        Leaf::Constant(tensor) => Ok(Arc::new(Value::from_host(tensor))),
        _ => Ok(Arc::new(Value::from_host(feeds.get(&id).unwrap_or_else(|| panic!("{} is not fed", node.label()))))),
    })
    .expect("all leaves are fed");
    ids.iter().map(|&id| numbers(evaluation.get(id).expect("it was wanted"))).collect()
}

/// Compiles and runs tensors on a device, once.
pub fn on_device(
    device: &Device,
    graph: &Graph,
    wanted: &[Tensor<'_>],
    feeds: &[(Tensor<'_>, HostTensor)],
) -> Vec<Vec<f64>> {
    let mut step = graph.infer(wanted).compile(device, &Params::seeded(0)).unwrap_or_else(|error| panic!("{error}"));
    let fed: Vec<_> = feeds.iter().map(|(input, data)| input.feed(data)).collect();
    step.run(fed).unwrap_or_else(|error| panic!("{error}"));
    let read = |tensor: &Tensor<'_>| step.read(*tensor).unwrap_or_else(|error| panic!("{error}"));
    wanted.iter().map(|tensor| read(tensor).to_vec().into_iter().map(f64::from).collect()).collect()
}
