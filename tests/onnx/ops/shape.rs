//! Shapes, tensors made of them, and the same elements under another shape.

use super::Record;
use crate::call::Call;
use crate::data::{Data, Kind, Stop, lacks};
use crate::recorder::{Outcome, Val};
use retrograd::Tensor;

pub const OPS: &[(&str, Record)] = &[
    ("Shape", |cx| {
        let shape: Vec<i64> = cx.value(0)?.shape().iter().map(|&extent| extent as i64).collect();
        let rank = shape.len() as i64;
        let place = |place: i64| (if place < 0 { place + rank } else { place }).clamp(0, rank) as usize;
        let (start, end) = (place(cx.int("start", 0)), place(cx.int("end", rank)));
        Ok(vec![Val::known(Data::ints(shape[start..end.max(start)].iter().copied()))])
    }),
    ("Size", |cx| {
        let size = cx.value(0)?.shape().iter().product::<usize>() as f64;
        Ok(vec![Val::known(Data::new(Kind::Int, Vec::new(), vec![size]))])
    }),
    ("Constant", constant),
    ("ConstantOfShape", |cx| {
        let shape: Vec<usize> = cx.known(0)?.to_ints().iter().map(|&extent| extent as usize).collect();
        let (kind, value) = match cx.attribute("value").and_then(|value| value.tensor.as_ref()) {
            Some(tensor) => {
                let data = Data::from_proto(tensor)?;
                (data.kind, data.values[0])
            }
            None => (Kind::Float, 0.0),
        };
        let count = shape.iter().product();
        Ok(vec![Val::known(Data::new(kind, shape, vec![value; count]))])
    }),
    ("Range", range),
    ("EyeLike", |cx| {
        let shape = cx.value(0)?.shape();
        let kind = cx.attribute("dtype").map_or(Ok(cx.kind()), |kind| crate::data::kind(kind.int as i32))?;
        let (ones, k) = (cx.g.full(shape, 1.0), cx.int("k", 0) as i32);
        Ok(vec![Val::of(kind, ones.tril(k) - ones.tril(k - 1))])
    }),
    ("Identity", |cx| Ok(vec![cx.value(0)?.clone()])),
    ("Reshape", reshape),
    ("Flatten", |cx| {
        let (shape, axis) = (cx.value(0)?.shape(), cx.axis("axis", 1)? as usize);
        reshaped(cx, vec![shape[..axis].iter().product(), shape[axis..].iter().product()])
    }),
    ("Squeeze", |cx| {
        let shape = cx.value(0)?.shape();
        let rank = shape.len() as i64;
        let axes = cx.attribute_or_input("axes", 1)?;
        let goes = |axis: usize| match &axes {
            Some(axes) => axes.iter().any(|&named| (named + rank) % rank == axis as i64),
            None => shape[axis] == 1,
        };
        reshaped(cx, (0..shape.len()).filter(|&axis| !goes(axis)).map(|axis| shape[axis]).collect())
    }),
    ("Unsqueeze", |cx| {
        let mut shape = cx.value(0)?.shape();
        let axes = cx.attribute_or_input("axes", 1)?.unwrap_or_default();
        let rank = (shape.len() + axes.len()) as i64;
        let mut axes: Vec<usize> = axes.iter().map(|&axis| ((axis + rank) % rank) as usize).collect();
        axes.sort_unstable();
        for axis in axes {
            shape.insert(axis, 1);
        }
        reshaped(cx, shape)
    }),
    ("Expand", |cx| {
        let (x, target) = (cx.float(0)?, extents(cx, 1)?);
        match x.shape().broadcast(&target.clone().into()) {
            Some(shape) => cx.same(x.broadcast_to(shape)),
            None => Err(Stop::Fails(format!("{} does not stretch to {target:?}", x.shape()))),
        }
    }),
];

/// Extents that an input gives; the crate has no tensors without elements.
pub fn extents(cx: &Call<'_, '_>, number: usize) -> Result<Vec<usize>, Stop> {
    let extents = cx.known(number)?.to_ints();
    if extents.contains(&0) {
        return lacks("tensors without elements");
    }
    Ok(extents.iter().map(|&extent| extent as usize).collect())
}

/// The same elements under another shape; what is known stays known.
fn reshaped<'g>(cx: &Call<'_, 'g>, shape: Vec<usize>) -> Outcome<'g> {
    let value = cx.value(0)?;
    match value.tensor() {
        Some(tensor) => Ok(vec![Val::of(value.kind, tensor.reshape(shape))]),
        None => Ok(vec![Val::known(Data::new(value.kind, shape, cx.known(0)?.values.clone()))]),
    }
}

fn constant<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let Some(attribute) = cx.node.attributes.first() else {
        return Err(Stop::Fails("a constant without a value".into()));
    };
    let data = match attribute.name.as_str() {
        "value" => match &attribute.tensor {
            Some(tensor) => Data::from_proto(tensor)?,
            None => return Err(Stop::Fails("a constant without a tensor".into())),
        },
        "value_float" => Data::new(Kind::Float, Vec::new(), vec![attribute.float.into()]),
        "value_int" => Data::new(Kind::Int, Vec::new(), vec![attribute.int as f64]),
        "value_ints" => Data::ints(attribute.ints.iter().copied()),
        "value_floats" => {
            let values: Vec<f64> = attribute.floats.iter().map(|&value| value.into()).collect();
            Data::new(Kind::Float, vec![values.len()], values)
        }
        name => return lacks(format!("constants by {name}")),
    };
    Ok(vec![Val::known(data)])
}

/// start, start + delta, .. before limit: a running sum, since its length is known.
fn range<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (start, limit, delta) = (cx.scalar(0)?, cx.scalar(1)?, cx.scalar(2)?);
    let count = ((limit - start) / delta).ceil().max(0.0) as usize;
    if count == 0 {
        return Ok(vec![Val::known(Data::new(cx.kind(), vec![0], Vec::new()))]);
    }
    let place = cx.g.full([count], 1.0).cumsum(0) - 1.0;
    cx.same(cx.float(0)?.reshape([1]) + place * cx.float(2)?.reshape([1]))
}

/// A zero keeps an extent, and -1 takes what is left.
fn reshape<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let shape = cx.value(0)?.shape();
    let target = cx.attribute_or_input("shape", 1)?.unwrap_or_default();
    let keeps = cx.int("allowzero", 0) == 0;
    let mut extents: Vec<i64> = target.clone();
    for (place, extent) in extents.iter_mut().enumerate() {
        if *extent == 0 && keeps {
            *extent = shape[place] as i64;
        }
    }
    if extents.contains(&0) {
        return lacks("tensors without elements");
    }
    let others: i64 = extents.iter().filter(|&&extent| extent != -1).product();
    let all: usize = shape.iter().product();
    let extents = extents.iter().map(|&extent| if extent == -1 { all / others as usize } else { extent as usize });
    reshaped(cx, extents.collect())
}

/// A tensor whose axes are named by place, in another order.
pub fn permuted<'g>(x: Tensor<'g>, order: &[usize]) -> Tensor<'g> {
    x.permute(order.iter().map(|&axis| axis as isize).collect::<Vec<_>>())
}
