//! How much of what others say is kept.

use core::time::Duration;

/// What one node may make another one hold. More is the loss of its connection (`DB-28`, `DB-29`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What a slave may set, and what this node may set itself: 100,000 entries, 64 MiB by default.
    pub slave: Shard,
    /// What another global node and its slaves may set, and what a family that is watched may hold: 10,000,000 entries, 1 GiB by
    /// default.
    pub global: Shard,
    /// Families that one peer may watch, 10,000 by default.
    pub watched: usize,
    /// Nodes that are searched at once, 10,000 by default (`FIND-9`).
    pub searched: usize,
    /// Questions that wait for an answer, 10,000 by default (`FIND-9`).
    pub questions: usize,
    /// Global nodes that were lost and are remembered with their addresses, 1,000 by default (`GLOBAL-22`): 5 MiB at most.
    pub lost: usize,
    /// For how long, 10 minutes by default (`GLOBAL-20`). Two that nobody else lists find each other again if they are cut off from each
    /// other for less than that, and one that was shut down is dialled for so long.
    pub lost_for: Duration,
}

/// The bounds of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Entries, over all families.
    pub entries: usize,
    /// Octets, as an estimate of the memory that they take.
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
            watched: 10_000,
            searched: 10_000,
            questions: 10_000,
            lost: 1_000,
            lost_for: Duration::from_secs(600),
        }
    }
}
