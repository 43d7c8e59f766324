//! Whatever a recording method is given, it records or refuses: arbitrary shapes, element types, axes, sizes and numbers to
//! every method that records, and a run on the host of what is small. A panic is a failure, and so is a refusal that does
//! not say what, why and where.
//!
//! `RETROGRAD_TEST_CASES` says how often each is called.

mod common;

use common::hostile::{axis, extent, failures, number, size};
use proptest::prelude::*;
use retrograd::nn::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Conv1d, Conv2d, ConvTranspose2d, Dropout, Embedding, Flatten,
    GroupNorm, Gru, LayerNorm, Linear, Lstm, MaxPool2d, MultiHeadAttention, Residual, RmsNorm, Rnn, Sequential,
    TransformerBlock,
};
use retrograd::ops::{AttentionSettings, CellWeights, ConvSettings, PoolSettings, RotaryPairs};
use retrograd::optim::Sgd;
use retrograd::plan::Profile;
use retrograd::{Axes, DType, Device, ErrorKind, Graph, HostData, HostTensor, Init, Params, Shape, Tensor};

/// Compiled and run are recordings whose inputs and outputs have this many elements together at most.
const SMALL: usize = 20_000;

/// What a method is called with; every method takes what it needs, from the front.
#[derive(Clone, Debug)]
struct Arguments {
    /// Element type and shape of every tensor.
    tensors: Vec<(DType, Vec<usize>)>,
    axes: Vec<isize>,
    sizes: Vec<usize>,
    numbers: Vec<f64>,
    flag: bool,
}

/// Four tensors, of which later ones are often like the first: most methods take operands that fit one another.
fn tensors() -> BoxedStrategy<Vec<(DType, Vec<usize>)>> {
    let dtype = prop_oneof![8 => Just(DType::F32), 2 => Just(DType::I32), 1 => Just(DType::U32)];
    let shape = prop_oneof![
        12 => proptest::collection::vec(extent(), 0..6),
        1 => proptest::collection::vec(size(), 1..4),
    ];
    // How a tensor follows from the first: another altogether, the same, its last axis, or that turned with the one before.
    let follows = 0..5usize;
    let next = (dtype.clone(), shape.clone(), follows);
    ((dtype, shape), proptest::collection::vec(next, 3))
        .prop_map(|(first, next)| {
            let mut all = vec![first];
            for (dtype, shape, follows) in next {
                let like = &all[0].1;
                let shape = match follows {
                    0 => shape,
                    1 | 2 => like.clone(),
                    3 => like.last().copied().into_iter().collect(),
                    _ => like.iter().rev().copied().collect(),
                };
                all.push((dtype, shape));
            }
            all
        })
        .boxed()
}

fn arguments() -> BoxedStrategy<Arguments> {
    let lists = (
        proptest::collection::vec(axis(), 4),
        proptest::collection::vec(size(), 8),
        proptest::collection::vec(number(), 3),
    );
    (tensors(), lists, any::<bool>())
        .prop_map(|(tensors, (axes, sizes, numbers), flag)| Arguments { tensors, axes, sizes, numbers, flag })
        .boxed()
}

/// What a call works with.
struct Call<'g, 'a> {
    g: &'g Graph,
    params: &'a mut Params,
    x: Vec<Tensor<'g>>,
    with: &'a Arguments,
}

impl Call<'_, '_> {
    fn axis(&self, number: usize) -> isize {
        self.with.axes[number]
    }
    fn size(&self, number: usize) -> usize {
        self.with.sizes[number]
    }
    fn number(&self, number: usize) -> f64 {
        self.with.numbers[number]
    }
    /// Axes in one of the ways to name them.
    fn axes(&self) -> Axes {
        match self.size(7) % 4 {
            0 => Axes::All,
            1 => Axes::from(self.axis(0)),
            2 => Axes::from([self.axis(0), self.axis(1)]),
            _ => Axes::from(&self.with.axes[..]),
        }
    }
    /// The shape of a tensor, or another that may have as many elements.
    fn shape(&self) -> Shape {
        let shape = self.x[1].shape();
        match self.size(6) % 3 {
            0 => shape,
            1 => vec![self.x[0].shape().elements()].into(),
            _ => self.with.sizes[..self.size(5) % 5].into(),
        }
    }
    fn conv<const N: usize>(&self) -> ConvSettings<N> {
        let mut settings = ConvSettings::new().groups(self.size(0));
        for place in 0..N {
            settings.stride[place] = self.size(1 + place);
            settings.padding[place] = self.size(2 + place);
            settings.dilation[place] = self.size(3 + place);
        }
        settings
    }
    fn pool(&self) -> PoolSettings {
        PoolSettings {
            kernel: [self.size(0), self.size(1)],
            stride: [self.size(2), self.size(3)],
            padding: [self.size(4), self.size(5)],
            dilation: [self.size(6), self.size(7)],
        }
    }
    fn weights<'g>(x: &[Tensor<'g>], flag: bool) -> CellWeights<'g> {
        CellWeights { input: x[2], hidden: x[3], input_bias: flag.then_some(x[1]), hidden_bias: None }
    }
}

type Method = for<'g> fn(&mut Call<'g, '_>) -> Vec<Tensor<'g>>;

/// Lists calls by name; `c` is what they work with.
macro_rules! calls {
    ($($name:ident: |$c:ident| $body:expr;)*) => {
        &[$((stringify!($name), |$c| $body.into_iter().collect())),*]
    };
}

/// Every method of graphs and tensors that records.
static METHODS: &[(&str, Method)] = calls! {
    input: |c| [c.g.input("y", c.shape())];
    labels: |c| [c.g.labels("y", c.shape())];
    mask: |c| [c.g.mask("x0", c.shape())];
    constant: |c| [c.g.constant(vec![c.number(0) as f32; c.size(0) % 9])];
    param: |c| {
        let shape = c.shape();
        let init = match c.size(7) % 4 {
            0 => Init::Uniform(c.number(0), c.number(1)),
            1 => Init::Normal(c.number(0), c.number(1)),
            2 => Init::KaimingNormal(c.number(0)),
            _ => Init::Values(vec![1.0; c.size(6) % 9]),
        };
        let param = if shape.elements() < SMALL { c.params.add("w", shape, init) } else { c.params.add("w", shape, Init::Zeros) };
        [c.g.param(&param)]
    };
    assign: |c| {
        let cell = c.params.add_cell("cell", [2, 3], Init::Zeros);
        c.g.assign(&cell, c.x[0]);
        [c.g.param(&cell)]
    };
    scalar: |c| [c.g.scalar(c.number(0))];
    full: |c| [c.g.full(c.shape(), c.number(0))];
    concat: |c| [c.g.concat(&c.x[..c.size(0) % 5], c.axis(0))];
    stack: |c| [c.g.stack(&c.x[..c.size(0) % 5], c.axis(0))];
    add: |c| [c.x[0] + c.x[1], c.x[0] + c.number(0), c.number(0) + c.x[0]];
    sub: |c| [c.x[0] - c.x[1], c.x[0] - c.number(0), c.number(0) - c.x[0], -c.x[0]];
    mul: |c| [c.x[0] * c.x[1], c.x[0] * c.number(0), c.number(0) * c.x[0]];
    div: |c| [c.x[0] / c.x[1], c.x[0] / c.number(0), c.number(0) / c.x[0]];
    affine: |c| [c.x[0].affine(c.number(0), c.number(1))];
    pow: |c| [c.x[0].pow(c.x[1])];
    powf: |c| [c.x[0].powf(c.number(0))];
    maximum: |c| [c.x[0].maximum(c.x[1]), c.x[0].minimum(c.x[1])];
    compare: |c| [c.x[0].lt(c.x[1]), c.x[0].ge(c.x[1]), c.x[0].eq(c.x[1]), c.x[0].ne(c.x[1])];
    where_cond: |c| [c.x[0].where_cond(c.x[1], c.x[2])];
    pointwise: |c| {
        let x = c.x[0];
        [
            x.abs(), x.reciprocal(), x.exp(), x.expm1(), x.log(), x.log1p(), x.sqrt(), x.rsqrt(), x.square(), x.sign(), x.sin(), x.cos(),
            x.atan(), x.erf(), x.tanh(), x.sigmoid(), x.relu(), x.gelu(), x.gelu_erf(), x.gelu_tanh(), x.silu(), x.mish(),
            x.softplus(), x.softsign(), x.hardswish(), x.logsigmoid(), x.detach(), x.to_i32(), x.to_f32(),
        ]
    };
    leaky_relu: |c| [c.x[0].leaky_relu(c.number(0))];
    elu: |c| [c.x[0].elu(c.number(0))];
    clamp: |c| [c.x[0].clamp(c.number(0), c.number(1))];
    dropout: |c| [c.x[0].dropout(c.number(0))];
    one_hot: |c| [c.x[0].one_hot(c.size(0))];
    argmax: |c| [c.x[0].argmax(c.axis(0))];
    top_k: |c| { let (values, places) = c.x[0].top_k(c.size(0), c.axis(0)); [values, places] };
    cumsum: |c| [c.x[0].cumsum(c.axis(0))];
    sum: |c| [c.x[0].sum(c.axes()), c.x[0].sum_keep(c.axes())];
    mean: |c| [c.x[0].mean(c.axes()), c.x[0].mean_keep(c.axes())];
    amax: |c| [c.x[0].amax(c.axes()), c.x[0].amax_keep(c.axes())];
    amin: |c| [c.x[0].amin(c.axes()), c.x[0].amin_keep(c.axes())];
    var: |c| [c.x[0].var(c.axes(), c.size(0))];
    logsumexp: |c| [c.x[0].logsumexp(c.axes())];
    norms: |c| [c.x[0].norm2(), c.x[0].l1_penalty(c.number(0)), c.x[0].l2_penalty(c.number(1))];
    softmax: |c| [c.x[0].softmax(c.axis(0)), c.x[0].log_softmax(c.axis(0))];
    reshape: |c| [c.x[0].reshape(c.shape())];
    flatten: |c| [c.x[0].flatten(c.size(0))];
    squeeze: |c| [c.x[0].squeeze(c.axis(0)), c.x[0].unsqueeze(c.axis(0))];
    permute: |c| [c.x[0].permute(&c.with.axes[..c.size(0) % 5]), c.x[0].transpose(), c.x[0].swap_axes(c.axis(0), c.axis(1))];
    flip: |c| [c.x[0].flip(c.axes())];
    broadcast_to: |c| [c.x[0].broadcast_to(c.shape())];
    slice: |c| [c.x[0].slice(c.axis(0), c.size(0)..c.size(1)), c.x[0].slice_step(c.axis(0), c.size(0)..c.size(1), c.size(2))];
    pad: |c| {
        let widths: Vec<(usize, usize)> = c.with.sizes.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let count = if c.with.flag { c.x[0].rank().min(4) } else { c.size(7) % 5 };
        [c.x[0].pad(&widths[..count])]
    };
    tril: |c| [c.x[0].tril(c.axis(0) as i32), c.x[0].tril(i32::MAX), c.x[0].tril(i32::MIN)];
    unfold: |c| [c.x[0].unfold(c.axis(0), c.size(0), c.size(1), c.size(2))];
    matmul: |c| [c.x[0].matmul(c.x[1])];
    embedding: |c| [c.x[0].embedding(c.x[1]), c.x[1].embedding(c.x[0])];
    index_select: |c| [c.x[0].index_select(c.axis(0), c.x[1])];
    gather: |c| [c.x[0].gather(c.axis(0), c.x[1]), c.x[0].scatter_add(c.axis(0), c.x[1], c.x[2])];
    check_index: |c| { c.g.check_index("check", c.x[0], c.size(0)); [c.x[0]] };
    layer_norm: |c| [c.x[0].layer_norm(c.x[1], c.x[2], c.number(0))];
    rms_norm: |c| [c.x[0].rms_norm(c.x[1], c.number(0))];
    group_norm: |c| [c.x[0].group_norm(c.size(0), c.x[1], c.x[2], c.number(0))];
    batch_norm: |c| { let all = c.x[0].batch_norm(c.x[1], c.x[2], c.number(0)); [all.output, all.mean, all.variance] };
    batch_norm_with: |c| [c.x[0].batch_norm_with(c.x[1], c.x[1], c.x[2], c.x[3], c.number(0))];
    cross_entropy: |c| [c.x[0].cross_entropy(c.x[1]), c.x[0].cross_entropy_rows(c.x[1], c.number(0)), c.x[0].cross_entropy_smooth(c.x[1], c.number(0))];
    cross_entropy_weighted: |c| [c.x[0].cross_entropy_weighted(c.x[1], c.x[2])];
    cross_entropy_probabilities: |c| [c.x[0].cross_entropy_probabilities(c.x[1])];
    losses: |c| {
        let (x, t) = (c.x[0], c.x[1]);
        [
            x.squared_error(t), x.mse_loss(t), x.absolute_error(t), x.l1_loss(t), x.huber_error(t, c.number(0)), x.huber_loss(t, c.number(0)),
            x.binary_cross_entropy_error(t), x.binary_cross_entropy(t), x.binary_cross_entropy_with_logits_error(t),
            x.binary_cross_entropy_with_logits(t), x.kl_divergence(t), x.categorical_cross_entropy(t),
        ]
    };
    rotary: |c| [c.x[0].rotary(c.size(0), c.number(0), if c.with.flag { RotaryPairs::Halves } else { RotaryPairs::Neighbours })];
    upsample: |c| [c.x[0].upsample_nearest2d([c.size(0), c.size(1)]), c.x[0].upsample_bilinear2d([c.size(2), c.size(3)], c.with.flag)];
    max_pool2d: |c| [c.x[0].max_pool2d(c.pool())];
    avg_pool2d: |c| [c.x[0].avg_pool2d(c.pool(), c.with.flag)];
    adaptive_avg_pool2d: |c| [c.x[0].adaptive_avg_pool2d([c.size(0), c.size(1)])];
    conv1d: |c| [c.x[0].conv1d(c.x[1], &c.conv())];
    conv2d: |c| [c.x[0].conv2d(c.x[1], &c.conv())];
    conv3d: |c| [c.x[0].conv3d(c.x[1], &c.conv())];
    conv_transpose1d: |c| [c.x[0].conv_transpose1d(c.x[1], &c.conv(), [c.size(7)])];
    conv_transpose2d: |c| [c.x[0].conv_transpose2d(c.x[1], &c.conv(), [c.size(6), c.size(7)])];
    attention: |c| {
        let mut settings = AttentionSettings::new();
        settings.causal = c.with.flag;
        settings.mask = (c.size(0) > 2).then_some(c.x[3]);
        settings.scale = (c.size(1) > 2).then_some(c.number(0));
        [c.x[0].attention(c.x[1], c.x[2], &settings)]
    };
    lstm_cell: |c| { let (h, s) = c.x[0].lstm_cell(c.x[1], c.x[1], &Call::weights(&c.x, c.with.flag)); [h, s] };
    gru_cell: |c| [c.x[0].gru_cell(c.x[1], &Call::weights(&c.x, c.with.flag)), c.x[0].rnn_cell(c.x[1], &Call::weights(&c.x, c.with.flag))];
    gradient: |c| [c.g.gradient(c.x[0], c.x[1]), c.g.gradient((c.x[0] * c.x[1]).sum(..), c.x[1])];
    recompute: |c| [c.g.recompute(|| c.x[0].sum(c.axes()).exp())];
};

/// Extents of layers, whose parameters are made at once: what is not small is refused or huge.
fn few(size: usize) -> usize {
    if size > 100 && size < 1 << 40 { size % 100 } else { size }
}

/// Every layer, made and used.
static LAYERS: &[(&str, Method)] = calls! {
    activation: |c| [Activation::LeakyRelu(c.number(0)).forward(c.x[0]), Activation::Elu(c.number(0)).forward(c.x[0])];
    pools: |c| [MaxPool2d(c.pool()).forward(c.x[0]), AvgPool2d(c.pool()).forward(c.x[0]), AdaptiveAvgPool2d([c.size(0), c.size(1)]).forward(c.x[0])];
    dropout: |c| [Dropout::new(c.number(0)).forward(c.x[0])];
    flatten: |c| [Flatten.forward(c.x[0])];
    linear: |c| [Linear::new(c.params, "l", few(c.size(0)), few(c.size(1))).forward(c.x[0])];
    linear_with_init: |c| {
        let init = match c.size(7) % 3 {
            0 => Init::KaimingUniform(c.number(0)),
            1 => Init::XavierNormal(c.number(0)),
            _ => Init::Constant(c.number(0)),
        };
        [Linear::with_init(c.params, "l", few(c.size(0)), few(c.size(1)), init.clone(), c.with.flag.then_some(init)).forward(c.x[0])]
    };
    embedding: |c| [Embedding::new(c.params, "l", few(c.size(0)), few(c.size(1))).forward(c.x[0])];
    conv1d: |c| { let s = c.conv(); [Conv1d::with_settings(c.params, "l", few(c.with.sizes[4]), few(c.with.sizes[5]), [few(c.with.sizes[6])], s).forward(c.x[0])] };
    conv2d: |c| { let s = c.conv(); [Conv2d::without_bias(c.params, "l", few(c.with.sizes[4]), few(c.with.sizes[5]), [few(c.with.sizes[6]), few(c.with.sizes[7])], s).forward(c.x[0])] };
    conv_transpose2d: |c| {
        let s = c.conv();
        [ConvTranspose2d::new(c.params, "l", few(c.with.sizes[4]), few(c.with.sizes[5]), [few(c.with.sizes[6]), few(c.with.sizes[7])], s)
            .output_padding([c.with.sizes[0], c.with.sizes[1]]).forward(c.x[0])]
    };
    layer_norm: |c| [LayerNorm::new(c.params, "l", c.with.sizes[..2].iter().map(|&size| few(size)).collect::<Vec<_>>()).epsilon(c.number(0)).forward(c.x[0])];
    rms_norm: |c| [RmsNorm::new(c.params, "l", [few(c.size(0))]).epsilon(c.number(0)).forward(c.x[0])];
    group_norm: |c| [GroupNorm::new(c.params, "l", c.size(0), few(c.size(1))).epsilon(c.number(0)).forward(c.x[0])];
    batch_norm: |c| [BatchNorm::new(c.params, "l", few(c.size(0))).momentum(c.number(0)).epsilon(c.number(1)).forward(c.x[0])];
    attention: |c| [MultiHeadAttention::new(c.params, "l", few(c.size(0)), c.size(1)).causal().rotary(c.size(2), c.number(0)).forward(c.x[0])];
    attention_masked: |c| [MultiHeadAttention::new(c.params, "l", few(c.size(0)), c.size(1)).forward_masked(c.x[0], Some(c.x[1]))];
    transformer_block: |c| [TransformerBlock::new(c.params, "l", few(c.size(0)), c.size(1)).dropout(c.number(0)).activation(Activation::Elu(c.number(1))).forward(c.x[0])];
    lstm: |c| [Lstm::stacked(c.params, "l", few(c.size(0)), few(c.size(1)), c.size(2) % 4).forward(c.x[0])];
    gru: |c| [Gru::new(c.params, "l", few(c.size(0)), few(c.size(1))).forward(c.x[0])];
    rnn: |c| [Rnn::new(c.params, "l", few(c.size(0)), few(c.size(1))).unroll(c.x[0]).0];
    sequential: |c| [Sequential::new().then(Linear::new(c.params, "l", few(c.size(0)), few(c.size(1)))).then(Residual(Dropout::new(c.number(0)))).forward(c.x[0])];
};

/// Records what a method makes of arguments, and everything that is done with a recording.
fn try_call(method: Method, with: &Arguments) -> Result<(), TestCaseError> {
    let (g, mut params) = (Graph::new(), Params::seeded(1));
    let x: Vec<Tensor<'_>> = with
        .tensors
        .iter()
        .enumerate()
        .map(|(number, (dtype, shape))| match dtype {
            DType::F32 => g.input(&format!("x{number}"), &shape[..]),
            DType::I32 => g.labels(&format!("x{number}"), &shape[..]),
            DType::U32 => g.mask(&format!("x{number}"), &shape[..]),
        })
        .collect();
    let outputs = method(&mut Call { g: &g, params: &mut params, x: x.clone(), with });
    let valid: Vec<Tensor<'_>> = outputs.iter().copied().filter(|output| output.is_valid()).collect();
    let faults = || g.recording().faults;
    prop_assert!(
        valid.len() == outputs.len() || !faults().is_empty(),
        "it gave an invalid tensor, and told no mistake"
    );
    // Gradients of what can have some.
    let losses = valid.iter().filter(|y| y.dtype() == DType::F32).map(|y| y.sum(..));
    let loss = losses.reduce(|sum, loss| sum + loss);
    let floats: Vec<Tensor<'_>> = x.iter().copied().filter(|x| x.is_valid() && x.dtype() == DType::F32).collect();
    let gradients = loss.map(|loss| g.gradients(loss, &floats)).unwrap_or_default();
    for fault in faults() {
        prop_assert!(!fault.op.is_empty() && fault.reason.len() > 10, "{fault:?}");
        prop_assert!(fault.location.starts_with("tests/arguments.rs:"), "{fault:?}");
    }
    let _ = g.summary().to_string();
    let wanted: Vec<Tensor<'_>> = valid.into_iter().chain(gradients).filter(|tensor| tensor.is_valid()).collect();
    let told = |error: retrograd::Error| {
        let kinds = [ErrorKind::Recording, ErrorKind::Limit, ErrorKind::Argument, ErrorKind::Feed, ErrorKind::Index];
        prop_assert!(kinds.contains(&error.kind()) && error.to_string().len() > 20, "{:?}: {error}", error.kind());
        prop_assert!(
            error.kind() != ErrorKind::Recording || error.to_string().contains("tests/arguments.rs:"),
            "{error}"
        );
        Ok(())
    };
    if !faults().is_empty() {
        let error = g.infer(&wanted).compile(&Device::cpu(), &params).expect_err("it was recorded with a mistake");
        return told(error);
    }
    if let Some(loss) = loss {
        let trained = g.train(loss, Sgd::new(0.1)).plan(&params, &Profile::webgpu_default());
        trained.map(drop).or_else(told)?;
    }
    let elements = |tensors: &[Tensor<'_>]| {
        tensors.iter().fold(0usize, |sum, tensor| sum.saturating_add(tensor.shape().elements()))
    };
    let planned = g.infer(&wanted).plan(&params, &Profile::webgpu_default());
    let computed = g.recording().nodes.iter().fold(0usize, |sum, node| {
        node.outputs.iter().fold(sum, |sum, output| sum.saturating_add(output.shape.elements()))
    });
    if planned.map(drop).or_else(told).is_err() || elements(&x) > SMALL || computed > SMALL * 50 {
        return Ok(());
    }
    let mut step = match g.infer(&wanted).compile(&Device::cpu(), &params) {
        Ok(step) => step,
        Err(error) => return told(error),
    };
    let data: Vec<(Tensor<'_>, HostTensor)> = (g.recording().inputs.into_values())
        .map(|node| g.at(retrograd::record::TensorId { node, output: 0 }))
        .map(|input| {
            let shape = input.shape();
            let data = match input.dtype() {
                DType::F32 => HostData::F32((0..shape.elements()).map(|place| (place as f32).sin()).collect()),
                DType::I32 => HostData::I32(vec![0; shape.elements()]),
                DType::U32 => HostData::U32(vec![1; shape.elements()]),
            };
            (input, HostTensor::new(shape, data).expect("as many as the shape has"))
        })
        .collect();
    let feeds: Vec<_> = data.iter().map(|(input, data)| input.feed(data)).collect();
    step.run(feeds).or_else(told)?;
    for &output in &wanted {
        if let Err(error) = step.read(output) {
            told(error)?;
        }
    }
    Ok(())
}

fn sweep(methods: &[(&'static str, Method)]) {
    let failed: Vec<String> = methods
        .iter()
        .filter_map(|&(name, method)| failures(name, &arguments(), |with| try_call(method, &with)))
        .collect();
    assert!(failed.is_empty(), "{} of {} fail:\n{}", failed.len(), methods.len(), failed.join("\n"));
}

#[test]
fn methods_record_or_refuse() {
    sweep(METHODS);
}

#[test]
fn layers_record_or_refuse() {
    sweep(LAYERS);
}
