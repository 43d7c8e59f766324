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
        let is_backward = |number: &usize| plan.dispatches[*number].phase == Phase::Backward;
        let mut numbers = (0..plan.dispatches.len()).filter(is_backward);
        numbers.find_map(|number| Some((number, self.in_dispatch(plan, number)?)))
    }

    /// The plan with the kernel of this dispatch broken; none where its text does not show where it writes.
    pub fn in_dispatch(self, plan: &Plan, number: usize) -> Option<Plan> {
        let kernel = &plan.kernels[plan.dispatches[number].kernel];
        let kernel = KernelText { wgsl: self.text(kernel)?, ..kernel.clone() };
        let mut plan = plan.clone();
        // Others may run the same kernel, which must stay whole.
        plan.dispatches[number].kernel = plan.kernels.len();
        plan.kernels.push(kernel);
        Some(plan)
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
