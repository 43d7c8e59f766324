//! A table of one column.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd_fuzz::files::check_series(bytes));
