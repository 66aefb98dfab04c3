//! Other nodes, as one node sees them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::keys::{ConnectionId, MonitorId, PortKey, Token};
use super::monitors::{Monitor, MonitorList};
use crate::framing::{EncodeError, Framing, Limits};
use crate::names::NodeId;
use crate::output::Output;
use crate::permissions::Rights;

/// Another node.
pub(in crate::engine) struct Peer {
    pub(in crate::engine) node: NodeId,
    pub(in crate::engine) state: PeerState,
    /// Our monitors on its ports; under the empty name those on the node itself.
    pub(in crate::engine) monitors: BTreeMap<Box<str>, MonitorList>,
    /// Our ports that it watches.
    pub(in crate::engine) watched: BTreeSet<PortKey>,
    /// How many watches that are in all, each time that it has asked counted.
    pub(in crate::engine) watches_held: usize,
    /// Because of which peer it is being connected to, if not because of this node's own programs.
    pub(in crate::engine) cause: Option<usize>,
    /// How many nodes are being connected to because of it.
    pub(in crate::engine) causes: usize,
    /// What it may do, if that is not everything.
    pub(in crate::engine) restricted: Option<Box<Restricted>>,
    /// The host's work for when less waits for it.
    pub(in crate::engine) when_ready: Vec<(Option<PortKey>, Token)>,
    /// Its place is among those that are to be used again.
    pub(in crate::engine) retired: bool,
    /// How many times it was paused and not resumed.
    pub(in crate::engine) paused: usize,
    /// When the owner was told last that it cannot be reached: once in a while is enough.
    pub(in crate::engine) unreachable: Option<Duration>,
}

/// What a peer may do, where that is not everything.
pub(in crate::engine) struct Restricted {
    pub(in crate::engine) rights: Rights,
    /// Ports of which is known whether it may reach them, by slot: patterns are compared once for each.
    pub(in crate::engine) known: [Option<(PortKey, bool)>; Restricted::KNOWN],
}

impl Restricted {
    /// How many ports it remembers.
    pub(in crate::engine) const KNOWN: usize = 16;
}

/// How a node can be reached at the moment.
pub(in crate::engine) enum PeerState {
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
pub(in crate::engine) struct Up {
    pub(in crate::engine) connection: ConnectionId,
    pub(in crate::engine) framing: Framing,
    /// What one packet to it may cost.
    pub(in crate::engine) limits: Limits,
    pub(in crate::engine) output: Output,
    /// What of the output is a part of the database or stands before it: it goes out once a connection, and does not count
    /// as too much.
    pub(in crate::engine) part: usize,
    /// The owner has been told that there is output.
    pub(in crate::engine) told: bool,
    /// When anything arrived last.
    pub(in crate::engine) heard: Duration,
    /// When it was asked for a sign of life, if it has not given one since.
    pub(in crate::engine) asked: Option<Duration>,
    /// Until when it is to show that it lives, because its node greets again.
    pub(in crate::engine) probe: Option<Duration>,
    /// It has not: whoever authenticates in its name takes its place. A greeting alone proves nothing (`GREET-20`).
    pub(in crate::engine) suspect: bool,
}

impl PeerState {
    /// What is kept until there is a connection, in octets, with what that costs itself.
    pub(in crate::engine) fn queued(&self) -> usize {
        /// About what a node costs that is looked for.
        const COST: usize = 256;
        match self {
            PeerState::Connecting { queue, .. } => COST + queue.len(),
            _ => 0,
        }
    }
}

impl Peer {
    pub(in crate::engine) fn new(node: NodeId) -> Self {
        Peer {
            node,
            state: PeerState::Unknown,
            monitors: BTreeMap::new(),
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

    pub(in crate::engine) fn up(&mut self) -> Option<&mut Up> {
        match &mut self.state {
            PeerState::Up(up) => Some(up),
            _ => None,
        }
    }

    /// Appends a packet where it goes: into the connection's framing, or into the queue. How much waits then.
    pub(in crate::engine) fn write(
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
    pub(in crate::engine) fn waiting(&self) -> usize {
        match &self.state {
            PeerState::Up(up) => up.output.len(),
            PeerState::Connecting { queue, .. } => queue.len(),
            PeerState::Unknown | PeerState::Lost => 0,
        }
    }

    /// The memory that what waits for it takes.
    pub(in crate::engine) fn queue_capacity(&self) -> usize {
        match &self.state {
            PeerState::Up(up) => up.output.capacity(),
            PeerState::Connecting { queue, .. } => queue.capacity(),
            PeerState::Unknown | PeerState::Lost => 0,
        }
    }

    /// Takes a monitor off a port of this node; also says whether it was the last one.
    pub(in crate::engine) fn demonitor(&mut self, port: &str, id: MonitorId) -> Option<(Monitor, bool)> {
        let watches = self.monitors.get_mut(port)?;
        let monitor = watches.remove(id)?;
        let last = watches.len() == 0;
        if last {
            self.monitors.remove(port);
        }
        Some((monitor, last))
    }

    /// Nothing is known of it that is worth keeping.
    pub(in crate::engine) fn is_idle(&self) -> bool {
        matches!(self.state, PeerState::Unknown)
            && self.monitors.is_empty()
            && self.watched.is_empty()
            && self.causes == 0
            && !self.is_paused()
    }

    /// Whether nothing that it sends is to be handled at the moment.
    #[inline]
    pub(in crate::engine) fn is_paused(&self) -> bool {
        self.paused > 0
    }
}

/// Writes what waited for a connection into the framing of the connection; false if something cannot be written in it.
pub(in crate::engine) fn transcribe(queue: &[u8], framing: Framing, limits: &Limits, output: &mut Vec<u8>) -> bool {
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
