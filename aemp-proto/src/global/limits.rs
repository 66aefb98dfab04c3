//! How much of what others say is kept.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// What one node may make another one hold. More is the loss of its connection (`DB-28`, `DB-29`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// What a slave may set, and what this node may set itself: 100,000 entries, 64 MiB by default. So much may any other
    /// node set, too, unless [`globals`](Limits::globals) says otherwise.
    pub slave: Shard,
    /// What a global node that is listed in [`globals`](Limits::globals), and its slaves, may set, and what a family that is
    /// watched here may hold: 10,000,000 entries, 1 GiB by default.
    pub global: Shard,
    /// IDs of the nodes to which the larger limit applies when they are global; `*` stands for any characters. None by
    /// default: then it applies to the seed nodes of this node, which the operator has chosen, and nobody gets more by
    /// saying that it is global.
    ///
    /// The trade-off: a global carries the entries of all its slaves. Where more than 64 MiB or 100,000 entries stand behind
    /// a global that is no seed of this node, list it here, or the two cannot stay connected (`DB-39`).
    pub globals: Vec<String>,
    /// What all nodes together may set, and what all views hold, in octets: 512 MiB by default. Beyond that the node that
    /// holds most is given up (`DB-40`), so that small ones stay.
    pub all: usize,
    /// What one answer to a query may take: 1 MiB and 100,000 values by default, what every receiver takes (`LIMIT-5`). A
    /// [`Node`](crate::actor::Node) raises this to its [`send_limits`](crate::link::Config::send_limits). An answer is
    /// written in one turn.
    pub answers: crate::framing::Limits,
    /// The work of one turn for one peer, in units of about an octet: 65,536 by default. What takes more goes on in later
    /// turns.
    pub portion: usize,
    /// Contents, answers and parts that may wait for one peer, 100 by default: beyond that nothing is taken from it until
    /// some have been sent.
    pub jobs: usize,
    /// Families that one peer may watch, 10,000 by default.
    pub watched: usize,
    /// Nodes that are searched at once, 10,000 by default (`FIND-9`).
    pub searched: usize,
    /// Questions that wait for an answer, 10,000 by default (`FIND-9`).
    pub questions: usize,
    /// Global nodes that were lost and are remembered with their addresses, 1,000 by default (`GLOBAL-22`): 5 MiB at most.
    pub lost: usize,
    /// For how long, 10 minutes by default (`GLOBAL-20`). Two that nobody else lists find each other again if they are cut
    /// off from each other for less than that, and one that was shut down is dialled for so long.
    pub lost_for: Duration,
}

/// The bounds of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Entries, over all families.
    pub entries: usize,
    /// Octets of memory that they take: of each entry its key, its value in cbor, and 160.
    pub octets: usize,
}

/// A shard that would be over its limit: what it would have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch {
    pub(super) entries: usize,
    pub(super) octets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            slave: Shard { entries: 100_000, octets: 64 << 20 },
            global: Shard { entries: 10_000_000, octets: 1 << 30 },
            globals: Vec::new(),
            all: 512 << 20,
            answers: crate::framing::Limits::LEAST,
            portion: 64 << 10,
            jobs: 100,
            watched: 10_000,
            searched: 10_000,
            questions: 10_000,
            lost: 1_000,
            lost_for: Duration::from_secs(600),
        }
    }
}
