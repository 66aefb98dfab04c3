//! Steps in their turn, and messages to ports.

use alloc::vec::Vec;

use super::super::host::Host;
use super::super::state::Core;
use super::super::tables::denials::Denied;
use super::super::tables::keys::{ConnectionId, PortKey, Released};
use super::super::tables::monitors::{Monitor, MonitorList};
use super::super::tables::peers::PeerState;
use super::super::tables::ports::Port;
use super::super::tables::reasons::Reasons;
use super::super::tables::steps::{Batch, OPERATION, Step};
use super::node_port;
use crate::framing::{Elements, Packet};
use crate::names::NodeId;

impl Core {
    pub(in crate::engine) fn has_steps(&self) -> bool {
        !self.steps.is_empty() || !self.batch.steps.is_empty()
    }

    /// How many steps are to be done.
    pub(in crate::engine) fn steps_waiting(&self) -> usize {
        self.steps.len() + self.batch.steps.len()
    }

    /// Does what has gathered, but not what gathers meanwhile, until so much work is done: connections get their turn in
    /// between.
    pub(in crate::engine) fn run_steps(&mut self, host: &mut impl Host, budget: u64) {
        let mut batch = core::mem::take(&mut self.batch);
        if batch.steps.is_empty() {
            batch = Batch { steps: core::mem::take(&mut self.steps), bytes: core::mem::take(&mut self.own), start: 0 };
        }
        let end = self.work.saturating_add(budget);
        let own = self.id.clone();
        let Batch { steps, bytes, start } = &mut batch;
        while let Some(step) = steps.pop_front() {
            let before = *start;
            match step {
                Step::Message { port, end } => {
                    let mut elements = Batch::elements(bytes, start, end);
                    elements.name();
                    if self.ports.has(port) {
                        self.deliver(host, port, &own, elements);
                    }
                }
                Step::Request { end } => {
                    let mut elements = Batch::elements(bytes, start, end);
                    elements.name();
                    node_port::handle(self, host, elements, &own, None);
                }
                Step::Init { port, function, end } => {
                    let elements = Batch::elements(bytes, start, end);
                    if self.ports.has(port) {
                        host.spawned(self, port, function, &own, elements);
                    }
                }
                step => self.run_step(host, step),
            }
            self.work += OPERATION + (*start - before) as u64;
            if self.work >= end {
                break;
            }
        }
        if !batch.steps.is_empty() {
            self.batch = batch;
        }
    }

    /// Does a step that has no message.
    fn run_step(&mut self, host: &mut impl Host, step: Step) {
        match step {
            Step::Message { .. } | Step::Request { .. } | Step::Init { .. } => {}
            Step::Fire(monitor, reasons) => self.fire_now(host, monitor, reasons),
            Step::Lost { peer, monitors, reasons } => self.tell_loss(host, peer, monitors, &reasons),
            Step::Tell(telling) => self.tell_end(*telling),
            Step::Forget(forgetting) => self.forget_watched(*forgetting),
            Step::Run(port, token) => {
                if self.is_wanted(port) {
                    host.resume(self, port, token);
                } else {
                    self.released.push_back(Released::Token(token));
                }
            }
            Step::Answer(port, question, answer) => {
                if self.is_wanted(port) {
                    host.answered(self, port, question, *answer);
                } else {
                    self.released.push_back(Released::Question(question));
                }
            }
            Step::Changes(watch, delta) => {
                if let Some(view) = self.watchers.views.get(&watch)
                    && let owner = view.owner
                    && self.is_wanted(owner)
                {
                    host.changed(self, owner, watch, delta.changes());
                }
            }
            Step::DataLate(key, time) => {
                self.data_failed(&key, &alloc::format!("no data connection within {time:?}"));
            }
        }
    }

    /// Whether what goes with a port is to be done: it has not ended, or there is none.
    fn is_wanted(&self, port: Option<PortKey>) -> bool {
        port.is_none_or(|port| self.ports.has(port))
    }

    /// Hands a message to the code of a port that has not ended.
    #[inline]
    fn deliver(&mut self, host: &mut impl Host, port: PortKey, source: &NodeId, elements: Elements<'_>) {
        if self.ports.get(port).is_some_and(Port::is_internal) {
            return self.data_echoed(port, source);
        }
        host.deliver(self, port, source, elements);
    }

    /// Fires all monitors that a loss fires; those that were set since are of the same run. What is sent because of it is of
    /// the next one, whichever monitor fires first: whoever is told may send again at once (`PEER-4`).
    fn tell_loss(&mut self, host: &mut impl Host, index: usize, monitors: Vec<Monitor>, reasons: &Reasons) {
        let mut late = Vec::new();
        let peer = &mut self.peers[index];
        if let PeerState::Lost = peer.state {
            peer.state = PeerState::Unknown;
            late = core::mem::take(&mut peer.monitors).into_values().flat_map(MonitorList::into_iter).collect();
        }
        self.firing.extend(late.iter().map(|monitor| monitor.id));
        for monitor in monitors.into_iter().chain(late) {
            self.fire_now(host, monitor, reasons.clone());
        }
        self.retire(index);
    }

    /// Handles a packet that has arrived from a peer.
    #[inline]
    pub(in crate::engine) fn packet(
        &mut self,
        host: &mut impl Host,
        index: usize,
        node: &NodeId,
        connection: ConnectionId,
        packet: &Packet<'_>,
    ) {
        // What arrived behind the loss of its connection is not of this run any more.
        if self.peers[index].up().is_none_or(|up| up.connection != connection) {
            return;
        }
        self.work += OPERATION + packet.weight() as u64;
        let mut elements = packet.elements();
        let Some(name) = elements.name() else { return };
        self.acting_for = Some(index);
        if name.is_empty() {
            node_port::handle(self, host, elements, node, Some(index));
        } else if let Some(port) = self.ports.find(&name)
            && self.may_reach(index, port, &name, Denied::Send)
        {
            self.deliver(host, port, node, elements);
        }
        self.acting_for = None;
    }
}
