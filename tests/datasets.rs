//! Data that stay on the device: the same steps as with batches fed one by one, to the bit.

mod common;

use common::device;
use retrograd::optim::Adam;
use retrograd::plan::{BufferKind, Phase};
use retrograd::{Device, ErrorKind, Feed, Generator, Graph, HostData, HostTensor, Params, Step, Tensor, Training, nn};

const ROWS: usize = 37;
const BATCH: usize = 5;
const WIDE: usize = 12;

fn images() -> HostTensor {
    let values: Vec<f32> = (0..ROWS * WIDE).map(|i| (i as f32 * 0.37).sin()).collect();
    HostTensor::new([ROWS, WIDE], HostData::F32(values)).unwrap()
}

fn labels() -> Vec<i32> {
    (0..ROWS as i32).map(|i| i * 7 % 4).collect()
}

/// A small classifier: what `train` makes of its inputs and its training.
fn classifier<R>(train: impl for<'g> FnOnce([Tensor<'g>; 3], Training<'g>, &Params) -> R) -> R {
    let mut params = Params::seeded(3);
    let layer = nn::Linear::new(&mut params, "layer", WIDE, 4);
    let g = Graph::new();
    let (x, y) = (g.input("x", [BATCH, WIDE]), g.labels("y", [BATCH]));
    let loss = layer.forward(x).dropout(0.2).cross_entropy(y);
    let x = x.keep();
    train([x, y, loss], g.train(loss, Adam::new(0.01)), &params)
}

fn weights(step: &Step) -> HostTensor {
    step.state().parameter("layer.weight").unwrap()
}

/// The batches of so many steps, fed by hand. Without a seed rows are taken in order.
fn by_hand(device: &Device, steps: usize, seed: Option<u64>) -> HostTensor {
    classifier(|[x, y, _], training, params| {
        let mut step = training.compile(device, params).unwrap();
        let (images, labels) = (images().to_vec(), labels());
        let passes = ROWS / BATCH;
        for number in 0..steps {
            let mut order: Vec<usize> = (0..ROWS).collect();
            if let Some(seed) = seed {
                Generator::named(seed, &format!("order of epoch {}", number / passes)).shuffle(&mut order);
            }
            let rows = &order[number % passes * BATCH..][..BATCH];
            let batch: Vec<f32> = rows.iter().flat_map(|&row| images[row * WIDE..][..WIDE].to_vec()).collect();
            let classes: Vec<i32> = rows.iter().map(|&row| labels[row]).collect();
            step.run([x.feed(&batch), y.feed(&classes)]).unwrap();
        }
        weights(&step)
    })
}

#[test]
fn gathered_batches_are_those_that_would_be_fed() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        // The order depends on the seed of the parameters, 3.
        let want = by_hand(device, 20, Some(3));
        let in_order = by_hand(device, 9, None);
        assert_ne!(want, by_hand(device, 20, None));
        classifier(|[x, y, loss], training, params| {
            let training = training.dataset([x.feed(&images()), y.feed(&labels())]);
            let mut step = training.compile(device, params).unwrap();
            // Seven batches to a pass: two rows are left out of each.
            assert_eq!(step.run_epoch([]).unwrap(), 7);
            step.run([]).unwrap();
            assert_eq!(step.run_epoch([]).unwrap(), 6);
            step.run_many(6, []).unwrap();
            assert_eq!(step.read_history(loss).unwrap().to_vec().len(), 6);
            assert_eq!(weights(&step), want, "{name}");
        });
        classifier(|[x, y, _], training, params| {
            let training = training.dataset_in_order([x.feed(&images()), y.feed(&labels())]);
            let mut step = training.compile(device, params).unwrap();
            step.run_many(9, []).unwrap();
            assert_eq!(weights(&step), in_order, "{name}");
        });
    }
}

/// A binding too small for the data: they lie in parts, and the steps are the same.
#[test]
fn data_larger_than_a_binding_are_split() {
    for name in ["vulkan", "cpu"] {
        let Some(device) = device(name) else { continue };
        let want = by_hand(device, 20, Some(3));
        // Room for nine rows.
        let mut profile = device.profile();
        profile.binding_bytes = (9 * WIDE * 4 + 20) as u64;
        let small = device.with_profile(profile).unwrap();
        classifier(|[x, y, _], training, params| {
            let training = training.dataset([x.feed(&images()), y.feed(&labels())]);
            let mut step = training.compile(&small, params).unwrap();
            let parts = |kind: &BufferKind| matches!(kind, BufferKind::Dataset { .. });
            assert_eq!(step.plan().buffers.iter().filter(|buffer| parts(&buffer.kind)).count(), 5 + 1);
            assert_eq!(step.plan().list(Phase::Batch).count(), 5 + 1);
            step.run_many(20, []).unwrap();
            assert_eq!(weights(&step), want, "{name}");
        });
    }
}

#[test]
fn a_pass_takes_every_row_once() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(8);
        let layer = nn::Linear::new(&mut params, "layer", 3, 1);
        let g = Graph::new();
        let x = g.input("x", [8, 3]);
        let x = x.keep();
        let loss = layer.forward(x).square().mean(..);
        let rows: Vec<f32> = (0..64 * 3).map(|i| (i / 3) as f32).collect();
        let training = g.train(loss, Adam::new(0.01)).dataset([x.feed(&rows)]);
        let mut step = training.compile(device, &params).unwrap();
        let mut orders = Vec::new();
        for _ in 0..2 {
            let mut order = Vec::new();
            for _ in 0..8 {
                step.run([]).unwrap();
                order.extend(step.read(x).unwrap().to_vec().chunks(3).map(|row| row[0] as usize));
            }
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..64).collect::<Vec<_>>(), "{name}");
            orders.push(order);
        }
        assert_ne!(orders[0], orders[1]);
    }
}

/// What is wrong with a dataset is said when the step is compiled.
fn refusal(make: impl for<'g> Fn([Tensor<'g>; 3]) -> Vec<Feed<'static>>) -> String {
    classifier(|tensors, training, params| {
        let error = training.dataset(make(tensors)).compile(&Device::cpu(), params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Feed);
        error.to_string()
    })
}

fn owned<'a>(feed: Feed<'_>) -> Feed<'a> {
    feed.into_owned()
}

#[test]
fn a_dataset_that_does_not_fit_is_refused() {
    let short = HostTensor::new([36, WIDE], HostData::F32(vec![0.0; 36 * WIDE])).unwrap();
    let tiny = HostTensor::new([3, WIDE], HostData::F32(vec![0.0; 3 * WIDE])).unwrap();
    let turned = HostTensor::new([WIDE, ROWS], HostData::F32(vec![0.0; ROWS * WIDE])).unwrap();
    let mut odd = labels();
    odd[30] = 4;
    let refusals = [
        refusal(|[x, y, _]| vec![owned(x.feed(&short)), owned(y.feed(&labels()))]),
        refusal(|[x, _, _]| vec![owned(x.feed(&tiny))]),
        refusal(|[x, _, _]| vec![owned(x.feed(&turned))]),
        refusal(|[x, _, _]| vec![owned(x.feed(&vec![0.0f32; 100]))]),
        refusal(|[x, _, _]| vec![owned(x.feed(&vec![0i32; 120]))]),
        refusal(|[x, _, _]| vec![owned(x.feed(&images())), owned(x.feed(&images()))]),
        refusal(|[_, y, _]| vec![owned(y.feed(&odd))]),
        refusal(|[_, _, loss]| vec![owned(loss.feed(&labels()))]),
        refusal(|_| vec![]),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn what_comes_from_the_dataset_cannot_be_fed_and_the_rest_must_be() {
    classifier(|[x, y, _], training, params| {
        let mut step = training.dataset([x.feed(&images())]).compile(&Device::cpu(), params).unwrap();
        let classes = &labels()[..BATCH];
        step.run([y.feed(classes)]).unwrap();
        let twice = step.run([x.feed(&vec![0.0f32; BATCH * WIDE]), y.feed(classes)]).unwrap_err();
        assert!(twice.to_string().contains("input `x` takes its batches from the dataset"), "{twice}");
        let missing = step.run([]).unwrap_err();
        assert!(missing.to_string().contains("y missing"), "{missing}");
    });
    classifier(|_, training, params| {
        let mut step = training.compile(&Device::cpu(), params).unwrap();
        assert_eq!(step.run_epoch([]).unwrap_err().kind(), ErrorKind::Argument);
    });
}
