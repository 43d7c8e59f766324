use crate::fuse::resolve::Resolved;
use crate::record::{Argument, Lowering, NodeId, TensorId};

/// One way in which a node reads a tensor.
#[derive(Clone, Debug)]
pub struct Read {
    /// The tensor.
    pub tensor: TensorId,
    /// Whether every element is read at its own place, by a pointwise op.
    pub in_place: bool,
    /// Whether a pointwise op reads one element per element, at any place.
    pub plain: bool,
}

/// How a node reads its inputs.
pub fn reads(resolved: &Resolved, node: NodeId) -> Vec<Read> {
    let inputs = resolved.recording.nodes[node.index()].inputs.len();
    let access = |place: usize| resolved.input(node, place);
    let indirect = |place: usize| Read { tensor: access(place).tensor, in_place: false, plain: false };
    match &resolved.lowerings[&node] {
        Lowering::Pointwise(pointwise) => {
            let mut reads = Vec::new();
            for argument in &pointwise.arguments {
                match argument {
                    Argument::Input(place) => {
                        let access = access(*place);
                        let in_place = resolved.is_whole(access);
                        reads.push(Read { tensor: access.tensor, in_place, plain: true });
                    }
                    Argument::Joined { inputs, .. } => reads.extend(inputs.iter().map(|&place| indirect(place))),
                    Argument::Padded { input, .. } => reads.push(indirect(*input)),
                    Argument::Index | Argument::Coordinate(_) | Argument::Seed => {}
                }
            }
            reads
        }
        _ => (0..inputs).map(indirect).collect(),
    }
}
