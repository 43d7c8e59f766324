//! A column as it grows, cell by cell.

use super::{Kind, Missing, Table};
use crate::base::{Error, ErrorKind, Result};
use crate::data::{Labels, Tensors};
use std::collections::{BTreeMap, HashMap};

/// More categories than these are texts that name nothing but their row.
const MOST_CATEGORIES: usize = 1 << 16;
/// A longer text is no name of a category.
const MOST_TEXT: usize = 1000;
/// The category of what is missing.
const MISSING: &str = "missing";
/// Integers up to this are all told apart in single precision.
const EXACT: f64 = 16_777_216.0;

/// A column of a table as it is read: every cell takes four bytes.
#[derive(Debug)]
pub(in crate::data) struct Builder {
    pub name: String,
    /// What it is to hold, where that was said.
    pub wanted: Option<Kind>,
    pub missing: Missing,
    cells: Cells,
    /// The rows whose value is missing, in ascending order.
    gaps: Vec<usize>,
    /// Whether integers are so large that neighbours become the same float.
    coarse: bool,
}

#[derive(Debug)]
enum Cells {
    /// Nothing but missing values so far, this many.
    Unknown(usize),
    Integers(Vec<i32>),
    Floats(Vec<f32>),
    Categories {
        numbers: Vec<i32>,
        known: HashMap<Box<str>, i32>,
    },
}

/// What a text says as a number.
enum Number {
    Integer(i32),
    Float(f64),
}

/// The value of digits that fit an `i32`, without the cost of a float's.
fn integer(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.bytes().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    i32::try_from(if text.starts_with('-') { -value } else { value }).ok()
}

fn number(text: &str) -> Option<Number> {
    // Words such as `infinity` are numbers for the parser, and a text for everyone else.
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || b"+-.".contains(&first)) {
        return None;
    }
    match integer(text) {
        Some(value) => Some(Number::Integer(value)),
        None => text.parse().ok().map(Number::Float),
    }
}

impl Builder {
    pub const fn new(name: String, wanted: Option<Kind>, missing: Missing) -> Self {
        let cells = Cells::Unknown(0);
        Self { name, wanted, missing, cells, gaps: Vec::new(), coarse: false }
    }

    pub const fn len(&self) -> usize {
        match &self.cells {
            Cells::Unknown(count) => *count,
            Cells::Integers(values) => values.len(),
            Cells::Floats(values) => values.len(),
            Cells::Categories { numbers, .. } => numbers.len(),
        }
    }

    /// Adds a value that is missing.
    pub fn push_missing(&mut self) -> Result<(), String> {
        if self.missing == Missing::Error {
            return Err("has no value: say by `missing` what becomes of it".into());
        }
        self.gaps.push(self.len());
        match &mut self.cells {
            Cells::Unknown(count) => *count += 1,
            Cells::Integers(values) => values.push(0),
            Cells::Floats(values) => values.push(0.0),
            Cells::Categories { numbers, .. } => numbers.push(-1),
        }
        Ok(())
    }

    /// Adds what a text says. The first value decides what a column holds, unless that was said: a number is followed by numbers.
    pub fn push(&mut self, text: &str) -> Result<(), String> {
        if matches!(self.cells, Cells::Unknown(_)) {
            self.begin(match self.wanted {
                Some(kind) => kind,
                None if number(text).is_some() => Kind::Integer,
                None => Kind::Category,
            });
        }
        if let Cells::Categories { numbers, known } = &mut self.cells {
            if let Some(&number) = known.get(text) {
                numbers.push(number);
                return Ok(());
            }
            if text.len() > MOST_TEXT {
                return Err(format!(
                    "holds a text of {} bytes, which is no name of a category: is a quote not closed, or is the column to be left \
                     out by `without`?",
                    text.len()
                ));
            }
            if known.len() == MOST_CATEGORIES {
                return Err(format!(
                    "holds more than {MOST_CATEGORIES} different texts, which are no categories: leave it out by `without`"
                ));
            }
            let number = known.len() as i32;
            known.insert(text.into(), number);
            numbers.push(number);
            return Ok(());
        }
        let no_number = || {
            format!(
                "is `{}`, and the column holds numbers: make it categories by `category`, or name texts that stand for no value by `missing_texts`",
                shown(text)
            )
        };
        match number(text).ok_or_else(no_number)? {
            Number::Integer(value) => self.push_integer(value),
            Number::Float(value) => self.push_float(value).map_err(|what| format!("is `{}`, {what}", shown(text))),
        }
    }

    pub fn push_integer(&mut self, value: i32) -> Result<(), String> {
        if matches!(self.cells, Cells::Unknown(_)) {
            self.begin(self.wanted.unwrap_or(Kind::Integer));
        }
        match &mut self.cells {
            Cells::Integers(values) => values.push(value),
            Cells::Floats(values) => {
                self.coarse |= f64::from(value).abs() > EXACT;
                values.push(value as f32);
            }
            _ => return self.push(&value.to_string()),
        }
        Ok(())
    }

    pub fn push_float(&mut self, value: f64) -> Result<(), String> {
        if matches!(self.cells, Cells::Unknown(_)) {
            self.begin(self.wanted.unwrap_or(Kind::Float));
        }
        let single = value as f32;
        if !single.is_finite() {
            return Err("which single precision does not hold".into());
        }
        if let Cells::Integers(values) = &mut self.cells {
            if self.wanted == Some(Kind::Integer) {
                return Err("and the column is to hold integers that fit an i32".into());
            }
            self.coarse |= values.iter().any(|&value| f64::from(value).abs() > EXACT);
            self.cells = Cells::Floats(values.iter().map(|&value| value as f32).collect());
        }
        if let Cells::Floats(values) = &mut self.cells {
            self.coarse |= value.fract() == 0.0 && value.abs() > EXACT;
            values.push(single);
            return Ok(());
        }
        self.push(&value.to_string())
    }

    fn begin(&mut self, kind: Kind) {
        let gaps = self.len();
        self.cells = match kind {
            Kind::Integer => Cells::Integers(vec![0; gaps]),
            Kind::Float => Cells::Floats(vec![0.0; gaps]),
            Kind::Category => Cells::Categories { numbers: vec![-1; gaps], known: HashMap::new() },
        };
    }

    /// Fills what is missing, of the rows that are kept.
    fn fill(&mut self, file: &str, kept: &dyn Fn(usize) -> bool) -> Result<usize> {
        let name = &self.name;
        let gaps: Vec<usize> = self.gaps.iter().copied().filter(|&row| kept(row)).collect();
        if gaps.is_empty() {
            return Ok(0);
        }
        let value = match (self.missing, &self.cells) {
            (Missing::Value(value), _) => value,
            (_, Cells::Categories { .. }) => 0.0,
            (_, Cells::Unknown(_)) => {
                let text = format!(
                    "{file}: column `{name}` has no value in any row, and so no mean: leave it out by `without`"
                );
                return Err(Error::new(ErrorKind::File, text));
            }
            _ => self.mean(),
        };
        let whole = value.fract() == 0.0 && value.abs() <= EXACT as f32;
        if let Cells::Integers(values) = &self.cells
            && !whole
        {
            self.coarse |= values.iter().any(|&value| f64::from(value).abs() > EXACT);
            self.cells = Cells::Floats(values.iter().map(|&value| value as f32).collect());
        }
        match &mut self.cells {
            Cells::Unknown(count) => self.cells = Cells::Floats(vec![value; *count]),
            Cells::Integers(values) => gaps.iter().for_each(|&row| values[row] = value as i32),
            Cells::Floats(values) => gaps.iter().for_each(|&row| values[row] = value),
            Cells::Categories { numbers, known } => {
                let next = known.len() as i32;
                let number = *known.entry(MISSING.into()).or_insert(next);
                for &row in &gaps {
                    numbers[row] = number;
                }
            }
        }
        Ok(gaps.len())
    }

    /// The mean of the values that are there, also of those in rows that are left out.
    fn mean(&self) -> f32 {
        let mut gaps = self.gaps.iter().copied().peekable();
        let (mut sum, mut count) = (0f64, 0f64);
        let mut add = |row: usize, value: f64| {
            if gaps.next_if_eq(&row).is_none() {
                sum += value;
                count += 1.0;
            }
        };
        match &self.cells {
            Cells::Integers(values) => values.iter().enumerate().for_each(|(row, &value)| add(row, f64::from(value))),
            Cells::Floats(values) => values.iter().enumerate().for_each(|(row, &value)| add(row, f64::from(value))),
            _ => {}
        }
        (sum / count) as f32
    }
}

/// Leaves out the elements whose place is not kept.
fn keep<T>(values: &mut Vec<T>, kept: &dyn Fn(usize) -> bool) {
    let mut place = 0;
    values.retain(|_| {
        place += 1;
        kept(place - 1)
    });
}

/// The beginning of a text, for a message.
pub(super) fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        start.push_str("..");
    }
    start
}

/// The table of columns that are complete, by their policies; `file` is what errors call it.
pub(in crate::data) fn finish(file: &str, builders: Vec<Builder>) -> Result<Table> {
    let rows = builders.first().map_or(0, Builder::len);
    let mut gone: Vec<usize> = builders
        .iter()
        .filter(|builder| builder.missing == Missing::DropRow)
        .flat_map(|builder| builder.gaps.iter().copied())
        .collect();
    gone.sort_unstable();
    gone.dedup();
    let is_gone = vec_of_flags(rows, &gone);
    let kept = |row: usize| is_gone.is_empty() || !is_gone[row];
    if gone.len() == rows {
        return Err(Error::new(
            ErrorKind::File,
            format!(
                "{file}: every one of {rows} rows has a missing value, and was dropped: fill them, or leave columns out by `without`"
            ),
        ));
    }
    let (mut tensors, mut categories, mut filled) = (Tensors::new(), BTreeMap::new(), BTreeMap::new());
    for mut builder in builders {
        let count = builder.fill(file, &kept)?;
        if count > 0 {
            filled.insert(builder.name.clone(), count);
        }
        let name = builder.name;
        if builder.coarse && matches!(builder.cells, Cells::Floats(_)) {
            log::warn!(
                "{file}: column `{name}` holds integers beyond {EXACT}, of which single precision cannot tell all apart"
            );
        }
        let left = rows - gone.len();
        tensors = match builder.cells {
            // Without a value, and not dropped: there are no rows.
            Cells::Unknown(_) => tensors.column(&name, [left], vec![0f32; left])?,
            Cells::Integers(mut values) => {
                if !gone.is_empty() {
                    keep(&mut values, &kept);
                }
                tensors.column(&name, [left], values)?
            }
            Cells::Floats(mut values) => {
                if !gone.is_empty() {
                    keep(&mut values, &kept);
                }
                tensors.column(&name, [left], values)?
            }
            Cells::Categories { mut numbers, known } => {
                if !gone.is_empty() {
                    keep(&mut numbers, &kept);
                }
                let labels = renumber(&mut numbers, &known);
                categories.insert(name.clone(), labels);
                tensors.column(&name, [left], numbers)?
            }
        };
    }
    Ok(Table::new(tensors, categories, gone.len(), filled))
}

fn vec_of_flags(rows: usize, places: &[usize]) -> Vec<bool> {
    if places.is_empty() {
        return Vec::new();
    }
    let mut flags = vec![false; rows];
    for &place in places {
        flags[place] = true;
    }
    flags
}

/// Numbers in the order of the names, of those that are there.
fn renumber(numbers: &mut [i32], known: &HashMap<Box<str>, i32>) -> Labels {
    let mut used = vec![false; known.len()];
    for &number in numbers.iter() {
        used[number as usize] = true;
    }
    let labels =
        Labels::fit(known.iter().filter(|&(_, &number)| used[number as usize]).map(|(name, _)| name.to_string()));
    let mut new = vec![-1; known.len()];
    for (name, &number) in known {
        new[number as usize] = labels.number(name).unwrap_or(-1);
    }
    for number in numbers.iter_mut() {
        *number = new[*number as usize];
    }
    labels
}
