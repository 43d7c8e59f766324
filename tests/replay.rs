//! Replay: many steps per submission, and the time of every dispatch.

mod common;

use common::device;
use retrograd::optim::Adam;
use retrograd::{Graph, Params, nn};

#[test]
fn many_steps_at_once_are_the_same_steps() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let run = |at_once: &[u32]| {
            let mut params = Params::seeded(3);
            let layer = nn::Linear::new(&mut params, "layer", 6, 4);
            let g = Graph::new();
            let (x, y) = (g.input("x", [10, 6]), g.labels("y", [10]));
            let loss = layer.forward(x).dropout(0.3).cross_entropy(y);
            let mut step = g.train(loss, Adam::new(0.01)).compile(device, &params).unwrap();
            let rows: Vec<f32> = (0..60).map(|i| (i as f32 * 0.7).sin()).collect();
            let labels: Vec<i32> = (0..10).map(|i| i % 4).collect();
            let mut losses = Vec::new();
            for &count in at_once {
                step.run_many(count, [x.feed(&rows), y.feed(&labels)]).unwrap();
                losses.extend(step.read_history(loss).unwrap().to_vec());
            }
            assert_eq!(step.state().steps(), losses.len() as u32);
            (losses, step.state().parameter("layer.weight").unwrap())
        };
        let one_by_one = run(&[1; 70]);
        assert_eq!(one_by_one.0.len(), 70);
        assert!(one_by_one.0.windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(one_by_one, run(&[70]), "{name}");
        assert_eq!(one_by_one, run(&[3, 66, 1]), "{name}");
    }
}

#[test]
fn a_profiled_step_is_a_step_and_tells_the_time_of_every_dispatch() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let run = |profiled: bool| {
            let mut params = Params::seeded(3);
            let layer = nn::Linear::new(&mut params, "layer", 64, 32);
            let g = Graph::new();
            let (x, y) = (g.input("x", [50, 64]), g.labels("y", [50]));
            let loss = layer.forward(x).cross_entropy(y);
            let mut step = g.train(loss, Adam::new(0.01)).compile(device, &params).unwrap();
            let rows: Vec<f32> = (0..50 * 64).map(|i| (i as f32 * 0.7).sin()).collect();
            let labels: Vec<i32> = (0..50).map(|i| i % 32).collect();
            for _ in 0..2 {
                if profiled {
                    let times = step.profile([x.feed(&rows), y.feed(&labels)]).unwrap();
                    assert_eq!(times.dispatches.len(), step.plan().dispatches.len(), "{name}");
                    assert!(
                        times.seconds() > 0.0 && times.dispatches[0].operations >= 2 * 50 * 64 * 32,
                        "{name}: {times}"
                    );
                    let trace: serde_json::Value = serde_json::from_str(&times.trace()).unwrap();
                    let events = trace["traceEvents"].as_array().unwrap();
                    assert_eq!(events.iter().filter(|event| event["ph"] == "X").count(), times.dispatches.len());
                } else {
                    step.run([x.feed(&rows), y.feed(&labels)]).unwrap();
                }
            }
            assert_eq!(step.state().steps(), 2);
            (step.read(loss).unwrap(), step.state().parameter("layer.weight").unwrap())
        };
        assert_eq!(run(true), run(false), "{name}");
    }
}
