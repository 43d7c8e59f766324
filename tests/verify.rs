//! A compiled step verified dispatch by dispatch: right plans agree, and every kernel that is broken on purpose is named.

#[allow(dead_code)] // the program chooses the dispatch itself
#[path = "../src/bin/retrograd/breakage.rs"]
mod breakage;
mod common;

use breakage::Breakage;
use common::{device, devices};
use retrograd::ops::PoolSettings;
use retrograd::optim::{Adagrad, Adam, AdamW, Adamax, Lamb, Lion, NAdam, Optimizer, RAdam, RmsProp, Sgd};
use retrograd::plan::{Binding, BufferKind, Dispatch, Held};
use retrograd::verify::{Reproduction, Verdict, Verification};
use retrograd::{Device, ErrorKind, Feed, Generator, Graph, HostData, HostTensor, Init, Params, Step, Tensor, nn};

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.uniform(-1.0, 1.0) as f32).collect()
}

fn labels(seed: u64, count: usize, classes: usize) -> Vec<i32> {
    let mut generator = Generator::new(seed);
    (0..count).map(|_| generator.uniform(0.0, classes as f64) as i32).collect()
}

/// Data for inputs, as they are recorded.
struct Fed<'g>(Vec<(Tensor<'g>, HostTensor)>);

impl<'g> Fed<'g> {
    fn floats(&mut self, g: &'g Graph, name: &str, shape: &[usize]) -> Tensor<'g> {
        let input = g.input(name, shape.to_vec());
        let data = HostData::F32(numbers(self.0.len() as u64 + 3, shape.iter().product()));
        self.0.push((input, HostTensor::new(shape, data).unwrap()));
        input
    }

    fn labels(&mut self, g: &'g Graph, name: &str, shape: &[usize], classes: usize) -> Tensor<'g> {
        let input = g.labels(name, shape.to_vec());
        let data = HostData::I32(labels(7, shape.iter().product(), classes));
        self.0.push((input, HostTensor::new(shape, data).unwrap()));
        input
    }

    fn feeds(&self) -> Vec<Feed<'_>> {
        self.0.iter().map(|(input, data)| input.feed(data)).collect()
    }
}

fn verify(step: &mut Step, fed: &Fed<'_>, runs: usize) -> Verification {
    for _ in 0..runs {
        step.run(fed.feeds()).unwrap();
    }
    let before: Vec<_> = weights(step);
    let verification = step.verify(fed.feeds()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(before, weights(step), "verifying changed a parameter");
    verification
}

fn weights(step: &Step) -> Vec<Vec<f32>> {
    let names: Vec<String> = step.state().parameters().map(|(name, _)| name.to_owned()).collect();
    names.iter().map(|name| step.state().parameter(name).unwrap().to_vec()).collect()
}

fn agrees(name: &str, device: &Device, verification: &Verification) {
    assert!(verification.agrees(), "{name} on {}\n{verification}", device.name());
    let compared = verification.dispatches.iter().filter(|report| report.figures.elements > 0).count();
    assert!(2 * compared > verification.dispatches.len(), "{name}: most dispatches compare something\n{verification}");
}

/// An MLP with dropout, whose loss has a fused kernel.
fn mlp<'g>(g: &'g Graph, params: &mut Params, fed: &mut Fed<'g>) -> Tensor<'g> {
    let up = nn::Linear::new(params, "up", 65, 33);
    let down = nn::Linear::new(params, "down", 33, 10);
    let x = fed.floats(g, "x", &[17, 65]);
    let y = fed.labels(g, "y", &[17], 10);
    let hidden = nn::Dropout::new(0.2).forward(up.forward(x).gelu());
    down.forward(hidden).cross_entropy(y)
}

#[test]
fn an_mlp_with_all_the_craft_agrees() {
    for device in devices() {
        let (mut params, g, mut fed) = (Params::seeded(1), Graph::new(), Fed(Vec::new()));
        let loss = mlp(&g, &mut params, &mut fed);
        let training = g.train(loss, AdamW::new(1e-3)).clip_norm(0.1).clip_value(0.05).average(0.9).layer_norms();
        let mut step = training.compile(&device, &params).unwrap();
        for runs in [0, 3] {
            agrees("mlp", &device, &verify(&mut step, &fed, runs));
        }
    }
}

#[test]
fn an_mlp_that_adds_up_gradients_agrees() {
    for device in devices() {
        let (mut params, g, mut fed) = (Params::seeded(1), Graph::new(), Fed(Vec::new()));
        let loss = mlp(&g, &mut params, &mut fed);
        let training = g.train(loss, Lamb::new(1e-3)).accumulate(3).clip_norm(1.0).average(0.9).layer_norms();
        let mut step = training.compile(&device, &params).unwrap();
        for runs in [0, 1, 1, 1] {
            let verification = verify(&mut step, &fed, runs);
            agrees("accumulating mlp", &device, &verification);
        }
        // The first run of three only adds up.
        let skipped = verify(&mut step, &fed, 0).dispatches.iter().filter(|r| r.verdict == Verdict::Skipped).count();
        assert!(skipped > 0, "{}", device.name());
    }
}

#[test]
fn convolutions_pooling_and_batch_norm_agree() {
    for device in devices() {
        let (mut params, g, mut fed) = (Params::seeded(2), Graph::new(), Fed(Vec::new()));
        let conv = nn::Conv2d::new(&mut params, "conv", 2, 5, [3, 3]);
        let norm = nn::BatchNorm::new(&mut params, "norm", 5);
        let down = nn::Linear::new(&mut params, "down", 5 * 4 * 3, 4);
        let x = fed.floats(&g, "x", &[3, 2, 10, 8]);
        let y = fed.labels(&g, "y", &[3], 4);
        let hidden = norm.forward(conv.forward(x)).relu().max_pool2d(PoolSettings::new(2)).reshape([3, 5 * 4 * 3]);
        let loss = down.forward(hidden).cross_entropy(y);
        let mut step = g.train(loss, Sgd::new(0.1).momentum(0.9)).clip_norm(10.0).compile(&device, &params).unwrap();
        for runs in [0, 2] {
            agrees("cnn", &device, &verify(&mut step, &fed, runs));
        }
    }
}

#[test]
fn a_transformer_agrees() {
    for device in devices() {
        let (mut params, g, mut fed) = (Params::seeded(3), Graph::new(), Fed(Vec::new()));
        let embedding = nn::Embedding::new(&mut params, "tokens", 11, 24);
        let block = nn::TransformerBlock::new(&mut params, "block", 24, 3).causal();
        let head = nn::Linear::new(&mut params, "head", 24, 11);
        let tokens = fed.labels(&g, "tokens", &[2, 13], 11);
        let next = fed.labels(&g, "next", &[2, 13], 11);
        let loss = head.forward(block.forward(embedding.forward(tokens))).cross_entropy(next);
        let mut step = g.train(loss, AdamW::new(1e-3)).compile(&device, &params).unwrap();
        agrees("transformer", &device, &verify(&mut step, &fed, 1));
    }
}

#[test]
fn a_recurrent_network_agrees() {
    for device in devices() {
        let (mut params, g, mut fed) = (Params::seeded(4), Graph::new(), Fed(Vec::new()));
        let lstm = nn::Lstm::new(&mut params, "lstm", 3, 7);
        let head = nn::Linear::new(&mut params, "head", 7, 1);
        let x = fed.floats(&g, "x", &[5, 4, 3]);
        let loss = head.forward(lstm.forward(x)).square().mean(..);
        let mut step = g.train(loss, RmsProp::new(1e-2)).compile(&device, &params).unwrap();
        agrees("lstm", &device, &verify(&mut step, &fed, 1));
    }
}

#[test]
fn every_optimizer_agrees() {
    let optimizers: Vec<fn() -> Box<dyn Optimizer>> = vec![
        || Box::new(Sgd::new(0.02).momentum(0.9).nesterov().weight_decay(0.01)),
        || Box::new(Adam::new(0.03).weight_decay(0.02)),
        || Box::new(AdamW::new(1e-4).weight_decay(0.1)),
        || Box::new(RmsProp::new(0.01).centered().momentum(0.8)),
        || Box::new(Adagrad::new(0.1).rate_decay(0.1).initial_sum(0.3)),
        || Box::new(Adamax::new(0.03).weight_decay(0.02)),
        || Box::new(NAdam::new(0.03).decoupled_weight_decay(0.1)),
        || Box::new(RAdam::new(0.03)),
        || Box::new(Lion::new(0.003).weight_decay(0.3)),
        || Box::new(Lamb::new(0.03).weight_decay(0.1)),
    ];
    for device in devices() {
        for optimizer in &optimizers {
            let (mut params, g, mut fed) = (Params::seeded(5), Graph::new(), Fed(Vec::new()));
            let mut loss = g.full([1], 0.0);
            for (number, shape) in [vec![1], vec![7, 3], vec![65], vec![130, 9]].into_iter().enumerate() {
                let weight = params.add(&format!("w{number}"), shape.clone(), Init::Uniform(-1.0, 1.0));
                loss = loss + (g.param(&weight) * fed.floats(&g, &format!("x{number}"), &shape)).sum(..);
            }
            let mut step = g.train(loss, optimizer()).compile(&device, &params).unwrap();
            for runs in [0, 6] {
                agrees(&format!("{:?}", optimizer()), &device, &verify(&mut step, &fed, runs));
            }
        }
    }
}

#[test]
fn batches_of_a_dataset_agree() {
    for device in devices() {
        let (mut params, g) = (Params::seeded(6), Graph::new());
        let layer = nn::Linear::new(&mut params, "layer", 7, 3);
        let (x, y) = (g.input("x", [5, 7]), g.labels("y", [5]));
        let loss = layer.forward(x).cross_entropy(y);
        let data = ndarray::Array2::from_shape_vec((33, 7), numbers(1, 33 * 7)).unwrap();
        let classes = ndarray::Array1::from(labels(2, 33, 3));
        // Small bindings, so that the data lie in several parts.
        let mut profile = device.profile();
        profile.binding_bytes = 512;
        let device = device.with_profile(profile).unwrap();
        let training = g.train(loss, Adam::new(1e-2)).dataset([x.feed(&data), y.feed(&classes)]);
        let mut step = training.compile(&device, &params).unwrap();
        let none: [Feed<'_>; 0] = [];
        step.run(none.clone()).unwrap();
        let verification = step.verify(none.clone()).unwrap();
        agrees("dataset", &device, &verification);
        assert!(verification.dispatches.iter().any(|report| report.kernel == "gather_rows"), "{verification}");
    }
}

#[test]
fn whatever_kernel_is_broken_is_named() {
    for name in ["vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let (mut params, g, mut fed) = (Params::seeded(1), Graph::new(), Fed(Vec::new()));
        let loss = mlp(&g, &mut params, &mut fed);
        let training = g.train(loss, AdamW::new(1e-3)).clip_norm(0.1);
        let mut step = training.compile(device, &params).unwrap();
        step.run(fed.feeds()).unwrap();
        let plan = step.plan().clone();
        let mut tried = 0;
        for number in 0..plan.dispatches.len() {
            for how in [Breakage::Wrong, Breakage::Stray, Breakage::Missing] {
                let Some(plan) = how.in_dispatch(&plan, number) else { continue };
                let work = plan.dispatches[number].work;
                // What is changed in place keeps its value where it is not written: a wrong element.
                let wanted = match how {
                    Breakage::Wrong => Verdict::Wrong,
                    Breakage::Stray => Verdict::Stray,
                    Breakage::Missing if work.is_some() => Verdict::Wrong,
                    Breakage::Missing => Verdict::Missing,
                };
                let verification = step.verify_plan(&plan, device, fed.feeds()).unwrap();
                let Some(found) = &verification.divergence else {
                    panic!("{how:?} in dispatch {number} on {name} was not seen\n{verification}");
                };
                let exact = found.number == number && verification.dispatches[number].verdict == wanted;
                assert!(exact || found.suspects.contains(&number), "{how:?} in {number} on {name}\n{verification}");
                let failures = verification.dispatches.iter().filter(|report| report.verdict.is_failure()).count();
                assert_eq!(failures, 1, "those after it are judged by themselves: {how:?} in {number}\n{verification}");
                assert_eq!(verification.check().unwrap_err().kind(), ErrorKind::Check);
                tried += 1;
            }
        }
        assert!(tried > 2 * plan.dispatches.len(), "{tried} of {} dispatches on {name}", plan.dispatches.len());
    }
}

#[test]
fn a_divergence_is_reproduced_from_a_file() {
    let Some(device) = device("vulkan") else { return };
    let (mut params, g, mut fed) = (Params::seeded(1), Graph::new(), Fed(Vec::new()));
    let loss = mlp(&g, &mut params, &mut fed);
    let mut step = g.train(loss, AdamW::new(1e-3)).compile(device, &params).unwrap();
    let plan = Breakage::Wrong.in_dispatch(step.plan(), 1).unwrap();
    let verification = step.verify_plan(&plan, device, fed.feeds()).unwrap();
    let text = verification.describe_divergence();
    assert!(text.contains("dispatch 1 of step 1 diverges") && text.contains("tests/verify.rs:"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("divergence.json");
    verification.divergence.as_ref().unwrap().reproduction.save(&file).unwrap();
    let mut reproduction = Reproduction::load(&file).unwrap();
    let replayed = reproduction.run(device).unwrap();
    assert_eq!(replayed.verdict, Verdict::Wrong, "{replayed:?}");
    // With the right kernel it agrees: the file holds all that matters.
    reproduction.plan.kernels[0].wgsl = step.plan().kernels[step.plan().dispatches[1].kernel].wgsl.clone();
    assert_eq!(reproduction.run(device).unwrap().verdict, Verdict::Agrees);
    // A verification is read from its report.
    let json = serde_json::to_string(&verification).unwrap();
    assert_eq!(serde_json::from_str::<Verification>(&json).unwrap().dispatches.len(), verification.dispatches.len());
    std::fs::write(&file, b"{}").unwrap();
    assert_eq!(Reproduction::load(&file).unwrap_err().kind(), ErrorKind::File);
}

#[test]
fn a_plan_of_another_device_is_refused_or_runs_there() {
    let (Some(vulkan), Some(gl)) = (device("vulkan"), device("gl")) else { return };
    let (mut params, g, mut fed) = (Params::seeded(1), Graph::new(), Fed(Vec::new()));
    let loss = mlp(&g, &mut params, &mut fed);
    // GL has no subgroups: a plan that wants them is refused there, one for it runs on both.
    let mut on_gl = g.train(loss, Adam::new(1e-3)).compile(gl, &params).unwrap();
    let plan = on_gl.plan().clone();
    agrees("of gl", vulkan, &on_gl.verify_plan(&plan, vulkan, fed.feeds()).unwrap());
    let mut on_vulkan = g.train(loss, Adam::new(1e-3)).compile(vulkan, &params).unwrap();
    let plan = on_vulkan.plan().clone();
    if vulkan.profile().eight_lanes {
        let error = on_vulkan.verify_plan(&plan, gl, fed.feeds()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
    }
    let error = on_vulkan.verify_plan(&plan, &Device::cpu(), fed.feeds()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
    let other = on_gl.plan().clone();
    let error = on_vulkan.verify_plan(&other, vulkan, fed.feeds()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
}

#[test]
fn tensors_that_get_in_each_others_way_are_seen() {
    for device in devices() {
        let (mut params, g, mut fed) = (Params::seeded(1), Graph::new(), Fed(Vec::new()));
        let loss = mlp(&g, &mut params, &mut fed);
        let mut step = g.train(loss, Adam::new(1e-3)).compile(&device, &params).unwrap();
        let plan = step.plan().clone();
        let usages = |dispatch: &Dispatch| plan.kernels[dispatch.kernel].usages.clone();
        let is_slot = |binding: &Binding| matches!(plan.buffers[binding.buffer].kind, BufferKind::Slot(_));
        // Every tensor that is stored in a slot, with the dispatches that write and read it.
        let mut places: Vec<(Held, Binding, usize, usize)> = Vec::new();
        for (number, dispatch) in plan.dispatches.iter().enumerate() {
            for ((binding, held), usage) in dispatch.bindings.iter().zip(&dispatch.holds).zip(usages(dispatch)) {
                if !is_slot(binding) || !matches!(held, Held::Tensor(_)) {
                    continue;
                }
                match places.iter_mut().find(|(known, ..)| known == held) {
                    Some((_, _, _, last)) => *last = number,
                    None if usage.writes() => places.push((*held, binding.clone(), number, number)),
                    None => {}
                }
            }
        }
        let overlap = |(_, a, made, read): &(Held, Binding, usize, usize),
                       (_, b, other, _): &(Held, Binding, usize, usize)| {
            made < other && other < read && b.bytes <= a.bytes
        };
        let pairs = places.iter().flat_map(|a| places.iter().map(move |b| (a, b)));
        let (kept, moved) =
            pairs.into_iter().find(|(a, b)| overlap(a, b)).expect("some tensor is made while another waits");
        let mut wrong = plan.clone();
        for dispatch in &mut wrong.dispatches {
            for (binding, held) in dispatch.bindings.iter_mut().zip(&dispatch.holds) {
                if *held == moved.0 {
                    (binding.buffer, binding.offset) = (kept.1.buffer, kept.1.offset);
                }
            }
        }
        let verification = step.verify_plan(&wrong, &device, fed.feeds()).unwrap();
        let divergence =
            verification.divergence.as_ref().unwrap_or_else(|| panic!("{}\n{verification}", device.name()));
        assert_eq!(verification.dispatches[divergence.number].verdict, Verdict::Overwritten, "{verification}");
        assert!(divergence.finding.contains(&format!("which dispatch {} has stored", kept.2)), "{verification}");
    }
}

#[test]
fn what_cancels_within_a_fused_op_is_allowed_for() {
    for device in devices() {
        // Small losses of great scores: the logarithm of a sum and the score nearly cancel.
        let (g, mut fed) = (Graph::evaluation(), Fed(Vec::new()));
        let scores = fed.floats(&g, "scores", &[64, 33]);
        let classes = fed.labels(&g, "classes", &[64], 33);
        let sure = classes.one_hot(33) * 30.0 + scores * 3.0;
        let loss = sure.cross_entropy(classes);
        let mut step = g.infer(&[loss]).compile(&device, &Params::seeded(1)).unwrap();
        let verification = step.verify(fed.feeds()).unwrap();
        assert!(verification.agrees(), "{verification}");
    }
}

#[test]
fn poles_and_small_steps_are_no_excuse() {
    let Some(device) = device("vulkan") else { return };
    // The reference is infinite at an element: another number there is wrong.
    let g = Graph::evaluation();
    let x = g.input("x", [8]);
    let y = x.log();
    let mut step = g.infer(&[y]).compile(device, &Params::seeded(1)).unwrap();
    let data = [0.0f32, 1.0, 2.0, 0.5, 3.0, 4.0, 1e-20, 7.0];
    agrees("log", device, &step.verify([x.feed(&data)]).unwrap());
    let plan = Breakage::Missing.in_dispatch(step.plan(), 0).unwrap();
    assert_eq!(step.verify_plan(&plan, device, [x.feed(&data)]).unwrap().dispatches[0].verdict, Verdict::Missing);
    let plan = Breakage::Wrong.in_dispatch(step.plan(), 0).unwrap();
    assert_eq!(step.verify_plan(&plan, device, [x.feed(&data)]).unwrap().dispatches[0].verdict, Verdict::Wrong);
    // Steps that are small beside the weights, and gradients of very different sizes.
    let (mut params, g) = (Params::seeded(1), Graph::new());
    let weight = params.add("w", [64], Init::Uniform(0.5, 1.0));
    let x = g.input("x", [64]);
    let loss = (g.param(&weight) * x).sum(..);
    let mut step = g.train(loss, Adam::new(1e-4)).compile(device, &params).unwrap();
    let data: Vec<f32> = (0..64).map(|place| 0.5f32.powi(place % 16)).collect();
    step.run([x.feed(&data)]).unwrap();
    agrees("adam", device, &step.verify([x.feed(&data)]).unwrap());
    let number = step.plan().dispatches.iter().position(|dispatch| dispatch.work.is_some()).unwrap();
    let mut plan = step.plan().clone();
    let kernel = &mut plan.kernels[step.plan().dispatches[number].kernel];
    // The second moment only of gradients that are not small.
    let broken = kernel.wgsl.replace("+ ONE_MINUS_BETA2 * g", "+ select(0.0f, ONE_MINUS_BETA2, abs(g) > 1e-3f) * g");
    assert_ne!(broken, kernel.wgsl);
    kernel.wgsl = broken;
    let verification = step.verify_plan(&plan, device, [x.feed(&data)]).unwrap();
    assert_eq!(verification.dispatches[number].verdict, Verdict::Wrong, "{verification}");
}
