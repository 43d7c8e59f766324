//! Every file in `shaders/` as a text: it is valid WGSL as it stands, says what it computes, and
//! leaves the builtins whose accuracy drivers do not promise to `shaders/lib`.

use retrograd::record::{Text, libraries};
use std::path::{Path, PathBuf};

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "wgsl"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn validate(name: &str, text: &str) {
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
    validator.validate(&module).unwrap_or_else(|error| panic!("{name}: {error:?}"));
}

#[test]
fn every_file_is_valid_after_the_libraries() {
    for (path, text) in files("shaders") {
        validate(&path.display().to_string(), &Text::join(libraries::ALL, &text));
    }
}

#[test]
fn every_library_is_valid_after_what_it_needs() {
    let listed: Vec<&str> = libraries::ALL.iter().map(|library| library.name).collect();
    for (path, _) in files("shaders/lib") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(listed.contains(&name), "{name} is not in the list of libraries");
    }
    for &library in libraries::ALL {
        validate(library.name, &Text::join(&[library], ""));
    }
}

#[test]
fn every_file_begins_with_what_it_computes() {
    for (path, text) in files("shaders").into_iter().chain(files("shaders/lib")) {
        assert!(text.starts_with("// "), "{}", path.display());
        assert!(text.lines().all(|line| !line.ends_with(' ') && !line.contains('\t')), "{}", path.display());
    }
}

#[test]
fn raw_builtins_stay_in_the_library() {
    let inaccurate = ["exp", "exp2", "log", "log2", "tanh", "pow", "sin", "cos", "sinh", "cosh"];
    for (path, text) in files("shaders") {
        let code: String =
            text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
        for builtin in inaccurate {
            let call = format!("{builtin}(");
            let called = code
                .match_indices(&call)
                .any(|(place, _)| !code[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_'));
            assert!(!called, "{} calls {builtin}", path.display());
        }
    }
}
