//! The network of `examples/char_gpt` against `PyTorch`, and texts that it cannot learn from.

#[path = "../examples/char_gpt/model.rs"]
mod model;
#[allow(dead_code)] // the example writes and validates as well
#[path = "../examples/char_gpt/text.rs"]
mod text;

use model::{CharGpt, Sizes};
use retrograd::optim::AdamW;
use retrograd::{Device, Graph, HostData, HostTensor, Params};
use text::Corpus;

const BATCH: usize = 16;
const CONTEXT: usize = 128;

/// Numbers in [0, 1) by splitmix64, as in `expected.py`: the upper 24 bits of every word.
fn uniform(seed: u64, count: usize) -> Vec<f32> {
    let base = seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
    let word = |number: u64| {
        let mut z = base.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (1..=count as u64).map(|number| (word(number) >> 40) as f32 / 16_777_216.0).collect()
}

/// `expected.json` is what `expected.py` wrote: the losses of the same network from the same initial weights, over the
/// same batches.
#[test]
fn the_losses_are_those_of_pytorch() {
    let expected: serde_json::Value = serde_json::from_str(include_str!("char_gpt/expected.json")).unwrap();
    let corpus = Corpus::new(include_str!("char_gpt/text.txt"), CONTEXT).unwrap();
    assert_eq!(expected["vocabulary"], corpus.vocabulary());

    let vocabulary = corpus.vocabulary();
    let sizes = Sizes { vocabulary, context: CONTEXT, width: 128, layers: 4, heads: 4, dropout: 0.0 };
    let mut params = Params::seeded(1);
    let model = CharGpt::new(&mut params, sizes);
    let g = Graph::new();
    let (tokens, next) = (g.labels("tokens", [BATCH, CONTEXT]), g.labels("next", [BATCH, CONTEXT]));
    let loss = model.forward(&g, tokens).cross_entropy(next);
    let mut step = g.train(loss, AdamW::new(3e-3).weight_decay(0.1)).compile(&Device::cpu(), &params).unwrap();
    let mut names: Vec<String> = params.iter().map(|(name, ..)| name.to_owned()).collect();
    names.sort();
    for (name, seed) in names.iter().zip(1000..) {
        let shape = step.state().parameter(name).unwrap().shape().clone();
        let values = uniform(seed, shape.elements()).into_iter().map(|u| (u - 0.5) * 0.2).collect();
        step.state().set_parameter(name, HostTensor::new(shape, HostData::F32(values)).unwrap()).unwrap();
    }

    let wanted = expected["losses"].as_array().unwrap();
    let starts = uniform(1, wanted.len() * BATCH);
    let mut worst: f64 = 0.0;
    for (wanted, starts) in wanted.iter().zip(starts.chunks(BATCH)) {
        let batch = corpus.windows(starts.iter().map(|u| (u * corpus.choices() as f32) as usize));
        step.run([tokens.feed(&batch.tokens), next.feed(&batch.next)]).unwrap();
        let (got, wanted) = (f64::from(step.read(loss).unwrap().item()), wanted.as_f64().unwrap());
        worst = worst.max((got - wanted).abs() / wanted);
        assert!((got - wanted).abs() < 1e-3 * wanted, "{got} instead of {wanted}");
    }
    println!("largest relative difference of {} losses: {worst:.2e}", wanted.len());
}

#[test]
fn texts_that_teach_nothing_are_refused() {
    let refused = |text: &str| Corpus::new(text, 8).unwrap_err();
    assert!(refused("").contains("empty"));
    let one = refused(&"a".repeat(1000));
    assert!(one.contains("one character") && one.contains("'a'"), "{one}");
    let short = refused(&"ab".repeat(40));
    assert!(short.contains("80 characters") && short.contains("at least 90"), "{short}");
    assert!(Corpus::new(&"ab".repeat(45), 8).is_ok());
    let unknown = Corpus::new(&"ab".repeat(45), 8).unwrap().encode("abc").unwrap_err();
    assert!(unknown.contains("'c'"), "{unknown}");
}

/// Nothing that follows a place changes its scores.
#[test]
fn no_place_sees_what_follows() {
    let sizes = Sizes { vocabulary: 5, context: 6, width: 8, layers: 2, heads: 2, dropout: 0.0 };
    let mut params = Params::seeded(3);
    let model = CharGpt::new(&mut params, sizes);
    let g = Graph::evaluation();
    let tokens = g.labels("tokens", [1, 6]);
    let scores = model.forward(&g, tokens);
    let mut step = g.infer(&[scores]).compile(&Device::cpu(), &params).unwrap();
    let mut run = |text: [i32; 6]| {
        step.run([tokens.feed(&text)]).unwrap();
        step.read(scores).unwrap().to_vec()
    };
    let (one, other) = (run([0, 1, 2, 3, 4, 0]), run([0, 1, 2, 0, 1, 4]));
    assert_eq!(one[..3 * 5], other[..3 * 5]);
    assert_ne!(one[3 * 5..], other[3 * 5..]);
}
