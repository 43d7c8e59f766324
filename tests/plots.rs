//! Plots: that they are well-formed pictures of what they were given, and what happens with values that cannot be drawn.

use retrograd::data::{DataLoader, Tensors};
use retrograd::fit::{Epoch, History, Metrics};
use retrograd::see::{Confusion, Curves, DecisionBoundary, Histograms};
use retrograd::{Device, ErrorKind, Graph, Params, State, nn, optim::Sgd};
use roxmltree::Document;

/// The texts of a picture, which must be well-formed, with finite numbers, and have them within it.
fn texts(svg: &str) -> Vec<String> {
    let document = Document::parse(svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let size = |name: &str| document.root_element().attribute(name).unwrap().parse::<f64>().unwrap();
    let (width, height) = (size("width"), size("height"));
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        for attribute in node.attributes().filter(|own| own.name() == "points" || own.name() == "d") {
            assert!(!attribute.value().contains("NaN") && !attribute.value().contains("inf"), "{attribute:?}");
        }
        if node.has_tag_name("text") && !node.attributes().any(|own| own.name() == "transform") {
            let at = |name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
            assert!((0.0..=width).contains(&at("x")) && (0.0..=height).contains(&at("y")), "{node:?}");
        }
    }
    let all = document.descendants().filter(|node| node.has_tag_name("text"));
    all.filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect()
}

fn lines(svg: &str) -> usize {
    svg.matches("<polyline").count()
}

#[test]
fn gaps_are_shown_and_named() {
    let whole = Curves::new("t").series("a", [3.0f32, 2.0, 1.0, 0.5, 0.4]);
    let gap = Curves::new("t").series("a", [3.0f32, 2.0, f32::NAN, 0.5, 0.4]);
    let (whole, gap) = (whole.svg().unwrap(), gap.svg().unwrap());
    // Two runs instead of one, and the two strokes of a mark.
    assert_eq!(lines(&gap), lines(&whole) + 3);
    assert!(texts(&whole).contains(&"a".into()) && texts(&gap).contains(&"a (1 NaN or infinite)".into()));
    let curve = Curves::new("t").series("b", [1.0f32, 0.0, -2.0, f32::INFINITY, 0.1]).logarithmic().svg().unwrap();
    assert!(texts(&curve).contains(&"b (1 NaN or infinite, 2 not above 0)".into()), "{curve}");
    let curve = Curves::new("t").points("c", [(0.0, 1.0), (1.0, 1e200), (2.0, -1e308), (f64::NAN, 1.0)]).svg().unwrap();
    assert!(texts(&curve).contains(&"c (1 NaN or infinite, 2 beyond 1e100)".into()), "{curve}");
}

#[test]
fn hardly_any_values_are_a_plot_too() {
    let none: [f32; 0] = [];
    for (curves, text) in [
        (Curves::new("nothing"), "there are no values yet"),
        (Curves::new("").series("a", none), "there are no values yet"),
        (Curves::new("t").series("a", [f32::NAN]), "no value can be drawn"),
        (Curves::new("t").series("a", [-1.0f32, 0.0]).logarithmic(), "no value can be drawn"),
    ] {
        let svg = curves.svg().unwrap();
        assert!(texts(&svg).contains(&text.into()), "{svg}");
    }
    // One point is a dot.
    let svg = Curves::new("t").series("a", [0.25f32]).svg().unwrap();
    assert!(svg.contains("<circle"), "{svg}");
    for values in [[f32::MAX, f32::MIN], [1e-45, 1e-44], [7.0, 7.0], [16_777_216.0, 16_777_217.0]] {
        for curves in [Curves::new("t").series("a", values), Curves::new("t").series("a", values).logarithmic()] {
            let texts = texts(&curves.size(1, 1).svg().unwrap());
            assert!(texts.len() > 4, "{values:?}: {texts:?}");
        }
    }
}

#[test]
fn axes_of_logarithms_stand_at_powers_of_ten() {
    let svg = Curves::new("t").series("a", [1e-4f32, 1.0, 1e3]).logarithmic().svg().unwrap();
    let texts = texts(&svg);
    for text in ["1e-4", "0.01", "1", "100"] {
        assert!(texts.contains(&text.into()), "{text}: {texts:?}");
    }
}

#[test]
fn a_long_training_makes_no_long_file() {
    let svg = Curves::new("t").series("a", (0..300_000).map(|i| (f64::from(i) * 0.01).sin())).svg().unwrap();
    texts(&svg);
    assert!(svg.len() < 200_000, "{} bytes", svg.len());
}

#[test]
fn names_are_texts_whatever_they_hold() {
    let name = "<b>\"q\" & 'r'\nnew line\u{0}";
    let expected = "<b>\"q\" & 'r' new line ";
    let pictures = [
        Curves::new(name).axes(name, name).series(name, [1.0f32, 2.0]).svg().unwrap(),
        Histograms::new(name).group(name, &[1.0, 2.0]).svg().unwrap(),
        Confusion::new(name, &[vec![1]]).names([name]).svg().unwrap(),
        DecisionBoundary::new(name, 0.0..1.0, 0.0..1.0, 1).unwrap().classes(&[0]).unwrap().names([name]).svg().unwrap(),
    ];
    for svg in pictures {
        let start = &expected[..8];
        assert!(texts(&svg).iter().any(|text| text.starts_with(start)), "{svg}");
    }
}

#[test]
fn histograms_count_every_value_once() {
    let values: Vec<f32> = (0..1000).map(|i| i as f32).chain([f32::NAN, f32::INFINITY]).collect();
    let svg = Histograms::new("t").group("w", &values).bins(10).svg().unwrap();
    assert!(texts(&svg).contains(&"1,002 values, 2 NaN or infinite".into()), "{svg}");
    let bars = |svg: &str| svg.matches("<rect").count() - Histograms::new("t").svg().unwrap().matches("<rect").count();
    assert_eq!(bars(&svg), 10);
    // All the same, one, none, nothing that can be counted.
    for (values, count) in [(&[2.0f32; 50][..], 1), (&[0.0], 1), (&[], 0), (&[f32::NAN], 0)] {
        assert_eq!(bars(&Histograms::new("t").group("w", values).svg().unwrap()), count, "{values:?}");
    }
    texts(&Histograms::new("").svg().unwrap());
    let many = (0..50).fold(Histograms::new("t"), |all, i| all.group(format!("w{i}"), &[f32::MAX, f32::MIN, 1e-40]));
    assert!(texts(&many.svg().unwrap()).contains(&"w49".into()));
}

#[test]
fn parameters_of_a_state_have_a_histogram_each() {
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 8, 4);
    let state = State::new(&Device::cpu(), &params).unwrap();
    let svg = Histograms::of_parameters(&state).unwrap().svg().unwrap();
    let texts = texts(&svg);
    for text in ["layer.weight", "layer.bias"] {
        assert!(texts.contains(&text.into()), "{texts:?}");
    }
    let g = Graph::new();
    let loss = layer.forward(g.input("x", [2, 8])).square().mean(..);
    g.train(loss, Sgd::new(0.1)).compile_on(&state).unwrap();
}

#[test]
fn confusion_is_square_and_has_names() {
    let svg = Confusion::new("t", &[vec![5, 1], vec![0, 1_234_567]]).names(["cat", "dog"]).svg().unwrap();
    let found = texts(&svg);
    for text in ["5", "1", "0", "1,234,567", "cat", "dog", "true class", "predicted class"] {
        assert!(found.contains(&text.into()), "{text}: {found:?}");
    }
    texts(&Confusion::new("one", &[vec![0]]).svg().unwrap());
    texts(&Confusion::new("many", &vec![vec![u64::MAX; 120]; 120]).svg().unwrap());
    for (counts, names, expected) in [
        (vec![], vec![], "without classes"),
        (vec![vec![1, 2], vec![3]], vec!["a", "b"], "row 1"),
        (vec![vec![1]], vec!["a", "b"], "2 names"),
    ] {
        let error = Confusion::new("t", &counts).names(names).svg().unwrap_err();
        assert!(error.kind() == ErrorKind::Argument && error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn what_cannot_be_counted_is_refused_and_weights_are_shown() {
    let found = texts(&Confusion::weighted("t", vec![vec![1.25, 0.0], vec![2.0, 3000.0]]).svg().unwrap());
    for text in ["1.25", "0", "2", "3,000"] {
        assert!(found.contains(&text.into()), "{text}: {found:?}");
    }
    for count in [-1.0, f64::NAN, f64::INFINITY] {
        let error = Confusion::weighted("t", vec![vec![count]]).svg().unwrap_err();
        assert!(
            error.kind() == ErrorKind::Argument && error.to_string().contains(&format!("counts {count}")),
            "{error}"
        );
    }
}

/// A history of two epochs, whose second was better, with names that are no names of files.
fn history() -> History {
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 2, 2);
    let h = Graph::evaluation();
    let (x, y) = (h.input("x", [4, 2]), h.labels("y", [4]));
    let scores = layer.forward(x);
    let metrics = Metrics::new(&h).loss(scores.cross_entropy(y)).confusion_matrix(scores, y);
    let data = Tensors::new().column("x", [4, 2], vec![1.0f32; 8]).unwrap().column("y", [4], vec![0, 1, 1, 0]).unwrap();
    let mut evaluation = metrics.compile_on(&State::new(&Device::cpu(), &params).unwrap()).unwrap();
    let measured = evaluation.run(&DataLoader::new(data, 4)).unwrap();
    let epoch = |epoch: u32, loss: f64| Epoch {
        epoch,
        values: [
            ("train/loss", loss),
            ("validation/loss", 2.0 * loss),
            ("validation/f1: a/b", 0.5),
            ("validation/F1_ a/b", 0.5),
        ]
        .into_iter()
        .collect(),
        confusion: measured.confusion.clone(),
        ..Epoch::default()
    };
    let losses = vec![(1, 1.5), (2, f32::NAN), (3, 0.5)];
    History { epochs: vec![epoch(1, 1.0), epoch(2, 0.5)], losses, best_epoch: Some(2), stopped: None }
}

#[test]
fn a_history_has_a_curve_of_every_part_and_a_file_for_every_metric() {
    let history = history();
    let svg = history.plot("loss").svg().unwrap();
    let found = texts(&svg);
    assert!(["train", "validation", "epoch", "loss"].iter().all(|text| found.contains(&(*text).into())), "{found:?}");
    let found = texts(&history.plot("f1: a/b").svg().unwrap());
    assert!(found.contains(&"validation".into()) && !found.contains(&"train".into()), "{found:?}");

    let folder = tempfile::tempdir().unwrap();
    let written = history.save_plots(folder.path().join("new")).unwrap();
    let names: Vec<_> = written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["loss.png", "f1_ a_b.png", "F1_ a_b (2).png", "loss by step.png", "confusion.png"]);
    for path in &written {
        assert!(std::fs::read(path).unwrap().starts_with(b"\x89PNG"), "{}", path.display());
    }
    // An empty history has nothing to draw, and a file where the folder should be is told.
    assert!(History::default().save_plots(folder.path()).unwrap().is_empty());
    let error = history.save_plots(&written[0]).unwrap_err();
    assert!(error.kind() == ErrorKind::File && error.to_string().contains("loss.png"), "{error}");
}

#[test]
fn a_confusion_matrix_that_is_none_is_not_read() {
    for counts in ["[]", "[1, 2, 3]"] {
        for classes in [0, 3] {
            let text = format!("{{\"classes\": {classes}, \"counts\": {counts}}}");
            assert!(serde_json::from_str::<retrograd::fit::ConfusionMatrix>(&text).is_err(), "{text}");
        }
    }
}

#[test]
fn a_history_reads_as_text() {
    let text = history().to_string();
    assert!(text.starts_with("2 epochs in 0.00 s\nbest: epoch 2: train/loss 0.5000, validation/loss 1.000"), "{text}");
    assert!(text.contains("predictions across:\n   0  1\n0  "), "{text}");
    assert_eq!(History::default().to_string(), "0 epochs in 0.00 s");
}

#[test]
fn boundaries_ask_for_what_fits_their_grid() {
    let plot = DecisionBoundary::new("t", -1.0..1.0, 0.0..4.0, 4).unwrap();
    let grid = plot.grid();
    assert_eq!((grid.len(), &grid[..4], &grid[30..]), (32, &[-0.75, 0.5, -0.25, 0.5][..], &[0.75, 3.5][..]));
    let refuse = |result: retrograd::Result<DecisionBoundary>, expected: &str| {
        let error = result.unwrap_err();
        assert!(error.kind() == ErrorKind::Argument && error.to_string().contains(expected), "{error}");
    };
    refuse(DecisionBoundary::new("t", 1.0..1.0, 0.0..1.0, 4), "range 1 to 1 of x");
    refuse(DecisionBoundary::new("t", 0.0..1.0, f64::NAN..1.0, 4), "of y");
    refuse(DecisionBoundary::new("t", 0.0..1.0, 0.0..1.0, 0), "1 to 1,000");
    refuse(plot.clone().classes(&[0; 15]), "16 cells");
    refuse(plot.clone().classes(&[-1; 16]), "-1 is no class");
    refuse(plot.clone().points(&[0.0; 3], &[0, 1]), "3 numbers");
    assert_eq!(plot.svg().unwrap_err().kind(), ErrorKind::Argument);
    let classes: Vec<i32> = (0..16).map(|cell| cell / 8).collect();
    let plot = plot.classes(&classes).unwrap().points(&[0.0, 1.0, 9.0, 9.0, f32::NAN, 1.0], &[1, 0, 1]).unwrap();
    let svg = plot.names(["low"]).svg().unwrap();
    let found = texts(&svg);
    assert!(found.contains(&"low".into()) && found.contains(&"class 1".into()), "{found:?}");
}

#[test]
fn pixels_show_what_the_picture_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("curve.png");
    Curves::new("Loss").series("training", [2.0f32, 1.0, 0.5]).save(&path).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1600, 960));
    let dark = |x: usize, y: usize| pixels[(y * 1600 + x) * 4] < 120;
    // The title, in a font that is part of the library; and the curve, in its colour.
    let title = (0..400).flat_map(|x| (0..68).map(move |y| (x, y))).filter(|&(x, y)| dark(x, y)).count();
    assert!(title > 150, "{title} dark pixels");
    let blue = pixels.chunks(4).filter(|pixel| pixel[..3] == [0, 114, 178]).count();
    assert!(blue > 1000, "{blue} blue pixels");
    let large = Histograms::new("t");
    let large = (0..300).fold(large, |all, i| all.group(i.to_string(), &[1.0]));
    let error = large.save(folder.path().join("large.png")).unwrap_err();
    assert!(error.kind() == ErrorKind::Limit && error.to_string().contains("`.svg`"), "{error}");
    assert!(large.save(folder.path().join("large.svg")).is_ok());
}
