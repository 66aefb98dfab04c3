//! The global protocol as the Perl reference speaks it, faults included: roles, masters, and the database.
//!
//! It merges what arrives, the last value wins, and nothing says who may say what.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

pub type Entries = BTreeMap<String, Value>;
pub type Database = BTreeMap<String, Entries>;

/// What it did that it should not have done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Misdeeds {
    /// It took another master at once and no longer notices the loss of that one.
    pub forgets_master: usize,
    /// It sent `g_upd` to a master that never got its database on this connection.
    pub updates_without_database: usize,
    /// It told a node of changes that has not watched on this connection.
    pub tells_who_left: usize,
    /// A key that was there with the same value before counted as changed, with a new master.
    pub counts_as_changed: usize,
}

impl std::ops::AddAssign for Misdeeds {
    fn add_assign(&mut self, other: Self) {
        self.forgets_master += other.forgets_master;
        self.updates_without_database += other.updates_without_database;
        self.tells_who_left += other.tells_who_left;
        self.counts_as_changed += other.counts_as_changed;
    }
}

pub struct Roles {
    id: NodeId,
    /// What it has set itself; those of a global are a shard as well.
    own: Database,
    is_global: bool,
    master: Option<NodeId>,
    notices_master: bool,
    /// The present connection to the master began with its database.
    registered: bool,
    up: BTreeSet<NodeId>,
    seeds: BTreeSet<NodeId>,
    globals: BTreeSet<NodeId>,
    shards: BTreeMap<NodeId, Database>,
    merged: Database,
    slaves: BTreeSet<NodeId>,
    /// By family. A node that goes stays in.
    watchers: BTreeMap<String, BTreeSet<NodeId>>,
    /// Those of the present connections.
    rightful: BTreeSet<(String, NodeId)>,
    views: Database,
    searched: BTreeSet<NodeId>,
    pub sends: Vec<(NodeId, Vec<Value>)>,
    /// Where nodes are that were searched.
    pub found: Vec<(NodeId, Option<Value>)>,
    pub misdeeds: Misdeeds,
}

fn message<const N: usize>(elements: [Value; N]) -> Vec<Value> {
    elements.into()
}

fn map(entries: &Entries) -> Value {
    Value::Map(entries.clone())
}

fn whole(database: &Database) -> Value {
    Value::Map(database.iter().map(|(family, entries)| (family.clone(), map(entries))).collect())
}

fn texts(keys: &[String]) -> Value {
    Value::Array(keys.iter().map(|key| key.as_str().into()).collect())
}

fn database(value: Option<&Value>) -> Option<Database> {
    let Some(Value::Map(families)) = value else { return None };
    let entries = |value: &Value| if let Value::Map(entries) = value { entries.clone() } else { Entries::new() };
    Some(families.iter().map(|(family, value)| (family.clone(), entries(value))).collect())
}

impl Roles {
    /// `seeds` are the nodes at its seeds.
    pub fn new(id: NodeId, addresses: Value, families: &[&str], seeds: BTreeSet<NodeId>) -> Self {
        Roles {
            own: [("'l".to_owned(), [(id.to_string(), addresses)].into())].into(),
            id,
            is_global: false,
            master: None,
            notices_master: true,
            registered: false,
            up: BTreeSet::new(),
            seeds,
            globals: BTreeSet::new(),
            shards: BTreeMap::new(),
            merged: Database::new(),
            slaves: BTreeSet::new(),
            watchers: BTreeMap::new(),
            rightful: BTreeSet::new(),
            views: families.iter().map(|family| ((*family).to_owned(), Entries::new())).collect(),
            searched: BTreeSet::new(),
            sends: Vec::new(),
            found: Vec::new(),
            misdeeds: Misdeeds::default(),
        }
    }

    pub fn is_global(&self) -> bool {
        self.is_global
    }

    /// Its master, if that has got its database and is told of each change.
    pub fn registered_at(&self) -> Option<&NodeId> {
        self.master.as_ref().filter(|_| self.registered)
    }

    pub fn master(&self) -> Option<&NodeId> {
        self.master.as_ref()
    }

    /// The globals to which it keeps connections.
    pub fn wanted(&self) -> BTreeSet<NodeId> {
        let globals = self.merged.get("'g").filter(|_| self.is_global).into_iter().flatten();
        globals.filter_map(|(node, _)| NodeId::new(node).ok()).filter(|node| *node != self.id).collect()
    }

    pub fn addresses(&self, node: &NodeId) -> Option<&Value> {
        self.merged.get("'l")?.get(node.as_str())
    }

    fn send<const N: usize>(&mut self, to: &NodeId, elements: [Value; N]) {
        self.sends.push((to.clone(), message(elements)));
    }

    // --- what it sets ---

    pub fn set(&mut self, family: &str, key: &str, value: Value) {
        self.change_own(family, &[(key.to_owned(), value)].into(), &[]);
    }

    pub fn delete(&mut self, family: &str, key: &str) {
        self.change_own(family, &Entries::new(), &[key.to_owned()]);
    }

    fn change_own(&mut self, family: &str, set: &Entries, deleted: &[String]) {
        let own = self.own.entry(family.to_owned()).or_default();
        if set.iter().all(|(key, value)| own.get(key) == Some(value)) && !deleted.iter().any(|key| own.contains_key(key)) {
            return;
        }
        own.extend(set.clone());
        deleted.iter().for_each(|key| drop(own.remove(key)));
        if self.is_global {
            return self.update(&self.id.clone(), family, set, deleted);
        }
        let Some(master) = self.master.clone() else { return };
        self.misdeeds.updates_without_database += usize::from(!self.registered);
        match deleted.is_empty() {
            true => self.send(&master, ["g_upd".into(), family.into(), map(set)]),
            false => self.send(&master, ["g_upd".into(), family.into(), Value::Null, texts(deleted)]),
        }
    }

    /// Says again what it has said.
    pub fn repeat(&mut self) {
        for seed in self.seeds.intersection(&self.up).cloned().collect::<Vec<_>>() {
            self.send(&seed, ["g_slave".into()]);
            self.send(&seed, ["g_find".into(), seed.as_str().into()]);
            if self.registered && self.master.as_ref() == Some(&seed) {
                self.send(&seed, ["g_slave".into(), whole(&self.own)]);
            }
        }
    }

    // --- who is there ---

    pub fn up(&mut self, node: &NodeId) {
        self.up.insert(node.clone());
        if self.is_global {
            self.send(node, ["g_global".into()]);
        }
        if self.seeds.contains(node) {
            self.send(node, ["g_slave".into()]);
            if !self.is_global && self.master.is_none() {
                self.take_master(node, true);
            }
            self.send(node, ["g_find".into(), node.as_str().into()]);
        }
    }

    /// A node turns out to be at one of its seeds.
    pub fn seed(&mut self, node: &NodeId) {
        if self.seeds.insert(node.clone()) && self.up.contains(node) {
            self.send(node, ["g_slave".into()]);
        }
    }

    /// A connection is gone, of which it may not have noticed anything.
    pub fn unregister(&mut self, node: &NodeId) {
        self.registered &= self.master.as_ref() != Some(node);
        self.rightful.retain(|(_, watcher)| watcher != node);
    }

    /// It has noticed that a connection is lost.
    pub fn down(&mut self, node: &NodeId) {
        self.unregister(node);
        self.up.remove(node);
        if self.is_global {
            self.disconnect(node);
        }
        self.globals.remove(node);
        if self.master.as_ref() == Some(node) && self.notices_master {
            self.master = None;
            if let Some(next) = self.seeds.intersection(&self.up).next().cloned() {
                self.misdeeds.forgets_master += 1;
                self.take_master(&next, false);
            }
        }
    }

    fn take_master(&mut self, node: &NodeId, notices: bool) {
        (self.master, self.notices_master, self.registered) = (Some(node.clone()), notices, true);
        self.send(node, ["g_slave".into(), whole(&self.own)]);
        for family in self.views.keys().cloned().collect::<Vec<_>>() {
            self.send(node, ["g_mon1".into(), family.into()]);
        }
        for searched in self.searched.clone() {
            self.send(node, ["g_find".into(), searched.as_str().into()]);
        }
    }

    /// Searches a node; whether anything will come of it.
    pub fn find(&mut self, node: &NodeId) {
        if self.is_global {
            let addresses = self.addresses(node).cloned();
            return self.found.push((node.clone(), addresses));
        }
        self.searched.insert(node.clone());
        if let Some(master) = self.master.clone().filter(|master| master != node) {
            self.send(&master, ["g_find".into(), node.as_str().into()]);
        }
    }

    pub fn become_global(&mut self) {
        if mem::replace(&mut self.is_global, true) {
            return;
        }
        (self.master, self.registered) = (None, false);
        let id = self.id.clone();
        for (family, entries) in self.own.clone() {
            self.update(&id, &family, &entries, &[]);
        }
        self.change_own("'g", &[(id.to_string(), Value::Null)].into(), &[]);
        for node in self.up.clone() {
            self.send(&node, ["g_global".into()]);
        }
        for node in self.globals.clone() {
            self.greet(&node);
        }
    }

    /// A global says that it is one.
    fn greet(&mut self, node: &NodeId) {
        self.disconnect(node);
        self.globals.insert(node.clone());
        self.change_own("'g", &[(node.to_string(), Value::Null)].into(), &[]);
        let mut part = Database::new();
        for source in self.slaves.difference(&self.globals).chain([&self.id]) {
            for (family, entries) in self.shards.get(source).into_iter().flatten() {
                part.entry(family.clone()).or_default().extend(entries.clone());
            }
        }
        self.send(node, ["g_set".into(), whole(&part)]);
    }

    fn disconnect(&mut self, node: &NodeId) {
        self.change_own("'g", &Entries::new(), &[node.to_string()]);
        self.change_own("'l", &Entries::new(), &[node.to_string()]);
        for (family, entries) in self.shards.get(node).cloned().unwrap_or_default() {
            let keys: Vec<_> = entries.into_keys().collect();
            self.update(node, &family, &Entries::new(), &keys);
        }
        self.shards.remove(node);
        self.slaves.remove(node);
    }

    /// What a node has set is different.
    fn update(&mut self, node: &NodeId, family: &str, set: &Entries, deleted: &[String]) {
        let is_ours = |node: &NodeId| *node == self.id || (self.slaves.contains(node) && !self.globals.contains(node));
        let is_own = is_ours(node);
        let (mut told, mut seen, mut gone) = (set.clone(), set.clone(), Vec::new());
        let mut told_gone = Vec::new();
        let shard = self.shards.entry(node.clone()).or_default().entry(family.to_owned()).or_default();
        deleted.iter().for_each(|key| drop(shard.remove(key)));
        shard.extend(set.clone());
        for key in deleted.iter().filter(|key| !set.contains_key(*key)) {
            let mut others = self.shards.iter().filter_map(|(other, shard)| Some((other, shard.get(family)?.get(key)?)));
            match others.next() {
                Some((other, value)) => {
                    let is_ours = is_ours(other);
                    drop(if is_ours { told.insert(key.clone(), value.clone()) } else { None });
                    told_gone.extend((!is_ours).then(|| key.clone()));
                    seen.insert(key.clone(), value.clone());
                }
                None => {
                    told_gone.push(key.clone());
                    gone.push(key.clone());
                }
            }
        }
        let merged = self.merged.entry(family.to_owned()).or_default();
        gone.iter().for_each(|key| drop(merged.remove(key)));
        merged.extend(seen.clone());
        if is_own && (!told.is_empty() || !told_gone.is_empty()) {
            for global in self.globals.clone() {
                self.send(&global, ["g_upd".into(), family.into(), map(&told), texts(&told_gone)]);
            }
        }
        for watcher in self.watchers.get(family).cloned().unwrap_or_default() {
            self.misdeeds.tells_who_left += usize::from(!self.rightful.contains(&(family.to_owned(), watcher.clone())));
            self.send(&watcher, ["g_chg2".into(), family.into(), map(&seen), texts(&gone)]);
        }
    }

    // --- what others say ---

    /// A request, without its name, from a node.
    pub fn receive(&mut self, from: &NodeId, request: &str, arguments: &[Value]) {
        let text = |place: usize| match arguments.get(place) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        match request {
            "g_slave" => {
                self.become_global();
                self.slaves.insert(from.clone());
                for (family, entries) in database(arguments.first()).unwrap_or_default() {
                    self.update(from, &family, &entries, &[]);
                }
            }
            "g_global" if self.is_global => self.greet(from),
            "g_global" => drop(self.globals.insert(from.clone())),
            "g_found" => self.hear_found(&text(0), arguments.get(1)),
            "g_chg1" | "g_chg2" if self.master.as_ref() == Some(from) => self.see(request == "g_chg1", &text(0), arguments),
            _ if self.is_global => self.receive_as_global(from, request, arguments),
            _ => {}
        }
    }

    fn hear_found(&mut self, node: &str, addresses: Option<&Value>) {
        let node = NodeId::new(node).expect("a node ID");
        if self.searched.remove(&node) {
            self.found.push((node, addresses.filter(|addresses| **addresses != Value::Null).cloned()));
        }
    }

    fn receive_as_global(&mut self, from: &NodeId, request: &str, arguments: &[Value]) {
        let Some(Value::Text(name)) = arguments.first() else {
            if let ("g_set", Some(part)) = (request, database(arguments.first())) {
                let addresses = part.get("'l").and_then(|family| family.get(from.as_str())).cloned().unwrap_or_default();
                for (family, entries) in part {
                    self.update(from, &family, &entries, &[]);
                }
                self.change_own("'l", &[(from.to_string(), addresses)].into(), &[]);
            }
            return;
        };
        let contents = self.merged.get(name).cloned().unwrap_or_default();
        match request {
            "g_upd" => {
                let set = if let Some(Value::Map(set)) = arguments.get(1) { set.clone() } else { Entries::new() };
                let deleted: Vec<String> = match arguments.get(2) {
                    Some(Value::Array(keys)) => keys.iter().filter_map(|key| Some(key.text()?.into_owned())).collect(),
                    _ => Vec::new(),
                };
                self.update(from, name, &set, &deleted);
            }
            "g_find" => {
                let addresses = NodeId::new(name).ok().and_then(|node| self.addresses(&node).cloned());
                self.send(from, ["g_found".into(), name.as_str().into(), addresses.unwrap_or_default()]);
            }
            "g_mon1" => {
                self.watchers.entry(name.clone()).or_default().insert(from.clone());
                self.rightful.insert((name.clone(), from.clone()));
                let contents = if contents.is_empty() { Value::Null } else { Value::Map(contents) };
                self.send(from, ["g_chg1".into(), name.as_str().into(), contents]);
            }
            "g_mon0" => {
                self.watchers.entry(name.clone()).or_default().remove(from);
                self.rightful.remove(&(name.clone(), from.clone()));
            }
            "g_db_family" | "g_db_keys" | "g_db_values" => {
                let answer = match request {
                    "g_db_family" => Value::Map(contents),
                    "g_db_keys" => Value::Array(contents.into_keys().map(Value::from).collect()),
                    _ => Value::Array(contents.into_values().collect()),
                };
                let id = arguments.get(1).cloned().unwrap_or_default();
                self.send(from, ["g_reply".into(), id, answer]);
            }
            _ => {}
        }
    }

    /// The master tells of a family.
    fn see(&mut self, is_all: bool, family: &str, arguments: &[Value]) {
        let Some(view) = self.views.get_mut(family) else { return };
        let set = if let Some(Value::Map(set)) = arguments.get(1) { set.clone() } else { Entries::new() };
        if is_all {
            let same = set.iter().filter(|(key, value)| view.get(*key) == Some(value));
            self.misdeeds.counts_as_changed += same.count();
            view.clear();
        }
        if let Some(Value::Array(keys)) = arguments.get(2) {
            keys.iter().filter_map(Value::text).for_each(|key| drop(view.remove(&*key)));
        }
        view.extend(set);
    }
}
