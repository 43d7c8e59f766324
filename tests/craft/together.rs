//! All of it together, and settings that cannot be.

use super::{Direct, LENGTHS, classifier, compare, gradients, run, weights};
use crate::common::device;
use retrograd::optim::{Adam, Lamb, Sgd};
use retrograd::plan::{Phase, Profile};
use retrograd::{Device, ErrorKind, Graph, Params, Training, schedule};

/// Where bindings may hold few bytes, parameters lie in several buffers, and everything is done for each.
#[test]
fn parameters_in_several_segments_are_treated_alike() {
    let direct = Direct::new();
    let seen = |device: &Device| {
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Lamb::new(0.1).weight_decay(0.1), |training| {
            training.clip_norm(1.0).average(0.5).layer_norms().accumulate(2)
        });
        for run_number in 0..4 {
            run(&mut step, &inputs, &gradients(run_number, 1.0)).unwrap();
        }
        let norms = step.read_layer_norms().unwrap();
        let norms = norms.iter().flat_map(|layer| [f64::from(layer.gradient), f64::from(layer.weight)]).collect();
        let averages = LENGTHS.iter().enumerate().map(|(place, _)| {
            let average = step.state().average(&format!("p{place}")).unwrap().to_vec();
            average.into_iter().map(f64::from).collect()
        });
        let all: Vec<Vec<f64>> = weights(step.state()).into_iter().chain(averages).chain([norms]).collect();
        (all, step.state().arena().segments.len())
    };
    let (want, whole) = seen(&Device::cpu());
    assert_eq!(whole, 1);
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let mut profile = device.profile();
        profile.binding_bytes = 80_128;
        let (got, segments) = seen(&device.with_profile(profile).unwrap());
        assert_eq!(segments, 2, "{name}");
        compare(name, &got, &want);
    }
}

#[test]
fn the_craft_takes_few_dispatches() {
    let mut params = Params::seeded(1);
    let g = Graph::new();
    let (_, _, loss) = classifier(&g, &mut params, 8);
    let count = |with: &dyn Fn(Training<'_>) -> Training<'_>| {
        let training = with(g.train(loss, Adam::new(0.1)));
        training.plan(&params, &Profile::webgpu_default()).unwrap().list(Phase::Update).count()
    };
    assert_eq!(count(&|training| training), 1);
    assert_eq!(count(&|training| training.clip_value(1.0).average(0.9)), 1, "in the update itself");
    assert_eq!(count(&|training| training.clip_norm(1.0)), 2, "one for the norm");
    assert_eq!(count(&|training| training.layer_norms()), 3);
    assert_eq!(count(&|training| training.accumulate(2)), 2);
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    type With = fn(Training<'_>) -> Training<'_>;
    let cases: [(&str, &str, With); 9] = [
        ("clip_norm", "0", |training| training.clip_norm(0.0)),
        ("clip_norm", "NaN", |training| training.clip_norm(f64::NAN)),
        ("clip_value", "inf", |training| training.clip_value(f64::INFINITY)),
        ("clip_value", "-1", |training| training.clip_value(-1.0)),
        ("accumulate", "0", |training| training.accumulate(0)),
        ("average", "1", |training| training.average(1.0)),
        ("cosine schedule", "0", |training| training.schedule(schedule::Cosine::new(0))),
        ("step schedule", "-1", |training| training.schedule(schedule::StepDecay::new(3, -1.0))),
        ("one-cycle schedule", "1", |training| training.schedule(schedule::OneCycle::new(9).rising(1.0))),
    ];
    for (setting, value, with) in cases {
        let mut params = Params::seeded(1);
        let g = Graph::new();
        let (_, _, loss) = classifier(&g, &mut params, 8);
        let error = with(g.train(loss, Adam::new(0.1))).compile(&Device::cpu(), &params).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let message = error.to_string();
        assert!(message.contains(setting) && message.contains(&format!("is {value}")), "{message}");
    }
}

#[test]
fn reading_what_is_not_computed_says_what_to_ask_for() {
    let direct = Direct::new();
    let g = Graph::new();
    let (mut step, inputs) = direct.compile(&g, &Device::cpu(), Sgd::new(0.1), |training| training);
    run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
    let message = step.read_layer_norms().unwrap_err().to_string();
    assert!(message.contains("Training::layer_norms"), "{message}");
    let message = step.state().average("p0").unwrap_err().to_string();
    assert!(message.contains("Training::average"), "{message}");
    let h = Graph::new();
    let early = direct.compile(&h, &Device::cpu(), Sgd::new(0.1), Training::layer_norms).0;
    assert!(early.read_layer_norms().unwrap_err().to_string().contains("run a step"));
}
