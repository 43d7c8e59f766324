//! Pictures of graphs and pages of plans: that they are well-formed, say what they should, and let no text become markup.

#[path = "common/networks.rs"]
mod networks;

use retrograd::optim::{Adam, AdamW};
use retrograd::plan::{Phase, Plan, Profile};
use retrograd::see::{GraphPicture, Report};
use retrograd::{Ceilings, Device, ErrorKind, Graph, Init, Params, StepTimes, nn};
use roxmltree::{Document, ParsingOptions};

/// Everything in one name that some language takes for markup.
const HOSTILE: &str = "<script>alert(\"1\")</script>' & \\ \u{0} \n]]> --> \u{1f600}";

/// A document without mistakes, or the mistake.
fn parsed(text: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The page without what is no markup.
fn without_script(page: &str) -> String {
    let (before, rest) = page.split_once("<script>\n").expect("the page has a script");
    let (_, after) = rest.split_once("</script>").expect("the script ends");
    format!("{before}{after}")
}

fn neuron() -> GraphPicture {
    let g = Graph::new();
    let [w, x, b] = ["w", "x", "b"].map(|name| g.input(name, [2]));
    let f = (w * x + b).sigmoid().sum(..);
    g.circuit(f, &Params::seeded(1), [w.feed(&[2.0f32, 0.0]), x.feed(&[-1.0f32, 3.0]), b.feed(&[2.0f32, f32::NAN])])
        .unwrap()
}

#[test]
fn small_pictures_are_what_they_were() {
    let picture = neuron();
    insta::assert_snapshot!("circuit_dot", picture.dot());
    insta::assert_snapshot!("circuit_svg", picture.svg());
    let mut params = Params::seeded(1);
    let (up, down) = (nn::Linear::new(&mut params, "up", 3, 4), nn::Linear::new(&mut params, "down", 4, 2));
    let g = Graph::new();
    let loss = down.forward(up.forward(g.input("x", [5, 3])).relu()).cross_entropy(g.labels("y", [5]));
    let step = g.train(loss, Adam::new(1e-3)).compile(&Device::cpu(), &params).unwrap();
    insta::assert_snapshot!("network_dot", step.picture().dot());
    parsed(&step.picture().svg());
}

#[test]
fn a_circuit_carries_values_and_gradients_on_its_wires() {
    let g = Graph::new();
    let (x, y, z) = (g.input("x", [1]), g.input("y", [1]), g.input("z", [1]));
    let f = (x + y) * z;
    let nodes = g.recording().nodes.len();
    let picture = g.circuit(f, &Params::seeded(1), [x.feed(&[-2f32]), y.feed(&[5f32]), z.feed(&[-4f32])]).unwrap();
    assert_eq!(g.recording().nodes.len(), nodes, "drawing leaves no trace");
    let svg = picture.svg();
    let document = parsed(&svg);
    let texts: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|n| n.text()).collect();
    // x, y, z, q = x + y and f, each with its value and gradient.
    for (value, gradient) in [("-2", "-4"), ("5", "-4"), ("-4", "3"), ("3", "-4"), ("-12", "1")] {
        assert!(texts.windows(2).any(|pair| pair == [value, gradient]), "{value}, {gradient}: {texts:?}");
    }
    // A tensor used twice has the sum of what comes back: 2 x.
    let g = Graph::new();
    let x = g.input("x", [1]);
    let dot = g.circuit(x * x, &Params::seeded(1), [x.feed(&[3f32])]).unwrap().dot();
    assert!(dot.contains("= 3\\ngradient 6"), "{dot}");
}

#[test]
fn circuits_that_cannot_be_drawn_say_why() {
    let g = Graph::new();
    let (x, k) = (g.input("x", [2]), g.labels("k", [2]));
    let params = Params::seeded(1);
    let kind = |result: retrograd::Result<GraphPicture>| {
        let error = result.unwrap_err();
        (error.kind(), error.to_string())
    };
    let (wide, text) = kind(g.circuit(x, &params, [x.feed(&[1f32, 2.0])]));
    assert!(wide == ErrorKind::Argument && text.contains("f32[2]") && text.contains("sum(..)"), "{text}");
    let loss = x.sum(..);
    let (missing, text) = kind(g.circuit(loss, &params, []));
    assert!(missing == ErrorKind::Feed && text.contains("input `x`"), "{text}");
    let (wrong, text) = kind(g.circuit(loss, &params, [x.feed(&[1i32, 2])]));
    assert!(wrong == ErrorKind::Feed && text.contains("i32"), "{text}");
    assert!(g.circuit(loss, &params, [x.feed(&[1f32])]).is_err());
    assert!(
        g.circuit(loss, &params, [x.feed(&[1f32, 2.0]), k.feed(&[0, 1])]).is_ok(),
        "what is fed besides is no harm"
    );
    let mut long = x;
    for _ in 0..70 {
        long = long.tanh();
    }
    let (large, text) = kind(g.circuit(long.sum(..), &params, [x.feed(&[1f32, 2.0])]));
    assert!(large == ErrorKind::Limit && text.contains("73 nodes"), "{text}");
    let other = Graph::new();
    assert_eq!(kind(other.circuit(loss, &params, [])).0, ErrorKind::Argument);
    let _mistake = g.input("a", [2]) + g.input("b", [3]);
    assert_eq!(kind(g.circuit(loss, &params, [x.feed(&[1f32, 2.0])])).0, ErrorKind::Recording);
}

#[test]
fn every_network_is_drawn_and_reported() {
    for (name, record) in networks::NETWORKS {
        let (g, mut params) = (Graph::new(), Params::seeded(1));
        let loss = record(&g, &mut params);
        let recording = g.recording();
        for picture in [GraphPicture::new(&recording), GraphPicture::expanded(&recording)] {
            let svg = picture.svg();
            let document = parsed(&svg);
            assert!(document.descendants().filter(|node| node.has_tag_name("rect")).count() > 3, "{name}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}: {svg}");
        }
        let training = g.train(loss, AdamW::new(1e-3));
        for profile in [Profile::webgpu_default(), Profile::host()] {
            let plan = training.plan(&params, &profile).unwrap();
            let page = Report::new(&plan).title(name).html().unwrap();
            check_page(&page, &plan);
            assert!(page.len() < 2 << 20, "{name} for {}: {} bytes", profile.name, page.len());
            check_memory(&plan);
        }
    }
}

/// Every dispatch, kernel and list is there, and every link leads somewhere.
fn check_page(page: &str, plan: &Plan) {
    let page = without_script(page);
    let document = parsed(&page);
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    for number in 0..plan.dispatches.len() {
        assert!(ids.contains(&format!("dispatch-{number}").as_str()));
    }
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an id stands twice");
    for link in document.descendants().filter_map(|node| node.attribute("href")).filter(|link| link.starts_with('#')) {
        assert!(ids.contains(&&link[1..]), "{link} leads nowhere");
    }
    for node in document.descendants() {
        let foreign =
            node.attribute("src").or(node.attribute("href")).filter(|to| !to.starts_with('#') && *to != "data:,");
        assert!(foreign.is_none(), "the page loads {foreign:?}");
    }
    for table in document.descendants().filter(|node| node.has_tag_name("table")) {
        let cells = |row: roxmltree::Node<'_, '_>| row.children().filter(roxmltree::Node::is_element).count();
        let rows: Vec<usize> = table.descendants().filter(|node| node.has_tag_name("tr")).map(cells).collect();
        assert!(rows.windows(2).all(|pair| pair[0] == pair[1]), "{rows:?}");
    }
}

/// What the slots hold never overlaps, and the most of it is what the plan says.
fn check_memory(plan: &Plan) {
    let occupants = plan.occupants();
    for (place, a) in occupants.iter().enumerate() {
        assert!(a.first <= a.last && a.offset + a.bytes <= plan.buffers[a.buffer].bytes, "{a:?}");
        for b in &occupants[..place] {
            let together = a.first <= b.last && b.first <= a.last;
            let meet = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            assert!(a.buffer != b.buffer || !together || !meet, "{a:?} and {b:?} overlap");
        }
    }
    let most = plan.live_bytes_of_dispatches().into_iter().max().unwrap_or(0);
    assert_eq!(most, plan.live_bytes, "for {}", plan.profile.name);
}

#[test]
fn no_name_becomes_markup() {
    let mut params = Params::seeded(1);
    let weight = params.add(HOSTILE, [3], Init::Constant(0.5));
    let g = Graph::new();
    let x = g.input(HOSTILE, [3]);
    let scope = g.scope(HOSTILE);
    let loss = (g.param(&weight) * x).tanh().sum(..);
    drop(scope);
    let mut step = g.train(loss, Adam::new(1e-3)).compile(&Device::cpu(), &params).unwrap();
    let mut times = step.profile([x.feed(&[1f32, 2.0, 3.0])]).unwrap();
    times.device = HOSTILE.into();
    let page = step.report().title(HOSTILE).times(&times).html().unwrap();
    check_page(&page, step.plan());
    assert_eq!(page.matches("<script>").count(), 1, "only that of the page itself");
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)"), "{page}");
    let circuit = g.circuit(loss, &params, [x.feed(&[1f32, 2.0, 3.0])]).unwrap();
    for picture in [step.picture(), circuit] {
        let svg = picture.svg();
        assert!(!parsed(&svg).descendants().any(|node| node.has_tag_name("script")));
        let dot = picture.dot();
        assert!(dot.contains("<script>alert(\\\"1\\\")</script>' & \\\\ \u{fffd} "), "{dot}");
        // A quote ends where it should: an even number of those that are not escaped, on every line.
        for line in dot.lines() {
            let bare = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(bare.matches('"').count() % 2, 0, "{line}");
        }
    }
}

#[test]
fn times_belong_to_their_plan() {
    let layers = |sizes: &[usize]| {
        let (g, mut params) = (Graph::new(), Params::seeded(1));
        let mut x = g.input("x", [2, sizes[0]]);
        for (number, pair) in sizes.windows(2).enumerate() {
            x = nn::Linear::new(&mut params, &format!("l{number}"), pair[0], pair[1]).forward(x).tanh();
        }
        g.train(x.square().mean(..), Adam::new(1e-3)).plan(&params, &Profile::webgpu_default()).unwrap()
    };
    let (small, large) = (layers(&[2, 3]), layers(&[2, 3, 4, 5]));
    let times = StepTimes { device: "a device".into(), ceilings: None, dispatches: Vec::new() };
    for plan in [&small, &large] {
        let error = Report::new(plan).times(&times).html().unwrap_err();
        assert!(error.kind() == ErrorKind::Argument && error.to_string().contains("0 dispatches"), "{error}");
    }
}

#[test]
fn a_page_shows_times_and_what_was_reached() {
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 64, 32);
    let g = Graph::new();
    let (x, y) = (g.input("x", [50, 64]), g.labels("y", [50]));
    let mut step =
        g.train(layer.forward(x).cross_entropy(y), Adam::new(0.01)).compile(&Device::cpu(), &params).unwrap();
    let times = step.profile([x.feed(&[0.5f32; 50 * 64]), y.feed(&[3; 50])]).unwrap();
    let mut times = times.against(Ceilings { bytes_per_second: 1e10, operations_per_second: 1e11 });
    let page = step.report().times(&times).html().unwrap();
    check_page(&page, step.plan());
    for text in ["of roofline", "10 GB/s", "100 GFLOP/s", "of memory", "\u{b5}s", "matmul"] {
        assert!(page.contains(text), "{text}");
    }
    // Times that no clock could give.
    for (place, strange) in [f64::NAN, f64::INFINITY, 0.0, 1e300, -1.0].into_iter().enumerate() {
        let own = place % times.dispatches.len();
        times.dispatches[own].seconds = strange;
        times.dispatches[own].share_of_ceiling = Some(strange);
        check_page(&step.report().times(&times).html().unwrap(), step.plan());
    }
}

#[test]
fn an_empty_plan_is_a_page_as_well() {
    let (g, params) = (Graph::new(), Params::seeded(1));
    let x = g.input("x", [3]);
    let mut plan = g.infer(&[x.tanh()]).plan(&params, &Profile::webgpu_default()).unwrap();
    check_page(&Report::new(&plan).html().unwrap(), &plan);
    // What a file may hold: names of buffers, kernels and dispatches that are not there.
    plan.dispatches[0].kernel = 99;
    plan.dispatches[0].bindings[0].buffer = 99;
    let page = without_script(&Report::new(&plan).html().unwrap());
    assert!(page.contains("a kernel that it lacks"));
    parsed(&page);
    plan.dispatches.clear();
    plan.kernels.clear();
    plan.buffers.clear();
    check_page(&Report::new(&plan).html().unwrap(), &plan);
    let nothing = GraphPicture::new(&Graph::new().recording());
    parsed(&nothing.svg());
    assert!(nothing.dot().ends_with("}\n"));
}

#[test]
fn a_trace_follows_its_format() {
    let mut params = Params::seeded(1);
    let layer = nn::Linear::new(&mut params, "layer", 8, 4);
    let g = Graph::new();
    let (x, y) = (g.input("x", [5, 8]), g.labels("y", [5]));
    let mut step =
        g.train(layer.forward(x).tanh().cross_entropy(y), Adam::new(0.01)).compile(&Device::cpu(), &params).unwrap();
    let times = step.profile([x.feed(&[0.5f32; 40]), y.feed(&[3; 5])]).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&times.trace()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |kind: &str| events.iter().filter(|event| event["ph"] == kind).collect::<Vec<_>>();
    assert_eq!(of("X").len() + of("C").len() + of("M").len(), events.len());
    for event in events {
        assert!(event["name"].is_string() && event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
    }
    let names: Vec<&str> = of("M")
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .filter_map(|event| event["args"]["name"].as_str())
        .collect();
    assert_eq!(names, ["forward", "backward", "update"]);
    let rows: Vec<_> =
        of("M").iter().filter(|event| event["name"] == "thread_name").map(|event| &event["tid"]).collect();
    let mut before = 0.0;
    for (event, own) in of("X").iter().zip(&times.dispatches) {
        let (start, length) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        assert!((start - own.start * 1e6).abs() < 1e-6 && (length - own.seconds * 1e6).abs() < 1e-6);
        assert!(start >= before && length >= 0.0);
        assert!(rows.contains(&&event["tid"]), "{event}");
        before = start;
    }
    assert_eq!(of("X").len(), times.dispatches.len());
    let live: Vec<u64> = of("C").iter().map(|event| event["args"]["live"].as_u64().unwrap()).collect();
    assert_eq!(live.iter().max(), Some(&step.plan().live_bytes));
    assert_eq!(live.last(), Some(&0));
    assert_eq!(
        step.plan().list(Phase::Forward).count(),
        of("X").iter().filter(|event| event["cat"] == "forward").count()
    );
}

#[test]
fn pictures_are_written_by_what_their_names_end_with() {
    let folder = tempfile::tempdir().unwrap();
    let picture = neuron();
    for (name, start) in [("a.SVG", "<svg"), ("deep/er/a.dot", "digraph"), ("a.gv", "digraph")] {
        picture.save(folder.path().join(name)).unwrap();
        assert!(std::fs::read_to_string(folder.path().join(name)).unwrap().starts_with(start));
    }
    for name in ["a.jpg", "a", ".svg"] {
        let error = picture.save(folder.path().join(name)).unwrap_err();
        assert!(error.kind() == ErrorKind::Argument && error.to_string().contains("`.svg`"), "{error}");
    }
    let taken = folder.path().join("taken.svg");
    std::fs::create_dir(&taken).unwrap();
    let error = picture.save(&taken).unwrap_err();
    assert!(error.kind() == ErrorKind::File && error.to_string().contains("taken.svg"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "nothing is left behind");
    let pixels = picture.save(folder.path().join("a.png"));
    if cfg!(feature = "plots") {
        pixels.unwrap();
    } else {
        let error = pixels.unwrap_err();
        assert!(error.kind() == ErrorKind::Argument && error.to_string().contains("feature `plots`"), "{error}");
    }
}
