//! Replays the corpora of the fuzz targets for this crate, with the targets' own checks.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/checks/log_record.rs"]
mod log_records;
#[path = "../../../fuzz/checks/permissions.rs"]
mod tables;

/// The checks of both.
mod checks {
    pub(crate) use super::log_records::log_record;
    pub(crate) use super::tables::permissions;
}

fn replay(target: &str, check: fn(&[u8])) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpora").join(target.to_owned() + ".hex");
    let packed = fs::read_to_string(path).expect("a corpus");
    assert!(!packed.is_empty());
    for line in packed.lines() {
        let octet = |at| u8::from_str_radix(&line[at..at + 2], 16).expect("hexadecimal digits");
        let octets: Vec<u8> = (0..line.len()).step_by(2).map(octet).collect();
        check(&octets);
    }
}

#[test]
fn log_records_hold_their_checks() {
    replay("log_record", checks::log_record);
}

#[test]
fn tables_of_permissions_hold_their_checks() {
    replay("permissions", checks::permissions);
    checks::permissions(include_bytes!("../../../docs/permissions.toml"));
}
