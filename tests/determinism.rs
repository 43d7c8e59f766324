//! Same seed, device and driver: same bits, told by fingerprints; and plans whose choices are pinned.

mod common;

use common::device;
use retrograd::fuse::Form;
use retrograd::nn::{Activation, BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Sequential};
use retrograd::ops::PoolSettings;
use retrograd::optim::AdamW;
use retrograd::plan::Choices;
use retrograd::record::KernelClass;
use retrograd::schedule::Cosine;
use retrograd::{Device, ErrorKind, Fingerprint, Generator, Graph, Params, State, Step};

fn devices() -> Vec<&'static Device> {
    ["cpu", "vulkan", "gl"].into_iter().filter_map(device).collect()
}

const BATCH: usize = 8;
const ROWS: usize = 40;

fn images() -> (Vec<f32>, Vec<i32>) {
    let mut generator = Generator::new(5);
    let pixels = (0..ROWS * 64).map(|_| generator.normal(0.0, 1.0) as f32).collect();
    (pixels, (0..ROWS).map(|_| generator.below(4) as i32).collect())
}

/// A network with everything that could differ: products, convolutions, pooling, statistics, dropout.
fn network(params: &mut Params) -> Sequential {
    Sequential::new()
        .then(Conv2d::new(params, "conv", 1, 6, [3, 3]))
        .then(BatchNorm::new(params, "norm", 6))
        .then(Activation::Relu)
        .then(MaxPool2d(PoolSettings::new(2)))
        .then(Flatten)
        .then(Dropout::new(0.3))
        .then(Linear::new(params, "up", 6 * 9, 32))
        .then(Activation::Relu)
        .then(Linear::new(params, "down", 32, 4))
}

/// How the data come.
#[derive(Clone, Copy, PartialEq)]
enum Data {
    Shuffled,
    InOrder,
    Fed,
}

/// The fingerprints after every one of some passes.
fn epochs(device: &Device, data: Data, passes: usize, seed: u64) -> Vec<Fingerprint> {
    let (pixels, labels) = images();
    let mut params = Params::seeded(seed);
    let model = network(&mut params);
    let g = Graph::new();
    let (x, y) = (g.input("x", [BATCH, 1, 8, 8]), g.labels("y", [BATCH]));
    let loss = model.forward(x).cross_entropy(y);
    let training = g.train(loss, AdamW::new(0.01).weight_decay(0.1));
    let whole = [x.feed(&pixels), y.feed(&labels)];
    let training = match data {
        Data::Shuffled => training.dataset(whole),
        Data::InOrder => training.dataset_in_order(whole),
        Data::Fed => training,
    };
    let mut step = training.compile(device, &params).unwrap();
    let mut hashes = vec![step.state().weights_hash().unwrap()];
    for _ in 0..passes {
        if data == Data::Fed {
            for (pixels, labels) in pixels.chunks(BATCH * 64).zip(labels.chunks(BATCH)) {
                step.run([x.feed(pixels), y.feed(labels)]).unwrap();
            }
        } else {
            step.run_epoch([]).unwrap();
        }
        hashes.push(step.state().weights_hash().unwrap());
    }
    hashes
}

#[test]
fn two_trainings_are_the_same_to_the_bit_after_every_epoch() {
    for device in devices() {
        let first = epochs(device, Data::Shuffled, 3, 1);
        assert_eq!(first, epochs(device, Data::Shuffled, 3, 1), "{}", device.name());
        assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "every epoch changes the weights");
        assert_ne!(first[0], epochs(device, Data::Shuffled, 0, 2)[0], "the seed counts");
        println!("{}: {:#}", device.name(), first[3]);
    }
}

#[test]
fn a_dataset_on_the_device_is_the_same_as_the_batches_fed() {
    for device in devices() {
        assert_eq!(epochs(device, Data::InOrder, 2, 1), epochs(device, Data::Fed, 2, 1), "{}", device.name());
    }
}

/// Trains, with all that training can do besides the optimizer's rule, through these numbers of steps at once, and from a checkpoint in the middle if that is wanted.
fn in_pieces(device: &Device, pieces: &[u32], resumed_before: Option<usize>) -> [Fingerprint; 2] {
    let (pixels, labels) = images();
    let mut params = Params::seeded(1);
    let (g, model) = (Graph::new(), network(&mut params));
    let (x, y) = (g.input("x", [BATCH, 1, 8, 8]), g.labels("y", [BATCH]));
    let loss = model.forward(x).cross_entropy(y);
    let training = || {
        let training = g.train(loss, AdamW::new(0.01)).schedule(Cosine::new(20)).accumulate(3).clip_norm(1.0);
        training.average(0.9).dataset([x.feed(&pixels), y.feed(&labels)])
    };
    let mut step: Step = training().compile(device, &params).unwrap();
    for (number, &count) in pieces.iter().enumerate() {
        if resumed_before == Some(number) {
            let bytes = pollster::block_on(step.state().to_safetensors()).unwrap();
            let state = State::new(device, &params).unwrap();
            state.load_safetensors(&bytes).unwrap();
            assert_eq!(state.training_hash().unwrap(), step.state().training_hash().unwrap(), "{}", device.name());
            step = training().compile_on(&state).unwrap();
        }
        if count == 1 {
            step.run([]).unwrap();
        } else {
            step.run_many(count, []).unwrap();
        }
    }
    [step.state().weights_hash().unwrap(), step.state().training_hash().unwrap()]
}

#[test]
fn steps_per_submission_and_checkpoints_change_nothing() {
    for device in devices() {
        let one_by_one = in_pieces(device, &[1; 32], None);
        assert_eq!(one_by_one, in_pieces(device, &[16, 16], None), "{}", device.name());
        assert_eq!(one_by_one, in_pieces(device, &[5, 1, 26], None), "{}", device.name());
        // In the middle of an epoch, with gradients of two runs added up.
        assert_eq!(one_by_one, in_pieces(device, &[7, 1, 16, 8], Some(2)), "{}", device.name());
        assert_ne!(one_by_one[0], in_pieces(device, &[31], None)[0]);
    }
}

#[test]
fn the_number_of_threads_of_the_host_changes_nothing() {
    let train = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut params = Params::seeded(2);
            let (up, down) = (Linear::new(&mut params, "up", 130, 700), Linear::new(&mut params, "down", 700, 33));
            let g = Graph::new();
            let (x, y) = (g.input("x", [257, 130]), g.labels("y", [257]));
            let loss = down.forward(up.forward(x).gelu_erf().dropout(0.1)).softmax(-1).cross_entropy(y);
            let mut step = g.train(loss, AdamW::new(0.01)).gradient_norm().compile(&Device::cpu(), &params).unwrap();
            let mut generator = Generator::new(1);
            let rows: Vec<f32> = (0..257 * 130).map(|_| generator.normal(0.0, 1.0) as f32).collect();
            let labels: Vec<i32> = (0..257).map(|row| row % 33).collect();
            step.run_many(6, [x.feed(&rows), y.feed(&labels)]).unwrap();
            (step.state().weights_hash().unwrap(), step.read_gradient_norm().unwrap().to_bits())
        })
    };
    let one = train(1);
    for threads in [2, 3, 8] {
        assert_eq!(one, train(threads), "{threads} threads");
    }
}

#[test]
fn a_fingerprint_covers_names_shapes_and_bits_and_nothing_else() {
    let hash = |build: &dyn Fn(&mut Params)| {
        let mut params = Params::seeded(1);
        build(&mut params);
        State::new(&Device::cpu(), &params).unwrap().weights_hash().unwrap()
    };
    let values = |values: &[f32]| retrograd::Init::Values(values.to_vec());
    let add = |name: &'static str, shape: &'static [usize], numbers: &'static [f32]| {
        move |params: &mut Params| drop(params.add(name, shape, values(numbers)))
    };
    let same = hash(&add("a", &[2, 2], &[0.0, 1.0, 2.0, 3.0]));
    assert_eq!(same, hash(&add("a", &[2, 2], &[0.0, 1.0, 2.0, 3.0])));
    let others = [
        hash(&add("b", &[2, 2], &[0.0, 1.0, 2.0, 3.0])),
        hash(&add("a", &[4], &[0.0, 1.0, 2.0, 3.0])),
        hash(&add("a", &[2, 2], &[-0.0, 1.0, 2.0, 3.0])),
        hash(&add("a", &[2, 2], &[0.0, 1.0, 2.0, 3.0000002])),
        hash(&|params| {
            add("a", &[2, 2], &[0.0, 1.0, 2.0, 3.0])(params);
            params.add_cell("cell", [1], retrograd::Init::Zeros);
        }),
    ];
    assert!(others.iter().all(|other| *other != same));
    // The order of addition does not count.
    let (one, two) = (add("a", &[1], &[1.0]), add("b", &[1], &[2.0]));
    let both = |first: &dyn Fn(&mut Params), second: &dyn Fn(&mut Params)| {
        hash(&|params| {
            first(params);
            second(params);
        })
    };
    assert_eq!(both(&one, &two), both(&two, &one));
    // The same on every device.
    let mut params = Params::seeded(1);
    network(&mut params);
    let hashes: Vec<Fingerprint> =
        devices().into_iter().map(|device| State::new(device, &params).unwrap().weights_hash().unwrap()).collect();
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
}

/// The step of a perceptron of these rows, on a device, with choices taken over if there are any.
fn compiled(device: &Device, rows: usize, pinned: Option<&Choices>, fused: bool) -> retrograd::Result<Step> {
    let mut params = Params::seeded(1);
    let (up, down) = (Linear::new(&mut params, "up", 24, 40), Linear::new(&mut params, "down", 40, 3));
    let g = Graph::new();
    let (x, y) = (g.input("x", [rows, 24]), g.labels("y", [rows]));
    let loss = down.forward(up.forward(x).relu()).cross_entropy(y);
    let mut training = g.train(loss, AdamW::new(0.01));
    if let Some(choices) = pinned {
        training = training.pinned(choices);
    }
    if !fused {
        training = training.without_fusion();
    }
    let mut step = training.compile(device, &params)?;
    let mut generator = Generator::new(1);
    let data: Vec<f32> = (0..rows * 24).map(|_| generator.normal(0.0, 1.0) as f32).collect();
    let labels: Vec<i32> = (0..rows as i32).map(|row| row % 3).collect();
    step.run_many(3, [x.feed(&data), y.feed(&labels)])?;
    Ok(step)
}

#[test]
fn a_plan_has_a_fingerprint_of_what_runs() {
    for device in devices() {
        let of = |rows: usize, fused: bool| compiled(device, rows, None, fused).unwrap().plan().fingerprint();
        let first = of(16, true);
        assert_eq!(first, of(16, true), "{}", device.name());
        assert!(first != of(17, true) && first != of(16, false), "{}", device.name());
        // Where in a source file it was recorded does not count.
        let text = serde_json::to_string(compiled(device, 16, None, true).unwrap().plan()).unwrap();
        let moved: retrograd::plan::Plan =
            serde_json::from_str(&text.replace("determinism.rs:", "elsewhere.rs:1")).unwrap();
        assert!(text.contains("determinism.rs:") && moved.fingerprint() == first, "{}", device.name());
    }
}

#[test]
fn pinned_choices_are_taken_over_whatever_a_device_would_choose() {
    for device in devices() {
        let default = compiled(device, 16, None, true).unwrap();
        let mut plans = vec![default.plan().fingerprint()];
        // As if measured, or forced by the environment: other forms, other classes.
        let mut others: Vec<Device> = Vec::new();
        for class in [KernelClass::Gpu, KernelClass::Subgroup, KernelClass::Cpu] {
            for &form in Form::of_class(class).iter().filter(|form| **form != Form::Vector) {
                let mut profile = device.profile();
                (profile.class, profile.forms.forced) = (class, Some(form));
                // Not every device has subgroups, and the host has neither.
                others.extend(device.with_profile(profile));
            }
        }
        for other in &others {
            let step = compiled(other, 16, None, true).unwrap();
            let text = serde_json::to_string(&step.plan().choices()).unwrap();
            let choices: Choices = serde_json::from_str(&text).unwrap();
            for at in [device, &others[0]] {
                let again = compiled(at, 16, Some(&choices), true).unwrap();
                assert_eq!(again.plan().fingerprint(), step.plan().fingerprint(), "{}", device.name());
                assert_eq!(again.plan().kernels, step.plan().kernels);
                assert_eq!(again.state().training_hash().unwrap(), step.state().training_hash().unwrap());
                // What was taken over can be handed on.
                assert_eq!(again.plan().choices(), choices);
            }
            plans.push(step.plan().fingerprint());
        }
        plans.sort_unstable();
        plans.dedup();
        assert!(device.is_cpu() || plans.len() > 2, "{}: the choices make a difference", device.name());
        let again = compiled(device, 16, Some(&default.plan().choices()), true).unwrap();
        assert_eq!(again.plan().fingerprint(), default.plan().fingerprint());
    }
}

#[test]
fn choices_that_cannot_be_taken_over_are_errors() {
    let Some(device) = device("vulkan") else { return };
    let mut profile = device.profile();
    profile.class = KernelClass::Gpu;
    let gpu = device.with_profile(profile).unwrap();
    let choices = compiled(&gpu, 16, None, true).unwrap().plan().choices();
    let refused = |device: &Device, rows: usize, choices: &Choices| {
        let error = compiled(device, rows, Some(choices), true).map(drop).unwrap_err();
        (error.kind(), error.to_string())
    };
    // Another batch, other settings: another plan.
    let (kind, text) = refused(&gpu, 17, &choices);
    assert!(kind == ErrorKind::Argument && text.contains("not the plan") && text.contains("product 0"), "{text}");
    let error = compiled(&gpu, 16, Some(&choices), false).map(drop).unwrap_err();
    assert!(error.to_string().contains("not the plan"), "{error}");
    // The host runs no shaders.
    let (kind, text) = refused(&Device::cpu(), 16, &choices);
    assert!(kind == ErrorKind::Argument && text.contains("cannot be taken over"), "{text}");
    // More than the device has.
    let mut greedy = choices.clone();
    greedy.profile.invocations = 1 << 20;
    let (kind, text) = refused(&gpu, 16, &greedy);
    assert!(kind == ErrorKind::Argument && text.contains("invocations"), "{text}");
    // A form that these limits do not allow.
    let mut tight = choices.clone();
    tight.profile.workgroup_bytes = 256;
    let (kind, text) = refused(&gpu, 16, &tight);
    assert!(kind == ErrorKind::Limit && text.contains("workgroup memory"), "{text}");
    // Kernels of another class have other forms.
    let mut foreign = choices.clone();
    foreign.profile.class = KernelClass::Cpu;
    assert_eq!(refused(&gpu, 16, &foreign).0, ErrorKind::Limit);
    let mut subgroups = choices;
    subgroups.profile.class = KernelClass::Subgroup;
    if let Some(gl) = common::device("gl") {
        let (kind, text) = refused(gl, 16, &subgroups);
        assert!(kind == ErrorKind::Argument && text.contains("subgroups"), "{text}");
    }
}
