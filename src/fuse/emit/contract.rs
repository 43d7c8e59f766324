//! Matrix products: C[batch, row, column] = sum over k of A[batch, row, k] B[batch, k, column].

use super::bindings::Place;
use super::form::{Chosen, Form, Sizes};
use super::operand::{Along, along};
use super::product::Product;
use super::reduce::Source;
use super::{Context, Emitted, Kernels, lanes, reduce, tiles, vector};
use crate::base::{DType, Layout};
use crate::fuse::group::Group;
use crate::fuse::program::{Operand, Program, Store};
use crate::fuse::resolve::Matrix;
use crate::record::{KernelClass, NodeId, Reduction, TensorId};

/// Longer inner axes are summed by a reduction of their own: the loops of one invocation together must stay far
/// below the 65,535 iterations after which software adapters stop.
const LONGEST_SUM: usize = 2048;

/// The form for a product of operands that lie so.
fn choose(context: &Context<'_>, sizes: Sizes, a: &Matrix, b: &Matrix) -> Chosen {
    let lie = |matrix: &Matrix, inner_is_last: bool| match along(context, matrix, inner_is_last, 4) {
        Along::Inner => 'i',
        Along::Outer => 'o',
        Along::Neither => 'n',
    };
    let lie = format!("{}{}", lie(a, true), lie(b, false));
    let class = sizes.class(context.class, &lie);
    let mut form = context.chooser.choose(sizes, &class);
    // Only tiles find elements along several axes.
    if form == Form::Vector && !(a.is_plain() && b.is_plain()) {
        form = Form::Tile32x32;
    }
    Chosen { form, class, lie, sizes }
}

pub fn emit(context: &Context<'_>, group: &Group, root: NodeId) -> Result<Kernels, String> {
    let [a, b] = &context.resolved.matrices[&root];
    let ([batch, rows, inner], [_, _, columns]) = (a.extents(), b.extents());
    let program = context.bodies(group).remove(0);
    let sizes = Sizes { batch, rows, columns, inner };
    let chosen = choose(context, sizes, a, b);
    let form = chosen.form;
    let gpu = context.class == KernelClass::Gpu;
    let run = match (context.class, form.tile()) {
        (KernelClass::Gpu, Some(tile)) => tiles::inner_run(inner, sizes.tiles(tile.rows, tile.columns)),
        (KernelClass::Gpu, None) => vector::inner_run(inner),
        _ => lanes::inner_run(inner),
    };
    let splits = inner.div_ceil(run);
    let mut kernels = Kernels { chosen: Some(chosen), ..Kernels::default() };
    let scratch = TensorId::INVALID;
    // Partial products are stored as they are; what is done with the results is done after they are added up.
    let partial = Program {
        elements: program.elements * splits,
        stores: vec![Store { tensor: scratch, value: Operand::Root, dtype: DType::F32 }],
        ..Program::default()
    };
    let first = program.stores.first().map_or(scratch, |store| store.tensor);
    let mut sums = group.sums.map(|ride| (ride, Place::Tensor(TensorId { node: ride.node, output: 0 })));
    let alone = sums.filter(|_| (gpu && form == Form::Vector) || splits > 1 || inner > LONGEST_SUM);
    if alone.is_some() {
        sums = None;
    }
    let target = if splits == 1 { Place::Tensor(first) } else { Place::Scratch(0) };
    let product = Product {
        batch,
        rows,
        columns,
        inner,
        a,
        b,
        run,
        program: if splits == 1 { &program } else { &partial },
        target,
        sums,
    };
    let name = context.name(group, "matmul");
    let kernel: Emitted = match (context.class, form.tile()) {
        (KernelClass::Gpu, Some(tile)) => tiles::emit(context, &product, tile, name.clone()),
        (KernelClass::Gpu, None) => vector::emit(context, &product, name.clone())?,
        (_, _) => {
            let block = form.block(columns).ok_or_else(|| format!("`{}` is no form of this class", form.name()))?;
            lanes::emit(context, &product, block, name.clone())
        }
    };
    kernels.kernels.push(kernel);
    if splits > 1 {
        kernels.scratch.push(program.elements * splits);
        let layout = Layout::dense(&[splits, program.elements].into());
        let name = format!("{name} (sum of parts)");
        let source = Source { place: Place::Scratch(0), layout, axes: vec![0], prologue: None };
        reduce::combine(context, Reduction::Sum, &name, source, &program, &mut kernels)?;
    }
    if let Some((ride, Place::Tensor(tensor))) = alone {
        let access = if ride.operand == 0 { &a.access } else { &b.access };
        let bare = Program {
            elements: access.layout.shape[ride.operand],
            stores: vec![Store { tensor, value: Operand::Root, dtype: DType::F32 }],
            ..Program::default()
        };
        let place = Place::Tensor(access.tensor);
        let source = Source { place, layout: access.layout.clone(), axes: vec![1 - ride.operand], prologue: None };
        reduce::combine(context, Reduction::Sum, "reduce_sum", source, &bare, &mut kernels)?;
    }
    Ok(kernels)
}
