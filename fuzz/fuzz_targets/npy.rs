//! Arrays as `NumPy` writes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| retrograd_fuzz::files::check_npy(bytes));
