use super::{HostFunction, HostKernel, Library};
use crate::base::{Layout, TensorType, View};
use std::fmt::Write as _;

/// How a device computes an op. The set is closed: passes match on it exhaustively.
#[derive(Clone, Debug)]
pub enum Lowering {
    /// Looks at the input differently; moves nothing unless it must.
    View(View),
    /// Computes every element of the output from elements of the inputs.
    Pointwise(Pointwise),
    /// Combines elements along axes.
    Reduce(Reduce),
    /// Multiplies stacks of matrices, which are its two inputs seen in some way.
    Contract(Contraction),
    /// Runs kernels of its own.
    Kernel(Kernel),
}

/// A stack of matrix products: C[batch, rows, columns] = sum over inner of A[batch, rows, inner] B[batch, inner,
/// columns], where batch, rows, inner and columns may each be several axes. The output is C, densely, whatever its
/// shape.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// How an input is A: its axes are those of the batch, then of rows, then the inner ones.
    pub a: Factor,
    /// How an input is B: its axes are those of the batch, then the inner ones, then of columns.
    pub b: Factor,
}

/// How an input of a [`Contraction`] is seen.
#[derive(Clone, Debug)]
pub struct Factor {
    /// The number of the input.
    pub input: usize,
    /// The view of it; the input itself where there is none.
    pub view: Option<View>,
    /// The number of axes of the batch.
    pub batch: usize,
    /// The number of axes after those: of rows of A, or inner ones of B.
    pub first: usize,
}

impl Contraction {
    /// Of inputs that are stacks of matrices, `[.., rows, inner]` and `[.., inner, columns]`, with so many axes.
    #[must_use]
    pub fn of_matrices(rank: usize) -> Self {
        let factor = |input: usize| Factor { input, view: None, batch: rank - 2, first: 1 };
        Self { a: factor(0), b: factor(1) }
    }
}

impl Contraction {
    /// How many terms every result is the sum of, for inputs of these types.
    #[must_use]
    pub fn inner(&self, inputs: &[TensorType]) -> usize {
        let input = Layout::dense(&inputs[self.a.input].shape);
        let seen = self.a.view.as_ref().and_then(|view| input.view(view)).unwrap_or(input);
        seen.shape[self.a.batch + self.a.first..].iter().product()
    }
}

/// What an op knows when it chooses its lowering.
#[derive(Clone, Copy, Debug)]
pub struct LowerContext<'a> {
    /// Types of the inputs.
    pub inputs: &'a [TensorType],
    /// Where the elements of the inputs lie.
    pub layouts: &'a [Layout],
    /// Types of the outputs, which are always dense.
    pub outputs: &'a [TensorType],
    /// What kind of device the kernel is for.
    pub class: KernelClass,
}

/// Which kernels suit a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum KernelClass {
    /// Many lanes, fast workgroup memory and barriers.
    Gpu,
    /// Shaders that run on a CPU: barriers are slow, registers and long runs are fast.
    Cpu,
    /// As `Cpu`, where eight invocations are one SIMD register and can read each other's values.
    Subgroup,
    /// No shaders: the host computes.
    Host,
}

/// An output element as a WGSL expression.
#[derive(Clone, Debug)]
pub struct Pointwise {
    /// WGSL in which `{0}`, `{1}`, .. stand for the arguments.
    pub expression: String,
    /// What the expression is given.
    pub arguments: Vec<Argument>,
    /// The libraries whose functions it calls.
    pub libraries: Vec<&'static Library>,
    /// The same function on the host. Where it is missing, the host computes the op by its reference, which
    /// is slower.
    pub host: Option<HostFunction>,
}

impl Pointwise {
    /// An expression over all inputs, in order.
    #[must_use]
    pub fn of_inputs(expression: impl Into<String>, inputs: usize, libraries: &[&'static Library]) -> Self {
        Self::new(expression, (0..inputs).map(Argument::Input).collect(), libraries)
    }

    /// An expression over any arguments.
    #[must_use]
    pub fn new(expression: impl Into<String>, arguments: Vec<Argument>, libraries: &[&'static Library]) -> Self {
        Self { expression: expression.into(), arguments, libraries: libraries.to_vec(), host: None }
    }

    /// With a function that computes it on the host.
    #[must_use]
    pub fn on_host(mut self, function: HostFunction) -> Self {
        self.host = Some(function);
        self
    }
}

/// An argument of a pointwise expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The element of an input (which has the output's shape) at the same coordinates.
    Input(usize),
    /// The element of the inputs laid end to end along an axis.
    Joined {
        /// The axis.
        axis: usize,
        /// The inputs, first to last.
        inputs: Vec<usize>,
    },
    /// The element of an input that is surrounded by zeros.
    Padded {
        /// The input.
        input: usize,
        /// The number of zeros before it along every axis.
        before: Vec<usize>,
        /// How far apart its elements lie along every axis, with zeros between them.
        steps: Vec<usize>,
    },
    /// The element's row-major index, `u32`.
    Index,
    /// The element's coordinate along an axis, `u32`.
    Coordinate(usize),
    /// The key of the step's random streams, `vec2<u32>`.
    Seed,
}

/// How a reduction combines two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Adds them.
    Sum,
    /// Takes the greater; NaN if either is.
    Max,
    /// Takes the lesser; NaN if either is.
    Min,
}

impl Reduction {
    /// The name in kernels and plans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
        }
    }
}

/// Combines the elements of the only input along axes.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// How.
    pub kind: Reduction,
    /// Along which axes, ascending.
    pub axes: Vec<usize>,
}

/// Kernels of an op's own, run one after another.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What runs, in order.
    pub stages: Vec<Dispatched>,
    /// The sizes, in elements, of buffers that only these stages use.
    pub scratch: Vec<usize>,
    /// For every input: whether the kernel follows any layout by itself. The others are made
    /// dense before.
    pub any_layout: Vec<bool>,
    /// The same on the host, where there is a faster way than the op's reference.
    pub host: Option<HostKernel>,
}

impl Kernel {
    /// One shader, bound to all inputs and then all outputs in order, each dense: the simplest kernel that there is.
    #[must_use]
    pub fn of_shader(name: &'static str, text: Text, workgroups: [u32; 3], inputs: usize, outputs: usize) -> Self {
        let stage = Dispatched {
            name,
            text,
            reads: (0..inputs).map(Operand::Input).collect(),
            writes: (0..outputs).map(Operand::Output).collect(),
            loads: Vec::new(),
            stores: Vec::new(),
            uses_step: false,
            workgroups,
        };
        Self { stages: vec![stage], scratch: Vec::new(), any_layout: vec![false; inputs], host: None }
    }
}

/// A shader with what it is bound to.
#[derive(Clone, Debug)]
pub struct Dispatched {
    /// The name in plans: that of the shader file.
    pub name: &'static str,
    /// The shader.
    pub text: Text,
    /// Bindings `0..`, read only.
    pub reads: Vec<Operand>,
    /// The bindings after those, written.
    pub writes: Vec<Operand>,
    /// For reads that may take another form, such as an image: the number of the binding, and its variable. The text
    /// reads it by nothing but its function `fn load_<variable>(index: u32)`.
    pub loads: Vec<(usize, &'static str)>,
    /// For outputs that pointwise ops may be fused to: the variable of the text that is bound to the output.
    /// The text writes it by nothing but its function `fn store_<variable>(index: u32, value: f32)`.
    pub stores: Vec<(usize, &'static str)>,
    /// Whether the shader reads the step's uniform block, `@group(1) @binding(0)`.
    pub uses_step: bool,
    /// Workgroups in x, y and z.
    pub workgroups: [u32; 3],
}

/// A buffer as an op names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The input of this number.
    Input(usize),
    /// The output of this number.
    Output(usize),
    /// The scratch buffer of this number.
    Scratch(usize),
}

/// A shader: a plain WGSL file whose constants, and whose functions of given names, are replaced
/// by those of one use.
///
/// The file is complete as it stands. A constant is a line `const NAME: type = value;`; a
/// function begins with `fn name(` at the start of a line and ends with `}` at the start of one.
#[derive(Clone, Debug)]
pub struct Text {
    source: &'static str,
    libraries: Vec<&'static Library>,
    constants: Vec<(&'static str, String)>,
    functions: Vec<(String, String)>,
    /// Element types of bindings, by the name of the variable.
    elements: Vec<(&'static str, String)>,
    /// Whole declarations of bindings, by the name of the variable.
    declared: Vec<(&'static str, String)>,
    declarations: String,
}

impl Text {
    /// The file as it stands, after the libraries that it needs.
    #[must_use]
    pub fn new(source: &'static str, libraries: &[&'static Library]) -> Self {
        Self {
            source,
            libraries: libraries.to_vec(),
            constants: Vec::new(),
            functions: Vec::new(),
            elements: Vec::new(),
            declared: Vec::new(),
            declarations: String::new(),
        }
    }

    /// With more libraries.
    #[must_use]
    pub fn libraries(mut self, libraries: &[&'static Library]) -> Self {
        self.libraries.extend(libraries);
        self
    }

    /// With declarations after those of the file's own bindings.
    #[must_use]
    pub fn declare(mut self, text: &str) -> Self {
        self.declarations.push_str(text);
        self
    }

    /// With another element type for the binding of a variable, which is an array.
    #[must_use]
    pub fn element(mut self, name: &'static str, element: impl Into<String>) -> Self {
        self.elements.push((name, element.into()));
        self
    }

    /// With another declaration of a variable that is bound to an array.
    #[must_use]
    pub fn declared(mut self, name: &'static str, declaration: impl Into<String>) -> Self {
        self.declared.push((name, declaration.into()));
        self
    }

    /// With another value for a `u32` constant.
    #[must_use]
    pub fn unsigned(mut self, name: &'static str, value: usize) -> Self {
        self.constants.push((name, format!("{value}u")));
        self
    }

    /// With another value for an `f32` constant.
    #[must_use]
    pub fn float(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, Self::literal(value)));
        self
    }

    /// With another body for a function of the same signature.
    #[must_use]
    pub fn function(mut self, name: &str, text: String) -> Self {
        self.functions.push((name.to_owned(), text));
        self
    }

    /// A number as a WGSL literal of type `f32`, with the same bits.
    #[must_use]
    pub fn literal(value: f64) -> String {
        let single = value as f32;
        if single.abs() == f32::MAX {
            // Its shortest decimal form lies above it, and browsers take no literal beyond the greatest number.
            return if single > 0.0 { "0x1.fffffep+127f".into() } else { "(-0x1.fffffep+127f)".into() };
        }
        if single.is_sign_negative() { format!("({single:?}f)") } else { format!("{single:?}f") }
    }

    /// The complete shader.
    ///
    /// # Errors
    /// When the file has no constant or function of a given name.
    pub fn assemble(&self) -> Result<String, String> {
        let mut lines: Vec<String> = Vec::new();
        let mut used = vec![false; self.constants.len() + self.functions.len()];
        let mut inside: Option<usize> = None;
        let mut last_binding = None;
        for line in self.source.lines() {
            if let Some(which) = inside {
                if line == "}" {
                    lines.push(self.functions[which].1.trim_end().to_owned());
                    inside = None;
                }
                continue;
            }
            let constant = self.constants.iter().position(|(name, _)| line.starts_with(&format!("const {name}:")));
            let function = self.functions.iter().position(|(name, _)| line.starts_with(&format!("fn {name}(")));
            if line.starts_with("@group(0)") {
                let is_of = |name: &str| line.contains(&format!("> {name}: array<"));
                let declared = self.declared.iter().find(|(name, _)| is_of(name));
                let element = self.elements.iter().find(|(name, _)| is_of(name));
                lines.push(match (declared, element) {
                    (Some((_, declared)), _) => declared.trim_end().to_owned(),
                    (None, Some((_, element))) => {
                        format!("{}array<{element}>;", line.split("array<").next().unwrap_or_default())
                    }
                    (None, None) => line.to_owned(),
                });
                last_binding = Some(lines.len());
                continue;
            }
            match (constant, function) {
                (Some(which), _) => {
                    used[which] = true;
                    let declared = line.split('=').next().unwrap_or_default();
                    lines.push(format!("{declared}= {};", self.constants[which].1));
                }
                (None, Some(which)) => {
                    used[self.constants.len() + which] = true;
                    inside = Some(which);
                }
                (None, None) => lines.push(line.to_owned()),
            }
        }
        let constants = self.constants.iter().map(|(name, _)| *name);
        let names = constants.chain(self.functions.iter().map(|(name, _)| name.as_str()));
        if let Some((name, _)) = names.zip(&used).find(|(_, used)| !**used) {
            return Err(format!("the shader file has no constant or function `{name}` to replace"));
        }
        if !self.declarations.is_empty() {
            lines.insert(last_binding.unwrap_or(0), self.declarations.trim_end().to_owned());
        }
        Ok(Self::join(&self.libraries, &lines.join("\n")))
    }

    /// Puts the libraries, and those that they need, before a text, each once.
    #[must_use]
    pub fn join(libraries: &[&'static Library], text: &str) -> String {
        fn collect(library: &'static Library, into: &mut Vec<&'static Library>) {
            for needed in library.needs {
                collect(needed, into);
            }
            if !into.iter().any(|known| known.name == library.name) {
                into.push(library);
            }
        }
        let mut all = Vec::new();
        for library in libraries {
            collect(library, &mut all);
        }
        let mut joined = String::new();
        for library in all {
            let _ = writeln!(joined, "{}", library.source.trim_end());
        }
        joined + text.trim_end() + "\n"
    }
}

/// Workgroups in x, y and z for `count` workgroups in a row: folded where one dimension, which
/// holds 65,535, is too short. Shaders number them as `y * width + x`.
#[must_use]
pub fn grid(count: usize) -> [u32; 3] {
    const WIDEST: usize = 65_535;
    let rows = count.div_ceil(WIDEST).max(1);
    [count.div_ceil(rows).max(1) as u32, rows as u32, 1]
}

/// How many lanes share one row in kernels that work row by row: 1, 2, .. 64.
///
/// A lane per row needs no barriers, which is what shaders on a CPU want, but a long run of additions by one
/// lane gathers rounding errors, and loops must stay far below the 65,535 iterations after which software
/// adapters stop.
#[must_use]
pub fn lanes(columns: usize, class: KernelClass) -> usize {
    let per_lane = match class {
        KernelClass::Gpu => 4,
        KernelClass::Cpu | KernelClass::Subgroup | KernelClass::Host => 128,
    };
    columns.div_ceil(per_lane).next_power_of_two().min(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_replaces_constants_and_functions() {
        let text = Text::new("const ROWS: u32 = 1u;\nfn f(x: f32) -> f32 {\n    return x;\n}\n", &[])
            .unsigned("ROWS", 7)
            .function("f", "fn f(x: f32) -> f32 {\n    return x + 1.0;\n}\n".into());
        assert_eq!(text.assemble().unwrap(), "const ROWS: u32 = 7u;\nfn f(x: f32) -> f32 {\n    return x + 1.0;\n}\n");
        assert!(Text::new("", &[]).unsigned("ROWS", 7).assemble().unwrap_err().contains("ROWS"));
    }

    #[test]
    fn literals_keep_their_bits() {
        assert_eq!(Text::literal(0.1), "0.1f");
        assert_eq!(Text::literal(-3.0), "(-3.0f)");
        assert_eq!(Text::literal(1e-12), "1e-12f");
        assert_eq!(Text::literal(f64::from(f32::MIN)), "(-0x1.fffffep+127f)");
    }

    #[test]
    fn long_grids_fold() {
        assert_eq!(grid(65_535), [65_535, 1, 1]);
        let [x, y, _] = grid(200_000);
        assert!(x <= 65_535 && x as usize * y as usize >= 200_000);
    }
}
