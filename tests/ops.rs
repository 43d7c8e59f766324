//! Every case of every op: its gradient against central differences in float64, its value and
//! gradient on every device against the float64 reference, and fused ops against their composition.

mod common;

use common::{Distance, device, distance, on_device, on_reference};
use libtest_mimic::{Arguments, Failed, Trial};
use retrograd::ops::OPS;
use retrograd::record::{Case, NodeId, NodeKind, TensorId};
use retrograd::reference::check_gradient;
use retrograd::{DType, Generator, Graph, HostTensor, Tensor};
use std::collections::BTreeMap;

fn main() {
    let mut trials = Vec::new();
    for op in OPS {
        trials.push(Trial::test(format!("gradient_{}", op.name), move || sweep(op.cases, gradient)));
        trials.push(Trial::test(format!("composition_{}", op.name), move || sweep(op.cases, composition)));
        for name in ["cpu", "vulkan", "gl"] {
            let run = move || match device(name) {
                Some(_) => sweep(op.cases, |case, generator| on(name, case, generator)),
                None => Ok(()),
            };
            let missing = name != "cpu" && device(name).is_none();
            trials.push(Trial::test(format!("{name}_{}", op.name), run).with_ignored_flag(missing));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Checks all cases with fresh random inputs; the seed is part of every message.
fn sweep(cases: fn() -> Vec<Case>, check: impl Fn(&Case, &mut Generator) -> Result<(), String>) -> Result<(), Failed> {
    let seed = std::env::var("RETROGRAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |time| time.subsec_nanos().into())
    });
    for case in cases() {
        check(&case, &mut Generator::named(seed, &case.name))
            .map_err(|reason| format!("case `{}`, RETROGRAD_TEST_SEED={seed}: {reason}", case.name))?;
    }
    Ok(())
}

/// A recorded case: inputs, output, an upstream gradient, and the gradients of the float inputs.
struct Recorded<'g> {
    inputs: Vec<Tensor<'g>>,
    output: Tensor<'g>,
    upstream: Option<Tensor<'g>>,
    gradients: Vec<(Tensor<'g>, Tensor<'g>)>,
}

fn record<'g>(case: &Case, g: &'g Graph) -> Recorded<'g> {
    let inputs = case.record_inputs(g);
    let output = case.build(&inputs);
    let mut recorded = Recorded { inputs, output, upstream: None, gradients: Vec::new() };
    if case.differentiable && output.is_valid() {
        let upstream = g.input("upstream", output.shape());
        let floats: Vec<Tensor<'g>> =
            recorded.inputs.iter().copied().filter(|input| input.dtype() == DType::F32).collect();
        let gradients = g.vector_jacobian(&[(output, upstream)], &floats);
        recorded.gradients = floats.into_iter().zip(gradients).collect();
        recorded.upstream = Some(upstream);
    }
    recorded
}

fn draw(case: &Case, recorded: &Recorded<'_>, generator: &mut Generator) -> Vec<HostTensor> {
    let mut data: Vec<HostTensor> = case.inputs.iter().map(|input| input.draw(generator)).collect();
    if recorded.upstream.is_some() {
        // Of both signs, but not balanced: sums of it over many elements do not cancel to rounding.
        data.push(retrograd::record::CaseInput::uniform(recorded.output.shape(), -0.5, 1.0).draw(generator));
    }
    data
}

fn gradient(case: &Case, generator: &mut Generator) -> Result<(), String> {
    if !case.differentiable {
        return Ok(());
    }
    let g = Graph::new();
    let recorded = record(case, &g);
    let data = draw(case, &recorded, generator);
    let upstream = recorded.upstream.ok_or("the output is invalid")?;
    let loss = (recorded.output * upstream).sum(..);
    let tensors = recorded.inputs.iter().chain([&upstream]);
    let leaves: BTreeMap<NodeId, HostTensor> = tensors.map(|tensor| tensor.id().node).zip(data).collect();
    let pairs: Vec<(NodeId, TensorId)> =
        recorded.gradients.iter().map(|(input, gradient)| (input.id().node, gradient.id())).collect();
    if pairs.is_empty() {
        return Err("no input has a gradient".into());
    }
    let check =
        check_gradient(&g.recording(), loss.id(), &pairs, &leaves, 3, generator).map_err(|error| error.to_string())?;
    if !check.is_meaningful() {
        return Err(format!(
            "only {} of {} gradient elements are not negligible: the check means nothing",
            check.significant, check.elements
        ));
    }
    if check.error < 1e-6 {
        Ok(())
    } else {
        Err(format!("the gradient differs from central differences by {:.2e}", check.error))
    }
}

/// The key of the first inference step of a state with seed 0, as the library derives it.
fn first_seed() -> [u32; 2] {
    retrograd::base::threefry([0, 0], [1, 0x5354_4550])
}

fn on(name: &'static str, case: &Case, generator: &mut Generator) -> Result<(), String> {
    let Some(device) = device(name) else { return Ok(()) };
    let g = Graph::new();
    let recorded = record(case, &g);
    let data = draw(case, &recorded, generator);
    let inputs: Vec<Tensor<'_>> = recorded.inputs.iter().copied().chain(recorded.upstream).collect();
    let leaves: BTreeMap<NodeId, HostTensor> =
        inputs.iter().map(|input| input.id().node).zip(data.iter().cloned()).collect();
    let mut wanted = vec![recorded.output];
    wanted.extend(recorded.gradients.iter().map(|(_, gradient)| *gradient));
    let want = on_reference(&g, &wanted, &leaves, first_seed());
    let feeds: Vec<(Tensor<'_>, HostTensor)> = inputs.into_iter().zip(data).collect();
    let got = on_device(device, &g, &wanted, &feeds);
    let worst = got
        .iter()
        .zip(&want)
        .map(|(got, want)| distance(got, want, case.tolerance, case.tolerance / 10.0))
        .fold(Distance::default(), Distance::join);
    if worst.excess <= 1.0 { Ok(()) } else { Err(format!("it differs from the reference: {worst:?}")) }
}

/// Compares the outputs of every fused op of a case with those of its composition, in float64.
fn composition(case: &Case, generator: &mut Generator) -> Result<(), String> {
    let g = Graph::new();
    let recorded = record(case, &g);
    let data = draw(case, &recorded, generator);
    let inputs = recorded.inputs.iter().copied().chain(recorded.upstream);
    let leaves: BTreeMap<NodeId, HostTensor> = inputs.map(|input| input.id().node).zip(data).collect();
    for (index, node) in g.recording().nodes.iter().enumerate() {
        let NodeKind::Op(op) = &node.kind else { continue };
        let node_inputs: Vec<Tensor<'_>> = node.inputs.iter().map(|&input| g.at(input)).collect();
        let Some(composed) = op.composition(&node_inputs) else { continue };
        let fused = (0..composed.len() as u32).map(|output| g.at(TensorId { node: NodeId(index as u32), output }));
        let wanted: Vec<Tensor<'_>> = fused.chain(composed.iter().copied()).collect();
        let values = on_reference(&g, &wanted, &leaves, first_seed());
        let (fused, composed) = values.split_at(composed.len());
        for (fused, composed) in fused.iter().zip(composed) {
            let distance = distance(fused, composed, 1e-11, 1e-11);
            if distance.excess > 1.0 {
                return Err(format!("{} differs from its composition: {distance:?}", op.name()));
            }
        }
    }
    Ok(())
}
