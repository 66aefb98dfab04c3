//! The data connections that are expected or being opened.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::failed;
use crate::names::{NodeId, PortId};
use crate::node::context::Context;
use crate::node::core::Core;
use crate::node::peer::ConnectionId;
use crate::node::port::PortKey;
use crate::node::reasons::Reasons;
use crate::node::timer::TimerHandle;

/// Which data connection: the node at the other end, and the ID. Another node's ID is another one (`DATA-3`).
pub(in crate::node) type Key = (NodeId, Box<str>);

/// Runs when there will be no data connection.
pub(super) type OnFailure = Box<dyn FnOnce(&mut Context<'_>, Reasons)>;

/// A data connection that does not stand yet.
pub(super) struct Wanted {
    pub(super) purpose: Purpose,
    /// The port that ends when nothing comes of it.
    pub(super) port: PortId,
    pub(super) timer: TimerHandle,
    /// How it is being opened from here, if it is.
    pub(super) opening: Option<Opening>,
    /// The connection that is it, until its owner takes that.
    pub(super) claimed: Option<ConnectionId>,
}

impl Wanted {
    /// About what it costs, if another node wants it.
    fn cost(&self, (_, id): &Key) -> usize {
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
pub(super) enum Purpose {
    /// Code of this node has asked for it, in the name of this port.
    Asked { owner: Option<PortKey>, on_failure: OnFailure },
    /// Another node wants it for this function, with these arguments, a packet in cbor.
    Function { name: String, arguments: Vec<u8> },
}

/// How a connection is being opened.
pub(super) struct Opening {
    pub(super) addresses: VecDeque<String>,
    pub(super) search: Search,
    /// The dialling that goes on.
    pub(super) current: Option<u64>,
    /// When the present step is given up.
    pub(super) until: Duration,
    /// What was said of the last address that failed.
    pub(super) error: Option<String>,
}

/// Whether the addresses of the other node are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    NotBegun,
    Waits,
    Over,
}

/// All data connections that do not stand yet, and who may be given one.
#[derive(Default)]
pub(in crate::node) struct Table {
    wanted: BTreeMap<Key, Wanted>,
    /// How many of them each other node wants.
    expected: BTreeMap<NodeId, usize>,
    /// How many of them other nodes want.
    all_expected: usize,
    /// The functions that take data connections.
    functions: BTreeSet<Box<str>>,
    /// What is dialled for which one, and where.
    dials: BTreeMap<u64, (Key, String)>,
    last_dial: u64,
    /// Those that are to be opened from here now.
    pub(super) to_open: Vec<Key>,
}

impl Table {
    pub(super) fn add_function(&mut self, name: &str) -> bool {
        self.functions.insert(name.into())
    }

    pub(super) fn remove_function(&mut self, name: &str) -> bool {
        self.functions.remove(name)
    }

    pub(in crate::node) fn has_function(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    pub(super) fn get(&mut self, key: &Key) -> Option<&mut Wanted> {
        self.wanted.get_mut(key)
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.wanted.contains_key(key)
    }

    pub(super) fn insert(&mut self, key: &Key, wanted: Wanted) {
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
    pub(super) fn all_expected(&self) -> usize {
        self.all_expected
    }

    /// How many a node wants.
    pub(super) fn expected(&self, node: &NodeId) -> usize {
        self.expected.get(node).copied().unwrap_or_default()
    }

    /// How many are asked for here.
    pub(super) fn asked(&self) -> usize {
        self.wanted.len() - self.all_expected
    }

    /// One of the node that wants most, if that is more than so many.
    pub(super) fn of_most(&self, more_than: usize) -> Option<Key> {
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
    pub(in crate::node) fn held(&self) -> usize {
        self.wanted.iter().map(|(key, wanted)| wanted.cost(key)).sum()
    }

    /// The same for one node.
    pub(in crate::node) fn held_for(&self, node: &NodeId) -> usize {
        if !self.expected.contains_key(node) {
            return 0;
        }
        let of_node = self.wanted.range((node.clone(), "".into())..).take_while(|((other, _), _)| other == node);
        of_node.map(|(key, wanted)| wanted.cost(key)).sum()
    }

    /// Takes one out, with what is dialled for it.
    fn remove(&mut self, key: &Key) -> Option<Wanted> {
        let wanted = self.wanted.remove(key)?;
        self.count(&key.0, &wanted, false);
        if let Some(dial) = wanted.opening.as_ref().and_then(|opening| opening.current) {
            self.dials.remove(&dial);
        }
        Some(wanted)
    }

    pub(in crate::node) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Those with one node.
    pub(super) fn of_node(&self, node: &NodeId) -> impl Iterator<Item = &Key> {
        let from: Key = (node.clone(), "".into());
        self.wanted.range(from..).map(|(key, _)| key).take_while(move |(other, _)| other == node)
    }

    /// Those whose present step takes too long.
    pub(super) fn late(&self, now: Duration) -> Vec<Key> {
        let late = |wanted: &Wanted| wanted.opening.as_ref().is_some_and(|opening| opening.until <= now);
        self.wanted.iter().filter(|(_, wanted)| late(wanted)).map(|(key, _)| key.clone()).collect()
    }

    /// Dials an address for one that is being opened.
    pub(super) fn dial(&mut self, key: &Key, address: &str, until: Duration) -> Option<u64> {
        let opening = self.wanted.get_mut(key)?.opening.as_mut()?;
        self.last_dial += 1;
        (opening.current, opening.until) = (Some(self.last_dial), until);
        self.dials.insert(self.last_dial, (key.clone(), address.into()));
        Some(self.last_dial)
    }

    /// What is dialled for which one; none if nobody waits for that any more.
    pub(super) fn dialled(&self, dial: u64) -> Option<&Key> {
        self.dials.get(&dial).map(|(key, _)| key)
    }

    /// A dialling is over.
    pub(super) fn end_dial(&mut self, dial: u64) -> Option<(Key, String)> {
        let (key, address) = self.dials.remove(&dial)?;
        if let Some(opening) = self.wanted.get_mut(&key).and_then(|wanted| wanted.opening.as_mut()) {
            opening.current = opening.current.filter(|current| *current != dial);
        }
        Some((key, address))
    }
}

impl Core {
    /// There will be no such data connection, and the port that waits ends for that reason (`DATA-8`).
    pub(in crate::node) fn data_failed(&mut self, key: &Key, text: &str) {
        let Some(wanted) = self.data.get(key) else { return };
        let port = wanted.port.clone();
        // What is asked for here goes with its port.
        if let Purpose::Function { .. } = wanted.purpose {
            self.data_forget(key);
        }
        self.kill(&port, &failed(text));
    }

    /// The port that has asked for a data connection has ended.
    pub(super) fn data_ended(&mut self, key: &Key, reasons: Reasons) {
        if let Some(Purpose::Asked { owner, on_failure }) = self.data_forget(key) {
            self.run_code(owner, None, |context| {
                on_failure(context, reasons);
                Ok(())
            });
        }
    }

    /// Forgets a data connection that does not stand yet, and has what there is of it closed.
    fn data_forget(&mut self, key: &Key) -> Option<Purpose> {
        let wanted = self.data.remove(key)?;
        self.cancel(&wanted.timer);
        self.closing.extend(wanted.claimed);
        Some(wanted.purpose)
    }

    /// The owner has taken the connection.
    pub(super) fn data_taken(&mut self, key: &Key) -> Option<Wanted> {
        let wanted = self.data.remove(key)?;
        self.cancel(&wanted.timer);
        Some(wanted)
    }

    /// The connection to a node is lost: nothing is expected from it any more (`DATA-19`). What was asked of it ends by its watch.
    pub(in crate::node) fn data_lost(&mut self, node: &NodeId) {
        let of_node: Vec<_> = self.data.of_node(node).cloned().collect();
        for key in of_node {
            if let Some(Wanted { purpose: Purpose::Function { .. }, .. }) = self.data.get(&key) {
                self.data_forget(&key);
            }
        }
    }
}
