//! What ties this code to the specification.

use core::fmt;

/// The ID of a sentence in `spec/` that binds an implementation, such as `GREET-7`.
///
/// Errors carry the requirement that the peer broke, so that a report leads back to the sentence.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Requirement(&'static str);

impl Requirement {
    pub(crate) const fn new(id: &'static str) -> Self {
        Requirement(id)
    }

    /// The ID without brackets: `GREET-7`.
    pub fn id(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
