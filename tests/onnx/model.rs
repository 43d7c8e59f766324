//! One test of the package: a folder with a model, its inputs and its expected outputs.

use crate::data::{Data, Stop, is_narrowed, kind, lacks};
use crate::proto;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// A test as it was read.
#[derive(Debug)]
pub struct Test {
    /// The folder's name without `test_`.
    pub name: String,
    /// The graph to record.
    pub graph: proto::Graph,
    /// The version of every operator set, by domain.
    pub versions: BTreeMap<String, i64>,
    /// What the graph's inputs are fed with, in their order.
    pub inputs: Vec<Data>,
    /// What its outputs should be, in their order.
    pub outputs: Vec<Data>,
    /// Whether floats of 64 bits were converted to those of 32.
    pub narrowed: bool,
}

impl Test {
    /// The op that the test is about: that of its node, or that whose body was written out in its place.
    pub fn op(&self) -> String {
        match &self.graph.nodes[..] {
            [node] => node.op.clone(),
            _ => match self.name.split_once("_expanded") {
                // The nodes of a body are named after the op and the test.
                Some(_) => {
                    let inner = self.graph.nodes.iter().flat_map(|node| &node.outputs);
                    let mut prefixes = inner.filter_map(|name| name.split_once("_test_"));
                    prefixes.next().map_or_else(|| "several".to_owned(), |(op, _)| op.to_owned())
                }
                None => "several".to_owned(),
            },
        }
    }

    /// Whether the test is one node, rather than the body of an op written out.
    pub fn is_single(&self) -> bool {
        self.graph.nodes.len() == 1 && !self.name.contains("_expanded")
    }
}

/// Reads the folder of a test.
pub fn read(folder: &Path) -> Result<Test, Stop> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().trim_start_matches("test_").to_owned();
    let model: proto::Model = decode(&folder.join("model.onnx"))?;
    let Some(graph) = model.graph else { return Err(Stop::Fails("the model has no graph".into())) };
    if !model.functions.is_empty() {
        return lacks("functions that a model brings along");
    }
    let versions = model.operator_sets.into_iter().map(|set| (set.domain, set.version)).collect();
    let mut narrowed = false;
    let mut part = |values: &[proto::ValueInfo], name: &str| -> Result<Vec<Data>, Stop> {
        let mut all = Vec::new();
        for (number, value) in values.iter().enumerate() {
            let Some(tensor) = value.value_type.as_ref().and_then(|kind| kind.tensor.as_ref()) else {
                return lacks("sequences, optionals and other values that are no tensors");
            };
            kind(tensor.element_type)?;
            narrowed |= is_narrowed(tensor.element_type);
            let path = folder.join(format!("test_data_set_0/{name}_{number}.pb"));
            all.push(Data::from_proto(&decode::<proto::Tensor>(&path)?)?);
        }
        Ok(all)
    };
    // Outputs first: where both have elements that the crate lacks, the result's says more.
    let outputs = part(&graph.outputs, "output")?;
    let inputs = part(&graph.inputs, "input")?;
    // What a test names its element type for is no less than that type.
    if narrowed && ["float64", "double", "DOUBLE"].iter().any(|word| name.contains(word)) {
        return lacks("elements of type float64, where a test is about them");
    }
    Ok(Test { name, graph, versions, inputs, outputs, narrowed })
}

fn decode<M: Message + Default>(path: &Path) -> Result<M, Stop> {
    let bytes = std::fs::read(path).map_err(|error| Stop::Fails(format!("{}: {error}", path.display())))?;
    M::decode(&bytes[..]).map_err(|error| Stop::Fails(format!("{}: {error}", path.display())))
}
