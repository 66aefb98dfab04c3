//! All cases, chapter by chapter.

mod global_vectors;
mod greeting;

use crate::case::Case;

/// All of them, in the order in which a port is written.
pub fn all() -> Vec<&'static Case> {
    [greeting::CASES, &global_vectors::CASES].into_iter().flatten().collect()
}
