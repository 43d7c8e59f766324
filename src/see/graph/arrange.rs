//! Where in its layer every box stands, such that few lines cross and lines are short: layered drawing.
//!
//! Sources: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981 (order by
//! barycentres); de Leeuw, Hornik and Mair, "Isotone optimization", 2009 (places by pooling adjacent violators).

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Rounds of ordering, and of placing.
const ROUNDS: usize = 12;
/// Between boxes of one scope, and of different ones.
const GAPS: (f64, f64) = (18.0, 38.0);
/// What a line takes that passes a layer.
const PASSING: f64 = 8.0;

/// What has to be arranged.
pub struct Request<'a> {
    /// The layer of every box.
    pub layers: &'a [usize],
    /// How far it extends within its layer.
    pub extents: &'a [f64],
    /// The scopes around it, from the outermost.
    pub scopes: &'a [Vec<usize>],
    /// From a lower layer to a higher one.
    pub edges: &'a [(usize, usize)],
}

/// Where everything stands within its layer.
pub struct Arranged {
    /// The centre of every box.
    pub centres: Vec<f64>,
    /// Where every edge passes the layers between its ends.
    pub passes: Vec<Vec<(usize, f64)>>,
    /// The extent of all together, from 0.
    pub extent: f64,
}

/// A box, or where a line passes a layer.
struct Item {
    layer: usize,
    extent: f64,
    scopes: Vec<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
}

pub fn arrange(request: &Request<'_>) -> Arranged {
    let (mut items, passing) = items(request);
    let depth = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (number, item) in items.iter().enumerate() {
        order[item.layer].push(number);
    }
    let order = least_crossings(&items, order);
    let centres = place(&mut items, &order);
    let low = |number: usize| centres[number] - items[number].extent / 2.0;
    let start = (0..items.len()).map(low).fold(f64::INFINITY, f64::min);
    let start = if start.is_finite() { start } else { 0.0 };
    let end = (0..items.len()).map(|number| low(number) + items[number].extent).fold(start, f64::max);
    let passes = passing.iter().map(|own| own.iter().map(|&of| (items[of].layer, centres[of] - start)).collect());
    Arranged {
        passes: passes.collect(),
        centres: centres[..request.layers.len()].iter().map(|centre| centre - start).collect(),
        extent: end - start,
    }
}

/// The boxes, and behind them what lines pass; and for every edge the latter.
fn items(request: &Request<'_>) -> (Vec<Item>, Vec<Vec<usize>>) {
    let item = |layer: usize, extent: f64, scopes: Vec<usize>| Item {
        layer,
        extent,
        scopes,
        before: Vec::new(),
        after: Vec::new(),
    };
    let boxes = request.layers.iter().zip(request.extents).zip(request.scopes);
    let mut items: Vec<Item> = boxes.map(|((&layer, &extent), scopes)| item(layer, extent, scopes.clone())).collect();
    let mut passing = Vec::new();
    for &(from, to) in request.edges {
        let shared = request.scopes[from].iter().zip(&request.scopes[to]).take_while(|(a, b)| a == b);
        let shared: Vec<usize> = shared.map(|(scope, _)| *scope).collect();
        let mut last = from;
        let mut own = Vec::new();
        for layer in request.layers[from] + 1..request.layers[to] {
            items.push(item(layer, PASSING, shared.clone()));
            own.push(items.len() - 1);
        }
        for &next in own.iter().chain([&to]) {
            items[last].after.push(next);
            items[next].before.push(last);
            last = next;
        }
        passing.push(own);
    }
    (items, passing)
}

/// The order within layers with the fewest crossings that was seen, with scopes kept together.
fn least_crossings(items: &[Item], order: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let (mut best, mut least) = (order.clone(), usize::MAX);
    let mut order = order;
    for round in 0..ROUNDS {
        let down = round % 2 == 0;
        let layers: Vec<usize> = if down { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for layer in layers {
            let mut places = vec![0.0; items.len()];
            for list in &order {
                for (place, &number) in list.iter().enumerate() {
                    // In the middle of its layer, as layers have different lengths.
                    places[number] = place as f64 - (list.len() as f64 - 1.0) / 2.0;
                }
            }
            sort(items, &mut order[layer], &places, down);
        }
        let crossings = crossings(items, &order);
        if crossings < least {
            (best, least) = (order.clone(), crossings);
        }
    }
    best
}

/// Sorts a layer by the mean places of neighbours, those of scopes before those of what is in them.
fn sort(items: &[Item], list: &mut [usize], places: &[f64], down: bool) {
    let mean = |number: usize| {
        let item = &items[number];
        let neighbours = if down { &item.before } else { &item.after };
        if neighbours.is_empty() {
            return places[number];
        }
        neighbours.iter().map(|&of| places[of]).sum::<f64>() / neighbours.len() as f64
    };
    let own: BTreeMap<usize, f64> = list.iter().map(|&number| (number, mean(number))).collect();
    let mut of_scopes: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (&number, mean) in &own {
        for &scope in &items[number].scopes {
            let (sum, count) = of_scopes.entry(scope).or_default();
            *sum += mean;
            *count += 1.0;
        }
    }
    let keys = |number: usize| {
        let scopes = items[number].scopes.iter().map(|scope| {
            let (sum, count) = of_scopes[scope];
            (sum / count, 1 + *scope)
        });
        scopes.chain([(own[&number], 0)]).collect::<Vec<_>>()
    };
    let keys: BTreeMap<usize, Vec<(f64, usize)>> = list.iter().map(|&number| (number, keys(number))).collect();
    list.sort_by(|a, b| {
        let pairs = keys[a].iter().zip(&keys[b]);
        let mut differing = pairs.map(|(left, right)| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        differing.find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal).then(a.cmp(b))
    });
}

/// How many pairs of lines between neighbouring layers cross.
fn crossings(items: &[Item], order: &[Vec<usize>]) -> usize {
    let mut places = vec![0; items.len()];
    for list in order {
        for (place, &number) in list.iter().enumerate() {
            places[number] = place;
        }
    }
    let mut count = 0;
    for list in order {
        let ends: Vec<(usize, usize)> = list
            .iter()
            .flat_map(|&number| items[number].after.iter().map(move |&after| (number, after)))
            .map(|(from, to)| (places[from], places[to]))
            .collect();
        for (index, a) in ends.iter().enumerate() {
            count += ends[..index].iter().filter(|b| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1)).count();
        }
    }
    count
}

/// Centres that are as near as may be to those of neighbours, in this order and without overlaps.
fn place(items: &mut [Item], order: &[Vec<usize>]) -> Vec<f64> {
    let mut centres = vec![0.0; items.len()];
    let offsets: Vec<Vec<f64>> = order.iter().map(|list| offsets(items, list)).collect();
    for (list, offsets) in order.iter().zip(&offsets) {
        let middle = offsets.last().copied().unwrap_or(0.0) / 2.0;
        for (&number, offset) in list.iter().zip(offsets) {
            centres[number] = offset - middle;
        }
    }
    for round in 0..ROUNDS {
        let down = round % 2 == 0;
        let layers: Vec<usize> = if down { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for layer in layers {
            let wanted = order[layer].iter().zip(&offsets[layer]).map(|(&number, offset)| {
                let item = &items[number];
                // At last both sides count, so that what is between two boxes stands between them.
                let neighbours: Vec<usize> = match (round + 2 >= ROUNDS, down) {
                    (true, _) => item.before.iter().chain(&item.after).copied().collect(),
                    (false, true) => item.before.clone(),
                    (false, false) => item.after.clone(),
                };
                let mean = neighbours.iter().map(|&of| centres[of]).sum::<f64>() / neighbours.len() as f64;
                if neighbours.is_empty() { centres[number] - offset } else { mean - offset }
            });
            let placed = ascending(&wanted.collect::<Vec<f64>>());
            for ((&number, offset), base) in order[layer].iter().zip(&offsets[layer]).zip(placed) {
                centres[number] = base + offset;
            }
        }
    }
    centres
}

/// How far every item of a layer is at least from the first.
fn offsets(items: &[Item], list: &[usize]) -> Vec<f64> {
    let mut offset = 0.0;
    let mut offsets = Vec::new();
    for (place, &number) in list.iter().enumerate() {
        if let Some(before) = place.checked_sub(1) {
            let before = &items[list[before]];
            let gap = if before.scopes == items[number].scopes { GAPS.0 } else { GAPS.1 };
            offset += before.extent.midpoint(items[number].extent) + gap;
        }
        offsets.push(offset);
    }
    offsets
}

/// The numbers that never fall and are nearest to these, by least squares.
fn ascending(wanted: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &own in wanted {
        let mut pool = (own, 1);
        while let Some(&(sum, count)) = pools.last()
            && sum / count as f64 > pool.0 / pool.1 as f64
        {
            pool = (pool.0 + sum, pool.1 + count);
            pools.pop();
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / count as f64, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Generator;

    #[test]
    fn pools_are_means() {
        assert_eq!(ascending(&[1.0, 3.0, 2.0, 0.0, 5.0]), [1.0, 5.0 / 3.0, 5.0 / 3.0, 5.0 / 3.0, 5.0]);
        assert_eq!(ascending(&[]), [0.0; 0]);
    }

    #[test]
    fn lines_that_can_run_side_by_side_do_not_cross() {
        let scopes = vec![Vec::new(); 4];
        let request = Request { layers: &[0, 0, 1, 1], extents: &[10.0; 4], scopes: &scopes, edges: &[(0, 3), (1, 2)] };
        let arranged = arrange(&request);
        let at = |number: usize| arranged.centres[number];
        assert_eq!(at(0) < at(1), at(3) < at(2), "{:?}", arranged.centres);
    }

    #[test]
    fn boxes_of_random_graphs_never_overlap() {
        let mut generator = Generator::new(3);
        for _ in 0..40 {
            let count = 1 + generator.below(30);
            let edges: Vec<(usize, usize)> =
                (1..count).flat_map(|to| [(generator.below(to), to), (generator.below(to), to)]).collect();
            let layers = super::super::layers::layers(count, &edges);
            let extents: Vec<f64> = (0..count).map(|_| generator.uniform(10.0, 90.0)).collect();
            let scopes: Vec<Vec<usize>> = (0..count).map(|_| vec![generator.below(3)]).collect();
            let arranged = arrange(&Request { layers: &layers, extents: &extents, scopes: &scopes, edges: &edges });
            for a in 0..count {
                let (low, high) = (arranged.centres[a] - extents[a] / 2.0, arranged.centres[a] + extents[a] / 2.0);
                assert!(low >= -1e-6 && high <= arranged.extent + 1e-6);
                for b in (0..a).filter(|&b| layers[a] == layers[b]) {
                    let apart = (arranged.centres[a] - arranged.centres[b]).abs();
                    assert!(apart >= extents[a].midpoint(extents[b]) - 1e-6, "{a} and {b} overlap");
                }
            }
            for (&(from, to), passes) in edges.iter().zip(&arranged.passes) {
                assert!(layers[from] < layers[to] && passes.len() == layers[to] - layers[from] - 1);
            }
        }
    }
}
