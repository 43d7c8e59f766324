//! A checkpoint in the format safetensors.
#![no_main]

use retrograd::Device;
use retrograd_fuzz::files::Checkpoint;
use std::cell::RefCell;

thread_local! {
    static CHECKPOINT: RefCell<Checkpoint> = RefCell::new(Checkpoint::new(&Device::cpu()));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHECKPOINT.with_borrow_mut(|checkpoint| {
    checkpoint.check(bytes);
}));
