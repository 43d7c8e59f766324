//! Every picture and page that retrograd draws: a circuit with values and gradients, the graph of a training step, curves,
//! histograms, a confusion matrix, a decision boundary, and the plan with the time of every dispatch.

mod support;

use clap::Parser;
use retrograd::see::{Confusion, Curves, DecisionBoundary, Histograms};
use retrograd::{Ceilings, Device, Generator, Graph, Params, Step, nn, optim::Adam};
use std::path::PathBuf;
use support::Outcome;

#[derive(Parser)]
#[command(about = "Trains a small classifier and draws everything there is to see of it")]
struct Options {
    /// Seed of the points and the initial parameters
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Training steps over all points
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// The folder for the pictures [default: `seeing` among temporary files]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write pictures as SVG rather than PNG
    #[arg(long)]
    svg: bool,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

const CLASSES: usize = 3;
const POINTS: usize = 240;

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

/// Points in three rings, one for each class, with some noise.
fn rings(seed: u64) -> (Vec<f32>, Vec<i32>) {
    let mut generator = Generator::named(seed, "rings");
    let (mut points, mut classes) = (Vec::new(), Vec::new());
    for place in 0..POINTS {
        let class = place % CLASSES;
        let radius = 0.25 + 0.3 * class as f64 + generator.normal(0.0, 0.06);
        let angle = generator.uniform(0.0, std::f64::consts::TAU);
        points.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
        classes.push(class as i32);
    }
    (points, classes)
}

fn run(options: &Options) -> Outcome<()> {
    let folder = options.out.clone().unwrap_or_else(|| std::env::temp_dir().join("seeing"));
    let file = |name: &str| folder.join(format!("{name}.{}", if options.svg { "svg" } else { "png" }));
    circuit()?.save(file("circuit"))?;

    let device = Device::best()?;
    let (points, classes) = rings(options.seed);
    let mut params = Params::seeded(options.seed);
    let up = nn::Linear::new(&mut params, "up", 2, 24);
    let weight = up.weight().clone();
    let model = nn::Sequential::new().then(up).then(nn::Activation::Tanh).then(nn::Linear::new(
        &mut params,
        "down",
        24,
        CLASSES,
    ));
    let g = Graph::new();
    let (x, y) = (g.input("points", [POINTS, 2]), g.labels("rings", [POINTS]));
    let loss = model.forward(x).cross_entropy(y);
    let slope = g.gradient(loss, g.param(&weight)).keep();
    let mut step = g.train(loss, Adam::new(3e-2)).compile(&device, &params)?;
    step.picture().save(file("graph"))?;
    Histograms::of_parameters(step.state())?.save(file("parameters before"))?;

    let feeds = [x.feed(&points), y.feed(&classes)];
    step.run_many(options.steps, &feeds)?;
    let losses = step.read_history(loss)?.to_vec();
    Curves::new("Three rings").axes("step", "loss").series("training", losses).logarithmic().save(file("loss"))?;
    let trained = Histograms::of_parameters(step.state())?;
    trained.group("gradient of up.weight", &step.read(slope)?.to_vec()).save(file("parameters after"))?;

    let answers = answer(&model, &step, &points)?;
    let mut counts = vec![vec![0; CLASSES]; CLASSES];
    for (&truth, &answer) in classes.iter().zip(&answers) {
        counts[truth as usize][answer as usize] += 1;
    }
    let names = ["inner", "middle", "outer"];
    Confusion::new("Rings", &counts).names(names).save(file("confusion"))?;
    let plane = DecisionBoundary::new("Where the network sees which ring", -1.1..1.1, -1.1..1.1, 120)?;
    let seen = answer(&model, &step, &plane.grid())?;
    plane.classes(&seen)?.points(&points, &classes)?.names(names).save(file("boundary"))?;

    let times = step.profile(&feeds)?.against(Ceilings::measure(&device)?);
    step.report().title("Three rings").times(&times).save(folder.join("plan.html"))?;
    std::fs::write(folder.join("trace.json"), times.trace())?;
    let last = step.read(loss)?.item();
    println!("loss {last:.4}; the pictures are in {}", folder.display());
    if options.json {
        println!("{}", serde_json::json!({ "device": device.name(), "loss": last, "folder": folder }));
    }
    Ok(())
}

/// A neuron with a sigmoid, made of small gates.
fn circuit() -> Outcome<retrograd::see::GraphPicture> {
    let g = Graph::new();
    let [w0, x0, w1, x1, w2] = ["w0", "x0", "w1", "x1", "w2"].map(|name| g.input(name, [1]));
    let f = ((-(w0 * x0 + w1 * x1 + w2)).exp() + 1.0).reciprocal();
    let values = [(w0, [2f32]), (x0, [-1.0]), (w1, [-3.0]), (x1, [-2.0]), (w2, [-3.0])];
    let feeds: Vec<_> = values.iter().map(|(input, value)| input.feed(value)).collect();
    Ok(g.circuit(f, &Params::seeded(1), feeds)?)
}

/// The class that the network gives each of these points.
fn answer(model: &nn::Sequential, step: &Step, points: &[f32]) -> Outcome<Vec<i32>> {
    let g = Graph::evaluation();
    let x = g.input("points", [points.len() / 2, 2]);
    let class = model.forward(x).argmax(-1);
    let mut evaluation = g.infer(&[class]).compile_on(step.state())?;
    evaluation.run([x.feed(points)])?;
    Ok(evaluation.read(class)?.to_vec().into_iter().map(|class| class as i32).collect())
}
