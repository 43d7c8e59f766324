//! Compiled kernels that were kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd::fuzzing::check_kept(bytes));
