//! Global nodes that were lost, and where they were last: kept for a time, so that two that nobody else lists find each
//! other again (`GLOBAL-20`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::names::NodeId;

#[derive(Default)]
pub(super) struct Lost {
    nodes: BTreeMap<NodeId, Remembered>,
    /// By when they are forgotten.
    by_end: BTreeSet<(Duration, NodeId)>,
}

struct Remembered {
    addresses: Vec<String>,
    until: Duration,
}

impl Lost {
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn contains(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    pub(super) fn addresses(&self, node: &NodeId) -> Option<Vec<String>> {
        Some(self.nodes.get(node)?.addresses.clone())
    }

    pub(super) fn insert(&mut self, node: NodeId, addresses: Vec<String>, until: Duration) {
        self.remove(&node);
        self.by_end.insert((until, node.clone()));
        self.nodes.insert(node, Remembered { addresses, until });
    }

    pub(super) fn remove(&mut self, node: &NodeId) -> bool {
        let Some(Remembered { until, .. }) = self.nodes.remove(node) else { return false };
        self.by_end.remove(&(until, node.clone()));
        true
    }

    /// The one that is forgotten next, and when.
    pub(super) fn first(&self) -> Option<(Duration, NodeId)> {
        self.by_end.first().cloned()
    }
}
