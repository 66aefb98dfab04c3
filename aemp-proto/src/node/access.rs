//! How functions may be used, and how many ports peers may spawn with them.

use alloc::collections::BTreeMap;

use super::NodeEvent;
use super::core::{Core, Function};
use super::denials::Denied;
use super::port::PortKey;
use crate::names::NodeId;

/// How a registered function may be used (`NODE-7`, `NODE-16`).
///
/// Give each function what it needs, and no more. A port that was spawned stays until something ends it, so a function that does its work at once
/// and makes no port should only be callable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    call: bool,
    spawn: bool,
}

impl Access {
    /// Others may call the function.
    pub const CALL: Access = Access { call: true, spawn: false };
    /// Others may spawn ports with the function.
    pub const SPAWN: Access = Access { call: false, spawn: true };
    /// Others may do both.
    pub const BOTH: Access = Access { call: true, spawn: true };
}

/// The functions that were registered.
#[derive(Default)]
pub(super) struct Functions(BTreeMap<alloc::boxed::Box<str>, (Access, Function)>);

impl Functions {
    pub(super) fn insert(&mut self, name: &str, access: Access, function: Function) -> Option<Function> {
        self.0.insert(name.into(), (access, function)).map(|(_, before)| before)
    }

    /// Whether there is a function of that name, whatever it may be used for (`NODE-4`).
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The function, if it may be called.
    pub(super) fn to_call(&self, name: &str) -> Option<Function> {
        self.0.get(name).filter(|(access, _)| access.call).map(|(_, function)| function.clone())
    }

    /// The function, if it may be spawned.
    pub(super) fn to_spawn(&self, name: &str) -> Option<Function> {
        self.0.get(name).filter(|(access, _)| access.spawn).map(|(_, function)| function.clone())
    }
}

/// How many ports peers have spawned that have not ended.
#[derive(Default)]
pub(super) struct Spawned {
    of_node: BTreeMap<NodeId, usize>,
    all: usize,
    /// The octets of their names.
    octets: usize,
}

impl Spawned {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all
    }

    /// How many of them one node has spawned.
    pub(super) fn of(&self, node: &NodeId) -> usize {
        self.of_node.get(node).copied().unwrap_or_default()
    }

    /// The octets of their names.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    fn add(&mut self, node: &NodeId, name: &str) {
        *self.of_node.entry(node.clone()).or_default() += 1;
        self.all += 1;
        self.octets += name.len();
    }

    fn remove(&mut self, node: &NodeId, name: &str) {
        if let Some(count) = self.of_node.get_mut(node) {
            *count -= 1;
            self.all -= 1;
            self.octets -= name.len();
            if *count == 0 {
                self.of_node.remove(node);
            }
        }
    }
}

impl Core {
    /// Makes a port that a peer spawns; none if the name is taken, or the peer has spawned as many as it may (`SPAWN-3`, `SPAWN-5`).
    pub(super) fn make_spawned(&mut self, name: &str, source: &NodeId) -> Option<PortKey> {
        let config = &self.config;
        if self.spawned_ports.of(source) >= config.spawned_by_peer || self.spawned_ports.len() >= config.spawned {
            self.denied(source, Denied::TooManySpawned, name);
            return None;
        }
        let port = self.ports.make(Some(name))?;
        self.ports.get(port)?.hold().spawned_by = Some(source.clone());
        self.spawned_ports.add(source, name);
        Some(port)
    }

    /// A port that a peer has spawned has ended.
    pub(super) fn spawned_ended(&mut self, spawned_by: Option<NodeId>, name: &str) {
        if let Some(node) = spawned_by {
            self.spawned_ports.remove(&node, name);
        }
    }

    /// Tells the operator of something that was denied, once for each of its kind.
    pub(super) fn denied(&mut self, source: &NodeId, what: Denied, name: &str) {
        if self.denials.note(source, what, name) {
            self.events.push_back(NodeEvent::Denied { source: source.clone(), what, name: name.into() });
        }
    }
}
