//! A program as WGSL functions.

use super::bindings::{Bindings, Place, Reader};
use crate::base::{DType, Layout, Shape};
use crate::fuse::program::{Load, Operand, Program};
use crate::fuse::resolve::Access;
use crate::record::Library;
use std::fmt::Write as _;

/// How a run of neighbouring elements of a load, as many as a program is wide, is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fours {
    /// As one vector.
    Vector,
    /// All are the same element.
    Same,
    /// One by one.
    Single,
}

/// A program as functions: one that loads, computes and stores an element, or a run of them.
#[derive(Debug)]
pub struct Fused<'a> {
    program: &'a Program,
    /// Put behind the names of functions and structs, where a kernel has several programs.
    suffix: String,
    fours: Vec<Fours>,
    width: usize,
    readers: Vec<Vec<Reader>>,
    stores: Vec<String>,
    /// Values whose sums are wanted: the results after the stores.
    totals: Vec<Operand>,
}

/// Whether a tensor may be declared as an array of vectors of so many elements, and read so by this layout.
pub fn runs(layout: &Layout, elements: usize, length: usize) -> Fours {
    let merged = layout.merged();
    let (Some(&extent), Some(&stride)) = (merged.shape.last_extent(), merged.strides.last()) else {
        return Fours::Single;
    };
    let outer = &merged.strides[..merged.strides.len() - 1];
    let aligned = outer.iter().all(|stride| stride % length as isize == 0)
        && merged.offset.is_multiple_of(length)
        && elements.is_multiple_of(length);
    match stride {
        1 if extent % length == 0 && aligned => Fours::Vector,
        0 if extent % length == 0 => Fours::Same,
        _ => Fours::Single,
    }
}

impl<'a> Fused<'a> {
    /// Binds what the program reads and writes. `primary` is the name under which its first store is bound
    /// already, if it is; `whole` the number of elements of a tensor.
    pub fn new(
        program: &'a Program,
        suffix: &str,
        width: usize,
        primary: Option<&str>,
        totals: &[Operand],
        whole: &dyn Fn(&Access) -> usize,
        bindings: &mut Bindings,
    ) -> Self {
        let mut modes: Vec<Fours> = program
            .loads
            .iter()
            .map(|load| match load {
                Load::Plain(access) if width > 1 => runs(&access.layout, whole(access), width),
                _ => Fours::Single,
            })
            .collect();
        // A binding has one element type: where one load needs single elements, all take them.
        let single = |access: &Access| {
            program.loads.iter().zip(&modes).any(|(load, mode)| {
                *mode != Fours::Vector && load.accesses().iter().any(|other| other.tensor == access.tensor)
            }) || bindings.shared(Place::Tensor(access.tensor)).is_some_and(|bound| bound.width != width)
        };
        let demoted: Vec<bool> = program
            .loads
            .iter()
            .zip(&modes)
            .map(|(load, mode)| *mode == Fours::Vector && single(load.accesses()[0]))
            .collect();
        for (mode, demoted) in modes.iter_mut().zip(demoted) {
            if demoted {
                *mode = Fours::Single;
            }
        }
        let mut readers = Vec::new();
        for (load, mode) in program.loads.iter().zip(&modes) {
            let bind = |access: &&Access| {
                bindings.read(
                    Place::Tensor(access.tensor),
                    access.dtype,
                    if *mode == Fours::Vector { width } else { 1 },
                    whole(access),
                    program.elements,
                )
            };
            readers.push(load.accesses().iter().map(bind).collect());
        }
        let mut stores = Vec::new();
        for (number, store) in program.stores.iter().enumerate() {
            stores.push(match primary {
                Some(name) if number == 0 => name.to_owned(),
                _ => bindings.write(Place::Tensor(store.tensor), store.dtype, width),
            });
        }
        Self { program, suffix: suffix.to_owned(), fours: modes, width, readers, stores, totals: totals.to_vec() }
    }

    /// The libraries that the steps call.
    pub fn libraries(&self) -> Vec<&'static Library> {
        self.program.steps.iter().flat_map(|step| step.pointwise.libraries.iter().copied()).collect()
    }

    fn results(&self) -> Vec<(Operand, DType)> {
        let stores = self.program.stores.iter().map(|store| (store.value, store.dtype));
        stores.chain(self.totals.iter().map(|&total| (total, DType::F32))).collect()
    }

    /// The functions that compute one element's results from its index, the root's value and the loads.
    pub fn functions(&self, root: Option<DType>) -> String {
        let mut text = String::new();
        for number in 0..self.program.loads.len() {
            text += &self.load_function(number);
        }
        let results = self.results();
        let suffix = &self.suffix;
        let returns = if results.len() == 1 { results[0].1.to_string() } else { format!("Fused{suffix}") };
        if results.len() > 1 {
            let _ = writeln!(text, "struct Fused{suffix} {{");
            for (number, (_, dtype)) in results.iter().enumerate() {
                let _ = writeln!(text, "    r{number}: {dtype},");
            }
            text += "}\n\n";
        }
        let mut parameters = vec!["index: u32".to_owned()];
        parameters.extend(root.map(|dtype| format!("value: {dtype}")));
        for (number, load) in self.program.loads.iter().enumerate() {
            parameters.push(format!("l{number}: {}", load.dtype()));
        }
        let _ = writeln!(text, "fn fused{suffix}({}) -> {returns} {{", parameters.join(", "));
        for (number, step) in self.program.steps.iter().enumerate() {
            let mut expression = step.pointwise.expression.clone();
            for (place, operand) in step.operands.iter().enumerate() {
                expression = expression.replace(&format!("{{{place}}}"), &Self::operand(*operand));
            }
            let _ = writeln!(text, "    let s{number} = {expression};");
        }
        let values: Vec<String> = results.iter().map(|(operand, _)| Self::operand(*operand)).collect();
        if values.len() == 1 {
            let _ = writeln!(text, "    return {};\n}}\n", values[0]);
        } else {
            let _ = writeln!(text, "    return Fused{suffix}({});\n}}\n", values.join(", "));
        }
        text
    }

    fn operand(operand: Operand) -> String {
        match operand {
            Operand::Root => "value".into(),
            Operand::Load(number) => format!("l{number}"),
            Operand::Step(number) => format!("s{number}"),
            Operand::Index => "index".into(),
            Operand::Coordinate { stride: 1, extent } => format!("(index % {extent}u)"),
            Operand::Coordinate { stride, extent } => format!("(index / {stride}u % {extent}u)"),
            Operand::Seed => "step.seed".into(),
        }
    }

    /// How load `number` is called for the element `index`, or for a run from there.
    fn call(&self, number: usize, index: &str) -> String {
        if let Load::Plain(access) = &self.program.loads[number]
            && access.layout.is_dense()
        {
            return match self.fours[number] {
                Fours::Vector => self.readers[number][0].four(index),
                _ => self.readers[number][0].one(index),
            };
        }
        format!("load{number}{}({index})", self.suffix)
    }

    /// A function for a load whose elements do not simply follow one another.
    fn load_function(&self, number: usize) -> String {
        let load = &self.program.loads[number];
        let readers = &self.readers[number];
        let (body, dtype) = match load {
            Load::Plain(access) if access.layout.is_dense() => return String::new(),
            Load::Plain(access) => {
                let merged = access.layout.merged();
                let (lines, coordinates) = Layout::coordinates(&merged.shape, "index", "c");
                let index = merged.index_expression(&coordinates);
                let used = used_lines(&lines, &index);
                match self.fours[number] {
                    Fours::Vector => {
                        (format!("{used}    return {};\n", readers[0].four(&index)), format!("vec4<{}>", access.dtype))
                    }
                    _ => (format!("{used}    return {};\n", readers[0].one(&index)), access.dtype.to_string()),
                }
            }
            Load::Joined { shape, axis, parts } => {
                let (lines, coordinates) = Layout::coordinates(shape, "index", "c");
                let mut text = String::new();
                let mut start = 0;
                for (place, part) in parts.iter().enumerate() {
                    let end = start + part.layout.shape[*axis];
                    let mut own = coordinates.clone();
                    own[*axis] = format!("({} - {start}u)", coordinates[*axis]);
                    let index = part.layout.index_expression(&own);
                    if place + 1 == parts.len() {
                        let _ = writeln!(text, "    return {};", readers[place].one(&index));
                    } else {
                        let condition = format!("{} < {end}u", coordinates[*axis]);
                        let _ = writeln!(
                            text,
                            "    if ({condition}) {{\n        return {};\n    }}",
                            readers[place].one(&index)
                        );
                    }
                    start = end;
                }
                (used_lines(&lines, &text) + &text, load.dtype().to_string())
            }
            Load::Padded { shape, access, before, steps } => {
                let (lines, coordinates) = Layout::coordinates(shape, "index", "c");
                let (condition, own) = inside(shape, &access.layout.shape, before, steps, &coordinates);
                let text = format!(
                    "    if ({condition}) {{\n        return {};\n    }}\n    return {}(0);\n",
                    readers[0].one(&access.layout.index_expression(&own)),
                    access.dtype
                );
                (used_lines(&lines, &text) + &text, access.dtype.to_string())
            }
        };
        format!("fn load{number}{}(index: u32) -> {dtype} {{\n{body}}}\n\n", self.suffix)
    }

    /// Statements that compute and store one element, `index`; `value` is the root's. Returns the expressions of
    /// the totals.
    pub fn store_one(&self, value: Option<&str>, indent: &str) -> (String, Vec<String>) {
        let mut arguments = vec!["index".to_owned()];
        arguments.extend(value.map(str::to_owned));
        arguments.extend((0..self.program.loads.len()).map(|number| self.call(number, "index")));
        let call = format!("fused{}({})", self.suffix, arguments.join(", "));
        let mut text = String::new();
        let result = |number: usize| {
            if self.results().len() == 1 { "fused_result".to_owned() } else { format!("fused_result.r{number}") }
        };
        let _ = writeln!(text, "{indent}let fused_result = {call};");
        for (number, name) in self.stores.iter().enumerate() {
            let _ = writeln!(text, "{indent}{name}[index] = {};", result(number));
        }
        let totals = (0..self.totals.len()).map(|number| result(self.stores.len() + number)).collect();
        (text, totals)
    }

    /// Statements that compute and store four elements, for programs that are so wide, from `index` on; `value` is the
    /// root's, a vector of four. Returns the expressions of the totals.
    pub fn store_run(&self, value: Option<&str>, indent: &str) -> (String, Vec<String>) {
        let mut text = String::new();
        let at = |offset: usize| if offset == 0 { "index".to_owned() } else { format!("index + {offset}u") };
        for number in 0..self.program.loads.len() {
            match self.fours[number] {
                Fours::Vector | Fours::Same => {
                    let _ = writeln!(text, "{indent}let l{number} = {};", self.call(number, &at(0)));
                }
                Fours::Single => {
                    for offset in 0..self.width {
                        let _ = writeln!(text, "{indent}let l{number}_{offset} = {};", self.call(number, &at(offset)));
                    }
                }
            }
        }
        for (offset, component) in COMPONENTS.into_iter().enumerate() {
            let mut arguments = vec![at(offset)];
            arguments.extend(value.map(|value| format!("{value}.{component}")));
            arguments.extend(self.fours.iter().enumerate().map(|(number, mode)| match mode {
                Fours::Same => format!("l{number}"),
                Fours::Single => format!("l{number}_{offset}"),
                Fours::Vector => format!("l{number}.{component}"),
            }));
            let _ = writeln!(text, "{indent}let f{offset} = fused{}({});", self.suffix, arguments.join(", "));
        }
        let results = self.results();
        let result = |offset: usize, number: usize| {
            if results.len() == 1 { format!("f{offset}") } else { format!("f{offset}.r{number}") }
        };
        for (number, name) in self.stores.iter().enumerate() {
            let element = results[number].1;
            let parts: Vec<String> = (0..4).map(|offset| result(offset, number)).collect();
            let _ = writeln!(text, "{indent}{name}[index / 4u] = vec4<{element}>({});", parts.join(", "));
        }
        let total = |number: usize| {
            let part = |offset: usize| result(offset, self.stores.len() + number);
            format!("(({} + {}) + ({} + {}))", part(0), part(1), part(2), part(3))
        };
        (text, (0..self.totals.len()).map(total).collect())
    }
}

const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// The condition under which a padded tensor has an element at these coordinates, and the coordinates in it.
fn inside(
    shape: &Shape,
    extents: &Shape,
    before: &[usize],
    steps: &[usize],
    coordinates: &[String],
) -> (String, Vec<String>) {
    let mut conditions = Vec::new();
    let mut own = coordinates.to_vec();
    for axis in 0..extents.rank() {
        let (coordinate, first, step) = (&coordinates[axis], before[axis], steps[axis]);
        let end = first + (extents[axis] - 1) * step + 1;
        if first > 0 {
            conditions.push(format!("{coordinate} >= {first}u"));
            own[axis] = format!("({coordinate} - {first}u)");
        }
        if end < shape[axis] {
            conditions.push(format!("{coordinate} < {end}u"));
        }
        if step > 1 {
            conditions.push(format!("{} % {step}u == 0u", own[axis]));
            own[axis] = format!("({} / {step}u)", own[axis]);
        }
    }
    let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" && ") };
    (condition, own)
}

/// The lines that declare a coordinate which a text mentions.
fn used_lines(lines: &str, text: &str) -> String {
    let mut used = String::new();
    for line in lines.lines() {
        let name = line.trim_start().trim_start_matches("let ").split(' ').next().unwrap_or_default();
        if text.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == name) {
            used.push_str(line);
            used.push('\n');
        }
    }
    used
}
