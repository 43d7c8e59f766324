//! What of a plan another compilation can take over, and the fingerprint of what runs.

use super::{Plan, Profile};
use crate::base::{Error, ErrorKind, Fingerprint, Fingerprinter, Result};
use crate::fuse::{Form, Forms, Sizes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that is chosen when a step is compiled for a device: the class and limits that kernels are written for, and the
/// form of every matrix product. Plain data: keep it as a file, and have other compilations take it over with
/// [`Training::pinned`](crate::Training::pinned).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// The limits, and the class of kernels.
    pub profile: Profile,
    /// The products, in the order of the plan.
    pub products: Vec<ChosenForm>,
    /// The [fingerprint](Plan::fingerprint) of the plan.
    pub plan: Fingerprint,
}

/// The kernel of a matrix product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenForm {
    /// The sizes.
    pub sizes: Sizes,
    /// Its class of sizes: see [`Sizes::class`].
    pub class: String,
    /// The form.
    pub form: Form,
}

impl Plan {
    /// What was chosen, for another compilation to take over.
    #[must_use]
    pub fn choices(&self) -> Choices {
        let chosen = self.dispatches.iter().filter_map(|dispatch| dispatch.chosen.as_ref());
        let product = |chosen: &crate::fuse::Chosen| ChosenForm {
            sizes: chosen.sizes,
            class: chosen.class.clone(),
            form: chosen.form,
        };
        Choices {
            profile: Profile { forms: Forms::default(), ..self.profile.clone() },
            products: chosen.map(product).collect(),
            plan: self.fingerprint(),
        }
    }

    /// A fingerprint of what runs: the texts of all kernels, the dispatches with what they bind and their workgroups, the
    /// memory, and where results lie. Source lines, names and scopes do not count, nor what choices were made by.
    ///
    /// Compiling the same recording twice for the same device gives the same one. Steps with the same fingerprint on the same
    /// device and driver compute the same bits from the same state, seed and data; constants of the recording are data as
    /// well, and do not count. On the CPU, where kernels have no text, it covers their descriptions.
    ///
    /// # Panics
    /// Never: a plan is plain data.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut plan = self.clone();
        plan.profile = Profile::webgpu_default();
        plan.apart.clear();
        for kernel in &mut plan.kernels {
            kernel.name.clear();
        }
        for dispatch in &mut plan.dispatches {
            dispatch.label.clear();
            dispatch.location.clear();
            dispatch.scope.clear();
            dispatch.chosen = None;
        }
        let mut fingerprinter = Fingerprinter::new("plan");
        let text = serde_json::to_vec(&plan).expect("a plan is plain data, whose maps have keys of text");
        fingerprinter.bytes(&text);
        fingerprinter.finish()
    }
}

impl Choices {
    /// The profile to plan for, on a device with the profile `device`.
    pub(crate) fn profile_on(&self, device: &Profile) -> Result<Profile> {
        let refuse = |kind: ErrorKind, reason: String| {
            Error::new(kind, format!("the pinned choices cannot be taken over: {reason}"))
        };
        self.profile.within(device).map_err(|error| refuse(error.kind(), error.to_string()))?;
        let chooser = self.profile.chooser();
        if let Some(product) = self.products.iter().find(|product| !chooser.runs(product.form, product.sizes)) {
            let ChosenForm { sizes, form, .. } = product;
            let Sizes { batch, rows, columns, inner } = sizes;
            return Err(refuse(
                ErrorKind::Limit,
                format!(
                    "`{}` does not compute the {batch} products of {rows} x {inner} by {inner} x {columns} with {:?} kernels, {} \
                     invocations and {} bytes of workgroup memory",
                    form.name(),
                    self.profile.class,
                    self.profile.invocations,
                    self.profile.workgroup_bytes
                ),
            ));
        }
        let mut pinned: BTreeMap<String, Form> = BTreeMap::new();
        for product in &self.products {
            let form = pinned.entry(product.sizes.exactly(&product.class)).or_insert(product.form);
            // Where operands do not lie as it needs, this form is replaced anyway: see `contract::choose`.
            if product.form == Form::Vector {
                *form = Form::Vector;
            }
        }
        Ok(Profile { forms: Forms { pinned, ..Forms::default() }, ..self.profile.clone() })
    }

    /// Checks that a plan that was made with these choices is the one that they were taken from.
    pub(crate) fn check(&self, plan: &Plan) -> Result<()> {
        let made = plan.choices();
        if made.plan == self.plan {
            return Ok(());
        }
        let [here, there] = [&made.products, &self.products].map(Vec::len);
        let other = made.products.iter().zip(&self.products).position(|(one, other)| one != other);
        let difference = match other {
            Some(place) => format!(
                "product {place} is {:?} by `{}`, and was {:?} by `{}`",
                made.products[place].sizes,
                made.products[place].form.name(),
                self.products[place].sizes,
                self.products[place].form.name()
            ),
            None if here != there => format!("it has {here} matrix products, and had {there}"),
            None => "all matrix products are the same, and other kernels or buffers are not".to_owned(),
        };
        let message = format!(
            "this is not the plan that the choices were pinned for, which was {:#} and is {:#}: {difference}. They are good for the \
             same recording, settings of the step and version of this library; make them anew with `Plan::choices`",
            self.plan, made.plan
        );
        Err(Error::new(ErrorKind::Argument, message))
    }
}
