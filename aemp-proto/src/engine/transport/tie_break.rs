//! Which connection of a node comes up, when there are several (section 7.6 of the specification).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::event::{Action, NodeEvent};
use super::super::host::Host;
use super::super::state::{ARBITER, Connection, Engine, GLOBAL, LIMITS};
use super::super::tables::keys::ConnectionId;
use super::super::tables::peers::{PeerState, Up, transcribe};
use super::super::tables::refusal::Refusal;
use crate::framing::Limits;
use crate::link::{Accepted, Role};
use crate::names::NodeId;
use crate::output::Output;

impl Engine {
    /// Any octet is a sign of life.
    pub(in crate::engine) fn heard(&mut self, id: ConnectionId) {
        let Some(index) = self.connections.get(&id).and_then(|connection| connection.peer) else { return };
        let now = self.core.now;
        if let Some(up) = self.core.peers[index].up() {
            (up.heard, up.asked) = (now, None);
            if up.probe.take().is_some() | ::core::mem::take(&mut up.suspect) {
                // It lives, so whoever greets in its name is not let in.
                let node = self.core.peers[index].node.clone();
                self.refuse_others(&node, id, "there is a connection to that node, and it lives");
            }
        }
    }

    /// Decides about the connections of a node that have greeted: at most one is to come up (`PEER-5` to `PEER-9`).
    pub(in crate::engine) fn decide(&mut self, host: &mut impl Host, node: &NodeId) {
        let (accepted, waiting): (Vec<_>, Vec<_>) =
            self.connections_of(node).partition(|(_, connection)| connection.accepted);
        if waiting.is_empty() {
            // Whoever greeted in its name is gone, and so is the question.
            if let Some(up) = self.core.known_peer(node).and_then(|index| self.core.peers[index].up()) {
                (up.probe, up.suspect) = (None, false);
            }
            return;
        }
        let speaks = |connection: &Connection| connection.link.peer().is_some_and(|greeting| greeting.says(ARBITER));
        let arbiter = |connection: &Connection| !speaks(connection) || self.core.id < *node;
        // Where we are the opener, accepting sends our line. Where we are not, it sends nothing before the other side's line
        // has been verified (`AUTH-4`), and then that connection is up: those may all go on, so strangers who stall keep
        // nobody out.
        let sends = |connection: &Connection| connection.link.role() == Role::Opener;
        let in_progress =
            |sent: bool| accepted.iter().any(|(_, connection)| connection.peer.is_none() && sends(connection) == sent);
        let (sent, answering) = (in_progress(true), in_progress(false));
        let ours = waiting.iter().find(|(_, connection)| arbiter(connection) && sends(connection)).map(|(id, _)| *id);
        let chosen = waiting.iter().filter(|(id, connection)| match ours {
            _ if !arbiter(connection) => true,
            _ if sent => false,
            // No more of the others until ours has had its turn.
            Some(ours) => *id == ours && !answering,
            None => true,
        });
        let chosen: Vec<_> = chosen.map(|(id, _)| *id).collect();
        if let Some(index) = self.core.known_peer(node)
            && let Some(up) = self.core.peers[index].up()
            && !up.suspect
        {
            if up.probe.is_none() {
                up.probe = Some(self.core.now.saturating_add(self.core.config.probe_timeout));
                self.ask_for_life(index);
            }
            return;
        }
        for id in chosen {
            self.accept(host, id);
        }
    }

    /// Has a peer send something: an echo of nothing to our node port.
    pub(in crate::engine) fn ask_for_life(&mut self, index: usize) {
        let own = self.core.id.clone();
        self.core.send_to_node(index, &("snd", own));
    }

    fn accept(&mut self, host: &mut impl Host, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if ::core::mem::replace(&mut connection.accepted, true) {
            return;
        }
        connection.accepted_at = Some(self.core.now);
        // It may read again.
        self.writable.push_back(id);
        match connection.link.accept() {
            Ok(Accepted::Authenticating) => self.pump(host, id, &[]),
            Ok(Accepted::StartTls(tls)) => self.actions.push_back(Action::StartTls { connection: id, tls }),
            Err(error) => self.failed(id, &error),
        }
    }

    /// A connection is up.
    pub(in crate::engine) fn up(&mut self, host: &mut impl Host, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (Some(node), Some(framing)) = (connection.node.clone(), connection.link.sends()) else { return };
        let index = self.core.peer(&node);
        /// How often code that runs when a monitor fires may have the node lost again, before the connection is given up.
        const PATIENCE: usize = 100;
        if self.core.peers[index].up().is_some_and(|up| up.suspect) {
            self.core.lose_peer(index, "the node has come back, and this connection is dead");
        }
        for _ in 0..PATIENCE {
            if !matches!(self.core.peers[index].state, PeerState::Lost) {
                break;
            }
            // First fires what an earlier connection left behind (`PEER-4`).
            self.core.run_steps(host, u64::MAX);
        }
        if let PeerState::Lost = self.core.peers[index].state {
            return self.gone(id, Refusal::Superseded, "what the last connection left behind has no end");
        }
        // It takes what it has announced, as far as we may send that (`LIMIT-5`, `GREET-27`).
        let announced = connection.link.peer().and_then(|greeting| Limits::announced(greeting.keys.get(LIMITS)?));
        let config = &self.core.config.link;
        let limits =
            announced.map_or(config.send_limits, |limits| config.send_limits.at_least(&limits.at_most(&config.send_most)));
        let peer = &mut self.core.peers[index];
        if peer.up().is_some() {
            // Another one was faster; the arbiter sees to it that this does not happen.
            return self.gone(id, Refusal::Superseded, "there is a connection to that node already");
        }
        let mut output = Output::default();
        if let PeerState::Connecting { queue, .. } = &peer.state
            && !transcribe(queue, framing, &limits, output.buffer())
        {
            self.core.lose_peer(index, "what waited cannot be written in the framing of the connection");
            return self.gone(id, Refusal::Superseded, "what waited cannot be written in its framing");
        }
        // What was to go to an older connection does not come over this one.
        self.core.carry_out();
        let (now, waits) = (self.core.now, output.len() > 0);
        let up = Up {
            connection: id,
            framing,
            limits,
            output,
            part: 0,
            heard: now,
            asked: None,
            probe: None,
            suspect: false,
            told: waits,
        };
        self.core.set_state(index, PeerState::Up(Box::new(up)));
        connection.peer = Some(index);
        self.core.resolve_rights(index);
        let speaks = connection.link.peer().is_some_and(|greeting| greeting.says(GLOBAL));
        let dial = connection.dial;
        self.ends_handshake(id);
        self.writable.push_back(id);
        self.core.refused = None;
        self.core.events.push_back(NodeEvent::Up(node.clone()));
        self.reached(dial, &node, speaks);
        // What an older one still carries would come too late (`PEER-11`).
        self.refuse_others(&node, id, "another connection to that node is up");
    }

    /// Closes all connections of a node but one.
    pub(in crate::engine) fn refuse_others(&mut self, node: &NodeId, but: ConnectionId, text: &str) {
        let others: Vec<_> = self.connections_of(node).map(|(id, _)| id).filter(|id| *id != but).collect();
        for id in others {
            self.gone(id, Refusal::Superseded, text);
        }
    }

    /// Gives up connections that take too long while another one of their node waits: it may be a stranger who has no
    /// secret.
    pub(in crate::engine) fn hurry(&mut self) {
        let patience = self.core.config.probe_timeout.saturating_mul(2);
        let waits = |node: &NodeId| self.connections_of(node).any(|(_, other)| !other.accepted);
        let late = |id: &ConnectionId| {
            let Some(connection) = self.connections.get(id) else { return false };
            connection.accepted_at.is_some_and(|at| self.core.now.saturating_sub(at) >= patience)
                && connection.node.as_ref().is_some_and(waits)
        };
        let late: Vec<_> = self.handshakes.iter().copied().filter(late).collect();
        for id in late {
            self.gone(id, Refusal::TooSlow, "it takes too long, and another connection of that node waits");
        }
    }
}
