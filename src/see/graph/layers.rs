//! In which layer of a picture every box stands.

/// The layers of one side of a picture: every box is beyond all that it comes from, and just before the first that it leads to.
/// Edges go from lower numbers to higher ones.
pub fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut sorted = edges.to_vec();
    sorted.sort_unstable();
    let mut layers = vec![0usize; count];
    for &(from, to) in &sorted {
        layers[to] = layers[to].max(layers[from] + 1);
    }
    // As late as may be: what comes from parameters alone stands beside what uses it.
    for node in (0..count).rev() {
        let next =
            sorted[sorted.partition_point(|(from, _)| *from < node)..].iter().take_while(|(from, _)| *from == node);
        if let Some(nearest) = next.map(|(_, to)| layers[*to]).min() {
            layers[node] = nearest - 1;
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::layers;

    #[test]
    fn boxes_stand_beyond_what_they_come_from() {
        // 0 -> 2 -> 3 -> 4, and 1 -> 4 only.
        assert_eq!(layers(6, &[(0, 2), (2, 3), (3, 4), (1, 4)]), [0, 2, 1, 2, 3, 0]);
        assert_eq!(layers(0, &[]), [0usize; 0]);
    }
}
