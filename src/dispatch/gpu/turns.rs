//! Which thread uses a device.

use super::Gpu;
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Threads take turns on devices whose driver has one context for all of them.
///
/// wgpu's GL backend panics in a thread that has waited some seconds for the context, and a long dispatch on a
/// software adapter keeps it longer. Here threads wait as long as it takes. Other backends need no turns.
#[derive(Debug)]
pub(super) struct Turns(Option<ReentrantMutex<()>>);

/// A thread's turn; it ends when this is dropped.
pub(in crate::dispatch) struct Turn<'a>(
    #[allow(dead_code, reason = "held, not read")] Option<ReentrantMutexGuard<'a, ()>>,
);

impl Turns {
    /// Turns where the backend needs them.
    pub fn new(backend: &str) -> Self {
        Self((backend == "gl").then(ReentrantMutex::default))
    }

    /// Waits for this thread's turn, which it may have already.
    pub fn take(&self) -> Turn<'_> {
        Turn(self.0.as_ref().map(ReentrantMutex::lock))
    }
}

/// Objects of a device, which are dropped in this thread's turn: freeing them is work of the driver, too.
#[derive(Debug)]
pub(in crate::dispatch) struct InTurn<T> {
    gpu: Arc<Gpu>,
    /// There until dropped.
    objects: Option<T>,
}

impl<T> InTurn<T> {
    pub const fn new(gpu: Arc<Gpu>, objects: T) -> Self {
        Self { gpu, objects: Some(objects) }
    }
}

impl<T> Deref for InTurn<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.objects.as_ref().expect("only `drop` takes the objects")
    }
}

impl<T> DerefMut for InTurn<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.objects.as_mut().expect("only `drop` takes the objects")
    }
}

impl<T> Drop for InTurn<T> {
    fn drop(&mut self) {
        let _turn = self.gpu.turn();
        self.objects = None;
    }
}
