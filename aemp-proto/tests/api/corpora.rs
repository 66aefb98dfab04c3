//! Replays the corpora of the fuzz targets, and the vectors and recordings from which they grow, with the targets' own
//! checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checks;
use crate::support::vectors::{Octets, cases, hex, recordings};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn replay(target: &str, check: fn(&[u8])) {
    let packed = fs::read_to_string(folder().join("corpora").join(target.to_owned() + ".hex")).expect("a corpus");
    assert!(!packed.is_empty());
    for line in packed.lines() {
        check(&hex(line));
    }
}

#[derive(serde::Deserialize)]
struct Line {
    line: Octets,
}

#[derive(serde::Deserialize)]
struct Stream {
    stream: Octets,
}

fn streams(name: &str) -> impl Iterator<Item = Vec<u8>> {
    cases::<Stream>(name).into_iter().map(|case| case.with.stream.0).filter(|octets| octets.len() < 5000)
}

#[test]
fn greeting_lines_hold_their_checks() {
    replay("greeting_line", checks::greeting_line);
    cases::<Line>("greeting-lines.json").iter().for_each(|case| checks::greeting_line(&case.with.line.0));
}

#[test]
fn authentication_lines_hold_their_checks() {
    replay("authentication_line", checks::authentication_line);
    cases::<Line>("auth-lines.json").iter().for_each(|case| checks::authentication_line(&case.with.line.0));
}

#[test]
fn json_packets_hold_their_checks() {
    replay("json", checks::json);
    streams("json-streams.json").for_each(|octets| checks::json(&octets));
}

#[test]
fn cbor_packets_hold_their_checks() {
    replay("cbor", checks::cbor);
    streams("cbor-streams.json").for_each(|octets| checks::cbor(&octets));
}

#[test]
fn storable_packets_hold_their_checks() {
    replay("storable", checks::storable);
    streams("storable-streams.json").for_each(|octets| checks::storable(&octets));
}

#[test]
fn links_hold_their_checks() {
    replay("link", checks::link);
    for (_, recording) in recordings() {
        for connection in &recording.connections {
            for (choice, side) in [(0, "opener"), (1, "acceptor")] {
                checks::link(&[&[choice], &connection.sent(side)[..]].concat());
            }
        }
    }
    for framing in ["json", "cbor", "storable"] {
        let handshake = format!("\0aemp;1;peer;hmac_sha3_512;json,cbor\nnonce\ncleartext;73776f726466697368;{framing}\n");
        streams(&format!("{framing}-streams.json"))
            .for_each(|octets| checks::link(&[handshake.as_bytes(), &octets].concat()));
        // What looks like packets behind the handshake of a data connection is none; the second of these has opened it.
        let greeting = ["\0aemp-dataconn;1;peer;hmac_sha3_512;json;dataconn_id=x\n", "\taemp;1;peer;hmac_sha3_512;json\n"];
        for greeting in greeting {
            let handshake = format!("{greeting}nonce\ncleartext;73776f726466697368;{framing}\n");
            streams(&format!("{framing}-streams.json"))
                .for_each(|octets| checks::link(&[handshake.as_bytes(), &octets].concat()));
        }
    }
}

#[test]
fn nodes_hold_their_checks() {
    replay("node", checks::node);
}

#[test]
fn every_target_has_a_corpus_and_a_replay() {
    let names = |folder: PathBuf| {
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let targets = names(folder().join("fuzz_targets"));
    assert_eq!(names(folder().join("corpora")), targets);
    let tests: String = ["aemp-proto", "aemp-node", "conformance"]
        .map(|package| folder().join("..").join(package).join("tests/api/corpora.rs"))
        .map(|path| fs::read_to_string(path).expect("a file of tests"))
        .concat();
    for target in targets {
        assert!(tests.contains(&format!("replay(\"{target}\", checks::{target})")), "{target} is not replayed");
    }
}
