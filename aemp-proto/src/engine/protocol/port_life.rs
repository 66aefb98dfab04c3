//! Ports: making them, and ending them with all that goes with them.

use super::super::state::Core;
use super::super::tables::keys::{MonitorHandle, PortKey, Released};
use super::super::tables::ports::Port;
use super::super::tables::reasons::{Reasons, Told};
use super::super::tables::steps::Telling;
use crate::names::{NodeId, PortId};

impl Core {
    /// Returns this node's ID.
    #[inline]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// Makes a port with a generated name.
    pub fn make_port(&mut self) -> PortKey {
        self.ports.make_unnamed()
    }

    /// Makes a port of this name. Returns `None` if there is one, or if the name is empty, has more than 256 bytes
    /// (`LIMIT-9`), or has the form of a generated one.
    pub fn make_named_port(&mut self, name: &str) -> Option<PortKey> {
        self.ports.make(name)
    }

    /// Returns the key of a port of this node; `None` if it has ended, or is another node's.
    pub fn find_port(&self, id: &PortId) -> Option<PortKey> {
        if *id.node() == self.id { self.ports.find(id.port()) } else { None }
    }

    /// Returns the ID of a port, by which others reach it.
    pub fn port_id(&self, port: PortKey) -> PortId {
        self.id.port(&self.ports.name(port))
    }

    /// Returns whether a port has not ended.
    #[inline]
    pub fn has_port(&self, port: PortKey) -> bool {
        self.ports.has(port)
    }

    /// Returns whether a port was made by name or by spawning: it ignores messages for which it has no code (`PORT-3`).
    pub fn is_named(&self, port: PortKey) -> bool {
        self.ports.get(port).is_some_and(Port::is_named)
    }

    /// Protects a port: from now on other nodes cannot kill it (`KILL-4`). What they are denied is an
    /// [event](crate::engine::NodeEvent::Denied).
    pub fn protect(&mut self, port: PortKey) {
        if let Some(port) = self.ports.get_mut(port) {
            port.protected = true;
        }
    }

    /// Kills a port with its owner: when `owner` ends, `port` ends normally.
    pub fn attach(&mut self, owner: PortKey, port: PortKey) {
        if let Some(owner) = self.ports.get_mut(owner) {
            owner.hold().attached.insert(port);
        }
    }

    /// Takes back [`attach`](Self::attach).
    pub fn detach(&mut self, owner: PortKey, port: PortKey) {
        if let Some(held) = self.ports.get_mut(owner).and_then(|owner| owner.held.as_mut()) {
            held.attached.remove(&port);
        }
    }

    /// Takes the next thing that the host need not keep any more.
    #[inline]
    pub fn poll_released(&mut self) -> Option<Released> {
        self.released.pop_front()
    }

    /// Kills a port of any node. Without reasons it is a normal end. A port of this node gets no message after that.
    pub fn kill(&mut self, port: &PortId, reasons: &Reasons) {
        if *port.node() == self.id {
            if let Some(key) = self.ports.find(port.port()) {
                self.end(key, reasons);
            }
        } else if !port.port().is_empty() {
            let index = self.peer(port.node());
            self.send_to_node(index, &Told { request: "kil1", port: port.port(), reasons: reasons.values() });
        }
    }

    /// Kills a port of this node at once. Those who monitor it hear of it in their turn.
    pub fn end(&mut self, port: PortKey, reasons: &Reasons) {
        let name = self.ports.name(port);
        let Some(mut ended) = self.ports.remove(port) else { return };
        if let Some(held) = ended.held.take() {
            self.spawned_ended(held.spawned_by, &name);
            for key in held.timers {
                self.timer_ended(key);
            }
            for (id, target) in held.monitors {
                self.demonitor(&MonitorHandle { target, id });
            }
            for attached in held.attached {
                self.end(attached, &Reasons::normal());
            }
            for question in held.questions {
                self.give_up_question(question);
            }
        }
        self.released.push_back(Released::Port(port));
        let Some(observers) = ended.observers else { return };
        for monitor in observers.own.into_iter() {
            self.fire(monitor, reasons.clone());
        }
        if !observers.peers.is_empty() {
            let (name, reasons, peers) = (name.into(), reasons.clone(), observers.peers);
            self.tell_end(Telling { port, name, reasons, peers, too_large: alloc::vec::Vec::new() });
        }
    }
}
