#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::engine_batch::run(bytes));
