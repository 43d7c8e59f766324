//! Plans keep the limits of every named profile, and what cannot be planned says why: which tensor or dispatch, the source
//! line, the numbers, and the profile.

mod common;
#[path = "common/networks.rs"]
mod networks;

use common::device;
use naga::{AddressSpace, Module, TypeInner};
use networks::NETWORKS;
use retrograd::ops::AttentionSettings;
use retrograd::optim::{Adam, Sgd};
use retrograd::plan::{Plan, Profile};
use retrograd::record::KernelClass;
use retrograd::{ErrorKind, Graph, Init, Params, Tensor};

#[test]
fn profiles_have_names_and_an_unknown_one_lists_them() {
    let known = Profile::known();
    assert_eq!(known.len(), Profile::NAMES.len());
    for (name, profile) in Profile::NAMES.into_iter().zip(&known) {
        assert_eq!(&Profile::named(name).unwrap(), profile);
        let written = serde_json::to_string(profile).unwrap();
        assert_eq!(&serde_json::from_str::<Profile>(&written).unwrap(), profile, "{name}");
        // What every WebGPU device keeps, every one of these does.
        let least = Profile { class: profile.class, eight_lanes: profile.eight_lanes, ..Profile::webgpu_default() };
        least.within(profile).unwrap();
    }
    let error = Profile::named("Metal 4").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    let text = error.to_string();
    assert!(text.contains("there is no profile `Metal 4`"), "{text}");
    assert!(Profile::NAMES.iter().all(|name| text.contains(&format!("`{name}`"))), "{text}");
}

/// Newer drivers may allow more than a profile says, never less.
#[test]
fn software_adapters_allow_what_their_profiles_say() {
    for (name, profile) in [("vulkan", "lavapipe"), ("gl", "gl")] {
        let Some(device) = device(name) else { continue };
        if device.name().contains("llvmpipe (LLVM") && device.name().contains("256 bits") {
            Profile::named(profile).unwrap().within(&device.profile()).unwrap();
        }
    }
}

/// Bytes of workgroup memory, and storage buffers.
fn resources(module: &Module) -> (u32, usize) {
    let (mut bytes, mut buffers) = (0, 0);
    for (_, variable) in module.global_variables.iter() {
        match variable.space {
            AddressSpace::WorkGroup => bytes += module.types[variable.ty].inner.size(module.to_ctx()),
            AddressSpace::Storage { .. } => buffers += 1,
            _ => assert!(!matches!(module.types[variable.ty].inner, TypeInner::Array { .. })),
        }
    }
    (bytes, buffers)
}

/// Checks a plan against its profile by what its texts say, not by what planning counted.
fn assert_kept(what: &str, plan: &Plan) {
    let profile = &plan.profile;
    for kernel in &plan.kernels {
        let module = naga::front::wgsl::parse_str(&kernel.wgsl).unwrap();
        let (bytes, buffers) = resources(&module);
        let name = format!("{what} on {}: {}", profile.name, kernel.name);
        assert!(bytes <= profile.workgroup_bytes, "{name} has {bytes} bytes of workgroup memory");
        assert!(buffers <= profile.storage_buffers, "{name} binds {buffers} storage buffers");
        let invocations: u32 = module.entry_points[0].workgroup_size.iter().product();
        assert!(invocations <= profile.invocations, "{name} has {invocations} invocations");
    }
    for dispatch in &plan.dispatches {
        let most = dispatch.workgroups.into_iter().max().unwrap();
        assert!(most <= profile.workgroups, "{what} on {}: {} in {most} workgroups", profile.name, dispatch.label);
        assert!(dispatch.bindings.iter().all(|binding| binding.bytes <= profile.binding_bytes));
    }
    assert!(plan.buffers.iter().all(|buffer| buffer.bytes <= profile.buffer_bytes));
}

#[test]
fn networks_keep_the_limits_of_every_profile() {
    for profile in Profile::known() {
        for (name, record) in NETWORKS {
            let (g, mut params) = (Graph::new(), Params::seeded(1));
            let loss = record(&g, &mut params);
            let training = g.train(loss, Adam::new(1e-3)).clip_norm(1.0).average(0.99);
            assert_kept(name, &training.plan(&params, &profile).unwrap_or_else(|e| panic!("{name}: {e}")));
        }
    }
}

/// What fits one dispatch where bindings allow it is several where they do not.
#[test]
fn fusion_stops_at_the_storage_buffers_of_a_profile() {
    let plan = |profile: &Profile| {
        let g = Graph::new();
        let inputs: Vec<Tensor<'_>> = (0..20).map(|number| g.input(&format!("in{number}"), [64, 64])).collect();
        let sum = inputs.iter().skip(1).fold(inputs[0], |sum, &input| (sum + input).tanh());
        g.infer(&[sum]).plan(&Params::seeded(0), profile).unwrap()
    };
    for profile in Profile::known() {
        let plan = plan(&profile);
        assert_kept("a sum of twenty", &plan);
        // Each kernel binds its result, the sum so far but for the first, and as many inputs as are left.
        let inputs = profile.storage_buffers - 2;
        let wanted = if profile.storage_buffers > 20 { 1 } else { 19_usize.div_ceil(inputs) };
        assert_eq!(plan.dispatches.len(), wanted, "{}: {plan}", profile.name);
        let reason = "more buffers than the device allows";
        assert_eq!(plan.apart.iter().any(|apart| apart.reason.contains(reason)), wanted > 1, "{}", plan.explain());
    }
}

#[test]
fn what_exceeds_a_binding_is_named_with_the_profile() {
    for profile in Profile::known() {
        let most = profile.binding_bytes.min(profile.buffer_bytes);
        let (rows, bytes) = ((most / 4096 + 1) as usize, (most / 4096 + 1) * 4096);
        let g = Graph::new();
        let y = g.input("column", [rows, 1]) * g.input("row", [1, 1024]);
        let place = line!() - 1;
        let error = g.infer(&[y]).plan(&Params::seeded(0), &profile).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        let text = error.to_string();
        let what = format!("mul f32[{rows}, 1024] at tests/profiles.rs:{place}:");
        let numbers = format!("takes {bytes} bytes and {} binds at most {most}", profile.name);
        assert!(text.contains(&what) && text.contains(&numbers), "{text}");

        let mut params = Params::seeded(0);
        let w = params.add("table", [rows, 1024], Init::Zeros);
        let loss = g.param(&w).sum(..);
        // A parameter is bound in parts where a buffer holds it.
        match g.train(loss, Sgd::new(0.1)).plan(&params, &profile) {
            Ok(plan) => {
                assert!(bytes <= profile.buffer_bytes, "{}", profile.name);
                assert_kept("a large table", &plan);
            }
            Err(error) => {
                assert!(bytes > profile.buffer_bytes, "{error}");
                let text = error.to_string();
                let what = format!(
                    "parameter `table` f32[{rows}, 1024] takes {bytes} bytes and a buffer of {} at most",
                    profile.name
                );
                assert!(text.contains(&what), "{text}");
            }
        }
    }
}

#[test]
fn a_dispatch_of_too_many_workgroups_or_buffers_is_named() {
    let few = Profile { workgroups: 100, name: "a narrow device".into(), ..Profile::webgpu_default() };
    let g = Graph::new();
    let y = g.input("x", [1 << 20]).exp();
    let place = line!() - 1;
    let error = g.infer(&[y]).plan(&Params::seeded(0), &few).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let text = error.to_string();
    let what = format!("exp f32[1048576] at tests/profiles.rs:{place}:");
    assert!(text.contains(&what) && text.contains("a narrow device allows 100 in each direction"), "{text}");

    let poor = Profile { storage_buffers: 3, name: "a poor device".into(), ..Profile::webgpu_default() };
    let parts: Vec<Tensor<'_>> = (0..4).map(|number| g.input(&format!("in{number}"), [2, 2])).collect();
    let y = g.concat(&parts, 0);
    let place = line!() - 1;
    let text = g.infer(&[y]).plan(&Params::seeded(0), &poor).unwrap_err().to_string();
    let what = format!("concat axis=0 f32[8, 2] at tests/profiles.rs:{place}:");
    assert!(text.contains(&what) && text.contains("binds 5 storage buffers and a poor device allows 3"), "{text}");
}

/// Every kind of kernel, over so much that one dimension does not hold its workgroups: the grid is folded. What folds
/// computes what it should in `tests/limits.rs`.
#[test]
fn grids_of_more_workgroups_than_one_dimension_holds_are_folded() {
    type Record = for<'g> fn(&'g Graph) -> Tensor<'g>;
    // Of 33,554,432 elements, as many as a binding of 128 MiB holds, or nearly.
    let all: [(&str, Record); 10] = [
        ("pointwise", |g| g.input("x", [1 << 25]).exp()),
        ("a reduction", |g| g.input("x", [1 << 23, 4]).sum(1)),
        ("rows", |g| g.input("x", [1 << 23, 4]).softmax(-1)),
        ("normalization", |g| g.input("x", [1 << 20, 32]).layer_norm(g.full([32], 1.0), g.full([32], 0.0), 1e-5)),
        ("indices of maxima", |g| g.input("x", [1 << 23, 4]).argmax(-1)),
        ("running sums", |g| g.input("x", [1 << 23, 4]).cumsum(-1)),
        ("products", |g| g.input("a", [1 << 17, 16, 16]).matmul(g.input("b", [1 << 17, 16, 16]))),
        ("a product and a vector", |g| g.input("a", [1 << 23, 4]).matmul(g.input("b", [4, 1]))),
        ("entries", |g| g.input("x", [1 << 18, 8]).embedding(g.labels("y", [1 << 22]))),
        ("attention", |g| {
            let of = |name: &str| g.input(name, [1 << 14, 320, 8]);
            of("q").attention(of("k"), of("v"), &AttentionSettings::new())
        }),
    ];
    for (what, record) in all {
        for class in [KernelClass::Gpu, KernelClass::Cpu, KernelClass::Subgroup] {
            let profile = Profile {
                class,
                eight_lanes: class == KernelClass::Subgroup,
                binding_bytes: 256 << 20,
                ..Profile::webgpu_default()
            };
            let g = Graph::new();
            let plan =
                g.infer(&[record(&g)]).plan(&Params::seeded(0), &profile).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_kept(what, &plan);
            if class == KernelClass::Gpu {
                let folds = plan.dispatches.iter().any(|dispatch| dispatch.workgroups[1] > 1);
                assert!(folds, "{what}: {:?}", plan.dispatches.iter().map(|d| d.workgroups).collect::<Vec<_>>());
            }
        }
    }
    // The update of 30 million parameters.
    let mut params = Params::seeded(0);
    let w = params.add("w", [30_000_000], Init::Zeros);
    let g = Graph::new();
    let training = g.train(g.param(&w).square().sum(..), Adam::new(0.1));
    assert_kept("an update", &training.plan(&params, &Profile::webgpu_default()).unwrap());
}
