//! All cases, chapter by chapter.

mod attempt;
mod first_steps;
mod greeting;
mod refused_authentications;
mod refused_greetings;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    first_steps::CASES
        .iter()
        .chain(greeting::cases())
        .chain(refused_greetings::cases())
        .chain(refused_authentications::cases())
        .collect()
}
