#![no_main]

#[path = "../checks/log_record.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| checks::log_record(octets));
