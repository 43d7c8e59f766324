//! A reproduction of a dispatch.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drop(retrograd_fuzz::files::check_reproduction(bytes)));
