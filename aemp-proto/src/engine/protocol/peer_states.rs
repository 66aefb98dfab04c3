//! The peers: finding and making their places in the table, and losing them.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::super::event::NodeEvent;
use super::super::state::Core;
use super::super::tables::denials::Denied;
use super::super::tables::keys::{PortKey, Token};
use super::super::tables::monitors::MonitorList;
use super::super::tables::peers::{Peer, PeerState};
use super::super::tables::reasons::Reasons;
use super::super::tables::steps::{Forgetting, Step};
use crate::names::NodeId;

/// Why a node is not reached of which there are too many.
const TOO_MANY: &str = "too many nodes are wanted at once";

impl Core {
    /// Begins to connect to a peer, if there is no connection.
    pub(in crate::engine) fn connect(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if let PeerState::Unknown = peer.state {
            if self.connecting >= self.config.connecting && peer.is_idle() && peer.when_ready.is_empty() {
                // There is no watch to fire, so nothing is kept of it.
                self.tell_unreachable(index, Reasons::transport_error(&self.peers[index].node, TOO_MANY));
                return self.retire(index);
            }
            let until = self.now.saturating_add(self.config.connect_timeout);
            self.set_state(index, PeerState::Connecting { queue: Vec::new(), until });
            if !self.note_cause(index) {
                self.lose_peer(index, "too many nodes are wanted at once because of one peer, or of all [FIND-10]");
            } else if self.connecting > self.config.connecting {
                self.lose_peer(index, TOO_MANY);
            } else {
                self.wanted.push(index);
            }
        }
    }

    /// Notes because of which peer a node is wanted now; false if too many are (`FIND-10`): the node's own programs have a
    /// part of the room for themselves (`FIND-11`).
    fn note_cause(&mut self, index: usize) -> bool {
        let Some(cause) = self.acting_for.filter(|cause| *cause != index) else { return true };
        let room = self.config.connecting.min(self.config.database.searched);
        let is_full = self.peers[cause].causes >= self.config.connecting_of_peer || self.caused >= room - room / 4;
        if is_full {
            let (node, wanted) = (self.peers[cause].node.clone(), self.peers[index].node.clone());
            self.denied(&node, Denied::Search, wanted.as_str());
            return false;
        }
        self.peers[index].cause = Some(cause);
        self.peers[cause].causes += 1;
        self.caused += 1;
        true
    }

    /// Changes how a peer can be reached; how it could be before.
    pub(in crate::engine) fn set_state(&mut self, index: usize, state: PeerState) -> PeerState {
        let state = core::mem::replace(&mut self.peers[index].state, state);
        self.queued = self.queued - state.queued() + self.peers[index].state.queued();
        let connecting = |state: &PeerState| usize::from(matches!(state, PeerState::Connecting { .. }));
        self.connecting = self.connecting - connecting(&state) + connecting(&self.peers[index].state);
        if let Some(cause) = self.peers[index].cause.take() {
            self.peers[cause].causes -= 1;
            self.caused -= 1;
            self.retire(cause);
        }
        state
    }

    /// The place of a node in the table of peers.
    pub(in crate::engine) fn peer(&mut self, node: &NodeId) -> usize {
        if let Some(&index) = self.by_node.get(node) {
            return index;
        }
        let idle = self.idle_place();
        let index = match idle {
            Some(index) => {
                self.by_node.remove(&self.peers[index].node);
                self.peers[index] = Peer::new(node.clone());
                index
            }
            None => {
                self.peers.push(Peer::new(node.clone()));
                self.peers.len() - 1
            }
        };
        self.by_node.insert(node.clone(), index);
        index
    }

    /// Takes the place of a peer of which nothing is known any more.
    fn idle_place(&mut self) -> Option<usize> {
        while let Some(index) = self.idle.pop_front() {
            self.peers[index].retired = false;
            if self.peers[index].is_idle() {
                return Some(index);
            }
        }
        None
    }

    /// Lets the place of a peer be used again, if nothing of it is worth keeping.
    pub(in crate::engine) fn retire(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if peer.is_idle() && !core::mem::replace(&mut peer.retired, true) {
            self.idle.push_back(index);
        }
    }

    /// Whether something waits for a connection to a node.
    pub(in crate::engine) fn is_connecting_to(&self, node: &NodeId) -> bool {
        self.known_peer(node).is_some_and(|index| matches!(self.peers[index].state, PeerState::Connecting { .. }))
    }

    pub(in crate::engine) fn is_connecting(&self) -> bool {
        self.connecting > 0
    }

    /// Runs what waits for a peer to be ready for more, if it is.
    #[inline]
    pub(in crate::engine) fn tell_ready(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if !peer.when_ready.is_empty() && peer.waiting() < self.config.ready.max(1) {
            let ready = core::mem::take(&mut peer.when_ready);
            self.steps.extend(ready.into_iter().map(|(port, token)| Step::Run(port, token)));
        }
    }

    /// Returns whether less waits for a node than the [low-water mark](crate::engine::NodeConfig::ready). A program that
    /// sends much should wait for that with [`when_drained`](Self::when_drained).
    pub fn is_drained(&self, node: &NodeId) -> bool {
        self.known_peer(node).is_none_or(|index| self.peers[index].waiting() < self.config.ready)
    }

    /// Has the host [resume](crate::engine::Host::resume) some work when less waits for a node than the low-water mark, or
    /// nothing does since it is lost, unless the port has ended by then.
    pub fn when_drained(&mut self, node: &NodeId, port: Option<PortKey>, token: Token) {
        let ready = self.config.ready;
        match self.known_peer(node) {
            // Nothing is below a mark of nothing.
            Some(index) if self.peers[index].waiting() >= ready.max(1) => self.peers[index].when_ready.push((port, token)),
            _ => self.defer(port, token),
        }
    }

    /// Handles nothing more of what a node sends, after the present packet, until it was resumed as often as paused. What it
    /// sends meanwhile waits there, in order, and the node counts as alive. The pause holds across connections. The own node
    /// cannot be paused.
    pub fn pause_peer(&mut self, node: &NodeId) {
        if *node != self.id {
            let index = self.peer(node);
            self.peers[index].paused += 1;
            // The present turn ends, whose it may be.
            self.turn_end = 0;
        }
    }

    /// Takes back one [pause](Self::pause_peer). More calls than pauses do nothing.
    pub fn resume_peer(&mut self, node: &NodeId) {
        if let Some(index) = self.known_peer(node)
            && let Some(paused) = self.peers[index].paused.checked_sub(1)
        {
            self.peers[index].paused = paused;
            if paused == 0 {
                self.resumed.push(index);
                self.retire(index);
            }
        }
    }

    /// The nodes to which there is a connection.
    pub(in crate::engine) fn up_nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.iter().filter(|peer| matches!(peer.state, PeerState::Up(_))).map(|peer| &peer.node)
    }

    pub(in crate::engine) fn is_up(&self, node: &NodeId) -> bool {
        self.known_peer(node).is_some_and(|index| matches!(self.peers[index].state, PeerState::Up(_)))
    }

    pub(in crate::engine) fn known_peer(&self, node: &NodeId) -> Option<usize> {
        self.by_node.get(node).copied()
    }

    /// The connection to a node is lost, or cannot be made: what waits is dropped and all watches fire (`MON-8`, `MON-9`,
    /// `PEER-4`).
    pub(in crate::engine) fn lose_peer(&mut self, index: usize, text: &str) {
        let state = self.set_state(index, PeerState::Lost);
        let peer = &mut self.peers[index];
        let node = peer.node.clone();
        let monitors = core::mem::take(&mut peer.monitors);
        let watched = core::mem::take(&mut peer.watched);
        peer.watches_held = 0;
        if let PeerState::Up(up) = &state
            && !watched.is_empty()
        {
            let forgetting = Forgetting { peer: index, run: up.connection.0, ports: watched };
            self.steps.push_back(Step::Forget(Box::new(forgetting)));
        }
        let reasons = match (&state, &self.refused) {
            // Without the network no other node is found, and the reason for both is the same.
            (PeerState::Connecting { .. }, Some(refused)) if self.up_nodes().next().is_none() => {
                Reasons::transport_error(&node, &format!("{text}; no seed is reached: {refused}"))
            }
            _ => Reasons::transport_error(&node, text),
        };
        let monitors: Vec<_> = monitors.into_values().flat_map(MonitorList::into_iter).collect();
        self.firing.extend(monitors.iter().map(|monitor| monitor.id));
        self.steps.push_back(Step::Lost { peer: index, monitors, reasons: reasons.clone() });
        self.tell_ready(index);
        self.data_lost(&node);
        self.global.down(&node, self.now);
        match state {
            PeerState::Up(up) => {
                self.closing.push(up.connection);
                self.events.push_back(NodeEvent::Down(node, reasons));
            }
            PeerState::Connecting { .. } => self.tell_unreachable(index, reasons),
            PeerState::Unknown | PeerState::Lost => {}
        }
    }

    /// Whoever goes on sending to a node that nobody knows fails each time, at once: that is no news each time.
    pub(in crate::engine) fn tell_unreachable(&mut self, index: usize, reasons: Reasons) {
        let (now, pause) = (self.now, self.config.connect_timeout);
        let peer = &mut self.peers[index];
        if peer.unreachable.is_none_or(|told| now.saturating_sub(told) >= pause) {
            peer.unreachable = Some(now);
            self.events.push_back(NodeEvent::Unreachable(peer.node.clone(), reasons));
        }
    }
}
