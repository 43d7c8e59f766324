//! Training from end to end: the same on every device, the same every time, and nothing lost.

mod common;

use common::device;
use ndarray::{Array2, array};
use retrograd::optim::{Adam, AdamW, Sgd};
use retrograd::{Device, ErrorKind, Generator, Graph, Init, Params, Step, Tensor, nn};

/// Devices that are there; `device` names the missing ones on standard error.
fn devices() -> Vec<&'static Device> {
    ["cpu", "vulkan", "gl"].into_iter().filter_map(device).collect()
}

struct Mlp {
    up: nn::Linear,
    down: nn::Linear,
}

impl Mlp {
    fn new(params: &mut Params) -> Self {
        Self { up: nn::Linear::new(params, "up", 5, 16), down: nn::Linear::new(params, "down", 16, 3) }
    }

    fn forward<'g>(&self, x: Tensor<'g>, rate: f64) -> Tensor<'g> {
        self.down.forward(self.up.forward(x).gelu_tanh().dropout(rate))
    }
}

fn batch(generator: &mut Generator, rows: usize) -> (Vec<f32>, Vec<i32>) {
    let pixels: Vec<f32> = (0..rows * 5).map(|_| generator.uniform(-1.0, 1.0) as f32).collect();
    let class = |row: &[f32]| i32::from(row[0] + row[1] > 0.0) + i32::from(row[2] > 0.3);
    let labels = pixels.chunks(5).map(class).collect();
    (pixels, labels)
}

/// The losses of some steps, and the parameters after them.
fn train(device: &Device, steps: usize) -> (Vec<f32>, Vec<Vec<f32>>) {
    let mut params = Params::seeded(11);
    let model = Mlp::new(&mut params);
    let g = Graph::new();
    let (x, y) = (g.input("x", [32, 5]), g.labels("y", [32]));
    let loss = model.forward(x, 0.25).cross_entropy(y);
    let mut step = g.train(loss, AdamW::new(1e-2).weight_decay(0.01)).compile(device, &params).unwrap();
    let mut generator = Generator::new(3);
    let mut losses = Vec::new();
    for _ in 0..steps {
        let (pixels, labels) = batch(&mut generator, 32);
        step.run([x.feed(&pixels), y.feed(&labels)]).unwrap();
        losses.push(step.read(loss).unwrap().item());
    }
    (losses, parameters(&step))
}

fn parameters(step: &Step) -> Vec<Vec<f32>> {
    let state = step.state();
    let names: Vec<String> = state.parameters().map(|(name, _)| name.to_owned()).collect();
    names.iter().map(|name| state.parameter(name).unwrap().to_vec()).collect()
}

#[test]
fn loss_curves_agree_between_devices() {
    let (want, _) = train(&Device::cpu(), 50);
    assert!(want[49] < 0.8 * want[0], "the loss falls: {want:?}");
    for device in devices() {
        let (got, _) = train(device, 50);
        for (step, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= 1e-3 * want.abs(), "{}, step {step}: {got} and {want}", device.name());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for device in devices() {
        let bits = |run: (Vec<f32>, Vec<Vec<f32>>)| {
            let all = run.0.into_iter().chain(run.1.into_iter().flatten());
            all.map(f32::to_bits).collect::<Vec<_>>()
        };
        assert_eq!(bits(train(device, 20)), bits(train(device, 20)), "{}", device.name());
    }
}

#[test]
fn evaluation_shares_parameters_with_training() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let layer = nn::Linear::with_init(&mut params, "layer", 2, 1, Init::Zeros, None);
        let g = Graph::new();
        let (x, t) = (g.input("x", [4, 2]), g.input("t", [4, 1]));
        let loss = layer.forward(x).mse_loss(t);
        let mut step = g.train(loss, Sgd::new(0.1)).compile(device, &params).unwrap();

        let h = Graph::new();
        let one = h.input("one", [1, 2]);
        let y = layer.forward(one);
        let mut evaluation = h.infer(&[y]).compile_on(step.state()).unwrap();
        let mut answer = || {
            evaluation.run([one.feed(&[1.0f32, 2.0])]).unwrap();
            evaluation.read(y).unwrap().item()
        };
        assert_eq!(answer(), 0.0);
        let inputs = array![[1.0f32, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, -1.0]];
        let targets: Array2<f32> =
            inputs.map_axis(ndarray::Axis(1), |row| 3.0 * row[0] - row[1]).insert_axis(ndarray::Axis(1));
        for _ in 0..200 {
            step.run([x.feed(&inputs), t.feed(&targets)]).unwrap();
        }
        assert!((answer() - 1.0).abs() < 1e-3, "{}: {}", device.name(), answer());
    }
}

#[test]
fn frozen_parameters_stay_and_tied_ones_add_up() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let tied = params.add("tied", [2, 2], Init::Constant(0.5));
        let frozen = params.add("frozen", [2], Init::Constant(0.25));
        params.set_frozen(&frozen, true).unwrap();
        let g = Graph::new();
        let x = g.input("x", [1, 2]);
        let y = x.matmul(g.param(&tied)).matmul(g.param(&tied)) + g.param(&frozen);
        let loss = y.sum(..);
        let mut step = g.train(loss, Sgd::new(1.0)).compile(device, &params).unwrap();
        step.run([x.feed(&[1.0f32, 2.0])]).unwrap();
        // y = x W W 1; dW = x^T (W 1)^T + (x W)^T 1^T with W 1 = (1, 1) and x W = (1.5, 1.5).
        assert_eq!(step.state().parameter("tied").unwrap().to_vec(), [0.5 - 2.5, 0.5 - 2.5, 0.5 - 3.5, 0.5 - 3.5]);
        assert_eq!(step.state().parameter("frozen").unwrap().to_vec(), [0.25; 2]);
    }
}

#[test]
fn only_named_parameters_train() {
    let mut params = Params::seeded(1);
    let (a, b) = (params.add("a", [1], Init::Constant(1.0)), params.add("b", [1], Init::Constant(1.0)));
    for device in devices() {
        let g = Graph::new();
        let loss = (g.param(&a) * g.param(&b)).sum(..);
        let mut step = g.train(loss, Sgd::new(0.5)).only(&[&b]).compile(device, &params).unwrap();
        step.run([]).unwrap();
        assert_eq!(step.state().parameter("a").unwrap().item(), 1.0);
        assert_eq!(step.state().parameter("b").unwrap().item(), 0.5);
    }
}

#[test]
fn the_learning_rate_changes_without_compiling() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let w = params.add("w", [1], Init::Constant(4.0));
        let g = Graph::new();
        let loss = g.param(&w).square().sum(..) * 0.5;
        let mut step = g.train(loss, Sgd::new(0.5)).compile(device, &params).unwrap();
        let mut after = |rate: f64| {
            step.set_learning_rate(rate).unwrap();
            step.run([]).unwrap();
            step.state().parameter("w").unwrap().item()
        };
        assert_eq!([after(0.0), after(0.5), after(0.25)], [4.0, 2.0, 1.5]);
    }
}

#[test]
fn rows_of_weight_zero_change_nothing() {
    for device in devices() {
        let run = |rows: usize, weights: &[f32]| {
            let mut params = Params::seeded(2);
            let layer = nn::Linear::new(&mut params, "layer", 5, 3);
            let g = Graph::new();
            let (x, y, w) = (g.input("x", [rows, 5]), g.labels("y", [rows]), g.input("w", [rows]));
            let loss = layer.forward(x).cross_entropy_weighted(y, w);
            let mut step = g.train(loss, Sgd::new(0.1)).compile(device, &params).unwrap();
            let (pixels, labels) = batch(&mut Generator::new(5), 8);
            step.run([x.feed(&pixels[..rows * 5]), y.feed(&labels[..rows]), w.feed(weights)]).unwrap();
            (step.read(loss).unwrap().item(), parameters(&step))
        };
        let (short, full) = (run(6, &[1.0; 6]), run(8, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]));
        assert!((short.0 - full.0).abs() < 1e-6);
        for (a, b) in short.1.iter().flatten().zip(full.1.iter().flatten()) {
            assert!((a - b).abs() < 1e-6, "{}: {a} and {b}", device.name());
        }
    }
}

#[test]
fn losses_add_up_and_l2_is_a_loss() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let w = params.add("w", [2], Init::Values(vec![1.0, -2.0]));
        let g = Graph::new();
        let w = g.param(&w);
        let loss = w.sum(..) + w.l2_penalty(0.5) + w.l1_penalty(0.25);
        let mut step = g.train(loss, Sgd::new(1.0)).compile(device, &params).unwrap();
        step.run([]).unwrap();
        // 1 + 2 * 0.5 w + 0.25 sign(w): 2.25 and -1.25.
        assert_eq!(step.state().parameter("w").unwrap().to_vec(), [1.0 - 2.25, -2.0 + 1.25]);
        assert_eq!(step.read(loss).unwrap().item(), -1.0 + 0.5 * 5.0 + 0.25 * 3.0);
    }
}

#[test]
fn a_saved_state_goes_on_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (number, device) in devices().into_iter().enumerate() {
        let file = folder.path().join(format!("{number}.safetensors"));
        let mut params = Params::seeded(11);
        let model = Mlp::new(&mut params);
        let g = Graph::new();
        let (x, y) = (g.input("x", [32, 5]), g.labels("y", [32]));
        let loss = model.forward(x, 0.25).cross_entropy(y);
        let compile = || g.train(loss, Adam::new(1e-2)).compile(device, &params).unwrap();
        let go_on = |step: &mut Step, generator: &mut Generator| {
            for _ in 0..5 {
                let (pixels, labels) = batch(generator, 32);
                step.run([x.feed(&pixels), y.feed(&labels)]).unwrap();
            }
            step.read(loss).unwrap().item().to_bits()
        };
        let mut step = compile();
        let mut generator = Generator::new(3);
        go_on(&mut step, &mut generator);
        step.save(&file).unwrap();
        let mut again = generator.clone();
        let want = go_on(&mut step, &mut generator);
        let mut restored = compile();
        restored.load(&file).unwrap();
        assert_eq!(restored.state().steps(), 5);
        assert_eq!(go_on(&mut restored, &mut again), want, "{}", device.name());

        // A damaged or foreign file is refused, and changes nothing.
        let before = parameters(&restored);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
        let error = restored.load(&file).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::File);
        let mut other = Params::seeded(0);
        other.add("up.weight", [3, 3], Init::Zeros);
        other.add("else", [1], Init::Zeros);
        let foreign = retrograd::State::new(device, &other).unwrap();
        let error = foreign.load_safetensors(&bytes).unwrap_err().to_string();
        assert!(error.contains("`up.weight` has shape [16, 5] in the file and [3, 3] in the model"), "{error}");
        assert!(error.contains("the file lacks `else`") && error.contains("the file has `down.bias`"), "{error}");
        assert_eq!(before, parameters(&restored));
    }
}

#[test]
fn parameters_go_in_and_out_as_arrays() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let w = params.add("w", [2, 3], Init::Zeros);
        params.set_value(&w, &array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]).unwrap();
        let g = Graph::new();
        let y = g.param(&w).transpose().keep();
        let mut step = g.infer(&[y]).compile(device, &params).unwrap();
        step.state().set_parameter("w", &array![[1.0f32, 2.0, 3.0], [7.0, 8.0, 9.0]]).unwrap();
        step.run([]).unwrap();
        assert_eq!(step.read(y).unwrap().to_array(), array![[1.0f32, 7.0], [2.0, 8.0], [3.0, 9.0]].into_dyn());
        let error = step.state().set_parameter("w", &array![1.0f32]).unwrap_err().to_string();
        assert!(error.contains("f32[2, 3]") && error.contains("f32[1]"), "{error}");
        assert!(step.state().parameter("v").unwrap_err().to_string().contains("Here are: w"));
    }
}

#[test]
fn reads_do_not_stall_and_see_their_own_step() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let w = params.add("w", [1], Init::Constant(1.0));
        let g = Graph::new();
        let loss = g.param(&w).sum(..);
        let mut step = g.train(loss, Sgd::new(1.0)).compile(device, &params).unwrap();
        let mut pending = Vec::new();
        for _ in 0..4 {
            step.run([]).unwrap();
            pending.push(step.read_async(loss).unwrap());
        }
        let got: Vec<f32> = pending.into_iter().map(|read| pollster::block_on(read.finish()).unwrap().item()).collect();
        assert_eq!(got, [1.0, 0.0, -1.0, -2.0], "{}", device.name());
    }
}

#[test]
fn a_destroyed_device_is_an_error() {
    let Ok(device) = Device::named("vulkan") else {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"*** NOT RUN: there is no Vulkan adapter\n");
        return;
    };
    let mut params = Params::seeded(1);
    let w = params.add("w", [1], Init::Constant(1.0));
    let g = Graph::new();
    let loss = g.param(&w).sum(..);
    let mut step = g.train(loss, Sgd::new(1.0)).compile(&device, &params).unwrap();
    step.run([]).unwrap();
    device.destroy();
    let error = step.run([]).and_then(|()| step.read(loss).map(|_| ())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceLost, "{error}");
}

#[test]
fn activations_as_values_are_the_methods() {
    use nn::Activation::{
        Elu, Gelu, GeluTanh, Hardswish, Identity, LeakyRelu, Mish, Relu, Sigmoid, Silu, Softplus, Softsign, Tanh,
    };
    let g = Graph::new();
    let x = g.input("x", [4]);
    let all = [
        Identity,
        Relu,
        LeakyRelu(0.1),
        Elu(1.0),
        Gelu,
        GeluTanh,
        Silu,
        Mish,
        Hardswish,
        Sigmoid,
        Tanh,
        Softplus,
        Softsign,
    ];
    let outputs: Vec<Tensor<'_>> = all.iter().map(|activation| activation.forward(x)).collect();
    let mut step = g.infer(&outputs).compile(&Device::cpu(), &Params::seeded(0)).unwrap();
    step.run([x.feed(&[-1.0f32, 0.0, 0.5, 2.0])]).unwrap();
    // At 2, to three digits, in the order above.
    let want = [2.0, 2.0, 2.0, 2.0, 1.954, 1.955, 1.762, 1.944, 1.667, 0.881, 0.964, 2.127, 0.667];
    for ((activation, output), want) in all.iter().zip(outputs).zip(want) {
        let got = step.read(output).unwrap().to_vec()[3];
        assert!((got - want).abs() < 6e-4, "{activation:?}: {got}");
    }
}

#[test]
fn steps_and_states_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<Step>();
    moves::<retrograd::State>();
    moves::<Device>();
    moves::<retrograd::PendingRead>();
}

#[test]
fn moments_start_with_the_parameter_not_with_the_state() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let (p, q) = (params.add("p", [1], Init::Constant(1.0)), params.add("q", [1], Init::Constant(1.0)));
        let (g, h, k) = (Graph::new(), Graph::new(), Graph::new());
        let mut first = g.train(g.param(&p).sum(..), Adam::new(0.1)).only(&[&p]).compile(device, &params).unwrap();
        for _ in 0..50 {
            first.run([]).unwrap();
        }
        // The first update by Adam is the learning rate, whatever else was trained before.
        let mut second = h.train(h.param(&q).sum(..), Adam::new(0.1)).only(&[&q]).compile_on(first.state()).unwrap();
        second.run([]).unwrap();
        let q_now = first.state().parameter("q").unwrap().item();
        assert!((q_now - 0.9).abs() < 1e-6, "{}: {q_now}", device.name());
        // One step for both cannot be right for both.
        let loss = k.param(&p).sum(..) + k.param(&q).sum(..);
        let mut both = k.train(loss, Adam::new(0.1)).compile_on(first.state()).unwrap();
        let error = both.run([]).unwrap_err().to_string();
        assert!(error.contains("`p` was updated 50 times") && error.contains("`q` 1 times"), "{error}");
        first.state().reset_optimizer().unwrap();
        both.run([]).unwrap();
        let q_now = first.state().parameter("q").unwrap().item();
        assert!((q_now - 0.8).abs() < 1e-6, "{}: {q_now}", device.name());
    }
}

/// Moments that start at zero are corrected for their start, whatever optimizer came before: the first update by Adam is
/// the learning rate.
#[test]
fn another_optimizer_starts_from_its_own_first_update() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let w = params.add("w", [1], Init::Constant(1.0));
        let (g, h) = (Graph::new(), Graph::new());
        let mut descent = g.train(g.param(&w).sum(..), Sgd::new(0.01).momentum(0.5)).compile(device, &params).unwrap();
        descent.run_many(50, []).unwrap();
        let now = || descent.state().parameter("w").unwrap().item();
        let before = now();
        let compile =
            |state: &retrograd::State| h.train(h.param(&w).sum(..), Adam::new(0.1)).compile_on(state).unwrap();
        let mut adam = compile(descent.state());
        let fresh = pollster::block_on(descent.state().to_safetensors()).unwrap();
        adam.run([]).unwrap();
        assert!((now() - (before - 0.1)).abs() < 1e-5, "{}: {} from {before}", device.name(), now());
        adam.run_many(9, []).unwrap();
        assert!((now() - (before - 1.0)).abs() < 1e-4, "{}: {} from {before}", device.name(), now());
        let bytes = pollster::block_on(descent.state().to_safetensors()).unwrap();

        // From checkpoints: one in which Adam has done nothing yet, though its moments are there, and one in the middle.
        for (bytes, done) in [(&fresh, 0.0), (&bytes, 1.0)] {
            let state = retrograd::State::new(device, &params).unwrap();
            state.load_safetensors(bytes).unwrap();
            let mut next = compile(&state);
            next.run([]).unwrap();
            let now = state.parameter("w").unwrap().item();
            assert!((now - (before - done - 0.1)).abs() < 1e-4, "{}: {now} from {before}", device.name());
        }
        // A step that has run takes a checkpoint without its states.
        let alone = retrograd::State::new(device, &params).unwrap();
        let mut plain = compile(&alone);
        plain.run_many(7, []).unwrap();
        let other = retrograd::State::new(device, &params).unwrap();
        let k = Graph::new();
        let mut descent = k.train(k.param(&w).sum(..), Sgd::new(0.01)).compile_on(&other).unwrap();
        descent.run_many(20, []).unwrap();
        alone.load_safetensors(&pollster::block_on(other.to_safetensors()).unwrap()).unwrap();
        plain.run([]).unwrap();
        let now = alone.parameter("w").unwrap().item();
        assert!((now - 0.7).abs() < 1e-5, "{}: {now}", device.name());
    }
}

/// Files that count updates once for all optimizers were written before each was counted by itself.
#[test]
fn counts_of_old_checkpoints_are_those_of_the_optimizer_in_them() {
    let mut params = Params::seeded(1);
    let w = params.add("w", [1], Init::Constant(1.0));
    let (g, device) = (Graph::new(), Device::cpu());
    let x = g.input("x", [1]);
    let loss = (x * g.param(&w)).square().sum(..);
    let compile = || g.train(loss, Adam::new(0.1)).compile(&device, &params).unwrap();
    let (mut straight, mut next) = (compile(), compile());
    straight.run_many(5, [x.feed(&[1.0f32])]).unwrap();
    let bytes = pollster::block_on(straight.state().to_safetensors()).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut metadata = safetensors::SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap();
    let all = metadata.len();
    metadata.retain(|key, _| !key.starts_with("retrograd.optimizer/"));
    assert_eq!((all, metadata["retrograd.updates/w"].as_str()), (metadata.len() + 2, "5"));
    // Nor had they what came later.
    for key in ["checksum", "format", "version", "seed"] {
        metadata.remove(&format!("retrograd.{key}")).unwrap();
    }
    next.state().load_safetensors(&safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()).unwrap();
    for step in [&mut straight, &mut next] {
        step.run_many(3, [x.feed(&[-0.5f32])]).unwrap();
    }
    assert_eq!(next.state().parameter("w").unwrap(), straight.state().parameter("w").unwrap());
}

#[test]
fn weights_alone_start_the_optimizer_anew() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let w = params.add("w", [1], Init::Constant(1.0));
        let weights_only = retrograd::State::new(device, &params).unwrap();
        let bytes = pollster::block_on(weights_only.to_safetensors()).unwrap();
        let g = Graph::new();
        let mut step = g.train(g.param(&w).sum(..), Adam::new(0.1)).compile(device, &params).unwrap();
        for _ in 0..20 {
            step.run([]).unwrap();
        }
        step.state().load_safetensors(&bytes).unwrap();
        assert_eq!(step.state().steps(), 0);
        step.run([]).unwrap();
        let now = step.state().parameter("w").unwrap().item();
        assert!((now - 0.9).abs() < 1e-6, "{}: {now}", device.name());
    }
}

#[test]
fn one_graph_serves_training_and_inference() {
    for device in devices() {
        let mut params = Params::seeded(1);
        let layer = nn::Linear::new(&mut params, "layer", 3, 2);
        let spare = params.add("spare", [1], Init::Zeros);
        let g = Graph::new();
        let (x, y) = (g.input("x", [1, 3]), g.labels("y", [1]));
        let scores = layer.forward(x);
        let loss = scores.cross_entropy(y);
        // A mistake in one attempt does not spoil the next.
        assert!(g.train(loss, Sgd::new(0.1)).compile(device, &params).unwrap_err().to_string().contains("`spare`"));
        let state = retrograd::State::new(device, &params).unwrap();
        state.set_frozen("spare", true).unwrap();
        let mut step = g.train(loss, Sgd::new(0.1)).compile_on(&state).unwrap();
        step.run([x.feed(&[1.0f32; 3]), y.feed(&[1])]).unwrap();
        // Inference asks for what its outputs need, and for no labels.
        let mut evaluation = g.infer(&[scores, g.param(&spare)]).compile_on(&state).unwrap();
        evaluation.run([x.feed(&[1.0f32; 3])]).unwrap();
        assert_eq!(evaluation.read(scores).unwrap().to_vec().len(), 2);
        assert!(evaluation.read(loss).is_err());
        // What was computed stays what it was.
        state.set_parameter("spare", &array![5.0f32]).unwrap();
        assert_eq!(evaluation.read(g.param(&spare)).unwrap().item(), 0.0, "{}", device.name());
    }
}

/// Layers whose weight gradients are products of sizes that kernels treat differently: with bias gradients that
/// ride along, long and short inner axes, rests of eight and four.
#[test]
fn layers_of_awkward_sizes_train_alike_on_every_device() {
    for (batch, sizes) in
        [(21, [24, 72, 64]), (300, [2, 64, 72]), (16, [65, 33, 8]), (9, [8, 80, 3]), (64, [40, 64, 10])]
    {
        let train = |device: &Device| {
            let mut params = Params::seeded(2);
            let layers: Vec<nn::Linear> = sizes
                .windows(2)
                .enumerate()
                .map(|(number, pair)| nn::Linear::new(&mut params, &format!("layer{number}"), pair[0], pair[1]))
                .collect();
            // A weight that is not transposed has its bias gradient in the other operand.
            let (w, b) =
                (params.add("w", [sizes[2], 64], Init::KaimingUniform(1.0)), params.add("b", [64], Init::Zeros));
            let g = Graph::new();
            let (x, y) = (g.input("x", [batch, sizes[0]]), g.labels("y", [batch]));
            let hidden = layers.iter().fold(x, |x, layer| layer.forward(x).relu());
            let loss = (hidden.matmul(g.param(&w)) + g.param(&b)).cross_entropy(y);
            let mut step = g.train(loss, Sgd::new(0.1)).compile(device, &params).unwrap();
            let rows: Vec<f32> = (0..batch * sizes[0]).map(|i| (i as f32 * 0.37).sin()).collect();
            let labels: Vec<i32> = (0..batch as i32).map(|i| i % 64).collect();
            step.run_many(3, [x.feed(&rows), y.feed(&labels)]).unwrap();
            let names = ["layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias", "w", "b"];
            names.map(|name| step.state().parameter(name).unwrap().to_vec())
        };
        let want = train(&Device::cpu());
        for device in devices() {
            for (number, (got, want)) in train(device).iter().zip(&want).enumerate() {
                let greatest = want.iter().fold(0.0f32, |greatest, w| greatest.max(w.abs()));
                let worst = got.iter().zip(want).fold(0.0f32, |worst, (g, w)| worst.max((g - w).abs()));
                assert!(worst <= 1e-5 * greatest, "{}: {sizes:?}, parameter {number}: {worst}", device.name());
            }
        }
    }
}

/// A file of another network is told in an order that never changes, and what optimizers left in it in one line.
#[test]
fn checkpoints_of_other_networks_are_told_in_order() {
    let network = |hidden: usize| {
        let mut params = Params::seeded(1);
        let (up, norm) =
            (nn::Linear::new(&mut params, "up", 3, hidden), nn::BatchNorm::new(&mut params, "norm", hidden));
        let g = Graph::new();
        let x = g.input("x", [4, 3]);
        let loss = norm.forward(up.forward(x)).square().sum(..);
        let mut step = g.train(loss, Adam::new(1e-3)).compile(&Device::cpu(), &params).unwrap();
        step.run([x.feed(&[0.3f32, 0.1, -0.2, 0.5, 0.9, -1.0, 0.0, 0.7, 0.2, -0.4, 0.6, 0.8])]).unwrap();
        step
    };
    let bytes = pollster::block_on(network(4).state().to_safetensors()).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.names().iter().all(|name| !(name.starts_with("optimizer/") && name.contains("running"))));
    let other = network(5);
    let error = other.state().load_safetensors(&bytes).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().skip(1).map(str::trim).collect();
    assert_eq!(lines.len(), 7, "{error}");
    assert!(lines[0].starts_with("`norm.bias` has shape [4] in the file and [5]"), "{error}");
    assert!(lines[5].starts_with("`up.weight`"), "{error}");
    assert!(
        lines[6].contains("optimizer states that the model lacks or has in other shapes, of `norm.bias`"),
        "{error}"
    );
    network(4).state().load_safetensors(&bytes).unwrap();
}
