//! The data connections that are expected or being opened (chapter 9 of the specification).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::keys::{ConnectionId, DataKey, PortKey, TimerHandle, Token};
use super::reasons::Reasons;
use crate::names::{NodeId, PortId};
use crate::value::Value;

/// The word of the protocol `aemp-dataconn`.
pub(in crate::engine) const WORD: &str = "dataconn";

/// The key in a greeting that says which data connection it is (`DATA-1`).
pub(in crate::engine) const ID: &str = "dataconn_id";

/// The first of the reasons for which a port ends when there is no data connection (`DATA-8`).
pub(in crate::engine) const FAILED: &str = "AnyEvent::MP::DataConn";

/// A connection that is a stream of octets from here on, and no longer the node's.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConnection {
    /// The node at the other end.
    pub peer: NodeId,
    /// Octets of the stream that have arrived already (`DATA-4`).
    pub early: Vec<u8>,
    /// Who waits for it.
    pub taker: DataTaker,
}

/// Who waits for a data connection.
#[derive(Debug, Clone, PartialEq)]
pub enum DataTaker {
    /// Whoever asked for it: the port that [`data_connect`](crate::actor::Context::data_connect) gave.
    Asked(PortId),
    /// A function of this node that takes data connections ([`data_accept`](crate::actor::Context::data_accept)), for
    /// another node.
    Function {
        /// The function.
        name: String,
        /// What it was given: a packet in cbor.
        arguments: Vec<u8>,
    },
}

/// Why there is no data connection, for the port that waits.
pub(in crate::engine) fn failed(text: &str) -> Reasons {
    Reasons::new([Value::from(FAILED), text.into()])
}

/// A data connection that does not stand yet.
pub(in crate::engine) struct Wanted {
    pub(in crate::engine) purpose: Purpose,
    /// The port that ends when nothing comes of it.
    pub(in crate::engine) port: PortId,
    pub(in crate::engine) timer: TimerHandle,
    /// How it is being opened from here, if it is.
    pub(in crate::engine) opening: Option<Opening>,
    /// The connection that is it, until its owner takes that.
    pub(in crate::engine) claimed: Option<ConnectionId>,
}

impl Wanted {
    /// About what it costs, if another node wants it.
    fn cost(&self, (_, id): &DataKey) -> usize {
        /// About what one costs beside its texts: its place, its timer, the names of its node.
        const COST: usize = 768;
        match &self.purpose {
            Purpose::Function { name, arguments } => {
                COST + 2 * id.len() + self.port.port().len() + name.len() + arguments.capacity()
            }
            Purpose::Asked { .. } => 0,
        }
    }
}

/// What a data connection is for.
pub(in crate::engine) enum Purpose {
    /// A program of this node has asked for it, for this port. The token is its host's, for when there will be none.
    Asked { owner: Option<PortKey>, token: Token },
    /// Another node wants it for this function, with these arguments, a packet in cbor.
    Function { name: String, arguments: Vec<u8> },
}

/// How a connection is being opened.
pub(in crate::engine) struct Opening {
    pub(in crate::engine) addresses: VecDeque<String>,
    pub(in crate::engine) search: Search,
    /// The dialling that goes on.
    pub(in crate::engine) current: Option<u64>,
    /// When the present step is given up.
    pub(in crate::engine) until: Duration,
    /// What was said of the last address that failed.
    pub(in crate::engine) error: Option<String>,
}

/// Whether the addresses of the other node are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Search {
    NotBegun,
    Waits,
    Over,
}

/// All data connections that do not stand yet, and who may be given one.
#[derive(Default)]
pub(in crate::engine) struct Table {
    wanted: BTreeMap<DataKey, Wanted>,
    /// How many of them each other node wants.
    expected: BTreeMap<NodeId, usize>,
    /// How many of them other nodes want.
    all_expected: usize,
    /// The functions that take data connections.
    functions: BTreeSet<Box<str>>,
    /// What is dialled for which one, and where.
    dials: BTreeMap<u64, (DataKey, String)>,
    last_dial: u64,
    /// Those that are to be opened from here now.
    pub(in crate::engine) to_open: Vec<DataKey>,
}

impl Table {
    pub(in crate::engine) fn add_function(&mut self, name: &str) -> bool {
        self.functions.insert(name.into())
    }

    pub(in crate::engine) fn remove_function(&mut self, name: &str) -> bool {
        self.functions.remove(name)
    }

    pub(in crate::engine) fn has_function(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    pub(in crate::engine) fn get(&mut self, key: &DataKey) -> Option<&mut Wanted> {
        self.wanted.get_mut(key)
    }

    pub(in crate::engine) fn contains(&self, key: &DataKey) -> bool {
        self.wanted.contains_key(key)
    }

    pub(in crate::engine) fn insert(&mut self, key: &DataKey, wanted: Wanted) {
        self.count(&key.0, &wanted, true);
        let before = self.wanted.insert(key.clone(), wanted);
        before.iter().for_each(|before| self.count(&key.0, before, false));
    }

    /// Counts one in, or out.
    fn count(&mut self, node: &NodeId, wanted: &Wanted, comes: bool) {
        if let Purpose::Asked { .. } = wanted.purpose {
            return;
        }
        let expected = self.expected.entry(node.clone()).or_default();
        if comes {
            (*expected, self.all_expected) = (*expected + 1, self.all_expected + 1);
        } else {
            (*expected, self.all_expected) = (*expected - 1, self.all_expected - 1);
            if *expected == 0 {
                self.expected.remove(node);
            }
        }
    }

    /// How many other nodes want, all together.
    pub(in crate::engine) fn all_expected(&self) -> usize {
        self.all_expected
    }

    /// How many a node wants.
    pub(in crate::engine) fn expected(&self, node: &NodeId) -> usize {
        self.expected.get(node).copied().unwrap_or_default()
    }

    /// How many are asked for here.
    pub(in crate::engine) fn asked(&self) -> usize {
        self.wanted.len() - self.all_expected
    }

    /// One of the node that wants most, if that is more than so many.
    pub(in crate::engine) fn of_most(&self, more_than: usize) -> Option<DataKey> {
        let (node, count) = self.expected.iter().max_by_key(|(_, count)| **count)?;
        let of_node = || self.wanted.range((node.clone(), "".into())..).take_while(|((other, _), _)| other == node);
        // Not one of which the connection is there already.
        let waits = |wanted: &Wanted| matches!(wanted.purpose, Purpose::Function { .. }) && wanted.claimed.is_none();
        if *count <= more_than {
            return None;
        }
        of_node().find(|(_, wanted)| waits(wanted)).map(|(key, _)| key.clone())
    }

    /// The octets that are held for other nodes, about.
    pub(in crate::engine) fn held(&self) -> usize {
        self.wanted.iter().map(|(key, wanted)| wanted.cost(key)).sum()
    }

    /// The same for one node.
    pub(in crate::engine) fn held_for(&self, node: &NodeId) -> usize {
        if !self.expected.contains_key(node) {
            return 0;
        }
        let of_node = self.wanted.range((node.clone(), "".into())..).take_while(|((other, _), _)| other == node);
        of_node.map(|(key, wanted)| wanted.cost(key)).sum()
    }

    /// Takes one out, with what is dialled for it.
    pub(in crate::engine) fn remove(&mut self, key: &DataKey) -> Option<Wanted> {
        let wanted = self.wanted.remove(key)?;
        self.count(&key.0, &wanted, false);
        if let Some(dial) = wanted.opening.as_ref().and_then(|opening| opening.current) {
            self.dials.remove(&dial);
        }
        Some(wanted)
    }

    pub(in crate::engine) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Those with one node.
    pub(in crate::engine) fn of_node(&self, node: &NodeId) -> impl Iterator<Item = &DataKey> {
        let from: DataKey = (node.clone(), "".into());
        self.wanted.range(from..).map(|(key, _)| key).take_while(move |(other, _)| other == node)
    }

    /// Those whose present step takes too long.
    pub(in crate::engine) fn late(&self, now: Duration) -> Vec<DataKey> {
        let late = |wanted: &Wanted| wanted.opening.as_ref().is_some_and(|opening| opening.until <= now);
        self.wanted.iter().filter(|(_, wanted)| late(wanted)).map(|(key, _)| key.clone()).collect()
    }

    /// Dials an address for one that is being opened.
    pub(in crate::engine) fn dial(&mut self, key: &DataKey, address: &str, until: Duration) -> Option<u64> {
        let opening = self.wanted.get_mut(key)?.opening.as_mut()?;
        self.last_dial += 1;
        (opening.current, opening.until) = (Some(self.last_dial), until);
        self.dials.insert(self.last_dial, (key.clone(), address.into()));
        Some(self.last_dial)
    }

    /// What is dialled for which one; none if nobody waits for that any more.
    pub(in crate::engine) fn dialled(&self, dial: u64) -> Option<&DataKey> {
        self.dials.get(&dial).map(|(key, _)| key)
    }

    /// A dialling is over.
    pub(in crate::engine) fn end_dial(&mut self, dial: u64) -> Option<(DataKey, String)> {
        let (key, address) = self.dials.remove(&dial)?;
        if let Some(opening) = self.wanted.get_mut(&key).and_then(|wanted| wanted.opening.as_mut()) {
            opening.current = opening.current.filter(|current| *current != dial);
        }
        Some((key, address))
    }
}
