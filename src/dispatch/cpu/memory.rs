//! The buffers of a plan on the host, and those of one dispatch.

use crate::base::DType;
use crate::fuse::{Place, Usage};
use crate::plan::Binding;
use std::ops::Range;

/// A buffer: 32-bit words, whatever the element type.
pub type Words = Vec<u32>;

/// The words of a binding in its buffer.
pub fn range(binding: &Binding) -> Range<usize> {
    let size = DType::BYTES as u64;
    (binding.offset / size) as usize..((binding.offset + binding.bytes) / size) as usize
}

/// The buffers that a dispatch writes, taken out of the others while it runs: no dispatch reads a buffer that it
/// writes, so what is left can be read meanwhile. They go back when this is dropped, also where a user's op panics.
pub struct Operands<'b> {
    buffers: &'b mut [Words],
    taken: Vec<(usize, Words)>,
    reads: Vec<&'b Binding>,
    writes: Vec<&'b Binding>,
}

impl<'b> Operands<'b> {
    /// Takes out the written ones.
    pub fn take(buffers: &'b mut [Words], bindings: &'b [Binding], usages: &[Usage]) -> Self {
        let of = |wanted: bool| {
            let both = bindings.iter().zip(usages);
            both.filter(|(_, usage)| usage.writes() == wanted).map(|(binding, _)| binding).collect::<Vec<_>>()
        };
        let (reads, writes) = (of(false), of(true));
        let mut taken: Vec<(usize, Words)> = Vec::new();
        for binding in &writes {
            if taken.iter().all(|(number, _)| *number != binding.buffer) {
                taken.push((binding.buffer, std::mem::take(&mut buffers[binding.buffer])));
            }
        }
        Self { buffers, taken, reads, writes }
    }

    /// What is read and what is written, each in the order of the bindings.
    pub fn split(&mut self) -> (Vec<&[u32]>, Vec<&mut [u32]>) {
        let reads = self.reads.iter().map(|binding| &self.buffers[binding.buffer][range(binding)]).collect();
        let mut writes: Vec<Option<&mut [u32]>> = self.writes.iter().map(|_| None).collect();
        for (number, words) in &mut self.taken {
            let mut own: Vec<usize> =
                (0..self.writes.len()).filter(|&place| self.writes[place].buffer == *number).collect();
            own.sort_by_key(|&place| self.writes[place].offset);
            let (mut rest, mut start) = (words.as_mut_slice(), 0);
            for place in own {
                let range = range(self.writes[place]);
                let (_, from) = rest.split_at_mut(range.start - start);
                let (part, after) = from.split_at_mut(range.len());
                writes[place] = Some(part);
                (rest, start) = (after, range.end);
            }
        }
        (reads, writes.into_iter().flatten().collect())
    }
}

impl Drop for Operands<'_> {
    fn drop(&mut self) {
        for (number, words) in self.taken.drain(..) {
            self.buffers[number] = words;
        }
    }
}

/// The memory of a dispatch by what it is.
pub struct Places<'a> {
    reads: Vec<(Place, &'a [u32])>,
    writes: Vec<(Place, &'a mut [u32])>,
}

impl<'a> Places<'a> {
    /// Pairs bindings with their memory.
    pub fn new(bindings: &[(Place, bool)], reads: Vec<&'a [u32]>, writes: Vec<&'a mut [u32]>) -> Self {
        let of = |wanted: bool| bindings.iter().filter(move |(_, written)| *written == wanted).map(|(place, _)| *place);
        Self { reads: of(false).zip(reads).collect(), writes: of(true).zip(writes).collect() }
    }

    /// What is read.
    pub fn read(&self, place: Place) -> &'a [u32] {
        self.reads.iter().find(|(known, _)| *known == place).map_or(&[], |(_, words)| words)
    }

    /// What is written, whole, with what is read.
    pub fn write(&mut self, place: Place) -> &mut [u32] {
        self.writes.iter_mut().find(|(known, _)| *known == place).map_or(&mut [], |(_, words)| words)
    }

    /// Several of what is written, in the order asked for.
    pub fn writes(&mut self, places: &[Place]) -> Vec<&mut [u32]> {
        let mut found: Vec<(usize, &mut [u32])> = Vec::new();
        for (known, words) in &mut self.writes {
            if let Some(position) = places.iter().position(|place| place == known) {
                found.push((position, words));
            }
        }
        found.sort_by_key(|(position, _)| *position);
        found.into_iter().map(|(_, words)| words).collect()
    }
}
