//! Which columns of a file are read, as what, and what becomes of values that are missing: the same for every format of tables.

use super::column::{Builder, shown};
use super::{Kind, Missing};
use crate::base::Result;
use crate::data::source::fault;
use std::collections::BTreeMap;

/// Most names that a message lists.
const LISTED: usize = 30;

#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub missing: Missing,
    pub missing_in: BTreeMap<String, Missing>,
    pub kinds: BTreeMap<String, Kind>,
    pub left_out: Vec<String>,
    pub only: Option<Vec<String>>,
}

impl Selection {
    pub fn leave_out(&mut self, columns: &[&str]) {
        self.left_out.extend(columns.iter().map(|&column| column.to_owned()));
    }

    pub fn only(&mut self, columns: &[&str]) {
        self.only = Some(columns.iter().map(|&column| column.to_owned()).collect());
    }

    /// Refuses settings for columns that the file does not have, and a selection that leaves none.
    pub fn check(&self, file: &str, names: &[String]) -> Result<()> {
        let settings =
            self.missing_in.keys().chain(self.kinds.keys()).chain(&self.left_out).chain(self.only.iter().flatten());
        if let Some(unknown) = settings.into_iter().find(|setting| !names.contains(setting)) {
            let list: Vec<String> = names.iter().take(LISTED).map(|name| format!("`{}`", shown(name))).collect();
            let more = if names.len() > LISTED { ", .." } else { "" };
            let list = list.join(", ");
            return Err(fault(
                file,
                format!("has no column `{unknown}`, for which there is a setting: it has {list}{more}"),
            ));
        }
        if names.iter().any(|name| self.reads(name)) {
            Ok(())
        } else {
            Err(fault(file, "has no column left that is to be read"))
        }
    }

    pub fn reads(&self, name: &String) -> bool {
        !self.left_out.contains(name) && self.only.as_ref().is_none_or(|only| only.contains(name))
    }

    /// What gathers the values of a column, of which the file may say itself what it holds.
    pub fn builder(&self, name: &str, own: Option<Kind>) -> Builder {
        let missing = self.missing_in.get(name).copied().unwrap_or(self.missing);
        Builder::new(name.to_owned(), self.kinds.get(name).copied().or(own), missing)
    }
}
