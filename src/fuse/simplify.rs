use crate::record::{NodeId, NodeKind, Recording, TensorId};
use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};

/// A recording without duplicates and without what nobody needs.
#[derive(Clone, Debug)]
pub struct Simplified {
    /// The nodes that are left, in their order.
    pub recording: Recording,
    /// Where every tensor of the original went; dropped ones are missing.
    map: BTreeMap<TensorId, TensorId>,
}

impl Simplified {
    /// With another recording, to which every tensor of this one moves, or in which it is no more.
    pub(super) fn moved(&self, recording: Recording, to: impl Fn(&TensorId) -> Option<TensorId>) -> Self {
        let moved = |(original, now): (&TensorId, &TensorId)| Some((*original, to(now)?));
        Self { recording, map: self.map.iter().filter_map(moved).collect() }
    }

    /// The tensor that stands for a tensor of the original.
    #[must_use]
    pub fn get(&self, original: TensorId) -> Option<TensorId> {
        self.map.get(&original).copied()
    }
}

/// Drops the nodes that none of `targets` depends on, and merges nodes that compute the same: equal
/// ops with equal attributes and inputs. Random ops carry their stream as an attribute, so two
/// masks are never merged. The first of equals stays, so the order of the rest is kept.
#[must_use]
pub fn simplify(original: &Recording, targets: &[TensorId]) -> Simplified {
    let needed = original.reached_from(targets.iter().copied());
    let mut recording = Recording::default();
    let mut map = BTreeMap::new();
    let mut known: HashMap<(TypeId, &'static str, String, Vec<TensorId>), NodeId> = HashMap::new();
    for (index, node) in original.nodes.iter().enumerate().filter(|(index, _)| needed[*index]) {
        let inputs: Vec<TensorId> = node.inputs.iter().map(|input| map[input]).collect();
        let fresh = NodeId(recording.nodes.len() as u32);
        let id = match &node.kind {
            NodeKind::Leaf(_) => fresh,
            NodeKind::Op(op) => {
                let any: &dyn Any = op.as_ref();
                *known.entry((any.type_id(), op.name(), op.attributes().to_string(), inputs.clone())).or_insert(fresh)
            }
        };
        if id == fresh {
            let mut node = node.clone();
            node.inputs = inputs;
            node.origin = node.origin.and_then(|origin| {
                // Origins that were dropped keep their order among the ones that were not.
                map.range(..=TensorId { node: origin, output: u32::MAX })
                    .map(|(_, tensor): (_, &TensorId)| tensor.node)
                    .next_back()
            });
            recording.nodes.push(node);
        }
        for output in 0..node.outputs.len() as u32 {
            map.insert(TensorId { node: NodeId(index as u32), output }, TensorId { node: id, output });
        }
    }
    for (name, node) in &original.inputs {
        if let Some(tensor) = map.get(&TensorId { node: *node, output: 0 }) {
            recording.inputs.insert(name.clone(), tensor.node);
        }
    }
    recording.checks.clone_from(&original.checks);
    recording.kept = original.kept.iter().filter_map(|tensor| map.get(tensor).copied()).collect();
    Simplified { recording, map }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Graph;

    #[test]
    fn equals_merge_and_the_unneeded_goes() {
        let g = Graph::new();
        let x = g.input("x", [4]);
        let (a, b) = (x.exp(), x.exp());
        let _unneeded = x.sin();
        let y = a * b;
        let simple = simplify(&g.recording(), &[y.id()]);
        assert_eq!(simple.recording.nodes.len(), 3);
        assert_eq!(simple.get(a.id()), simple.get(b.id()));
    }

    #[test]
    fn masks_and_other_attributes_stay_apart() {
        let g = Graph::new();
        let x = g.input("x", [4]);
        let y = x.dropout(0.5) + x.dropout(0.5) + x.leaky_relu(0.1) + x.leaky_relu(0.2);
        let simple = simplify(&g.recording(), &[y.id()]);
        assert_eq!(simple.recording.nodes.len(), g.recording().nodes.len());
    }
}
