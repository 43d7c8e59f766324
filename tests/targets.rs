//! Every shader on every target, without the hardware: what plans hold is validated, translated to the languages of all
//! drivers, and compiled further by the tools that are installed. A table says how much of it was.
//!
//! Tools: `spirv-val` and `glslangValidator` (Debian's packages spirv-tools and glslang-tools), and Tint, which checks what
//! naga does not, such as barriers in uniform control flow; `scripts/fetch_shader_tools.sh` gets them all. With
//! `RETROGRAD_TEST_SHADER_TOOLS` set, one that is missing is a failure.

#[path = "common/graphs.rs"]
mod graphs;
#[path = "common/networks.rs"]
mod networks;
#[path = "targets/table.rs"]
mod table;
#[path = "targets/texts.rs"]
mod texts;
#[path = "targets/tools.rs"]
mod tools;
#[path = "targets/translate.rs"]
mod translate;

use rayon::prelude::*;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use table::{Row, Table};
use texts::{Origin, kind};
use tools::Tool;
use translate::{Target, not_needed, uses_subgroups, validate};

/// Whether a tool is there; one that is missing is named, as nothing that was not run may look as if it was.
fn is_there(tool: Tool) -> bool {
    let Some(reason) = tool.missing() else { return true };
    assert!(
        std::env::var_os("RETROGRAD_TEST_SHADER_TOOLS").is_none(),
        "RETROGRAD_TEST_SHADER_TOOLS is set, and a tool is missing: {reason}"
    );
    // Written past the capture of test output, which hides what passing tests print.
    let _ = writeln!(std::io::stderr(), "\n*** NOT RUN: {}: {reason}\n", tool.name());
    false
}

/// Browsers want to be told of subgroups; naga 30 takes the builtins as they are, and nothing of the telling.
fn for_browsers(text: &str) -> String {
    if uses_subgroups(text) { format!("enable subgroups; {text}") } else { text.to_owned() }
}

/// glslang cannot read `float x[2] = (float[2])0;`, by which naga sets arrays to zero, as the compilers of Microsoft can: it is
/// given the declaration alone.
fn for_glslang(hlsl: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(hlsl).expect("naga writes UTF-8");
    let line = |line: &str| match line.split_once(" = (") {
        Some((declared, value)) if value.ends_with("])0;") => format!("{declared};\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect::<String>().into_bytes()
}

fn write(folder: &Path, number: usize, ending: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(format!("{number:05}.{ending}"));
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// What became of one text: the reason where it is not valid, and what of every target.
struct Checked {
    invalid: Option<String>,
    written: Vec<(Target, Written)>,
}

enum Written {
    /// With the file, where a tool is to compile it further.
    To(Option<PathBuf>),
    Refused(String),
    NotNeeded(&'static str),
}

fn check(folder: &Path, number: usize, text: &str, is_compiled: bool) -> Checked {
    let valid = match validate(text) {
        Ok(valid) => valid,
        Err(reason) => return Checked { invalid: Some(reason), written: Vec::new() },
    };
    let write = |target: Target| match (not_needed(target, text), valid.write(target)) {
        (Some(reason), _) => Written::NotNeeded(reason),
        (None, Ok(bytes)) => {
            let is_compiled = is_compiled && Tool::of(target).is_some();
            let bytes = if target == Target::Hlsl { for_glslang(bytes) } else { bytes };
            Written::To(is_compiled.then(|| write(folder, number, target.ending(), bytes)))
        }
        (None, Err(reason)) => Written::Refused(reason),
    };
    Checked { invalid: None, written: Target::ALL.iter().map(|&target| (target, write(target))).collect() }
}

#[test]
fn every_text_compiles_for_every_target() {
    let texts = texts::all();
    let named: Vec<(&String, &Origin)> = texts.origins.iter().collect();
    let name = |path: &PathBuf| -> &str {
        let number = path.file_name().and_then(|name| name.to_str()?.split('.').next()?.parse::<usize>().ok());
        number.map_or("?", |number| &named[number].1.name)
    };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // Programs that take milliseconds for a file are given one of each kind: the first.
    let mut kinds = HashSet::new();
    let is_first: Vec<bool> = named.iter().map(|(text, _)| kinds.insert(kind(text))).collect();
    let check = |number: usize| check(folder.path(), number, named[number].0, is_first[number]);
    let checked: Vec<Checked> = (0..named.len()).into_par_iter().map(check).collect();
    let mut table = Table::new(&texts, kinds.len());

    let mut row = Row::new("WGSL", "naga");
    for (checked, (_, origin)) in checked.iter().zip(&named) {
        row.count(None, &origin.name, checked.invalid.as_ref());
    }
    table.add(row);

    let mut row = Row::new("WGSL", Tool::Tint.name());
    if is_there(Tool::Tint) {
        let write = |(number, (text, origin)): (usize, &(&String, &Origin))| {
            let ending = if origin.is_portable { "wgsl" } else { "wide.wgsl" };
            write(folder.path(), number, ending, for_browsers(text))
        };
        let files: Vec<PathBuf> = named.iter().enumerate().map(write).collect();
        row.count_all(&files, &Tool::Tint.check(folder.path(), &files), name);
    } else {
        row.not_run();
    }
    table.add(row);

    for target in Target::ALL {
        let (mut row, mut files) = (Row::new(target.name(), "naga"), Vec::new());
        for (checked, (_, origin)) in checked.iter().zip(&named) {
            for (_, written) in checked.written.iter().filter(|(of, _)| *of == target) {
                match written {
                    Written::To(path) => {
                        row.count(None, &origin.name, None);
                        files.extend(path.clone());
                    }
                    Written::Refused(reason) => row.count(None, &origin.name, Some(reason)),
                    Written::NotNeeded(reason) => row.not_needed(reason),
                }
            }
        }
        table.add(row);
        let Some(tool) = Tool::of(target) else {
            table.note(format!("{}: translated, and compiled by nothing here", target.name()));
            continue;
        };
        let mut row = Row::new(target.name(), tool.name());
        if is_there(tool) {
            row.count_all(&files, &tool.check(folder.path(), &files), name);
        } else {
            row.not_run();
        }
        table.add(row);
    }
    table.note("spirv-val and glslangValidator: the first text of each kind".into());
    table.note("HLSL by glslangValidator: without arrays being set to zero, which it cannot read".into());
    table.print();
    if let Some(failures) = table.failures() {
        panic!("the files are in {}{failures}", folder.keep().display());
    }
}

/// Texts with one mistake each, which is what a tool is there to find.
#[test]
fn every_tool_finds_what_it_is_there_for() {
    const BINDING: &str = "@group(0) @binding(0) var<storage, read_write> x: array<f32>;\n";
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let compute = |body: &str| {
        format!(
            "{BINDING}@compute @workgroup_size(64)\nfn main(@builtin(local_invocation_index) i: u32) {{\n{body}\n}}\n"
        )
    };
    let fine = validate(&compute("x[i] = 1.0;")).unwrap_or_else(|reason| panic!("{reason}"));
    assert!(validate(&compute("x[i] = 1u;")).is_err());
    for (number, target) in Target::ALL.into_iter().enumerate() {
        let Some(tool) = Tool::of(target).filter(|&tool| is_there(tool)) else { continue };
        let good = fine.write(target).unwrap_or_else(|reason| panic!("{target:?}: {reason}"));
        let mut bad = good.clone();
        if target == Target::Spirv {
            // The last word ends the function: without it, there is no end.
            bad.truncate(good.len() - 4);
        } else {
            bad.extend(b"\nvoid other() { undeclared = 1; }\n");
        }
        let files = [(2 * number, good), (2 * number + 1, bad)]
            .map(|(number, text)| write(folder.path(), number, target.ending(), text));
        let refused = tool.check(folder.path(), &files);
        assert_eq!(refused.keys().collect::<Vec<_>>(), [&files[1]], "{target:?}: {refused:?}");
    }
    if is_there(Tool::Tint) {
        // A barrier that not all invocations reach, which naga takes; and more workgroup memory than every device has.
        let barrier = compute("if x[i] > 0.0 { workgroupBarrier(); }\nx[i] = 1.0;");
        let memory = format!("var<workgroup> tile: array<f32, 5000>;\n{}", compute("tile[i] = 1.0;\nx[i] = tile[i];"));
        assert!(validate(&barrier).is_ok() && validate(&memory).is_ok());
        let texts = [compute("x[i] = 1.0;"), barrier, memory];
        let files: Vec<PathBuf> =
            texts.iter().enumerate().map(|(number, text)| write(folder.path(), number, "wgsl", text)).collect();
        let refused = Tool::Tint.check(folder.path(), &files);
        assert_eq!(refused.keys().collect::<Vec<_>>(), [&files[1], &files[2]], "{refused:?}");
        assert!(refused[&files[1]].contains("uniform control flow"), "{refused:?}");
    }
}
