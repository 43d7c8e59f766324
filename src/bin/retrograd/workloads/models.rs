//! The workloads: what is recorded, and which number is compared.

use super::data::{Weights, labels, spiral, symmetric, uniform};
use retrograd::nn::Activation;
use retrograd::ops::PoolSettings;
use retrograd::optim::{Adam, AdamW};
use retrograd::train::{Choice, Tuned};
use retrograd::{
    Device, Error, ErrorKind, Graph, HostData, HostTensor, Inference, Init, Params, Result, Shape, Step, Tensor,
    Training, nn,
};
use std::cell::RefCell;
use std::path::Path;

/// What is done with a compiled workload: data and weights lie on the device, nothing is fed, and the tensor is
/// the loss, or the number that stands for it.
pub type Use<'u> = &'u mut dyn FnMut(Step, Tensor<'_>) -> Result<()>;

/// The names of all workloads.
pub const ALL: [&str; 11] = ["w1", "w2", "w3", "w4", "w5", "w6_512", "w6_1024", "w6_2048", "w6_tn", "w6_nt", "w7"];

/// A network of the command line: layer sizes and batch.
#[derive(Clone, Debug)]
pub struct Network {
    pub sizes: Vec<usize>,
    pub batch: usize,
}

/// How workloads are compiled.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    pub network: Option<&'a Network>,
    pub without_fusion: bool,
    /// The numbers of every so many steps are looked at.
    pub check_numbers: Option<u32>,
    /// Where kernels chosen by measurement are kept, if they are to be.
    pub tune: Option<&'a Path>,
    /// Where it is noted what was chosen.
    pub choices: Option<&'a RefCell<Vec<Choice>>>,
}

impl Options<'_> {
    fn note(&self, tuned: Tuned) -> Device {
        if let Some(choices) = self.choices {
            choices.borrow_mut().extend(tuned.choices);
        }
        tuned.device
    }

    fn training(&self, training: Training<'_>, device: &Device, params: &Params) -> Result<Step> {
        let training = if self.without_fusion { training.without_fusion() } else { training };
        let training = match self.check_numbers {
            Some(every) => training.check_numbers(every),
            None => training,
        };
        match self.tune {
            Some(path) => {
                let device = self.note(training.choose(device, params, path)?);
                training.compile(&device, params)
            }
            None => training.compile(device, params),
        }
    }

    fn inference(&self, inference: Inference<'_>, device: &Device) -> Result<Step> {
        let params = Params::seeded(0);
        let inference = if self.without_fusion { inference.without_fusion() } else { inference };
        let inference = match self.check_numbers {
            Some(every) => inference.check_numbers(every),
            None => inference,
        };
        match self.tune {
            Some(path) => {
                let device = self.note(inference.choose(device, &params, path)?);
                inference.compile(&device, &params)
            }
            None => inference.compile(device, &params),
        }
    }
}

/// Records and compiles a workload, and hands it on.
pub fn compile(name: &str, device: &Device, options: &Options<'_>, with: Use<'_>) -> Result<()> {
    match (name, options.network) {
        ("mlp", Some(Network { sizes, batch })) => {
            let (inputs, classes) = (sizes[0], sizes[sizes.len() - 1]);
            classifier(device, sizes, uniform(1, batch * inputs), labels(2, *batch, classes), options, with)
        }
        ("w1", _) => {
            let (points, arms) = spiral();
            classifier(device, &[2, 64, 64, 3], points, arms, options, with)
        }
        ("w2", _) => classifier(device, &[784, 512, 256, 10], uniform(1, 128 * 784), labels(2, 128, 10), options, with),
        ("w3", _) => regression(device, options, with),
        ("w4", _) => convolutions(device, options, with),
        ("w5", _) => transformer(device, options, with),
        ("w7", _) => chain(device, options, with),
        (name, _) if name.starts_with("w6_") && ALL.contains(&name) => product(device, name, options, with),
        _ => Err(Error::new(ErrorKind::Argument, format!("there is no workload `{name}`: {}", ALL.join(", ")))),
    }
}

fn host(shape: impl Into<Shape>, values: Vec<f32>) -> Result<HostTensor> {
    HostTensor::new(shape, HostData::F32(values))
}

fn network<'g>(params: &mut Params, x: Tensor<'g>, sizes: &[usize], activation: Activation) -> Tensor<'g> {
    let mut weights = Weights::new();
    let mut y = x;
    for (number, pair) in sizes.windows(2).enumerate() {
        let weight = Init::Values(weights.layer(pair[0], pair[1]));
        let name = format!("layer{number}");
        let layer = nn::Linear::with_init(params, &name, pair[0], pair[1], weight, Some(Init::Zeros));
        y = layer.forward(y);
        if number + 2 < sizes.len() {
            y = activation.forward(y);
        }
    }
    y
}

fn classifier(
    device: &Device,
    sizes: &[usize],
    data: Vec<f32>,
    classes: Vec<i32>,
    options: &Options<'_>,
    with: Use<'_>,
) -> Result<()> {
    let g = Graph::new();
    let batch = classes.len();
    let x = g.constant(host([batch, sizes[0]], data)?);
    let y = g.constant(HostTensor::new([batch], HostData::I32(classes))?);
    let mut params = Params::seeded(0);
    let loss = network(&mut params, x, sizes, Activation::Relu).cross_entropy(y);
    with(options.training(g.train(loss, Adam::new(1e-3)), device, &params)?, loss)
}

fn regression(device: &Device, options: &Options<'_>, with: Use<'_>) -> Result<()> {
    const WIDTH: usize = 1024;
    const BATCH: usize = 256;
    let g = Graph::new();
    let x = g.constant(host([BATCH, WIDTH], symmetric(1, BATCH * WIDTH, 1.0))?);
    let y = g.constant(host([BATCH, WIDTH], symmetric(2, BATCH * WIDTH, 1.0))?);
    let mut params = Params::seeded(0);
    let loss = network(&mut params, x, &[WIDTH; 4], Activation::Gelu).mse_loss(y);
    with(options.training(g.train(loss, AdamW::new(1e-4).weight_decay(0.01)), device, &params)?, loss)
}

/// Gives parameters the initial values that all libraries in the comparison begin with. Biases begin at zero.
fn begin(step: &Step, values: Vec<(String, HostTensor)>) -> Result<()> {
    for (name, shape) in step.state().parameters().filter(|(name, _)| name.rsplit('.').next() == Some("bias")) {
        step.state().set_parameter(name, host(shape, vec![0.0; shape.elements()])?)?;
    }
    for (name, value) in values {
        step.state().set_parameter(&name, value)?;
    }
    Ok(())
}

fn convolutions(device: &Device, options: &Options<'_>, with: Use<'_>) -> Result<()> {
    const BATCH: usize = 64;
    let g = Graph::new();
    let x = g.constant(host([BATCH, 1, 28, 28], uniform(1, BATCH * 784))?);
    let y = g.constant(HostTensor::new([BATCH], HostData::I32(labels(2, BATCH, 10)))?);
    let mut params = Params::seeded(0);
    let model = nn::Sequential::new()
        .then(nn::Conv2d::new(&mut params, "conv1", 1, 32, [3, 3]))
        .then(Activation::Relu)
        .then(nn::Conv2d::new(&mut params, "conv2", 32, 64, [3, 3]))
        .then(Activation::Relu)
        .then(nn::MaxPool2d(PoolSettings::new(2)))
        .then(nn::Flatten)
        .then(nn::Linear::new(&mut params, "up", 64 * 12 * 12, 128))
        .then(Activation::Relu)
        .then(nn::Linear::new(&mut params, "down", 128, 10));
    let loss = model.forward(x).cross_entropy(y);
    let step = options.training(g.train(loss, Adam::new(1e-3)), device, &params)?;
    let mut weights = Weights::new();
    let values = vec![
        ("conv1.weight".to_owned(), host([32, 1, 3, 3], weights.kernel(32, 9))?),
        ("conv2.weight".to_owned(), host([64, 32, 3, 3], weights.kernel(64, 288))?),
        ("up.weight".to_owned(), host([128, 9216], weights.layer(9216, 128))?),
        ("down.weight".to_owned(), host([10, 128], weights.layer(128, 10))?),
    ];
    begin(&step, values)?;
    with(step, loss)
}

fn transformer(device: &Device, options: &Options<'_>, with: Use<'_>) -> Result<()> {
    const BATCH: usize = 16;
    const LENGTH: usize = 128;
    const SIZE: usize = 128;
    const LETTERS: usize = 65;
    let g = Graph::new();
    let tokens = HostTensor::new([BATCH, LENGTH], HostData::I32(labels(1, BATCH * LENGTH, LETTERS)))?;
    let next = HostTensor::new([BATCH, LENGTH], HostData::I32(labels(2, BATCH * LENGTH, LETTERS)))?;
    let mut params = Params::seeded(0);
    let mut weights = Weights::new();
    let mut values = vec![
        ("token.weight".to_owned(), host([LETTERS, SIZE], weights.within(LETTERS * SIZE, 0.1))?),
        ("position".to_owned(), host([LENGTH, SIZE], weights.within(LENGTH * SIZE, 0.1))?),
    ];
    let token = nn::Embedding::new(&mut params, "token", LETTERS, SIZE);
    let position = params.add("position", [LENGTH, SIZE], Init::Zeros);
    let mut y = token.forward(g.constant(tokens)) + g.param(&position);
    for number in 0..4 {
        let name = format!("block{number}");
        y = nn::TransformerBlock::new(&mut params, &name, SIZE, 4).causal().forward(y);
        for (part, inputs, outputs) in [
            ("attention.in_proj", SIZE, 3 * SIZE),
            ("attention.out_proj", SIZE, SIZE),
            ("mlp.up", SIZE, 4 * SIZE),
            ("mlp.down", 4 * SIZE, SIZE),
        ] {
            values.push((format!("{name}.{part}.weight"), host([outputs, inputs], weights.layer(inputs, outputs))?));
        }
    }
    values.push(("head.weight".to_owned(), host([LETTERS, SIZE], weights.layer(SIZE, LETTERS))?));
    let norm = nn::LayerNorm::new(&mut params, "norm", [SIZE]);
    let head = nn::Linear::new(&mut params, "head", SIZE, LETTERS);
    let loss = head.forward(norm.forward(y)).cross_entropy(g.constant(next));
    let step = options.training(g.train(loss, AdamW::new(3e-4).weight_decay(0.01)), device, &params)?;
    begin(&step, values)?;
    with(step, loss)
}

fn chain(device: &Device, options: &Options<'_>, with: Use<'_>) -> Result<()> {
    const SIDE: usize = 2048;
    let g = Graph::new();
    let tensor = |seed| Ok(g.constant(host([SIDE, SIDE], symmetric(seed, SIDE * SIDE, 1.0))?));
    let [x, a, b, c] = [tensor(1)?, tensor(2)?, tensor(3)?, tensor(4)?];
    let loss = ((x * a + b).gelu() * c).sum(..);
    let mut outputs = vec![loss];
    outputs.extend(g.gradients(loss, &[x, a, b, c]));
    with(options.inference(g.infer(&outputs), device)?, loss)
}

fn product(device: &Device, name: &str, options: &Options<'_>, with: Use<'_>) -> Result<()> {
    let side = match name {
        "w6_512" => 512,
        "w6_2048" => 2048,
        _ => 1024,
    };
    let g = Graph::new();
    let matrix = |seed| Ok(g.constant(host([side, side], symmetric(seed, side * side, 1.0))?));
    let [a, b] = [matrix(1)?, matrix(2)?];
    let c = match name {
        "w6_tn" => a.transpose().matmul(b),
        "w6_nt" => a.matmul(b.transpose()),
        _ => a.matmul(b),
    };
    let corner = c.slice(0, 0..1).slice(1, 0..1);
    with(options.inference(g.infer(&[c, corner]), device)?, corner)
}
