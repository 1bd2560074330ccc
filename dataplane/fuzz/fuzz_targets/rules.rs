#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::rules::run(bytes));
