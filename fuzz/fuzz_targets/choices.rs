//! Choices that a training is pinned to.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd_fuzz::files::check_choices(bytes));
