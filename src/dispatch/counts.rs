use std::collections::BTreeMap;

/// What is counted of every parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Its updates so far, by whatever optimizer: what schedules follow.
    pub updates: Vec<u32>,
    /// Its updates since an optimizer state was zero, by the name of the state.
    pub states: BTreeMap<String, Vec<u32>>,
    /// Gradients that were added up since its last update.
    pub gathered: Vec<u32>,
    /// Updates that its running average is of, where it has one.
    pub averages: Vec<Option<u32>>,
}

impl Counts {
    /// Nothing has happened to so many parameters.
    #[must_use]
    pub fn new(parameters: usize) -> Self {
        Self {
            updates: vec![0; parameters],
            states: BTreeMap::new(),
            gathered: vec![0; parameters],
            averages: vec![None; parameters],
        }
    }

    /// The updates of a parameter since these optimizer states of it were zero, those since the last one was.
    #[must_use]
    pub fn since_zero(&self, states: &[&str], parameter: usize) -> u32 {
        let of = |state: &&str| self.states.get(*state).map_or(0, |counts| counts[parameter]);
        states.iter().map(of).min().unwrap_or(self.updates[parameter])
    }

    /// Counts updates of a parameter by an optimizer with these states.
    pub fn has_updated(&mut self, states: &[&str], parameter: usize, updates: u32) {
        self.updates[parameter] = self.updates[parameter].saturating_add(updates);
        for state in states {
            let none = || vec![0; self.updates.len()];
            // A file may have brought any count; the least of all is what optimizers go by.
            let count = &mut self.states.entry((*state).to_owned()).or_insert_with(none)[parameter];
            *count = count.saturating_add(updates);
        }
    }
}
