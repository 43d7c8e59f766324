//! Which way gradients come, as a table and as data.

use retrograd::optim::Sgd;
use retrograd::train::Fate;
use retrograd::{Error, ErrorKind, Graph, Init, Params, Result, Tensor, nn};

/// The ops on the path of a parameter, from the loss back.
fn way(paths: &retrograd::train::GradientPaths, name: &str) -> Vec<String> {
    let Fate::Trained(path) = &paths.parameter(name).unwrap().fate else { panic!("{name} is not trained") };
    path.ops.iter().map(|&node| paths.op(node).unwrap().op.clone()).collect()
}

#[test]
fn a_perceptron_reads_from_the_loss_back_to_every_parameter() {
    let mut params = Params::seeded(1);
    let (up, down) = (nn::Linear::new(&mut params, "up", 2, 8), nn::Linear::new(&mut params, "down", 8, 3));
    let g = Graph::new();
    let (x, y) = (g.input("x", [4, 2]), g.labels("y", [4]));
    let line = line!() + 1;
    let loss = down.forward(up.forward(x).relu()).cross_entropy(y);
    let training = g.train(loss, Sgd::new(0.1));
    let before = g.recording().nodes.len();
    let paths = training.gradient_paths(&params).unwrap();
    assert_eq!(g.recording().nodes.len(), before, "looking leaves no trace");
    println!("{paths}\n{paths:#}");

    let weight = way(&paths, "up.weight");
    assert_eq!(weight.iter().filter(|op| *op == "matmul").count(), 2, "{weight:?}");
    assert!(weight.contains(&"relu".to_owned()) && weight.contains(&"cross_entropy".to_owned()), "{weight:?}");
    assert!(way(&paths, "down.bias").len() < weight.len());
    let Fate::Trained(path) = &paths.parameter("up.weight").unwrap().fate else { panic!() };
    assert_eq!((path.uses, path.paths), (1, 1.0));
    for &node in &path.ops {
        let op = paths.op(node).unwrap();
        assert!(op.location.contains(&format!("gradient_paths.rs:{line}:")), "{op:?}");
    }
    let product = path.ops.iter().map(|&node| paths.op(node).unwrap()).find(|op| op.op == "matmul").unwrap();
    assert!(product.backward.len() >= 2 && product.scope == "down", "{product:?}");
    // The numbers are those that a compiled recording has: the walk is the same.
    let plan = training.plan(&params, &retrograd::Device::cpu().profile());
    assert!(plan.is_ok() && g.recording().nodes.len() > path.gradient.index());
    assert!(g.recording().nodes[path.gradient.index()].origin.is_some());

    let text = paths.to_string();
    assert!(text.contains("up.weight    [8, 2]  trained"), "{text}");
    assert!(text.contains(&format!("gradient_paths.rs:{line}:")), "{text}");
    assert!(paths.ends.is_empty() && !text.contains("end on purpose"), "{text}");
    let json = serde_json::to_value(&paths).unwrap();
    assert_eq!(json["parameters"][0]["name"], "up.weight");
}

#[test]
fn every_fate_is_told_and_every_end_is_listed() {
    let mut params = Params::seeded(1);
    let cut = nn::Linear::new(&mut params, "cut", 3, 3);
    let flat = params.add("flat", [3], Init::Constant(0.5));
    let chosen = params.add("chosen", [4, 3], Init::KaimingNormal(1.0));
    let frozen = params.add("frozen", [3], Init::Zeros);
    params.set_frozen(&frozen, true).unwrap();
    let cell = params.add_cell("cell", [3], Init::Zeros);
    let _unused = params.add("unused", [2], Init::Zeros);
    let both = params.add("both", [3], Init::Constant(1.0));
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let (both, chosen) = (g.param(&both), g.param(&chosen));
    let classes = chosen.argmax(-1);
    // One path is cut and one is not.
    let y =
        x * both + both.detach() + cut.forward(x).detach() + g.param(&flat).sign() + g.param(&frozen) + g.param(&cell);
    let loss = y.cross_entropy(classes);
    let paths = g.train(loss, Sgd::new(0.1)).gradient_paths(&params).unwrap();
    println!("{paths}");
    let fate = |name: &str| paths.parameter(name).unwrap().fate.clone();
    assert_eq!((fate("frozen"), fate("cell")), (Fate::Frozen, Fate::Cell));
    let cuts = |name: &str| match fate(name) {
        Fate::NotReached { cuts, .. } => {
            cuts.iter().map(|&end| paths.op(paths.ends[end].node).unwrap().op.clone()).collect::<Vec<_>>()
        }
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!((cuts("cut.weight"), cuts("cut.bias")), (vec!["detach".to_owned()], vec!["detach".to_owned()]));
    assert_eq!((cuts("flat"), cuts("chosen"), cuts("unused")), (vec!["sign".into()], vec!["argmax".into()], vec![]));
    assert!(matches!(fate("both"), Fate::Trained(path) if path.uses == 1));
    let ends: Vec<&str> = paths.ends.iter().map(|end| paths.op(end.node).unwrap().op.as_str()).collect();
    assert_eq!(ends.len(), 4, "{ends:?}");
    let text = paths.to_string();
    for part in ["both f32", "detached; behind it: both", "its result is of integers; behind it: chosen", "NONE"] {
        assert!(text.contains(part) || part == "both f32", "{part}: {text}");
    }
    let names: Vec<&str> = paths.not_reached().map(|parameter| parameter.name.as_str()).collect();
    assert_eq!(names, ["cut.weight", "cut.bias", "flat", "chosen", "unused"]);

    let only = g.train(loss, Sgd::new(0.1)).only(&[&frozen]).gradient_paths(&params).unwrap();
    assert_eq!(only.parameter("both").unwrap().fate, Fate::LeftOut);
    assert!(matches!(only.parameter("frozen").unwrap().fate, Fate::Trained(_)));
}

#[test]
fn a_deep_network_stays_a_short_table() {
    let mut params = Params::seeded(1);
    let token = nn::Embedding::new(&mut params, "token", 11, 8);
    let blocks: Vec<nn::TransformerBlock> = (0..24)
        .map(|number| nn::TransformerBlock::new(&mut params, &format!("block{number}"), 8, 2).causal())
        .collect();
    let head = nn::Linear::new(&mut params, "head", 8, 11);
    let g = Graph::new();
    let (x, y) = (g.labels("x", [2, 6]), g.labels("y", [12]));
    let hidden = blocks.iter().fold(token.forward(x), |hidden, block| block.forward(hidden));
    let loss = head.forward(hidden).reshape([12, 11]).cross_entropy(y);
    let paths = g.train(loss, Sgd::new(0.1)).gradient_paths(&params).unwrap();
    let text = paths.to_string();
    println!("{text}");
    assert!(text.lines().count() < 40 && text.lines().all(|line| line.chars().count() < 320), "{text}");
    assert!(text.contains("and 23 like it") && text.contains("head.weight"), "{text}");
    assert_eq!(paths.parameters.len(), params.len());
    // Two residual connections in each block.
    let Fate::Trained(path) = &paths.parameter("token.weight").unwrap().fate else { panic!() };
    assert!(path.paths > 2f64.powi(48), "{}", path.paths);
}

#[test]
fn mistakes_are_errors_and_an_op_without_a_rule_is_listed() {
    use retrograd::base::{Real, TensorType, Value};
    use retrograd::record::{Cotangents, EvalContext, LowerContext, Lowering, Op, Pointwise, Reference, Vjp};
    #[derive(Debug)]
    struct Unruly;
    impl Op for Unruly {
        fn name(&self) -> &'static str {
            "unruly"
        }
        fn outputs(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>, String> {
            Ok(vec![inputs[0].clone()])
        }
        fn vjp<'g>(&self, _cx: &Vjp<'g>) -> Cotangents<'g> {
            Cotangents::Missing
        }
        fn lower(&self, _cx: &LowerContext<'_>) -> Lowering {
            Lowering::Pointwise(Pointwise::of_inputs("{0}", 1, &[]))
        }
    }
    impl Reference for Unruly {
        fn eval<T: Real>(&self, inputs: &[&Value<T>], _cx: &EvalContext) -> Vec<Value<T>> {
            vec![inputs[0].clone()]
        }
    }
    let mut params = Params::seeded(1);
    let weight = params.add("weight", [3], Init::Zeros);
    let g = Graph::new();
    let loss = g.record(Unruly, &[g.param(&weight)]).sum(..);
    let paths = g.train(loss, Sgd::new(0.1)).gradient_paths(&params).unwrap();
    assert!(paths.faults[0].contains("no gradient rule") && paths.to_string().contains("unruly"), "{paths}");

    let wrong = |record: &dyn for<'g> Fn(&'g Graph) -> Tensor<'g>| -> Error {
        let g = Graph::new();
        let loss = record(&g);
        g.train(loss, Sgd::new(0.1)).gradient_paths(&params).unwrap_err()
    };
    assert_eq!(wrong(&|g| g.input("x", [2]).matmul(g.input("y", [3, 3])).sum(..)).kind(), ErrorKind::Recording);
    assert_eq!(wrong(&|g| g.input("x", [2])).kind(), ErrorKind::Recording);
}
