//! Sizes at which devices silently go wrong: loops of more than 65,535 iterations (after which
//! software adapters stop), grids of more than 65,535 workgroups, rows wider than a workgroup.

mod common;

use common::{device, distance, on_device, on_reference};
use retrograd::ops::AttentionSettings;
use retrograd::record::{CaseInput, Draw, NodeId};
use retrograd::{Generator, Graph, HostTensor, Tensor};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Compares what `record` computes from inputs of these kinds with the reference, on both adapters.
fn check(inputs: &[CaseInput], record: impl for<'g> Fn(&[Tensor<'g>]) -> Vec<Tensor<'g>>) {
    // wgpu's GL backend gives up when another thread keeps the context for some seconds, as a long
    // dispatch on a software adapter does: one test at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let g = Graph::new();
    let mut generator = Generator::new(6);
    let feeds: Vec<(Tensor<'_>, HostTensor)> = inputs
        .iter()
        .enumerate()
        .map(|(number, input)| (g.input(&format!("in{number}"), input.shape.clone()), input.draw(&mut generator)))
        .collect();
    let wanted = record(&feeds.iter().map(|(input, _)| *input).collect::<Vec<_>>());
    let leaves: BTreeMap<NodeId, HostTensor> =
        feeds.iter().map(|(input, data)| (input.id().node, data.clone())).collect();
    let want = on_reference(&g, &wanted, &leaves, [0, 0]);
    for name in ["vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        for (got, want) in on_device(device, &g, &wanted, &feeds).iter().zip(&want) {
            let distance = distance(got, want, 2e-5, 5e-6);
            assert!(distance.excess <= 1.0, "{name}: {distance:?}");
        }
    }
}

#[test]
fn reductions_over_more_elements_than_a_loop_may_have() {
    check(&[CaseInput::uniform([100_003], 0.0, 1.0)], |x| {
        vec![x[0].sum(..), x[0].amax(..), x[0].amin(..), x[0].logsumexp(..)]
    });
    check(&[CaseInput::uniform([70_001, 3], 0.0, 1.0)], |x| vec![x[0].sum(0), x[0].mean([0, 1])]);
}

#[test]
fn a_product_over_a_long_inner_axis() {
    check(&[CaseInput::uniform([3, 100_000], 0.0, 1.0), CaseInput::uniform([100_000, 2], 0.0, 1.0)], |x| {
        vec![x[0].matmul(x[1])]
    });
    check(&[CaseInput::uniform([100_000, 3], 0.0, 1.0), CaseInput::uniform([100_000, 2], 0.0, 1.0)], |x| {
        vec![x[0].transpose().matmul(x[1])]
    });
}

#[test]
fn rows_of_many_columns() {
    check(&[CaseInput::new([2, 150_000], Draw::Distinct { low: -4.0, high: 4.0 })], |x| {
        vec![x[0].softmax(-1), x[0].log_softmax(-1), x[0].argmax(-1)]
    });
}

/// Kernels have several loops over a row, and it is all their iterations together that are limited.
#[test]
fn rows_of_as_many_columns_as_kernels_take() {
    check(&[CaseInput::uniform([1, 1_340_000], -2.0, 2.0)], |x| {
        vec![
            x[0].softmax(-1),
            x[0].log_softmax(-1),
            x[0].group_norm(1, x[0].graph().full([1_340_000], 1.0), x[0].graph().full([1_340_000], 0.0), 1e-5),
        ]
    });
}

/// Four queries, or four keys, so that the sequence is long and the work is not.
#[test]
fn attention_over_sequences_as_long_as_kernels_take() {
    let of = |length: usize| CaseInput::uniform([1, length, 64], -1.0, 1.5);
    for (queries, keys) in [(4, 19_700), (19_700, 4)] {
        // The gradient of y is random: of a constant one, what the kernels subtract leaves little but rounding.
        check(&[of(queries), of(keys), of(keys), of(queries)], |x| {
            let y = x[0].attention(x[1], x[2], &AttentionSettings::new());
            let mut all = vec![y];
            all.extend(x[0].graph().gradients((y * x[3]).sum(..), &x[..3]));
            all
        });
    }
}

#[test]
fn grids_of_more_workgroups_than_one_dimension_holds() {
    // 64 elements per workgroup: 4,194,240 fill one dimension.
    check(&[CaseInput::uniform([4_300_003], -1.0, 1.0)], |x| vec![x[0] * x[0] + 1.0]);
    check(&[CaseInput::uniform([4_300_003, 1], -1.0, 1.0), CaseInput::uniform([1, 2], -1.0, 1.0)], |x| {
        vec![x[0].matmul(x[1])]
    });
}
