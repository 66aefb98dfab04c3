//! Keys: what the tables of the engine call their entries.

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use crate::global::{FamilyWatch, Owner, QuestionId};
use crate::names::{NodeId, PortId};

/// Names a port within its node. No two ports of a node ever have the same key.
///
/// A host that keeps something for each port can use [`slot`](Self::slot) as an index: slots are small numbers and are used
/// again when a port ends. The key also counts how often the slot was used, so compare whole keys before you trust an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey(u64);

impl PortKey {
    pub(in crate::engine) fn new(slot: usize, generation: u32) -> Self {
        PortKey(slot as u64 | u64::from(generation) << 32)
    }

    pub(in crate::engine) fn from_number(number: u64) -> Self {
        PortKey(number)
    }

    /// Returns the slot and its generation as one number, from which the port's generated name is made.
    pub(in crate::engine) fn number(self) -> u64 {
        self.0
    }

    /// Returns the place of the port in a table, which is used again for another port after this one has ended.
    #[inline]
    pub fn slot(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    #[inline]
    pub(in crate::engine) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A number by which a host knows its own piece of work: a task, a callback, a timer. The engine keeps it and hands it back;
/// the number means nothing to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Names a registered function. A function that takes the place of another one under the same name has the same ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub(in crate::engine) u64);

/// Names a monitor. No two monitors of a node ever have the same ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::engine) struct MonitorId(pub(in crate::engine) u64);

/// A monitor that was set, to take it back.
///
/// Dropping the handle does nothing: the monitor stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorHandle {
    pub(in crate::engine) target: PortId,
    pub(in crate::engine) id: MonitorId,
}

/// When a timer is due, and which of those that are due at that time.
pub(in crate::engine) type TimerKey = (Duration, u64);

/// A timer that was set, to cancel it. Dropping the handle does nothing: the timer stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerHandle(pub(in crate::engine) TimerKey);

/// Names a connection of a node. The number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(in crate::engine) u64);

/// Names one attempt to dial an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(in crate::engine) Dial);

/// Why an address is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::engine) enum Dial {
    /// The seed of that place.
    Seed(usize),
    /// An address of a node that is searched.
    Search(u64),
    /// An address of a node for a data connection.
    Data(u64),
}

/// An entry of this node that was set, to remove it.
///
/// Dropping it does nothing: the entry stays.
#[derive(Debug, Clone, PartialEq)]
pub struct DbEntry {
    pub(in crate::engine) family: String,
    pub(in crate::engine) key: String,
    pub(in crate::engine) owner: Owner,
}

impl DbEntry {
    /// The family that it is in.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Something that a host keeps for the engine and that the engine will never ask for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Released {
    /// The port has ended: no message will be delivered to it.
    Port(PortKey),
    /// The work will not be asked for.
    Token(Token),
    /// The question will not be answered.
    Question(QuestionId),
    /// The view is closed.
    View(FamilyWatch),
}

/// Names a data connection: the node at the other end, and the ID. The same ID of another node names another connection
/// (`DATA-3`).
pub(in crate::engine) type DataKey = (NodeId, Box<str>);
