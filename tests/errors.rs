//! Bad input gets a clear error, and nothing is lost: every text here is one that a user acts on.

use retrograd::optim::{Adam, Sgd};
use retrograd::plan::Profile;
use retrograd::{Device, Error, ErrorKind, Graph, Init, Params, Step, Tensor, nn};

/// All mistakes of a recording, from compiling it.
fn faults(g: &Graph, outputs: &[Tensor<'_>]) -> Error {
    let error = g.infer(outputs).compile(&Device::cpu(), &Params::seeded(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Recording);
    error
}

/// The reason of the only mistake of a recording.
fn reason(record: impl for<'g> FnOnce(&'g Graph) -> Tensor<'g>) -> String {
    let g = Graph::new();
    let output = record(&g);
    assert!(!output.is_valid(), "recording a mistake gives an invalid tensor");
    let error = faults(&g, &[output]);
    assert_eq!(error.faults().len(), 1, "{error}");
    format!("{}({}): {}", error.faults()[0].op, error.faults()[0].operands.join(", "), error.faults()[0].reason)
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_its_place() {
    let g = Graph::new();
    let (a, b) = (g.input("a", [4, 3]), g.input("b", [5, 2]));
    let first = a.matmul(b);
    let first_line = line!() - 1;
    let follows = (first.relu() + 1.0).sum(..);
    let second = {
        let _outer = g.scope("decoder");
        let _inner = g.scope("attention");
        a.sum(7)
    };
    let error = faults(&g, &[follows, second]);
    let text = error.to_string();
    assert_eq!(error.faults().len(), 2, "an op on an invalid tensor adds no mistake of its own: {text}");
    assert!(
        text.contains("2 mistakes") && text.contains("matmul(f32[4, 3], f32[5, 2]): the inner sizes 3 and 5 differ"),
        "{text}"
    );
    assert!(text.contains(&format!("tests/errors.rs:{first_line}:")), "{text}");
    assert!(text.contains("axis 7 is outside shape [4, 3]") && text.contains("in decoder.attention"), "{text}");
}

#[test]
fn a_mistake_inside_a_layer_is_reported_where_the_layer_is_used() {
    let mut params = Params::seeded(0);
    let layer = nn::Linear::new(&mut params, "up", 8, 4);
    let g = Graph::new();
    let y = layer.forward(g.input("x", [2, 7]));
    let used = line!() - 1;
    let error = g.infer(&[y]).compile(&Device::cpu(), &params).unwrap_err();
    assert_eq!(error.faults()[0].location.rsplit(':').nth(1), Some(used.to_string().as_str()), "{error}");
    assert_eq!(error.faults()[0].scope, "up");
    // The names of layers within layers are not put together twice.
    let block = nn::TransformerBlock::new(&mut params, "block", 6, 2).rotary(8, 1e4);
    let g = Graph::new();
    let y = block.forward(g.input("x", [2, 5, 6]));
    let error = g.infer(&[y]).compile(&Device::cpu(), &params).unwrap_err();
    assert_eq!(error.faults()[0].scope, "block.attention");
}

#[test]
fn shapes_types_and_axes() {
    let text = reason(|g| g.input("a", [4, 3]) + g.input("b", [5]));
    assert_eq!(
        text,
        "add(f32[4, 3], f32[5]): shapes [4, 3] and [5] do not broadcast: aligned at the last axis, extents must be equal or 1"
    );
    let text = reason(|g| g.labels("a", [4]).exp());
    assert_eq!(text, "exp(i32[4]): it works on f32 and got i32: convert with `to_f32()`");
    let text = reason(|g| g.input("a", [4]).cross_entropy(g.labels("t", [4])));
    assert!(text.contains("scores [4] need labels of shape []"), "{text}");
    let text = reason(|g| g.input("a", [4, 3]).cross_entropy(g.input("t", [4])));
    assert!(text.contains("labels are i32 and these are f32: record them with `Graph::labels`"), "{text}");
    let text = reason(|g| g.input("a", [4]).matmul(g.input("b", [4, 2])));
    assert!(text.contains("give a vector a second axis with `unsqueeze`"), "{text}");
    let text = reason(|g| g.input("a", [4, 3]).reshape([5, 2]));
    assert!(text.contains("[4, 3] has 12 elements and [5, 2] has 10"), "{text}");
    let text = reason(|g| g.input("a", [4, 3]).permute([0, 0]));
    assert!(text.contains("does not name every axis once"), "{text}");
    let text = reason(|g| g.input("a", [4]).slice(0, 2..6));
    assert!(text.contains("range 2..6 with step 1") && text.contains("extent 4 of axis 0"), "{text}");
    let text = reason(|g| g.input("a", [4]).where_cond(g.input("b", [4]), g.input("c", [4])));
    assert!(text.contains("the condition must be a mask"), "{text}");
    let text = reason(|g| g.input("a", [4]).dropout(1.0));
    assert!(text.contains("the rate must be at least 0 and below 1, and is 1"), "{text}");
    let text = reason(|g| g.input("a", [4]) / 0.0);
    assert!(text.contains("must be finite in single precision"), "{text}");
}

#[test]
fn sizes_of_zero_and_overflow() {
    assert!(reason(|g| g.input("a", [3, 0])).contains("f32[3, 0] has no elements"));
    assert!(reason(|g| g.input("a", [1 << 40, 1 << 40])).contains("more elements than a shader can index"));
    assert!(
        reason(|g| g.scalar(1.0).broadcast_to([1 << 20, 1 << 20])).contains("more elements than a shader can index")
    );
    let mut params = Params::seeded(0);
    params.add("w", [0], Init::Zeros);
    assert!(retrograd::State::new(&Device::cpu(), &params).unwrap_err().to_string().contains("parameter `w`"));
}

#[test]
fn one_element_is_enough_for_everything() {
    let mut params = Params::seeded(0);
    let layer = nn::Linear::new(&mut params, "one", 1, 1);
    let g = Graph::new();
    let (x, t) = (g.input("x", [1, 1]), g.input("t", [1, 1]));
    let loss = layer.forward(x).mse_loss(t);
    let mut step = g.train(loss, Adam::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    for _ in 0..300 {
        step.run([x.feed(&[2.0f32]), t.feed(&[5.0f32])]).unwrap();
    }
    assert!(step.read(loss).unwrap().item() < 1e-4);
}

#[test]
fn names_and_graphs_are_not_mixed_up() {
    let (g, h) = (Graph::new(), Graph::new());
    let (a, b) = (g.input("a", [2]), h.input("b", [2]));
    assert!(!(a + b).is_valid());
    assert!(faults(&g, &[]).to_string().contains("belongs to another graph"));
    assert!(
        reason(|g| {
            let _first = g.input("x", [1]);
            g.input("x", [1])
        })
        .contains("an input named `x` was recorded before")
    );
    let mut params = Params::seeded(0);
    params.add("w", [1], Init::Zeros);
    params.add("w", [1], Init::Zeros);
    assert!(
        retrograd::State::new(&Device::cpu(), &params)
            .unwrap_err()
            .to_string()
            .contains("a parameter of this name was added before")
    );
    let (mut one, two) = (Params::seeded(0), Params::seeded(0));
    let w = one.add("w", [1], Init::Zeros);
    let g = Graph::new();
    let error = g.infer(&[g.param(&w).exp()]).compile(&Device::cpu(), &two).unwrap_err();
    assert!(error.to_string().contains("parameter `w`") && error.to_string().contains("another `Params`"), "{error}");
}

#[test]
fn every_trained_parameter_is_reached_or_named() {
    let mut params = Params::seeded(0);
    let (used, cut, unused) = (
        params.add("used", [2], Init::Zeros),
        params.add("cut", [2], Init::Zeros),
        params.add("unused", [2], Init::Zeros),
    );
    let g = Graph::new();
    let loss = (g.param(&used) * g.param(&cut).detach()).sum(..);
    let error = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap_err().to_string();
    assert!(
        error.contains("no gradient of the loss reaches parameter `cut` (paths of gradients end at: detach"),
        "{error}"
    );
    assert!(error.contains("parameter `unused` f32[2] does not occur in the recording"), "{error}");
    assert!(error.contains("`Training::only`") && !error.contains("parameter `used`"), "{error}");
    let mut ok = params;
    ok.set_frozen(&cut, true).unwrap();
    ok.set_frozen(&unused, true).unwrap();
    let h = Graph::new();
    let loss = (h.param(&used) * h.param(&cut).detach()).sum(..);
    assert!(h.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &ok).is_ok());
}

#[test]
fn an_op_without_a_gradient_rule_is_named() {
    use retrograd::base::{Real, TensorType, Value};
    use retrograd::record::{Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};
    #[derive(Debug)]
    struct Floor;
    impl Op for Floor {
        fn name(&self) -> &'static str {
            "floor"
        }
        fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
            Ok(vec![inputs[0].clone()])
        }
        fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
            Cotangents::Missing
        }
        fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
            Lowering::Pointwise(Pointwise::of_inputs("floor({0})", 1, &[]))
        }
    }
    impl Reference for Floor {
        fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
            vec![Value::Real(inputs[0].real().mapv(num_traits::float::Float::floor))]
        }
    }
    let mut params = Params::seeded(0);
    let w = params.add("w", [2], Init::Constant(1.5));
    let g = Graph::new();
    let loss = g.record(Floor, &[g.param(&w)]).sum(..);
    let place = line!() - 1;
    let error = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap_err();
    let fault = &error.faults()[0];
    assert!(fault.op == "floor" && fault.reason.contains("no gradient rule"), "{error}");
    assert!(fault.location.contains(&format!("tests/errors.rs:{place}:")), "{error}");
}

#[test]
fn losses_have_one_element_and_optimizers_sane_settings() {
    let mut params = Params::seeded(0);
    let w = params.add("w", [2], Init::Zeros);
    let g = Graph::new();
    let error = g.train(g.param(&w), Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap_err().to_string();
    assert!(error.contains("the loss must be one float: take the `sum(..)` or `mean(..)`"), "{error}");
    let h = Graph::new();
    let loss = h.param(&w).sum(..);
    let error = h.train(loss, Sgd::new(0.1).momentum(1.5)).compile(&Device::cpu(), &params).unwrap_err().to_string();
    assert_eq!(error, "sgd: momentum is 1.5 and must be at least 0 and below 1");
    let error = h.train(loss, Adam::new(0.1).epsilon(0.0)).compile(&Device::cpu(), &params).unwrap_err().to_string();
    assert_eq!(error, "adam: epsilon is 0 and must be positive in single precision");
}

/// A small classifier whose feeds are checked.
fn classifier<'g>(g: &'g Graph, params: &mut Params) -> (Tensor<'g>, Tensor<'g>, Tensor<'g>, Step) {
    let layer = nn::Linear::new(params, "layer", 3, 4);
    let (x, y) = (g.input("x", [2, 3]), g.labels("y", [2]));
    let scores = layer.forward(x);
    let loss = scores.cross_entropy(y);
    let step = g.train(loss, Sgd::new(0.1)).check_feeds().compile(&Device::cpu(), params).unwrap();
    (x, y, scores, step)
}

#[test]
fn wrong_feeds_are_refused_before_anything_runs() {
    let (g, mut params) = (Graph::new(), Params::seeded(0));
    let (x, y, scores, mut step) = classifier(&g, &mut params);
    let good = [0.5f32; 6];
    let before = step.state().parameter("layer.weight").unwrap();
    let mut refuse = |feeds: &[retrograd::Feed<'_>]| {
        let error = step.run(feeds).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Feed);
        error.to_string()
    };
    assert_eq!(refuse(&[x.feed(&good)]), "not all inputs were fed: y missing");
    assert!(
        refuse(&[x.feed(&good[..5]), y.feed(&[0, 1])])
            .contains("input `x` f32[2, 3]: it takes 6 elements and was fed 5")
    );
    assert!(refuse(&[x.feed(&[1i32; 6]), y.feed(&[0, 1])]).contains("it was fed i32 elements"));
    let turned = ndarray::Array2::<f32>::zeros((3, 2));
    assert!(refuse(&[x.feed(&turned), y.feed(&[0, 1])]).contains("it was fed an array of shape [3, 2]"));
    assert_eq!(
        refuse(&[x.feed(&good), y.feed(&[0, 4])]),
        "input `y` i32[2]: element 1 is 4, and it selects among 0 to 3"
    );
    assert!(refuse(&[x.feed(&good), y.feed(&[-1, 0])]).contains("element 0 is -1"));
    assert_eq!(
        refuse(&[x.feed(&good), x.feed(&good), y.feed(&[0, 1])]),
        "input `x` is fed twice: feed each input once"
    );
    assert!(refuse(&[scores.feed(&[0.0f32; 8])]).contains("it cannot be fed"));
    let h = Graph::new();
    assert!(refuse(&[h.input("x", [2, 3]).feed(&good)]).contains("belongs to another graph"));
    let mut bad = good;
    bad[4] = f32::NAN;
    assert_eq!(
        refuse(&[x.feed(&bad), y.feed(&[0, 1])]),
        "input `x` f32[2, 3]: element 4 is NaN, and `check_feeds` lets only finite numbers pass: look at where the data come from"
    );
    assert_eq!(step.state().parameter("layer.weight").unwrap(), before);
    assert_eq!(step.state().steps(), 0);
    step.run([x.feed(&good), y.feed(&[0, 3])]).unwrap();
}

#[test]
fn only_kept_tensors_can_be_read() {
    let (g, mut params) = (Graph::new(), Params::seeded(0));
    let (x, y, scores, mut step) = classifier(&g, &mut params);
    step.run([x.feed(&[0.5f32; 6]), y.feed(&[0, 1])]).unwrap();
    let error = step.read(scores).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotKept);
    assert!(error.to_string().contains("is not kept") && error.to_string().contains("`keep()`"), "{error}");
}

#[test]
fn labels_that_are_computed_are_checked_by_the_step() {
    let g = Graph::new();
    let (x, other) = (g.input("x", [1, 3]), g.input("other", [1, 5]));
    // The argmax may lie outside the three classes.
    let loss = x.cross_entropy(other.argmax(-1));
    for name in ["cpu", "vulkan", "gl"] {
        let Ok(device) = Device::named(name) else {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("*** NOT RUN on {name}\n").as_bytes());
            continue;
        };
        let mut step = g.infer(&[loss]).compile(&device, &Params::seeded(0)).unwrap();
        step.run([x.feed(&[1.0f32, 2.0, 3.0]), other.feed(&[0.0f32, 0.0, 0.0, 0.0, 1.0])]).unwrap();
        let error = step.read(loss).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index, "{name}: {error}");
        assert!(error.to_string().contains("position 0 (in row-major order) lies outside of 0 .. 3"), "{error}");
        step.run([x.feed(&[1.0f32, 2.0, 3.0]), other.feed(&[0.0f32, 0.0, 1.0, 0.0, 0.0])]).unwrap();
        assert!((step.read(loss).unwrap().item() - 0.407_606).abs() < 1e-5, "{name}");
    }
}

#[test]
fn an_unknown_device_lists_those_that_there_are() {
    let error = Device::named("abacus").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Device);
    let text = error.to_string();
    assert!(
        text.contains("there is no device `abacus`. Here are: CPU (cpu)") && text.contains("vulkan, metal, dx12, gl"),
        "{text}"
    );
}

#[test]
fn what_exceeds_a_binding_is_named_when_planning() {
    let small = Profile { binding_bytes: 1 << 20, name: "a small device".into(), ..Profile::webgpu_default() };
    let mut params = Params::seeded(0);
    let layer = nn::Linear::new(&mut params, "layer", 8, 1000);
    let g = Graph::new();
    let x = g.input("x", [512, 8]);
    let hidden = layer.forward(x).keep();
    let place = line!() - 1;
    let loss = hidden.square().mean(..);
    let error = g.train(loss, Sgd::new(0.1)).without_fusion().plan(&params, &small).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let text = error.to_string();
    assert!(text.contains("add f32[512, 1000]") && text.contains(&format!("tests/errors.rs:{place}:")), "{text}");
    assert!(text.contains("takes 2048000 bytes and a small device binds at most 1048576"), "{text}");
    let mut wide = Params::seeded(0);
    wide.add("w", [1 << 27], Init::Zeros);
    let h = Graph::new();
    let error = h.train(h.input("x", [1]).sum(..), Sgd::new(0.1)).plan(&wide, &small).unwrap_err().to_string();
    assert!(
        error.contains(
            "parameter `w` f32[134217728] takes 536870912 bytes and a buffer of a small device at most 268435456"
        ),
        "{error}"
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (g, mut params) = (Graph::new(), Params::seeded(0));
    let (_, _, _, mut step) = classifier(&g, &mut params);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.safetensors");
    let error = step.load(&missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::File);
    assert!(error.to_string().contains("missing.safetensors could not be read"), "{error}");
    let garbage = folder.path().join("garbage.safetensors");
    std::fs::write(&garbage, b"not a tensor in sight").unwrap();
    assert!(step.load(&garbage).unwrap_err().to_string().contains("no valid safetensors file"));
    let error = step.save(folder.path().join("no/such/folder/x.safetensors")).unwrap_err();
    assert!(error.to_string().contains("could not be written"), "{error}");
}

#[test]
fn what_to_train_is_checked() {
    let (mut params, mut others) = (Params::seeded(0), Params::seeded(0));
    let (w, foreign) = (params.add("w", [1], Init::Zeros), others.add("w", [1], Init::Zeros));
    let g = Graph::new();
    let loss = g.param(&w).sum(..);
    let none = g.train(loss, Sgd::new(0.1)).only(&[]).compile(&Device::cpu(), &params).unwrap_err().to_string();
    assert!(none.contains("names no parameter"), "{none}");
    let other =
        g.train(loss, Sgd::new(0.1)).only(&[&foreign]).compile(&Device::cpu(), &params).unwrap_err().to_string();
    assert!(other.contains("belongs to another `Params`"), "{other}");
    assert!(g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).is_ok());
    others.add("optimizer/adam.mean/w", [1], Init::Zeros);
    assert!(
        retrograd::State::new(&Device::cpu(), &others).unwrap_err().to_string().contains("kept for optimizer states")
    );
}

#[test]
fn rows_that_no_kernel_takes_are_refused() {
    assert!(reason(|g| g.input("x", [1, 5_000_000]).softmax(-1)).contains("rows have 5000000 elements"));
}

#[test]
fn errors_print_the_same_from_main() {
    let g = Graph::new();
    let error = faults(&g, &[g.input("a", [4, 3]).matmul(g.input("b", [5, 2]))]);
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn training_faults_name_the_line_of_the_training() {
    let mut params = Params::seeded(0);
    let (used, _unused) = (params.add("used", [2], Init::Zeros), params.add("unused", [2], Init::Zeros));
    let g = Graph::new();
    let loss = g.param(&used).sum(..);
    let training = g.train(loss, Sgd::new(0.1));
    let place = line!() - 1;
    let error = training.compile(&Device::cpu(), &params).unwrap_err();
    assert!(error.faults()[0].location.contains(&format!("tests/errors.rs:{place}:")), "{error}");
    // The line of the layer, for its bias as well.
    let mut twice = Params::seeded(0);
    let _first = nn::Linear::new(&mut twice, "layer", 2, 2);
    let _second = nn::Linear::new(&mut twice, "layer", 2, 2);
    let place = line!() - 1;
    let error = retrograd::State::new(&Device::cpu(), &twice).unwrap_err();
    assert_eq!(error.faults().len(), 2);
    assert!(
        error.faults().iter().all(|fault| fault.location.contains(&format!("tests/errors.rs:{place}:"))),
        "{error}"
    );
    // Parameters of another store are the cause of all else.
    let error = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &Params::seeded(0)).unwrap_err();
    assert_eq!(error.faults().len(), 1, "{error}");
}

#[test]
fn losses_do_not_stretch() {
    let text = reason(|g| g.input("x", [4, 1]).mse_loss(g.input("t", [4])));
    assert!(text.contains("the target has shape [4] and the prediction [4, 1]: losses do not stretch"), "{text}");
    let text = reason(|g| g.input("x", [4, 2]).cross_entropy_weighted(g.labels("y", [4]), g.input("w", [1])));
    assert!(text.contains("every label needs a weight"), "{text}");
}

#[test]
fn learning_rates_are_numbers() {
    let mut params = Params::seeded(0);
    let w = params.add("w", [1], Init::Zeros);
    let g = Graph::new();
    let loss = g.param(&w).sum(..);
    for rate in [f64::NAN, f64::INFINITY, -0.1] {
        let error = g.train(loss, Sgd::new(rate)).compile(&Device::cpu(), &params).unwrap_err().to_string();
        assert!(error.contains("sgd: learning rate is") && error.contains("finite and at least 0"), "{error}");
    }
    assert!(g.train(loss, Adam::new(0.1).weight_decay(-1.0)).compile(&Device::cpu(), &params).is_err());
    let mut step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    assert!(step.set_learning_rate(f64::NAN).is_err());
    assert_eq!(step.learning_rate(), Some(0.1));
}

/// A parameter that was refused is told once, however often it is used, and nothing is told that follows from it.
#[test]
fn refused_parameters_are_told_once_and_alone() {
    let mut params = Params::seeded(1);
    let first = nn::Conv2d::new(&mut params, "c", 1, 4, [3, 3]);
    let second = nn::Conv2d::new(&mut params, "c", 4, 4, [3, 3]);
    let empty = nn::Linear::without_bias(&mut params, "empty", 0, 2);
    let last = nn::Linear::new(&mut params, "last", 2, 3);
    let g = Graph::new();
    let x = g.input("x", [2, 1, 9, 9]);
    let y = second.forward(second.forward(first.forward(x))).sum(..) + empty.forward(g.input("z", [2, 2])).sum(..);
    let loss = y + last.forward(g.input("w", [1, 2])).sum(..);
    let error = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap_err();
    let told: Vec<&str> = error.faults().iter().map(|fault| fault.op.as_str()).collect();
    let mut sorted = told.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["parameter `c.bias`", "parameter `c.weight`", "parameter `empty.weight`"], "{error}");
    assert!(error.to_string().contains("every extent must be at least 1"), "{error}");
    assert!(params.value(empty.weight()).unwrap_err().to_string().contains("empty.weight"));
}
