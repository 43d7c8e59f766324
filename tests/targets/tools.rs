//! Compilers and validators of others: what they say of files.

use crate::translate::Target;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program that reads shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The validator of Khronos for SPIR-V.
    SpirvVal,
    /// The reference compiler of Khronos, for GLSL.
    Glslang,
    /// The same, for HLSL.
    GlslangHlsl,
    /// The compiler of Chromium, for WGSL.
    Tint,
}

/// Files that a tool was given and refused, with what it says of each.
pub type Refused = BTreeMap<PathBuf, String>;

/// How many files a process of glslang compiles.
const BATCH: usize = 64;

impl Tool {
    /// What checks the files of a target further, if anything does.
    pub const fn of(target: Target) -> Option<Self> {
        match target {
            Target::Spirv => Some(Self::SpirvVal),
            Target::Msl => None,
            Target::Hlsl => Some(Self::GlslangHlsl),
            Target::Glsl => Some(Self::Glslang),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::SpirvVal => "spirv-val",
            Self::Glslang | Self::GlslangHlsl => "glslangValidator",
            Self::Tint => "Tint",
        }
    }

    /// Why it cannot run here, if it cannot.
    pub fn missing(self) -> Option<String> {
        let (program, argument, advice) = match self {
            Self::SpirvVal => ("spirv-val", "--version", "it is in Debian's package spirv-tools"),
            Self::Glslang | Self::GlslangHlsl => {
                ("glslangValidator", "--version", "it is in Debian's package glslang-tools")
            }
            Self::Tint => ("node", "--version", "it runs Tint, which ./scripts/fetch_shader_tools.sh fetches"),
        };
        if let Err(error) = Command::new(program).arg(argument).output() {
            return Some(format!("`{program}` cannot be run ({error}): {advice}"));
        }
        let fetched = self != Self::Tint || tint().join("version").exists();
        (!fetched).then(|| format!("{} is missing: run ./scripts/fetch_shader_tools.sh", tint().display()))
    }

    /// Gives it files.
    pub fn check(self, folder: &Path, files: &[PathBuf]) -> Refused {
        match self {
            Self::SpirvVal => files.par_iter().filter_map(|file| self.alone(file)).collect(),
            // A process for each would take ten times as long.
            Self::Glslang | Self::GlslangHlsl => {
                files.par_chunks(BATCH).flat_map_iter(|files| self.together(files)).collect()
            }
            Self::Tint => check_by_tint(folder, files),
        }
    }

    fn command(self) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Self::SpirvVal => command.args(["--target-env", "vulkan1.1"]),
            Self::Glslang => command.args(["-S", "comp"]),
            Self::GlslangHlsl => command.args(["-S", "comp", "-D", "-e", "main", "-V", "-o", "/dev/null"]),
            Self::Tint => unreachable!("Tint is given folders"),
        };
        command
    }

    /// What glslang says of files that are compiled one after another. It prints the name of each before what is wrong with it,
    /// and at last, for HLSL, that they are no one program, which they need not be.
    fn together(self, files: &[PathBuf]) -> Vec<(PathBuf, String)> {
        let output = run(self.command().args(files));
        let printed = text(&output.stdout);
        let mut said: Vec<String> = Vec::new();
        for line in printed.lines().take_while(|line| !line.starts_with("ERROR: Linking")) {
            match (files.get(said.len()), said.last_mut()) {
                (Some(next), _) if Path::new(line) == next => said.push(String::new()),
                (_, Some(said)) => {
                    said.push_str(line);
                    said.push('\n');
                }
                (_, None) => panic!("glslangValidator says of no file: {line}"),
            }
        }
        assert_eq!(said.len(), files.len(), "glslangValidator did not come to all files: {printed}");
        files.iter().cloned().zip(said).filter(|(_, said)| said.contains("ERROR:")).collect()
    }

    fn alone(self, file: &PathBuf) -> Option<(PathBuf, String)> {
        let output = run(self.command().arg(file));
        let said = || format!("{}{}", text(&output.stdout), text(&output.stderr));
        (!output.status.success()).then(|| (file.clone(), said()))
    }
}

/// Where Tint is fetched to.
fn tint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tint")
}

fn check_by_tint(folder: &Path, files: &[PathBuf]) -> Refused {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tint.mjs");
    // As many processes as there are threads: each takes its part.
    let parts = rayon::current_num_threads();
    let part = |part: usize| {
        let mut command = Command::new("node");
        command.arg(&script).arg(tint()).arg(folder).args([part.to_string(), parts.to_string()]);
        run(&mut command)
    };
    let outputs: Vec<Output> = (0..parts).into_par_iter().map(part).collect();
    let joined = |of: fn(&Output) -> &[u8]| outputs.iter().map(|output| text(of(output))).collect::<String>();
    let (printed, errors) = (joined(|output| &output.stdout), joined(|output| &output.stderr));
    let verdicts: BTreeMap<&str, &str> = printed.lines().filter_map(|line| line.split_once('\t')).collect();
    let verdict = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match verdicts.get(&*name) {
            Some(&"ok") => None,
            Some(said) => Some((file.clone(), serde_json::from_str(said).unwrap_or_else(|_| (*said).to_owned()))),
            None => Some((file.clone(), format!("no verdict: {errors}"))),
        }
    };
    files.iter().filter_map(verdict).collect()
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} was here and cannot be run: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
