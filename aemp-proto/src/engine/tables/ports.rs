//! The ports of a node: which there are, who monitors them, and what goes with them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::keys::{DataKey, MonitorId, PortKey, TimerKey};
use super::monitors::{Monitor, Observers};
use crate::global::QuestionId;
use crate::names::{LONGEST, NodeId, PortId, PortNames};

/// A port that has not ended.
pub(in crate::engine) struct Port {
    /// It was made by name or by spawning: it ignores what it has no code for (`PORT-3`).
    named: Option<Box<str>>,
    /// Other nodes cannot end it (`KILL-4`).
    pub(in crate::engine) protected: bool,
    /// Who is told when it ends.
    pub(in crate::engine) observers: Option<Box<Observers>>,
    pub(in crate::engine) held: Option<Box<Held>>,
    /// The engine handles its messages itself, not the host.
    is_internal: bool,
}

/// What goes with a port: when it ends, nothing of this happens any more.
#[derive(Default)]
pub(in crate::engine) struct Held {
    /// The monitors that it has set, and on what.
    pub(in crate::engine) monitors: BTreeMap<MonitorId, PortId>,
    pub(in crate::engine) timers: BTreeSet<TimerKey>,
    /// Ports that end with it, such as those for the answers to its calls.
    pub(in crate::engine) attached: BTreeSet<PortKey>,
    /// What it has asked about the database.
    pub(in crate::engine) questions: BTreeSet<QuestionId>,
    /// The node that has spawned it, if another one has.
    pub(in crate::engine) spawned_by: Option<NodeId>,
    /// The data connection whose other side shows with a message to this port that it expects it (`DATA-20`).
    pub(in crate::engine) echo: Option<DataKey>,
}

impl Port {
    /// It was made by name or by spawning.
    pub(in crate::engine) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// Whether another node has spawned it.
    pub(in crate::engine) fn is_spawned_by(&self, node: &NodeId) -> bool {
        self.held.as_ref().is_some_and(|held| held.spawned_by.as_ref() == Some(node))
    }

    /// Whether the engine handles its messages itself.
    #[inline]
    pub(in crate::engine) fn is_internal(&self) -> bool {
        self.is_internal
    }

    /// Has the engine handle its messages: they are echoes of a data connection.
    pub(in crate::engine) fn wait_for_echo(&mut self, key: DataKey) {
        self.is_internal = true;
        self.hold().echo = Some(key);
    }

    /// Has something go with the port.
    pub(in crate::engine) fn hold(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    /// Who is told when it ends.
    pub(in crate::engine) fn observers(&mut self) -> &mut Observers {
        self.observers.get_or_insert_default()
    }
}

/// The ports of a node.
pub(in crate::engine) struct Ports {
    names: PortNames,
    slots: Vec<Slot>,
    free: Vec<usize>,
    by_name: BTreeMap<Box<str>, PortKey>,
}

struct Slot {
    generation: u32,
    port: Option<Port>,
}

impl Ports {
    pub(in crate::engine) fn new(names: PortNames) -> Self {
        Ports { names, slots: Vec::new(), free: Vec::new(), by_name: BTreeMap::new() }
    }

    /// Makes a port with a generated name.
    pub(in crate::engine) fn make_unnamed(&mut self) -> PortKey {
        self.fill(None)
    }

    /// Makes a port; `None` if there is one of that name, or none can have it (`LIMIT-9`).
    pub(in crate::engine) fn make(&mut self, name: &str) -> Option<PortKey> {
        // A name of the generated form stands for a generated port, now or later.
        let taken =
            name.is_empty() || name.len() > LONGEST || self.names.number(name).is_some() || self.by_name.contains_key(name);
        if taken {
            return None;
        }
        let key = self.fill(Some(name.into()));
        self.by_name.insert(name.into(), key);
        Some(key)
    }

    fn fill(&mut self, named: Option<Box<str>>) -> PortKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, port: None });
            self.slots.len() - 1
        });
        let key = PortKey::new(slot, self.slots[slot].generation);
        self.slots[slot].port = Some(Port { named, protected: false, observers: None, held: None, is_internal: false });
        key
    }

    /// How many ports there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.port.is_some()).count()
    }

    /// Takes a port out of the table: it has ended.
    pub(in crate::engine) fn remove(&mut self, key: PortKey) -> Option<Port> {
        self.get(key)?;
        let slot = &mut self.slots[key.slot()];
        let port = slot.port.take()?;
        // A slot whose generations are used up rests: no name comes back.
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            self.free.push(key.slot());
        }
        if let Some(name) = &port.named {
            self.by_name.remove(name);
        }
        Some(port)
    }

    pub(in crate::engine) fn get_mut(&mut self, key: PortKey) -> Option<&mut Port> {
        let slot = self.slots.get_mut(key.slot())?;
        if slot.generation == key.generation() { slot.port.as_mut() } else { None }
    }

    #[inline]
    pub(in crate::engine) fn get(&self, key: PortKey) -> Option<&Port> {
        let slot = self.slots.get(key.slot())?;
        if slot.generation == key.generation() { slot.port.as_ref() } else { None }
    }

    /// Finds a port by its name, generated or given.
    pub(in crate::engine) fn find(&self, name: &str) -> Option<PortKey> {
        match self.names.number(name).map(PortKey::from_number) {
            Some(key) => self.get(key).filter(|port| port.named.is_none()).map(|_| key),
            None => self.by_name.get(name).copied(),
        }
    }

    /// The name of a port, also of one that has ended if it was a generated one.
    pub(in crate::engine) fn name(&self, key: PortKey) -> String {
        match self.get(key).and_then(|port| port.named.as_deref()) {
            Some(name) => name.into(),
            None => self.names.name(key.number()),
        }
    }

    /// Whether a port has not ended.
    #[inline]
    pub(in crate::engine) fn has(&self, key: PortKey) -> bool {
        self.slots.get(key.slot()).is_some_and(|slot| slot.generation == key.generation() && slot.port.is_some())
    }

    /// Takes a monitor off a port.
    pub(in crate::engine) fn demonitor(&mut self, key: PortKey, id: MonitorId) -> Option<Monitor> {
        self.get_mut(key)?.observers.as_mut()?.own.remove(id)
    }
}
