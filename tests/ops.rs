//! Every case of every op: its gradient against central differences in float64, its value and
//! gradient on every device against the float64 reference, and fused ops against their composition.

mod common;

use common::device;
use libtest_mimic::{Arguments, Failed, Trial};
use retrograd::ops::OPS;
use retrograd::record::Case;
use retrograd::{Generator, Result};

fn main() {
    let mut trials = Vec::new();
    for op in OPS {
        trials.push(Trial::test(format!("gradient_{}", op.name), move || sweep(op.cases, Case::check_gradient)));
        trials.push(Trial::test(format!("composition_{}", op.name), move || sweep(op.cases, Case::check_composition)));
        for name in ["cpu", "vulkan", "gl"] {
            let run = move || match device(name) {
                Some(device) => sweep(op.cases, |case, generator| case.check_on(device, generator)),
                None => Ok(()),
            };
            let missing = name != "cpu" && device(name).is_none();
            trials.push(Trial::test(format!("{name}_{}", op.name), run).with_ignored_flag(missing));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Checks all cases with fresh random inputs; the seed is part of every message.
fn sweep(
    cases: fn() -> Vec<Case>,
    check: impl Fn(&Case, &mut Generator) -> Result<()>,
) -> std::result::Result<(), Failed> {
    let seed = std::env::var("RETROGRAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |time| time.subsec_nanos().into())
    });
    for case in cases() {
        check(&case, &mut Generator::named(seed, &case.name))
            .map_err(|error| format!("RETROGRAD_TEST_SEED={seed}, {error}"))?;
    }
    Ok(())
}
