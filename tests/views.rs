//! Random chains of views, read by pointwise kernels, reductions and matrix products: values and
//! gradients on Vulkan against the float64 reference.

mod common;

use common::{device, distance, on_device, on_reference};
use proptest::prelude::*;
use retrograd::record::CaseInput;
use retrograd::reference::check_gradient;
use retrograd::{Generator, Graph, Tensor};
use std::collections::BTreeMap;

/// One link of a chain; the numbers are taken modulo what is possible.
#[derive(Clone, Copy, Debug)]
enum Link {
    Swap(usize, usize),
    Slice(usize, usize, usize),
    Flip(usize),
    Join(usize),
    Stretch(usize),
    Pad(usize, usize),
    Cut(usize),
}

fn link() -> impl Strategy<Value = Link> {
    prop_oneof![
        (0..4usize, 0..4usize).prop_map(|(a, b)| Link::Swap(a, b)),
        (0..4usize, 0..4usize, 1..3usize).prop_map(|(axis, start, step)| Link::Slice(axis, start, step)),
        (0..4usize).prop_map(Link::Flip),
        (0..4usize).prop_map(Link::Join),
        (0..4usize).prop_map(Link::Stretch),
        (0..4usize, 0..3usize).prop_map(|(axis, before)| Link::Pad(axis, before)),
        (0..4usize).prop_map(Link::Cut),
    ]
}

fn apply(x: Tensor<'_>, link: Link) -> Tensor<'_> {
    let shape = x.shape();
    let rank = shape.rank();
    match link {
        Link::Swap(a, b) => x.swap_axes((a % rank) as isize, (b % rank) as isize),
        Link::Slice(axis, start, step) => {
            let axis = axis % rank;
            x.slice_step(axis as isize, start % shape[axis]..shape[axis], step)
        }
        Link::Flip(axis) => x.flip((axis % rank) as isize),
        Link::Join(axis) if rank > 1 => {
            let axis = axis % (rank - 1);
            let mut extents = shape.to_vec();
            extents[axis] *= extents.remove(axis + 1);
            x.reshape(extents)
        }
        Link::Stretch(axis) if rank < 5 && shape.elements() < 500 => {
            let place = axis % (rank + 1);
            let mut extents = shape.to_vec();
            extents.insert(place, 2);
            x.unsqueeze(place as isize).broadcast_to(extents)
        }
        Link::Pad(axis, before) if shape.elements() < 500 => {
            let widths: Vec<(usize, usize)> =
                (0..rank).map(|other| if other == axis % rank { (before, 1) } else { (0, 0) }).collect();
            x.pad(&widths)
        }
        // Cuts an axis of even extent in two.
        Link::Cut(axis) if shape[axis % rank].is_multiple_of(2) => {
            let mut extents = shape.to_vec();
            extents[axis % rank] /= 2;
            extents.insert(axis % rank, 2);
            x.reshape(extents)
        }
        _ => x,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_of_views_agree_with_the_reference(links in proptest::collection::vec(link(), 1..7), seed in 1..1000u64) {
        let g = Graph::new();
        let x = g.input("x", [3, 4, 2]);
        let y = links.iter().fold(x, |x, &link| apply(x, link));
        // As it is, reduced along one axis, and as both operands of a product.
        let rows = y.reshape([y.shape().elements() / y.shape().last(), y.shape().last()]);
        let product = rows.matmul(rows.transpose());
        let loss = (y.sin() * 1.5).sum(0).square().sum(..) + product.mean(..);
        let gradient = g.gradient(loss, x);
        let data = CaseInput::uniform([3, 4, 2], -1.0, 1.0).draw(&mut Generator::new(seed));
        let leaves = BTreeMap::from([(x.id().node, data.clone())]);
        let wanted = [y.sin(), product, loss, gradient];
        let want = on_reference(&g, &wanted, &leaves, [0, 0]);
        let check = check_gradient(&g.recording(), loss.id(), &[(x.id().node, gradient.id())], &leaves, 2, &mut Generator::new(seed)).unwrap();
        prop_assert!(check.error < 1e-5, "{check:?}");
        for name in ["cpu", "vulkan"] {
            let Some(device) = device(name) else { continue };
            for (got, want) in on_device(device, &g, &wanted, &[(x, data.clone())]).iter().zip(&want) {
                let distance = distance(got, want, 1e-4, 1e-5);
                prop_assert!(distance.excess <= 1.0, "{name}: {distance:?}");
            }
        }
    }
}
