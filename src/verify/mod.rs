//! Runs of a compiled step dispatch by dispatch, on the user's own device and data, against the float64 reference.
//!
//! Every dispatch runs alone, on memory of its own that holds what the device itself has computed so far, so errors do not
//! add up and each kernel is judged by itself. What it shall write is filled with a NaN that nothing computes, and behind
//! every tensor stand sentinel words, which are bound as well: what is not written, and what is written elsewhere, is found.
//! What it wrote is compared with the same ops in float64, or with the optimizer's rule in float64.
//!
//! An element may differ by some roundings, more in long sums. Where one differs by more, the reference is evaluated again with
//! small random changes of all that the element follows from: where they move it as far, single precision cannot do better,
//! and the element counts as conditioned, not as wrong.

mod judge;
mod nodes;
mod outcome;
mod report;
mod reproduction;
mod state;
mod walk;

pub use judge::{Figures, ulps};
pub use outcome::Verdict;
pub use report::{DispatchReport, Divergence, Verification};
pub use reproduction::{Replayed, Reproduction};

use crate::base::{Error, ErrorKind, Result};
use crate::dispatch::Device;
use crate::plan::{Binding, Buffer, BufferKind, Plan};
use crate::record::{Feed, Leaf, NodeKind, TensorId};
use crate::train::{Prepared, Step};
use walk::Walk;

impl Step {
    /// Verifies what the next run would do on these feeds, dispatch by dispatch: see [the module](crate::verify). Nothing is
    /// changed: parameters, optimizer states and the number of steps stay as they are.
    ///
    /// ```
    /// # use retrograd::{nn, optim::Adam, Device, Graph, Params};
    /// # fn main() -> retrograd::Result<()> {
    /// # let (device, mut params, g) = (Device::cpu(), Params::seeded(1), Graph::new());
    /// # let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    /// let x = g.input("x", [4, 3]);
    /// let loss = layer.forward(x).relu().square().mean(..);
    /// let mut step = g.train(loss, Adam::new(1e-3)).compile(&device, &params)?;
    /// let verification = step.verify([x.feed(&[0.5; 12])])?;
    /// println!("{verification}");
    /// verification.check()
    /// # }
    /// ```
    ///
    /// A run that only adds up gradients ([`Training::accumulate`](crate::Training::accumulate)) is verified as such, without the update.
    /// It takes as long as the reference does: try it on a small batch.
    ///
    /// # Errors
    /// What is wrong with the feeds; a lost device. A dispatch that diverges is no error of the call: see
    /// [`Verification::check`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn verify<'a>(&mut self, feeds: impl AsRef<[Feed<'a>]>) -> Result<Verification> {
        pollster::block_on(self.verify_async(feeds))
    }

    /// As [`verify`](Self::verify), without blocking.
    ///
    /// # Errors
    /// As there.
    pub async fn verify_async<'a>(&mut self, feeds: impl AsRef<[Feed<'a>]>) -> Result<Verification> {
        let (plan, device) = (self.plan().clone(), self.state().device().clone());
        self.verify_plan_async(&plan, &device, feeds).await
    }

    /// Verifies another plan for this step, such as one that was read from a file or changed by hand, or verifies it on
    /// another device. What it reads is what this step would.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] where the plan is not of this step's recording and state, or the device cannot run it; as
    /// [`verify`](Self::verify).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn verify_plan<'a>(
        &mut self,
        plan: &Plan,
        device: &Device,
        feeds: impl AsRef<[Feed<'a>]>,
    ) -> Result<Verification> {
        pollster::block_on(self.verify_plan_async(plan, device, feeds))
    }

    /// As [`verify_plan`](Self::verify_plan), without blocking.
    ///
    /// # Errors
    /// As there.
    pub async fn verify_plan_async<'a>(
        &mut self,
        plan: &Plan,
        device: &Device,
        feeds: impl AsRef<[Feed<'a>]>,
    ) -> Result<Verification> {
        let refuse = |reason: String| Err(Error::new(ErrorKind::Argument, reason));
        if let Err(error) = plan.profile.within(&device.profile()) {
            return refuse(format!("the plan cannot be verified on {}: {error}", device.name()));
        }
        let own = self.plan();
        // Where intermediate tensors lie may differ: whether they get in each other's way is seen.
        let lies_alike = |a: &Binding, b: &Binding| {
            let is_slot = |plan: &Plan, binding: &Binding| {
                plan.buffers.get(binding.buffer).is_some_and(|buffer| {
                    matches!(buffer.kind, BufferKind::Slot(_)) && binding.offset + binding.bytes <= buffer.bytes
                })
            };
            a == b || (a.bytes == b.bytes && is_slot(plan, a) && is_slot(own, b))
        };
        let usages = |plan: &Plan, kernel: usize| {
            plan.kernels.get(kernel).map(|kernel| (kernel.usages.clone(), kernel.uses_step))
        };
        let is_alike = plan.buffers == own.buffers
            && plan.groups == own.groups
            && plan.dispatches.len() == own.dispatches.len()
            && plan.dispatches.iter().zip(&own.dispatches).all(|(a, b)| {
                (&a.holds, a.work, a.bindings.len()) == (&b.holds, b.work, b.bindings.len())
                    && a.bindings.iter().zip(&b.bindings).all(|(a, b)| lies_alike(a, b))
                    && usages(plan, a.kernel) == usages(own, b.kernel)
                    && usages(plan, a.kernel).is_some()
            });
        if !is_alike {
            return refuse(
                "the plan is not of this step: it differs in more than its kernels and the places of slots".into(),
            );
        }
        let state = self.state().clone();
        let (prepared, pending) = {
            // No other thread changes the state before all of it is on its way.
            let _turn = state.turn();
            let prepared = self.prepare(feeds.as_ref())?;
            let is_computed = |kind: &BufferKind| matches!(kind, BufferKind::Slot(_) | BufferKind::Kept(_));
            let begin = |(number, buffer): (usize, &Buffer)| {
                (!is_computed(&buffer.kind)).then(|| prepared.program.begin_contents(number)).transpose()
            };
            let pending = plan.buffers.iter().enumerate().map(begin).collect::<Result<Vec<_>>>()?;
            (prepared, pending)
        };
        let mut contents = Vec::new();
        for pending in pending {
            contents.push(match pending {
                Some(pending) => Some(pending.finish().await?),
                None => None,
            });
        }
        arrived(&prepared, plan, &contents)?;
        Walk::new(prepared, plan, device, contents).run().await
    }
}

/// Whether what was fed, and what was recorded as constant, is what the device has.
fn arrived(prepared: &Prepared<'_>, plan: &Plan, contents: &[Option<Vec<u32>>]) -> Result<()> {
    for (buffer, words) in plan.buffers.iter().zip(contents) {
        let (wanted, node) = match &buffer.kind {
            BufferKind::Input(node) => {
                (prepared.fed.iter().find(|(fed, _)| fed == node).map(|(_, data)| data.bytes()), *node)
            }
            BufferKind::Constant(node) => match &prepared.recording.nodes[node.index()].kind {
                NodeKind::Leaf(Leaf::Constant(tensor)) => (Some(tensor.data().bytes()), *node),
                _ => continue,
            },
            _ => continue,
        };
        if let (Some(wanted), Some(words)) = (wanted, words)
            && bytemuck::cast_slice::<u32, u8>(words) != wanted
        {
            let what = prepared.recording.describe(TensorId { node, output: 0 });
            let message = format!("{what} is on the device not what was given to it: copies to it cannot be trusted");
            return Err(Error::new(ErrorKind::Check, message));
        }
    }
    Ok(())
}
