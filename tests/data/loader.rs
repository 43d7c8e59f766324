//! Batches: which samples they hold, in which order, and what becomes of errors.

use crate::refused;
use proptest::prelude::*;
use retrograd::data::{Batch, Column, DataLoader, Dataset, Position, Tensors};
use retrograd::{DType, Device, Error, ErrorKind, Graph, HostData, HostTensor, Params, Result, nn, optim::Sgd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The numbers 0 to `len` as `x`, and their halves as `label`.
fn numbers(len: usize) -> Tensors {
    let x = (0..len).map(|x| x as f32).collect::<Vec<f32>>();
    let labels = (0..len).map(|x| x as i32 / 2).collect::<Vec<i32>>();
    Tensors::new().column("x", [len], x).unwrap().column("label", [len], labels).unwrap()
}

/// What `x` is in every batch of an epoch.
fn epoch(loader: &DataLoader) -> Vec<Vec<f32>> {
    loader.epoch().map(|batch| batch.unwrap().get("x").unwrap().to_vec()).collect()
}

#[test]
fn an_epoch_takes_every_sample_once_and_the_next_in_another_order() {
    let plain = DataLoader::new(numbers(7), 3);
    assert_eq!(epoch(&plain), [vec![0.0, 1.0, 2.0], vec![3.0, 4.0, 5.0], vec![6.0]]);
    assert_eq!(plain.position(), Position::epoch(1));

    let loader = DataLoader::new(numbers(100), 8).shuffle(5);
    let (first, second) = (epoch(&loader), epoch(&loader));
    assert_ne!(first, second);
    for epoch in [&first, &second] {
        let mut all = epoch.concat();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..100).map(|x| x as f32).collect::<Vec<f32>>());
    }
    let again = DataLoader::new(numbers(100), 8).shuffle(5);
    assert_eq!((epoch(&again), epoch(&again)), (first.clone(), second));
    assert_ne!(epoch(&DataLoader::new(numbers(100), 8).shuffle(6)), first);
}

#[test]
fn the_last_batch_is_kept_dropped_or_padded() {
    let sizes = |loader: DataLoader| -> Vec<usize> { epoch(&loader).iter().map(Vec::len).collect() };
    assert_eq!(sizes(DataLoader::new(numbers(7), 3)), [3, 3, 1]);
    assert_eq!(sizes(DataLoader::new(numbers(7), 3).drop_last()), [3, 3]);
    let padded = DataLoader::new(numbers(7), 5).pad();
    assert_eq!(padded.columns().last(), Some(&Column::new("weight", DType::F32, [])));
    let batches: Vec<Batch> = padded.epoch().map(Result::unwrap).collect();
    assert_eq!(batches[1].get("x").unwrap().to_vec(), [5.0, 6.0, 5.0, 6.0, 5.0]);
    assert_eq!(batches[1].get("weight").unwrap().to_vec(), [1.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(batches[0].get("weight").unwrap().to_vec(), [1.0; 5]);
    assert_eq!((batches[1].samples(), batches[1].rows()), (2, 5));

    // Weights of one's own stay, but for repetitions.
    let weighted = numbers(3).column("weight", [3], vec![0.5f32, 2.0, 3.0]).unwrap();
    let batches: Vec<Batch> = DataLoader::new(weighted, 2).pad().epoch().map(Result::unwrap).collect();
    assert_eq!(batches[0].get("weight").unwrap().to_vec(), [0.5, 2.0]);
    assert_eq!(batches[1].get("weight").unwrap().to_vec(), [3.0, 0.0]);
    let other = numbers(3).column("weight", [3], vec![1, 2, 3]).unwrap();
    refused(DataLoader::new(other, 2).pad().epoch().next().unwrap(), &["`weight` i32[]", "rename"]);
}

#[test]
fn a_padded_batch_trains_as_its_samples_alone() {
    let train = |loader: DataLoader, rows: usize| {
        let mut params = Params::seeded(1);
        let layer = nn::Linear::new(&mut params, "layer", 1, 4);
        let g = Graph::new();
        let (x, y, weight) = (g.input("x", [rows]), g.labels("label", [rows]), g.input("weight", [rows]));
        let loss = layer.forward(x.reshape([rows, 1])).cross_entropy_weighted(y, weight);
        let mut step = g.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
        for batch in loader.epoch() {
            step.run(batch.unwrap().feeds(&g).unwrap()).unwrap();
        }
        step.state().parameter("layer.weight").unwrap().to_vec()
    };
    let padded = train(DataLoader::new(numbers(3), 8).pad(), 8);
    let exact = train(DataLoader::new(numbers(3), 3).pad(), 3);
    for (padded, exact) in padded.iter().zip(&exact) {
        assert!((padded - exact).abs() < 1e-6, "{padded} {exact}");
    }
}

/// A position anywhere gives the rest of what an uninterrupted loader gives.
fn resumed(loader: &DataLoader, take: usize, epochs: usize) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let all: Vec<Vec<f32>> = (0..epochs).flat_map(|_| epoch(loader)).collect();
    loader.seek(Position::default()).unwrap();
    let (mut taken, mut saved) = (0, loader.position());
    'all: for _ in 0..epochs {
        for batch in loader.epoch() {
            if taken == take {
                break 'all;
            }
            batch.unwrap();
            taken += 1;
            saved = loader.position();
        }
    }
    let saved: Position = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
    let other = loader.clone();
    other.seek(saved).unwrap();
    let mut rest = Vec::new();
    while other.position().epoch < epochs as u64 {
        rest.extend(epoch(&other));
    }
    (all[take..].to_vec(), rest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn threads_prefetching_and_interruptions_change_nothing(
        len in 1usize..40, size in 1usize..9, threads in 0usize..5, prefetch in 0usize..6, take in 0usize..100, seed: u64, remainder in 0..3
    ) {
        let make = || {
            let loader = DataLoader::new(numbers(len), size).shuffle(seed).augment(3, |sample, random| {
                sample.floats("x")?[0] += random.uniform(0.0, 0.5) as f32;
                Ok(())
            });
            match remainder { 0 => loader, 1 => loader.drop_last(), _ => loader.pad() }
        };
        prop_assume!(make().batches() > 0);
        let loader = make().threads(threads).prefetch(prefetch);
        let (expected, single) = (epoch(&loader), epoch(&make()));
        prop_assert_eq!(expected, single);
        loader.seek(Position::default()).unwrap();
        let take = take % (2 * loader.batches() + 1);
        let (rest, resumed) = resumed(&loader, take, 2);
        prop_assert_eq!(rest, resumed);
    }

    #[test]
    fn parts_of_a_split_share_nothing_and_leave_nothing_out(len in 10usize..200, seed: u64) {
        let parts = numbers(len).split([0.7, 0.2, 0.1], seed).unwrap();
        let mut rows: Vec<usize> = parts.iter().flat_map(|part| part.rows().to_vec()).collect();
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..len).collect::<Vec<_>>());
        let again = numbers(len).split([0.7, 0.2, 0.1], seed).unwrap();
        prop_assert!(parts.iter().zip(&again).all(|(one, other)| one.rows() == other.rows()));
    }
}

#[test]
fn augmentation_draws_anew_every_epoch_whatever_the_batches_are() {
    let make = |size: usize| {
        DataLoader::new(numbers(12), size).augment(9, |sample, random| {
            sample.floats("x")?[0] = random.uniform(0.0, 1.0) as f32;
            Ok(())
        })
    };
    let (by_five, whole) = (make(5), make(12));
    let (one, two) = (epoch(&by_five).concat(), epoch(&by_five).concat());
    assert_eq!((epoch(&whole).concat(), epoch(&whole).concat()), (one.clone(), two.clone()));
    assert!(one.iter().zip(&two).all(|(one, two)| one != two));
    assert!(one.iter().enumerate().all(|(place, value)| !one[..place].contains(value)));
    let wrong = DataLoader::new(numbers(4), 2).augment(1, |sample, _| sample.integers("x").map(|_| ()));
    refused(wrong.epoch().next().unwrap(), &["batch 0 of epoch 0", "augmenting sample 0", "`x` holds f32"]);
}

/// Fails at some rows.
struct Failing {
    columns: [Column; 1],
    reads: Arc<AtomicUsize>,
}

impl Dataset for Failing {
    fn len(&self) -> usize {
        1000
    }
    fn columns(&self) -> &[Column] {
        &self.columns
    }
    fn read(&self, rows: &[usize]) -> Result<Vec<HostTensor>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if rows.contains(&45) {
            return Err(Error::new(ErrorKind::File, "row 45 is burnt"));
        }
        assert!(!rows.contains(&85), "row 85 is poison");
        Ok(vec![HostTensor::new([rows.len()], HostData::F32(rows.iter().map(|&row| row as f32).collect()))?])
    }
}

#[test]
fn errors_and_panics_arrive_at_their_batch_and_threads_end() {
    for threads in [0, 1, 4] {
        let reads = Arc::new(AtomicUsize::new(0));
        let failing = Failing { columns: [Column::new("x", DType::F32, [])], reads: reads.clone() };
        let loader = DataLoader::new(failing, 10).threads(threads).prefetch(3);
        let taken: Vec<Result<Batch>> = loader.epoch().collect();
        assert_eq!(taken.len(), 5, "with {threads} threads");
        assert!(taken[..4].iter().all(Result::is_ok));
        refused(taken.into_iter().last().unwrap(), &["batch 4 of epoch 0", "row 45 is burnt"]);
        assert_eq!(loader.position(), Position { epoch: 0, batch: 4 }, "it stands before what failed");
        loader.seek(Position { epoch: 0, batch: 5 }).unwrap();
        let taken: Vec<Result<Batch>> = loader.epoch().collect();
        refused(taken.into_iter().last().unwrap(), &["batch 8", "panicked", "row 85 is poison"]);

        loader.seek(Position { epoch: 0, batch: 10 }).unwrap();
        reads.store(0, Ordering::SeqCst);
        drop(loader.epoch().take(1).collect::<Vec<_>>());
        let before = reads.load(Ordering::SeqCst);
        assert!(before <= 1 + 3 + threads, "no more is made ahead than was said: {before}");
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(reads.load(Ordering::SeqCst), before, "nothing is read after the iterator is gone");
    }
}

#[test]
fn what_a_loader_cannot_do_is_said() {
    let first = |loader: DataLoader| loader.epoch().next().unwrap();
    refused(first(DataLoader::new(numbers(3), 0)), &["at least 1"]);
    refused(first(DataLoader::new(numbers(0), 2)), &["no samples"]);
    refused(first(DataLoader::new(numbers(3), 5).drop_last()), &["3 samples", "batch of 5", "dropped"]);
    refused(DataLoader::new(numbers(3), 2).seek(Position { epoch: 0, batch: 2 }), &["batch 2 of epoch 0", "2 batches"]);
    refused(numbers(3).batch(&[0, 3]), &["row 3", "3 samples"]);
    refused(numbers(4).subset(vec![4]), &["row 4"]);
    refused(numbers(4).split([0.5, 0.6], 1), &["add up to at most 1"]);
    refused(numbers(4).split([0.95, 0.05], 1), &["0.05 of 4 samples leaves none"]);
    refused(numbers(2).concat(numbers(2).rename("x", "z").unwrap()), &["`x` f32[]", "`z` f32[]"]);
    refused(Tensors::new().column("x", [2], vec![0f32; 3]), &["`x`", "[2]", "3 elements"]);
    refused(numbers(2).column("y", [3], vec![0f32; 3]), &["`y` has 3 samples", "`x` has 2"]);
    refused(numbers(2).column("x", [2], vec![0f32; 2]), &["`x` already"]);
    let g = Graph::new();
    let (z, x) = (g.input("z", [2]), g.input("x", [2]));
    let batch = numbers(2).all().unwrap();
    refused(batch.feeds(&g), &["input `z` f32[2]", "`x` f32[2], `label` i32[2]"]);
    refused(batch.feeds([x + z]), &["no input"]);
    assert_eq!(batch.feeds([("x", z), ("x", x)]).unwrap().len(), 2);
}

#[test]
fn adapters_give_the_samples_that_they_say() {
    let x = |dataset: &dyn Dataset, rows: &[usize]| dataset.batch(rows).unwrap().get("x").unwrap().to_vec();
    assert_eq!(x(&numbers(9).subset(vec![8, 2, 2]).unwrap(), &[2, 0]), [2.0, 8.0]);
    let joined = numbers(3).concat(numbers(5)).unwrap();
    assert_eq!(joined.len(), 8);
    assert_eq!(x(&joined, &[7, 0, 3, 2, 3]), [4.0, 0.0, 0.0, 2.0, 0.0]);
    let doubled = numbers(4)
        .map(|batch| {
            let twice: Vec<f32> = batch.get("x")?.to_vec().iter().map(|x| 2.0 * x).collect();
            batch.with("twice", twice)?.without("label")
        })
        .unwrap();
    assert_eq!(doubled.columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["x", "twice"]);
    assert_eq!(doubled.batch(&[3, 1]).unwrap().get("twice").unwrap().to_vec(), [6.0, 2.0]);
    let stacked = numbers(3).column("v", [3, 2], vec![7i32; 6]).unwrap().stack(&["label", "v", "x"], "all").unwrap();
    assert_eq!(stacked.batch(&[2]).unwrap().get("all").unwrap().to_vec(), [1.0, 7.0, 7.0, 2.0]);
    assert_eq!(stacked.columns().len(), 1);
    assert_eq!(Tensors::collect(&joined).unwrap().len(), 8);
}
