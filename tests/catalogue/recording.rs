//! Mistakes in a recording, as `compile` reports them.

use super::Catalogue;
use retrograd::nn::{self, BatchNorm, Linear};
use retrograd::ops::{AttentionSettings, CellWeights, ConvSettings, PoolSettings, RotaryPairs};
use retrograd::{Device, ErrorKind, Graph, HostTensor, Init, Params, Tensor};

type Mistake = (&'static str, for<'g> fn(&'g Graph) -> Tensor<'g>);

fn f<'g>(g: &'g Graph, shape: &[usize]) -> Tensor<'g> {
    let name = format!("f{}", g.recording().nodes.len());
    g.input(&name, shape)
}

fn i<'g>(g: &'g Graph, shape: &[usize]) -> Tensor<'g> {
    let name = format!("i{}", g.recording().nodes.len());
    g.labels(&name, shape)
}

fn weights<'g>(g: &'g Graph, input: &[usize], hidden: &[usize], bias: &[usize]) -> CellWeights<'g> {
    CellWeights { input: f(g, input), hidden: f(g, hidden), input_bias: Some(f(g, bias)), hidden_bias: None }
}

const MISTAKES: &[Mistake] = &[
    // Shapes, types and axes.
    ("adding shapes that do not broadcast", |g| f(g, &[4, 3]) + f(g, &[5])),
    ("a function of integers", |g| i(g, &[4]).exp()),
    ("an axis that is not there", |g| f(g, &[4, 3]).sum(2)),
    ("an axis twice", |g| f(g, &[4, 3]).sum([0, -2])),
    ("an input without elements", |g| g.input("x", [3, 0])),
    ("an input of more elements than can be indexed", |g| g.input("x", [1 << 40, 1 << 40])),
    ("an input of a name that is taken", |g| g.input("x", [1]) + g.input("x", [1])),
    ("a scalar that single precision cannot hold", |g| f(g, &[4]) * 1e300),
    ("a division by zero", |g| f(g, &[4]) / 0.0),
    ("a constant that single precision cannot hold", |g| g.full([2], f64::NAN)),
    // Views.
    ("reshaping to another number of elements", |g| f(g, &[4, 3]).reshape([5, 2])),
    ("flattening from an axis that is not there", |g| f(g, &[4, 3]).flatten(3)),
    ("an axis added outside of the result", |g| f(g, &[4, 3]).unsqueeze(4)),
    ("squeezing an axis of several elements", |g| f(g, &[4, 3]).squeeze(0)),
    ("stretching what does not stretch", |g| f(g, &[4, 3]).broadcast_to([4, 5])),
    ("a permutation that names an axis twice", |g| f(g, &[4, 3]).permute([0, 0])),
    ("transposing a vector", |g| f(g, &[4]).transpose()),
    ("slicing past the end", |g| f(g, &[4]).slice(0, 2..6)),
    ("slicing by a step of 0", |g| f(g, &[4]).slice_step(0, 0..4, 0)),
    ("windows larger than the axis", |g| f(g, &[4]).unfold(0, 5, 1, 1)),
    ("windows without elements", |g| f(g, &[4]).unfold(0, 0, 1, 1)),
    ("padding for too few axes", |g| f(g, &[4, 3]).pad(&[(1, 1)])),
    ("joining nothing", |g| g.concat(&[], 0)),
    ("joining shapes that differ elsewhere", |g| g.concat(&[f(g, &[4, 3]), f(g, &[4, 2])], 0)),
    // Products.
    ("a product whose inner sizes differ", |g| f(g, &[4, 3]).matmul(f(g, &[5, 2]))),
    ("a product with a vector", |g| f(g, &[4]).matmul(f(g, &[4, 2]))),
    ("a product of stacks that do not stretch", |g| f(g, &[2, 4, 3]).matmul(f(g, &[5, 3, 2]))),
    // Functions with settings.
    ("a power that is no number", |g| f(g, &[4]).powf(f64::NAN)),
    ("bounds in the wrong order", |g| f(g, &[4]).clamp(1.0, 0.0)),
    ("dropping everything", |g| f(g, &[4]).dropout(1.0)),
    ("a selection by floats", |g| f(g, &[4]).where_cond(f(g, &[4]), f(g, &[4]))),
    ("the variance of one element", |g| f(g, &[1]).var(.., 1)),
    ("a softmax of a number", |g| f(g, &[]).softmax(-1)),
    ("the lower triangle of a vector", |g| f(g, &[4]).tril(0)),
    ("more of the greatest than there are", |g| f(g, &[4]).top_k(5, 0).0),
    // Losses.
    ("labels that are floats", |g| f(g, &[4, 3]).cross_entropy(f(g, &[4]))),
    ("labels of another number of rows", |g| f(g, &[4, 3]).cross_entropy(i(g, &[5]))),
    ("smoothing of more than all", |g| f(g, &[4, 3]).cross_entropy_smooth(i(g, &[4]), 1.5)),
    ("weights for other rows", |g| f(g, &[4, 3]).cross_entropy_weighted(i(g, &[4]), f(g, &[3]))),
    ("a target of another shape", |g| f(g, &[4, 1]).mse_loss(f(g, &[4]))),
    ("a Huber loss without a bend", |g| f(g, &[4]).huber_loss(f(g, &[4]), 0.0)),
    // Selecting.
    ("looking up in a vector", |g| f(g, &[4]).embedding(i(g, &[2]))),
    ("looking up by floats", |g| f(g, &[4, 2]).embedding(f(g, &[2]))),
    ("a constant index past the end", |g| f(g, &[4, 2]).embedding(g.constant(HostTensor::from(vec![0i32, 4])))),
    ("selecting by a matrix of indices", |g| f(g, &[4, 2]).index_select(0, i(g, &[2, 2]))),
    ("gathering by floats", |g| f(g, &[4, 2]).gather(0, f(g, &[1, 2]))),
    ("gathering with other extents", |g| f(g, &[4, 2]).gather(0, i(g, &[1, 3]))),
    ("adding to places for another shape", |g| f(g, &[4, 2]).scatter_add(0, i(g, &[1, 2]), f(g, &[3, 2]))),
    // Convolution and pooling.
    ("a convolution of too few axes", |g| f(g, &[3, 8, 8]).conv2d(f(g, &[4, 3, 3, 3]), &ConvSettings::new())),
    ("a convolution of other channels", |g| f(g, &[1, 3, 8, 8]).conv2d(f(g, &[4, 2, 3, 3]), &ConvSettings::new())),
    ("a kernel larger than the image", |g| f(g, &[1, 3, 4, 4]).conv2d(f(g, &[4, 3, 5, 5]), &ConvSettings::new())),
    ("a stride of 0", |g| f(g, &[1, 3, 8, 8]).conv2d(f(g, &[4, 3, 3, 3]), &ConvSettings::new().stride(0))),
    ("a dilation of 0", |g| f(g, &[1, 3, 8, 8]).conv2d(f(g, &[4, 3, 3, 3]), &ConvSettings::new().dilation(0))),
    ("groups that do not divide", |g| f(g, &[1, 3, 8, 8]).conv2d(f(g, &[4, 1, 3, 3]), &ConvSettings::new().groups(2))),
    ("no groups", |g| f(g, &[1, 3, 8, 8]).conv2d(f(g, &[4, 3, 3, 3]), &ConvSettings::new().groups(0))),
    ("an output padding beyond the stride", |g| {
        f(g, &[1, 3, 8, 8]).conv_transpose2d(f(g, &[3, 4, 3, 3]), &ConvSettings::new(), [1, 0])
    }),
    ("a window larger than the image", |g| f(g, &[1, 1, 4, 4]).max_pool2d(PoolSettings::new(5))),
    ("padding of more than half of a window", |g| f(g, &[1, 1, 4, 4]).max_pool2d(PoolSettings::new(2).padding(2))),
    ("pooling a vector", |g| f(g, &[4]).max_pool2d(PoolSettings::new(2))),
    ("an adaptive output of nothing", |g| f(g, &[1, 1, 4, 4]).adaptive_avg_pool2d([0, 1])),
    ("enlarging by 0", |g| f(g, &[1, 1, 4, 4]).upsample_nearest2d([0, 1])),
    ("enlarging to nothing", |g| f(g, &[1, 1, 4, 4]).upsample_bilinear2d([0, 1], false)),
    // Norms.
    ("a norm by another shape", |g| f(g, &[4, 3]).layer_norm(f(g, &[4]), f(g, &[4]), 1e-5)),
    ("a norm by two shapes", |g| f(g, &[4, 3]).layer_norm(f(g, &[3]), f(g, &[4, 3]), 1e-5)),
    ("a norm without epsilon", |g| f(g, &[4, 3]).rms_norm(f(g, &[3]), 0.0)),
    ("groups of channels that do not divide", |g| f(g, &[4, 3]).group_norm(2, f(g, &[3]), f(g, &[3]), 1e-5)),
    ("batch norm of one value", |g| f(g, &[1, 3]).batch_norm(f(g, &[3]), f(g, &[3]), 1e-5).output),
    ("batch norm of other channels", |g| f(g, &[4, 3]).batch_norm(f(g, &[2]), f(g, &[2]), 1e-5).output),
    // Attention and recurrence.
    ("keys of another size", |g| {
        f(g, &[1, 4, 8]).attention(f(g, &[1, 4, 6]), f(g, &[1, 4, 8]), &AttentionSettings::new())
    }),
    ("keys without values", |g| {
        f(g, &[1, 4, 8]).attention(f(g, &[1, 5, 8]), f(g, &[1, 4, 8]), &AttentionSettings::new())
    }),
    ("attention of vectors", |g| f(g, &[8]).attention(f(g, &[8]), f(g, &[8]), &AttentionSettings::new())),
    ("pairs of an odd size", |g| f(g, &[1, 4, 7]).rotary(0, 1e4, RotaryPairs::Halves)),
    ("a cell of two other sizes", |g| {
        f(g, &[2, 3]).lstm_cell(f(g, &[2, 4]), f(g, &[2, 5]), &weights(g, &[16, 3], &[16, 4], &[16])).0
    }),
    ("a cell with weights of another shape", |g| {
        f(g, &[2, 3]).gru_cell(f(g, &[2, 4]), &weights(g, &[16, 3], &[12, 4], &[12]))
    }),
    ("a cell with a bias of another shape", |g| {
        f(g, &[2, 3]).rnn_cell(f(g, &[2, 4]), &weights(g, &[4, 3], &[4, 4], &[3]))
    }),
];

#[test]
fn mistakes_of_ops() {
    let mut texts = Catalogue::new(ErrorKind::Recording);
    for (what, record) in MISTAKES {
        let g = Graph::new();
        let output = record(&g);
        let outcome = g.infer(&[output]).compile(&Device::cpu(), &Params::seeded(0));
        let error = outcome.err().unwrap_or_else(|| panic!("{what}: it is no mistake"));
        let [fault] = error.faults() else { panic!("{what}: {error}") };
        assert!(fault.location.contains("tests/catalogue/recording.rs:"), "{what}: {error}");
        texts.text(what, &format!("{}({}): {}", fault.op, fault.operands.join(", "), fault.reason));
    }
    texts.compare("recording_ops");
}

#[test]
fn mistakes_of_graphs_and_layers() {
    let mut texts = Catalogue::new(ErrorKind::Recording);
    let cpu = Device::cpu();
    let (g, h) = (Graph::new(), Graph::new());
    let (a, b) = (g.input("a", [2]), h.input("b", [2]));
    assert!(!(a + b).is_valid());
    texts.fails("tensors of two graphs", g.infer(&[]).compile(&cpu, &Params::seeded(0)));
    texts.fails("an output of another graph", h.infer(&[b, a]).compile(&cpu, &Params::seeded(0)));

    let g = Graph::new();
    let (x, w) = (g.input("x", [4, 3]), g.input("w", [5, 2]));
    let (y, z) = (x.matmul(w), {
        let _scope = g.scope("decoder");
        x.sum(7)
    });
    texts.fails("two mistakes, one in a scope", g.infer(&[y, z]).compile(&cpu, &Params::seeded(0)));

    let mut params = Params::seeded(0);
    let layer = Linear::new(&mut params, "up", 8, 4);
    let g = Graph::new();
    let y = layer.forward(g.input("x", [2, 7]));
    texts.fails("a layer on another size", g.infer(&[y]).compile(&cpu, &params));

    let mut params = Params::seeded(0);
    let norm = BatchNorm::new(&mut params, "norm", 3).momentum(2.0);
    let g = Graph::new();
    let y = norm.forward(g.input("x", [4, 3]));
    texts.fails("a momentum beyond 1", g.infer(&[y]).compile(&cpu, &params));

    let mut refused = |what: &str, add: fn(&mut Params)| {
        let mut params = Params::seeded(0);
        add(&mut params);
        texts.fails(what, retrograd::State::new(&cpu, &params));
    };
    refused("two parameters of one name", |params| {
        params.add("w", [1], Init::Zeros);
        params.add("w", [1], Init::Zeros);
    });
    refused("a parameter without elements", |params| {
        params.add("w", [0], Init::Zeros);
    });
    refused("initial values of another number", |params| {
        params.add("w", [3], Init::Values(vec![1.0, 2.0]));
    });
    refused("heads that do not divide", |params| {
        let _ = nn::MultiHeadAttention::new(params, "attention", 10, 3);
    });
    refused("an embedding of nothing", |params| {
        let _ = nn::Embedding::new(params, "token", 0, 8);
    });
    refused("a recurrent layer of no layers", |params| {
        let _ = nn::Lstm::stacked(params, "lstm", 3, 4, 0);
    });

    let (one, two) = (&mut Params::seeded(0), Params::seeded(0));
    let w = one.add("w", [1], Init::Zeros);
    let g = Graph::new();
    let y = g.param(&w).exp();
    texts.fails("a parameter of another store", g.infer(&[y]).compile(&cpu, &two));
    let state = retrograd::State::new(&cpu, one).unwrap();
    let late = one.add("late", [1], Init::Zeros);
    let g = Graph::new();
    let y = g.param(&late).exp();
    texts.fails("a parameter that came after the state", g.infer(&[y]).compile_on(&state));

    let mut params = Params::seeded(0);
    let (weight, cell) = (params.add("weight", [2], Init::Zeros), params.add_cell("cell", [2], Init::Zeros));
    let mut assigned = |what: &str, record: &dyn for<'g> Fn(&'g Graph)| {
        let g = Graph::new();
        record(&g);
        texts.fails(what, g.infer(&[]).compile(&cpu, &params));
    };
    assigned("assigning to a parameter", &|g| g.assign(&weight, g.full([2], 1.0)));
    assigned("assigning another shape", &|g| g.assign(&cell, g.full([3], 1.0)));
    assigned("assigning twice", &|g| {
        g.assign(&cell, g.full([2], 1.0));
        g.assign(&cell, g.full([2], 2.0));
    });
    texts.compare("recording_graphs");
}
