//! All cases, chapter by chapter.

mod cbor;
mod echo;
mod ending;
mod framing;
mod global_vectors;
mod greeting;
mod json;
mod limits;
mod losing;
mod messages;
mod ports;
mod queues;
mod relays;
mod requests;
mod runs;
mod spawning;
mod storable;
mod values;
mod watching;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    [
        greeting::CASES,
        framing::CASES,
        json::CASES,
        cbor::CASES,
        storable::CASES,
        values::CASES,
        messages::CASES,
        limits::CASES,
        ports::CASES,
        requests::CASES,
        relays::CASES,
        watching::CASES,
        losing::CASES,
        queues::CASES,
        runs::CASES,
        ending::CASES,
        spawning::CASES,
        &global_vectors::CASES,
    ]
    .into_iter()
    .flatten()
    .collect()
}
