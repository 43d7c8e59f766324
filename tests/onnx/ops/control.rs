//! Control flow whose course is known while recording: bodies are recorded once per turn.

use super::Record;
use crate::call::Call;
use crate::data::{Stop, lacks};
use crate::proto;
use crate::recorder::{Outcome, Recorder, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("If", |cx| {
        if cx.is_single() {
            return lacks("control flow that depends on what is fed");
        }
        let graph = body(cx, if cx.scalar(0)? == 0.0 { "else_branch" } else { "then_branch" })?;
        turn(cx, graph, Vec::new())
    }),
    ("Loop", repeat),
    ("Scan", scan),
];

fn body<'a>(cx: &Call<'a, '_>, name: &str) -> Result<&'a proto::Graph, Stop> {
    let attribute = cx.node.attributes.iter().find(|attribute| attribute.name == name);
    attribute.and_then(|attribute| attribute.graph.as_ref()).ok_or_else(|| Stop::Fails(format!("{name} is no graph")))
}

/// Records a body with these inputs, which sees all names around it.
fn turn<'g>(cx: &Call<'_, 'g>, graph: &proto::Graph, inputs: Vec<Val<'g>>) -> Outcome<'g> {
    let mut names = cx.names.clone();
    names.extend(graph.inputs.iter().map(|input| input.name.clone()).zip(inputs));
    cx.recorder.record(graph, &mut names)?;
    Recorder::outputs(graph, &names)
}

/// The outputs of all turns, one after the other.
fn stacked<'g>(cx: &Call<'_, 'g>, turns: &[Vec<Val<'g>>], number: usize) -> Result<Val<'g>, Stop> {
    let kind = turns[0][number].kind;
    let all: Vec<Tensor<'g>> = turns.iter().map(|turn| cx.floats(&turn[number])).collect::<Result<_, _>>()?;
    Ok(Val::of(kind, cx.g.stack(&all, 0)))
}

/// As often as a count and a condition say.
fn repeat<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    if cx.is_single() {
        return lacks("control flow that depends on what is fed");
    }
    let graph = body(cx, "body")?;
    let limit = if cx.optional(0).is_some() { cx.scalar(0)? as i64 } else { i64::MAX };
    let mut goes_on = cx.optional(1).is_none() || cx.scalar(1)? != 0.0;
    let mut carried: Vec<Val<'g>> =
        (2..cx.count()).map(|number| cx.value(number).cloned()).collect::<Result<_, _>>()?;
    let mut turns = Vec::new();
    let mut count = 0;
    while count < limit && goes_on {
        let data = |kind, value: f64| Val::known(crate::data::Data::new(kind, Vec::new(), vec![value]));
        let mut inputs = vec![data(crate::data::Kind::Int, count as f64), data(crate::data::Kind::Bool, 1.0)];
        inputs.extend(carried.iter().cloned());
        let mut outputs = turn(cx, graph, inputs)?;
        goes_on = cx.recorder.known(&outputs[0])?.values[0] != 0.0;
        let scanned = outputs.split_off(1 + carried.len());
        carried = outputs.split_off(1);
        turns.push(scanned);
        count += 1;
    }
    let scanned = turns.first().map_or(0, Vec::len);
    for number in 0..scanned {
        carried.push(stacked(cx, &turns, number)?);
    }
    Ok(carried)
}

/// Once for every element along the first axis of what is scanned.
fn scan<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    if cx.version() < 9 {
        return lacks("scans of batches, which version 9 of the operator set gave up");
    }
    if ["scan_input_axes", "scan_input_directions", "scan_output_axes", "scan_output_directions"]
        .iter()
        .any(|name| cx.ints(name).is_some_and(|ints| ints.iter().any(|&int| int != 0)))
    {
        return lacks("scans along other axes or from the end");
    }
    let graph = body(cx, "body")?;
    let states = cx.count() - cx.int("num_scan_inputs", 0) as usize;
    let mut carried: Vec<Val<'g>> = (0..states).map(|number| cx.value(number).cloned()).collect::<Result<_, _>>()?;
    let length = cx.value(states)?.shape()[0];
    let mut turns = Vec::new();
    for place in 0..length {
        let mut inputs = carried.clone();
        for number in states..cx.count() {
            let kind = cx.value(number)?.kind;
            inputs.push(Val::of(kind, cx.float(number)?.slice(0, place..place + 1).squeeze(0)));
        }
        let mut outputs = turn(cx, graph, inputs)?;
        turns.push(outputs.split_off(states));
        carried = outputs;
    }
    for number in 0..turns[0].len() {
        carried.push(stacked(cx, &turns, number)?);
    }
    Ok(carried)
}
