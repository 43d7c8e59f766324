//! What a dispatch that ran alone has done.

use super::judge::{Figures, POISON, SENTINEL, Want, compare};
use crate::base::Shape;
use crate::dispatch::Alone;

/// What is said of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that it wrote agrees with the reference.
    Agrees,
    /// It does not run in this step, which only adds up gradients.
    Skipped,
    /// Nothing that it writes could be compared, as what kernels of one op use among themselves: what is computed of that is.
    Intermediate,
    /// An element differs by more than is allowed.
    Wrong,
    /// An element was not written.
    Missing,
    /// Something was written that it should not have.
    Stray,
    /// What it reads was overwritten by another dispatch after it was stored.
    Overwritten,
    /// The device refused it.
    Failed,
}

impl Verdict {
    /// Whether something is wrong.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Wrong | Self::Missing | Self::Stray | Self::Overwritten | Self::Failed)
    }

    /// The verdict in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Skipped => "skipped",
            Self::Intermediate => "intermediate",
            Self::Wrong => "WRONG",
            Self::Missing => "MISSING WRITE",
            Self::Stray => "STRAY WRITE",
            Self::Overwritten => "OVERWRITTEN",
            Self::Failed => "FAILED",
        }
    }
}

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub figures: Figures,
    pub verdict: Verdict,
    /// What is wrong, in words.
    pub finding: String,
}

/// Looks at what a dispatch has written. Strays are looked for first, as they tell most, then what is missing.
pub(super) fn judge(before: &Alone, after: &Alone, wants: &[Want], poisoned: bool) -> Outcome {
    let usages = &after.plan.kernels[0].usages;
    let mut figures = Figures::default();
    let (mut stray, mut missing, mut wrong) = (None, None, None);
    for number in (0..usages.len()).filter(|&number| usages[number].writes()) {
        let (was, is) = (&before.buffers[number], &after.buffers[number]);
        // What stands behind the tensor, and what of the state the dispatch has no business with.
        let own: Vec<&Want> = wants.iter().filter(|want| want.binding == number).collect();
        let wanted = |place: usize| own.iter().any(|want| want.words.contains(&place));
        let sentinels = is.iter().rev().zip(was.iter().rev()).take_while(|(_, was)| **was == SENTINEL).count();
        let end = is.len() - sentinels;
        let meddled = |place: &usize| is[*place] != was[*place] && (*place >= end || (!poisoned && !wanted(*place)));
        let mut places = (0..is.len()).filter(meddled);
        if let (None, Some(first)) = (&stray, places.next()) {
            let count = 1 + places.count();
            let what = own.first().map_or("what it shares with other kernels", |want| want.what.as_str());
            stray = Some(if first >= end {
                format!("{count} words behind {what} were written, the first of them is number {}", first - end + 1)
            } else {
                format!("{count} words were written that are none of {what}, the first is word {first} of its memory")
            });
        }
    }
    for want in wants {
        let words = &after.buffers[want.binding][want.words.clone()];
        if poisoned && missing.is_none() {
            let mut places = (0..words.len()).filter(|&place| words[place] == POISON);
            if let Some(first) = places.next() {
                let count = 1 + places.count();
                let of = words.len();
                let place = if words.len() == want.values.len() {
                    format!("{:?}", Shape::from(want.shape.as_slice()).place_of(first))
                } else {
                    format!("number {first}")
                };
                missing =
                    Some(format!("{count} of {of} elements of {} were not written, the first is {place}", want.what));
            }
        }
        let got = want.reading.read(words);
        let (found, elements) = compare(&got, want);
        figures = figures.join(found);
        if let (None, Some(&worst)) = (&wrong, elements.first()) {
            let value =
                |of: &[f64]| of.get(worst).map_or_else(|| "nothing".into(), |value| format!("{:e}", *value as f32));
            wrong = Some(format!(
                "{} of {} elements of {} are wrong, the first is {}: it is {} and should be {}",
                elements.len(),
                want.values.len(),
                want.what,
                format_args!("{:?}", Shape::from(want.shape.as_slice()).place_of(worst)),
                value(&got),
                value(&want.values)
            ));
        }
    }
    let agrees = if figures.elements == 0 { Verdict::Intermediate } else { Verdict::Agrees };
    let (verdict, finding) = match (stray, missing, wrong) {
        (Some(text), _, _) => (Verdict::Stray, text),
        (None, Some(text), _) => (Verdict::Missing, text),
        (None, None, Some(text)) => (Verdict::Wrong, text),
        (None, None, None) => (agrees, String::new()),
    };
    Outcome { figures, verdict, finding }
}
