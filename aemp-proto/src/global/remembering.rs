//! What a global remembers for a time: lost globals (`GLOBAL-20`), and which entries it has refused (`DB-41`).

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::database::ADDRESSES;
use super::slot::Source;
use super::{Global, Output};
use crate::names::NodeId;

impl Global {
    /// Time has passed: lost global nodes that were remembered long enough are forgotten (`GLOBAL-21`).
    pub fn expire(&mut self, now: Duration) {
        while let Some((_, node)) = self.lost.first().filter(|(until, _)| *until <= now) {
            self.forget_lost(&node);
        }
    }

    /// The addresses under which a global node is remembered when its connection is lost.
    pub(super) fn last_addresses(&self, node: &NodeId) -> Vec<String> {
        /// As many as are tried.
        const KEPT: usize = 16;
        /// No host name with a port is longer, in octets.
        const LONGEST: usize = 260;
        let last = self.shards.get(&Source::Global(node.clone()), ADDRESSES, node.as_str());
        let last = last.and_then(super::database::addresses).unwrap_or_default();
        last.into_iter().filter(|address| address.len() <= LONGEST).take(KEPT).collect()
    }

    /// Remembers a global node whose connection is lost; and forgets whom it has lost first, if there are too many
    /// (`GLOBAL-22`).
    pub(super) fn remember(&mut self, node: &NodeId, addresses: Vec<String>, now: Duration) {
        if addresses.is_empty() || self.limits.lost_for.is_zero() {
            return;
        }
        self.lost.insert(node.clone(), addresses, now.saturating_add(self.limits.lost_for));
        while self.lost.len() > self.limits.lost
            && let Some((_, first)) = self.lost.first()
        {
            self.forget_lost(&first);
        }
    }

    /// A node is no lost global any more.
    pub(super) fn forget_lost(&mut self, node: &NodeId) {
        if self.lost.remove(node) && !self.is_listed(node) {
            self.outputs.push_back(Output::LetGo(node.clone()));
        }
    }

    /// Whether a connection to a node is wanted, because some shard has it as a global or it was lost as one.
    pub(super) fn is_wanted(&self, node: &NodeId) -> bool {
        self.is_listed(node) || self.lost.contains(node)
    }

    /// An entry that is too large is not kept: the operator hears of it, once (`DB-41`).
    pub(super) fn refuse(&mut self, from: &NodeId, family: &str, key: &str, octets: usize) {
        /// What is shown of a key, in characters.
        const SHOWN: usize = 256;
        if self.refused.note((from, family, key)) {
            let (family, key) = (family.into(), key.chars().take(SHOWN).collect());
            self.outputs.push_back(Output::Refused { node: from.clone(), family, key, octets });
        }
    }
}
