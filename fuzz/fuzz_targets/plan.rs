//! A saved plan.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd_fuzz::files::check_plan(bytes));
