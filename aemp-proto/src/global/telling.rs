//! What a node tells others, and its own watches, when the database changes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::database::{ADDRESSES, Change, Delta, GLOBALS, Name, Room};
use super::jobs::{Job, Portion};
use super::watching::Told;
use super::{Global, Output, Request};
use crate::names::NodeId;

/// What is put into one packet of changes, in octets: half of what every receiver takes (`LIMIT-5`). An entry always fits in
/// (`DB-30`).
const PACKET: usize = 1 << 19;

impl Global {
    /// Sends what this node contributes, and from then on what changes in it (`GLOBAL-16`).
    pub(super) fn send_part(&mut self, to: &NodeId) {
        self.told.insert(to.clone());
        self.add_job(to, Job::Part { to_master: false, cursor: None, has_begun: false });
    }

    /// Tells everyone what has become different.
    pub(super) fn flush(&mut self) {
        for difference in self.shards.take_differences() {
            let (told, seen) = (difference.told, difference.seen);
            let family = told.family.clone();
            if !told.is_empty() {
                self.tell_change(told);
            }
            if self.is_global && !seen.is_empty() {
                self.tell_watchers(&family, &seen);
            }
        }
    }

    fn tell_change(&mut self, told: Change) {
        if let Some(master) = self.master.clone() {
            let told = match self.jobs.has(&master) {
                true => only(&told, |key| self.jobs.tells_part(&master, &told.family, key)),
                false => told,
            };
            split(told).into_iter().for_each(|part| self.send_now(&master, Arc::new(Request::OwnUpdate(part))));
            return;
        }
        if self.told.is_empty() {
            return;
        }
        let (busy, others): (Vec<_>, Vec<_>) = self.told.iter().cloned().partition(|node| self.jobs.has(node));
        for node in busy {
            let told = only(&told, |key| self.jobs.tells_part(&node, &told.family, key));
            split(told).into_iter().for_each(|part| self.send_now(&node, Arc::new(Request::Update(part))));
        }
        for request in split(told).into_iter().map(|part| Arc::new(Request::Update(part))) {
            self.work += self.shards_work(others.len());
            others.iter().for_each(|node| self.send_now(node, request.clone()));
        }
    }

    /// What telling so many nodes costs.
    fn shards_work(&self, nodes: usize) -> u64 {
        super::shards::TABLE * nodes as u64
    }

    fn tell_watchers(&mut self, family: &Name, seen: &Delta) {
        let mut change = Change::new(family);
        change.set = seen.added.iter().chain(&seen.changed).cloned().collect();
        change.deleted.clone_from(&seen.deleted);
        change.set.sort_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(watchers) = self.watchers.get(family) {
            let (busy, others): (Vec<_>, Vec<_>) = watchers.iter().cloned().partition(|node| self.jobs.has(node));
            for node in busy {
                let told = only(&change, |key| self.jobs.tells_contents(&node, family, key));
                split(told).into_iter().for_each(|part| self.send_now(&node, Arc::new(Request::Change(part))));
            }
            for request in split(change.clone()).into_iter().map(|part| Arc::new(Request::Change(part))) {
                self.work += self.shards_work(others.len());
                others.iter().for_each(|node| self.send_now(node, request.clone()));
            }
        }
        let told = self.views.change(change);
        self.tell(told);
        if **family == *GLOBALS {
            let added = seen.added.iter().map(|(node, _)| node);
            let wanted = added.filter_map(|node| self.other(node)).filter(|node| !self.peers.contains_key(node));
            let gone = seen.deleted.iter().filter_map(|node| self.other(node)).filter(|node| !self.is_wanted(node));
            let outputs: Vec<_> = wanted.map(Output::Keep).chain(gone.map(Output::LetGo)).collect();
            self.outputs.extend(outputs);
        } else if **family == *ADDRESSES {
            // A global that is wanted may be reached now.
            let moved = seen.added.iter().chain(&seen.changed).filter_map(|(node, _)| self.other(node));
            let wanted = moved.filter(|node| self.is_listed(node) && !self.peers.contains_key(node));
            let outputs: Vec<_> = wanted.map(Output::Keep).collect();
            self.outputs.extend(outputs);
            // It has come back somewhere else, and is not global (`GLOBAL-21`).
            let back = seen.added.iter().filter_map(|(node, _)| self.other(node)).filter(|node| !self.is_listed(node));
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
        self.outputs.extend(told.into_iter().map(|(watch, delta)| Output::Changes(watch, delta)));
    }
}

/// The part of a change that is about some keys.
fn only(change: &Change, is_told: impl Fn(&Name) -> bool) -> Change {
    Change {
        set: change.set.iter().filter(|(key, _)| is_told(key)).cloned().collect(),
        deleted: change.deleted.iter().filter(|key| is_told(key)).cloned().collect(),
        ..Change::new(&change.family)
    }
}

/// Splits a change into such as fit into packets; none if it changes nothing.
fn split(change: Change) -> Vec<Change> {
    let Change { family, set, deleted, .. } = change;
    let (mut parts, mut part, mut portion) = (Vec::new(), Change::new(&family), Portion::new(PACKET));
    let mut next = |part: &mut Change, key: &Name, room: Room| {
        if portion.is_full() {
            parts.push(core::mem::replace(part, Change::new(&family)));
            portion = Portion::new(PACKET);
        }
        portion.add(key, room);
    };
    for (key, value) in set {
        next(&mut part, &key, Room::of(&value));
        part.set.push((key, value));
    }
    for key in deleted {
        next(&mut part, &key, Room { octets: 0, values: 1 });
        part.deleted.push(key);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}
