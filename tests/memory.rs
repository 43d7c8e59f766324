//! Memory: what is computed again instead of being kept, and budgets.

mod common;

use common::{device, distance, on_device, on_reference};
use retrograd::optim::Sgd;
use retrograd::plan::Profile;
use retrograd::{Device, ErrorKind, Generator, Graph, HostData, HostTensor, Params, Tensor, nn};

/// A network of 24 layers that trains on ten inputs of noise; recomputed in segments of this many layers, if any.
fn deep(segment: Option<usize>, device: &Device) -> (Vec<f32>, Vec<HostTensor>, u64) {
    const WIDTH: usize = 32;
    let mut params = Params::seeded(5);
    let layers: Vec<nn::Linear> =
        (0..24).map(|number| nn::Linear::new(&mut params, &format!("layer{number}"), WIDTH, WIDTH)).collect();
    let g = Graph::new();
    let x = g.input("x", [256, WIDTH]);
    let forward =
        |x, layers: &[nn::Linear]| layers.iter().fold(x, |x: Tensor<'_>, layer| layer.forward(x).gelu().dropout(0.1));
    let y = match segment {
        None => forward(x, &layers),
        Some(length) => layers.chunks(length).fold(x, |x, layers| g.recompute(|| forward(x, layers))),
    };
    let loss = y.square().mean(..);
    let mut step = g.train(loss, Sgd::new(0.05)).compile(device, &params).unwrap();
    let mut generator = Generator::new(9);
    let data: Vec<f32> = (0..256 * WIDTH).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
    let mut losses = Vec::new();
    for _ in 0..3 {
        step.run([x.feed(&data)]).unwrap();
        losses.push(step.read(loss).unwrap().item());
    }
    let names = ["layer0.weight", "layer11.bias", "layer23.weight"];
    let parameters = names.iter().map(|name| step.state().parameter(name).unwrap()).collect();
    (losses, parameters, step.plan().live_bytes)
}

#[test]
fn recomputing_gives_the_same_bits_in_less_memory() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let (losses, parameters, kept) = deep(None, device);
        let (again, same, recomputed) = deep(Some(4), device);
        assert_eq!(losses, again, "{name}");
        assert_eq!(parameters, same, "{name}");
        assert!(recomputed * 2 <= kept, "{name}: {recomputed} bytes instead of {kept}");
    }
}

#[test]
fn a_memory_budget_is_kept_or_refused_with_the_least_possible() {
    let plan = |budget: Option<u64>| {
        let mut params = Params::seeded(5);
        let g = Graph::new();
        let x = g.input("x", [256, 16]);
        let layer = |number: usize| format!("layer{number}");
        let layers: Vec<nn::Linear> = (0..24).map(|n| nn::Linear::new(&mut params, &layer(n), 16, 16)).collect();
        let loss = layers.iter().fold(x, |x, layer| layer.forward(x).tanh()).square().mean(..);
        let training = g.train(loss, Sgd::new(0.1));
        let training = if let Some(bytes) = budget { training.memory_budget(bytes) } else { training };
        training.plan(&params, &Profile::webgpu_default())
    };
    let all = plan(None).unwrap().total_bytes();
    assert_eq!(plan(Some(all)).unwrap().total_bytes(), all);
    let half = plan(Some(all * 6 / 10)).unwrap().total_bytes();
    assert!(half <= all * 6 / 10, "{half} of {all}");
    let error = plan(Some(1000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let least: u64 = error.to_string().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(plan(Some(least)).unwrap().total_bytes() <= least);
    assert!(plan(Some(least - 1)).is_err());
}

#[test]
fn dispatches_change_places_where_that_needs_less_memory() {
    // Six wide tensors are recorded before the first of them is used: in this order all live at one time.
    let graph = Graph::new();
    let (x, w, v) = (graph.input("x", [64, 32]), graph.input("w", [32, 256]), graph.input("v", [256, 4]));
    let wide: Vec<Tensor<'_>> = (1..=6).map(|number| (x * f64::from(number)).matmul(w)).collect();
    let narrow: Vec<Tensor<'_>> = wide.iter().map(|wide| wide.softmax(-1).matmul(v)).collect();
    let total = narrow.iter().skip(1).fold(narrow[0], |sum, &narrow| sum + narrow);

    let one = 64 * 256 * 4;
    for profile in [Profile::webgpu_default(), Profile::host()] {
        let plan = graph.infer(&[total]).plan(&Params::seeded(0), &profile).unwrap();
        assert!(plan.live_bytes < 3 * one, "{} bytes, where one tensor takes {one}", plan.live_bytes);
        let wide: Vec<_> = plan.dispatches.iter().filter_map(|dispatch| dispatch.node).collect();
        assert!(!wide.is_sorted(), "the order is another one");
    }

    let mut generator = Generator::new(3);
    let mut random = |shape: [usize; 2]| {
        let values = (0..shape[0] * shape[1]).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
        HostTensor::new(shape, HostData::F32(values)).unwrap()
    };
    let feeds = [(x, random([64, 32])), (w, random([32, 256])), (v, random([256, 4]))];
    let by_node = feeds.iter().map(|(input, data)| (input.id().node, data.clone())).collect();
    let want = on_reference(&graph, &[total], &by_node, [0; 2]);
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let got = on_device(device, &graph, &[total], &feeds);
        assert!(distance(&got[0], &want[0], 1e-5, 1e-5).excess <= 1.0, "{name}");
    }
}

/// Bytes of the plan of a training step of attention, 4 heads of 64, at a length.
fn attention_bytes(length: usize, profile: &Profile) -> u64 {
    let mut params = Params::seeded(1);
    let attention = nn::MultiHeadAttention::new(&mut params, "attention", 256, 4).causal();
    let g = Graph::new();
    let loss = attention.forward(g.input("x", [1, length, 256])).square().mean(..);
    g.train(loss, Sgd::new(0.1)).plan(&params, profile).unwrap().total_bytes()
}

/// The scores of 2,048 queries and keys alone would take 64 MiB, four times those of 1,024.
#[test]
fn attention_takes_memory_in_proportion_to_the_length() {
    for profile in [Profile::webgpu_default(), Device::cpu().profile()] {
        let [short, middle, long] = [1024, 2048, 4096].map(|length| attention_bytes(length, &profile));
        println!("{}: {short}, {middle} and {long} bytes at 1024, 2048 and 4096", profile.name);
        let (first, second) = (middle - short, long - middle);
        assert!(second.abs_diff(2 * first) * 20 < second, "{}: {first}, then {second} more bytes", profile.name);
        assert!(middle < 48 << 20, "{}: {middle} bytes", profile.name);
    }
}
