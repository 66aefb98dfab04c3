//! What the conformance suite reads itself: notations, requests to a codec, lines of a node under test, lists of failures.

#![allow(unreachable_pub, reason = "it is a module of two kinds of programs")]

use aemp_conformance::codec;
use aemp_conformance::expected::Expected;
use aemp_conformance::subject::{Ready, Start};
use aemp_conformance::vectors::notation;
use serde_json::Value as Json;

/// Each parser takes any octets, says where something is wrong, and reads back what it writes.
pub fn suite(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let names = ["greeting/echo".to_owned(), "ports/watching[json]".into()];
    match Expected::read(&text) {
        Ok(expected) => assert!(expected.unknown(&names).iter().all(|line| line.starts_with("line "))),
        Err(error) => assert!(error.starts_with("line "), "{error}"),
    }
    let Ok(json) = serde_json::from_slice::<Json>(octets) else { return };
    if let Ok(value) = notation::value(&json) {
        let again = notation::value(&notation::notation(&value)).expect("it was written here");
        assert!(notation::same(&value, &again), "{json}");
    }
    if let Ok(octets) = notation::octets(&json) {
        assert!(octets.len() <= 1 << 28);
    }
    if let Ok(start) = serde_json::from_value::<Start>(json.clone()) {
        let written = serde_json::to_value(&start).expect("it can be written");
        let again = serde_json::from_value::<Start>(written).expect("it was written here");
        // Times are in seconds there, and lose their last digits.
        assert_eq!((again.node, again.seeds, again.limits), (start.node, start.seeds, start.limits));
    }
    if let Ok(ready) = serde_json::from_value::<Ready>(json.clone()) {
        let written = serde_json::to_value(&ready).expect("it can be written");
        assert_eq!(serde_json::from_value::<Ready>(written).expect("it was written here"), ready);
    }
    let (mut answers, line) = (Vec::new(), json.to_string());
    codec::serve(line.as_bytes(), &mut answers, None).expect("it is answered");
    let answer: Json = serde_json::from_slice(&answers).expect("an answer is a line of JSON");
    assert_eq!(answer["id"], json["id"]);
}
