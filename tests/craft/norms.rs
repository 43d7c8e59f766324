//! Norms of gradients and weights by layer.

use super::{Direct, LENGTHS, gradients, norm, run, weights};
use crate::common::device;
use retrograd::optim::{Lamb, Sgd};
use retrograd::train::LayerHealth;
use retrograd::{ErrorKind, Graph, Init, Param, Params, Training};

#[test]
fn norms_by_layer_are_those_of_every_parameter() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Sgd::new(0.1), Training::layer_norms);
        let mut fed = gradients(1, 1.0);
        fed[1].fill(0.0);
        fed[2][0] = 5e4;
        let before = weights(step.state());
        run(&mut step, &inputs, &fed).unwrap();
        let norms = step.read_layer_norms().unwrap();
        let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (place, layer) in norms.iter().enumerate() {
            assert_eq!(layer.name, format!("p{place}"));
            let gradient: Vec<f64> = fed[place].iter().map(|&g| f64::from(g)).collect();
            for (got, want) in [(layer.gradient, length(&gradient)), (layer.weight, length(&before[place]))] {
                assert!((f64::from(got) - want).abs() <= 1e-5 * want, "{name}: {layer:?}, {want}");
            }
        }
        let health: Vec<LayerHealth> = norms.iter().map(retrograd::train::LayerNorms::health).collect();
        assert_eq!(
            health,
            [LayerHealth::Fine, LayerHealth::Vanishing, LayerHealth::Exploding, LayerHealth::Fine],
            "{name}"
        );
        fed[0][1] = f32::NAN;
        run(&mut step, &inputs, &fed).unwrap();
        assert_eq!(step.read_layer_norms().unwrap()[0].health(), LayerHealth::NotFinite, "{name}");
    }
}

#[test]
fn norms_by_layer_of_frozen_parameters_are_left_out() {
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let all: Vec<Param> = (0..5).map(|n| params.add(&format!("p{n}"), [70], Init::Constant(2.0))).collect();
        let g = Graph::new();
        let loss = all.iter().fold(g.full([1], 0.0), |sum, p| sum + g.param(p).sum(..));
        let training = g.train(loss, Sgd::new(0.1)).only(&[&all[1], &all[3]]).layer_norms();
        let mut step = training.compile(device, &params).unwrap();
        step.run([]).unwrap();
        let norms = step.read_layer_norms().unwrap();
        let names: Vec<&str> = norms.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["p1", "p3"]);
        assert!(norms.iter().all(|layer| (layer.weight - 2.0 * 70f32.sqrt()).abs() < 1e-4), "{norms:?}");
    }
}

/// Norms come with the update: before the first there are none, and nothing that looks as if gradients vanished.
#[test]
fn norms_are_read_after_an_update() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) =
            direct.compile(&g, device, Sgd::new(0.1), |training| training.accumulate(3).gradient_norm().layer_norms());
        for _ in 0..2 {
            run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
            for error in [step.read_gradient_norm().unwrap_err(), step.read_layer_norms().unwrap_err()] {
                assert!(
                    error.kind() == ErrorKind::NotKept && error.to_string().contains("accumulate"),
                    "{name}: {error}"
                );
            }
        }
        run(&mut step, &inputs, &gradients(1, 1.0)).unwrap();
        let want = norm(&gradients(1, 1.0));
        assert!((f64::from(step.read_gradient_norm().unwrap()) - want).abs() < 1e-5 * want, "{name}");
        assert_eq!(step.read_layer_norms().unwrap().len(), LENGTHS.len());
        // Those of the last update stay until the next.
        run(&mut step, &inputs, &gradients(2, 9.0)).unwrap();
        assert!((f64::from(step.read_gradient_norm().unwrap()) - want).abs() < 1e-5 * want, "{name}");
    }
}

/// Where everything is frozen there is nothing to measure, which is no mistake.
#[test]
fn nothing_to_train_has_no_norms() {
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let mut params = Params::seeded(1);
        let (w, cell) = (params.add("w", [3], Init::Constant(2.0)), params.add_cell("cell", [1], Init::Zeros));
        params.set_frozen(&w, true).unwrap();
        let g = Graph::new();
        let loss = g.param(&w).sum(..);
        g.assign(&cell, g.param(&cell) + 1.0);
        let training = g.train(loss, Lamb::new(0.1)).clip_norm(1.0).gradient_norm().layer_norms().average(0.9);
        let mut step = training.compile(device, &params).unwrap();
        step.run_many(3, []).unwrap();
        assert_eq!(step.read_gradient_norm().unwrap(), 0.0, "{name}");
        assert_eq!(step.read_layer_norms().unwrap(), [], "{name}");
        assert_eq!(step.read_updates_left_out().unwrap(), 0, "{name}");
        assert_eq!(step.state().parameter("w").unwrap().to_vec(), [2.0; 3], "{name}");
        assert_eq!(step.state().parameter("cell").unwrap().item(), 3.0, "{name}");
    }
}

/// Squares leave the range of single precision long before norms do.
#[test]
fn norms_by_layer_have_the_whole_range() {
    let direct = Direct::new();
    for name in ["cpu", "vulkan", "gl"] {
        let Some(device) = device(name) else { continue };
        let g = Graph::new();
        let (mut step, inputs) = direct.compile(&g, device, Sgd::new(0.0), Training::layer_norms);
        for scale in [1e-30, 1e-22, 1e-18, 1.0, 1e17, 1e22, 1e30] {
            let mut fed = gradients(1, scale);
            // Zeros beside, and values of all sizes in one parameter.
            fed[1][3..20].fill(0.0);
            fed[3][..5000].fill(0.0);
            fed[3][7000..9000].iter_mut().for_each(|g| *g *= 1e-7);
            run(&mut step, &inputs, &fed).unwrap();
            for (layer, fed) in step.read_layer_norms().unwrap().iter().zip(&fed) {
                let want = norm(std::slice::from_ref(fed));
                assert!(
                    (f64::from(layer.gradient) - want).abs() <= 1e-5 * want,
                    "{name}, {scale:e}: {layer:?}, {want:e}"
                );
            }
        }
        for bad in [f32::INFINITY, f32::NAN] {
            let mut fed = gradients(1, 1e25);
            fed[3][12_345] = bad;
            run(&mut step, &inputs, &fed).unwrap();
            let norms = step.read_layer_norms().unwrap();
            assert!(norms[3].gradient.is_nan() == bad.is_nan() && !norms[3].gradient.is_finite(), "{name}: {norms:?}");
            assert!(norms[1].gradient.is_finite(), "{name}");
        }
    }
}
