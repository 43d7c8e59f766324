//! From a graph of ONNX nodes to a recording, and the values between them.

use crate::call::Call;
use crate::data::{Data, Kind, Stop};
use crate::ops;
use crate::proto;
use retrograd::base::Value;
use retrograd::record::{EvalContext, Leaf};
use retrograd::reference::evaluate;
use retrograd::{Graph, HostTensor, Tensor};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

/// A value of an ONNX graph: a tensor of the recording, data that is known while recording, or both for what is fed.
#[derive(Clone, Debug)]
pub struct Val<'g> {
    pub kind: Kind,
    tensor: Option<Tensor<'g>>,
    data: Option<Rc<Data>>,
}

impl<'g> Val<'g> {
    /// A tensor that holds elements of a kind; integers and truth values may be held as floats.
    pub fn of(kind: Kind, tensor: Tensor<'g>) -> Self {
        Self { kind, tensor: Some(tensor), data: None }
    }
    pub fn float(tensor: Tensor<'g>) -> Self {
        Self::of(Kind::Float, tensor)
    }
    pub fn int(tensor: Tensor<'g>) -> Self {
        Self::of(Kind::Int, tensor)
    }
    pub fn mask(tensor: Tensor<'g>) -> Self {
        Self::of(Kind::Bool, tensor)
    }
    /// Data that is known while recording.
    pub fn known(data: Data) -> Self {
        Self { kind: data.kind, tensor: None, data: Some(Rc::new(data)) }
    }
    /// An input of the recording.
    fn fed(tensor: Tensor<'g>, data: Data) -> Self {
        Self { kind: data.kind, tensor: Some(tensor), data: Some(Rc::new(data)) }
    }
    /// The tensor, unless all that there is was known while recording.
    pub fn tensor(&self) -> Option<Tensor<'g>> {
        self.tensor
    }
    /// The elements, where they are known while recording.
    pub fn data(&self) -> Option<&Rc<Data>> {
        self.data.as_ref()
    }
    /// The extents.
    pub fn shape(&self) -> Vec<usize> {
        match (&self.tensor, &self.data) {
            (Some(tensor), _) => tensor.shape().to_vec(),
            (None, Some(data)) => data.shape.clone(),
            (None, None) => Vec::new(),
        }
    }
}

/// What a node gives.
pub type Outcome<'g> = Result<Vec<Val<'g>>, Stop>;

/// Values by name.
pub type Names<'g> = HashMap<String, Val<'g>>;

/// Records the nodes of one test.
pub struct Recorder<'g> {
    pub graph: &'g Graph,
    /// What the recording's inputs are fed with.
    pub feeds: RefCell<Vec<(Tensor<'g>, HostTensor)>>,
    /// The version of every operator set, by domain.
    pub versions: BTreeMap<String, i64>,
    /// The op that the test is about, where it is one node.
    pub single: Option<String>,
}

impl<'g> Recorder<'g> {
    pub fn new(graph: &'g Graph, versions: BTreeMap<String, i64>, single: Option<String>) -> Self {
        Self { graph, feeds: RefCell::default(), versions, single }
    }

    /// An input of the recording, fed with this data; tensors without elements are only known.
    pub fn feed(&self, name: &str, data: &Data) -> Val<'g> {
        if data.values.is_empty() {
            return Val::known(data.clone());
        }
        let shape = data.shape.clone();
        let input = match data.kind {
            Kind::Float => self.graph.input(name, shape),
            Kind::Int => self.graph.labels(name, shape),
            Kind::Bool => self.graph.mask(name, shape),
        };
        self.feeds.borrow_mut().push((input, data.to_host()));
        Val::fed(input, data.clone())
    }

    /// Records the nodes of a graph, whose inputs and initializers stand among the names already.
    pub fn record(&self, graph: &proto::Graph, names: &mut Names<'g>) -> Result<(), Stop> {
        for tensor in &graph.initializers {
            names.insert(tensor.name.clone(), Val::known(Data::from_proto(tensor)?));
        }
        for node in &graph.nodes {
            let mut inputs = Vec::new();
            for name in &node.inputs {
                inputs.push(match names.get(name) {
                    Some(value) => Some(value.clone()),
                    None if name.is_empty() => None,
                    None => return Err(Stop::Fails(format!("{} reads {name}, which nothing gives", node.op))),
                });
            }
            let call = Call { g: self.graph, recorder: self, names, node, inputs };
            let outputs = ops::record(&call)?;
            for (name, value) in node.outputs.iter().zip(outputs) {
                if value.tensor().is_some_and(|tensor| !tensor.is_valid()) {
                    return Err(Stop::Fails(format!("{}: {}", node.op, self.faults())));
                }
                names.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    /// The outputs of a graph.
    pub fn outputs(graph: &proto::Graph, names: &Names<'g>) -> Outcome<'g> {
        let find = |output: &proto::ValueInfo| {
            names.get(&output.name).cloned().ok_or_else(|| Stop::Fails(format!("nothing gives {}", output.name)))
        };
        graph.outputs.iter().map(find).collect()
    }

    fn faults(&self) -> String {
        retrograd::Error::recording(self.graph.recording().faults).to_string()
    }

    /// The elements of a value, computed by the reference from what is fed where they are not known.
    pub fn known(&self, value: &Val<'g>) -> Result<Rc<Data>, Stop> {
        if let Some(data) = &value.data {
            return Ok(data.clone());
        }
        let Some(tensor) = value.tensor else { return Err(Stop::Fails("a value without tensor or data".into())) };
        let recording = self.graph.recording();
        if !recording.faults.is_empty() {
            return Err(Stop::Fails(self.faults()));
        }
        let fed = self.feeds.borrow();
        let evaluation = evaluate::<f64>(&recording, &[tensor.id()], &EvalContext { seed: [0, 0] }, |id, _, leaf| {
            if let Leaf::Constant(data) = leaf {
                return Ok(Arc::new(Value::from_host(data)));
            }
            let feed = fed.iter().find(|(input, _)| input.id().node == id);
            Ok(Arc::new(Value::from_host(&feed.expect("every input was fed when it was recorded").1)))
        })
        .map_err(|error| Stop::Fails(error.to_string()))?;
        let values = evaluation.get(tensor.id()).expect("it was wanted").to_real().iter().copied().collect();
        Ok(Rc::new(Data::new(value.kind, value.shape(), values)))
    }
}
