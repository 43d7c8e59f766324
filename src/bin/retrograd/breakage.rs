//! Plans with a kernel that is broken on purpose: whoever tests a verification has to see it fail.

use clap::ValueEnum;
use retrograd::plan::{KernelText, Phase, Plan};

/// What a broken kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Breakage {
    /// Writes twice what it should.
    Wrong,
    /// Writes one place further than it should.
    Stray,
    /// Does not write its first element.
    Missing,
}

impl Breakage {
    /// The plan with the kernel of a backward dispatch broken, and which that is: the first whose text shows where it writes.
    /// None where no text does: those of the host have no text.
    pub fn apply(self, plan: &Plan) -> Option<(usize, Plan)> {
        let backward = plan.dispatches.iter().enumerate().filter(|(_, dispatch)| dispatch.phase == Phase::Backward);
        let mut broken = backward.filter_map(|(number, dispatch)| {
            let kernel = &plan.kernels[dispatch.kernel];
            let wgsl = self.text(kernel)?;
            let mut plan = plan.clone();
            // Others may run the same kernel, which must stay whole.
            plan.dispatches[number].kernel = plan.kernels.len();
            plan.kernels.push(KernelText { wgsl, ..kernel.clone() });
            Some((number, plan))
        });
        broken.next()
    }

    /// The text of a kernel with all stores to the first variable that it writes broken.
    fn text(self, kernel: &KernelText) -> Option<String> {
        let binding = kernel.usages.iter().position(|usage| usage.writes())?;
        let declaration = format!("@binding({binding}) var<storage, read_write> ");
        let (_, after) = kernel.wgsl.split_once(&declaration)?;
        let (variable, _) = after.split_once(':')?;
        let store = format!("{}[", variable.trim());
        let mut stores = 0;
        let mut line = |line: &str| {
            let parts = || line.trim_start().strip_prefix(&store)?.strip_suffix(';')?.split_once("] = ");
            let Some((place, value)) = parts() else { return line.to_owned() };
            stores += 1;
            match self {
                Self::Wrong => format!("{store}{place}] = 2 * ({value});"),
                Self::Stray => format!("{store}({place}) + 1] = {value};"),
                Self::Missing => format!("if (({place}) > 0) {{ {store}{place}] = {value}; }}"),
            }
        };
        let text: Vec<String> = kernel.wgsl.lines().map(&mut line).collect();
        (stores > 0).then(|| text.join("\n"))
    }
}
