//! How ops can be computed part by part, as far as it follows from how they are lowered.

use crate::base::{Layout, Shape, TensorType, View, Walk};
use crate::record::{
    Argument, Contraction, Domain, DomainAxis, Factor, Follows, KernelClass, LowerContext, Lowering, Node, Op, Parts,
    Pointwise, Reduce, Reduction,
};

/// An axis, and how it follows one of another tensor.
type Axis = Option<Follows>;

/// What a kernel copies of an input before it begins.
#[derive(Clone, Debug)]
pub(super) struct Copied {
    /// Its size.
    pub elements: usize,
    /// The axes of the domain that it has.
    pub axes: Vec<usize>,
}

/// What is copied of the inputs of a matrix product that sees them through windows, where kernels cannot read them so.
pub(super) fn copies(lowering: &Lowering, inputs: &[TensorType], class: KernelClass) -> Vec<Copied> {
    let Lowering::Contract(Contraction { a, b }) = lowering else { return Vec::new() };
    if matches!(class, KernelClass::Gpu | KernelClass::Host) {
        return Vec::new();
    }
    let results = a.batch + a.first + of_columns(b, inputs);
    let of = |(factor, is_a): (&Factor, bool)| {
        let Some(View::Walk(walks)) = &factor.view else { return None };
        // What the batch repeats is copied once.
        let counts = |place: usize| walks[place].step > 0 || place >= factor.batch;
        let places: Vec<usize> = (0..walks.len()).filter(|&place| counts(place)).collect();
        let elements = places.iter().map(|&place| walks[place].extent).product();
        let axes = places.iter().map(|&place| axis_of(place, (a, b), results, is_a)).collect();
        (elements > inputs[factor.input].shape.elements()).then_some(Copied { elements, axes })
    };
    [(a, true), (b, false)].into_iter().filter_map(of).collect()
}

/// The number of axes of columns.
fn of_columns(b: &Factor, inputs: &[TensorType]) -> usize {
    let rank = match &b.view {
        Some(view) => Layout::dense(&inputs[b.input].shape).view(view).map_or(0, |layout| layout.shape.rank()),
        None => inputs[b.input].shape.rank(),
    };
    rank - (b.batch + b.first).min(rank)
}

/// The axis of the domain of a product that an axis of a factor is: the axes are those of the batch, of rows, of columns, and
/// then the inner ones. `results` is how many there are before these.
fn axis_of(axis: usize, (a, b): (&Factor, &Factor), results: usize, is_a: bool) -> usize {
    let rows = a.batch + a.first;
    match axis {
        axis if axis < a.batch => axis,
        axis if is_a && axis < rows => axis,
        axis if is_a => results + axis - rows,
        axis if axis < b.batch + b.first => results + axis - b.batch,
        axis => rows + axis - b.batch - b.first,
    }
}

/// How an op is lowered, its inputs lying densely.
pub(super) fn lowering(op: &dyn Op, inputs: &[TensorType], outputs: &[TensorType]) -> Lowering {
    let layouts: Vec<Layout> = inputs.iter().map(|input| Layout::dense(&input.shape)).collect();
    op.lower(&LowerContext { inputs, layouts: &layouts, outputs, class: KernelClass::Gpu })
}

/// The domain of an op, if it can be computed part by part.
pub(super) fn domain(op: &dyn Op, lowering: &Lowering, inputs: &[TensorType], node: &Node) -> Option<Domain> {
    if let Some(domain) = op.domain(&inputs.iter().collect::<Vec<_>>()) {
        return is_sound(&domain, inputs, node).then_some(domain);
    }
    let output = &node.outputs[0].shape;
    match lowering {
        Lowering::View(view) => Some(of_view(view, &inputs[0].shape, output)),
        Lowering::Pointwise(pointwise) => {
            let mut domain = of_pointwise(pointwise, inputs, output)?;
            if surrounded(lowering).is_some() {
                // Parts of it are parts with zeros around.
                domain.axes.iter_mut().for_each(|axis| axis.parts = Parts::Join);
            }
            Some(domain)
        }
        Lowering::Reduce(reduce) => Some(of_reduction(reduce, &inputs[0].shape)),
        Lowering::Contract(contraction) => of_contraction(contraction, inputs, output),
        Lowering::Kernel(_) => None,
    }
}

/// Whether a domain that an op gives is one of its tensors.
fn is_sound(domain: &Domain, inputs: &[TensorType], node: &Node) -> bool {
    let tensors = |types: &[TensorType], all: &[Vec<Axis>]| {
        let follows = |(of, follows): (&TensorType, &Vec<Axis>)| {
            let sound = |(axis, follows): (usize, &Axis)| match follows {
                Some(Follows { times: 0, .. } | Follows { per: 0, .. }) => false,
                Some(follows) => domain.axes.get(follows.axis).is_some_and(|whole| {
                    let range = follows.range(&(0..whole.extent));
                    range.is_some_and(|range| range.end <= of.shape[axis])
                }),
                None => true,
            };
            follows.len() == of.shape.rank() && follows.iter().enumerate().all(sound)
        };
        types.len() == all.len() && types.iter().zip(all).all(follows)
    };
    tensors(inputs, &domain.inputs) && tensors(&node.outputs, &domain.outputs)
}

/// The tensors that are laid end to end, if an op does nothing else, and the axis.
pub(super) fn joined(lowering: &Lowering) -> Option<(usize, &[usize])> {
    let Lowering::Pointwise(pointwise) = lowering else { return None };
    match &pointwise.arguments[..] {
        [Argument::Joined { axis, inputs }] if pointwise.expression == "{0}" => Some((*axis, inputs)),
        _ => None,
    }
}

/// The number of zeros before a tensor along every axis, if an op does nothing but surround it with zeros.
pub(super) fn surrounded(lowering: &Lowering) -> Option<&[usize]> {
    let Lowering::Pointwise(pointwise) = lowering else { return None };
    match &pointwise.arguments[..] {
        [Argument::Padded { before, steps, .. }]
            if pointwise.expression == "{0}" && steps.iter().all(|&step| step == 1) =>
        {
            Some(before)
        }
        _ => None,
    }
}

fn same(rank: usize) -> Vec<Axis> {
    (0..rank).map(|axis| Some(Follows::same(axis))).collect()
}

fn of_view(view: &View, input: &Shape, output: &Shape) -> Domain {
    let seen = through(view, input, output);
    let mut axes: Vec<DomainAxis> = output.iter().map(|&extent| DomainAxis { extent, parts: Parts::Join }).collect();
    let mut follows = vec![None; input.rank()];
    for (axis, of) in seen.iter().enumerate() {
        match of {
            Seen::Axis(Follows { axis: of, start, times, per }) => {
                follows[*of] = Some(Follows { axis, start: *start, times: *times, per: *per });
            }
            Seen::Repeated => {}
            Seen::Otherwise => axes[axis].parts = Parts::None,
        }
    }
    Domain { axes, inputs: vec![follows], outputs: vec![same(output.rank())] }
}

/// What an axis of a view looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    /// An axis of the input, which `Follows::axis` names.
    Axis(Follows),
    /// The same elements again and again.
    Repeated,
    /// Something else.
    Otherwise,
}

/// What every axis of a view looks at.
fn through(view: &View, input: &Shape, output: &Shape) -> Vec<Seen> {
    match view {
        View::Reshape(_) => reshaped(input, output),
        View::Permute(order) => order.iter().map(|&axis| Seen::Axis(Follows::same(axis))).collect(),
        View::Broadcast(shape) => {
            let lead = shape.rank() - input.rank();
            let of = |axis: usize| match axis.checked_sub(lead) {
                Some(own) if input[own] == shape[axis] => Seen::Axis(Follows::same(own)),
                _ => Seen::Repeated,
            };
            (0..shape.rank()).map(of).collect()
        }
        View::Slice { starts, steps, .. } => {
            let of = |axis: usize| match steps[axis] {
                1 => Seen::Axis(Follows { start: starts[axis], ..Follows::same(axis) }),
                _ => Seen::Otherwise,
            };
            (0..starts.len()).map(of).collect()
        }
        View::Walk(walks) => {
            let of = |walk: &Walk| {
                let moves = |other: &&Walk| other.axis == walk.axis && other.extent > 1 && other.step > 0;
                let others = walks.iter().filter(moves).count();
                match walk {
                    Walk { step: 0, .. } | Walk { extent: 1, .. } => Seen::Repeated,
                    Walk { step: 1, extent, axis } if others == 1 && *extent == input[*axis] => {
                        Seen::Axis(Follows::same(*axis))
                    }
                    _ => Seen::Otherwise,
                }
            };
            walks.iter().map(of).collect()
        }
    }
}

/// Axes of a reshaped tensor that begin where an axis of the other shape does: a range of one is a range of the other.
fn reshaped(input: &Shape, output: &Shape) -> Vec<Seen> {
    let before = |shape: &Shape, axis: usize| shape[..axis].iter().product::<usize>();
    let after = |shape: &Shape, axis: usize| shape[axis + 1..].iter().product::<usize>();
    let of = |axis: usize| {
        if output[axis] == 1 {
            return Seen::Repeated;
        }
        let own = (0..input.rank()).find(|&own| input[own] > 1 && before(input, own) == before(output, axis));
        let Some(own) = own else { return Seen::Otherwise };
        // An element of either axis is so many of the flat tensor.
        let (units, own_units) = (after(output, axis), after(input, own));
        let (times, per) = if units.is_multiple_of(own_units) {
            (units / own_units, 1)
        } else if own_units.is_multiple_of(units) {
            (1, own_units / units)
        } else {
            return Seen::Otherwise;
        };
        Seen::Axis(Follows { axis: own, start: 0, times, per })
    };
    (0..output.rank()).map(of).collect()
}

fn of_pointwise(pointwise: &Pointwise, inputs: &[TensorType], output: &Shape) -> Option<Domain> {
    let mut parts = vec![Parts::Join; output.rank()];
    let mut follows: Vec<Vec<Axis>> = inputs.iter().map(|input| vec![None; input.shape.rank()]).collect();
    for argument in &pointwise.arguments {
        match argument {
            Argument::Input(number) => follows[*number] = same(output.rank()),
            Argument::Joined { axis, inputs } => {
                parts[*axis] = Parts::None;
                for &number in inputs {
                    follows[number] = same(output.rank());
                    follows[number][*axis] = None;
                }
            }
            Argument::Padded { input, before, steps } => {
                for axis in 0..output.rank() {
                    let plain = before[axis] == 0 && steps[axis] == 1 && inputs[*input].shape[axis] == output[axis];
                    if plain {
                        follows[*input][axis] = Some(Follows::same(axis));
                    } else {
                        parts[axis] = Parts::None;
                    }
                }
            }
            Argument::Coordinate(axis) => parts[*axis] = Parts::None,
            // An op that looks at places says itself what its parts are.
            Argument::Index => return None,
            Argument::Seed => {}
        }
    }
    let axes = output.iter().zip(parts).map(|(&extent, parts)| DomainAxis { extent, parts }).collect();
    Some(Domain { axes, inputs: follows, outputs: vec![same(output.rank())] })
}

fn of_reduction(reduce: &Reduce, input: &Shape) -> Domain {
    let combined = match reduce.kind {
        Reduction::Sum => Parts::Add,
        Reduction::Max => Parts::Max,
        Reduction::Min => Parts::Min,
    };
    let is_reduced = |axis: &usize| reduce.axes.contains(axis);
    let axis =
        |axis: usize| DomainAxis { extent: input[axis], parts: if is_reduced(&axis) { combined } else { Parts::Join } };
    let output = (0..input.rank()).map(|axis| (!is_reduced(&axis)).then(|| Follows::same(axis))).collect();
    Domain { axes: (0..input.rank()).map(axis).collect(), inputs: vec![same(input.rank())], outputs: vec![output] }
}

fn of_contraction(contraction: &Contraction, inputs: &[TensorType], output: &Shape) -> Option<Domain> {
    let seen = |factor: &Factor| {
        let shape = &inputs[factor.input].shape;
        let Some(view) = &factor.view else {
            let axes = (0..shape.rank()).map(|axis| Seen::Axis(Follows::same(axis))).collect();
            return Some((shape.clone(), axes));
        };
        let layout = Layout::dense(shape).view(view)?;
        let axes: Vec<Seen> = through(view, shape, &layout.shape);
        Some((layout.shape, axes))
    };
    let (a, b) = (&contraction.a, &contraction.b);
    let ((a_shape, a_seen), (b_shape, b_seen)) = (seen(a)?, seen(b)?);
    let (batch, rows, inner) = (a.batch, a.first, b.first);
    let columns = of_columns(b, inputs);
    let results = batch + rows + columns;
    let mut axes: Vec<DomainAxis> = a_shape[..batch + rows]
        .iter()
        .chain(&b_shape[batch + inner..])
        .map(|&extent| DomainAxis { extent, parts: Parts::Join })
        .collect();
    axes.extend(a_shape[batch + rows..].iter().map(|&extent| DomainAxis { extent, parts: Parts::Add }));
    let mut follows: Vec<Vec<Axis>> = inputs.iter().map(|input| vec![None; input.shape.rank()]).collect();
    for (factor, seen, is_a) in [(a, a_seen, true), (b, b_seen, false)] {
        let of = |axis: usize| axis_of(axis, (a, b), results, is_a);
        for (axis, seen) in seen.into_iter().enumerate() {
            match seen {
                Seen::Axis(seen) => {
                    let own = Follows { axis: of(axis), ..seen };
                    match follows[factor.input][seen.axis].replace(own) {
                        // Both factors are the same input, which follows one axis at a time.
                        Some(other) if other != own => {
                            axes[other.axis].parts = Parts::None;
                            axes[own.axis].parts = Parts::None;
                        }
                        _ => {}
                    }
                }
                // The op's own view repeats as often as the other input has elements.
                Seen::Repeated => {}
                Seen::Otherwise => axes[of(axis)].parts = Parts::None,
            }
        }
    }
    // The result is dense, under whatever shape.
    let shape: Shape = axes[..results].iter().map(|axis| axis.extent).collect::<Vec<_>>().into();
    let outputs = reshaped(&shape, output).into_iter().map(|seen| match seen {
        // The axis of the domain as one of the output's, turned around.
        Seen::Axis(seen) => Some(Follows { times: seen.per, per: seen.times, ..seen }),
        Seen::Repeated | Seen::Otherwise => None,
    });
    Some(Domain { axes, inputs: follows, outputs: vec![outputs.collect()] })
}
