//! What weights are called in the files of other programs, how they lie there, and which are wanted.

use super::layout::WeightLayout;
use super::pattern::Pattern;
use crate::base::{Error, ErrorKind, Result};
use std::fmt;

/// What the parameters of a model are called in a file, how they lie there, and which of them are wanted: what
/// [`State::load_weights`](crate::State::load_weights) and [`State::save_weights`](crate::State::save_weights) follow.
///
/// Names may hold one `*`, which stands for any text, also none. Of rules for one name the first counts.
///
/// ```
/// use retrograd::train::{WeightLayout, WeightMapping};
///
/// let mapping = WeightMapping::pytorch()
///     .rename("encoder.*", "bert.encoder.*")          // here, and in the file
///     .rename("scores.weight", "classifier.out.kernel")
///     .layout("scores.weight", WeightLayout::Transposed)
///     .allow_missing("head.*")                        // begins anew
///     .allow_unused("pooler.*");                      // not wanted here
/// # let _ = mapping;
/// ```
#[derive(Default)]
pub struct WeightMapping {
    names: Vec<(Pattern, Pattern)>,
    by: Option<Box<NameOf>>,
    layouts: Vec<(Pattern, WeightLayout)>,
    only: Vec<Pattern>,
    missing: Vec<Pattern>,
    unused: Vec<Pattern>,
    /// Whether names end as those of attention in `PyTorch` do.
    joins_attention: bool,
    /// What is wrong with the rules themselves.
    mistakes: Vec<String>,
}

type NameOf = dyn Fn(&str) -> Option<String> + Send + Sync;

impl fmt::Debug for WeightMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightMapping")
            .field("names", &self.names)
            .field("by", &self.by.as_ref().map(|_| "a function"))
            .field("layouts", &self.layouts)
            .field("only", &self.only)
            .field("missing", &self.missing)
            .field("unused", &self.unused)
            .finish_non_exhaustive()
    }
}

impl WeightMapping {
    /// The same names and layouts, all parameters, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For files of `PyTorch`: names and layouts are the same, as far as modules and layers are called the same. The input's
    /// weight and bias of multi-head attention, `in_proj.weight` here, are called `in_proj_weight` there, whatever other rules
    /// make of the rest of the name; and the counts of batches, `num_batches_tracked`, are not used, which `PyTorch` in turn does
    /// not miss.
    #[must_use]
    pub fn pytorch() -> Self {
        Self { joins_attention: true, ..Self::new().allow_unused("*num_batches_tracked") }
    }

    /// The parameter `ours` is called `theirs` in the file. With a `*` in both, whatever that stands for is the same in both.
    #[must_use]
    pub fn rename(mut self, ours: &str, theirs: &str) -> Self {
        if let (Some(ours), Some(theirs)) = (self.pattern(ours), self.pattern(theirs)) {
            if ours.has_star() == theirs.has_star() {
                self.names.push((ours, theirs));
            } else {
                let (ours, theirs) = (ours.filled("*"), theirs.filled("*"));
                self.mistakes.push(format!("`{ours}` and `{theirs}` need a `*` each, or none"));
            }
        }
        self
    }

    /// What parameters are called in the file where no other rule says so: the name there for one here, or `None` where it is
    /// the same.
    #[must_use]
    pub fn rename_by(mut self, name: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.by = Some(Box::new(name));
        self
    }

    /// How the parameters of these names here lie in the file.
    #[must_use]
    pub fn layout(mut self, ours: &str, layout: WeightLayout) -> Self {
        let pattern = self.pattern(ours);
        self.layouts.extend(pattern.map(|ours| (ours, layout)));
        self
    }

    /// Only the parameters of these names here, and those of further calls; others stay as they are, and what else the file has
    /// is not used.
    #[must_use]
    pub fn only(mut self, ours: &str) -> Self {
        let pattern = self.pattern(ours);
        self.only.extend(pattern);
        self
    }

    /// The file may lack the parameters of these names here, which then stay as they are.
    #[must_use]
    pub fn allow_missing(mut self, ours: &str) -> Self {
        let pattern = self.pattern(ours);
        self.missing.extend(pattern);
        self
    }

    /// The file may have tensors of these names there that no parameter takes.
    #[must_use]
    pub fn allow_unused(mut self, theirs: &str) -> Self {
        let pattern = self.pattern(theirs);
        self.unused.extend(pattern);
        self
    }

    fn pattern(&mut self, text: &str) -> Option<Pattern> {
        Pattern::new(text).map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    /// # Errors
    /// When the rules themselves are wrong, listing all mistakes.
    pub(super) fn check(&self) -> Result<()> {
        if self.mistakes.is_empty() {
            return Ok(());
        }
        let message = format!("the mapping of weights cannot be used:\n  {}", self.mistakes.join("\n  "));
        Err(Error::new(ErrorKind::Argument, message))
    }

    /// The name in the file of a parameter.
    pub(super) fn name_of(&self, ours: &str) -> String {
        let by_rule = self.names.iter().find_map(|(from, to)| Some(to.filled(from.matched(ours)?)));
        let name = by_rule.or_else(|| self.by.as_ref()?(ours)).unwrap_or_else(|| ours.to_owned());
        let joined = |part: &str| Some(format!("{}in_proj_{part}", name.strip_suffix(part)?.strip_suffix("in_proj.")?));
        let joined = if self.joins_attention { joined("weight").or_else(|| joined("bias")) } else { None };
        joined.unwrap_or(name)
    }

    pub(super) fn layout_of(&self, ours: &str) -> Option<&WeightLayout> {
        self.layouts.iter().find(|(pattern, _)| pattern.matched(ours).is_some()).map(|(_, layout)| layout)
    }

    pub(super) fn wants(&self, ours: &str) -> bool {
        self.only.is_empty() || any(&self.only, ours)
    }

    pub(super) fn may_be_missing(&self, ours: &str) -> bool {
        any(&self.missing, ours)
    }

    pub(super) fn may_be_unused(&self, theirs: &str) -> bool {
        !self.only.is_empty() || any(&self.unused, theirs)
    }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matched(name).is_some())
}
