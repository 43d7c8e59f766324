//! A checkpoint in the format safetensors.
#![no_main]

use retrograd::Device;
use retrograd_fuzz::files::Checkpoint;

thread_local! {
    static CHECKPOINT: Checkpoint = Checkpoint::new(&Device::cpu());
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHECKPOINT.with(|checkpoint| checkpoint.check(bytes)));
