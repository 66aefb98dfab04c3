//! Functions that others may call, and ports that are spawned.

use alloc::vec::Vec;

use serde::Serialize;

use super::super::event::NodeEvent;
use super::super::state::Core;
use super::super::tables::denials::Denied;
use super::super::tables::functions::Access;
use super::super::tables::keys::{FunctionId, PortKey};
use super::super::tables::steps::Step;
use super::node_port;
use super::sending::check_name;
use crate::framing::{Elements, EncodeError, Framing, Packet};
use crate::names::{LONGEST, NodeId, PortId};

impl Core {
    /// Registers a function, which others may then use as `access` says. A function that is registered under the same name
    /// later takes its place and has the same ID. Returns `None` if the name has more than 256 bytes (`LIMIT-9`): nobody
    /// could ask for it.
    pub fn register_function(&mut self, name: &str, access: Access) -> Option<FunctionId> {
        (name.len() <= LONGEST).then(|| self.functions.insert(name, access))
    }

    /// Makes a port on a node, and runs the function of that name there, for that port. There is no visible effect before
    /// this returns (`SPAWN-1`). What goes wrong shows to those who monitor the port.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written, or are over the limits.
    pub fn spawn<T: Serialize + ?Sized>(
        &mut self,
        node: &NodeId,
        function: &str,
        arguments: &T,
    ) -> Result<PortId, EncodeError> {
        let mut encoded = Vec::new();
        Framing::Cbor.encode_elements(arguments, &self.limits_to(node), &mut encoded)?;
        self.spawn_with(node, function, Packet::scanned(Framing::Cbor, &encoded).elements())
    }

    /// The same with arguments that are encoded already.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_with(&mut self, node: &NodeId, function: &str, arguments: Elements<'_>) -> Result<PortId, EncodeError> {
        check_name(function)?;
        let name = self.spawned.name(self.next_spawned);
        self.next_spawned += 1;
        let limits = self.limits_to(node);
        if *node != self.id {
            let index = self.peer(node);
            let head = ["", node_port::SPAWN, &name, function];
            self.write_to(index, |framing, out| arguments.relay(&head, framing, &limits, out))?;
        } else if let Some(function) = self.functions.to_spawn(function)
            && let Some(port) = self.ports.make(&name)
        {
            if let Err(error) = arguments.relay(&[], Framing::Cbor, &limits, &mut self.own) {
                self.ports.remove(port);
                return Err(error);
            }
            self.steps.push_back(Step::Init { port, function, end: self.own.len() });
        }
        Ok(node.port(&name))
    }

    /// Makes a port that a peer spawns; none if the name is taken, or the peer has spawned as many as it may (`SPAWN-3`,
    /// `SPAWN-5`).
    pub(in crate::engine) fn make_spawned(&mut self, name: &str, source: &NodeId) -> Option<PortKey> {
        let config = &self.config;
        if self.spawned_ports.of(source) >= config.spawned_by_peer || self.spawned_ports.len() >= config.spawned {
            self.denied(source, Denied::TooManySpawned, name);
            return None;
        }
        let port = self.ports.make(name)?;
        self.ports.get_mut(port)?.hold().spawned_by = Some(source.clone());
        self.spawned_ports.add(source, name);
        Some(port)
    }

    /// A port that a peer has spawned has ended.
    pub(in crate::engine) fn spawned_ended(&mut self, spawned_by: Option<NodeId>, name: &str) {
        if let Some(node) = spawned_by {
            self.spawned_ports.remove(&node, name);
        }
    }

    /// Tells the operator of something that was denied, once for each of its kind.
    pub(in crate::engine) fn denied(&mut self, source: &NodeId, what: Denied, name: &str) {
        if self.denials.note(source, what, name) {
            self.events.push_back(NodeEvent::Denied { source: source.clone(), what, name: name.into() });
        }
    }
}
