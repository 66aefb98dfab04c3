//! Parts of an implementation, tested without sockets: the vectors of `spec/vectors`, and some cases of the suite's own, as
//! questions to a program. `PROTOCOL.md`, part 1, describes the lines.
//!
//! | module | |
//! |---|---|
//! | [`notation`] | how octets and values are written |
//! | [`case`] | what is asked, and what is right |
//! | `files` | the cases of `spec/vectors` |
//! | `choosing`, `writing` | the cases of the suite's own |
//! | `judging` | comparing answers |
//! | [`program`] | talking to the program |
//! | [`asking`] | asking everything, and what comes of it |

pub mod asking;
pub mod case;
mod choosing;
mod files;
mod judging;
pub mod notation;
pub mod program;
mod writing;

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;

use case::Case;

/// The files of `spec/vectors`, by their names without `.json`.
pub const FILES: &[(&str, &str)] = files::FILES;

/// All cases, in the order in which an implementation is written. `seed` says where streams are cut.
///
/// # Panics
///
/// When a file of vectors does not follow its README.
pub fn all(seed: u64) -> Vec<Case> {
    let mut cases = [files::all(seed), own()].concat();
    // What is made for clients comes first.
    cases.sort_by_key(|case| case.level);
    cases
}

/// Values of all kinds: those of the cases `write/…` whose names begin with one of these.
pub fn values(names: &[&str]) -> Vec<Value> {
    writing::elements(names)
}

/// The streams in a framing that fit into a live connection: for each its name, its octets, and the requirement that it
/// breaks, if it is to be refused. What is large, depends on limits, is not complete, or is open, is left out.
pub fn streams(framing: Framing) -> Vec<Stream> {
    files::streams(framing)
}

/// A stream of packets.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The name of the case.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// The octets.
    pub octets: Vec<u8>,
    /// What it breaks, if it is to be refused.
    pub breaks: Option<&'static str>,
}

/// The cases of the suite's own.
pub fn own() -> Vec<Case> {
    [choosing::all(), writing::all()].concat()
}
