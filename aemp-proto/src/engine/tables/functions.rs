//! How functions may be used, and how many ports peers may spawn with them.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::keys::FunctionId;
use crate::names::NodeId;

/// How a registered function may be used (`NODE-7`, `NODE-16`).
///
/// Give each function what it needs, and no more. A port that was spawned stays until something ends it, so a function that
/// does its work at once and makes no port should only be callable.
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

/// The names of the functions that were registered. Their code is the host's.
#[derive(Default)]
pub(in crate::engine) struct Functions {
    by_name: BTreeMap<Box<str>, (Access, FunctionId)>,
    last: u64,
}

impl Functions {
    /// Registers a function. One that has that name already gives way to it, and passes on its ID.
    pub(in crate::engine) fn insert(&mut self, name: &str, access: Access) -> FunctionId {
        if let Some((before, id)) = self.by_name.get_mut(name) {
            *before = access;
            return *id;
        }
        self.last += 1;
        let id = FunctionId(self.last);
        self.by_name.insert(name.into(), (access, id));
        id
    }

    /// Whether there is a function of that name, whatever it may be used for (`NODE-4`).
    pub(in crate::engine) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Returns the function, if it may be called.
    pub(in crate::engine) fn to_call(&self, name: &str) -> Option<FunctionId> {
        self.by_name.get(name).filter(|(access, _)| access.call).map(|(_, function)| *function)
    }

    /// Returns the function, if it may be spawned.
    pub(in crate::engine) fn to_spawn(&self, name: &str) -> Option<FunctionId> {
        self.by_name.get(name).filter(|(access, _)| access.spawn).map(|(_, function)| *function)
    }
}

/// How many ports peers have spawned that have not ended.
#[derive(Default)]
pub(in crate::engine) struct Spawned {
    of_node: BTreeMap<NodeId, usize>,
    all: usize,
    /// The octets of their names.
    octets: usize,
}

impl Spawned {
    /// How many there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.all
    }

    /// How many of them one node has spawned.
    pub(in crate::engine) fn of(&self, node: &NodeId) -> usize {
        self.of_node.get(node).copied().unwrap_or_default()
    }

    /// The octets of their names.
    pub(in crate::engine) fn octets(&self) -> usize {
        self.octets
    }

    pub(in crate::engine) fn add(&mut self, node: &NodeId, name: &str) {
        *self.of_node.entry(node.clone()).or_default() += 1;
        self.all += 1;
        self.octets += name.len();
    }

    pub(in crate::engine) fn remove(&mut self, node: &NodeId, name: &str) {
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
