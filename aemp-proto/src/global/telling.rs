//! What a node tells others, and its own watches, when the database changes.

use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::database::{ADDRESSES, ADDRESSES_OCTETS, Change, Changes, GLOBALS, size, split, split_database};
use super::watching::Told;
use super::{Global, Output, Request};
use crate::names::NodeId;

impl Global {
    pub(super) fn send(&mut self, to: &NodeId, request: Request) {
        self.outputs.push_back(Output::Send(to.clone(), Rc::new(request)));
    }

    /// Sends what this node contributes, and from then on what changes in it (`GLOBAL-16`).
    pub(super) fn send_part(&mut self, to: &NodeId) {
        let own = self.shards.contribution(ADDRESSES, self.id.as_str()).cloned();
        for mut part in split_database(self.shards.contributions(), ADDRESSES_OCTETS) {
            // A reference global takes what a `g_set` lacks as deleted in one place: its sender's addresses (`DB-35`).
            if let Some(own) = own.as_ref().filter(|own| size(own) <= ADDRESSES_OCTETS) {
                part.entry(ADDRESSES.into()).or_default().insert(self.id.to_string(), own.clone());
            }
            self.send(to, Request::Set(part));
        }
        self.told.insert(to.clone());
    }

    /// Tells everyone what has become different.
    pub(super) fn flush(&mut self) {
        for difference in self.shards.take_differences() {
            let (told, seen) = (difference.told, difference.seen);
            let family = told.family.clone();
            if !told.set.is_empty() || !told.deleted.is_empty() {
                self.tell_change(told);
            }
            if self.is_global && !seen.is_empty() {
                self.tell_watchers(&family, &seen);
            }
        }
    }

    fn tell_change(&mut self, told: Change) {
        if let Some(master) = self.master.clone() {
            split(told).into_iter().for_each(|part| self.send(&master, Request::OwnUpdate(part)));
            return;
        }
        if self.told.is_empty() {
            return;
        }
        for request in split(told).into_iter().map(|part| Rc::new(Request::Update(part))) {
            let sends = self.told.iter().map(|node| Output::Send(node.clone(), request.clone()));
            self.outputs.extend(sends);
        }
    }

    fn tell_watchers(&mut self, family: &str, seen: &Changes) {
        if let Some(watchers) = self.watchers.get(family) {
            let set = seen.added.iter().chain(&seen.changed).map(|(key, value)| (key.clone(), value.clone())).collect();
            let change = Change { family: family.into(), set, deleted: seen.deleted.clone() };
            for request in split(change).into_iter().map(|part| Rc::new(Request::Change(part))) {
                let sends = watchers.iter().map(|node| Output::Send(node.clone(), request.clone()));
                self.outputs.extend(sends);
            }
        }
        let set = seen.added.iter().chain(&seen.changed).map(|(key, value)| (key.clone(), value.clone())).collect();
        let told = self.views.change(Change { family: family.into(), set, deleted: seen.deleted.clone() });
        self.tell(told);
        if family == GLOBALS {
            let wanted = seen.added.keys().filter_map(|node| self.other(node)).filter(|node| !self.peers.contains_key(node));
            let gone = seen.deleted.iter().filter_map(|node| self.other(node)).filter(|node| !self.is_wanted(node));
            let outputs: Vec<_> = wanted.map(Output::Keep).chain(gone.map(Output::LetGo)).collect();
            self.outputs.extend(outputs);
        } else if family == ADDRESSES {
            // A global that is wanted may be reached now.
            let moved = seen.added.keys().chain(seen.changed.keys()).filter_map(|node| self.other(node));
            let wanted = moved.filter(|node| self.is_listed(node) && !self.peers.contains_key(node));
            let outputs: Vec<_> = wanted.map(Output::Keep).collect();
            self.outputs.extend(outputs);
            // It has come back somewhere else, and is not global (`GLOBAL-21`).
            let back = seen.added.keys().filter_map(|node| self.other(node)).filter(|node| !self.is_listed(node));
            back.collect::<Vec<_>>().iter().for_each(|node| self.forget_lost(node));
        }
    }

    fn other(&self, node: &str) -> Option<NodeId> {
        NodeId::new(node).ok().filter(|node| *node != self.id)
    }

    /// Whether any shard has a node as a global.
    pub(super) fn is_listed(&self, node: &NodeId) -> bool {
        self.shards.value(GLOBALS, node.as_str()).is_some()
    }

    pub(super) fn tell(&mut self, told: Told) {
        self.outputs.extend(told.into_iter().map(|(watch, changes)| Output::Changes(watch, changes)));
    }
}
