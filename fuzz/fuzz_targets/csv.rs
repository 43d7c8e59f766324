//! Tables of comma-separated values.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd_fuzz::files::check_csv(bytes));
