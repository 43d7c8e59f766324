//! Which kernels compute matrix products fastest on a device: measured on purpose, and kept in a file.

mod cache;
mod measure;
mod operands;

use crate::base::Result;
use crate::dispatch::Device;
use crate::fuse::{Chosen, Form};
use crate::plan::Plan;
#[cfg(fuzzing)]
pub use cache::check as check_cache;
use cache::{Cache, Entry};
use measure::{Fastest, Product};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What was chosen for the matrix products of a step on a device: see [`Training::choose`](super::Training::choose).
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The device with these choices: compile on it.
    pub device: Device,
    /// The choices, by class of products. The host has none.
    pub choices: Vec<Choice>,
}

/// What was chosen for the matrix products of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The class: which sizes, up to a power of two, and along which axes the operands are dense.
    pub class: String,
    /// The kernel that would be used without measuring.
    pub portable: Form,
    /// The kernel that was chosen.
    pub chosen: Form,
    /// How long the chosen one takes for a product of the class, in microseconds.
    pub microseconds: f64,
    /// How long the portable one takes; unknown where it does not run here, or the file does not say.
    pub portable_microseconds: Option<f64>,
    /// Whether it was measured now; else it is from the file.
    pub is_fresh: bool,
}

impl Choice {
    /// How many times as fast as the portable kernel the chosen one is, where that is known.
    #[must_use]
    pub fn speedup(&self) -> Option<f64> {
        if self.chosen == self.portable {
            return Some(1.0);
        }
        self.portable_microseconds.map(|portable| portable / self.microseconds)
    }
}

/// The device with the best form for every product of a plan, from the file or measured now.
pub(super) fn tune(device: &Device, plan: &Plan, path: &Path) -> Result<Tuned> {
    let mut choices = Vec::new();
    if device.is_cpu() {
        return Ok(Tuned { device: device.clone(), choices });
    }
    // Products of one class take the same form: the first stands for all.
    let mut products: BTreeMap<&str, &Chosen> = BTreeMap::new();
    for chosen in plan.dispatches.iter().filter_map(|dispatch| dispatch.chosen.as_ref()) {
        products.entry(&chosen.class).or_insert(chosen);
    }
    let mut cache = Cache::load(path);
    let adapter = format!("{} | {}", device.name(), device.driver());
    let mut profile = device.profile();
    for (class, chosen) in products {
        let product = Product::new(device, chosen)?;
        let kernels = product.fingerprint()?;
        // A form that these kernels do not have is damage, too.
        let usable = |entry: &&Entry| entry.kernels == kernels && product.has(entry.form);
        let known = cache.get(&adapter, class).filter(usable).cloned();
        let is_fresh = known.is_none();
        let entry = if let Some(entry) = known {
            entry
        } else {
            let Fastest { form, microseconds, portable } = product.fastest()?;
            log::info!("{class}: {} takes {microseconds:.1} us", form.name());
            let entry = Entry { form, kernels, microseconds, portable_microseconds: portable };
            cache.set(&adapter, class, entry.clone());
            entry
        };
        profile.forms.tuned.insert(class.to_owned(), entry.form);
        choices.push(Choice {
            class: class.to_owned(),
            portable: product.portable(),
            chosen: entry.form,
            microseconds: entry.microseconds,
            portable_microseconds: entry.portable_microseconds,
            is_fresh,
        });
    }
    if cache.is_damaged() || choices.iter().any(|choice| choice.is_fresh) {
        cache.save(path)?;
    }
    Ok(Tuned { device: device.with_profile(profile)?, choices })
}
