use super::Profile;
use crate::base::{Error, ErrorKind, Result, Shape};
use serde::{Deserialize, Serialize};

/// Entries begin at multiples of this many bytes, the coarsest alignment that WebGPU asks of a binding.
const ALIGNMENT: u64 = 256;

/// Where every parameter lies. Gradients and each optimizer state have the same arrangement, so
/// that one dispatch updates a whole segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arena {
    /// Bytes of every segment; a segment is one buffer.
    pub segments: Vec<u64>,
    /// One entry per parameter, in the order of the store.
    pub entries: Vec<ArenaEntry>,
}

/// The place of one parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArenaEntry {
    /// The parameter's name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// The segment it lies in.
    pub segment: usize,
    /// Its first byte there.
    pub offset: u64,
    /// Its bytes, without padding.
    pub bytes: u64,
}

impl Arena {
    /// Lays out parameters one after another, opening a new segment where a binding would grow too long.
    ///
    /// # Errors
    /// When one parameter alone exceeds a binding.
    pub fn new<'a>(params: impl Iterator<Item = (&'a str, &'a Shape)>, profile: &Profile) -> Result<Self> {
        let limit = profile.binding_bytes.min(profile.buffer_bytes) / ALIGNMENT * ALIGNMENT;
        let mut arena = Self::default();
        for (name, shape) in params {
            let bytes = shape.elements() as u64 * 4;
            let padded = bytes.next_multiple_of(ALIGNMENT);
            if padded > limit {
                let message = format!(
                    "parameter `{name}` f32{shape} takes {bytes} bytes and {} binds at most {limit}: split it into several parameters",
                    profile.name
                );
                return Err(Error::new(ErrorKind::Limit, message));
            }
            match arena.segments.last_mut() {
                Some(filled) if *filled + padded <= limit => *filled += padded,
                _ => arena.segments.push(padded),
            }
            let segment = arena.segments.len() - 1;
            let offset = arena.segments[segment] - padded;
            arena.entries.push(ArenaEntry { name: name.to_owned(), shape: shape.clone(), segment, offset, bytes });
        }
        Ok(arena)
    }

    /// Runs of neighbouring entries for which `wanted` holds: segment, first byte, bytes with padding.
    #[must_use]
    pub fn runs(&self, wanted: &[bool]) -> Vec<(usize, u64, u64)> {
        let mut runs: Vec<(usize, u64, u64)> = Vec::new();
        for (entry, _) in self.entries.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            let padded = entry.bytes.next_multiple_of(ALIGNMENT);
            match runs.last_mut() {
                Some((segment, offset, bytes)) if *segment == entry.segment && *offset + *bytes == entry.offset => {
                    *bytes += padded;
                }
                _ => runs.push((entry.segment, entry.offset, padded)),
            }
        }
        runs
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_open_where_a_binding_ends_and_runs_skip_the_unwanted() {
        let profile = Profile { binding_bytes: 1024, ..Profile::webgpu_default() };
        let shapes: Vec<Shape> = vec![[100].into(), [3].into(), [64].into(), [1].into()];
        let arena = Arena::new(["a", "b", "c", "d"].into_iter().zip(&shapes), &profile).unwrap();
        assert_eq!(arena.segments, [1024, 256]);
        assert_eq!(arena.runs(&[true, true, false, true]), [(0, 0, 768), (1, 0, 256)]);
        let long: Shape = [300].into();
        assert!(Arena::new([("w", &long)].into_iter(), &profile).unwrap_err().to_string().contains("`w`"));
    }
}
