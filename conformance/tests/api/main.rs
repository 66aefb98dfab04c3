//! The tests of the suite, in one program: each module holds what belongs together.

mod corpora;
mod coverage;
mod faults;
mod nodes;
mod page;
#[cfg(unix)]
mod program;
mod schema;
mod vectors_faults;
mod vectors_program;
