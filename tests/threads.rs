//! Threads that share a device.

mod common;

use common::device;
use retrograd::record::KernelClass;
use retrograd::{Graph, Params};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Kernels for real GPUs are slow on software: the product of two matrices of this side takes many seconds.
const SIDE: usize = 1536;

/// wgpu's GL backend panics in a thread that has waited six seconds for the context.
#[test]
fn a_thread_waits_for_another_ones_long_dispatch() {
    let Some(device) = device("gl") else { return };
    let mut profile = device.profile();
    profile.class = KernelClass::Gpu;
    let slow = device.with_profile(profile).unwrap();
    let (started, start) = mpsc::channel();
    let long = std::thread::spawn(move || {
        let graph = Graph::new();
        let (a, b) = (graph.input("a", [SIDE, SIDE]), graph.input("b", [SIDE, SIDE]));
        let corner = a.matmul(b).slice(0, 0..1).slice(1, 0..1);
        let mut step = graph.infer(&[corner]).compile(&slow, &Params::seeded(0)).unwrap();
        let ones = vec![1.0f32; SIDE * SIDE];
        started.send(()).unwrap();
        let begin = Instant::now();
        step.run([a.feed(&ones), b.feed(&ones)]).unwrap();
        assert_eq!(step.read(corner).unwrap().item(), SIDE as f32);
        begin.elapsed()
    });
    start.recv().unwrap();
    let graph = Graph::new();
    let x = graph.input("x", [4]);
    let y = x * 2.0;
    let mut step = graph.infer(&[y]).compile(device, &Params::seeded(0)).unwrap();
    while !long.is_finished() {
        step.run([x.feed(&[1.0f32, 2.0, 3.0, 4.0])]).unwrap();
        assert_eq!(step.read(y).unwrap().to_vec(), [2.0, 4.0, 6.0, 8.0]);
        std::thread::sleep(Duration::from_millis(10));
    }
    let seconds = long.join().unwrap().as_secs_f64();
    eprintln!("the long dispatch took {seconds:.1} s");
}
