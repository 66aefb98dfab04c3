//! Ports: the table of them, and the code that they run.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::context::Context;
use super::monitors::Monitors;
use super::reasons::Outcome;
use super::timer::TimerKey;
use super::watch::{Watch, WatchId};
use crate::framing::Elements;
use crate::global::QuestionId;
use crate::names::{LONGEST, NodeId, PortId, PortNames};

/// What a port does with a message: it gets the elements behind the port name, or behind the tag. It must not block.
pub type Handler = Box<dyn FnMut(&mut Context<'_>, Elements<'_>) -> Outcome>;

/// Which port: its slot in the low half, and how often the slot has been used in the high half, so that no two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PortKey(u64);

impl PortKey {
    fn new(slot: usize, generation: u32) -> Self {
        PortKey(slot as u64 | u64::from(generation) << 32)
    }

    pub(super) fn slot(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A port that has not ended.
pub(super) struct Port {
    code: Code,
    /// It was made by name or by spawning: it ignores what it has no code for (`PORT-3`).
    named: Option<Box<str>>,
    /// Other nodes cannot end it (`KILL-4`).
    pub(super) protected: bool,
    /// Who is told when it ends.
    pub(super) monitors: Option<Box<Monitors>>,
    pub(super) held: Option<Box<Held>>,
}

/// What goes with a port: when it ends, nothing of this happens any more.
#[derive(Default)]
pub(super) struct Held {
    /// The watches that it has set, and on what.
    pub(super) watches: BTreeMap<WatchId, PortId>,
    pub(super) timers: BTreeSet<TimerKey>,
    /// The ports for the answers to its calls.
    pub(super) calls: BTreeSet<PortKey>,
    /// What it has asked about the database.
    pub(super) questions: BTreeSet<QuestionId>,
    /// The node that has spawned it, if another one has.
    pub(super) spawned_by: Option<NodeId>,
}

impl Port {
    /// It was made by name or by spawning.
    pub(super) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// Whether another node has spawned it.
    pub(super) fn is_spawned_by(&self, node: &NodeId) -> bool {
        self.held.as_ref().is_some_and(|held| held.spawned_by.as_ref() == Some(node))
    }

    /// Has something go with the port.
    pub(super) fn hold(&mut self) -> &mut Held {
        self.held.get_or_insert_default()
    }

    /// Who is told when it ends.
    pub(super) fn monitors(&mut self) -> &mut Monitors {
        self.monitors.get_or_insert_default()
    }
}

/// The code of a port.
#[derive(Default)]
pub(super) struct Code {
    default: Option<Handler>,
    tags: Vec<(Box<str>, Handler)>,
    /// Changes that were made while the code ran; `None` while it does not run.
    running: Option<Vec<Change>>,
}

enum Change {
    Default(Option<Handler>),
    Tag(Box<str>, Option<Handler>),
}

impl Code {
    /// Makes a change, or notes it for later; gives the code that is of no use any more.
    fn change(&mut self, change: Change) -> Option<Handler> {
        if let Some(changes) = &mut self.running {
            changes.push(change);
            return None;
        }
        self.apply(change)
    }

    fn apply(&mut self, change: Change) -> Option<Handler> {
        match change {
            Change::Default(handler) => core::mem::replace(&mut self.default, handler),
            Change::Tag(tag, handler) => {
                let place = self.tags.iter().position(|(other, _)| *other == tag);
                let before = place.map(|place| self.tags.swap_remove(place).1);
                self.tags.extend(handler.map(|handler| (tag, handler)));
                before
            }
        }
    }
}

/// Code that is of no use any more: to drop it is to run code of its author's.
pub(super) enum Discarded {
    Code(#[expect(dead_code, reason = "it is only dropped")] Code),
    Handlers(#[expect(dead_code, reason = "they are only dropped")] Vec<Handler>),
}

/// The code of a port, taken out of the table while it runs.
pub(super) struct Running {
    key: PortKey,
    code: Code,
    lenient: bool,
}

/// What running the code of a port came to.
pub(super) enum Ran {
    Done(Outcome),
    /// There was no code for the message, which has this tag.
    Unhandled(String),
}

impl Running {
    /// Runs the code that is for the message.
    pub(super) fn run(&mut self, context: &mut Context<'_>, elements: Elements<'_>) -> Ran {
        if !self.code.tags.is_empty() {
            let mut behind = elements.clone();
            if let Some(tag) = behind.name()
                && let Some((_, handler)) = self.code.tags.iter_mut().find(|(other, _)| **other == *tag)
            {
                return Ran::Done(handler(context, behind));
            }
        }
        match &mut self.code.default {
            Some(handler) => Ran::Done(handler(context, elements)),
            None if self.lenient => Ran::Done(Ok(())),
            None => Ran::Unhandled(elements.clone().name().unwrap_or_default().into_owned()),
        }
    }
}

/// The ports of a node.
pub(super) struct Ports {
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
    pub(super) fn new(names: PortNames) -> Self {
        Ports { names, slots: Vec::new(), free: Vec::new(), by_name: BTreeMap::new() }
    }

    /// Makes a port without code; `None` if there is one of that name, or none can have it (`LIMIT-9`).
    pub(super) fn make(&mut self, name: Option<&str>) -> Option<PortKey> {
        // A name of the generated form stands for a generated port, now or later.
        let taken = |name: &str| {
            name.is_empty() || name.len() > LONGEST || self.names.number(name).is_some() || self.by_name.contains_key(name)
        };
        if name.is_some_and(taken) {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, port: None });
            self.slots.len() - 1
        });
        let key = PortKey::new(slot, self.slots[slot].generation);
        if let Some(name) = name {
            self.by_name.insert(name.into(), key);
        }
        self.slots[slot].port =
            Some(Port { code: Code::default(), named: name.map(Into::into), protected: false, monitors: None, held: None });
        Some(key)
    }

    /// How many ports there are.
    pub(super) fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.port.is_some()).count()
    }

    /// Takes a port out of the table: it has ended.
    pub(super) fn remove(&mut self, key: PortKey) -> Option<Port> {
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

    pub(super) fn get(&mut self, key: PortKey) -> Option<&mut Port> {
        let slot = self.slots.get_mut(key.slot())?;
        if slot.generation == key.generation() { slot.port.as_mut() } else { None }
    }

    /// Finds a port by its name, generated or given.
    pub(super) fn find(&mut self, name: &str) -> Option<PortKey> {
        match self.names.number(name).map(PortKey) {
            Some(key) => self.get(key).filter(|port| port.named.is_none()).map(|_| key),
            None => self.by_name.get(name).copied(),
        }
    }

    /// The name of a port, also of one that has ended if it was a generated one.
    pub(super) fn name(&mut self, key: PortKey) -> String {
        match self.get(key).and_then(|port| port.named.as_deref()) {
            Some(name) => name.into(),
            None => self.names.name(key.0),
        }
    }

    /// Gives the code that is of no use any more.
    pub(super) fn set_default(&mut self, key: PortKey, handler: Option<Handler>) -> Option<Handler> {
        self.get(key)?.code.change(Change::Default(handler))
    }

    /// Gives the code that is of no use any more.
    pub(super) fn set_tag(&mut self, key: PortKey, tag: &str, handler: Option<Handler>) -> Option<Handler> {
        self.get(key)?.code.change(Change::Tag(tag.into(), handler))
    }

    /// Takes the code of a port out to run it.
    pub(super) fn take_code(&mut self, key: PortKey) -> Option<Running> {
        let port = self.get(key)?;
        if port.code.running.is_some() {
            return None;
        }
        let code = core::mem::replace(&mut port.code, Code { running: Some(Vec::new()), ..Code::default() });
        Some(Running { key, code, lenient: port.named.is_some() })
    }

    /// Puts code back that has run, with the changes that were made meanwhile; gives what is of no use any more.
    pub(super) fn put_back(&mut self, running: Running) -> Option<Discarded> {
        let Some(port) = self.get(running.key) else { return Some(Discarded::Code(running.code)) };
        let changes = core::mem::replace(&mut port.code, running.code).running.unwrap_or_default();
        if changes.is_empty() {
            return None;
        }
        Some(Discarded::Handlers(changes.into_iter().flat_map(|change| port.code.apply(change)).collect()))
    }

    /// Takes a watch off a port.
    pub(super) fn unwatch(&mut self, key: PortKey, id: WatchId) -> Option<Watch> {
        self.get(key)?.monitors.as_mut()?.own.remove(id)
    }
}
