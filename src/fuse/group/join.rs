//! Pointwise ops join groups, and groups join one another.

use super::Grouping;
use crate::record::{NodeId, TensorId};

impl Grouping<'_> {
    /// Lets a pointwise node join a group that makes one of its inputs.
    pub(super) fn join(&mut self, node: NodeId) -> bool {
        let mut candidates: Vec<(usize, usize, NodeId)> = Vec::new();
        for read in self.reads[&node].clone() {
            if self.is_inlined(&read) || !self.is_computed(read.tensor) {
                continue;
            }
            match self.body_of(read.tensor) {
                Some((group, body)) if read.in_place => {
                    if !candidates.iter().any(|candidate| candidate.0 == group) {
                        candidates.push((group, body, read.tensor.node));
                    }
                }
                Some(_) => self.refuse(read.tensor.node, node, "it reads elements at other places than its own"),
                None => self.refuse(read.tensor.node, node, "the producer's kernel has no place for pointwise work"),
            }
        }
        // The latest group first: the others are done by then. A product's or reduction's end before others.
        candidates.sort_by_key(|&(number, ..)| (self.group(number).root.is_none(), usize::MAX - number));
        for &(number, body, producer) in &candidates {
            match self.try_join(node, number, body) {
                Ok(()) => {
                    for &(other, ..) in candidates.iter().filter(|(other, ..)| *other != number) {
                        let _ = self.try_merge(other, number, body);
                    }
                    return true;
                }
                Err(reason) => self.refuse(producer, node, reason),
            }
        }
        false
    }

    pub(super) fn try_join(&mut self, node: NodeId, number: usize, body: usize) -> Result<(), &'static str> {
        for read in self.reads[&node].clone() {
            match self.of.get(&read.tensor.node) {
                _ if self.is_inlined(&read) => {}
                Some(&own)
                    if own == number && (!read.in_place || self.body_of(read.tensor) != Some((number, body))) =>
                {
                    return Err("it reads elements of the same kernel at other places than its own");
                }
                Some(&other) if self.waits_for(other, number) => {
                    return Err("another input of it is computed from the same kernel's results");
                }
                _ => {}
            }
        }
        let before = self.stored_by(number);
        self.of.insert(node, number);
        self.group_mut(number).bodies[body].nodes.push(node);
        let early = self.is_backward(node) && !self.group_is_backward(number);
        let reason = if early && self.stored_by(number) > before {
            "it belongs to the backward list, and would have to be stored until then"
        } else if self.buffers(number) > self.most_buffers {
            "the kernel would bind more buffers than the device allows"
        } else {
            return Ok(());
        };
        self.group_mut(number).bodies[body].nodes.pop();
        self.of.remove(&node);
        Err(reason)
    }

    /// Moves the ops of a pointwise group into a body of another group.
    pub(super) fn try_merge(&mut self, from: usize, number: usize, body: usize) -> Result<(), &'static str> {
        let moved = self.group(from).clone();
        if from == number || moved.root.is_some() || !moved.totals.is_empty() {
            return Err("both have roots");
        }
        if moved.bodies[0].elements != self.group(number).bodies[body].elements {
            return Err("they have different numbers of elements");
        }
        // Everything that passes between the two must pass in place, and not through a third group.
        let nodes: Vec<NodeId> = self.group(number).nodes().chain(moved.nodes()).collect();
        for &node in &nodes {
            for read in self.reads[&node].clone() {
                let source = self.of.get(&read.tensor.node).copied();
                let between = (self.of.get(&node) == Some(&from) && source == Some(number))
                    || (self.of.get(&node) == Some(&number) && source == Some(from));
                let at_hand =
                    read.in_place && (source == Some(from) || self.body_of(read.tensor) == Some((number, body)));
                let by_body =
                    self.of.get(&node) == Some(&from) || self.group(number).bodies[body].nodes.contains(&node);
                if between && !self.is_inlined(&read) && !(at_hand && by_body) {
                    return Err("one reads the other's elements at other places");
                }
            }
        }
        let third = |a: usize, b: usize| self.sources(a).iter().any(|&other| other != b && self.waits_for(other, b));
        if third(from, number) || third(number, from) {
            return Err("a third kernel stands between them");
        }
        let before = self.group(number).clone();
        let mut nodes = before.bodies[body].nodes.clone();
        nodes.extend(&moved.bodies[0].nodes);
        self.group_mut(number).bodies[body].nodes = self.sorted(nodes);
        self.groups[from] = None;
        for node in &moved.bodies[0].nodes {
            self.of.insert(*node, number);
        }
        if self.buffers(number) > self.most_buffers {
            for node in &moved.bodies[0].nodes {
                self.of.insert(*node, from);
            }
            self.groups[from] = Some(moved);
            self.groups[number] = Some(before);
            return Err("the kernel would bind more buffers than the device allows");
        }
        Ok(())
    }

    /// Merges pointwise groups with groups that they share tensors with.
    pub(super) fn merge_neighbours(&mut self) {
        for from in 0..self.groups.len() {
            let Some(group) = self.groups[from].clone().filter(|group| group.root.is_none()) else { continue };
            let loaded = self.tensors_read(from);
            for number in 0..self.groups.len() {
                if number == from || self.groups[number].is_none() {
                    continue;
                }
                let Some(body) =
                    self.group(number).bodies.iter().position(|body| body.elements == group.bodies[0].elements)
                else {
                    continue;
                };
                let makes = loaded.iter().any(|&tensor| self.body_of(tensor) == Some((number, body)));
                let shares = self.group(number).root.is_none()
                    && self.tensors_read(number).intersection(&loaded).next().is_some();
                if (makes || shares)
                    && self.may_run_together(from, number)
                    && self.try_merge(from, number, body).is_ok()
                {
                    break;
                }
            }
        }
    }

    /// Backward work moves into the forward list only where its results stay to the end of the step anyway:
    /// others would have to be stored in between.
    pub(super) fn may_run_together(&self, from: usize, number: usize) -> bool {
        if self.group_is_backward(from) == self.group_is_backward(number) {
            return true;
        }
        let tensors = self.group(from).bodies[0].nodes.iter().map(|&node| TensorId { node, output: 0 });
        tensors.filter(|&tensor| self.is_stored(tensor, from)).all(|tensor| self.resolved.wanted.contains(&tensor))
    }
}
