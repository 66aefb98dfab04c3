//! Replays the corpus of the fuzz target for this crate, with the target's own checks.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/checks/suite.rs"]
mod checks;

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
fn what_the_suite_reads_holds_its_checks() {
    replay("suite", checks::suite);
}
