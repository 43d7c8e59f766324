//! The cache of measured forms.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd::fuzzing::check_cache(bytes));
