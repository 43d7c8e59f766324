//! Slots for what is left, and the plan.

use super::{Builder, Draft, Memory, Planned, order};
use crate::base::{DType, Result};
use crate::fuse::{Group, Grouped, Place, Resolved, Usage};
use crate::plan::slots::{Lifetime, Slots, assign};
use crate::plan::{Apart, Binding, Buffer, BufferKind, Dispatch, Image, Phase, Plan, Stored};
use crate::record::{Lowering, NodeId, NodeKind, TensorId};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What another order must save at least: the reversed list is easier to read, and gives way to a gain that counts.
const LEAST_GAIN: u64 = 64 << 10;

impl Builder<'_> {
    /// Puts the dispatches into the order, of those that are tried, in which their slots take least memory. Returns
    /// which intermediate buffers have slots, and these. Kept tensors get a buffer each; the others share slots by
    /// lifetime.
    fn in_best_order(&mut self) -> (Vec<usize>, Slots) {
        let bytes: Vec<u64> = self.intermediates.iter().map(|intermediate| intermediate.bytes).collect();
        let kept: Vec<bool> = self.intermediates.iter().map(|intermediate| intermediate.kept).collect();
        let usages = |draft: &Draft| self.kernels[draft.dispatch.kernel].usages.clone();
        let most = self.request.profile.binding_bytes.min(self.request.profile.buffer_bytes);
        let place = |order: &[usize]| {
            let mut uses: Vec<BTreeMap<usize, bool>> = vec![BTreeMap::new(); bytes.len()];
            for (time, &number) in order.iter().enumerate() {
                let draft = &self.drafts[number];
                for (operand, usage) in draft.operands.iter().zip(usages(draft)) {
                    if let Memory::Virtual(number) = operand {
                        *uses[*number].entry(time).or_default() |= usage.writes();
                    }
                }
            }
            let shared: Vec<usize> =
                (0..uses.len()).filter(|&number| !uses[number].is_empty() && !kept[number]).collect();
            let lifetimes: Vec<Lifetime> = shared
                .iter()
                .map(|&number| Lifetime { bytes: bytes[number], uses: std::mem::take(&mut uses[number]) })
                .collect();
            (shared, assign(&lifetimes, most))
        };
        let total = |slots: &Slots| slots.bytes.iter().sum::<u64>();
        let mut orders = order::orders(&self.drafts, &usages, &bytes, &kept).into_iter();
        let mut best = orders.next().unwrap_or_default();
        let (mut shared, mut slots) = place(&best);
        for order in orders {
            let other = place(&order);
            if total(&other.1) + LEAST_GAIN <= total(&slots) {
                (best, shared, slots) = (order, other.0, other.1);
            }
        }
        self.reorder(&best);
        (shared, slots)
    }

    /// Puts the dispatches into an order, and what belongs to each.
    fn reorder(&mut self, order: &[usize]) {
        let numbers = |wanted: &dyn Fn(&Dispatch) -> bool| -> Vec<usize> {
            (0..self.drafts.len()).filter(|&number| wanted(&self.drafts[number].dispatch)).collect()
        };
        let batches = numbers(&|dispatch| dispatch.phase == Phase::Batch);
        let host = numbers(&|dispatch| dispatch.phase != Phase::Batch && dispatch.node.is_some());
        self.gathers = moved(order, &batches, &mut self.gathers);
        if !self.natives.is_empty() {
            self.natives = moved(order, &host, &mut self.natives);
        }
        let mut drafts: Vec<Option<Draft>> = self.drafts.drain(..).map(Some).collect();
        self.drafts = order.iter().filter_map(|&number| drafts[number].take()).collect();
    }

    pub(super) fn finish(mut self) -> Result<Planned> {
        let (shared, slots) = self.in_best_order();
        let first_slot = self.buffers.len();
        for (number, &bytes) in slots.bytes.iter().enumerate() {
            self.buffers.push(Buffer { kind: BufferKind::Slot(number), bytes });
        }
        let mut place_of: HashMap<usize, (usize, u64)> = shared
            .iter()
            .zip(&slots.of)
            .map(|(&number, &(slot, offset))| (number, (first_slot + slot, offset)))
            .collect();
        let kept: Vec<usize> =
            (0..self.intermediates.len()).filter(|&number| self.intermediates[number].kept).collect();
        for (place, number) in kept.into_iter().enumerate() {
            place_of.insert(number, (self.buffers.len(), 0));
            self.buffers.push(Buffer { kind: BufferKind::Kept(place), bytes: self.intermediates[number].bytes });
        }
        let bind = |memory: Memory| match memory {
            Memory::Fixed { buffer, offset, bytes } => Binding { buffer, offset, bytes },
            Memory::Virtual(number) => {
                let (buffer, offset) = place_of[&number];
                Binding { buffer, offset, bytes: self.intermediates[number].bytes }
            }
        };
        let stored = |(&tensor, &memory): (&TensorId, &TensorId)| {
            let tensor_type = self.type_of(tensor);
            let binding = bind(self.places[&Place::Tensor(memory)]);
            (tensor, Stored { binding, shape: tensor_type.shape.clone(), dtype: tensor_type.dtype })
        };
        let readable: Vec<(TensorId, Stored)> = self.resolved.kept.iter().map(stored).collect();
        let mut images = Vec::new();
        let dispatches: Vec<Dispatch> = self
            .drafts
            .iter()
            .map(|draft| {
                let bindings: Vec<Binding> = draft.operands.iter().map(|&memory| bind(memory)).collect();
                let usages = &self.kernels[draft.dispatch.kernel].usages;
                Dispatch { images: place_images(&bindings, usages, &mut images), bindings, ..draft.dispatch.clone() }
            })
            .collect();
        for buffer in &self.buffers {
            self.within(buffer.bytes, self.request.profile.buffer_bytes, || buffer.kind.to_string())?;
        }
        let plan = Plan {
            profile: self.request.profile.clone(),
            kernels: self.kernels,
            buffers: self.buffers,
            images,
            dispatches,
            readable,
            gradient_norm: self.gradient_norm,
            left_out: self.left_out,
            layer_norms: self.layer_norms,
            tables: self.tables,
            groups: self.request.updates.map_or(1, |updates| updates.groups.len()),
            live_bytes: slots.live,
            apart: apart(self.resolved, self.grouped),
        };
        let recording = self.resolved.with_copies(self.request.recording.clone());
        Ok(Planned { plan, natives: self.natives, gathers: self.gathers, recording })
    }
}

/// What belongs to the dispatches of these numbers, in the new order.
fn moved<T>(order: &[usize], numbers: &[usize], things: &mut Vec<T>) -> Vec<T> {
    let mut things: Vec<Option<T>> = things.drain(..).map(Some).collect();
    let place = |number: &usize| numbers.binary_search(number).ok();
    order.iter().filter_map(place).filter_map(|place| things[place].take()).collect()
}

/// The images of a dispatch: of every element type the largest first, which grow to hold what is copied to them.
fn place_images(bindings: &[Binding], usages: &[Usage], images: &mut Vec<Image>) -> Vec<Option<usize>> {
    let mut wanted: Vec<(usize, DType, u32)> = Vec::new();
    for (number, (binding, usage)) in bindings.iter().zip(usages).enumerate() {
        if let Usage::Image(dtype) = *usage {
            wanted.push((number, dtype, Image::rows_of(binding.bytes)));
        }
    }
    if wanted.is_empty() {
        return Vec::new();
    }
    wanted.sort_by_key(|&(number, _, rows)| (std::cmp::Reverse(rows), number));
    let mut placed = vec![None; bindings.len()];
    for (number, dtype, rows) in wanted {
        let is_free = |place: &usize| images[*place].dtype == dtype && !placed.contains(&Some(*place));
        let place = (0..images.len()).find(is_free).unwrap_or_else(|| {
            images.push(Image { dtype, rows });
            images.len() - 1
        });
        images[place].rows = images[place].rows.max(rows);
        placed[number] = Some(place);
    }
    placed
}

/// Why neighbours run as kernels of their own, in words.
fn apart(resolved: &Resolved, grouped: &Grouped) -> Vec<Apart> {
    let name = |node: NodeId| {
        let node = &resolved.recording.nodes[node.index()];
        format!("{} at {}", node.label(), node.place.location)
    };
    let describe = |refusal: &crate::fuse::Refusal| Apart {
        producer: name(refusal.producer),
        consumer: name(refusal.consumer),
        reason: refusal.reason.clone(),
    };
    let mut apart: Vec<Apart> = grouped.refusals.iter().map(describe).collect();
    let mut known: BTreeSet<(NodeId, NodeId)> =
        grouped.refusals.iter().map(|refusal| (refusal.producer, refusal.consumer)).collect();
    // Where nothing was tried, the kinds of kernels say why.
    for group in &grouped.groups {
        let own: BTreeSet<NodeId> = group.nodes().collect();
        for &consumer in &own {
            let inputs = &resolved.recording.nodes[consumer.index()].inputs;
            for producer in (0..inputs.len()).map(|place| resolved.input(consumer, place).tensor.node) {
                let is_op = matches!(resolved.recording.nodes[producer.index()].kind, NodeKind::Op(_));
                if is_op && !own.contains(&producer) && known.insert((producer, consumer)) {
                    let reason = kinds(resolved, group, consumer).to_owned();
                    apart.push(Apart { producer: name(producer), consumer: name(consumer), reason });
                }
            }
        }
    }
    apart
}

/// Why a node cannot join the kernel of what it reads, by the kind of its own.
fn kinds(resolved: &Resolved, group: &Group, consumer: NodeId) -> &'static str {
    let is_root = group.root == Some(consumer);
    match &resolved.lowerings[&consumer] {
        Lowering::Contract(_) => {
            "a matrix product reads every element of its operands many times: they are stored before"
        }
        Lowering::Kernel(_) if is_root => "its kernel reads whole rows, which must be stored before it begins",
        Lowering::Reduce(_) => "a reduction combines what many workgroups compute: they must have stored it",
        _ if group.root.is_some() => "it is computed where another kernel stores its results, and reads this beside",
        _ => "no kernel that it could join computes this",
    }
}
