//! How much memory is asked for at once, thread by thread: a count in a damaged file must not become a reservation.
#![allow(unsafe_code, reason = "an allocator is unsafe by its trait; this one hands everything on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// The greatest piece since this was last looked at.
    static GREATEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which notes what is asked for.
struct Noting;

#[global_allocator]
static NOTING: Noting = Noting;

fn note(bytes: usize) {
    // While a thread ends it has no such place any more.
    let _ = GREATEST.try_with(|greatest| greatest.set(greatest.get().max(bytes)));
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

/// What reading gives, where no piece of memory that this thread asks for meanwhile is much larger than the file: as JSON two
/// bytes may become a value of 32, in a list that has grown to twice its length; and readers reserve up to a MiB unseen.
///
/// # Panics
/// Where one is.
pub fn within<R>(file: usize, read: impl FnOnce() -> R) -> R {
    GREATEST.set(0);
    let result = read();
    let (greatest, most) = (GREATEST.get(), 64 * file + (2 << 20));
    assert!(greatest <= most, "a file of {file} bytes made its reader ask for {greatest} bytes at once");
    result
}
