#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target checks one thing")]
mod checks;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| checks::node(octets));
