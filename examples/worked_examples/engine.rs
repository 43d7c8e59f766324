//! Runs recordings on both engines: the device in single precision and the reference in float64.

use crate::support::Outcome;
use crate::table::{Expected, Table};
use ndarray::{ArrayD, IxDyn};
use retrograd::base::Value;
use retrograd::optim::Optimizer;
use retrograd::plan::{StepScalars, Update};
use retrograd::record::{EvalContext, Leaf, NodeId, TensorId};
use retrograd::reference::evaluate;
use retrograd::{Device, Error, ErrorKind, Graph, HostTensor, Param, Params, Step, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The elements of one tensor on both engines.
#[derive(Clone, Debug)]
pub struct Seen {
    pub device: Vec<f64>,
    pub reference: Vec<f64>,
}

/// A tensor's data in double precision. The device is fed the same numbers rounded to single precision;
/// the reference sees them as they are, so that 0.2 means 0.2 and not the nearest `f32`.
pub type Data = Arc<Value<f64>>;

/// Float data of a shape.
pub fn floats(shape: &[usize], values: impl AsRef<[f64]>) -> Outcome<Data> {
    Ok(Arc::new(Value::Real(ArrayD::from_shape_vec(IxDyn(shape), values.as_ref().to_vec())?)))
}

/// Class labels.
pub fn labels(values: impl AsRef<[i32]>) -> Outcome<Data> {
    let values = values.as_ref().to_vec();
    Ok(Arc::new(Value::I32(ArrayD::from_shape_vec(IxDyn(&[values.len()]), values)?)))
}

/// The elements of host data in double precision.
pub fn doubles(tensor: &HostTensor) -> Vec<f64> {
    tensor.to_vec().into_iter().map(f64::from).collect()
}

/// Evaluates tensors in float64. `leaves` holds the values of all inputs and parameters.
fn on_reference(
    graph: &Graph,
    wanted: &[Tensor<'_>],
    leaves: &BTreeMap<NodeId, Data>,
    seed: u64,
) -> Outcome<Vec<Vec<f64>>> {
    let recording = graph.recording();
    if !recording.faults.is_empty() {
        return Err(Error::recording(recording.faults).into());
    }
    let ids: Vec<TensorId> = wanted.iter().map(|tensor| tensor.id()).collect();
    let cx = EvalContext { seed: [seed as u32, (seed >> 32) as u32] };
    let evaluation = evaluate::<f64>(&recording, &ids, &cx, |id, node, leaf| match leaf {
        Leaf::Constant(tensor) => Ok(Arc::new(Value::from_host(tensor))),
        _ => leaves
            .get(&id)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Feed, format!("{} has no value", node.label()))),
    })?;
    let numbers = |id: &TensorId| match evaluation.get(*id) {
        Some(value) => Ok(value.to_real().iter().copied().collect()),
        None => Err("a tensor was asked for and not evaluated".into()),
    };
    ids.iter().map(numbers).collect()
}

/// A recording without parameters, its data, and what is known of its tensors.
pub struct Worked<'g> {
    graph: &'g Graph,
    fed: Vec<(Tensor<'g>, Data)>,
    known: Vec<(String, Tensor<'g>, Expected)>,
}

impl<'g> Worked<'g> {
    /// An empty one.
    pub const fn new(graph: &'g Graph) -> Self {
        Self { graph, fed: Vec::new(), known: Vec::new() }
    }

    /// Records an input of floats and remembers its data.
    pub fn input(&mut self, name: &str, shape: &[usize], values: impl AsRef<[f64]>) -> Outcome<Tensor<'g>> {
        let input = self.graph.input(name, shape);
        self.fed.push((input, floats(shape, values)?));
        Ok(input)
    }

    /// Records an input of class labels and remembers them.
    pub fn labels(&mut self, name: &str, values: &[i32]) -> Outcome<Tensor<'g>> {
        let input = self.graph.labels(name, [values.len()]);
        self.fed.push((input, labels(values)?));
        Ok(input)
    }

    /// Notes what a tensor must be.
    pub fn expect(&mut self, name: &str, tensor: Tensor<'g>, expected: Expected) {
        self.known.push((name.to_owned(), tensor, expected));
    }

    /// Runs the recording once on both engines and returns `wanted`.
    pub fn values(&self, device: &Device, seed: u64, wanted: &[Tensor<'g>]) -> Outcome<Vec<Seen>> {
        let mut step = self.graph.infer(wanted).compile(device, &Params::seeded(seed))?;
        let data: Vec<(Tensor<'g>, HostTensor)> =
            self.fed.iter().map(|(input, data)| (*input, data.to_host())).collect();
        let feeds: Vec<_> = data.iter().map(|(input, data)| input.feed(data)).collect();
        step.run(feeds)?;
        let leaves = self.fed.iter().map(|(input, data)| (input.id().node, data.clone())).collect();
        let reference = on_reference(self.graph, wanted, &leaves, seed)?;
        let pair = |(tensor, reference): (&Tensor<'g>, Vec<f64>)| {
            Ok(Seen { device: doubles(&step.read(*tensor)?), reference })
        };
        wanted.iter().zip(reference).map(pair).collect()
    }

    /// Runs the recording and checks everything that was noted.
    pub fn check(&self, device: &Device, seed: u64, table: &mut Table) -> Outcome<()> {
        let wanted: Vec<Tensor<'g>> = self.known.iter().map(|(_, tensor, _)| *tensor).collect();
        for ((name, _, expected), seen) in self.known.iter().zip(self.values(device, seed, &wanted)?) {
            table.check(name, expected, &seen);
        }
        Ok(())
    }
}

/// The same training on both engines, from the same start: compiled once on the device, and in
/// float64 from the recorded gradients and the optimizer's rule on the host.
pub struct Twin<'g> {
    graph: &'g Graph,
    step: Step,
    names: Vec<String>,
    leaves: Vec<Tensor<'g>>,
    gradients: Vec<Tensor<'g>>,
    weights: Vec<Data>,
    states: Vec<Vec<Vec<f64>>>,
    optimizer: Box<dyn Optimizer>,
    update: Update,
    count: u32,
}

impl<'g> Twin<'g> {
    /// Compiles the training of all parameters in `params`. What shall be read has to be kept before.
    pub fn new<O>(device: &Device, loss: Tensor<'g>, params: &Params, trained: &[&Param], optimizer: O) -> Outcome<Self>
    where
        O: Optimizer + Clone + 'static,
    {
        let graph = loss.graph();
        let leaves: Vec<Tensor<'g>> = trained.iter().map(|param| graph.param(param)).collect();
        let gradients = graph.gradients(loss, &leaves);
        let mut weights = Vec::new();
        for param in trained {
            let value = params.value(param)?;
            weights.push(floats(value.shape(), doubles(value))?);
        }
        let update = optimizer.update()?;
        let zeros = |weight: &Data| vec![vec![0.0; weight.shape().iter().product()]; update.states.len()];
        let states = weights.iter().map(zeros).collect();
        let step = graph.train(loss, optimizer.clone()).compile(device, params)?;
        let names = trained.iter().map(|param| param.name().to_owned()).collect();
        Ok(Self {
            graph,
            step,
            names,
            leaves,
            gradients,
            weights,
            states,
            optimizer: Box::new(optimizer),
            update,
            count: 0,
        })
    }

    /// Replaces the reference's start, which is otherwise the device's: decimals that `f32` cannot hold.
    pub fn start_reference_from(&mut self, weights: Vec<Data>) {
        self.weights = weights;
    }

    /// Runs one step on both engines and returns `wanted`, as it was before the weights changed.
    pub fn run(&mut self, feeds: &[(Tensor<'g>, Data)], wanted: &[Tensor<'g>]) -> Outcome<Vec<Seen>> {
        let data: Vec<(Tensor<'g>, HostTensor)> = feeds.iter().map(|(input, data)| (*input, data.to_host())).collect();
        let fed: Vec<_> = data.iter().map(|(input, data)| input.feed(data)).collect();
        self.step.run(fed)?;

        let weights = self.leaves.iter().zip(&self.weights);
        let leaves = feeds.iter().map(|(input, data)| (input, data)).chain(weights);
        let leaves = leaves.map(|(tensor, data)| (tensor.id().node, data.clone())).collect();
        let everything: Vec<Tensor<'g>> = self.gradients.iter().chain(wanted).copied().collect();
        let mut reference = on_reference(self.graph, &everything, &leaves, 0)?;
        let values = reference.split_off(self.gradients.len());
        self.change_reference(&reference)?;

        let pair = |(tensor, reference): (&Tensor<'g>, Vec<f64>)| {
            Ok(Seen { device: doubles(&self.step.read(*tensor)?), reference })
        };
        wanted.iter().zip(values).map(pair).collect()
    }

    /// Changes the reference's weights against their gradients.
    fn change_reference(&mut self, gradients: &[Vec<f64>]) -> Outcome<()> {
        self.count += 1;
        let learning_rate = self.optimizer.learning_rate();
        let scalars = self.optimizer.scalars(self.count, learning_rate);
        let step = StepScalars { count: self.count, learning_rate, scalars, ..StepScalars::default() };
        for ((weight, states), gradient) in self.weights.iter_mut().zip(&mut self.states).zip(gradients) {
            let mut values: Vec<f64> = weight.to_real().iter().copied().collect();
            self.update.host.apply_f64(
                &step,
                gradient,
                &mut values,
                &mut states.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>(),
            );
            *weight = floats(weight.shape(), values)?;
        }
        Ok(())
    }

    /// A parameter after the last step, by its place among those trained.
    pub fn weight(&self, place: usize) -> Outcome<Seen> {
        let device = doubles(&self.step.state().parameter(&self.names[place])?);
        Ok(Seen { device, reference: self.weights[place].to_real().iter().copied().collect() })
    }
}
