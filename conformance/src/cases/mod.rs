//! All cases, chapter by chapter.

mod attempt;
mod authentication;
mod cbor;
mod connections;
mod data;
mod database;

mod database_limits;
mod echo;
mod ending;
mod finding;
mod first_steps;
mod framing;
mod global_vectors;
mod globals;
mod greeting;
mod json;
mod limits;
mod logs;
mod losing;
mod members;
mod messages;
mod mutual;
mod networks;
mod ports;
mod queues;
mod refused_authentications;
mod refused_greetings;
mod relays;
mod requests;
mod roles;
mod runs;
mod security;
mod slow_handshakes;
mod spawning;
mod storable;
mod tls;
mod trust;
mod values;
mod watching;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    let mut all: Vec<&'static Case> = Vec::new();
    all.extend(first_steps::CASES);
    all.extend(greeting::cases());
    all.extend(refused_greetings::cases());
    all.extend(authentication::cases());
    all.extend(refused_authentications::cases());
    all.extend(tls::cases());
    all.extend(framing::CASES);
    all.extend(json::CASES);
    all.extend(cbor::CASES);
    all.extend(storable::CASES);
    all.extend(values::CASES);
    all.extend(messages::CASES);
    all.extend(ports::CASES);
    all.extend(requests::CASES);
    all.extend(relays::CASES);
    all.extend(watching::CASES);
    all.extend(ending::CASES);
    all.extend(spawning::CASES);
    all.extend(losing::CASES);
    all.extend(queues::CASES);
    all.extend(runs::CASES);
    all.extend(connections::CASES);
    all.extend(mutual::ORDERS);
    all.extend(mutual::SEEDS);
    all.extend(roles::CASES);
    all.extend(globals::CASES);
    all.extend(database::CASES);
    all.extend(finding::CASES);
    all.extend(database_limits::CASES);
    all.extend(data::cases());
    all.extend(logs::CASES);
    all.extend(limits::CASES);
    all.extend(security::CASES);
    all.extend(trust::cases());
    all.extend(slow_handshakes::CASES);
    all.extend(networks::CASES);
    all.extend(global_vectors::CASES.iter());
    all
}
