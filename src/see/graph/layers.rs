//! In which layer of a picture every box stands.

/// The layers of one side of a picture: every box is beyond all that it comes from, and one that comes from nothing stands just
/// before the first that it leads to. Edges go from lower numbers to higher ones.
pub fn layers(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut sorted = edges.to_vec();
    sorted.sort_unstable();
    let mut layers = vec![0usize; count];
    for &(from, to) in &sorted {
        layers[to] = layers[to].max(layers[from] + 1);
    }
    let mut is_source = vec![true; count];
    for &(_, to) in &sorted {
        is_source[to] = false;
    }
    for source in (0..count).filter(|&own| is_source[own]) {
        let nearest = sorted.iter().filter(|(from, _)| *from == source).map(|(_, to)| layers[*to]).min();
        layers[source] = nearest.map_or(0, |nearest| nearest.saturating_sub(1));
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
