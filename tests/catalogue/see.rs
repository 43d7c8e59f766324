//! Pictures and pages.

use super::Catalogue;
use retrograd::nn::Linear;
use retrograd::optim::Sgd;
use retrograd::see::GraphPicture;
use retrograd::{Device, ErrorKind, Graph, Init, Params};

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "texts of the operating system are those of Linux")]
fn pictures() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    let g = Graph::new();
    let x = g.input("x", [3]);
    let picture = GraphPicture::new(&g.recording());
    texts.fails("a picture of an unknown format", picture.save("graph.bmp"));
    let circuit = |loss| g.circuit(loss, &Params::seeded(1), [x.feed(&[0.5f32; 3])]);
    texts.fails("a circuit of three numbers", circuit(x.exp()));
    let other = Graph::new();
    texts.fails("a circuit of another graph", circuit(other.input("x", [1])));
    let w = Params::seeded(2).add("w", [1], Init::Zeros);
    let alone = Graph::new();
    let of_others = alone.circuit(alone.param(&w), &Params::seeded(1), []);
    texts.fails("a circuit with parameters of others", of_others);
    let mut params = Params::seeded(1);
    let layer = Linear::new(&mut params, "layer", 3, 2);
    let own = Graph::new();
    let rows = own.input("x", [4, 3]);
    let loss = layer.forward(rows).square().mean(..);
    let mut step = own.train(loss, Sgd::new(0.1)).compile(&Device::cpu(), &params).unwrap();
    let mut times = step.profile([rows.feed(&[0.5f32; 12])]).unwrap();
    times.dispatches.pop();
    let told = step.report().times(&times).html().unwrap_err().to_string();
    // How many dispatches there are is the planner's business.
    let count = times.dispatches.len();
    let told = told.replace(&format!("of {count} "), "of M ").replace(&format!("has {}:", count + 1), "has N:");
    texts.text("the times of another plan", &told);
    texts.compare("see_argument");

    let mut texts = Catalogue::new(ErrorKind::Feed);
    let sum = (x * x).sum(..);
    let circuit = |feeds: &[retrograd::Feed<'_>]| g.circuit(sum, &Params::seeded(1), feeds);
    texts.fails("a circuit without its input", circuit(&[]));
    texts.fails("a circuit with too few numbers", circuit(&[x.feed(&[0.5f32; 2])]));
    texts.fails("a circuit with integers", circuit(&[x.feed(&[1; 3])]));
    texts.fails("a circuit with an input of another graph", circuit(&[rows.feed(&[0.5f32; 12])]));
    texts.compare("see_feed");

    let mut texts = Catalogue::new(ErrorKind::Limit);
    let long = (0..70).fold(sum, |sum, _| sum.sin());
    texts.fails("a circuit of a network", g.circuit(long, &Params::seeded(1), [x.feed(&[0.5f32; 3])]));
    texts.compare("see_limit");

    let mut texts = Catalogue::new(ErrorKind::File);
    let flat = texts.file("flat", "");
    texts.fails("a picture in a place that is no folder", picture.save(flat.join("graph.svg")));
    texts.fails("a report in a place that is no folder", step.report().save(flat.join("report.html")));
    texts.compare("see_file");
}

#[cfg(not(feature = "plots"))]
#[test]
fn without_plots() {
    let mut texts = Catalogue::new(ErrorKind::Argument);
    let g = Graph::new();
    let _ = g.input("x", [3]);
    texts.fails("pixels without the feature `plots`", GraphPicture::new(&g.recording()).save("graph.png"));
    texts.compare("see_without_plots");
}

#[cfg(feature = "plots")]
#[test]
fn plots() {
    use retrograd::see::{Confusion, Curves, DecisionBoundary, Histograms};

    let mut texts = Catalogue::new(ErrorKind::Argument);
    texts.fails("a plot of an unknown format", Curves::new("loss").save("loss.pdf"));
    texts.fails("a confusion matrix of nothing", Confusion::new("", &[]).svg());
    texts.fails("a confusion matrix that is not square", Confusion::new("", &[vec![1, 2], vec![3]]).svg());
    let matrix = Confusion::new("", &[vec![1, 0], vec![0, 1]]);
    texts.fails("a confusion matrix with names too many", matrix.names(["a", "b", "c"]).svg());
    texts.fails("a confusion matrix of NaN", Confusion::weighted("", vec![vec![f64::NAN]]).svg());
    let boundary = |x, resolution| DecisionBoundary::new("", x, 0.0..1.0, resolution);
    texts.fails("a region without an extent", boundary(1.0..1.0, 8));
    texts.fails("a region of no cells", boundary(0.0..1.0, 0));
    let region = || boundary(0.0..1.0, 2).unwrap();
    texts.fails("a region without classes", region().svg());
    texts.fails("a region with classes of other cells", region().classes(&[0, 1]));
    texts.fails("a class below 0", region().classes(&[0, 1, -1, 0]));
    texts.fails("points without a class", region().points(&[0.5, 0.5, 0.1], &[1]));
    texts.compare("see_plots");

    let mut texts = Catalogue::new(ErrorKind::Limit);
    let many = (0..120).fold(Histograms::new(""), |many, group| many.group(group.to_string(), &[0.5]));
    texts.fails("a plot of more pixels than there can be", many.save("many.png"));
    texts.compare("see_plots_limit");
}
