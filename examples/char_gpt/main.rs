//! A small GPT learns a text character by character, and writes some of its own.
//!
//! `cargo run --release --example char_gpt -- --text book.txt --steps 1000`

#[path = "../support/mod.rs"]
mod support;

mod model;
mod text;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use model::{CharGpt, Sizes};
use retrograd::optim::{AdamW, without_decay_on_vectors};
use retrograd::schedule::{Cosine, Schedule};
use retrograd::{Device, Generator, Graph, Params, Result, State, Step, Tensor};
use std::path::PathBuf;
use std::time::Instant;
use support::Outcome;
use text::{Batch, Corpus};

/// What is learned where no text is given: the project's own documentation.
const DOCUMENTATION: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../CONTRIBUTING.md"),
    include_str!("../../benches/README.md")
);

#[derive(Parser)]
#[command(about = "Trains a small GPT on a text, character by character")]
struct Options {
    /// A text file in UTF-8; else some pages of the project's documentation
    #[arg(long)]
    text: Option<PathBuf>,
    /// Folder with a file text.txt, instead of --text
    #[arg(long, conflicts_with = "text")]
    data: Option<PathBuf>,
    /// Training steps
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Texts per step
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// How many characters the network looks back at
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..))]
    context: u16,
    /// The greatest learning rate
    #[arg(long, default_value_t = 2e-3)]
    learning_rate: f64,
    /// How much is dropped out in training
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// Steps between two validations
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..))]
    validate_every: u32,
    /// Characters to write at the end
    #[arg(long, default_value_t = 400)]
    sample: usize,
    /// What they begin with
    #[arg(long, default_value = "\n")]
    prompt: String,
    /// How bold the writing is: below 1 the likely characters become likelier
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Seed of the initial parameters, the batches, the dropout and the writing
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End with one line of JSON
    #[arg(long)]
    json: bool,
}

fn main() -> std::process::ExitCode {
    support::run(|| run(&Options::parse()))
}

fn read_text(options: &Options) -> Outcome<String> {
    let path = options.text.clone().or_else(|| options.data.as_ref().map(|folder| folder.join("text.txt")));
    match path {
        None => Ok(DOCUMENTATION.to_owned()),
        Some(path) => Ok(std::fs::read_to_string(&path)
            .map_err(|error| format!("{} could not be read as a text in UTF-8: {error}", path.display()))?),
    }
}

fn run(options: &Options) -> Outcome<()> {
    let started = Instant::now();
    let (context, batch) = (usize::from(options.context), usize::from(options.batch));
    let corpus = Corpus::new(&read_text(options)?, context)?;
    let prompt = corpus.encode(&options.prompt)?;
    if prompt.is_empty() || options.temperature <= 0.0 {
        return Err("writing needs a prompt of at least one character and a temperature above 0".into());
    }
    let device = Device::best()?;
    println!("device: {}", device.name());
    let bigram = corpus.bigram_loss();
    println!(
        "{} characters to tell apart; a table of pairs reaches {bigram:.4} nats per character",
        corpus.vocabulary()
    );

    let vocabulary = corpus.vocabulary();
    let sizes = Sizes { vocabulary, context, width: 128, layers: 4, heads: 4, dropout: options.dropout };
    let mut params = Params::seeded(options.seed);
    let model = CharGpt::new(&mut params, sizes);
    let g = Graph::new();
    let tokens = g.labels("tokens", [batch, context]);
    let next = g.labels("next", [batch, context]);
    let loss = model.forward(&g, tokens).cross_entropy(next);
    // A twentieth of the steps up to the full rate, then half a wave down to a tenth of it.
    let warm_up = (options.steps / 20).max(1);
    let schedule = Cosine::new((options.steps - warm_up).max(1)).lowest(0.1).after_warmup(warm_up);
    let adam = AdamW::new(options.learning_rate).weight_decay(0.1);
    let training = g.train(loss, without_decay_on_vectors(adam)).schedule(schedule).clip_norm(1.0);
    let mut step = training.compile(&device, &params)?;
    println!("{} parameters, {} dispatches per step", params.elements(), step.plan().dispatches.len());

    let bar = ProgressBar::new(u64::from(options.steps));
    bar.set_style(ProgressStyle::with_template("{bar:40} step {pos}/{len}  {msg}  {eta} left")?);
    let mut generator = Generator::named(options.seed, "batches");
    let (mut losses, mut validations) = (Vec::new(), Vec::new());
    for number in 0..options.steps {
        let Batch { tokens: fed, next: wanted } = corpus.random(batch, &mut generator);
        step.run([tokens.feed(&fed), next.feed(&wanted)])?;
        losses.push(step.read(loss)?.item());
        let done = number + 1;
        if done % options.validate_every == 0 || done == options.steps {
            let validation = validate(&model, step.state(), &corpus, batch, context)?;
            bar.println(format!("step {done}: validation loss {validation:.4} nats per character"));
            validations.push((done, validation));
        }
        bar.set_message(format!("loss {:.4}", losses[number as usize]));
        bar.inc(1);
    }
    bar.finish_and_clear();

    let sample = write(&model, step.state(), &corpus, &prompt, options, context)?;
    println!("---\n{sample}\n---");
    if let Some((_, validation)) = validations.last() {
        println!("validation loss {validation:.4} nats per character; a table of pairs reaches {bigram:.4}");
    }
    if options.json {
        let result = serde_json::json!({
            "device": device.name(),
            "seconds": started.elapsed().as_secs_f64(),
            "steps": options.steps,
            "parameters": params.elements(),
            "vocabulary": vocabulary,
            "loss": losses.last(),
            "first_losses": losses.iter().take(20).collect::<Vec<_>>(),
            "validation_loss": validations.last().map(|(_, loss)| loss),
            "validation_losses": validations,
            "bigram_loss": bigram,
            "sample": sample,
        });
        println!("{result}");
    }
    Ok(())
}

/// The mean loss over the validation part.
fn validate(model: &CharGpt, state: &State, corpus: &Corpus, batch: usize, context: usize) -> Result<f64> {
    let g = Graph::evaluation();
    let (tokens, next) = (g.labels("tokens", [batch, context]), g.labels("next", [batch, context]));
    let loss = model.forward(&g, tokens).cross_entropy(next);
    let mut evaluation = g.infer(&[loss]).compile_on(state)?;
    let batches = corpus.validation(batch);
    let mut total = 0.0;
    for part in &batches {
        evaluation.run([tokens.feed(&part.tokens), next.feed(&part.next)])?;
        total += f64::from(evaluation.read(loss)?.item());
    }
    Ok(total / batches.len() as f64)
}

/// Goes on from a prompt, one character at a time, each drawn by its probability.
fn write(
    model: &CharGpt,
    state: &State,
    corpus: &Corpus,
    prompt: &[i32],
    options: &Options,
    context: usize,
) -> Result<String> {
    let g = Graph::evaluation();
    let tokens = g.labels("tokens", [1, context]);
    let scores = model.forward(&g, tokens) * options.temperature.recip();
    let probabilities = scores.softmax(-1).reshape([context, corpus.vocabulary()]);
    let mut step = g.infer(&[probabilities]).compile_on(state)?;
    let mut generator = Generator::named(options.seed, "sample");
    let mut written = prompt.to_vec();
    for _ in 0..options.sample {
        written.push(next_character(&mut step, tokens, probabilities, &written, context, &mut generator)?);
    }
    Ok(corpus.decode(&written))
}

fn next_character(
    step: &mut Step,
    tokens: Tensor<'_>,
    probabilities: Tensor<'_>,
    written: &[i32],
    context: usize,
    generator: &mut Generator,
) -> Result<i32> {
    // No position sees those after it: what fills up a short text does not matter.
    let seen = &written[written.len().saturating_sub(context)..];
    let mut window = seen.to_vec();
    window.resize(context, 0);
    step.run([tokens.feed(&window)])?;
    let all = step.read(probabilities)?.to_vec();
    let width = all.len() / context;
    let row = &all[(seen.len() - 1) * width..seen.len() * width];
    let mut left = generator.uniform(0.0, row.iter().copied().map(f64::from).sum());
    for (number, &probability) in row.iter().enumerate() {
        left -= f64::from(probability);
        if left < 0.0 {
            return Ok(number as i32);
        }
    }
    Ok(width as i32 - 1)
}
