//! How much a node holds of the global protocol.

use super::Global;

/// How many of what a node holds for the global protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tables {
    /// Nodes that are up.
    pub peers: usize,
    /// Nodes of which it holds entries, itself among them.
    pub shards: usize,
    /// Those entries.
    pub entries: usize,
    /// Families that others watch, once for each node that does.
    pub watchers: usize,
    /// Nodes that have got its part.
    pub told: usize,
    /// Families that it watches itself.
    pub views: usize,
    /// Entries in those views, with what of another master's word on them has come so far.
    pub viewed: usize,
    /// Questions that were not answered yet.
    pub questions: usize,
    /// Nodes that it has asked its master for.
    pub searched: usize,
    /// Seed nodes that are up.
    pub seeds: usize,
    /// Lost global nodes that it remembers (`GLOBAL-22`).
    pub lost: usize,
    /// Outputs that were not taken yet.
    pub outputs: usize,
    /// Contents, answers and parts that have still to be sent, or requests that stand behind these.
    pub jobs: usize,
    /// Requests that are taken in in portions, or wait behind such.
    pub readings: usize,
    /// Entries of which was told that they are not kept.
    pub refused: usize,
}

impl Global {
    /// How much it holds. Counting that takes time.
    pub fn tables(&self) -> Tables {
        Tables {
            peers: self.peers.len(),
            shards: self.shards.sources(),
            entries: self.entries(),
            watchers: self.watchers.values().map(alloc::collections::BTreeSet::len).sum(),
            told: self.told.len(),
            views: self.views.families().len(),
            viewed: self.views.entries(),
            questions: self.questions.len() + self.views.marks(),
            searched: self.searched.len(),
            seeds: self.seeds.len(),
            lost: self.lost.len(),
            outputs: self.outputs.len(),
            jobs: self.jobs.len(),
            readings: self.readings.len(),
            refused: self.refused.len(),
        }
    }
}
