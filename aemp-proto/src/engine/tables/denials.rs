//! What was denied to other nodes, as far as the operator is told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::time::Duration;

use crate::names::NodeId;

/// What a node was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Denied {
    /// To call a function.
    Call,
    /// To spawn a port with a function.
    Spawn,
    /// To spawn one more port: it, or all nodes together, have as many as they may
    /// ([`spawned`](crate::engine::NodeConfig::spawned)).
    TooManySpawned,
    /// To send something to a port, or to have it sent there.
    Send,
    /// To watch a port.
    Watch,
    /// To end a port: it may not send to that, or the port is [protected](crate::actor::Context::protect).
    End,
    /// To set entries of a family of the database.
    Set,
    /// To get a data connection to a function.
    Stream,
    /// To have one more node searched: too many are because of it, or of all peers
    /// ([`connecting_of_peer`](crate::engine::NodeConfig::connecting_of_peer)).
    Search,
}

/// Remembers what was told, within bounds: the same is told once, and counted after that.
#[derive(Default)]
pub(in crate::engine) struct Denials {
    told: BTreeMap<NodeId, BTreeSet<(Denied, String)>>,
    count: u64,
    /// Since when it is remembered.
    since: Duration,
}

impl Denials {
    /// Nodes of which something is remembered.
    const NODES: usize = 1_000;
    /// What is remembered of each of them.
    const EACH: usize = 16;
    /// For how long.
    const REMEMBERED: Duration = Duration::from_secs(3600);

    /// Counts a denial; whether it is to be told.
    pub(in crate::engine) fn note(&mut self, source: &NodeId, what: Denied, name: &str) -> bool {
        self.count += 1;
        if !self.told.contains_key(source) && self.told.len() >= Self::NODES {
            return false;
        }
        let told = self.told.entry(source.clone()).or_default();
        told.len() < Self::EACH && told.insert((what, name.into()))
    }

    /// How many denials there were.
    pub(in crate::engine) fn count(&self) -> u64 {
        self.count
    }

    /// Forgets what was told once an hour, so that it is told again: an operator who looks today should see it.
    pub(in crate::engine) fn expire(&mut self, now: Duration) {
        if now.saturating_sub(self.since) >= Self::REMEMBERED {
            self.told.clear();
            self.since = now;
        }
    }
}
