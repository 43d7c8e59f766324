//! One dispatch of a plan by itself, with memory of its own.

use super::{Binding, Buffer, BufferKind, Dispatch, Image, Plan};
use crate::fuse::Usage;

impl Plan {
    /// A plan of one dispatch of this one: buffer i is what binding i is bound to, of the binding's size and `spare` bytes
    /// more, which are bound as well, so that what is written past the end arrives there. Images have no spare bytes, nor have
    /// bindings which with them would exceed the profile's limits.
    ///
    /// # Panics
    /// When there is no dispatch of this number.
    #[must_use]
    pub fn alone(&self, number: usize, spare: u64) -> Self {
        let dispatch = &self.dispatches[number];
        let kernel = &self.kernels[dispatch.kernel];
        let most = self.profile.binding_bytes.min(self.profile.buffer_bytes);
        let mut images = Vec::new();
        let (mut buffers, mut bindings, mut placed) = (Vec::new(), Vec::new(), Vec::new());
        for (place, (binding, usage)) in dispatch.bindings.iter().zip(&kernel.usages).enumerate() {
            let mut bytes = binding.bytes;
            let mut image = None;
            if let Usage::Image(dtype) = *usage {
                image = Some(images.len());
                images.push(Image { dtype, rows: Image::rows_of(bytes) });
            } else if bytes + spare <= most {
                bytes += spare;
            }
            placed.push(image);
            buffers.push(Buffer { kind: BufferKind::Slot(place), bytes });
            bindings.push(Binding { buffer: place, offset: 0, bytes });
        }
        if images.is_empty() {
            placed.clear();
        }
        let dispatch = Dispatch { kernel: 0, bindings, images: placed, ..dispatch.clone() };
        Self {
            profile: self.profile.clone(),
            kernels: vec![kernel.clone()],
            buffers,
            images,
            dispatches: vec![dispatch],
            readable: Vec::new(),
            gradient_norm: None,
            left_out: None,
            layer_norms: None,
            tables: Vec::new(),
            groups: self.groups,
            live_bytes: 0,
            apart: Vec::new(),
        }
    }

    /// How many dispatches before this one are of its kind: those that gather batches, compute nodes, or change the state.
    pub(crate) fn number_among_its_kind(&self, number: usize) -> usize {
        let kind = |dispatch: &Dispatch| (dispatch.phase == super::Phase::Batch, dispatch.node.is_some());
        let wanted = kind(&self.dispatches[number]);
        self.dispatches[..number].iter().filter(|dispatch| kind(dispatch) == wanted).count()
    }
}
