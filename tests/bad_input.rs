//! What layers and their ops are given wrongly: every message names the op, the numbers, and what to do.

mod common;

use common::device;
use retrograd::nn::{BatchNorm, Conv1d, Conv2d, ConvTranspose2d, Embedding, MultiHeadAttention, TransformerBlock};
use retrograd::ops::{ConvSettings, PoolSettings, RotaryPairs};
use retrograd::optim::Sgd;
use retrograd::{Device, ErrorKind, Graph, HostData, HostTensor, Params, Result, Step, Tensor};

/// The only mistake of an inference that `build` records, as it is printed.
fn mistake(build: impl for<'g> FnOnce(&'g Graph, &mut Params) -> Tensor<'g>) -> String {
    let (g, mut params) = (Graph::new(), Params::seeded(1));
    let output = build(&g, &mut params);
    only(g.infer(&[output]).compile(&Device::cpu(), &params))
}

/// The only mistake that compiling found.
fn only(compiled: Result<Step>) -> String {
    let error = compiled.expect_err("it was recorded with a mistake");
    assert_eq!(error.kind(), ErrorKind::Recording, "{error}");
    assert_eq!(error.faults().len(), 1, "one cause, one message: {error}");
    let fault = &error.faults()[0];
    assert!(fault.location.starts_with("tests/bad_input.rs:"), "it points here: {error}");
    format!("{}({}): {}", fault.op, fault.operands.join(", "), fault.reason)
}

/// Checks that a message has all these parts.
#[track_caller]
fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

#[test]
fn kernels_larger_than_the_padded_input() {
    let text = mistake(|g, params| {
        let settings = ConvSettings::new().padding(1);
        Conv1d::with_settings(params, "conv", 3, 4, [8], settings).forward(g.input("x", [2, 3, 5]))
    });
    let advice = "use a smaller kernel or more padding";
    tells(&text, &["conv1d(f32[2, 3, 5], f32[4, 3, 8])", "kernel of 8", "input of 5 with padding 1", "7", advice]);
    let text = mistake(|g, params| {
        let settings = ConvSettings::new().dilation(3);
        Conv2d::with_settings(params, "conv", 1, 1, [2, 3], settings).forward(g.input("x", [1, 1, 9, 6]))
    });
    tells(&text, &["conv2d(", "along axis 3", "kernel of 3 (spread over 7 by dilation 3)", "input of 6", advice]);
    let text = mistake(|g, _| g.input("x", [1, 2, 3, 8]).max_pool2d(PoolSettings::of([4, 2])));
    tells(&text, &["max_pool2d(f32[1, 2, 3, 8])", "along axis 2", "kernel of 4", "input of 3", advice]);
    let text = mistake(|g, _| g.input("x", [1, 2, 8, 3]).avg_pool2d(PoolSettings::of([2, 4]), true));
    tells(&text, &["avg_pool2d(f32[1, 2, 8, 3])", "along axis 3", "kernel of 4", "input of 3", advice]);
    let text = mistake(|g, _| g.input("x", [1, 2, 8, 8]).max_pool2d(PoolSettings::new(3).padding(2)));
    tells(&text, &["max_pool2d(", "padding 2 is more than half of the window's extent 3"]);
    let text = mistake(|g, _| g.input("x", [1, 2, 8, 8]).avg_pool2d(PoolSettings::new(0), true));
    tells(&text, &["avg_pool2d(", "a window needs at least one element, and its extent is 0"]);
    let text = mistake(|g, _| g.input("x", [1, 2, 8, 8]).adaptive_avg_pool2d([2, 0]));
    tells(&text, &["adaptive_avg_pool2d(", "[2, 0] needs extents of at least 1"]);
    let text = mistake(|g, params| {
        let settings = ConvSettings::new().padding(4);
        ConvTranspose2d::new(params, "up", 1, 1, [3, 3], settings).forward(g.input("x", [1, 1, 4, 4]))
    });
    tells(&text, &["conv_transpose2d(", "padding 4 leaves nothing of 6 elements"]);
}

#[test]
fn strides_and_dilations_of_zero() {
    let convolved = |settings: ConvSettings<2>| {
        mistake(|g, params| {
            Conv2d::with_settings(params, "conv", 1, 1, [3, 3], settings).forward(g.input("x", [1, 1, 9, 9]))
        })
    };
    let stride = ["a stride of 0 never moves: it must be at least 1", "along axis 3"];
    let dilation = ["a dilation of 0 puts a window's elements on one another: it must be at least 1", "along axis 2"];
    let text = convolved(ConvSettings::new().strides([1, 0]));
    tells(&text, &["conv2d(f32[1, 1, 9, 9], f32[1, 1, 3, 3])"]);
    tells(&text, &stride);
    tells(&convolved(ConvSettings::new().dilation(0)), &dilation);
    let pooled = |settings: PoolSettings| mistake(|g, _| g.input("x", [1, 1, 9, 9]).max_pool2d(settings));
    tells(&pooled(PoolSettings { stride: [1, 0], ..PoolSettings::new(2) }), &stride);
    tells(&pooled(PoolSettings::new(2).dilation(0)), &dilation);
    let text = mistake(|g, params| {
        let settings = ConvSettings::new().stride(0);
        ConvTranspose2d::new(params, "up", 1, 1, [3, 3], settings).forward(g.input("x", [1, 1, 4, 4]))
    });
    tells(&text, &["conv_transpose2d(", "a stride of 0 never moves"]);
}

/// No setting, however large, is more than a message.
#[test]
fn settings_beyond_all_bounds() {
    let most = usize::MAX;
    for settings in [
        ConvSettings::<2>::new().stride(most),
        ConvSettings::new().padding(most),
        ConvSettings::new().dilation(most),
        ConvSettings::new().dilation(1 << 31),
    ] {
        let text = mistake(|g, params| {
            Conv2d::with_settings(params, "conv", 1, 1, [3, 3], settings.clone()).forward(g.input("x", [1, 1, 9, 9]))
        });
        tells(&text, &["conv2d(", "larger than any tensor: it must be at most 2147483647"]);
    }
    let far = ConvSettings::new().stride(1 << 30);
    let text =
        mistake(|g, params| ConvTranspose2d::new(params, "up", 1, 1, [3, 3], far).forward(g.input("x", [1, 1, 4, 4])));
    tells(&text, &["conv_transpose2d(", "stride 1073741824", "input of 4", "reaches further than any tensor"]);
    let text = mistake(|g, _| g.input("x", [1, 1, 9, 9]).max_pool2d(PoolSettings::new(2).padding(most)));
    tells(&text, &["max_pool2d(", "larger than any tensor"]);
}

#[test]
fn groups_that_do_not_divide_the_channels() {
    let layer = |inputs: usize, outputs: usize, groups: usize| {
        mistake(|g, params| {
            let settings = ConvSettings::new().groups(groups);
            Conv2d::with_settings(params, "conv", inputs, outputs, [3, 3], settings)
                .forward(g.input("x", [1, inputs, 9, 9]))
        })
    };
    let advice = "use a number of groups that divides it";
    tells(&layer(6, 8, 4), &["convolution `conv`", "4 groups do not divide 6 input channels evenly", advice]);
    tells(&layer(6, 8, 3), &["convolution `conv`", "3 groups do not divide 8 output channels evenly", advice]);
    tells(&layer(6, 8, 0), &["convolution `conv`", "the number of groups must be at least 1, and is 0"]);
    let text = mistake(|g, params| {
        let settings = ConvSettings::new().groups(2);
        ConvTranspose2d::new(params, "up", 4, 5, [3, 3], settings).forward(g.input("x", [1, 4, 9, 9]))
    });
    tells(&text, &["convolution `up`", "2 groups do not divide 5 output channels evenly", advice]);
    // The ops themselves, with weights of one's own.
    let op = |x: [usize; 3], w: [usize; 3], groups: usize| {
        mistake(|g, _| g.input("x", x).conv1d(g.input("w", w), &ConvSettings::new().groups(groups)))
    };
    let text = op([1, 6, 9], [8, 2, 3], 4);
    tells(&text, &["conv1d(f32[1, 6, 9], f32[8, 2, 3])", "4 groups do not divide 6 input channels evenly"]);
    tells(&op([1, 6, 9], [7, 3, 3], 2), &["conv1d(", "2 groups do not divide 7 output channels evenly"]);
    tells(&op([1, 6, 9], [8, 2, 3], 2), &["conv1d(", "is for 4 channels in 2 groups, and the input [1, 6, 9] has 6"]);
}

/// The rows of an embedding for indices that are computed, fed and constant, on every device: an index outside of the table
/// is an error with its position, and never another row.
#[test]
fn indices_outside_of_a_table() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let table = Embedding::new(&mut params, "table", 5, 3);

        let g = Graph::new();
        let index = g.labels("index", [2, 2]);
        let rows = table.forward(index);
        let mut step = g.infer(&[rows]).compile(device, &params).unwrap();
        for (bad, element) in [([0, 4, 5, 1], "element 2 is 5"), ([0, 1, 2, -1], "element 3 is -1")] {
            let error = step.run([index.feed(&bad)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Feed, "{name}: {error}");
            tells(&error.to_string(), &["input `index` i32[2, 2]", element, "0 to 4"]);
        }
        step.run([index.feed(&[0, 4, 3, 1])]).unwrap();
        assert!(step.read(rows).unwrap().to_vec().iter().all(|x| x.is_finite()), "{name}");

        let g = Graph::new();
        let constant = HostTensor::new([3], HostData::I32(vec![4, -2, 7])).unwrap();
        let text = only(g.infer(&[table.forward(g.constant(constant))]).compile(device, &params));
        tells(&text, &["embedding(i32[3])", "index -2 at position 1 of a constant lies outside of 0 .. 5"]);

        let g = Graph::new();
        let x = g.input("x", [2, 2]);
        let rows = table.forward(x.to_i32());
        let mut step = g.infer(&[rows]).compile(device, &params).unwrap();
        for (bad, position) in [([0.0f32, 4.0, 1.0, 5.0], 3), ([0.0, -1.0, 1.0, 9.0], 1)] {
            step.run([x.feed(&bad)]).unwrap();
            let error = step.read(rows).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index, "{name}: {error}");
            let at = format!("the index at position {position} ");
            tells(&error.to_string(), &["embedding at tests/bad_input.rs:", &at, "lies outside of 0 .. 5"]);
        }
        // The step goes on where the indices are good again.
        step.run([x.feed(&[0.0f32, 4.0, 3.0, 1.0])]).unwrap();
        assert!(step.read(rows).unwrap().to_vec().iter().all(|x| x.is_finite()), "{name}");
    }
}

/// A training step whose computed index lies outside tells so when its loss is read, whatever is read of it.
#[test]
fn indices_outside_of_a_table_in_training() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let table = Embedding::new(&mut params, "table", 5, 3);
        let g = Graph::new();
        let x = g.input("x", [3]);
        let loss = table.forward(x.to_i32()).square().sum(..);
        let mut step = g.train(loss, Sgd::new(0.1)).compile(device, &params).unwrap();
        step.run([x.feed(&[0.0f32, 1.0, 4.0])]).unwrap();
        assert!(step.read(loss).unwrap().item() > 0.0, "{name}");
        step.run([x.feed(&[0.0f32, 1.0, 6.0])]).unwrap();
        let error = step.read(loss).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index, "{name}: {error}");
        tells(&error.to_string(), &["the index at position 2 ", "0 .. 5"]);
    }
}

#[test]
fn sequences_and_heads_that_rotary_embedding_cannot_turn() {
    let text = mistake(|g, params| {
        MultiHeadAttention::new(params, "attention", 8, 2).rotary(16, 1e4).forward(g.input("x", [2, 17, 8]))
    });
    let longer = "the sequence of 17 is longer than the 16 positions of its rotary table";
    tells(&text, &["multi_head_attention(f32[2, 17, 8])", longer, "shorten it, or give `rotary` a larger number"]);
    let text = mistake(|g, params| {
        TransformerBlock::new(params, "block", 6, 2).rotary(16, 1e4).forward(g.input("x", [2, 5, 6]))
    });
    let numbers = "2 heads of 6 elements have 3 each";
    tells(
        &text,
        &["multi_head_attention(f32[2, 5, 6])", numbers, "use a number of heads that leaves each an even size"],
    );
    let text = mistake(|g, _| g.input("x", [5, 7]).rotary(0, 1e4, RotaryPairs::Neighbours));
    tells(&text, &["rotary(f32[5, 7])", "rows have 7 elements, which make no pairs: the size must be even"]);
}

#[test]
fn heads_that_do_not_divide_the_width() {
    for heads in [3, 0, 16] {
        let text = mistake(|g, params| {
            MultiHeadAttention::new(params, "attention", 8, heads).forward(g.input("x", [2, 5, 8]))
        });
        let numbers = format!("{heads} heads do not divide 8 elements evenly");
        tells(&text, &["attention `attention`", &numbers, "use a number of heads, at least 1, that divides it"]);
    }
    let text =
        mistake(|g, params| MultiHeadAttention::new(params, "attention", 8, 2).forward(g.input("x", [2, 5, 10])));
    tells(&text, &["multi_head_attention(f32[2, 5, 10])", "needs an input [batch, length, 8]"]);
}

#[test]
fn batch_normalization_of_one_value_per_channel() {
    let mut params = Params::seeded(1);
    let norm = BatchNorm::new(&mut params, "norm", 3);
    let g = Graph::new();
    let loss = norm.forward(g.input("x", [1, 3, 1, 1])).sum(..);
    let text = only(g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params));
    tells(&text, &["batch_norm(f32[1, 3, 1, 1]", "one value per channel, which has no variance"]);
    tells(&text, &["use a larger batch", "`Graph::evaluation`"]);
    // One image is enough where running statistics are taken.
    let g = Graph::evaluation();
    let x = g.input("x", [1, 3, 1, 1]);
    let y = norm.forward(x);
    let mut step = g.infer(&[y]).compile(&Device::cpu(), &params).unwrap();
    step.run([x.feed(&[1.0f32, 2.0, 3.0])]).unwrap();
    assert!((step.read(y).unwrap().to_vec()[2] - 3.0).abs() < 1e-4);
    // Another number of channels than the layer has.
    let text = mistake(|g, params| BatchNorm::new(params, "norm", 3).forward(g.input("x", [4, 5, 2])));
    tells(&text, &["batch_norm(", "[3] must have shape [5], one number per channel of [4, 5, 2]"]);
}

#[test]
fn tables_without_entries() {
    for (entries, size) in [(0, 4), (4, 0)] {
        let text = mistake(|g, params| Embedding::new(params, "table", entries, size).forward(g.labels("index", [3])));
        let numbers = format!("a table of {entries} entries of {size} elements holds nothing");
        tells(&text, &["embedding `table`", &numbers, "use at least 1 of each"]);
    }
}
