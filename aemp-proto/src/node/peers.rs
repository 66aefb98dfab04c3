//! The table of other nodes: finding and making their places, losing them, and what arrives from them.

use alloc::vec::Vec;

use super::NodeEvent;
<<<<<<< HEAD
use super::core::{Core, OPERATION, Step};
=======
use super::core::{Core, Step};
use super::denials::Denied;
>>>>>>> 93d4065 (Permissions by node ID; admission of strangers; one ceiling for memory; no peer uses up what others need)
use super::peer::{ConnectionId, Peer, PeerState};
use super::port::{PortKey, Watcher};
use super::reasons::Reasons;
use super::request;
use super::timer::Task;
use crate::framing::Packet;
use crate::names::NodeId;

impl Core {
    /// Begins to connect to a peer, if there is no connection.
    pub(super) fn connect(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if let PeerState::Unknown = peer.state {
            let until = self.now.saturating_add(self.config.connect_timeout);
            self.set_state(index, PeerState::Connecting { queue: Vec::new(), until });
            if !self.note_cause(index) {
                self.lose_peer(index, "too many nodes are wanted at once because of one peer, or of all [FIND-10]");
            } else if self.connecting > self.config.connecting {
                self.lose_peer(index, "too many nodes are wanted at once");
            } else {
                self.wanted.push(index);
            }
        }
    }

    /// Notes because of which peer a node is wanted now; false if too many are (`FIND-10`): the node's own programs have a part of the room for
    /// themselves (`FIND-11`).
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
    pub(super) fn set_state(&mut self, index: usize, state: PeerState) -> PeerState {
        let state = core::mem::replace(&mut self.peers[index].state, state);
        self.queued = self.queued - state.queued() + self.peers[index].state.queued();
        let connecting = |state: &PeerState| usize::from(matches!(state, PeerState::Connecting { .. }));
        self.connecting = self.connecting - connecting(&state) + connecting(&self.peers[index].state);
        if let Some(cause) = self.peers[index].cause.take() {
            self.peers[cause].causes -= 1;
            self.caused -= 1;
        }
        state
    }

    /// The place of a node in the table of peers.
    pub(super) fn peer(&mut self, node: &NodeId) -> usize {
        if let Some(&index) = self.by_node.get(node) {
            return index;
        }
        /// Places that are looked at for an idle peer before the table grows.
        const LOOKED_AT: usize = 16;
        let mut idle = None;
        for _ in 0..LOOKED_AT.min(self.peers.len()) {
            self.next_place = (self.next_place + 1) % self.peers.len();
            if self.peers[self.next_place].is_idle() {
                idle = Some(self.next_place);
                break;
            }
        }
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

    /// Whether something waits for a connection to a node.
    pub(super) fn is_connecting_to(&self, node: &NodeId) -> bool {
        self.known_peer(node).is_some_and(|index| matches!(self.peers[index].state, PeerState::Connecting { .. }))
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.connecting > 0
    }

    /// Runs what waits for a peer to be ready for more, if it is.
    #[inline]
    pub(super) fn tell_ready(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if !peer.when_ready.is_empty() && peer.waiting() < self.config.ready.max(1) {
            let ready = core::mem::take(&mut peer.when_ready);
            self.steps.extend(ready.into_iter().map(|(port, task)| Step::Run(port, task)));
        }
    }

    /// Runs code when less waits for a node than the low-water mark.
    pub(super) fn when_ready(&mut self, node: &NodeId, port: Option<PortKey>, task: Task) {
        let ready = self.config.ready;
        match self.known_peer(node) {
            // Nothing is below a mark of nothing.
            Some(index) if self.peers[index].waiting() >= ready.max(1) => self.peers[index].when_ready.push((port, task)),
            _ => self.later(port, task),
        }
    }

<<<<<<< HEAD
    /// Handles nothing more of what a node sends, after the present packet, until it was resumed as often as paused.
    pub(super) fn pause_peer(&mut self, node: &NodeId) {
        if *node != self.id {
            let index = self.peer(node);
            self.peers[index].paused += 1;
            // The present turn ends, whose it may be.
            self.turn_end = 0;
        }
    }

    /// Takes back one pause.
    pub(super) fn resume_peer(&mut self, node: &NodeId) {
        if let Some(index) = self.known_peer(node)
            && let Some(paused) = self.peers[index].paused.checked_sub(1)
        {
            self.peers[index].paused = paused;
            if paused == 0 {
                self.resumed.push(index);
            }
        }
    }

    /// Gives up the peer for which most waits, while too much waits for all of them together.
    pub(super) fn shed_load(&mut self) {
        let mut waiting: usize = self.peers.iter().map(Peer::waiting).sum();
        while waiting > self.config.queues
            && let Some(most) = (0..self.peers.len()).max_by_key(|&index| self.peers[index].waiting())
        {
            waiting -= self.peers[most].waiting();
            self.lose_peer(most, "too much waits for all nodes together, and most of it for this one");
        }
    }

=======
>>>>>>> 93d4065 (Permissions by node ID; admission of strangers; one ceiling for memory; no peer uses up what others need)
    /// The nodes to which there is a connection.
    pub(super) fn up_nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.iter().filter(|peer| matches!(peer.state, PeerState::Up(_))).map(|peer| &peer.node)
    }

    pub(super) fn is_up(&self, node: &NodeId) -> bool {
        self.known_peer(node).is_some_and(|index| matches!(self.peers[index].state, PeerState::Up(_)))
    }

    pub(super) fn known_peer(&self, node: &NodeId) -> Option<usize> {
        self.by_node.get(node).copied()
    }

    /// The connection to a node is lost, or cannot be made: what waits is dropped and all watches fire (`MON-8`, `MON-9`, `PEER-4`).
    pub(super) fn lose_peer(&mut self, index: usize, text: &str) {
        let state = self.set_state(index, PeerState::Lost);
        let peer = &mut self.peers[index];
        let node = peer.node.clone();
        let watches = core::mem::take(&mut peer.watches);
        let watched = core::mem::take(&mut peer.watched);
        peer.watches_held = 0;
        for port in watched.into_keys() {
            if let Some(port) = self.ports.get(port) {
                port.watchers.retain(|watcher| !matches!(watcher, Watcher::Peer(other) if *other == index));
            }
        }
        let reasons = Reasons::transport_error(&node, text);
        let watches: Vec<_> = watches.into_values().flatten().collect();
        self.firing.extend(watches.iter().map(|watch| watch.id));
        self.steps.push_back(Step::Lost { peer: index, watches, reasons: reasons.clone() });
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
    pub(super) fn tell_unreachable(&mut self, index: usize, reasons: Reasons) {
        let (now, pause) = (self.now, self.config.connect_timeout);
        let peer = &mut self.peers[index];
        if peer.unreachable.is_none_or(|told| now.saturating_sub(told) >= pause) {
            peer.unreachable = Some(now);
            self.events.push_back(NodeEvent::Unreachable(peer.node.clone(), reasons));
        }
    }

    /// A packet that has arrived from a peer.
    #[inline]
    pub(super) fn packet(&mut self, index: usize, connection: ConnectionId, packet: &Packet<'_>) {
        // What arrived behind the loss of its connection is not of this run any more.
        let peer = &mut self.peers[index];
        if peer.up().is_none_or(|up| up.connection != connection) {
            return;
        }
        self.work += OPERATION + packet.octets().len() as u64;
        let node = peer.node.clone();
        let mut elements = packet.elements();
        let Some(name) = elements.name() else { return };
        self.acting_for = Some(index);
        if name.is_empty() {
            request::handle(self, elements, &node, Some(index));
        } else if let Some(port) = self.ports.find(&name)
            && self.may_reach(index, port, &name, Denied::Send)
        {
            self.run_port(port, elements, Some(&node));
        }
        self.acting_for = None;
    }
}
