//! Sending: to ports of this node through the queue of what is to be done, to other nodes into their connections.

use alloc::string::ToString;
use alloc::vec::Vec;

use serde::Serialize;

use super::super::event::NodeEvent;
use super::super::state::Core;
use super::super::tables::peers::PeerState;
use super::super::tables::steps::{OPERATION, Step};
use crate::framing::{Elements, EncodeError, Framing, Limits, Tail};
use crate::names::{LONGEST, NodeId, PortId};

/// Whether anything can have a name of that length.
///
/// # Errors
///
/// When it is longer (`LIMIT-9`).
#[inline]
pub(in crate::engine) fn check_name(name: &str) -> Result<(), EncodeError> {
    if name.len() > LONGEST { Err(too_long(name.len())) } else { Ok(()) }
}

#[cold]
fn too_long(octets: usize) -> EncodeError {
    serde::ser::Error::custom(alloc::format!("a name has at most {LONGEST} octets, not {octets} [LIMIT-9]"))
}

impl Core {
    /// Returns what one packet to a node may cost to which there is no connection yet (`LIMIT-5`).
    pub fn send_limits(&self) -> Limits {
        self.config.link.send_limits
    }

    /// What one packet to a peer may cost (`LIMIT-5`).
    pub(in crate::engine) fn limits_of(&self, index: usize) -> Limits {
        match &self.peers[index].state {
            PeerState::Up(up) => up.limits,
            _ => self.send_limits(),
        }
    }

    /// Returns what one packet to a node may cost (`LIMIT-5`).
    pub fn limits_to(&self, node: &NodeId) -> Limits {
        self.known_peer(node).map_or_else(|| self.send_limits(), |index| self.limits_of(index))
    }

    /// Sends a message: a tuple, a sequence, an enum, or a single element. It never blocks: what cannot be sent at once
    /// waits, and when it is lost, the monitors on the port and on its node fire.
    ///
    /// # Errors
    ///
    /// When the message cannot be written, or is over the limits.
    #[inline]
    pub fn send<T: Serialize + ?Sized>(&mut self, to: &PortId, elements: &T) -> Result<(), EncodeError> {
        let limits = self.limits_to(to.node());
        self.send_with(to, |port, framing, out| framing.encode_message(port, elements, &limits, out))
    }

    /// Sends on what is left of a message.
    ///
    /// # Errors
    ///
    /// When it is over the limits in the framing of the next node.
    pub fn forward(&mut self, to: &PortId, elements: Elements<'_>) -> Result<(), EncodeError> {
        let limits = self.limits_to(to.node());
        self.send_with(to, |port, framing, out| elements.relay(&[port], framing, &limits, out))
    }

    /// Sends on what is left of a message, with a port for the answer behind it.
    ///
    /// # Errors
    ///
    /// As for [`forward`](Self::forward).
    pub fn forward_with_reply(&mut self, to: &PortId, elements: Elements<'_>, reply: &PortId) -> Result<(), EncodeError> {
        let limits = self.limits_to(to.node());
        let reply = reply.to_string();
        self.send_with(to, |port, framing, out| {
            elements.relay_between(&[port], &[Tail::Text(&reply)], framing, &limits, out)
        })
    }

    /// Sends the elements that were given for an answer, and the answer, for which nobody waits.
    pub(in crate::engine) fn answer(&mut self, to: &PortId, elements: Elements<'_>, answer: &[Tail<'_>]) {
        let limits = self.send_limits();
        let sent = self.send_with(to, |port, framing, out| elements.relay_between(&[port], answer, framing, &limits, out));
        if let Err(error) = sent {
            self.events.push_back(NodeEvent::NotSent { to: to.clone(), error });
        }
    }

    pub(in crate::engine) fn send_with(
        &mut self,
        to: &PortId,
        write: impl FnOnce(&str, Framing, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        check_name(to.port())?;
        if *to.node() != self.id {
            let index = self.peer(to.node());
            return self.write_to(index, |framing, out| write(to.port(), framing, out));
        }
        let port = self.ports.find(to.port());
        if port.is_none() && !to.port().is_empty() {
            // Nobody hears it (`MSG-5`); whoever watched that port knows.
            return Ok(());
        }
        let before = self.own.len();
        write(to.port(), Framing::Cbor, &mut self.own)?;
        let end = self.own.len();
        self.work += OPERATION + (end - before) as u64;
        self.steps.push_back(port.map_or(Step::Request { end }, |port| Step::Message { port, end }));
        Ok(())
    }

    /// Sends a message for which nobody waits: an error is an event.
    pub(in crate::engine) fn send_or_report<T: Serialize + ?Sized>(&mut self, to: &PortId, elements: &T) {
        if let Err(error) = self.send(to, elements) {
            self.events.push_back(NodeEvent::NotSent { to: to.clone(), error });
        }
    }

    /// Sends on what is left of a message, for which nobody waits.
    pub(in crate::engine) fn relay_or_report(&mut self, to: &PortId, elements: Elements<'_>) {
        if let Err(error) = self.forward(to, elements) {
            self.events.push_back(NodeEvent::NotSent { to: to.clone(), error });
        }
    }

    /// Sends a request to a node.
    pub(in crate::engine) fn try_request<T: Serialize + ?Sized>(
        &mut self,
        index: usize,
        request: &T,
    ) -> Result<(), EncodeError> {
        let limits = self.limits_of(index);
        self.write_to(index, |framing, out| framing.encode_message("", request, &limits, out))
    }

    /// Sends a request that the other node must hear: if it cannot be written, that is the loss of the connection.
    pub(in crate::engine) fn send_to_node<T: Serialize + ?Sized>(&mut self, index: usize, request: &T) {
        if self.try_request(index, request).is_err() {
            self.lose_peer(index, "a request to it cannot be written");
        }
    }

    /// Appends a packet to what goes to a peer, and begins to connect if there is no connection (`PEER-1`).
    pub(in crate::engine) fn write_to(
        &mut self,
        index: usize,
        write: impl FnOnce(Framing, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.connect(index);
        let peer = &mut self.peers[index];
        let before = peer.state.queued();
        let waited = peer.waiting();
        let waits = peer.write(write)?;
        self.work += OPERATION + (waits - waited) as u64;
        self.queued += peer.state.queued() - before;
        // Others choose for which nodes they have us keep something, so all of them share one bound.
        let waits = if before > 0 { self.queued } else { waits };
        if let Some(up) = peer.up()
            && !core::mem::replace(&mut up.told, true)
        {
            let connection = up.connection;
            self.told.push(connection);
        }
        let part = peer.up().map_or(0, |up| up.part);
        // A half of that is for what this node's own programs send.
        let limit = if before > 0 && self.acting_for.is_some() { self.config.queue / 2 } else { self.config.queue };
        if waits > limit.saturating_add(part) {
            self.lose_peer(index, "too much waits for it");
        }
        Ok(())
    }
}
