//! Matrix products by every kernel that there is for them: awkward sizes, operands that lie in memory in all ways,
//! work before and after, and sums that ride along.

mod common;

use common::{device, distance, on_device, on_reference};
use retrograd::fuse::Form;
use retrograd::optim::Sgd;
use retrograd::plan::Profile;
use retrograd::record::{CaseInput, KernelClass, NodeId};
use retrograd::{Device, Generator, Graph, HostTensor, Init, Params, Tensor};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// The device, planned for with kernels of a class, and one form where it suits.
fn with(device: &Device, class: KernelClass, forced: Option<Form>) -> Device {
    let mut profile = device.profile();
    profile.class = class;
    profile.forms.forced = forced;
    // What the forms of software adapters load is read as images, however little it is; by default, by its size.
    profile.image_loads = match (class, forced) {
        (KernelClass::Gpu, _) => usize::MAX,
        (_, Some(_)) => 0,
        (_, None) => profile.image_loads,
    };
    device.with_profile(profile).unwrap()
}

/// All forms on Vulkan, and on GL what is chosen by default.
fn everywhere(mut check: impl FnMut(&str, &Device)) {
    // wgpu's GL backend wants one thread at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    for name in ["vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let _alone = (name == "gl").then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner));
        for class in [KernelClass::Gpu, KernelClass::Cpu, KernelClass::Subgroup] {
            if class == KernelClass::Subgroup && !device.profile().eight_lanes {
                continue;
            }
            for &form in Form::of_class(class).iter().filter(|_| name == "vulkan") {
                check(&format!("{name} {class:?} {}", form.name()), &with(device, class, Some(form)));
            }
            check(&format!("{name} {class:?}"), &with(device, class, None));
        }
    }
}

fn compare(shapes: &[&[usize]], seed: u64, record: impl for<'g> Fn(&[Tensor<'g>]) -> Vec<Tensor<'g>>) {
    let g = Graph::new();
    let mut generator = Generator::new(seed);
    let feeds: Vec<(Tensor<'_>, HostTensor)> = shapes
        .iter()
        .enumerate()
        .map(|(number, shape)| {
            let input = CaseInput::uniform(*shape, -1.0, 1.0);
            (g.input(&format!("in{number}"), *shape), input.draw(&mut generator))
        })
        .collect();
    let wanted = record(&feeds.iter().map(|(input, _)| *input).collect::<Vec<_>>());
    let leaves: BTreeMap<NodeId, HostTensor> =
        feeds.iter().map(|(input, data)| (input.id().node, data.clone())).collect();
    let want = on_reference(&g, &wanted, &leaves, [0, 0]);
    everywhere(|name, device| {
        for (got, want) in on_device(device, &g, &wanted, &feeds).iter().zip(&want) {
            let distance = distance(got, want, 2e-5, 5e-6);
            assert!(distance.excess <= 1.0, "{name}, {shapes:?}: {distance:?}");
        }
    });
}

/// Edges of tiles and of vectors, one less and one more.
const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [2, 130, 67],
    [257, 3, 1025],
    [65, 129, 17],
    [64, 64, 64],
    [128, 132, 40],
    [4, 5, 2051],
    [33, 68, 260],
    [129, 96, 8],
    [300, 70, 20],
];

#[test]
fn operands_as_they_are() {
    for (number, [m, n, k]) in SIZES.into_iter().enumerate() {
        compare(&[&[m, k], &[k, n]], number as u64, |x| vec![x[0].matmul(x[1])]);
    }
}

#[test]
fn operands_transposed() {
    for (number, [m, n, k]) in SIZES.into_iter().enumerate() {
        let seed = 20 + number as u64;
        if number % 2 == 0 {
            compare(&[&[k, m], &[k, n]], seed, |x| vec![x[0].transpose().matmul(x[1])]);
        } else {
            compare(&[&[m, k], &[n, k]], seed, |x| vec![x[0].matmul(x[1].transpose())]);
        }
    }
    for [m, n, k] in [[68, 130, 36], [37, 66, 41]] {
        compare(&[&[k, m], &[k, n]], 40, |x| vec![x[0].transpose().matmul(x[1])]);
        compare(&[&[m, k], &[n, k]], 41, |x| vec![x[0].matmul(x[1].transpose())]);
        compare(&[&[k, m], &[n, k]], 42, |x| vec![x[0].transpose().matmul(x[1].transpose())]);
    }
}

#[test]
fn batches_slices_flips_and_broadcasts() {
    compare(&[&[3, 34, 20], &[3, 20, 68]], 1, |x| vec![x[0].matmul(x[1])]);
    compare(&[&[2, 1, 17, 36], &[3, 36, 9]], 2, |x| vec![x[0].matmul(x[1])]);
    compare(&[&[40, 70], &[70, 66]], 3, |x| {
        let a = x[0].slice(0, 3..37).slice(1, 2..66);
        let b = x[1].slice(0, 4..68).slice(1, 0..33);
        vec![a.matmul(b), a.flip([1]).matmul(b), b.transpose().matmul(a.transpose())]
    });
    compare(&[&[50, 1], &[64, 36]], 4, |x| vec![x[0].broadcast_to([50, 64]).matmul(x[1])]);
}

#[test]
fn work_after_a_product_and_sums_beside_it() {
    for [m, n, k] in [[66, 36, 20], [130, 3, 50], [5, 64, 131], [2, 300, 64]] {
        compare(&[&[m, k], &[k, n], &[n], &[m, n]], 7, |x| {
            let y = (x[0].matmul(x[1]) + x[2]).gelu() * x[3];
            // The weight and bias gradients of a layer: one reads what the other sums.
            let weight_gradient = x[0].transpose().matmul(x[3]);
            vec![y, weight_gradient, x[3].sum(0), x[0].transpose().sum(1)]
        });
    }
}

#[test]
fn sums_of_the_first_operand() {
    // The batch, which is summed over, is no multiple of four; rows lie in fours, or do not.
    for [batch, n, m] in [[66, 36, 20], [131, 9, 64], [7, 70, 12], [35, 40, 7]] {
        compare(&[&[batch, m], &[batch, n]], 11, |x| {
            let turned = x[0].transpose();
            vec![turned.matmul(x[1]), turned.sum(1)]
        });
    }
}

/// What one workgroup takes and loads; a test that prints it, for the table in `benches/README.md`.
#[test]
fn tiles_keep_their_figures() {
    let mut table = String::from("tile     threads  bytes  loads/mac  global loads/mac\n");
    for form in Form::of_class(KernelClass::Gpu) {
        let Some(tile) = form.tile() else { continue };
        let _ = writeln!(
            table,
            "{:<8} {:>7}  {:>5}  {:>9}  {:>16}",
            form.name(),
            tile.threads(),
            tile.bytes(),
            tile.loads(),
            tile.global_loads()
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_device_with_few_invocations_gets_kernels_that_it_can_run() {
    let mut profile = Profile::webgpu_default();
    profile.invocations = 128;
    for [rows, columns, inner] in [[64, 64, 2048], [4, 512, 512], [512, 512, 512], [33, 1, 65]] {
        let graph = Graph::new();
        let product = graph.input("a", [rows, inner]).matmul(graph.input("b", [inner, columns]));
        let plan = graph.infer(&[product]).plan(&Params::seeded(0), &profile).unwrap();
        for kernel in plan.kernels.iter().filter(|kernel| kernel.name.starts_with("matmul")) {
            let size = kernel.wgsl.split("@workgroup_size(").nth(1).and_then(|text| text.split(')').next()).unwrap();
            let invocations: u32 = size.split(',').map(|part| part.trim().parse::<u32>().unwrap()).product();
            assert!(invocations <= 128, "{rows} x {columns} x {inner}: {}", kernel.name);
        }
    }
}

/// One expansion of what writes all tiles, to be read.
#[test]
fn the_text_of_a_tile() {
    let g = Graph::new();
    let mut params = Params::seeded(1);
    let x = g.input("x", [96, 64]);
    let weights = params.add("weights", [48, 64], Init::Zeros);
    let loss = x.matmul(g.param(&weights).transpose()).relu().mean(..);
    let mut profile = Profile::webgpu_default();
    profile.forms.forced = Some(Form::Tile32x32);
    let plan = g.train(loss, Sgd::new(0.1)).plan(&params, &profile).unwrap();
    let kernel = plan.kernels.iter().find(|kernel| kernel.name.starts_with("matmul")).unwrap();
    insta::assert_snapshot!(kernel.wgsl);
}
