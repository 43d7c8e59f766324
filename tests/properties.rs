//! Broadcasting, chains of views and reductions against ndarray's own, for arbitrary ranks and extents, to the bit: the data are
//! small whole numbers. And the gradient of a chain of views is its transpose: sum(g A x) = sum(x A^T g).
//!
//! `RETROGRAD_TEST_CASES` says how many of each are drawn on the host; a sixteenth of that runs on software Vulkan, which
//! compiles every kernel.

mod common;

use common::hostile::{cases, caught};
use common::{device, on_device};
use ndarray::{ArrayD, Axis, IxDyn, Slice, concatenate};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use retrograd::{Graph, HostTensor, Tensor};
use std::fmt::Debug;

/// Draws arguments for a check on every device that there is.
fn check<S: Strategy>(strategy: &S, on: impl Fn(&'static str, S::Value) -> Result<(), TestCaseError>)
where
    S::Value: Debug,
{
    for (name, part) in [("cpu", 1), ("vulkan", 16)] {
        if device(name).is_none() {
            continue;
        }
        let cases = (cases(300) / part).max(1);
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(strategy, |drawn| on(name, drawn))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn extents(rank: std::ops::Range<usize>) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(proptest::sample::select(vec![1usize, 1, 2, 2, 3, 3, 4, 5, 7]), rank)
}

/// Whole numbers from -4 to 4.
fn array(shape: &[usize], seed: usize) -> ArrayD<f32> {
    let mut number = seed;
    ArrayD::from_shape_simple_fn(IxDyn(shape), || {
        number = (number * 5 + 3) % 1021;
        (number % 9) as f32 - 4.0
    })
}

/// What tensors are on a device.
fn compute(name: &'static str, g: &Graph, wanted: &[Tensor<'_>], fed: &[(Tensor<'_>, &ArrayD<f32>)]) -> Vec<Vec<f64>> {
    let feeds: Vec<(Tensor<'_>, HostTensor)> =
        fed.iter().map(|&(input, array)| (input, HostTensor::from(array))).collect();
    on_device(device(name).expect("it was there before"), g, wanted, &feeds)
}

fn numbers(array: &ArrayD<f32>) -> Vec<f64> {
    array.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn broadcasting_is_that_of_ndarray() {
    // Shapes that fit are drawn from a common one, of which axes are dropped or become 1; others as they come.
    let fitting = (extents(0..6), any::<[bool; 12]>(), 0..6usize, 0..6usize).prop_map(|(full, ones, first, second)| {
        let cut = |from: usize, side: usize| -> Vec<usize> {
            let from = from.min(full.len());
            (from..full.len()).map(|axis| if ones[2 * axis + side] { 1 } else { full[axis] }).collect()
        };
        (cut(first.saturating_sub(2), 0), cut(second.saturating_sub(2), 1))
    });
    let strategy = prop_oneof![3 => fitting, 1 => (extents(0..4), extents(0..4))];
    check(&strategy, |name, (a, b)| {
        let (x, y) = (array(&a, 1), array(&b, 2));
        // ndarray panics where shapes do not fit.
        let want = caught(|| &x * &y).ok();
        let g = Graph::new();
        let (of_x, of_y) = (g.input("x", &a[..]), g.input("y", &b[..]));
        let product = of_x * of_y;
        prop_assert_eq!(product.is_valid(), want.is_some());
        let Some(want) = want else { return Ok(()) };
        prop_assert_eq!(&product.shape()[..], want.shape());
        let got = compute(name, &g, &[product], &[(of_x, &x), (of_y, &y)]);
        prop_assert_eq!(&got[0], &numbers(&want));
        Ok(())
    });
}

/// A view, whose numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum View {
    Permute(usize),
    Slice { axis: usize, start: usize, step: usize, cut: usize },
    Flip(usize),
    Merge(usize),
    Split(usize),
    Unsqueeze(usize),
    Broadcast(usize),
    Pad { axis: usize, before: usize, after: usize },
    Double(usize),
}

fn view() -> impl Strategy<Value = View> {
    let axis = || 0..5usize;
    prop_oneof![
        (0..120usize).prop_map(View::Permute),
        (axis(), 0..7usize, 1..4usize, 0..3usize).prop_map(|(axis, start, step, cut)| View::Slice {
            axis,
            start,
            step,
            cut
        }),
        axis().prop_map(View::Flip),
        axis().prop_map(View::Merge),
        axis().prop_map(View::Split),
        axis().prop_map(View::Unsqueeze),
        axis().prop_map(View::Broadcast),
        (axis(), 0..3usize, 0..3usize).prop_map(|(axis, before, after)| View::Pad { axis, before, after }),
        axis().prop_map(View::Double),
    ]
}

/// A tensor and an array after the same view.
fn apply<'g>(x: Tensor<'g>, a: ArrayD<f32>, view: &View) -> (Tensor<'g>, ArrayD<f32>) {
    let (rank, shape) = (a.ndim(), a.shape().to_vec());
    let small = a.len() < 2000;
    match *view {
        View::Permute(number) if rank > 1 => {
            // The permutation of this number.
            let (mut left, mut number, mut order): (Vec<usize>, usize, Vec<usize>) =
                ((0..rank).collect(), number, Vec::new());
            while !left.is_empty() {
                order.push(left.remove(number % left.len()));
                number /= left.len() + 1;
            }
            let signed: Vec<isize> = order.iter().map(|&axis| axis as isize - rank as isize).collect();
            (x.permute(signed), a.permuted_axes(IxDyn(&order)).as_standard_layout().into_owned())
        }
        View::Slice { axis, start, step, cut } if rank > 0 => {
            let axis = axis % rank;
            let start = start % shape[axis];
            let end = (shape[axis] - cut.min(shape[axis] - start - 1)).max(start + 1);
            let part = Slice::new(start as isize, Some(end as isize), step as isize);
            (x.slice_step(axis as isize, start..end, step), a.slice_axis(Axis(axis), part).to_owned())
        }
        View::Flip(axis) if rank > 0 => {
            let axis = axis % rank;
            let mut flipped = a;
            flipped.invert_axis(Axis(axis));
            (x.flip(axis as isize), flipped.as_standard_layout().into_owned())
        }
        View::Merge(axis) if rank > 1 => {
            let mut extents = shape;
            extents[axis % (rank - 1)] *= extents.remove(axis % (rank - 1) + 1);
            reshaped(x, &a, &extents)
        }
        View::Split(axis) if rank > 0 && rank < 5 => {
            let mut extents = shape;
            let axis = axis % rank;
            let Some(factor) = [2, 3, 5, 7].into_iter().find(|&factor| extents[axis].is_multiple_of(factor)) else {
                return (x, a);
            };
            extents[axis] /= factor;
            extents.insert(axis, factor);
            reshaped(x, &a, &extents)
        }
        View::Unsqueeze(axis) if rank < 5 => {
            let axis = axis % (rank + 1);
            (x.unsqueeze(axis as isize), a.insert_axis(Axis(axis)))
        }
        View::Broadcast(axis) if rank > 0 && small => {
            let mut extents = shape;
            let axis = axis % rank;
            if extents[axis] == 1 {
                extents[axis] = 3;
            } else if rank < 5 {
                extents.insert(0, 2);
            }
            let stretched = a.broadcast(IxDyn(&extents)).expect("only 1 stretches").to_owned();
            (x.broadcast_to(extents), stretched)
        }
        View::Pad { axis, before, after } if rank > 0 && small => {
            let axis = axis % rank;
            let mut widths = vec![(0, 0); rank];
            widths[axis] = (before, after);
            let zeros = |extent: usize| {
                let mut extents = shape.clone();
                extents[axis] = extent;
                ArrayD::<f32>::zeros(IxDyn(&extents))
            };
            let (front, back) = (zeros(before), zeros(after));
            let padded = concatenate(Axis(axis), &[front.view(), a.view(), back.view()]).expect("they fit");
            (x.pad(&widths), padded)
        }
        View::Double(axis) if rank > 0 && small => {
            let axis = axis % rank;
            let other = a.mapv(|x| 2.0 * x);
            let joined = concatenate(Axis(axis), &[a.view(), other.view()]).expect("they fit");
            (x.graph().concat(&[x, x * 2.0], axis as isize - rank as isize), joined)
        }
        _ => (x, a),
    }
}

fn reshaped<'g>(x: Tensor<'g>, a: &ArrayD<f32>, extents: &[usize]) -> (Tensor<'g>, ArrayD<f32>) {
    let to = a.as_standard_layout().into_owned().into_shape_with_order(IxDyn(extents)).expect("as many elements");
    (x.reshape(extents), to)
}

#[test]
fn chains_of_views_are_those_of_ndarray() {
    let strategy = (extents(0..5), proptest::collection::vec(view(), 1..9));
    check(&strategy, |name, (shape, views)| {
        let data = array(&shape, 7);
        let g = Graph::new();
        let x = g.input("x", &shape[..]);
        let (y, want) = views.iter().fold((x, data.clone()), |(x, a), view| apply(x, a, view));
        prop_assert!(y.is_valid(), "{:?}", g.recording().faults);
        prop_assert_eq!(&y.shape()[..], want.shape());
        let upstream = g.input("upstream", y.shape());
        let loss = (y * upstream).sum(..);
        let gradient = g.gradient(loss, x);
        let given = array(want.shape(), 11);
        let got = compute(name, &g, &[y * 1.0, gradient], &[(x, &data), (upstream, &given)]);
        prop_assert_eq!(&got[0], &numbers(&want));
        // Whole numbers below 2^24: both sums are exact.
        let forward: f64 = want.iter().zip(&given).map(|(&y, &g)| f64::from(y) * f64::from(g)).sum();
        let backward: f64 = data.iter().zip(&got[1]).map(|(&x, &g)| f64::from(x) * g).sum();
        prop_assert_eq!(forward, backward);
        Ok(())
    });
}

#[test]
fn reductions_over_any_axes_are_those_of_ndarray() {
    let strategy = (extents(0..6), any::<[bool; 5]>(), any::<[bool; 5]>());
    check(&strategy, |name, (shape, chosen, negative)| {
        let data = array(&shape, 3);
        let g = Graph::new();
        let x = g.input("x", &shape[..]);
        let rank = shape.len();
        let axes: Vec<usize> = (0..rank).filter(|&axis| chosen[axis]).collect();
        let signed = |&axis: &usize| if negative[axis] { axis as isize - rank as isize } else { axis as isize };
        // In any order.
        let named: Vec<isize> = axes.iter().rev().map(signed).collect();
        let reduced = |fold: &dyn Fn(ArrayD<f32>, Axis) -> ArrayD<f32>| {
            axes.iter().rev().fold(data.clone(), |array, &axis| fold(array, Axis(axis)))
        };
        let sum = reduced(&|array, axis| array.sum_axis(axis));
        let most = reduced(&|array, axis| array.fold_axis(axis, f32::NEG_INFINITY, |a, &b| a.max(b)));
        let least = reduced(&|array, axis| array.fold_axis(axis, f32::INFINITY, |a, &b| a.min(b)));
        let wanted = [x.sum(&named[..]), x.amax(&named[..]), x.amin(&named[..]), x.sum_keep(&named[..])];
        prop_assert_eq!(&wanted[0].shape()[..], sum.shape());
        let kept: Vec<usize> = (0..rank).map(|axis| if chosen[axis] { 1 } else { shape[axis] }).collect();
        prop_assert_eq!(&wanted[3].shape()[..], &kept[..]);
        let got = compute(name, &g, &wanted, &[(x, &data)]);
        for (got, want) in got.iter().zip([&sum, &most, &least, &sum]) {
            prop_assert_eq!(got, &numbers(want));
        }
        Ok(())
    });
}
