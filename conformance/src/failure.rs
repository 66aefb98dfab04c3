//! What a case found.

use std::fmt::Display;
use std::io;

/// Why a case did not come to its end.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The node under test did not do what a requirement says.
    Wrong {
        /// Which requirement; the first that the case proves, if none.
        requirement: Option<&'static str>,
        /// What should have happened.
        expected: String,
        /// What happened.
        actual: String,
    },
    /// The node under test says that it cannot do what the case needs.
    Unimplemented(String),
    /// The suite could not do its part.
    Suite(String),
}

/// What a step of a case returns.
pub type Step<T = ()> = Result<T, Failure>;

impl Failure {
    /// The node under test did something else than it should have.
    pub fn wrong(expected: impl Display, actual: impl Display) -> Self {
        Failure::Wrong { requirement: None, expected: expected.to_string(), actual: actual.to_string() }
    }

    /// Says which requirement was broken, where a case proves several.
    #[must_use]
    pub fn breaks(self, id: &'static str) -> Self {
        match self {
            Failure::Wrong { expected, actual, .. } => Failure::Wrong { requirement: Some(id), expected, actual },
            other => other,
        }
    }

    /// The suite could not do its part.
    pub fn suite(what: impl Display, error: &io::Error) -> Self {
        Failure::Suite(format!("{what}: {error}"))
    }
}

/// Says which requirement a failed step breaks.
pub trait Breaks {
    /// See [`Failure::breaks`].
    #[must_use]
    fn breaks(self, id: &'static str) -> Self;
}

impl<T> Breaks for Step<T> {
    fn breaks(self, id: &'static str) -> Self {
        self.map_err(|failure| failure.breaks(id))
    }
}

/// Fails unless `right`.
pub fn check(right: bool, expected: impl Display, actual: impl Display) -> Step {
    if right { Ok(()) } else { Err(Failure::wrong(expected, actual)) }
}
