//! All cases, chapter by chapter.

mod greeting;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    [greeting::CASES].into_iter().flatten().collect()
}
