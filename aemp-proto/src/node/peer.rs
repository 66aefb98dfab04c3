//! Other nodes, as one node sees them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::monitors::Watches;
use super::port::PortKey;
use super::rights::Restricted;
use super::timer::Task;
use super::watch::{Watch, WatchId};
use crate::framing::{EncodeError, Framing, Limits};
use crate::names::NodeId;
use crate::output::Output;

/// Which connection of a node; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

/// Another node.
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) state: PeerState,
    /// Our watches on its ports; under the empty name those on the node itself.
    pub(super) watches: BTreeMap<Box<str>, Watches>,
    /// Our ports that it watches.
    pub(super) watched: BTreeSet<PortKey>,
    /// How many watches that are in all, each time that it has asked counted.
    pub(super) watches_held: usize,
    /// Because of which peer it is being connected to, if not because of this node's own programs.
    pub(super) cause: Option<usize>,
    /// How many nodes are being connected to because of it.
    pub(super) causes: usize,
    /// What it may do, if that is not everything.
    pub(super) restricted: Option<Box<Restricted>>,
    /// What runs when less waits for it.
    pub(super) when_ready: Vec<(Option<PortKey>, Task)>,
    /// Its place is among those that are to be used again.
    pub(super) retired: bool,
    /// How many times it was paused and not resumed.
    pub(super) paused: usize,
    /// When the owner was told last that it cannot be reached: once in a while is enough.
    pub(super) unreachable: Option<Duration>,
}

/// How a node can be reached at the moment.
pub(super) enum PeerState {
    /// There is no connection, and nothing waits for one.
    Unknown,
    /// The connection has been lost, and the watches have not all fired yet: what is sent now is lost too (`PEER-4`).
    Lost,
    /// There is no connection yet, and this waits for one until the time. The packets are in cbor.
    Connecting { queue: Vec<u8>, until: Duration },
    /// There is a connection.
    Up(Box<Up>),
}

/// What there is while a connection stands.
pub(super) struct Up {
    pub(super) connection: ConnectionId,
    pub(super) framing: Framing,
    /// What one packet to it may cost.
    pub(super) limits: Limits,
    pub(super) output: Output,
    /// What of the output is a part of the database or stands before it: it goes out once a connection, and does not count as too much.
    pub(super) part: usize,
    /// The owner has been told that there is output.
    pub(super) told: bool,
    /// When anything arrived last.
    pub(super) heard: Duration,
    /// When it was asked for a sign of life, if it has not given one since.
    pub(super) asked: Option<Duration>,
    /// Until when it is to show that it lives, because its node greets again.
    pub(super) probe: Option<Duration>,
    /// It has not: whoever authenticates in its name takes its place. A greeting alone proves nothing (`GREET-20`).
    pub(super) suspect: bool,
}

impl PeerState {
    /// What is kept until there is a connection, in octets, with what that costs itself.
    pub(super) fn queued(&self) -> usize {
        /// About what a node costs that is looked for.
        const COST: usize = 256;
        match self {
            PeerState::Connecting { queue, .. } => COST + queue.len(),
            _ => 0,
        }
    }
}

impl Peer {
    pub(super) fn new(node: NodeId) -> Self {
        Peer {
            node,
            state: PeerState::Unknown,
            watches: BTreeMap::new(),
            watched: BTreeSet::new(),
            watches_held: 0,
            cause: None,
            causes: 0,
            restricted: None,
            when_ready: Vec::new(),
            retired: false,
            paused: 0,
            unreachable: None,
        }
    }

    pub(super) fn up(&mut self) -> Option<&mut Up> {
        match &mut self.state {
            PeerState::Up(up) => Some(up),
            _ => None,
        }
    }

    /// Appends a packet where it goes: into the connection's framing, or into the queue. How much waits then.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(Framing, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<usize, EncodeError> {
        match &mut self.state {
            PeerState::Up(up) => {
                write(up.framing, up.output.buffer())?;
                Ok(up.output.len())
            }
            PeerState::Connecting { queue, .. } => {
                write(Framing::Cbor, queue)?;
                Ok(queue.len())
            }
            PeerState::Unknown | PeerState::Lost => Ok(0),
        }
    }

    /// The octets that wait for it.
    pub(super) fn waiting(&self) -> usize {
        match &self.state {
            PeerState::Up(up) => up.output.len(),
            PeerState::Connecting { queue, .. } => queue.len(),
            PeerState::Unknown | PeerState::Lost => 0,
        }
    }

    /// The memory that what waits for it takes.
    pub(super) fn queue_capacity(&self) -> usize {
        match &self.state {
            PeerState::Up(up) => up.output.capacity(),
            PeerState::Connecting { queue, .. } => queue.capacity(),
            PeerState::Unknown | PeerState::Lost => 0,
        }
    }

    /// Takes a watch off a port of this node; also says whether it was the last one.
    pub(super) fn unwatch(&mut self, port: &str, id: WatchId) -> Option<(Watch, bool)> {
        let watches = self.watches.get_mut(port)?;
        let watch = watches.remove(id)?;
        let last = watches.len() == 0;
        if last {
            self.watches.remove(port);
        }
        Some((watch, last))
    }

    /// Nothing is known of it that is worth keeping.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, PeerState::Unknown)
            && self.watches.is_empty()
            && self.watched.is_empty()
            && self.causes == 0
            && !self.is_paused()
    }

    /// Whether nothing that it sends is to be handled at the moment.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.paused > 0
    }
}

/// Writes what waited for a connection into the framing of the connection; false if something cannot be written in it.
pub(super) fn transcribe(queue: &[u8], framing: Framing, limits: &Limits, output: &mut Vec<u8>) -> bool {
    use crate::framing::{Packet, Scan, Scanner};
    if framing == Framing::Cbor {
        output.extend_from_slice(queue);
        return true;
    }
    let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
    let mut scanner = Scanner::new(Framing::Cbor, unlimited);
    let mut rest = queue;
    // The queue holds what we have written ourselves: whole packets.
    while let Ok(Scan::Packet { start, end }) = scanner.scan(rest) {
        let packet = Packet::scanned(Framing::Cbor, &rest[start..end]);
        if packet.relay(framing, limits, output).is_err() {
            return false;
        }
        rest = &rest[end..];
    }
    true
}
