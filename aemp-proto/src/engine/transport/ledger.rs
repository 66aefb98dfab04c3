//! The memory that a node holds for its peers: how much, and who is given up when that is too much (`SEC-13`).

use alloc::vec::Vec;

use super::super::event::NodeEvent;
use super::super::state::{Connection, Core, Engine};
use super::super::tables::keys::ConnectionId;
use super::super::tables::memory::{Memory, MemoryKind};
use super::super::tables::peers::{Peer, PeerState};
use super::super::tables::refusal::Refusal;

/// About what one entry of a table costs that is a tree, beside what is in it.
const ENTRY: usize = 48;

/// About what a port costs that was spawned, with code of usual size, beside its name, which is there twice.
const SPAWNED: usize = 512;

impl Engine {
    /// The octets that this node holds for its peers, all kinds together. Counting takes time: do not ask for each message.
    pub fn held(&self) -> usize {
        self.memory().total()
    }

    /// The same, by kind.
    pub fn memory(&self) -> Memory {
        let core = &self.core;
        let connections: usize = self.connections.values().map(|connection| connection.cost()).sum();
        let peers: usize = core.peers.iter().map(|peer| peer.cost() + core.global.watching(&peer.node)).sum();
        let spawned = core.spawned_ports.len() * SPAWNED + 2 * core.spawned_ports.octets();
        Memory {
            queues: core.peers.iter().map(Peer::queue_capacity).sum(),
            packets: self.unfinished,
            database: core.global.held(),
            tables: connections + peers + spawned + core.data.held(),
        }
    }

    /// Notes how much a connection holds of what has not arrived whole. Too much for all together is the loss of the one
    /// that holds most.
    pub(in crate::engine) fn note_unfinished(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let held = connection.link.held();
        self.unfinished = self.unfinished - connection.unfinished + held;
        let grows = held > core::mem::replace(&mut connection.unfinished, held);
        if grows && self.unfinished > self.core.config.memory.packets {
            self.shed_packets();
        }
    }

    fn shed_packets(&mut self) {
        let share = self.core.config.memory.packets;
        let mut holders: Vec<_> = self.connections.iter().map(|(id, connection)| (connection.unfinished, *id)).collect();
        holders.sort_unstable();
        while self.unfinished > share
            && let Some((octets, id)) = holders.pop()
            && octets > 0
        {
            if let Some(node) = self.connections.get(&id).and_then(|connection| connection.node.clone()) {
                self.core.events.push_back(NodeEvent::GivenUp { node, kind: MemoryKind::Packets, octets });
            }
            let text = "unfinished packets take too much memory, and its packet takes most of that [SEC-13]";
            self.gone(id, Refusal::OverLimit, text);
        }
    }
}

impl Connection {
    /// About what a connection costs, beside what is unfinished.
    fn cost(&self) -> usize {
        size_of::<Connection>() + ENTRY + self.link.cost()
    }
}

impl Peer {
    /// What it costs to know of the node, without what waits for it.
    fn cost(&self) -> usize {
        /// About what it costs that the node is searched.
        const SEARCHED: usize = 320;
        let state = match &self.state {
            PeerState::Up(up) => size_of_val(&**up),
            PeerState::Connecting { .. } => SEARCHED,
            PeerState::Unknown | PeerState::Lost => 0,
        };
        size_of::<Peer>() + state + ENTRY + 16 + self.node.as_str().len() + self.watches_cost()
    }

    /// What its watches on ports of this node cost.
    fn watches_cost(&self) -> usize {
        self.watched.len() * 5 * ENTRY
    }
}

impl Core {
    /// Gives up peers while too much waits for all of them together, or their tables are too large: first the one for which
    /// most is held.
    pub(in crate::engine) fn shed_load(&mut self) {
        self.shed(self.config.memory.queues, MemoryKind::Queues, |_, peer| peer.waiting());
        self.shed(self.config.memory.tables, MemoryKind::Tables, Self::tables_of);
    }

    /// What is given back when a peer is given up: what it has spawned stays, and has a bound of its own.
    fn tables_of(&self, peer: &Peer) -> usize {
        peer.watches_cost() + self.global.watching(&peer.node) + self.data.held_for(&peer.node)
    }

    fn shed(&mut self, share: usize, kind: MemoryKind, held: impl Fn(&Self, &Peer) -> usize) {
        let mut all: usize = self.peers.iter().map(|peer| held(self, peer)).sum();
        while all > share
            && let Some(most) = (0..self.peers.len()).max_by_key(|&index| held(self, &self.peers[index]))
        {
            let (octets, node) = (held(self, &self.peers[most]), self.peers[most].node.clone());
            all -= octets;
            let text = match kind {
                MemoryKind::Queues => "too much waits for all nodes together, and most of it for this one [SEC-13]",
                _ => "the tables take too much memory, and what this node has asked for takes most of that [SEC-13]",
            };
            self.events.push_back(NodeEvent::GivenUp { node, kind, octets });
            self.lose_peer(most, text);
        }
    }
}
