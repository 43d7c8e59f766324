//! The texts to check: whatever plans hold, each once, under the name of where it was seen first.

use crate::graphs::draw;
use crate::networks::{NETWORKS, perceptron};
use rayon::prelude::*;
use retrograd::fuse::Form;
use retrograd::ops::OPS;
use retrograd::optim::{
    Adagrad, Adam, AdamW, Adamax, Grouped, Lamb, Lion, NAdam, RAdam, RmsProp, Sgd, without_decay_on_vectors,
};
use retrograd::plan::{Plan, Profile};
use retrograd::record::{Case, KernelClass, TensorId, Text, libraries};
use retrograd::reference::RecordedCase;
use retrograd::{Graph, Params, Result, Tensor, Training};
use std::collections::BTreeMap;

/// How many random graphs are planned.
const GRAPHS: u64 = 300;

/// Where a text was seen first.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The plan and the kernel.
    pub name: String,
    /// Whether it keeps the limits of every WebGPU device.
    pub is_portable: bool,
}

/// Texts by content, with their origins, and how many kernels they stand for.
#[derive(Debug, Default)]
pub struct Texts {
    /// The origin of each, by its text.
    pub origins: BTreeMap<String, Origin>,
    /// Plans and kernels by kind of source.
    pub sources: BTreeMap<&'static str, [usize; 2]>,
}

impl Texts {
    fn add(&mut self, source: &'static str, origin: &str, plan: &Plan) {
        let counts = self.sources.entry(source).or_default();
        counts[0] += 1;
        counts[1] += plan.kernels.len();
        let portable = Profile { eight_lanes: true, ..Profile::webgpu_default() };
        let is_portable = plan.profile.within(&portable).is_ok();
        for kernel in &plan.kernels {
            let name = format!("{source}, {origin}: {}", kernel.name);
            self.insert(kernel.wgsl.clone(), Origin { name, is_portable });
        }
    }

    fn insert(&mut self, text: String, origin: Origin) {
        let is_portable = origin.is_portable;
        self.origins.entry(text).or_insert(origin).is_portable |= is_portable;
    }

    fn join(mut self, other: Self) -> Self {
        for (text, origin) in other.origins {
            self.insert(text, origin);
        }
        for (source, [plans, kernels]) in other.sources {
            let counts = self.sources.entry(source).or_default();
            counts[0] += plans;
            counts[1] += kernels;
        }
        self
    }
}

/// The limits of WebGPU with kernels of one class, one form of the matrix product where that is forced, and images from
/// so many loads on.
fn profile(class: KernelClass, forced: Option<Form>, image_loads: usize) -> Profile {
    let mut profile = Profile { class, image_loads, ..Profile::webgpu_default() };
    profile.eight_lanes = class == KernelClass::Subgroup;
    profile.forms.forced = forced;
    profile
}

/// One profile for each way in which texts differ by themselves.
fn kinds() -> Vec<(&'static str, Profile)> {
    let (never, always) = (usize::MAX, 0);
    vec![
        ("gpu", profile(KernelClass::Gpu, None, never)),
        ("cpu", profile(KernelClass::Cpu, None, never)),
        ("cpu with images", profile(KernelClass::Cpu, None, always)),
        ("subgroup", profile(KernelClass::Subgroup, None, never)),
        ("subgroup with images", profile(KernelClass::Subgroup, None, always)),
    ]
}

/// One profile for each form of each class, for plans that multiply matrices.
fn forms() -> Vec<(String, Profile)> {
    let mut all = Vec::new();
    for class in [KernelClass::Gpu, KernelClass::Cpu, KernelClass::Subgroup] {
        for &form in Form::of_class(class) {
            for images in if class == KernelClass::Gpu { vec![usize::MAX] } else { vec![usize::MAX, 0] } {
                let with = if images == 0 { " with images" } else { "" };
                let name = format!("{class:?} {}{with}", form.name()).to_lowercase();
                all.push((name, profile(class, Some(form), images)));
            }
        }
    }
    all
}

/// Plans under all profiles that matter, fused and not.
fn everywhere(texts: &mut Texts, source: &'static str, origin: &str, plan: impl Fn(&Profile, bool) -> Result<Plan>) {
    let planned = |profile: &Profile, fuses| match plan(profile, fuses) {
        Ok(plan) => plan,
        Err(error) => panic!("{source}, {origin} has no plan: {error}"),
    };
    let mut multiplies = false;
    for (kind, profile) in kinds() {
        for fuses in [true, false] {
            let plan = planned(&profile, fuses);
            multiplies |= plan.dispatches.iter().any(|dispatch| dispatch.chosen.is_some());
            let alone = if fuses { "" } else { ", unfused" };
            texts.add(source, &format!("{origin}, {kind}{alone}"), &plan);
        }
    }
    if multiplies {
        for (kind, profile) in forms() {
            texts.add(source, &format!("{origin}, {kind}"), &planned(&profile, true));
        }
    }
}

fn case(texts: &mut Texts, op: &str, case: &Case) {
    let g = Graph::new();
    let recorded = RecordedCase::new(case, &g).unwrap_or_else(|error| panic!("{op}, {}: {error}", case.name));
    let (results, params) = (recorded.results(), Params::seeded(0));
    everywhere(texts, "cases of ops", &format!("{op} `{}`", case.name), |profile, fuses| {
        let step = g.infer(&results);
        if fuses { step } else { step.without_fusion() }.plan(&params, profile)
    });
}

fn random_graph(texts: &mut Texts, seed: u64) {
    let g = Graph::new();
    let drawn = draw(&g, seed, 2 + (seed % 13) as usize);
    let params = Params::seeded(3);
    for (kind, profile) in kinds() {
        match g.infer(&drawn.outputs).plan(&params, &profile) {
            Ok(plan) => texts.add("random graphs", &format!("seed {seed}, {kind}"), &plan),
            Err(error) => panic!("random graph {seed} has no plan: {error}"),
        }
    }
}

fn network(texts: &mut Texts, number: usize) {
    let (name, record) = NETWORKS[number];
    let (g, mut params) = (Graph::new(), Params::seeded(1));
    let loss = record(&g, &mut params);
    let profiles = kinds().into_iter().map(|(kind, profile)| (kind.to_owned(), profile)).chain(forms());
    for (kind, profile) in profiles {
        let plan = g.train(loss, AdamW::new(1e-3)).plan(&params, &profile).unwrap_or_else(|e| panic!("{name}: {e}"));
        texts.add("networks", &format!("{name}, {kind}"), &plan);
    }
    for profile in Profile::known() {
        let plan = g.train(loss, Sgd::new(1e-3)).plan(&params, &profile).unwrap_or_else(|e| panic!("{name}: {e}"));
        texts.add("networks", &format!("{name}, {}", profile.name), &plan);
    }
}

fn optimizers() -> Vec<(&'static str, Grouped)> {
    vec![
        ("sgd", Sgd::new(0.1).into()),
        ("sgd with weight decay", Sgd::new(0.1).weight_decay(0.1).into()),
        ("sgd with momentum", Sgd::new(0.1).momentum(0.9).into()),
        ("sgd of nesterov", Sgd::new(0.1).momentum(0.9).nesterov().weight_decay(0.1).into()),
        ("adam", Adam::new(0.1).weight_decay(0.1).into()),
        ("adamw", AdamW::new(0.1).weight_decay(0.1).into()),
        ("adamw in groups", without_decay_on_vectors(AdamW::new(0.1).weight_decay(0.1)).into()),
        ("rmsprop", RmsProp::new(0.1).weight_decay(0.1).into()),
        ("rmsprop, centered", RmsProp::new(0.1).centered().into()),
        ("rmsprop with momentum", RmsProp::new(0.1).momentum(0.9).into()),
        ("rmsprop with all", RmsProp::new(0.1).centered().momentum(0.9).into()),
        ("adagrad", Adagrad::new(0.1).rate_decay(0.1).weight_decay(0.1).into()),
        ("adamax", Adamax::new(0.1).weight_decay(0.1).into()),
        ("nadam", NAdam::new(0.1).weight_decay(0.1).into()),
        ("nadam, decoupled", NAdam::new(0.1).decoupled_weight_decay(0.1).into()),
        ("radam", RAdam::new(0.1).weight_decay(0.1).into()),
        ("radam, decoupled", RAdam::new(0.1).decoupled_weight_decay(0.1).into()),
        ("lion", Lion::new(0.1).weight_decay(0.1).into()),
        ("lamb", Lamb::new(0.1).weight_decay(0.1).into()),
        ("lamb in groups", without_decay_on_vectors(Lamb::new(0.1).weight_decay(0.1)).into()),
    ]
}

type With = for<'g> fn(Training<'g>) -> Training<'g>;

/// What a training may do besides the rule of its optimizer.
const CRAFT: [(&str, With); 9] = [
    ("alone", |training| training),
    ("gradient norm", |training| training.gradient_norm()),
    ("clipped by norm", |training| training.clip_norm(1.0)),
    ("clipped by value", |training| training.clip_value(1.0)),
    ("accumulating", |training| training.accumulate(3)),
    ("averaging", |training| training.average(0.99)),
    ("layer norms", |training| training.layer_norms()),
    ("accumulating and clipped", |training| training.accumulate(2).clip_norm(1.0).clip_value(0.5)),
    ("all of it", |training| training.accumulate(2).clip_norm(1.0).clip_value(0.5).average(0.99).layer_norms()),
];

fn optimizer(texts: &mut Texts, number: usize) {
    let (name, _) = optimizers()[number];
    for (craft, with) in CRAFT {
        let (g, mut params) = (Graph::new(), Params::seeded(1));
        let loss = perceptron(&g, &mut params);
        // Two of the classes: whether a kernel trains a matrix in lanes is no matter of the update.
        for (kind, profile) in kinds().into_iter().filter(|(kind, _)| ["gpu", "cpu"].contains(kind)) {
            let optimizer = optimizers().swap_remove(number).1;
            let plan = with(g.train(loss, optimizer)).plan(&params, &profile);
            let plan = plan.unwrap_or_else(|error| panic!("{name}, {craft}: {error}"));
            texts.add("optimizers and training craft", &format!("{name}, {craft}, {kind}"), &plan);
        }
    }
}

/// Batches that are gathered on the device, and evaluation with averages.
fn data(texts: &mut Texts) {
    let (rows, g, mut params) = (120, Graph::new(), Params::seeded(1));
    let loss = perceptron(&g, &mut params);
    let input = |name: &str| {
        g.recording().inputs.get(name).map(|&node| g.at(TensorId { node, output: 0 })).expect("it was recorded")
    };
    let (x, y): (Tensor<'_>, Tensor<'_>) = (input("x"), input("y"));
    let (images, labels) = (vec![0.5_f32; rows * 37], vec![1; rows]);
    for (kind, profile) in kinds() {
        let training = g.train(loss, Adam::new(0.1)).dataset([x.feed(&images), y.feed(&labels)]);
        texts.add("networks", &format!("dataset, {kind}"), &training.plan(&params, &profile).expect("it fits"));
        let evaluation = g.infer(&[loss]).with_average().plan(&params, &profile).expect("it fits");
        texts.add("networks", &format!("averages, {kind}"), &evaluation);
    }
}

/// The shader files as they stand, after all libraries.
fn files(texts: &mut Texts) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    for entry in std::fs::read_dir(folder).expect("the shaders are there") {
        let path = entry.expect("a folder can be read").path();
        if path.extension().is_some_and(|ending| ending == "wgsl") {
            let text = std::fs::read_to_string(&path).expect("a shader can be read");
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            texts.sources.entry("shader files").or_default()[1] += 1;
            texts.insert(Text::join(libraries::ALL, &text), Origin { name, is_portable: true });
        }
    }
}

/// Adds what one recording gives.
type Job = Box<dyn Fn(&mut Texts) + Send + Sync>;

/// All texts. Graphs stay on a thread, so work is shared by what is recorded.
pub fn all() -> Texts {
    let mut jobs: Vec<Job> = Vec::new();
    for op in OPS {
        jobs.push(Box::new(|texts| (op.cases)().iter().for_each(|of| case(texts, op.name, of))));
    }
    for seed in 0..GRAPHS {
        jobs.push(Box::new(move |texts| random_graph(texts, seed)));
    }
    for number in 0..NETWORKS.len() {
        jobs.push(Box::new(move |texts| network(texts, number)));
    }
    for number in 0..optimizers().len() {
        jobs.push(Box::new(move |texts| optimizer(texts, number)));
    }
    jobs.push(Box::new(data));
    jobs.push(Box::new(files));
    let run = |job: Job| {
        let mut texts = Texts::default();
        job(&mut texts);
        texts
    };
    // In the order of the jobs, so that names do not depend on which thread was first.
    jobs.into_par_iter().map(run).collect::<Vec<_>>().into_iter().fold(Texts::default(), Texts::join)
}

/// A text without its numbers: texts with equal ones say the same of other sizes.
pub fn kind(text: &str) -> String {
    let mut kind = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii_digit() {
            kind.push(character);
        } else if !kind.ends_with('#') {
            kind.push('#');
        }
    }
    kind
}
