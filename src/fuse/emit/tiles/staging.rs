//! From memory to workgroup memory, and from there to registers.

use crate::fuse::emit::operand::Along;
use crate::fuse::emit::product::address;
use crate::fuse::emit::tile::Tile;
use std::fmt::Write as _;

const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// One operand of a product, as a tile sees it: `outer` is the axis of rows of A or columns of B.
pub struct Operand {
    /// `a` or `b`.
    pub name: &'static str,
    /// What its outer axis is called.
    pub axis: &'static str,
    /// How long that axis is.
    pub extent: usize,
    /// How much of the outer axis a tile covers.
    pub covered: usize,
    /// How many vectors of four along the outer axis lie side by side, one for each invocation in that direction.
    pub side: usize,
    /// The coordinate of an invocation in that direction.
    pub lane: &'static str,
    /// Along which axis vectors lie in workgroup memory: never `Neither`.
    pub along: Along,
    /// Whether they lie so in memory, too.
    pub vectors: bool,
    /// Strides of the outer and the inner axis.
    pub strides: [isize; 2],
    /// Where the outer or the inner axis is several: the functions that find the places of their elements.
    pub paths: Option<[&'static str; 2]>,
    /// The tile.
    pub tile: Tile,
}

impl Operand {
    /// The function that loads four elements along one axis; those past the edges count as zero, so that they add
    /// nothing.
    pub fn load_function(&self) -> String {
        let Self { name, axis, extent, .. } = self;
        let address = |k: &str, outer: &str| match self.paths {
            Some([outers, inners]) => format!("base + {outers}({outer}) + {inners}({k})"),
            None => address("base", &[(outer, self.strides[0]), (k, self.strides[1])]),
        };
        let inside = format!("{axis} < {extent}u && k < last");
        let of = if self.along == Along::Inner { "along the inner axis" } else { "of neighbouring lines" };
        let comment = format!("// Four elements {of}; those past the edges count as zero, and add nothing.\n");
        let signature = format!("(base: u32, {axis}: u32, k: u32, last: u32)");
        if self.vectors {
            return format!(
                "{comment}fn load_{name}{signature} -> vec4<f32> {{\n    if ({inside}) {{\n        return {name}[({}) / 4u];\n    \
                 }}\n    return vec4<f32>();\n}}\n\n",
                address("k", axis)
            );
        }
        let element = |offset: usize| match (offset, self.along) {
            (0, _) => format!("element_{name}(base, {axis}, k, last)"),
            (_, Along::Inner) => format!("element_{name}(base, {axis}, k + {offset}u, last)"),
            _ => format!("element_{name}(base, {axis} + {offset}u, k, last)"),
        };
        let elements: Vec<String> = (0..4).map(element).collect();
        format!(
            "fn element_{name}{signature} -> f32 {{\n    if ({inside}) {{\n        return {name}[{}];\n    }}\n    \
             return 0.0f;\n}}\n\n\
             {comment}fn load_{name}{signature} -> vec4<f32> {{\n    return vec4<f32>({});\n}}\n\n",
            address("k", axis),
            elements.join(", ")
        )
    }

    /// Vectors that every invocation stages at a time.
    fn units(&self) -> usize {
        self.covered * self.tile.step / 4 / self.tile.threads()
    }

    /// Statements that say which vectors an invocation stages: where they come from, and where they go.
    pub fn places(&self, origin: &str) -> String {
        let Self { name, axis, .. } = self;
        let mut text = String::new();
        for unit in 0..self.units() {
            let own = match unit {
                0 => "local".to_owned(),
                _ => format!("(local + {}u)", unit * self.tile.threads()),
            };
            let _ = match self.along {
                Along::Inner => {
                    let fours = self.tile.step / 4;
                    let line = format!("({own} / {fours}u)");
                    writeln!(
                        text,
                        "    let {name}_{axis}{unit} = {origin} + {line};\n    \
                         let {name}_k{unit} = {own} % {fours}u * 4u;\n    \
                         let {name}_slot{unit} = ({line} % 4u * {}u + {line} / 4u) * {}u + {own} % {fours}u;",
                        self.covered / 4,
                        self.tile.line()
                    )
                }
                _ => writeln!(
                    text,
                    "    let {name}_{axis}{unit} = {origin} + {own} % {}u * 4u;\n    \
                     let {name}_k{unit} = {own} / {}u;\n    let {name}_slot{unit} = {own};",
                    self.covered / 4,
                    self.covered / 4
                ),
            };
        }
        text
    }

    /// Statements that fetch the vectors of the steps from `k0` on into registers.
    pub fn fetch(&self, k0: &str, indent: &str, declare: &str) -> String {
        let Self { name, axis, .. } = self;
        let load = |unit| {
            format!(
                "{indent}{declare}{name}_next{unit} = load_{name}({name}_base, {name}_{axis}{unit}, {k0} + {name}_k{unit}, last);\n"
            )
        };
        (0..self.units()).map(load).collect::<Vec<_>>().concat()
    }

    /// Statements that put what was fetched into workgroup memory.
    pub fn stage(&self) -> String {
        let name = self.name;
        let stage = |unit| format!("        {name}_tile[{name}_slot{unit}] = {name}_next{unit};\n");
        (0..self.units()).map(stage).collect::<Vec<_>>().concat()
    }

    /// Where in workgroup memory line `number` of an invocation's block lies, along the inner axis from `k` on.
    fn line(&self, number: usize, k: &str) -> String {
        let (block, within) = (number / 4, number % 4);
        let first = within * self.covered / 4 + block * self.side;
        format!("{}_tile[({} + {first}u) * {}u + {k} / 4u]", self.name, self.lane, self.tile.line())
    }

    /// Where four neighbouring elements of an invocation's block number `block` lie, of step `k`.
    fn quad(&self, block: usize, k: &str) -> String {
        format!("{}_tile[({k}) * {}u + {}u + {}]", self.name, self.covered / 4, block * self.side, self.lane)
    }

    /// Statements that read into registers what four steps need, as far as all four share it.
    pub fn read_lines(&self, lines: usize) -> String {
        let read = |number| format!("            let {}{number} = {};\n", self.name, self.line(number, "k"));
        if self.along == Along::Inner { (0..lines).map(read).collect::<Vec<_>>().concat() } else { String::new() }
    }

    /// Statements that read step `step` of four into vectors along the outer axis, one for each block.
    pub fn read_quads(&self, blocks: usize, step: usize) -> String {
        let name = self.name;
        let read = |block: usize| {
            let value = if self.along == Along::Inner {
                let parts: Vec<String> =
                    (0..4).map(|part| format!("{name}{}.{}", block * 4 + part, COMPONENTS[step])).collect();
                format!("vec4<f32>({})", parts.join(", "))
            } else {
                self.quad(block, &if step == 0 { "k".to_owned() } else { format!("k + {step}u") })
            };
            format!("            let {name}{step}_{block} = {value};\n")
        };
        (0..blocks).map(read).collect::<Vec<_>>().concat()
    }

    /// Statements that add a staged operand up along the inner axis into `sum{block}`: four lines to a block.
    pub fn add_up(&self, blocks: usize) -> String {
        let mut text = String::new();
        if self.along == Along::Inner {
            let _ = writeln!(text, "            for (var k = 0u; k < {}u; k += 4u) {{", self.tile.step);
            for block in 0..blocks {
                let line = |within| format!("dot({}, vec4<f32>(1.0f))", self.line(block * 4 + within, "k"));
                let lines: Vec<String> = (0..4).map(line).collect();
                let _ = writeln!(text, "                sum{block} += vec4<f32>({});", lines.join(", "));
            }
        } else {
            let _ = writeln!(text, "            for (var k = 0u; k < {}u; k++) {{", self.tile.step);
            for block in 0..blocks {
                let _ = writeln!(text, "                sum{block} += {};", self.quad(block, "k"));
            }
        }
        text + "            }\n"
    }
}
