//! Discovery and the distributed database, as one node takes part in them: a state machine without I/O (chapter 8 of the specification).
//!
//! Whoever owns a [`Global`] tells it which nodes are [up](Global::up) and [down](Global::down), which of them are [seed
//! nodes](Global::seed), and what they [say](Global::receive); and takes [outputs](Global::poll) after each call, in order.

mod asking;
mod database;
mod limits;
mod lost;
mod master;
mod request;
mod shards;
mod tables;
mod telling;
mod watching;

pub use asking::{Answer, QuestionId};
pub use database::{Change, Changes, Database, DbError, Family};
pub use limits::{Limits, Shard};
pub use request::{Question, Request};
pub use tables::Tables;
pub use watching::FamilyWatch;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use self::asking::Questions;
use self::database::{ADDRESSES, ADDRESSES_OCTETS, GLOBALS, addresses, check_entry, is_family, is_public, size, split};
use self::limits::TooMuch;
use self::lost::Lost;
use self::shards::{Shards, Source};
use self::watching::Views;
use crate::names::NodeId;
use crate::permissions::{Permissions, Right, Rights};
use crate::value::Value;

/// Something for the owner to do, or to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a request to a node that is up.
    Send(NodeId, Rc<Request>),
    /// The addresses of a node that was [searched](Global::find); `None` if nobody knows it.
    Found(NodeId, Option<Vec<String>>),
    /// The answer to a question.
    Answer(QuestionId, Answer),
    /// What is different in a family that is watched.
    Changes(FamilyWatch, Changes),
    /// Connect to this global node, and try again until it is up, or to be let go (`GLOBAL-18`).
    Keep(NodeId),
    /// A global node is of no more interest.
    LetGo(NodeId),
    /// A node has gone over a limit: close its connection (`DB-28`, `DB-29`).
    Broken(NodeId, &'static str),
    /// A node has set entries of a family of which it may set none.
    Denied(NodeId, String),
    /// This node is global now.
    BecameGlobal,
    /// This node has another master, or none.
    Master(Option<NodeId>),
}

/// A node that is up.
#[derive(Default)]
struct Peer {
    /// Its greeting had `gproto=1`.
    greeted: bool,
    /// That, or it has sent a request of the global protocol (`GLOBAL-2`).
    speaks: bool,
    /// It has said that it is global.
    is_global: bool,
    /// It is a seed node.
    is_seed: bool,
    watches: BTreeSet<String>,
    /// What it may set.
    rights: Rights,
}

/// Who set an entry of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(u64);

/// A node's part in the global protocol.
pub struct Global {
    id: NodeId,
    limits: Limits,
    permissions: Permissions,
    is_global: bool,
    shards: Shards,
    owners: BTreeMap<(String, String), Owner>,
    last_owner: u64,
    peers: BTreeMap<NodeId, Peer>,
    /// The nodes that have got our part.
    told: BTreeSet<NodeId>,
    watchers: BTreeMap<String, BTreeSet<NodeId>>,
    /// Seed nodes that are up, in the order in which they came.
    seeds: Vec<NodeId>,
    master: Option<NodeId>,
    views: Views,
    questions: Questions,
    searched: BTreeSet<NodeId>,
    lost: Lost,
    outputs: VecDeque<Output>,
}

impl Global {
    /// The part of a node that is reached under these addresses, and knows of nobody yet.
    pub fn new(id: NodeId, addresses: Vec<String>, limits: Limits) -> Self {
        let mut global = Global {
            shards: Shards::new(id.clone()),
            id,
            limits,
            permissions: Permissions::default(),
            is_global: false,
            owners: BTreeMap::new(),
            last_owner: 0,
            peers: BTreeMap::new(),
            told: BTreeSet::new(),
            watchers: BTreeMap::new(),
            seeds: Vec::new(),
            master: None,
            views: Views::default(),
            questions: Questions::default(),
            searched: BTreeSet::new(),
            lost: Lost::default(),
            outputs: VecDeque::new(),
        };
        global.set_addresses(addresses);
        global
    }

    /// Whether this node is global.
    pub fn is_global(&self) -> bool {
        self.is_global
    }

    /// The master of this node, which has none if it is global.
    pub fn master(&self) -> Option<&NodeId> {
        self.master.as_ref()
    }

    /// Takes the next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How many entries there are over all shards.
    pub fn entries(&self) -> usize {
        self.shards.entries()
    }

    /// The octets that this node holds of the database.
    pub fn held(&self) -> usize {
        self.shards.octets()
    }

    /// The families of the database as far as this node has it: all of it if it is global, else its own entries.
    pub fn database(&self) -> Database {
        self.shards.families().map(|family| (family.to_string(), self.shards.contents(family))).collect()
    }

    /// The addresses of a node, as far as this node knows itself.
    pub fn addresses(&self, node: &NodeId) -> Option<Vec<String>> {
        addresses(self.shards.value(ADDRESSES, node.as_str())?)
    }

    // --- who is there ---

    /// A connection to a node is up. `speaks` says whether its greeting had `gproto=1`.
    pub fn up(&mut self, node: &NodeId, speaks: bool) {
        let rights = self.permissions.of(node);
        self.peers.insert(node.clone(), Peer { greeted: speaks, speaks, rights, ..Peer::default() });
        if self.is_global && speaks {
            self.send(node, Request::Global);
        }
    }

    /// The connection to a node is lost. If it was global, it is remembered for a time from now on (`GLOBAL-20`).
    pub fn down(&mut self, node: &NodeId, now: Duration) {
        let Some(peer) = self.peers.remove(node) else { return };
        if peer.is_global && self.is_global {
            self.remember(node, self.last_addresses(node), now);
        }
        self.told.remove(node);
        self.forget_watches(node, peer.watches);
        self.shards.forget(&Source::Slave(node.clone()));
        self.shards.forget(&Source::Global(node.clone()));
        if peer.is_global && self.is_global {
            self.shards.remove(&Source::Own, GLOBALS, node.as_str());
            self.shards.remove(&Source::Own, ADDRESSES, node.as_str());
        }
        self.flush();
        self.seeds.retain(|seed| seed != node);
        if self.master.as_ref() == Some(node) {
            self.master = None;
            self.views.lose_master();
            self.choose_master();
            self.outputs.push_back(Output::Master(self.master.clone()));
        }
        if self.is_global && self.is_wanted(node) {
            self.outputs.push_back(Output::Keep(node.clone()));
        }
    }

    /// This node is to be global from now on.
    pub fn become_global(&mut self) {
        if self.is_global {
            return;
        }
        self.is_global = true;
        self.outputs.push_back(Output::BecameGlobal);
        if self.master.take().is_some() {
            self.views.lose_master();
            self.outputs.push_back(Output::Master(None));
        }
        let own = self.id.to_string();
        let globals: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.is_global).map(|(node, _)| node.to_string()).collect();
        for node in globals.iter().chain([&own]) {
            self.set_own(GLOBALS, node, Value::Null);
        }
        // Nobody has got anything yet, so there is nobody to be told a difference.
        self.shards.take_differences();
        self.answer_from_own();
        let speaking: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.speaks).map(|(node, _)| node.clone()).collect();
        for node in &speaking {
            self.send(node, Request::Global);
        }
        for node in globals.iter().filter_map(|node| NodeId::new(node).ok()) {
            self.send_part(&node);
        }
    }

    // --- what others say ---

    /// A request came from a node that is up.
    pub fn receive(&mut self, from: &NodeId, request: Request) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let is_global = peer.is_global;
        if !core::mem::replace(&mut peer.speaks, true) {
            // From now on it may hear of it (`GLOBAL-15`, `GLOBAL-7`).
            let due = [(self.is_global, Request::Global), (peer.is_seed, Request::Slave(None))];
            let due = due.into_iter().filter(|(is_due, _)| *is_due);
            self.outputs.extend(due.map(|(_, request)| Output::Send(from.clone(), Rc::new(request))));
        }
        if !is_global && request != Request::Global {
            // It is not global any more, if it was (`GLOBAL-21`).
            self.forget_lost(from);
        }
        match request {
            Request::Slave(database) => {
                self.become_global();
                self.merge(from, database.unwrap_or_default());
            }
            Request::Global => self.hear_global(from),
            Request::Found(..) | Request::Reply(..) | Request::Contents(..) | Request::Change(_) => {
                self.hear_master(from, request);
            }
            // What is left is for globals only (`GLOBAL-3`).
            _ if !self.is_global => {}
            Request::Set(database) if is_global => self.merge(from, database),
            // From whom nobody knows as a global (`DB-8`).
            Request::Set(_) => {}
            Request::Update(change) | Request::OwnUpdate(change) => self.change(from, change),
            Request::Find(node) => {
                let addresses = NodeId::new(&node).ok().and_then(|node| self.addresses(&node));
                self.send(from, Request::Found(node, addresses));
            }
            Request::Ask(question, family, name) => {
                let answer = self.answer(question, &family).into_value();
                self.send(from, Request::Reply(name, answer));
            }
            Request::Watch(family) => self.watched_by(from, family),
            Request::Unwatch(family) => self.unwatched_by(from, family),
        }
    }

    fn hear_global(&mut self, from: &NodeId) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        // Once is enough (`DB-34`).
        if core::mem::replace(&mut peer.is_global, true) || !self.is_global {
            return;
        }
        let watches = core::mem::take(&mut peer.watches);
        self.forget_watches(from, watches);
        self.shards.forget(&Source::Slave(from.clone()));
        self.shards.forget(&Source::Global(from.clone()));
        self.shards.remove(&Source::Own, ADDRESSES, from.as_str());
        self.set_own(GLOBALS, from.as_str(), Value::Null);
        self.lost.remove(from);
        self.flush();
        self.send_part(from);
    }

    /// Which shard is that of a node.
    fn source(&self, node: &NodeId) -> Source {
        match self.peers.get(node).is_some_and(|peer| peer.is_global) {
            true => Source::Global(node.clone()),
            false => Source::Slave(node.clone()),
        }
    }

    fn merge(&mut self, from: &NodeId, database: Database) {
        let source = self.source(from);
        let merged = database.into_iter().try_for_each(|(family, mut entries)| {
            self.keep_allowed(from, &family, &mut entries);
            self.set_all(&source, &family, entries)
        });
        self.changed(from, merged);
    }

    fn change(&mut self, from: &NodeId, change: Change) {
        let source = self.source(from);
        let Change { family, mut set, deleted } = change;
        self.keep_allowed(from, &family, &mut set);
        for key in deleted.iter().filter(|key| !set.contains_key(*key)) {
            self.shards.remove(&source, &family, key);
        }
        let merged = self.set_all(&source, &family, set);
        self.changed(from, merged);
    }

    /// Sets what other nodes may set, from now on. What they have set before stays.
    pub fn set_permissions(&mut self, permissions: Permissions) {
        for (node, peer) in &mut self.peers {
            peer.rights = permissions.of(node);
        }
        self.permissions = permissions;
    }

    /// Whether a node may set an entry (`SEC-12`).
    fn may_set(&self, node: &NodeId, family: &str, key: &str) -> bool {
        self.peers.get(node).is_none_or(|peer| peer.rights.may_set(node, family, key))
    }

    /// Takes out what a node may not set: that is ignored, as are entries that are not allowed at all (`DB-2`).
    fn keep_allowed(&mut self, from: &NodeId, family: &str, entries: &mut Family) {
        let Some(peer) = self.peers.get(from).filter(|peer| !peer.rights.are_all()) else { return };
        if peer.rights.may(Right::Set, family) {
            return;
        }
        let before = entries.len();
        entries.retain(|key, _| self.may_set(from, family, key));
        if entries.len() < before {
            self.outputs.push_back(Output::Denied(from.clone(), family.into()));
        }
    }

    /// Sets entries, but for those that are not allowed (`DB-2`).
    fn set_all(&mut self, source: &Source, family: &str, entries: Family) -> Result<(), TooMuch> {
        if !is_family(family) {
            return Ok(());
        }
        let limit = match source {
            Source::Global(_) => self.limits.global,
            _ => self.limits.slave,
        };
        for (key, value) in entries.into_iter().filter(|(key, _)| !key.is_empty()) {
            match check_entry(&key, &value) {
                Ok(()) => self.shards.set(source, family, &key, value, limit)?,
                // What it was before is no longer true (`DB-31`).
                Err(_) => self.shards.remove(source, family, &key),
            }
        }
        Ok(())
    }

    /// The shard of a node has changed.
    fn changed(&mut self, node: &NodeId, merged: Result<(), TooMuch>) {
        let source = self.source(node);
        if let Source::Global(_) = source {
            // What it says of itself is mirrored (`DB-14`).
            match self.shards.get(&source, ADDRESSES, node.as_str()).cloned() {
                Some(addresses) => self.set_own(ADDRESSES, node.as_str(), addresses),
                None => self.shards.remove(&Source::Own, ADDRESSES, node.as_str()),
            }
        }
        self.flush();
        if merged.is_err() {
            self.outputs.push_back(Output::Broken(node.clone(), "it has set too much in the database"));
        }
    }

    fn watched_by(&mut self, node: &NodeId, family: String) {
        if !is_family(&family) {
            // There is nothing in it, and there never will be (`DB-33`).
            return self.send(node, Request::Contents(family, Family::new()));
        }
        let Some(peer) = self.peers.get_mut(node) else { return };
        peer.watches.insert(family.clone());
        if peer.watches.len() > self.limits.watched {
            return self.outputs.push_back(Output::Broken(node.clone(), "it watches too many families"));
        }
        self.watchers.entry(family.clone()).or_default().insert(node.clone());
        let set = self.shards.contents(&family);
        let mut parts = split(Change { family: family.clone(), set, deleted: Vec::new() }).into_iter();
        let first = parts.next().unwrap_or_default();
        self.send(node, Request::Contents(family, first.set));
        parts.for_each(|part| self.send(node, Request::Change(part)));
    }

    fn unwatched_by(&mut self, node: &NodeId, family: String) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.watches.remove(&family);
        }
        self.forget_watches(node, [family].into());
    }

    fn forget_watches(&mut self, node: &NodeId, families: BTreeSet<String>) {
        for family in families {
            if let Some(watchers) = self.watchers.get_mut(&family) {
                watchers.remove(node);
                if watchers.is_empty() {
                    self.watchers.remove(&family);
                }
            }
        }
    }

    // --- what this node sets ---

    /// Sets an entry of this node. The last one who sets a key owns it.
    ///
    /// # Errors
    ///
    /// When the family or the key is not allowed, the value is too large, or the node would have set too much.
    pub fn set(&mut self, family: &str, key: &str, value: Value) -> Result<Owner, DbError> {
        if !is_public(family) {
            return Err(DbError::family(family));
        }
        if key.is_empty() {
            return Err(DbError::EmptyKey);
        }
        check_entry(key, &value).map_err(|octets| DbError::Entry { octets })?;
        self.shards
            .set(&Source::Own, family, key, value, self.limits.slave)
            .map_err(|TooMuch { entries, octets }| DbError::Full { entries, octets })?;
        self.last_owner += 1;
        let owner = Owner(self.last_owner);
        self.owners.insert((family.into(), key.into()), owner);
        self.flush();
        Ok(owner)
    }

    /// Deletes entries of this node, whoever owns them.
    pub fn delete<'k>(&mut self, family: &str, keys: impl IntoIterator<Item = &'k str>) {
        for key in keys {
            if self.owners.remove(&(family.into(), key.into())).is_some() {
                self.shards.remove(&Source::Own, family, key);
            }
        }
        self.flush();
    }

    /// Deletes an entry of this node if it is still that of the owner; whether it was.
    pub fn remove(&mut self, family: &str, key: &str, owner: Owner) -> bool {
        let is_owner = self.owners.get(&(family.into(), key.into())) == Some(&owner);
        if is_owner {
            self.delete(family, [key]);
        }
        is_owner
    }

    /// Sets the addresses under which others can reach this node (`DB-4`): the first ones, if all of them have a size above 65,536
    /// (`DB-36`).
    pub fn set_addresses(&mut self, addresses: Vec<String>) {
        let own = self.id.to_string();
        let mut addresses = Value::Array(addresses.into_iter().map(Value::Text).collect());
        while size(&addresses) > ADDRESSES_OCTETS
            && let Value::Array(all) = &mut addresses
        {
            all.truncate(all.len() / 2);
        }
        self.set_own(ADDRESSES, &own, addresses);
        self.flush();
    }

    /// Sets an entry that the protocol itself needs.
    fn set_own(&mut self, family: &str, key: &str, value: Value) {
        const UNLIMITED: Shard = Shard { entries: usize::MAX, octets: usize::MAX };
        let set = self.shards.set(&Source::Own, family, key, value, UNLIMITED);
        debug_assert!(set.is_ok(), "there is no limit");
    }
}
