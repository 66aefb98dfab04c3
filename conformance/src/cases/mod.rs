//! All cases, chapter by chapter.

mod attempt;
mod authentication;
mod first_steps;
mod greeting;
mod limits;
mod refused_authentications;
mod refused_greetings;
mod security;
mod tls;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    first_steps::CASES
        .iter()
        .chain(greeting::cases())
        .chain(refused_greetings::cases())
        .chain(authentication::cases())
        .chain(refused_authentications::cases())
        .chain(tls::cases())
        .chain(limits::CASES)
        .chain(security::CASES)
        .collect()
}
