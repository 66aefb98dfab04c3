//! Discovery and the distributed database, as one node takes part in them: a state machine without I/O (chapter 8 of the
//! specification).
//!
//! Whoever owns a [`Global`] tells it which nodes are [up](Global::up) and [down](Global::down), which of them are [seed
//! nodes](Global::seed), and what they [say](Global::receive); and takes [outputs](Global::poll) after each call, in order.

mod asking;
mod database;
mod jobs;
mod limits;
mod lost;
mod master;
mod read;
mod reading;
mod receiving;
mod refused;
mod remembering;
mod request;
mod setting;
mod shards;
mod slot;
mod tables;
mod telling;
mod watching;
mod working;

pub use asking::{Answer, QuestionId};
pub use database::{Change, Changes, Database, DbError, Delta, Entries, Family};
pub use limits::{Limits, Shard};
pub use request::{Question, Reply, Request};
pub use setting::Owner;
pub use tables::Tables;
pub use watching::FamilyWatch;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use self::asking::Questions;
use self::database::{ADDRESSES, GLOBALS, Name, addresses, is_family};
use self::jobs::{Job, Jobs};
use self::limits::TooMuch;
use self::lost::Lost;
use self::reading::Readings;
use self::refused::Refused;
use self::shards::Shards;
use self::slot::Source;
use self::watching::Views;
use crate::framing::Encoded;
use crate::names::NodeId;
use crate::permissions::{Permissions, Right, Rights};
use crate::value::Value;

/// Something for the owner to do, or to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send a request to a node that is up.
    Send(NodeId, Arc<Request>),
    /// The addresses of a node that was [searched](Global::find); `None` if nobody knows it.
    Found(NodeId, Option<Vec<String>>),
    /// The answer to a question.
    Answer(QuestionId, Answer),
    /// What is different in a family that is watched.
    Changes(FamilyWatch, Arc<Delta>),
    /// Connect to this global node, and try again until it is up, or to be let go (`GLOBAL-18`).
    Keep(NodeId),
    /// A global node is of no more interest.
    LetGo(NodeId),
    /// A node has gone over a limit: close its connection (`DB-28`, `DB-29`).
    Broken(NodeId, &'static str),
    /// A node has set an entry that is too large, which is not kept (`DB-31`). Told once for each source, family and key, as
    /// far as the last 1,000 are remembered.
    Refused {
        /// Who has set it.
        node: NodeId,
        /// The family.
        family: String,
        /// The first 256 characters of its key.
        key: String,
        /// What key and value come to, in octets.
        octets: usize,
    },
    /// Take nothing from a node for now: what it has asked for comes first.
    Pause(NodeId),
    /// Go on with that.
    Resume(NodeId),
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
    watches: BTreeSet<Name>,
    /// What these cost in memory, in octets.
    watching: usize,
    /// What it may set.
    rights: Rights,
}

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
    watchers: BTreeMap<Name, BTreeSet<NodeId>>,
    /// Seed nodes that are up, in the order in which they came.
    seeds: Vec<NodeId>,
    master: Option<NodeId>,
    views: Views,
    questions: Questions,
    searched: BTreeSet<NodeId>,
    lost: Lost,
    jobs: Jobs,
    /// Requests that are taken in in portions.
    readings: Readings,
    refused: Refused,
    /// Work that was done beside that of the shards, in units.
    work: u64,
    outputs: VecDeque<Output>,
}

/// What a family costs that one peer watches, in octets: its name, and the places where it stands.
fn watch_cost(family: &str) -> usize {
    /// Places in the peer's set and in the map of all watchers, and a set of watchers with one in it.
    const PLACES: usize = 330;
    PLACES + family.len()
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
            jobs: Jobs::default(),
            readings: Readings::default(),
            refused: Refused::default(),
            work: 0,
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

    /// The families of the database as far as this node has it: all of it if it is global, else its own entries.
    pub fn database(&self) -> Database {
        let contents = |family: &Name| database::family(self.shards.family(family));
        self.shards.families().map(|family| (family.to_string(), contents(family))).collect()
    }

    /// The octets that this node holds of the database for others, and in its views.
    pub fn held(&self) -> usize {
        self.shards.octets() + self.views.octets() + self.readings.octets()
    }

    /// The octets that the families cost that a peer watches.
    pub fn watching(&self, node: &NodeId) -> usize {
        self.peers.get(node).map_or(0, |peer| peer.watching)
    }

    /// The work that was done since the start, in units: about one for each octet that is read, walked or copied, and 16 for
    /// each operation on a table.
    pub fn work(&self) -> u64 {
        self.work + self.shards.work
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
        self.readings.forget(node);
        if self.jobs.forget(node) {
            self.outputs.push_back(Output::Resume(node.clone()));
        }
        self.forget_watches(node, peer.watches);
        self.forget_shards(node);
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
        if let Some(master) = self.master.take() {
            self.jobs.forget_all(&master);
            self.update_pause(&master);
            self.views.lose_master();
            self.outputs.push_back(Output::Master(None));
        }
        let own = self.id.to_string();
        let globals: Vec<_> =
            self.peers.iter().filter(|(_, peer)| peer.is_global).map(|(node, _)| node.to_string()).collect();
        for node in globals.iter().chain([&own]) {
            self.set_own(GLOBALS, node, Encoded::from(Value::Null));
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
            self.outputs.extend(due.map(|(_, request)| Output::Send(from.clone(), Arc::new(request))));
        }
        if !is_global && request != Request::Global {
            // It is not global any more, if it was (`GLOBAL-21`).
            self.forget_lost(from);
        }
        self.work += shards::TABLE;
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
            Request::Update(change) | Request::OwnUpdate(change) => self.merge(from, Vec::from([change])),
            Request::Find(node) => {
                let addresses = NodeId::new(&node).ok().and_then(|node| self.addresses(&node));
                self.send_now(from, Arc::new(Request::Found(node, addresses)));
            }
            Request::Ask(question, family, id) => self.add_job(from, Job::Answer { question, family, id }),
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
        peer.watching = 0;
        let watches = core::mem::take(&mut peer.watches);
        self.forget_watches(from, watches);
        self.jobs.forget_contents(from, None);
        self.forget_shards(from);
        self.shards.remove(&Source::Own, ADDRESSES, from.as_str());
        self.set_own(GLOBALS, from.as_str(), Encoded::from(Value::Null));
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

    /// What a node may set.
    fn limit(&self, source: &Source) -> Shard {
        let Source::Global(node) = source else { return self.limits.slave };
        let is_listed = self.limits.globals.iter().any(|pattern| matches(pattern, node.as_str()));
        let is_chosen = self.limits.globals.is_empty() && self.peers.get(node).is_some_and(|peer| peer.is_seed);
        if is_listed || is_chosen { self.limits.global } else { self.limits.slave }
    }

    /// Takes changes into the shard of a node (`DB-7`).
    fn merge(&mut self, from: &NodeId, changes: Vec<Change>) {
        let source = self.source(from);
        let limit = self.limit(&source);
        let merged = changes.into_iter().try_for_each(|change| self.change(from, &source, change, limit));
        self.changed(from, merged);
    }

    /// Takes in a change, but for entries that are not allowed (`DB-2`).
    fn change(&mut self, from: &NodeId, source: &Source, change: Change, limit: Shard) -> Result<(), TooMuch> {
        let Change { family, mut set, deleted, mut too_large } = change;
        if !is_family(&family) {
            return Ok(());
        }
        if !self.may_set_all(from, &family) {
            // The others of the same request are taken (`SEC-12`).
            let before = set.len() + too_large.len();
            set.retain(|(key, _)| self.may_set(from, &family, key));
            too_large.retain(|(key, _)| self.may_set(from, &family, key));
            if set.len() + too_large.len() < before {
                self.outputs.push_back(Output::Denied(from.clone(), family.to_string()));
            }
        }
        // What is named in both is set (`DB-6`).
        for key in deleted {
            self.shards.remove(source, &family, &key);
        }
        for (key, value) in set {
            self.shards.set(source, &family, &key, value, limit)?;
        }
        for (key, octets) in too_large {
            // What it was before is no longer true (`DB-31`).
            self.shards.remove(source, &family, &key);
            self.refuse(from, &family, &key, octets);
        }
        Ok(())
    }

    /// Sets what other nodes may set, from now on. What they have set before stays.
    pub fn set_permissions(&mut self, permissions: Permissions) {
        for (node, peer) in &mut self.peers {
            peer.rights = permissions.of(node);
        }
        self.permissions = permissions;
    }

    /// Whether a node may set all entries of a family.
    fn may_set_all(&self, node: &NodeId, family: &str) -> bool {
        let rights = self.peers.get(node).map(|peer| &peer.rights);
        rights.is_none_or(|rights| rights.are_all() || rights.may(Right::Set, family))
    }

    /// Whether a node may set an entry (`SEC-12`).
    fn may_set(&self, node: &NodeId, family: &str, key: &str) -> bool {
        self.peers.get(node).is_none_or(|peer| peer.rights.may_set(node, family, key))
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
        self.check_all();
    }

    /// Gives up the node that holds most, if all together hold too much (`DB-40`).
    fn check_all(&mut self) {
        if self.shards.octets() + self.views.octets() <= self.limits.all {
            return;
        }
        let of_master = self.master.clone().map(|master| (master, self.views.octets()));
        let most = self.shards.largest().into_iter().chain(of_master).max_by_key(|(_, octets)| *octets);
        if let Some((node, _)) = most {
            let text = "all nodes together have set too much in the database, and this one most";
            self.outputs.push_back(Output::Broken(node, text));
        }
    }

    /// Forgets what a node has set: a first portion at once.
    fn forget_shards(&mut self, node: &NodeId) {
        self.shards.lose(&Source::Slave(node.clone()));
        self.shards.lose(&Source::Global(node.clone()));
        self.shards.forget(self.limits.portion as u64);
    }

    fn watched_by(&mut self, node: &NodeId, family: Name) {
        if !is_family(&family) {
            // There is nothing in it, and there never will be (`DB-33`).
            return self.send(node, Request::Contents(Change::new(&family)));
        }
        let Some(peer) = self.peers.get_mut(node) else { return };
        if peer.watches.insert(family.clone()) {
            peer.watching += watch_cost(&family);
        }
        if peer.watches.len() > self.limits.watched {
            return self.outputs.push_back(Output::Broken(node.clone(), "it watches too many families"));
        }
        self.watchers.entry(family.clone()).or_default().insert(node.clone());
        self.add_job(node, Job::Contents { family, cursor: None, has_begun: false });
    }

    fn unwatched_by(&mut self, node: &NodeId, family: Name) {
        if let Some(peer) = self.peers.get_mut(node)
            && peer.watches.remove(&family)
        {
            peer.watching -= watch_cost(&family);
        }
        self.jobs.forget_contents(node, Some(&family));
        self.forget_watches(node, [family].into());
    }

    fn forget_watches(&mut self, node: &NodeId, families: BTreeSet<Name>) {
        for family in families {
            if let Some(watchers) = self.watchers.get_mut(&family) {
                watchers.remove(node);
                if watchers.is_empty() {
                    self.watchers.remove(&family);
                }
            }
        }
    }
}

/// Whether a text fits a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}
