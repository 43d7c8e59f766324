//! How every op of ONNX that the crate can express is said with the crate.

mod activation;
mod attention;
mod control;
mod conv;
mod elementwise;
mod index;
mod logic;
mod loss;
mod matrix;
mod movement;
mod norm;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod sample;
mod shape;
mod training;
mod window;

use crate::call::Call;
use crate::data::lacks;
use crate::recorder::Outcome;

/// Records one node.
pub type Record = for<'a, 'b, 'g> fn(&'a Call<'b, 'g>) -> Outcome<'g>;

const TABLES: &[&[(&str, Record)]] = &[
    activation::OPS,
    attention::OPS,
    control::OPS,
    conv::OPS,
    elementwise::OPS,
    index::OPS,
    logic::OPS,
    loss::OPS,
    matrix::OPS,
    movement::OPS,
    norm::OPS,
    pool::OPS,
    recurrent::OPS,
    reduce::OPS,
    resize::OPS,
    sample::OPS,
    shape::OPS,
    training::OPS,
    window::OPS,
];

/// Ops that the crate cannot express, and why.
const LACKING: &[(&str, &[&str])] = &[
    (
        "shapes that depend on values: they are fixed when a graph is recorded",
        &["Compress", "NonMaxSuppression", "NonZero", "Unique"],
    ),
    ("random numbers of a generator that the expected output does not fix", &["Bernoulli", "RandomUniformLike"]),
    ("bits of integers", &["BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"]),
    (
        "quantization",
        &[
            "ConvInteger",
            "DequantizeLinear",
            "DynamicQuantizeLinear",
            "MatMulInteger",
            "QLinearConv",
            "QLinearMatMul",
            "QuantizeLinear",
        ],
    ),
    (
        "text, images, trees and optionals",
        &[
            "ArrayFeatureExtractor",
            "Binarizer",
            "ImageDecoder",
            "LabelEncoder",
            "OptionalGetElement",
            "OptionalHasElement",
            "RegexFullMatch",
            "StringConcat",
            "StringNormalizer",
            "StringSplit",
            "TfIdfVectorizer",
            "TreeEnsemble",
        ],
    ),
    ("sampling at computed positions between elements", &["DeformConv", "RoiAlign"]),
    ("determinants", &["Det"]),
    ("Fourier transforms", &["DFT", "MelWeightMatrix", "STFT"]),
    ("sequences", &["SequenceAt", "SequenceEmpty", "SequenceInsert", "SequenceLength", "SequenceMap"]),
];

/// Records a node with the op of its name.
pub fn record<'g>(call: &Call<'_, 'g>) -> Outcome<'g> {
    let op = call.node.op.as_str();
    if let Some((_, record)) = TABLES.iter().copied().flatten().find(|(name, _)| *name == op) {
        return record(call);
    }
    match LACKING.iter().find(|(_, ops)| ops.contains(&op)) {
        Some((reason, _)) => lacks(*reason),
        None => lacks(format!("no such op: {op}")),
    }
}
