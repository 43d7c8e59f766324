//! What devices and the operating system refuse. Failures of a device are asked for; a software adapter does.

use super::Catalogue;
use super::running::without_machine;
use retrograd::data::{DataLoader, Tensors};
use retrograd::{Device, ErrorKind, Failure, Graph, Params, Result, State};

/// Computes something on a device that fails.
fn fails_at(device: &Device, failure: Failure) -> Result<Vec<f32>> {
    device.fail_at(failure, 0);
    let g = Graph::new();
    let x = g.input("x", [4]);
    let y = x.exp();
    let mut step = g.infer(&[y]).compile(device, &Params::seeded(0))?;
    step.run([x.feed(&[0.5f32; 4])])?;
    Ok(step.read(y)?.to_vec())
}

#[test]
fn what_a_device_refuses() {
    let Ok(device) = Device::named("vulkan").and_then(|device| device.reopen()) else {
        println!("*** NOT RUN: there is no Vulkan");
        return;
    };
    let refused = |texts: &mut Catalogue, what: &str, outcome: Result<Vec<f32>>| {
        let error = outcome.expect_err(what);
        assert_eq!(error.kind(), texts.kind, "{what}: {error}");
        texts.text(what, &without_machine(&error.to_string(), Some(&device)));
    };
    let mut texts = Catalogue::new(ErrorKind::Driver);
    refused(&mut texts, "a kernel that the driver rejects", fails_at(&device, Failure::Kernel));
    refused(&mut texts, "a result that cannot be copied to the host", fails_at(&device, Failure::Map));
    texts.compare("driver");

    let mut texts = Catalogue::new(ErrorKind::OutOfMemory);
    let mut params = Params::seeded(0);
    params.add("weight", [1024, 1024], retrograd::Init::Zeros);
    device.fail_at(Failure::OutOfMemory, 0);
    refused(&mut texts, "a state larger than the device's memory", State::new(&device, &params).map(|_| Vec::new()));
    texts.compare("out_of_memory");
}

/// Set where this program has started itself, with more memory asked for by a thread than there can be.
const CHILD: &str = "RETROGRAD_TEST_CATALOGUE_CHILD";

#[test]
#[cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), ignore = "texts are those of Linux")]
fn what_the_operating_system_refuses() {
    if std::env::var_os(CHILD).is_some() {
        let data = Tensors::new().column("x", [4], vec![0.5f32; 4]).unwrap();
        let error = DataLoader::new(data, 2).threads(2).epoch().next().expect("there are batches").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::System);
        println!("<{error}>");
        return;
    }
    let name = "faults::what_the_operating_system_refuses";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", (1u64 << 60).to_string())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = told.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    let (text, _) = text.unwrap_or_else(|| panic!("{told}\n{}", String::from_utf8_lossy(&output.stderr)));
    let mut texts = Catalogue::new(ErrorKind::System);
    texts.text("a thread that cannot be started", text);
    texts.compare("system");
}
