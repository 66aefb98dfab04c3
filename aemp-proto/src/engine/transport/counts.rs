//! How much a node holds.

use super::super::state::Engine;
use super::super::tables::monitors::MonitorList;
use super::super::tables::peers::PeerState;
use crate::global;

/// How many of what a node holds, for those who watch its memory. Each is bounded by the configuration, or by the node's own
/// programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tables {
    /// Other nodes for which there is a place. Places of those of whom nothing is known are taken again.
    pub peers: usize,
    /// Those to which there is a connection.
    pub up: usize,
    /// Those for which something waits until there is one.
    pub connecting: usize,
    /// Connections, those in their handshake included.
    pub connections: usize,
    /// Those in their handshake.
    pub handshakes: usize,
    /// Addresses from which wrong tokens have come lately.
    pub wrong_tokens: usize,
    /// Octets that wait for all peers together.
    pub waiting: usize,
    /// Nodes that are searched.
    pub searches: usize,
    /// Addresses that are dialled because of that.
    pub dials: usize,
    /// Global nodes to which it wants a connection, or has had to find one.
    pub kept: usize,
    /// MonitorList that peers have on ports of this node.
    pub watched: usize,
    /// MonitorList of this node on other nodes and their ports.
    pub watches: usize,
    /// Ports of this node.
    pub ports: usize,
    /// What is due later: timers.
    pub timers: usize,
    /// What is to be done next: messages to own ports, watches that fire, code to run.
    pub steps: usize,
    /// Events that were not taken yet.
    pub events: usize,
    /// Actions that were not taken yet, and connections that have output.
    pub actions: usize,
    /// What the global protocol holds.
    pub global: global::Tables,
}

impl Engine {
    /// How much the node holds. Counting that takes time: do not ask for each message.
    pub fn tables(&self) -> Tables {
        let core = &self.core;
        Tables {
            peers: core.peers.len(),
            up: core.peers.iter().filter(|peer| matches!(peer.state, PeerState::Up(_))).count(),
            connecting: core.connecting,
            connections: self.connections.len(),
            handshakes: self.handshakes.len(),
            wrong_tokens: self.admission.wrong_tokens(),
            waiting: self.waiting(),
            searches: self.searches.len(),
            dials: self.searches.dials(),
            kept: self.searches.kept(),
            watched: self.watched(),
            watches: core.peers.iter().flat_map(|peer| peer.monitors.values()).map(MonitorList::len).sum(),
            ports: core.ports.len(),
            timers: core.timers.len(),
            steps: core.steps_waiting(),
            events: core.events.len(),
            actions: self.actions.len() + self.writable.len(),
            global: core.global.tables(),
        }
    }
}
