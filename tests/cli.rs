//! The program `retrograd`, as somebody at a terminal uses it: `cargo test --features cli --test cli`.
#![cfg(feature = "cli")]

mod common;

use common::device;
use serde_json::Value;
use std::process::{Command, Output, Stdio};

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retrograd"));
    command.env_remove("RETROGRAD_DEVICE").env_remove("RETROGRAD_KERNELS").env_remove("RUST_LOG");
    // Mesa's GL wants a place of its own.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    command
}

fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().expect("the program starts")
}

/// What it prints, where it ends with this code.
fn with_code(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{out}\n{error}");
    assert!(!error.contains("panicked"), "{arguments:?}: {error}");
    if code == 2 { error.into_owned() } else { out.into_owned() }
}

fn ok(arguments: &[&str]) -> String {
    with_code(0, arguments)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The devices that are here.
fn here() -> impl Iterator<Item = &'static str> {
    ["cpu", "vulkan", "gl"].into_iter().filter(|name| device(name).is_some())
}

#[test]
fn devices_are_listed_in_columns_and_as_json() {
    let text = ok(&["devices"]);
    assert!(text.starts_with("CPU (") && text.contains("Without a name, programs take "), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    let report = json(&ok(&["devices", "--json"]));
    assert_eq!(report["schema"], "retrograd-devices/1");
    let devices = report["devices"].as_array().unwrap();
    assert_eq!((&devices[0]["backend"], &devices[0]["profile"]["class"]), (&"cpu".into(), &"Host".into()));
    for name in here() {
        let found = devices.iter().find(|device| device["backend"] == name);
        assert!(found.is_some_and(|device| text.contains(device["description"].as_str().unwrap())), "{name}");
    }
}

#[test]
fn verification_is_a_table() {
    for name in here() {
        let text = ok(&["verify", "--device", name, "--only", "add,softmax,adamw"]);
        for start in ["add ", "softmax ", "optimizer adamw "] {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{name}: {text}"));
            assert!(line.ends_with(" ok") && line.contains('%'), "{line}");
        }
        assert!(text.contains("All is as it should be: ") && !text.contains("FAILED"), "{text}");
    }
}

#[test]
fn verification_is_json_with_what_a_bug_report_needs() {
    for name in here() {
        let report = json(&ok(&["verify", "--device", name, "--only", "tanh,matmul,lamb", "--seed", "7", "--json"]));
        assert_eq!(report["schema"], "retrograd-verify/1");
        assert_eq!(report["retrograd"], env!("CARGO_PKG_VERSION"));
        assert_eq!((report["seed"].as_u64(), report["passed"].as_bool()), (Some(7), Some(true)));
        assert_eq!((&report["os"], &report["arch"]), (&std::env::consts::OS.into(), &std::env::consts::ARCH.into()));
        assert!(report["date"].as_str().unwrap().ends_with('Z') && report["is_finished"] == true);
        let device = &report["devices"][0];
        assert_eq!((&device["device"]["backend"], &device["running"]), (&name.into(), &Value::Null));
        assert!(device["device"]["profile"]["storage_buffers"].is_u64());
        let groups: Vec<&Value> =
            ["ops", "optimizers"].iter().flat_map(|kind| device[kind].as_array().unwrap()).collect();
        let names: Vec<&str> = groups.iter().map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["matmul", "tanh", "lamb"]);
        for case in groups.iter().flat_map(|group| group["cases"].as_array().unwrap()) {
            assert!(case["passed"] == true && case["elements"].as_u64() > Some(0), "{case}");
            let excess = case["distance"]["excess"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&excess) && case["distance"]["ulps"].is_f64(), "{case}");
        }
        // Something must differ from double precision, or nothing was compared.
        let worst = |group: &Value| {
            let cases = group["cases"].as_array().unwrap().iter();
            cases.map(|case| case["distance"]["ulps"].as_f64().unwrap()).fold(0.0, f64::max)
        };
        assert!(groups.iter().all(|group| worst(group) > 0.0), "{name}");
    }
}

#[test]
fn networks_are_verified_dispatch_by_dispatch() {
    for name in here() {
        let report = json(&ok(&["verify", "--device", name, "--only", "networks", "--json"]));
        let networks = report["devices"][0]["networks"].as_array().unwrap();
        let names: Vec<&str> = networks.iter().map(|network| network["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["mlp", "cnn", "transformer", "lstm"]);
        for network in networks {
            let dispatches = network["verification"]["dispatches"].as_array().unwrap();
            assert!(dispatches.len() > 5 && network["passed"] == true, "{name}: {network}");
            assert_eq!(network["broken"], Value::Null);
        }
    }
}

#[test]
fn a_kernel_that_is_broken_is_named_and_the_program_fails() {
    for name in here().filter(|name| *name != "cpu") {
        for (how, verdict) in [("wrong", "wrong"), ("stray", "stray"), ("missing", "missing")] {
            let arguments = ["verify", "--device", name, "--only", "mlp,cnn", "--break", how];
            let report = json(&with_code(1, &[&arguments[..], &["--json"]].concat()));
            assert_eq!((&report["passed"], &report["is_finished"]), (&false.into(), &true.into()));
            for network in report["devices"][0]["networks"].as_array().unwrap() {
                let (broken, verification) = (&network["broken"], &network["verification"]);
                assert!(broken.is_u64() && verification["divergence"]["number"] == *broken, "{name}, {how}: {network}");
                let failed: Vec<&Value> = verification["dispatches"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|dispatch| {
                        ["wrong", "stray", "missing", "failed"].iter().any(|bad| dispatch["verdict"] == *bad)
                    })
                    .collect();
                assert_eq!(failed.len(), 1, "{name}, {how}: {failed:?}");
                assert_eq!((&failed[0]["verdict"], &failed[0]["number"]), (&verdict.into(), broken));
                // Another machine can run it.
                assert!(verification["divergence"]["reproduction"]["plan"].is_object());
            }
            let text = with_code(1, &arguments);
            assert!(text.contains("FAILED network mlp: dispatch ") && text.contains("src/bin/retrograd/"), "{text}");
        }
    }
}

#[test]
fn the_report_is_saved_beside_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let text = ok(&["verify", "--device", "cpu", "--only", "add", "--save", path.to_str().unwrap()]);
    assert!(text.contains("All is as it should be"), "{text}");
    let report = json(&std::fs::read_to_string(&path).unwrap());
    assert_eq!((&report["passed"], &report["devices"][0]["ops"][0]["name"]), (&true.into(), &"add".into()));
    // The report of one machine plans on another.
    let plan = ok(&["explain", "mlp", "--profile", path.to_str().unwrap()]);
    assert!(plan.contains("memory for CPU"), "{plan}");
    let output = run(&["verify", "--device", "cpu", "--only", "add", "--save", folder.path().to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && error.contains("could not be written"), "{error}");
}

#[test]
fn every_device_is_verified_in_turn() {
    let report = json(&ok(&["verify", "--device", "all", "--only", "add", "--json"]));
    let listed = json(&ok(&["devices", "--json"]));
    let names = |report: &Value, of: fn(&Value) -> &Value| -> Vec<Value> {
        report["devices"].as_array().unwrap().iter().map(|device| of(device)["description"].clone()).collect()
    };
    assert_eq!(names(&report, |device| &device["device"]), names(&listed, |device| device));
}

#[test]
fn bad_arguments_end_with_two_and_say_what_there_is() {
    for (arguments, expected) in [
        (&["verify", "--device", "abacus"][..], &["there is no device `abacus`", "CPU"][..]),
        (&["bench", "--device", "abacus"], &["there is no device `abacus`"]),
        (&["bench", "--device", "all"], &["name one device"]),
        (&["verify", "--only", "frobnicate"], &["`frobnicate`", "softmax", "adamw", "transformer"]),
        (&["bench", "--only", "w99"], &["`w99`", "w6_512"]),
        (&["tune", "--only", "alexnet"], &["`alexnet`", "lstm", "w5"]),
        (&["explain", "alexnet"], &["`alexnet`", "transformer"]),
        (&["explain", "mlp", "--profile", "no such file"], &["`no such file`", "webgpu"]),
        (&["explain", "mlp", "--profile", "cpu", "--device", "cpu"], &["--profile"]),
        (&["bench", "--seconds", "-3"], &["--seconds"]),
        (&["verify", "--seed", "first"], &["--seed"]),
        (&["frobnicate"], &["frobnicate"]),
        (&[], &["Usage"]),
    ] {
        let error = with_code(2, arguments);
        for text in expected {
            assert!(error.contains(text), "{arguments:?} says nothing of {text}: {error}");
        }
    }
}

#[test]
fn help_is_worth_reading() {
    let help = ok(&["--help"]);
    for text in ["devices", "verify", "bench", "tune", "explain", "RETROGRAD_DEVICE", "Exit codes"] {
        assert!(help.contains(text), "{text}: {help}");
    }
    for name in ["devices", "verify", "bench", "tune", "explain"] {
        assert!(ok(&[name, "--help"]).contains("--json"), "{name}");
    }
    assert!(ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_plan_is_explained() {
    for model in ["mlp", "cnn", "transformer", "lstm"] {
        let text = ok(&["explain", model, "--profile", "metal"]);
        assert!(text.contains("Metal"), "{text}");
        let text = ok(&["explain", model, "--profile", "webgpu"]);
        for part in ["forward: ", "backward: ", "update: ", "memory for WebGPU defaults", "fused: ", "apart: "] {
            assert!(text.contains(part), "{model}: {part} is missing in {text}");
        }
        assert!(!text.contains("fn main"), "{text}");
    }
    let text = ok(&["explain", "mlp", "--profile", "webgpu", "--wgsl"]);
    assert!(text.contains("@compute") && text.contains("fn main"), "{text}");
    let plan = json(&ok(&["explain", "mlp", "--device", "cpu", "--json"]));
    assert_eq!(plan["plan"]["profile"]["class"], "Host");
    assert!(plan["plan"]["dispatches"].as_array().is_some_and(|dispatches| dispatches.len() > 5));
}

#[test]
fn a_plan_is_written_as_a_page_and_its_graph_as_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let (html, svg, dot) = (path("plan.html"), path("graph.svg"), path("graph.dot"));
    let told = ok(&["explain", "mlp", "--device", "cpu", "--html", &html, "--svg", &svg, "--dot", &dot]);
    assert_eq!(told.lines().collect::<Vec<_>>(), [&html, &svg, &dot]);
    let page = read(&html);
    assert!(page.contains("measured on") && page.contains("of roofline") && page.contains("id=\"backward\""), "{page}");
    assert!(read(&svg).starts_with("<svg") && read(&dot).starts_with("digraph"));
    // For other limits, without a device that could be measured.
    ok(&["explain", "cnn", "--profile", "webgpu", "--html", &html]);
    let page = read(&html);
    assert!(page.contains("WebGPU defaults") && page.contains("@compute") && !page.contains("measured on"), "{page}");
    let refused = run(&["explain", "mlp", "--profile", "cpu", "--html", folder.path().to_str().unwrap()]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && error.contains("could not be written"), "{error}");
}

#[test]
fn steps_are_timed() {
    for name in here() {
        let only = if name == "cpu" { "w1,w6_512" } else { "w1" };
        let report = json(&ok(&["bench", "--device", name, "--only", only, "--seconds", "0.1", "--json"]));
        assert_eq!((&report["schema"], &report["device"]["backend"]), (&"retrograd-bench/1".into(), &name.into()));
        for figures in report["workloads"].as_array().unwrap() {
            for figure in ["steps_per_second", "ms_median", "gflops", "gigabytes_per_second", "planned_bytes"] {
                assert!(figures[figure].as_f64() > Some(0.0), "{figure}: {figures}");
            }
        }
        // Three classes, hardly trained: the logarithm of 3, and less after ten steps.
        let losses = ["loss_1", "loss_10"].map(|loss| report["workloads"][0][loss].as_f64().unwrap());
        assert!((losses[0] - 3f64.ln()).abs() < 0.2 && losses[1] < losses[0], "{losses:?}");
    }
    let text = ok(&["bench", "--device", "cpu", "--only", "w1", "--seconds", "0.1"]);
    assert!(text.contains("GFLOP/s") && text.contains("w1"), "{text}");
}

#[test]
fn choices_are_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/tuning.json");
    let cache = path.to_str().unwrap();
    let text = ok(&["tune", "--device", "cpu", "--only", "lstm", "--cache", cache]);
    assert!(text.contains("nothing to choose") && !path.exists(), "{text}");
    if device("vulkan").is_none() {
        return;
    }
    let tune =
        |more: &[&str]| ok(&[&["tune", "--device", "vulkan", "--only", "lstm", "--cache", cache], more].concat());
    let text = tune(&[]);
    assert!(text.contains("measured") && text.contains("The choices are in") && text.contains(cache), "{text}");
    let report = json(&tune(&["--json"]));
    let choices = report["choices"].as_array().unwrap();
    assert!(!choices.is_empty() && path.exists());
    for choice in choices {
        assert!(choice["choice"]["is_fresh"] == false && choice["networks"][0] == "lstm", "{choice}");
        assert!(
            choice["speedup"].as_f64() >= Some(1.0) && choice["choice"]["microseconds"].as_f64() > Some(0.0),
            "{choice}"
        );
    }
}

#[test]
fn a_reader_who_leaves_does_no_harm() {
    let mut child = command()
        .args(["explain", "transformer", "--profile", "webgpu", "--wgsl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A reproduction somewhere in a report.
fn reproduction(value: &Value) -> Option<&Value> {
    match value {
        Value::Object(map) => map.get("reproduction").or_else(|| map.values().find_map(reproduction)),
        Value::Array(list) => list.iter().find_map(reproduction),
        _ => None,
    }
}

#[test]
fn a_dispatch_that_diverged_is_replayed_from_its_file() {
    if device("vulkan").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = json(&with_code(1, &["verify", "--device", "vulkan", "--only", "mlp", "--break", "wrong", "--json"]));
    let file = folder.path().join("divergence.json");
    std::fs::write(&file, reproduction(&report).expect("the report holds it").to_string()).unwrap();
    let file = file.to_str().unwrap();
    let text = with_code(1, &["replay", file, "--device", "vulkan"]);
    assert!(text.contains("WRONG") && text.contains("which diverged on llvmpipe"), "{text}");
    assert!(with_code(2, &["replay", file, "--device", "cpu"]).contains("says nothing to the host"));
    if device("gl").is_some() {
        let wgsl = reproduction(&report).unwrap()["plan"]["kernels"][0]["wgsl"].to_string();
        let output = run(&["replay", file, "--device", "gl"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !wgsl.contains("subgroup") || error.contains("made for subgroups of eight invocations, which"),
            "{error}"
        );
    }
    // The report has it as well, and one of a device that is well has none.
    std::fs::write(file, report.to_string()).unwrap();
    assert_eq!(with_code(1, &["replay", file, "--device", "vulkan"]), text);
    let mut other = reproduction(&report).unwrap().clone();
    other["version"] = "0.0.1".into();
    std::fs::write(file, other.to_string()).unwrap();
    let told = with_code(1, &["replay", file, "--device", "vulkan"]);
    assert!(told.contains("written by version 0.0.1"), "{told}");
    other["wants"] = Value::Array(Vec::new());
    std::fs::write(file, other.to_string()).unwrap();
    let refused = String::from_utf8_lossy(&run(&["replay", file, "--device", "vulkan"]).stderr).into_owned();
    assert!(refused.contains("nothing of what should be written"), "{refused}");
    std::fs::write(file, ok(&["verify", "--device", "vulkan", "--only", "mlp", "--json"])).unwrap();
    let refused = with_code(2, &["replay", file, "--device", "vulkan"]);
    assert!(refused.contains("no dispatch of a network diverged"), "{refused}");
    std::fs::write(file, "{}").unwrap();
    with_code(1, &["replay", file, "--device", "vulkan"]);
}

#[test]
fn what_has_no_kernels_cannot_be_broken() {
    let refused = with_code(2, &["verify", "--device", "cpu", "--only", "mlp", "--break", "wrong"]);
    assert!(refused.contains("`--break`") && refused.contains("`--device`"), "{refused}");
}

#[test]
fn who_names_no_device_is_told_where_none_but_the_host_was_verified() {
    let text = ok(&["verify", "--only", "abs"]);
    let found_a_gpu = !text.contains("CPU (");
    assert!(found_a_gpu || text.contains("NO GPU WAS FOUND"), "{text}");
    assert!(!ok(&["verify", "--only", "abs", "--device", "cpu"]).contains("NO GPU WAS FOUND"));
}
