//! All cases, chapter by chapter.

mod ending;
mod global_vectors;
mod greeting;
mod losing;
mod ports;
mod queues;
mod relays;
mod requests;
mod runs;
mod spawning;
mod watching;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    [
        greeting::CASES,
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
