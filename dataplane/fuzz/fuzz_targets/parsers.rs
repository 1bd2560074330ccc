#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::parsers::run_chosen(bytes));
