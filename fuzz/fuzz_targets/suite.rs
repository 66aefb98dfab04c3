#![no_main]

#[path = "../checks/suite.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| checks::suite(octets));
