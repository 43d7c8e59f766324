//! The time of a product by every kernel that could compute it.

use super::operands::{Matrices, wrong_row};
use crate::base::{Error, ErrorKind, Result, fingerprint};
use crate::dispatch::Device;
use crate::fuse::{Chosen, Form, Sizes};
use crate::record::{Graph, Params, Tensor};
use crate::train::Step;
use std::time::Instant;

/// Rounds in which every candidate is measured once, in turn: what disturbs the machine disturbs all.
const ROUNDS: usize = 5;
/// What a measurement should take at least, in seconds.
const LEAST: f64 = 5e-3;
/// How much faster than the portable choice another one must be, or it is taken for noise.
const MARGIN: f64 = 0.97;
/// Most elements of a matrix that is measured with: all candidates have their own.
const LARGEST: usize = 1 << 22;

/// The fastest form of a product.
pub struct Fastest {
    pub form: Form,
    pub microseconds: f64,
    /// How many microseconds the portable form takes, if it runs.
    pub portable: Option<f64>,
}

/// A product by itself that stands for a class of products.
pub struct Product {
    sizes: Sizes,
    a: Matrices,
    b: Matrices,
    portable: Form,
    candidates: Vec<(Form, Device)>,
}

impl Product {
    pub fn new(device: &Device, chosen: &Chosen) -> Result<Self> {
        let profile = device.profile();
        let with = |form: Option<Form>| {
            let mut profile = profile.clone();
            profile.forms.forced = form;
            device.with_profile(profile)
        };
        let sizes = representative(chosen.sizes);
        let runs = |form: &&Form| profile.chooser().runs(**form, sizes);
        let candidates = Form::of_class(profile.class).iter().filter(runs).map(|&form| Ok((form, with(Some(form))?)));
        let Sizes { batch, rows, columns, inner } = sizes;
        // Along which axis A, and B, are dense.
        let mut lie = chosen.lie.chars();
        let [a, b] = [lie.next().unwrap_or('n'), lie.next().unwrap_or('n')];
        Ok(Self {
            sizes,
            a: Matrices::new(batch, [rows, inner], a == 'o', a != 'n', 1),
            b: Matrices::new(batch, [inner, columns], b == 'i', b != 'n', 2),
            portable: chosen.form,
            candidates: candidates.collect::<Result<_>>()?,
        })
    }

    /// The form that is used without measuring.
    pub const fn portable(&self) -> Form {
        self.portable
    }

    /// Whether a form is among those that are measured.
    pub fn has(&self, form: Form) -> bool {
        self.candidates.iter().any(|(candidate, _)| *candidate == form)
    }

    /// Records the product of matrices that lie on the device.
    fn record<'g>(&self, graph: &'g Graph) -> Result<Tensor<'g>> {
        Ok(self.a.record(graph)?.matmul(self.b.record(graph)?))
    }

    /// A number of the texts of all candidates: another one, where a kernel is written otherwise.
    pub fn fingerprint(&self) -> Result<String> {
        let mut texts = String::new();
        for (form, device) in &self.candidates {
            let graph = Graph::new();
            let product = self.record(&graph)?;
            texts += form.name();
            // What cannot be planned is found when it is measured.
            if let Ok(plan) = graph.infer(&[product]).plan(&Params::seeded(0), &device.profile()) {
                plan.kernels.iter().for_each(|kernel| texts += &kernel.wgsl);
            }
        }
        Ok(format!("{:016x}", fingerprint(&texts)))
    }

    /// The fastest form. Those that do not work here, or whose product is wrong, are left out with a warning.
    pub fn fastest(&self) -> Result<Fastest> {
        let mut steps: Vec<(Form, Step, u32, f64)> = Vec::new();
        let mut reason = None;
        for (form, device) in &self.candidates {
            match self.ready(device) {
                Ok((step, count)) => steps.push((*form, step, count, f64::INFINITY)),
                Err(error) if error.kind() == ErrorKind::DeviceLost => return Err(error),
                Err(error) => {
                    log::warn!("{} is left out for products of {:?}: {error}", form.name(), self.sizes);
                    reason = Some(error);
                }
            }
        }
        for _ in 0..ROUNDS {
            for (_, step, count, least) in &mut steps {
                *least = least.min(seconds(step, *count)? / f64::from(*count));
            }
        }
        let portable = steps.iter().find(|(form, ..)| *form == self.portable).map(|(.., least)| *least);
        let best = steps.iter().min_by(|one, other| one.3.total_cmp(&other.3));
        let Some((best, .., least)) = best else {
            let none = || Error::new(ErrorKind::Limit, format!("no kernel computes products of {:?} here", self.sizes));
            return Err(reason.unwrap_or_else(none));
        };
        let (form, seconds) = match portable {
            Some(portable) if *least > MARGIN * portable => (self.portable, portable),
            _ => (*best, *least),
        };
        Ok(Fastest { form, microseconds: seconds * 1e6, portable: portable.map(|seconds| seconds * 1e6) })
    }

    /// A step that computes the product, and how many runs of it take long enough to be measured.
    fn ready(&self, device: &Device) -> Result<(Step, u32)> {
        let graph = Graph::new();
        let product = self.record(&graph)?;
        let mut step = graph.infer(&[product]).compile(device, &Params::seeded(0))?;
        // The first run compiles. A driver that translates a kernel wrongly, or leaves work out, may well be the fastest.
        seconds(&mut step, 1)?;
        if let Some((number, row)) = wrong_row(&self.a, &self.b, &step.read(product)?.to_vec()) {
            let message = format!("row {row} of product {number} is wrong: the driver miscompiles the kernel");
            return Err(Error::new(ErrorKind::Check, message));
        }
        let mut count = 1;
        while count < 256 {
            let time = seconds(&mut step, count)?;
            if time >= LEAST {
                break;
            }
            count = (2 * count).max((LEAST / time * f64::from(count)) as u32).min(256);
        }
        Ok((step, count))
    }
}

/// How long so many runs take.
fn seconds(step: &mut Step, count: u32) -> Result<f64> {
    let start = Instant::now();
    step.run_many(count, [])?;
    step.wait()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The sizes that stand for all of a class: those of its name, as far as they are not too large to try.
fn representative(sizes: Sizes) -> Sizes {
    let up = |size: usize| size.next_power_of_two();
    let Sizes { batch, rows, columns, inner } = sizes;
    let mut sizes = Sizes { batch: up(batch), rows: up(rows), columns: up(columns), inner: up(inner) };
    loop {
        let Sizes { batch, rows, columns, inner } = sizes;
        if batch * (rows * inner).max(inner * columns).max(rows * columns) <= LARGEST {
            return sizes;
        }
        if batch > 1 {
            sizes.batch /= 2;
        } else {
            let greatest = rows.max(columns).max(inner);
            for size in [&mut sizes.rows, &mut sizes.columns, &mut sizes.inner] {
                if *size == greatest {
                    *size /= 2;
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_measured_with_its_own_sizes_unless_they_are_huge() {
        let sizes = |batch, rows, columns, inner| Sizes { batch, rows, columns, inner };
        assert_eq!(representative(sizes(1, 100, 3, 65)), sizes(1, 128, 4, 128));
        assert_eq!(representative(sizes(1, 128, 4, 128)), sizes(1, 128, 4, 128));
        assert_eq!(representative(sizes(64, 4096, 32, 1024)), sizes(1, 4096, 32, 1024));
        let huge = representative(sizes(1, 100_000, 8, 100_000));
        assert!(huge.rows * huge.inner <= LARGEST && huge.columns == 8);
    }
}
