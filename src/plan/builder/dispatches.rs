//! Dispatches from groups.

use super::{Builder, Draft, Memory};
use crate::base::{DType, Error, ErrorKind, Result};
use crate::fuse::{self, Chosen, Context, Emitted, Group, Place, Usage};
use crate::plan::{Dispatch, HOST_BLOCK, Held, KernelText, Native, Phase};
use crate::record::{KernelClass, Lowering, NodeId, TensorId};

impl Builder<'_> {
    pub(super) fn group(&mut self, group: &Group) -> Result<()> {
        let partials = self.partials.clone();
        let known = |node: NodeId| partials.get(&node).copied();
        let context = Context {
            resolved: self.resolved,
            grouped: self.grouped,
            class: self.request.profile.class,
            images: self.request.profile.image_loads(),
            chooser: self.request.profile.chooser(),
            partials: &known,
        };
        if context.class == KernelClass::Host {
            return self.native(&context, group);
        }
        let lead = Self::lead(group);
        let kernels = fuse::emit(&context, group)
            .map_err(|reason| fuse::defect(&self.resolved.recording.nodes[lead.index()], &reason))?;
        for (&sum, &count) in group.totals.iter().zip(&kernels.partials) {
            self.partials.insert(sum, count);
            let bytes = (count * DType::BYTES) as u64;
            let memory = self.intermediate(bytes, false, || "partial sums".into())?;
            self.places.insert(Place::Partial(sum), memory);
        }
        let mut scratch = Vec::new();
        for &elements in &kernels.scratch {
            let node = &self.resolved.recording.nodes[lead.index()];
            let what = || format!("{} at {} (partial results)", node.label(), node.place.location);
            scratch.push(self.intermediate((elements * DType::BYTES) as u64, false, what)?);
        }
        let mut chosen = kernels.chosen;
        for kernel in kernels.kernels {
            self.emitted(group, lead, kernel, &scratch, chosen.take())?;
        }
        Ok(())
    }

    /// The node that stands for a group: its root, or the last op.
    fn lead(group: &Group) -> NodeId {
        let last = || group.bodies.iter().flat_map(|body| &body.nodes).last().copied();
        group.root.or_else(last).expect("a group has a node")
    }

    fn emitted(
        &mut self,
        group: &Group,
        lead: NodeId,
        kernel: Emitted,
        scratch: &[Memory],
        chosen: Option<Chosen>,
    ) -> Result<()> {
        let mut operands = Vec::new();
        for (place, _) in &kernel.bindings {
            operands.push(match *place {
                Place::Tensor(tensor) => self.tensor(tensor)?,
                Place::Scratch(number) => scratch[number],
                Place::Partial(_) => self.places[place],
            });
        }
        let holds = kernel.bindings.iter().map(|(place, _)| held(*place)).collect();
        let usages = kernel.bindings.iter().map(|(_, usage)| *usage).collect();
        let text = KernelText { name: kernel.name, wgsl: kernel.wgsl, usages, uses_step: kernel.uses_step };
        let number = self.kernel_number(text);
        let dispatch = Dispatch { holds, chosen, ..self.described(group, lead, number, kernel.workgroups) };
        self.push(Draft { dispatch, operands })
    }

    /// A group as work for the host.
    fn native(&mut self, context: &Context<'_>, group: &Group) -> Result<()> {
        let lead = Self::lead(group);
        let native = Native::new(context, group);
        let mut operands = Vec::new();
        for &sum in &group.totals {
            let count = native.programs[0].1.elements.div_ceil(HOST_BLOCK);
            self.partials.insert(sum, count);
            let memory = self.intermediate((count * DType::BYTES) as u64, false, || "partial sums".into())?;
            self.places.insert(Place::Partial(sum), memory);
        }
        for (place, _) in &native.bindings {
            operands.push(match *place {
                Place::Tensor(tensor) => self.tensor(tensor)?,
                place => self.places[&place],
            });
        }
        let text = KernelText {
            name: context.name(group, group.root.map_or("", |root| self.resolved.recording.nodes[root.index()].name())),
            wgsl: native.describe(),
            usages: native
                .bindings
                .iter()
                .map(|(_, written)| if *written { Usage::Write } else { Usage::Read })
                .collect(),
            uses_step: native.uses_step(),
        };
        let number = self.kernel_number(text);
        let holds = native.bindings.iter().map(|(place, _)| held(*place)).collect();
        let dispatch = Dispatch { holds, ..self.described(group, lead, number, [1, 1, 1]) };
        self.natives.push(native);
        self.push(Draft { dispatch, operands })
    }

    /// Floating-point operations of a group, a function counted as one.
    fn operations(&self, group: &Group) -> u64 {
        let elements = |tensor: TensorId| self.type_of(tensor).shape.elements() as u64;
        let of = |node: NodeId| {
            let output = elements(TensorId { node, output: 0 });
            match &self.resolved.lowerings[&node] {
                Lowering::Contract(_) => 2 * output * self.resolved.matrices[&node][0].extents()[2] as u64,
                Lowering::Reduce(_) => self.resolved.input(node, 0).layout.shape.elements() as u64,
                _ => output,
            }
        };
        group.nodes().map(of).sum()
    }

    fn described(&self, group: &Group, lead: NodeId, kernel: usize, workgroups: [u32; 3]) -> Dispatch {
        let recording = &self.resolved.recording;
        let node = &recording.nodes[lead.index()];
        let phase = match node.origin {
            Some(_) => Phase::Backward,
            None => Phase::Forward,
        };
        let stored = |tensor: &TensorId| self.grouped.stored.contains(tensor);
        let mut nodes: Vec<NodeId> = group.nodes().collect();
        nodes.sort();
        let outputs: Vec<String> = nodes
            .iter()
            .flat_map(|&node| {
                let count = recording.nodes[node.index()].outputs.len() as u32;
                (0..count).map(move |output| TensorId { node, output })
            })
            .filter(stored)
            .map(|tensor| self.type_of(tensor).to_string())
            .collect();
        Dispatch {
            phase,
            kernel,
            label: format!("{} {}", node.label(), outputs.join(", ")),
            work: None,
            bindings: Vec::new(),
            holds: Vec::new(),
            images: Vec::new(),
            chosen: None,
            workgroups,
            operations: self.operations(group),
            node: Some(lead),
            nodes,
            origin: node.origin,
            location: node.place.location.clone(),
            scope: node.place.scope.clone(),
        }
    }

    pub(super) fn kernel_number(&mut self, text: KernelText) -> usize {
        // What is bound matters as well: a text of the host does not declare it.
        let key = format!("{:?}{}", text.usages, text.wgsl);
        if let Some(&number) = self.kernel_numbers.get(&key) {
            return number;
        }
        self.kernel_numbers.insert(key, self.kernels.len());
        self.kernels.push(text);
        self.kernels.len() - 1
    }

    pub(super) fn push(&mut self, draft: Draft) -> Result<()> {
        let profile = self.request.profile;
        let dispatch = &draft.dispatch;
        let is_image = |usage: &&Usage| matches!(usage, Usage::Image(_));
        let images = self.kernels[dispatch.kernel].usages.iter().filter(is_image).count();
        let bound = draft.operands.len() - images;
        let [x, y, z] = dispatch.workgroups;
        let what = || format!("{} at {}", dispatch.label, dispatch.location);
        // The host binds nothing.
        if bound > profile.storage_buffers && profile.class != KernelClass::Host {
            let message = format!(
                "{} binds {bound} storage buffers and {} allows {}",
                what(),
                profile.name,
                profile.storage_buffers
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        for operand in &draft.operands {
            if let Memory::Fixed { bytes, .. } = *operand
                && profile.class != KernelClass::Host
            {
                self.fits(bytes, || format!("what {} binds", what()))?;
            }
        }
        if x.max(y).max(z) > profile.workgroups {
            let message = format!(
                "{} needs {x} x {y} x {z} workgroups and {} allows {} in each direction",
                what(),
                profile.name,
                profile.workgroups
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.drafts.push(draft);
        Ok(())
    }
}

/// What a place is in a plan.
const fn held(place: Place) -> Held {
    match place {
        Place::Tensor(tensor) => Held::Tensor(tensor),
        Place::Partial(node) => Held::Partial(node),
        Place::Scratch(_) => Held::Scratch,
    }
}
