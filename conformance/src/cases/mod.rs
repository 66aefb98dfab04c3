//! All cases, chapter by chapter.

mod connections;
mod ending;
mod greeting;
mod logs;
mod losing;
mod mutual;
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
        connections::CASES,
        mutual::ORDERS,
        mutual::SEEDS,
        logs::CASES,
        ending::CASES,
        spawning::CASES,
    ]
    .into_iter()
    .flatten()
    .collect()
}
