#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| issei_fuzz_targets::chunk(bytes));
