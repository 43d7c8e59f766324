//! Which kernels compute matrix products fastest on a device: measured on purpose, and kept in a file.

mod cache;
mod measure;

use crate::base::Result;
use crate::dispatch::Device;
use crate::fuse::Chosen;
use crate::plan::Plan;
use cache::{Cache, Entry};
use measure::Product;
use std::collections::BTreeMap;
use std::path::Path;

/// The device with the best form for every product of a plan, from the file or measured now.
pub(super) fn tune(device: &Device, plan: &Plan, path: &Path) -> Result<Device> {
    if device.is_cpu() {
        return Ok(device.clone());
    }
    // Products of one class take the same form: the first stands for all.
    let mut products: BTreeMap<&str, &Chosen> = BTreeMap::new();
    for chosen in plan.dispatches.iter().filter_map(|dispatch| dispatch.chosen.as_ref()) {
        products.entry(&chosen.class).or_insert(chosen);
    }
    let mut cache = Cache::load(path);
    let adapter = format!("{} | {}", device.name(), device.driver());
    let mut profile = device.profile();
    let mut measured = 0;
    for (class, chosen) in products {
        let product = Product::new(device, chosen)?;
        let kernels = product.fingerprint()?;
        let known = cache.get(&adapter, class).filter(|entry| entry.kernels == kernels).map(|entry| entry.form);
        // A form that these kernels do not have is damage, too.
        let known = known.filter(|&form| product.has(form));
        let form = if let Some(form) = known {
            form
        } else {
            let (form, microseconds) = product.fastest()?;
            log::info!("{class}: {} takes {microseconds:.1} us", form.name());
            cache.set(&adapter, class, Entry { form, kernels, microseconds });
            measured += 1;
            form
        };
        profile.forms.tuned.insert(class.to_owned(), form);
    }
    if measured > 0 || cache.is_damaged() {
        cache.save(path)?;
    }
    device.with_profile(profile)
}
