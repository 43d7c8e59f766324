//! What the guide shows as printed is what is printed, and every block of code in it is one that is tested.
//!
//! `INSTA_UPDATE=always cargo test --test guide` writes `docs/src/printed` anew, which the chapters include.

use retrograd::optim::{AdamW, Sgd};
use retrograd::plan::Profile;
use retrograd::{Device, Graph, Params, Result, nn};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const CHAPTERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/src");

/// Lines of this file as those of the reader's `src/main.rs`: that of `first` is 1.
fn as_main(text: &str, first: u32) -> String {
    let mut parts = text.split("tests/guide.rs:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let line: u32 = part[..digits].parse().unwrap();
        let _ = write!(out, "src/main.rs:{}{}", line + 1 - first, &part[digits..]);
    }
    out
}

fn printed(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("{CHAPTERS}/printed"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The lines of this file between `// begin: NAME` and `// end: NAME`, with which a chapter's block has to agree.
fn shown(name: &str) -> String {
    let (begin, end) = (format!("// begin: {name}"), format!("// end: {name}"));
    let lines = include_str!("guide.rs").lines().map(str::trim_end);
    let lines = lines.skip_while(|line| !line.ends_with(&begin)).skip(1);
    lines.take_while(|line| !line.ends_with(&end)).fold(String::new(), |all, line| all + line + "\n")
}

fn chapter(name: &str) -> String {
    std::fs::read_to_string(format!("{CHAPTERS}/{name}.md")).unwrap()
}

#[test]
fn the_lists_of_a_step() -> Result<()> {
    let first = line!() + 2;
    // begin: step
    let mut params = Params::seeded(1);
    let up = nn::Linear::new(&mut params, "up", 64, 128);
    let down = nn::Linear::new(&mut params, "down", 128, 10);

    let g = Graph::new();
    let x = g.input("images", [32, 64]);
    let y = g.labels("digits", [32]);
    let hidden = up.forward(x).relu();
    let loss = down.forward(hidden).cross_entropy(y);

    let training = g.train(loss, AdamW::new(1e-3));
    let plan = training.plan(&params, &Profile::named("metal")?)?;
    // end: step
    assert!(chapter("how_a_step_is_made").contains(&shown("step")), "the chapter shows other code:\n{}", shown("step"));
    printed("summary", &as_main(&g.summary().to_string(), first));
    printed("gradient_paths", &as_main(&training.gradient_paths(&params)?.to_string(), first));
    let text = as_main(&plan.to_string(), first);
    let (lists, memory) = text.split_at(text.find("memory for").expect("the plan tells its memory"));
    printed("lists", lists);
    printed("memory", memory);
    printed("explained", &as_main(&plan.explain(), first));
    let update = plan.kernels.iter().find(|kernel| kernel.name == "adamw").expect("AdamW is a kernel");
    printed("adamw", &update.wgsl);
    Ok(())
}

#[test]
fn the_first_number_that_is_no_number() -> Result<()> {
    let first = line!() + 2;
    // begin: nan
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 3, 2);
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let loss = layer.forward(x).log().mean(..);

    let training = g.train(loss, Sgd::new(0.1)).check_numbers(1);
    let mut step = training.compile(&Device::cpu(), &params)?;
    step.run([x.feed(&[0.5f32; 12])])?;
    let error = step.read(loss).unwrap_err();
    // end: nan
    assert!(chapter("debugging").contains(&shown("nan")), "the chapter shows other code:\n{}", shown("nan"));
    printed("nan", &as_main(&error.to_string(), first));
    Ok(())
}

#[test]
fn the_ten_lines_are_those_of_the_example() {
    let example = include_str!("../examples/fit_csv.rs");
    let code = example.lines().filter(|line| !line.starts_with("//!")).map(|line| line.to_owned() + "\n");
    let training: String =
        chapter("training").lines().filter(|line| !line.starts_with("# ")).map(|line| line.to_owned() + "\n").collect();
    assert!(
        training.contains(code.collect::<String>().trim()),
        "the chapter shows other code than examples/fit_csv.rs"
    );
    let main = example.split("fn main() -> Result<()> {").nth(1).unwrap();
    assert_eq!(main.lines().skip(1).take_while(|line| !line.is_empty()).count(), 10);
}

#[test]
fn every_example_is_in_the_index() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let index = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").is_file() {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(index.contains(&format!("\n| `{name}` |")), "examples/README.md does not list `{name}`");
            count += 1;
        }
    }
    assert!(count >= 14, "{count}");
}

/// All chapters, and what they include.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect()
}

#[test]
fn every_block_of_code_is_tested() {
    let (mut tested, mut names) = (0, Vec::new());
    let list = include_str!("../src/guide.rs");
    let summary = chapter("SUMMARY");
    for path in files(Path::new(CHAPTERS)) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "SUMMARY" {
            continue;
        }
        assert!(list.lines().any(|line| line.trim() == name), "src/guide.rs does not list the chapter `{name}`");
        assert!(summary.contains(&format!("({name}.md)")), "SUMMARY.md does not list the chapter `{name}`");
        let text = std::fs::read_to_string(&path).unwrap();
        // Fences come in pairs: every other one begins a block.
        let fences = text.lines().filter_map(|line| line.trim_start().strip_prefix("```"));
        for (number, language) in fences.step_by(2).enumerate() {
            let what = format!("block {} of {name}, `{language}`", number + 1);
            match language {
                "rust" | "rust,standalone_crate" => tested += 1,
                "text" | "wgsl" | "toml" | "sh" | "python" => {}
                _ => panic!("{what} is neither code that is tested nor a language that cannot be"),
            }
        }
        assert_eq!(text.matches("```").count() % 2, 0, "{name} has a block without end");
        // What is shown as printed is compared, or it would be out of date some day.
        for place in text.split("{{#include ").skip(1) {
            let file = place.split([':', '}']).next().unwrap();
            assert!(Path::new(CHAPTERS).join(file).is_file(), "{name} includes {file}, which is not there");
        }
        names.push(name);
    }
    println!("{tested} blocks of code in {} chapters are tested, and none is left out", names.len());
    assert!(tested >= 20, "{tested}");
}
