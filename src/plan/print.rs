use super::{Buffer, BufferKind, Dispatch, Phase, Plan};
use crate::fuse::Usage;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in [Phase::Batch, Phase::Forward, Phase::Backward, Phase::Update] {
            let count = self.list(phase).count();
            if phase == Phase::Batch && count == 0 {
                continue;
            }
            let title = phase.name();
            writeln!(f, "{title}: {count} {}", if count == 1 { "dispatch" } else { "dispatches" })?;
            for (number, dispatch) in self.dispatches.iter().enumerate().filter(|(_, dispatch)| dispatch.phase == phase)
            {
                self.line(f, number, dispatch)?;
            }
        }
        self.print_memory(f)
    }
}

impl Plan {
    fn line(&self, f: &mut fmt::Formatter<'_>, number: usize, dispatch: &Dispatch) -> fmt::Result {
        // A plan that was read from a file may name what it lacks.
        let kernel = self.kernels.get(dispatch.kernel).map_or("a kernel that it lacks", |kernel| kernel.name.as_str());
        let [x, y, z] = dispatch.workgroups;
        let reads = self.operands(dispatch, false);
        let writes = self.operands(dispatch, true);
        write!(f, "  {number:>3}  {kernel:<22} {reads} -> {writes}  [{x} x {y} x {z}]")?;
        write!(f, "  {}", dispatch.label)?;
        if let Some(node) = dispatch.node {
            write!(f, "  %{}", node.0)?;
        }
        if let Some(origin) = dispatch.origin {
            write!(f, " of %{}", origin.0)?;
        }
        if !dispatch.scope.is_empty() {
            write!(f, "  in {}", dispatch.scope)?;
        }
        if !dispatch.location.is_empty() {
            write!(f, "  at {}", dispatch.location)?;
        }
        writeln!(f)
    }

    /// What a dispatch reads, or writes, as the names of buffers.
    pub(crate) fn operands(&self, dispatch: &Dispatch, written: bool) -> String {
        let usages = self.kernels.get(dispatch.kernel).map_or(&[][..], |kernel| &kernel.usages);
        let list = dispatch.bindings.iter().zip(usages).filter(|(_, usage)| usage.writes() == written).map(
            |(binding, usage)| {
                let buffer = self.buffers.get(binding.buffer);
                let name = buffer.map_or_else(|| "a buffer that it lacks".to_owned(), |buffer| buffer.kind.to_string());
                let name = if binding.offset == 0 { name } else { format!("{name}+{}", binding.offset) };
                if matches!(usage, Usage::Image(_)) { format!("image of {name}") } else { name }
            },
        );
        list.collect::<Vec<_>>().join(", ")
    }

    /// The bytes of all memory by what it is for, without what takes none.
    #[must_use]
    pub fn memory(&self) -> Vec<(&'static str, u64)> {
        let is_slot = |kind: &BufferKind| matches!(kind, BufferKind::Slot(_));
        let of_norms = |kind: &BufferKind| {
            matches!(kind, BufferKind::Table(_) | BufferKind::ParameterSquares(_) | BufferKind::ParameterNorms(_))
        };
        let rows: [(&'static str, u64); 12] = [
            ("datasets", self.bytes(|kind| matches!(kind, BufferKind::Dataset { .. } | BufferKind::Order))),
            ("inputs", self.bytes(|kind| matches!(kind, BufferKind::Input(_)))),
            ("constants", self.bytes(|kind| matches!(kind, BufferKind::Constant(_)))),
            ("parameters", self.bytes(|kind| matches!(kind, BufferKind::Parameters(_)))),
            ("gradients", self.bytes(|kind| matches!(kind, BufferKind::Gradients(_)))),
            ("optimizer states", self.bytes(|kind| matches!(kind, BufferKind::OptimizerState { .. }))),
            (
                "gradient norm",
                self.bytes(|kind| matches!(kind, BufferKind::GradientSquares | BufferKind::GradientNorm)),
            ),
            ("norms of parameters", self.bytes(of_norms)),
            ("directions", self.bytes(|kind| matches!(kind, BufferKind::Directions(_)))),
            ("kept tensors", self.bytes(|kind| matches!(kind, BufferKind::Kept(_)))),
            ("images of buffers", self.image_bytes()),
            ("intermediate tensors", self.bytes(is_slot)),
        ];
        rows.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
    }

    fn print_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "memory for {}: {} bytes in {} buffers",
            self.profile.name,
            self.total_bytes(),
            self.buffers.len()
        )?;
        for (name, bytes) in self.memory() {
            write!(f, "  {name:<22} {bytes:>12}")?;
            if name == "intermediate tensors" {
                let is_slot = |buffer: &&Buffer| matches!(buffer.kind, BufferKind::Slot(_));
                let slots = self.buffers.iter().filter(is_slot).count();
                write!(f, "  in {slots} slots; at most {} bytes live at a time", self.live_bytes)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for BufferKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(node) => write!(f, "input%{}", node.0),
            Self::Dataset { input, part } => write!(f, "dataset%{}.{part}", input.0),
            Self::Order => f.write_str("order"),
            Self::Constant(node) => write!(f, "constant%{}", node.0),
            Self::Parameters(segment) => write!(f, "parameters{segment}"),
            Self::Gradients(segment) => write!(f, "gradients{segment}"),
            Self::OptimizerState { state, segment } => write!(f, "{state}{segment}"),
            Self::Table(number) => write!(f, "table{number}"),
            Self::Directions(segment) => write!(f, "directions{segment}"),
            Self::ParameterSquares(number) => write!(f, "parameter squares{number}"),
            Self::ParameterNorms(number) => write!(f, "parameter norms{number}"),
            Self::GradientSquares => f.write_str("gradient squares"),
            Self::GradientNorm => f.write_str("gradient norm"),
            Self::Slot(number) => write!(f, "slot{number}"),
            Self::Kept(number) => write!(f, "kept{number}"),
        }
    }
}
