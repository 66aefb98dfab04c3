#![no_main]

#[path = "../checks/permissions.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| checks::permissions(octets));
