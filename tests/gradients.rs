//! Gradients beyond single ops: of gradients, of whole networks, with respect to any tensor.

mod common;

use common::{device, distance, on_device, on_reference};
use retrograd::record::{CaseInput, Draw, NodeId};
use retrograd::reference::check_gradient;
use retrograd::{Device, Generator, Graph, HostTensor, Params, Tensor};
use std::collections::BTreeMap;

fn devices() -> Vec<&'static Device> {
    ["cpu", "vulkan", "gl"].into_iter().filter_map(device).collect()
}

type Feeds<'g> = Vec<(Tensor<'g>, HostTensor)>;

fn leaves(feeds: &Feeds<'_>) -> BTreeMap<NodeId, HostTensor> {
    feeds.iter().map(|(input, data)| (input.id().node, data.clone())).collect()
}

/// Checks recorded gradients of a loss against central differences, and every engine against the reference.
fn check(g: &Graph, loss: Tensor<'_>, pairs: &[(Tensor<'_>, Tensor<'_>)], feeds: &Feeds<'_>) {
    let leaves = leaves(feeds);
    let gradients: Vec<_> = pairs.iter().map(|(leaf, gradient)| (leaf.id().node, gradient.id())).collect();
    let check = check_gradient(&g.recording(), loss.id(), &gradients, &leaves, 4, &mut Generator::new(9)).unwrap();
    assert!(check.is_meaningful() && check.error < 1e-6, "{check:?}");
    let wanted: Vec<Tensor<'_>> = pairs.iter().map(|(_, gradient)| *gradient).chain([loss]).collect();
    let want = on_reference(g, &wanted, &leaves, [0, 0]);
    for device in devices() {
        for (got, want) in on_device(device, g, &wanted, feeds).iter().zip(&want) {
            let distance = distance(got, want, 5e-5, 5e-6);
            assert!(distance.excess <= 1.0, "{}: {distance:?}", device.name());
        }
    }
}

/// Draws a Hessian-vector product of `loss(x)` and checks it as the gradient of <gradient, v>.
fn hessian_vector(shape: &[usize], draw: Draw, loss: impl for<'g> Fn(Tensor<'g>, &mut Feeds<'g>) -> Tensor<'g>) {
    let g = Graph::new();
    let mut generator = Generator::new(4);
    let (x, v) = (g.input("x", shape), g.input("v", shape));
    let mut feeds = vec![
        (x, CaseInput::new(shape, draw).draw(&mut generator)),
        (v, CaseInput::uniform(shape, -1.0, 1.0).draw(&mut generator)),
    ];
    let loss = loss(x, &mut feeds);
    let directional = (g.gradient(loss, x) * v).sum(..);
    let product = g.gradient(directional, x);
    check(&g, directional, &[(x, product)], &feeds);
}

const AROUND_ZERO: Draw = Draw::Uniform { low: -1.5, high: 1.5 };

#[test]
fn hessian_vector_product_of_a_polynomial_is_exact() {
    let g = Graph::new();
    let (x, v) = (g.input("x", [3]), g.input("v", [3]));
    // sum(x)^3: the Hessian is 6 sum(x) everywhere.
    let total = x.sum(..);
    let loss = total * total * total;
    let product = g.gradient((g.gradient(loss, x) * v).sum(..), x);
    let feeds =
        vec![(x, (&ndarray::array![1.0f32, 2.0, 3.0]).into()), (v, (&ndarray::array![1.0f32, 0.0, -0.5]).into())];
    assert_eq!(on_reference(&g, &[product], &leaves(&feeds), [0, 0])[0], [18.0; 3]);
    for device in devices() {
        assert_eq!(on_device(device, &g, &[product], &feeds)[0], [18.0; 3]);
    }
}

#[test]
fn hessian_vector_product_through_fused_softmax() {
    hessian_vector(&[3, 5], AROUND_ZERO, |x, _| x.softmax(-1).square().sum(..));
}

#[test]
fn hessian_vector_product_through_fused_log_softmax() {
    hessian_vector(&[3, 5], AROUND_ZERO, |x, _| x.log_softmax(-1).square().sum(..));
}

#[test]
fn hessian_vector_product_through_fused_cross_entropy() {
    hessian_vector(&[4, 6], AROUND_ZERO, |x, feeds| {
        let labels = x.graph().labels("labels", [4]);
        feeds.push((labels, CaseInput::new([4], Draw::Labels { below: 6 }).draw(&mut Generator::new(1))));
        x.cross_entropy_smooth(labels, 0.1)
    });
}

#[test]
fn hessian_vector_product_through_fused_cross_entropy_of_probabilities() {
    hessian_vector(&[4, 6], AROUND_ZERO, |x, feeds| {
        let targets = x.graph().input("targets", [4, 6]);
        feeds.push((targets, CaseInput::new([4, 6], Draw::Probabilities).draw(&mut Generator::new(1))));
        x.cross_entropy_probabilities(targets)
    });
}

#[test]
fn hessian_vector_products_through_activations_and_their_derivatives() {
    let activations: [for<'g> fn(Tensor<'g>) -> Tensor<'g>; 9] = [
        |x| x.tanh(),
        |x| x.sigmoid(),
        |x| x.gelu_erf(),
        |x| x.gelu_tanh(),
        |x| x.silu(),
        |x| x.mish(),
        |x| x.softplus(),
        |x| x.erf(),
        |x| x.elu(1.0),
    ];
    for activation in activations {
        hessian_vector(&[2, 7], Draw::Avoiding { low: -2.0, high: 2.0, points: &[0.0], margin: 0.05 }, |x, _| {
            activation(x).square().sum(..)
        });
    }
}

#[test]
fn hessian_vector_product_through_matmul_and_reductions() {
    hessian_vector(&[4, 4], AROUND_ZERO, |x, _| (x.matmul(x.transpose()).logsumexp(-1) * x.var(0, 0)).sum(..));
}

#[test]
fn whole_network_gradients_agree_on_every_engine() {
    let g = Graph::new();
    let mut generator = Generator::new(8);
    let shapes: [&[usize]; 6] = [&[6, 7], &[12, 7], &[12], &[5, 12], &[5], &[6, 1]];
    let mut feeds: Feeds<'_> = Vec::new();
    for (number, shape) in shapes.into_iter().enumerate() {
        let input = g.input(&format!("in{number}"), shape);
        feeds.push((input, CaseInput::uniform(shape, -0.8, 0.8).draw(&mut generator)));
    }
    let labels = g.labels("labels", [6]);
    let [x, w1, b1, w2, b2, scale] = [0, 1, 2, 3, 4, 5].map(|number: usize| feeds[number].0);
    feeds.push((labels, CaseInput::new([6], Draw::Labels { below: 5 }).draw(&mut generator)));
    let hidden = (x.matmul(w1.transpose()) + b1).gelu_erf();
    let normal = (hidden - hidden.mean_keep(-1)) * (hidden.var([-1], 0) + 1e-3).rsqrt().unsqueeze(-1);
    let both = g.concat(&[normal, hidden * scale.sigmoid()], 0).reshape([2, 6, 12]).amax(0);
    let scores = both.matmul(w2.transpose()) + b2;
    let loss = scores.cross_entropy(labels) + 0.01 * w1.square().sum(..) + scores.softmax(0).log().mean(..) * -0.1;
    let of = [x, w1, b1, w2, b2, scale];
    let pairs: Vec<_> = of.into_iter().zip(g.gradients(loss, &of)).collect();
    check(&g, loss, &pairs, &feeds);
}

#[test]
fn gradients_of_intermediate_tensors_can_be_asked_for() {
    let g = Graph::new();
    let x = g.input("x", [3]);
    let squared = x.square();
    let loss = (squared * squared).sum(..);
    let [to_squared, to_x] = g.gradients(loss, &[squared, x])[..] else { panic!("two were asked for") };
    let feeds = vec![(x, (&ndarray::array![1.0f32, -2.0, 3.0]).into())];
    for device in devices() {
        let got = on_device(device, &g, &[to_squared, to_x], &feeds);
        assert_eq!(got, [vec![2.0, 8.0, 18.0], vec![4.0, -32.0, 108.0]]);
    }
}

#[test]
fn an_infinite_gradient_of_what_was_not_chosen_does_not_come_through() {
    for device in devices() {
        let g = Graph::new();
        let x = g.input("x", [2]);
        let zero = g.scalar(0.0);
        // The derivative of sqrt is infinite at 0, where relu, clamp and maximum put -1.
        let losses =
            [x.relu(), x.clamp(0.0, 9.0), x.maximum(zero), (-x).minimum(zero) * -1.0].map(|y| y.sqrt().sum(..));
        let gradients: Vec<Tensor<'_>> = losses.iter().map(|&loss| g.gradient(loss, x)).collect();
        let feeds = vec![(x, (&ndarray::array![-1.0f32, 4.0]).into())];
        for got in on_device(device, &g, &gradients, &feeds) {
            assert_eq!(got, [0.0, 0.25], "{}", device.name());
        }
    }
}

#[test]
fn masked_scores_leave_the_loss_finite() {
    for device in devices() {
        let g = Graph::new();
        let (x, y) = (g.input("x", [2, 3]), g.labels("y", [2]));
        let loss = x.cross_entropy_rows(y, 0.0);
        let scores = ndarray::array![[0.0f32, f32::NEG_INFINITY, f32::NEG_INFINITY], [5.0, f32::MIN, f32::MIN]];
        let feeds = vec![(x, (&scores).into()), (y, (&ndarray::array![0i32, 0]).into())];
        assert_eq!(on_device(device, &g, &[loss], &feeds)[0], [0.0, 0.0], "{}", device.name());
    }
}

#[test]
fn a_composition_of_one_tensor_with_itself_is_counted_once() {
    use retrograd::base::{Real, TensorType, Value};
    use retrograd::record::{Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};
    #[derive(Debug)]
    struct Product;
    impl Op for Product {
        fn name(&self) -> &'static str {
            "product"
        }
        fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
            Ok(vec![inputs[0].clone()])
        }
        fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
            Cotangents::Composition
        }
        fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
            Lowering::Pointwise(Pointwise::of_inputs("({0} * {1})", 2, &[]))
        }
        fn composition<'g>(&self, inputs: &[Tensor<'g>]) -> Option<Vec<Tensor<'g>>> {
            Some(vec![inputs[0] * inputs[1]])
        }
    }
    impl Reference for Product {
        fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
            vec![Value::Real(inputs[0].real() * inputs[1].real())]
        }
    }
    let g = Graph::new();
    let x = g.input("x", [2]);
    // x x, and x y with y = 3 x: partial derivatives, though one input depends on the other.
    let loss = g.record(Product, &[x, x]).sum(..) + g.record(Product, &[x, x * 3.0]).sum(..);
    let feeds = vec![(x, (&ndarray::array![1.0f32, -2.0]).into())];
    assert_eq!(on_device(&Device::cpu(), &g, &[g.gradient(loss, x)], &feeds)[0], [8.0, -16.0]);
}

#[test]
fn powers_and_sums_of_exponentials_at_their_edges() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let bases = [inf, 0.0, 1.0, nan, -1.0, -0.0, 0.0, -2.0, -2.0, -8.0, 2.0];
    let powers = [0.0, nan, inf, 0.0, 1e6, -1.0, -2.0, 3.0, 0.5, inf, -inf];
    let want = [1.0, f64::NAN, 1.0, 1.0, 1.0, f64::NEG_INFINITY, f64::INFINITY, -8.0, f64::NAN, f64::INFINITY, 0.0];
    for device in devices() {
        let g = Graph::new();
        let (a, b, rows) = (g.input("a", [11]), g.input("b", [11]), g.input("rows", [3, 2]));
        let sums = rows.logsumexp(1);
        let infinite = ndarray::array![[-inf, -inf], [inf, 0.0], [0.0, 0.0]];
        let feeds = vec![
            (a, (&ndarray::Array1::from(bases.to_vec())).into()),
            (b, (&ndarray::Array1::from(powers.to_vec())).into()),
            (rows, (&infinite).into()),
        ];
        let got = on_device(device, &g, &[a.pow(b), sums], &feeds);
        for ((got, want), place) in got[0].iter().zip(want).zip(0..) {
            let same = (got.is_nan() && want.is_nan()) || (got - want).abs() <= 1e-5 * want.abs() || *got == want;
            assert!(same, "{}: {}^{} = {got}, want {want}", device.name(), bases[place], powers[place]);
        }
        assert_eq!(got[1][..2], [f64::NEG_INFINITY, f64::INFINITY], "{}", device.name());
        assert!((got[1][2] - 2f64.ln()).abs() < 1e-6);
    }
}

/// What a recurrent network takes of its input step by step comes back by joining, not as a sum of as many tensors of the
/// whole size.
#[test]
fn gradients_of_parts_side_by_side_are_joined() {
    let g = Graph::new();
    let x = g.input("x", [3, 20]);
    let steps = (0..20).map(|step| x.slice(1, step..step + 1).sin().sum(..));
    let loss = steps.reduce(|a, b| a + b).unwrap();
    let gradient = g.gradient(loss, x);
    let recording = g.recording();
    let count = |name: &str| recording.nodes.iter().filter(|node| node.name() == name).count();
    // Kernels take seven tensors at a time.
    assert_eq!((count("pad"), count("concat")), (0, 4));
    let mut step = g.infer(&[gradient]).compile(&Device::cpu(), &Params::seeded(1)).unwrap();
    let data: Vec<f32> = (0..60).map(|place| place as f32 * 0.1).collect();
    step.run([x.feed(&data)]).unwrap();
    for (got, x) in step.read(gradient).unwrap().to_vec().into_iter().zip(data) {
        assert!((got - x.cos()).abs() < 1e-6, "{got} {}", x.cos());
    }
}
