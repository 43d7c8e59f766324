//! The plan: its order, its memory, its text, and that it is plain data.

use retrograd::optim::{Adam, AdamW, Sgd};
use retrograd::plan::{Binding, BufferKind, Phase, Plan, Profile};
use retrograd::record::KernelClass;
use retrograd::{Graph, Init, Params, Tensor, nn};

/// A small network with a fork, dropout and two losses.
fn plan(profile: &Profile) -> Plan {
    planned(profile, true)
}

fn planned(profile: &Profile, fuses: bool) -> Plan {
    let mut params = Params::seeded(1);
    let (up, down) = (nn::Linear::new(&mut params, "up", 8, 16), nn::Linear::new(&mut params, "down", 16, 3));
    let g = Graph::new();
    let (x, y) = (g.input("images", [4, 8]), g.labels("digits", [4]));
    let hidden = up.forward(x).relu().dropout(0.5);
    let loss = down.forward(hidden).cross_entropy(y) + hidden.square().mean(..);
    let training = g.train(loss, AdamW::new(1e-3));
    let training = if fuses { training } else { training.without_fusion() };
    training.plan(&params, profile).unwrap()
}

#[test]
fn the_backward_list_is_the_forward_list_reversed() {
    // Two weight gradients, which add up bias gradients on the way, and one of what lies between.
    for (fuses, least) in [(true, 3), (false, 9)] {
        let plan = planned(&Profile::webgpu_default(), fuses);
        let origins: Vec<_> =
            plan.list(Phase::Backward).map(|dispatch| dispatch.origin.expect("backward dispatches have one")).collect();
        assert!(origins.len() >= least, "{plan}");
        assert!(origins.windows(2).all(|pair| pair[0] >= pair[1]), "{origins:?}");
        // Phases follow one another, and forward nodes run in the order of recording.
        assert!(plan.dispatches.windows(2).all(|pair| pair[0].phase <= pair[1].phase));
        let nodes: Vec<_> = plan.list(Phase::Forward).map(|dispatch| dispatch.node).collect();
        assert!(nodes.windows(2).all(|pair| pair[0] <= pair[1]), "{nodes:?}");
    }
}

#[test]
fn every_parameter_is_updated_by_one_dispatch() {
    let plan = plan(&Profile::webgpu_default());
    let updates: Vec<_> = plan.list(Phase::Update).collect();
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].label, "up.weight, up.bias, down.weight, down.bias");
}

#[test]
fn dispatches_never_read_and_write_one_buffer() {
    for profile in [Profile::webgpu_default(), Profile::host()] {
        let plan = plan(&profile);
        for dispatch in &plan.dispatches {
            let kernel = &plan.kernels[dispatch.kernel];
            let of = |writes: bool| {
                let chosen =
                    dispatch.bindings.iter().zip(&kernel.usages).filter(move |(_, usage)| usage.writes() == writes);
                chosen.map(|(binding, _)| binding).collect::<Vec<&Binding>>()
            };
            for written in of(true) {
                assert!(of(false).iter().all(|read| read.buffer != written.buffer), "{dispatch:?}");
                assert_eq!(written.offset % 256, 0);
            }
        }
    }
}

#[test]
fn values_are_read_before_their_slot_is_used_again() {
    // Replays the plan with labels instead of numbers: every read must find what was written for it.
    let plan = plan(&Profile::webgpu_default());
    let mut written: Vec<Option<usize>> = vec![None; plan.buffers.len()];
    for (number, dispatch) in plan.dispatches.iter().enumerate() {
        for (binding, writes) in dispatch.bindings.iter().zip(&plan.kernels[dispatch.kernel].usages) {
            let temporary = matches!(plan.buffers[binding.buffer].kind, BufferKind::Slot(_) | BufferKind::Kept(_));
            if writes.writes() {
                written[binding.buffer] = Some(number);
            } else if temporary {
                assert!(written[binding.buffer].is_some(), "dispatch {number} reads what nothing wrote");
            }
        }
    }
}

#[test]
fn memory_is_known_before_anything_is_allocated() {
    let plan = plan(&Profile::webgpu_default());
    let parameters = plan.bytes(|kind| matches!(kind, BufferKind::Parameters(_)));
    // Entries are aligned to 256 bytes: 512 + 256 + 256 + 256.
    assert_eq!(parameters, 1280);
    assert_eq!(plan.bytes(|kind| matches!(kind, BufferKind::Gradients(_))), parameters);
    assert_eq!(plan.bytes(|kind| matches!(kind, BufferKind::OptimizerState { .. })), 2 * parameters);
    assert_eq!(plan.bytes(|kind| matches!(kind, BufferKind::Input(_))), 4 * 8 * 4 + 4 * 4);
    let slots = plan.bytes(|kind| matches!(kind, BufferKind::Slot(_)));
    assert!(plan.live_bytes <= slots && slots <= 2 * plan.live_bytes, "{slots} for {}", plan.live_bytes);
    assert!(plan.to_string().contains(&format!("{} bytes in {} buffers", plan.total_bytes(), plan.buffers.len())));
}

#[test]
fn the_host_reads_no_images() {
    let mut profile = Profile::host();
    profile.image_loads = 0;
    assert!(plan(&profile).images.is_empty());
    profile = Profile { class: KernelClass::Cpu, ..Profile::webgpu_default() };
    profile.image_loads = 0;
    let read = plan(&profile);
    assert!(!read.images.is_empty());
    assert_eq!(read.total_bytes(), read.bytes(|_| true) + read.image_bytes());
}

#[test]
fn a_plan_is_plain_data() {
    let plan = plan(&Profile::webgpu_default());
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn the_printed_plan_is_what_it_was() {
    let text = plan(&Profile::webgpu_default()).to_string();
    insta::assert_snapshot!(text);
}

#[test]
fn the_generated_kernels_are_what_they_were() {
    let mut params = Params::seeded(1);
    let w = params.add("w", [3, 5], Init::Zeros);
    let g = Graph::new();
    let x = g.input("x", [4, 5]);
    let y = (x.flip(0).slice(1, 1..4) * g.param(&w).transpose().slice(0, 0..1)).pad(&[(1, 0), (0, 2)]).square().sum(0);
    let joined = g.concat(&[y, y.dropout(0.25)], 0);
    let plan = g.train(joined.sum(..), Sgd::new(0.1)).plan(&params, &Profile::webgpu_default()).unwrap();
    let own = |kernel: &&retrograd::plan::KernelText| !kernel.wgsl.contains("fn threefry");
    let texts: Vec<String> =
        plan.kernels.iter().filter(own).map(|kernel| format!("// {}\n{}", kernel.name, kernel.wgsl)).collect();
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn gradients_that_are_used_again_are_copied() {
    let mut params = Params::seeded(1);
    let (a, b) = (params.add("a", [4], Init::Zeros), params.add("b", [4], Init::Zeros));
    let g = Graph::new();
    // Both parameters have the same gradient, and it is kept as well.
    let (a, b): (Tensor<'_>, Tensor<'_>) = (g.param(&a), g.param(&b));
    let loss = (a + b).square().sum(..);
    let _gradient = g.gradient(loss, a).keep();
    let plan = g.train(loss, Sgd::new(0.1)).plan(&params, &Profile::webgpu_default()).unwrap();
    // One kernel computes it and stores it three times.
    let gradient: Vec<_> = plan.list(Phase::Backward).collect();
    let written = |kind: fn(&BufferKind) -> bool| {
        let of = |binding: &&Binding| kind(&plan.buffers[binding.buffer].kind);
        gradient.iter().flat_map(|dispatch| &dispatch.bindings).filter(of).count()
    };
    assert_eq!(gradient.len(), 1, "{plan}");
    assert_eq!(written(|kind| matches!(kind, BufferKind::Gradients(_))), 2, "{plan}");
    assert_eq!(written(|kind| matches!(kind, BufferKind::Kept(_))), 1, "{plan}");
}

/// The plan of a classifier with these layer sizes, trained by Adam.
fn classifier(sizes: &[usize], batch: usize, profile: &Profile) -> Plan {
    let mut params = Params::seeded(1);
    let g = Graph::new();
    let (x, y) = (g.input("x", [batch, sizes[0]]), g.labels("y", [batch]));
    let mut hidden = x;
    for (number, pair) in sizes.windows(2).enumerate() {
        let layer = nn::Linear::new(&mut params, &format!("layer{number}"), pair[0], pair[1]);
        hidden = layer.forward(hidden);
        if number + 2 < sizes.len() {
            hidden = hidden.relu();
        }
    }
    g.train(hidden.cross_entropy(y), Adam::new(1e-3)).plan(&params, profile).unwrap()
}

fn of_class(class: KernelClass) -> Profile {
    if class == KernelClass::Host { Profile::host() } else { Profile { class, ..Profile::webgpu_default() } }
}

#[test]
fn a_training_step_is_a_handful_of_dispatches() {
    for class in [KernelClass::Host, KernelClass::Cpu, KernelClass::Subgroup] {
        for (sizes, batch) in [(&[2, 64, 64, 3][..], 300), (&[784, 512, 256, 10][..], 128)] {
            // Three products forward, the loss with its gradient, its mean, three weight gradients that add up
            // bias gradients on the way, two gradients of activations, and the update.
            let plan = classifier(sizes, batch, &of_class(class));
            assert_eq!(plan.dispatches.len(), 11, "{class:?}: {plan}");
        }
    }
}

#[test]
fn slots_take_little_more_than_what_lives_at_one_time() {
    let deep: Vec<usize> = vec![32; 25];
    for class in [KernelClass::Host, KernelClass::Cpu, KernelClass::Subgroup, KernelClass::Gpu] {
        for (sizes, batch) in [(&[2, 64, 64, 3][..], 300), (&[784, 512, 256, 10], 128), (&[1024; 4], 256), (&deep, 100)]
        {
            let plan = classifier(sizes, batch, &of_class(class));
            let slots = plan.bytes(|kind| matches!(kind, BufferKind::Slot(_)));
            assert!(
                slots as f64 <= 1.1 * plan.live_bytes as f64,
                "{class:?} {sizes:?}: {slots} for {}",
                plan.live_bytes
            );
        }
    }
}

#[test]
fn a_plan_explains_why_neighbours_are_apart() {
    let mut params = Params::seeded(1);
    let w = params.add("w", [4, 4], Init::Zeros);
    let g = Graph::new();
    let x = g.input("x", [4, 4]);
    let y = x.matmul(g.param(&w)).tanh();
    let plan = g.train((y + y.transpose()).square().mean(..), Sgd::new(0.1)).plan(&params, &Profile::webgpu_default());
    let text = plan.unwrap().explain();
    assert!(text.contains("it reads elements at other places than its own"), "{text}");
    assert!(text.contains("tests/plan.rs:"), "{text}");
}
