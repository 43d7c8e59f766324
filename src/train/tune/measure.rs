//! The time of a product by every kernel that could compute it.

use crate::base::{Result, fingerprint};
use crate::dispatch::Device;
use crate::fuse::{Chosen, Form, Sizes};
use crate::record::{Graph, KernelClass, Params, Tensor};
use std::time::Instant;

/// Rounds in which every candidate is measured once, in turn: what disturbs the machine disturbs all.
const ROUNDS: usize = 5;
/// What a measurement should take at least, in seconds.
const LEAST: f64 = 5e-3;
/// How much faster than the portable choice another one must be, or it is taken for noise.
const MARGIN: f64 = 0.97;

/// A product by itself, of the sizes and layouts of one in a plan.
pub struct Product<'a> {
    device: &'a Device,
    sizes: Sizes,
    /// Whether A, and B, are stored with their axes exchanged.
    turned: [bool; 2],
    portable: Form,
    candidates: Vec<(Form, Device)>,
}

impl<'a> Product<'a> {
    pub fn new(device: &'a Device, chosen: &Chosen) -> Result<Self> {
        let profile = device.profile();
        let with = |form: Option<Form>| {
            let mut profile = profile.clone();
            profile.forms.forced = form;
            device.with_profile(profile)
        };
        let runs = |form: &&Form| profile.chooser().runs(**form, chosen.sizes);
        let candidates = Form::of_class(profile.class).iter().filter(runs).map(|&form| Ok((form, with(Some(form))?)));
        Ok(Self {
            device,
            sizes: chosen.sizes,
            turned: [chosen.lie.starts_with('o'), chosen.lie.ends_with('i')],
            portable: chosen.form,
            candidates: candidates.collect::<Result<_>>()?,
        })
    }

    /// Records the product. Returns its operands, too.
    fn record<'g>(&self, graph: &'g Graph) -> [Tensor<'g>; 3] {
        let Sizes { batch, rows, columns, inner } = self.sizes;
        let [a, b] = self.turned;
        let operand = |name: &str, [first, second]: [usize; 2], turned: bool| {
            let stored = if turned { [batch, second, first] } else { [batch, first, second] };
            let input = graph.input(name, stored);
            (input, if turned { input.transpose() } else { input })
        };
        let (a_input, a) = operand("a", [rows, inner], a);
        let (b_input, b) = operand("b", [inner, columns], b);
        [a_input, b_input, a.matmul(b)]
    }

    /// A number of the texts of all candidates: another one, where a kernel is written otherwise.
    pub fn fingerprint(&self) -> String {
        let mut texts = String::new();
        for (form, device) in &self.candidates {
            let graph = Graph::new();
            let [.., product] = self.record(&graph);
            texts += form.name();
            // What cannot be planned is found when it is measured.
            if let Ok(plan) = graph.infer(&[product]).plan(&Params::seeded(0), &device.profile()) {
                plan.kernels.iter().for_each(|kernel| texts += &kernel.wgsl);
            }
        }
        format!("{:016x}", fingerprint(&texts))
    }

    /// The fastest form, with its microseconds.
    pub fn fastest(&self) -> Result<(Form, f64)> {
        let Sizes { batch, rows, columns, inner } = self.sizes;
        // Neither zero nor growing: nothing a processor would treat as a special case.
        let (a, b) = (vec![0.5f32; batch * rows * inner], vec![0.25f32; batch * inner * columns]);
        let graph = Graph::new();
        let [a_input, b_input, product] = self.record(&graph);
        let mut steps = Vec::new();
        for (form, device) in &self.candidates {
            let mut step = graph.infer(&[product]).compile(device, &Params::seeded(0))?;
            // The first run compiles, the second shows how many fill the time.
            let mut count = 1;
            loop {
                step.run([a_input.feed(&a), b_input.feed(&b)])?;
                self.device.wait()?;
                let start = Instant::now();
                step.run_many(count, [a_input.feed(&a), b_input.feed(&b)])?;
                self.device.wait()?;
                let seconds = start.elapsed().as_secs_f64();
                if seconds >= LEAST || count >= 256 {
                    break;
                }
                count = (count * 2).max((LEAST / seconds * f64::from(count)) as u32).min(256);
            }
            steps.push((*form, step, count, f64::INFINITY));
        }
        for _ in 0..ROUNDS {
            for (_, step, count, least) in &mut steps {
                let start = Instant::now();
                step.run_many(*count, [a_input.feed(&a), b_input.feed(&b)])?;
                self.device.wait()?;
                *least = least.min(start.elapsed().as_secs_f64() / f64::from(*count));
            }
        }
        let portable = steps.iter().find(|(form, ..)| *form == self.portable).map(|(.., least)| *least);
        let (best, .., least) = steps.iter().min_by(|one, other| one.3.total_cmp(&other.3)).ok_or_else(|| {
            let class: KernelClass = self.device.profile().class;
            crate::base::Error::new(
                crate::base::ErrorKind::Limit,
                format!("there is no kernel of class {class:?} for products of {:?}", self.sizes),
            )
        })?;
        match portable {
            Some(portable) if *least > MARGIN * portable => Ok((self.portable, portable * 1e6)),
            _ => Ok((*best, *least * 1e6)),
        }
    }
}
