//! Attention, and the rotation of what it compares.

use super::Record;
use super::shape::permuted;
use crate::call::{Call, one};
use crate::data::{Kind, Stop};
use crate::recorder::{Outcome, Recorder, Val};
use retrograd::ops::AttentionSettings;
use retrograd::{HostData, HostTensor, Tensor};

pub const OPS: &[(&str, Record)] = &[
    ("Attention", attention),
    ("FlexAttention", flex_attention),
    ("LinearAttention", linear_attention),
    ("RotaryEmbedding", rotary_embedding),
];

/// `[batch, length, heads size]` as `[batch, heads, length, size]`.
fn split_heads(x: Tensor<'_>, heads: usize) -> Tensor<'_> {
    let shape = x.shape();
    permuted(x.reshape([shape[0], shape[1], heads, shape[2] / heads]), &[0, 2, 1, 3])
}

/// The reverse.
fn join_heads(x: Tensor<'_>) -> Tensor<'_> {
    let shape = x.shape();
    permuted(x, &[0, 2, 1, 3]).reshape([shape[0], shape[2], shape[1] * shape[3]])
}

/// Every head as often as there are heads of queries for it.
fn repeat_heads(x: Tensor<'_>, heads: usize) -> Tensor<'_> {
    let shape = x.shape();
    let (own, times) = (shape[1], heads / shape[1]);
    if times <= 1 {
        return x;
    }
    let stretched = x.unsqueeze(2).broadcast_to([shape[0], own, times, shape[2], shape[3]]);
    stretched.reshape([shape[0], heads, shape[2], shape[3]])
}

/// Minus infinity, as data: shaders have no literal for it.
fn nothing<'g>(cx: &Call<'_, 'g>) -> Tensor<'g> {
    cx.g.constant(vec![f32::NEG_INFINITY])
}

/// A mask of queries times keys: 1 where a query sees a key.
fn seen<'g>(cx: &Call<'_, 'g>, [queries, keys]: [usize; 2], sees: impl Fn(usize, usize) -> bool) -> Tensor<'g> {
    let mask = (0..queries * keys).map(|place| u32::from(sees(place / keys, place % keys))).collect();
    cx.g.constant(HostTensor::new([queries, keys], HostData::U32(mask)).expect("one truth value was made per pair"))
}

fn attention<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let [q, k, v] = [0, 1, 2].map(|number| cx.float(number));
    let (mut q, mut k, mut v) = (q?, k?, v?);
    let flat = q.rank() == 3;
    if flat {
        let (heads, shared) = (cx.int("q_num_heads", 1) as usize, cx.int("kv_num_heads", 1) as usize);
        (q, k, v) = (split_heads(q, heads), split_heads(k, shared), split_heads(v, shared));
    }
    let past = cx.optional(4).map_or(0, |past| past.shape()[2]);
    if let (Some(past_key), Some(past_value)) = (cx.optional_float(4)?, cx.optional_float(5)?) {
        (k, v) = (cx.g.concat(&[past_key, k], 2), cx.g.concat(&[past_value, v], 2));
    }
    let present = [k, v];
    let (k, v) = (repeat_heads(k, q.shape()[1]), repeat_heads(v, q.shape()[1]));
    let (queries, keys) = (q.shape()[2], k.shape()[2]);
    let causal = cx.int("is_causal", 0) != 0;
    let softcap = cx.number("softcap", 0.0);
    let scale = cx.attribute("scale").map(|attribute| f64::from(attribute.float));
    let lengths = cx.optional_float(6)?;
    let is_mask = cx.optional(3).is_none_or(|mask| mask.kind == Kind::Bool);
    let short = cx.optional(3).is_some_and(|mask| mask.shape().last() != Some(&keys));
    let native = softcap == 0.0 && is_mask && !short && lengths.is_none() && !cx.wants(3) && !(causal && past > 0);
    let y;
    let mut compared = None;
    if native {
        let mask = cx.optional(3).map(|mask| cx.masks(mask)).transpose()?;
        y = q.attention(k, v, &AttentionSettings { causal, mask, scale });
    } else {
        let scale = scale.unwrap_or_else(|| (q.shape().last() as f64).sqrt().recip());
        let raw = q.matmul(k.transpose()) * scale;
        let capped = if softcap > 0.0 { (raw / softcap).tanh() * softcap } else { raw };
        let (mut scores, zero) = (capped, cx.g.scalar(0.0));
        if let Some(given) = cx.optional(3) {
            let mut bias = if is_mask { cx.masks(given)?.where_cond(zero, nothing(cx)) } else { cx.floats(given)? };
            let own = bias.shape().last();
            if own < keys {
                let mut widths = vec![(0, 0); bias.rank()];
                widths[bias.rank() - 1] = (0, keys - own);
                bias = super::movement::padded(bias, &widths, nothing(cx));
            }
            scores = scores + bias;
        }
        if causal {
            let sees = seen(cx, [queries, keys], |query, key| key <= past + query);
            scores = sees.where_cond(scores, nothing(cx));
        }
        if let Some(lengths) = lengths {
            let place: Vec<f32> = (0..keys).map(|key| key as f32).collect();
            let place = cx.g.constant(place).reshape([1, 1, 1, keys]);
            let lengths = lengths.reshape([lengths.shape().elements(), 1, 1, 1]);
            scores = place.lt(lengths).where_cond(scores, nothing(cx));
        }
        let shares = scores.softmax(-1);
        compared = Some([raw, capped, scores, shares]);
        y = shares.matmul(v);
    }
    let mut outputs = one(if flat { join_heads(y) } else { y })?;
    for (number, present) in present.into_iter().enumerate() {
        if cx.wants(3) || cx.wants(1 + number) {
            outputs.push(Val::float(present));
        }
    }
    if let (Some(compared), true) = (compared, cx.wants(3)) {
        outputs.push(Val::float(compared[cx.int("qk_matmul_output_mode", 0) as usize]));
    }
    Ok(outputs)
}

/// With functions, given as graphs, of the scores and of the probabilities.
fn flex_attention<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (q, k, v) = (cx.float(0)?, cx.float(1)?, cx.float(2)?);
    let (k, v) = (repeat_heads(k, q.shape()[1]), repeat_heads(v, q.shape()[1]));
    let scale = cx.number("scale", (q.shape().last() as f64).sqrt().recip());
    let changed = |name: &str, x: Tensor<'g>| match cx.attribute(name).and_then(|attribute| attribute.graph.as_ref()) {
        Some(graph) => {
            let mut names = cx.names.clone();
            names.insert(graph.inputs[0].name.clone(), Val::float(x));
            cx.recorder.record(graph, &mut names)?;
            cx.floats(&Recorder::outputs(graph, &names)?[0])
        }
        None => Ok(x),
    };
    let scores = changed("score_mod", q.matmul(k.transpose()) * scale)?;
    one(changed("prob_mod", scores.softmax(-1))?.matmul(v))
}

/// A state of keys times values that every position decays, adds to, and reads: attention whose cost is linear in length.
fn linear_attention<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let (heads, shared) = (cx.int("q_num_heads", 1) as usize, cx.int("kv_num_heads", 1) as usize);
    let (q, k, v) =
        (split_heads(cx.float(0)?, heads), split_heads(cx.float(1)?, shared), split_heads(cx.float(2)?, shared));
    let (batch, length) = (q.shape()[0], q.shape()[2]);
    let (key_size, value_size) = (k.shape()[3], v.shape()[3]);
    let rule = cx.text("update_rule", "gated_delta");
    let scale = match cx.number("scale", 0.0) {
        0.0 => (key_size as f64).sqrt().recip(),
        scale => scale,
    };
    let per_head = |number: usize| -> Result<Option<Tensor<'g>>, Stop> {
        Ok(cx.optional_float(number)?.map(|x| split_heads(x, if x.shape()[2] == 1 { 1 } else { shared })))
    };
    let (decay, beta) = (per_head(4)?, per_head(5)?);
    let mut state = match cx.optional_float(3)? {
        Some(state) => state,
        None => cx.g.full([batch, shared, key_size, value_size], 0.0),
    };
    let mut rows = Vec::new();
    for place in 0..length {
        let at = |x: Tensor<'g>| x.slice(2, place..place + 1);
        if let Some(decay) = decay {
            state = state * at(decay).transpose().exp();
        }
        let (key, mut value) = (at(k), at(v));
        if rule.ends_with("delta") {
            value = value - key.matmul(state);
            value = beta.map_or(value, |beta| value * at(beta));
        }
        state = state + key.transpose().matmul(value);
        rows.push(at(q).matmul(repeat_heads(state, heads)) * scale);
    }
    Ok(vec![Val::float(join_heads(cx.g.concat(&rows, 2))), Val::float(state)])
}

/// With tables of cosines and sines, and a part of every head that may stay as it is.
fn rotary_embedding<'g>(cx: &Call<'_, 'g>) -> Outcome<'g> {
    let x = cx.float(0)?;
    let flat = x.rank() == 3;
    let heads = cx.int("num_heads", 0) as usize;
    let x = if flat { split_heads(x, heads) } else { x };
    let size = x.shape()[3];
    let turned = match cx.int("rotary_embedding_dim", 0) as usize {
        0 => size,
        turned => turned,
    };
    let table = |number: usize| -> Result<Tensor<'g>, Stop> {
        let table = cx.float(number)?;
        let rows = match cx.optional(3) {
            Some(_) => table.embedding(cx.index(3, table.shape()[0])?),
            None => table,
        };
        Ok(rows.unsqueeze(1))
    };
    let (cosines, sines) = (table(1)?, table(2)?);
    let neighbours = cx.int("interleaved", 0) != 0;
    let (a, b) = if neighbours {
        (x.slice_step(3, 0..turned, 2), x.slice_step(3, 1..turned, 2))
    } else {
        (x.slice(3, 0..turned / 2), x.slice(3, turned / 2..turned))
    };
    let (real, imaginary) = (a * cosines - b * sines, a * sines + b * cosines);
    let mut extents = x.shape().to_vec();
    extents[3] = turned;
    let y = if neighbours {
        cx.g.stack(&[real, imaginary], -1).reshape(extents)
    } else {
        cx.g.concat(&[real, imaginary], 3)
    };
    let y = if turned < size { cx.g.concat(&[y, x.slice(3, turned..size)], 3) } else { y };
    one(if flat { join_heads(y) } else { y })
}
