use super::Profile;
use crate::base::{Error, ErrorKind, Result, Shape};
use crate::record::KernelClass;
use serde::{Deserialize, Serialize};

/// Entries begin at multiples of this many bytes, the coarsest alignment that WebGPU asks of a binding.
const ALIGNMENT: u64 = 256;

/// Where every parameter lies. Gradients and each optimizer state have the same arrangement, so
/// that one dispatch updates a whole segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arena {
    /// Bytes of every segment; a segment is one buffer.
    pub segments: Vec<u64>,
    /// The bytes of what is bound of a segment at a time.
    #[serde(default = "no_limit")]
    pub binding: u64,
    /// One entry per parameter, in the order of the store.
    pub entries: Vec<ArenaEntry>,
}

const fn no_limit() -> u64 {
    u64::MAX
}

impl Default for Arena {
    fn default() -> Self {
        Self { segments: Vec::new(), binding: no_limit(), entries: Vec::new() }
    }
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

/// What lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Matrix,
    Vector,
    Cell,
}

impl Arena {
    /// Lays out parameters, given by name, shape and whether they are cells: first those of two axes and more, then
    /// the others, then cells, each in the order of the store. So the groups that optimizers usually tell apart, weights and vectors, lie
    /// next to one another, and each is one run, as is what one part of a network has of either. A new segment opens where a
    /// binding would grow too long. A parameter that exceeds a binding by itself has one of its own, and is bound in parts.
    ///
    /// # Errors
    /// When one parameter alone exceeds a buffer.
    pub fn new<'a>(params: impl Iterator<Item = (&'a str, &'a Shape, bool)>, profile: &Profile) -> Result<Self> {
        let most = profile.buffer_bytes / ALIGNMENT * ALIGNMENT;
        let limit = profile.binding_bytes.min(profile.buffer_bytes) / ALIGNMENT * ALIGNMENT;
        // The host binds nothing.
        let binding = if profile.class == KernelClass::Host { no_limit() } else { limit };
        let mut arena = Self { binding, ..Self::default() };
        let mut classes: Vec<Class> = Vec::new();
        for (name, shape, cell) in params {
            let bytes = shape.elements() as u64 * 4;
            if bytes.next_multiple_of(ALIGNMENT) > most {
                let message = format!(
                    "parameter `{name}` f32{shape} takes {bytes} bytes and a buffer of {} at most {most}: split it into several parameters",
                    profile.name
                );
                return Err(Error::new(ErrorKind::Limit, message));
            }
            let entry = ArenaEntry { name: name.to_owned(), shape: shape.clone(), segment: 0, offset: 0, bytes };
            arena.entries.push(entry);
            classes.push(match shape.rank() {
                _ if cell => Class::Cell,
                0 | 1 => Class::Vector,
                _ => Class::Matrix,
            });
        }
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.sort_by_key(|&number| classes[number]);
        for number in order {
            let entry = &mut arena.entries[number];
            let padded = entry.bytes.next_multiple_of(ALIGNMENT);
            match arena.segments.last_mut() {
                Some(filled) if *filled + padded <= limit => *filled += padded,
                _ => arena.segments.push(padded),
            }
            entry.segment = arena.segments.len() - 1;
            entry.offset = arena.segments[entry.segment] - padded;
        }
        Ok(arena)
    }

    /// Runs of neighbouring entries for which `wanted` holds, none longer than a binding: segment, first byte, bytes with
    /// padding.
    #[must_use]
    pub fn runs(&self, wanted: &[bool]) -> Vec<(usize, u64, u64)> {
        let mut runs: Vec<(usize, u64, u64)> = Vec::new();
        let mut entries: Vec<&ArenaEntry> =
            self.entries.iter().zip(wanted).filter(|(_, wanted)| **wanted).map(|(entry, _)| entry).collect();
        entries.sort_by_key(|entry| (entry.segment, entry.offset));
        for entry in entries {
            let padded = entry.bytes.next_multiple_of(ALIGNMENT);
            match runs.last_mut() {
                Some((segment, offset, bytes)) if *segment == entry.segment && *offset + *bytes == entry.offset => {
                    *bytes += padded;
                }
                _ => runs.push((entry.segment, entry.offset, padded)),
            }
        }
        runs.into_iter().flat_map(|run| self.bindings(run)).collect()
    }

    /// A range of a segment in parts that can be bound.
    pub(super) fn bindings(&self, (segment, offset, bytes): (usize, u64, u64)) -> Vec<(usize, u64, u64)> {
        let step = self.binding.min(bytes).max(ALIGNMENT);
        let starts = std::iter::successors(Some(0), |start| Some(start + step)).take_while(|&start| start < bytes);
        starts.map(|start| (segment, offset + start, step.min(bytes - start))).collect()
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
        let params = ["a", "b", "c", "d"].into_iter().zip(&shapes).map(|(name, shape)| (name, shape, false));
        let arena = Arena::new(params, &profile).unwrap();
        assert_eq!(arena.segments, [1024, 256]);
        assert_eq!(arena.runs(&[true, true, false, true]), [(0, 0, 768), (1, 0, 256)]);
        let long: Shape = [300].into();
        let arena = Arena::new([("w", &long, false)].into_iter(), &profile).unwrap();
        assert_eq!(arena.segments, [1280]);
        assert_eq!(arena.runs(&[true]), [(0, 0, 1024), (0, 1024, 256)]);
        let profile = Profile { buffer_bytes: 1024, ..profile };
        assert!(Arena::new([("w", &long, false)].into_iter(), &profile).unwrap_err().to_string().contains("`w`"));
    }

    #[test]
    fn weights_lie_before_vectors_and_these_before_cells() {
        let shapes: Vec<Shape> = vec![[3].into(), [8, 8].into(), [2].into(), [4].into(), [2, 2].into()];
        let cells = [false, false, true, false, false];
        let names = ["gain", "up", "mean", "shift", "down"];
        let params = names.into_iter().zip(&shapes).zip(cells).map(|((name, shape), cell)| (name, shape, cell));
        let arena = Arena::new(params, &Profile::webgpu_default()).unwrap();
        let offsets: Vec<u64> = arena.entries.iter().map(|entry| entry.offset).collect();
        assert_eq!(offsets, [512, 0, 1024, 768, 256]);
        assert_eq!(arena.runs(&[false, true, false, false, true]), [(0, 0, 512)]);
        assert_eq!(arena.runs(&[true, false, false, true, false]), [(0, 512, 512)]);
    }
}
