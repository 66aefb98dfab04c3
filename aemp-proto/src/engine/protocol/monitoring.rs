//! Monitors: setting, taking back, firing (`MON-1` to `MON-12`).

use super::super::host::Host;
use super::super::state::Core;
use super::super::tables::keys::{MonitorHandle, MonitorId, Released};
use super::super::tables::monitors::{DataEnded, Monitor, MonitorAction, OnEnd};
use super::super::tables::reasons::{Fired, Reasons};
use super::super::tables::steps::Step;
use crate::names::{LONGEST, PortId};

impl Core {
    /// Sets a monitor: when the port ends, or its node is lost, the action is taken, once.
    pub fn monitor(&mut self, target: &PortId, action: MonitorAction) -> MonitorHandle {
        self.set_monitor(target, OnEnd::Asked(action))
    }

    pub(in crate::engine) fn set_monitor(&mut self, target: &PortId, action: OnEnd) -> MonitorHandle {
        self.next_monitor += 1;
        let id = MonitorId(self.next_monitor);
        let monitor = Monitor { id, action };
        if let Some(port) = monitor.owner().and_then(|owner| self.ports.get_mut(owner)) {
            port.hold().monitors.insert(id, target.clone());
        }
        if target.port().len() > LONGEST {
            // No port has such a name (`LIMIT-10`).
            self.fire(monitor, Reasons::no_such_port(target));
        } else if *target.node() != self.id {
            self.monitor_remote(target, monitor);
        } else if !target.port().is_empty() {
            // The node port never ends.
            match self.ports.find(target.port()).and_then(|port| self.ports.get_mut(port)) {
                Some(port) => port.observers().own.insert(monitor),
                None => self.fire(monitor, Reasons::no_such_port(target)),
            }
        }
        MonitorHandle { target: target.clone(), id }
    }

    fn monitor_remote(&mut self, target: &PortId, monitor: Monitor) {
        let index = self.peer(target.node());
        let monitors = self.peers[index].monitors.entry(target.port().into()).or_default();
        monitors.insert(monitor);
        if monitors.len() > 1 {
            return;
        }
        if target.port().is_empty() {
            // Monitoring a node asks nothing of it, but it must be there (`MON-10`).
            self.connect(index);
        } else {
            self.send_to_node(index, &("mon1", target.port()));
        }
    }

    /// Takes a monitor back. Returns false if it has fired.
    pub fn demonitor(&mut self, handle: &MonitorHandle) -> bool {
        if self.firing.remove(&handle.id) {
            return true;
        }
        let target = &handle.target;
        if *target.node() == self.id {
            let taken = self.ports.find(target.port()).and_then(|port| self.ports.demonitor(port, handle.id));
            let Some(monitor) = taken else { return false };
            self.forget_monitor(&monitor);
            self.release_monitor(&monitor);
            return true;
        }
        let Some(&index) = self.by_node.get(target.node()) else { return false };
        let Some((monitor, last)) = self.peers[index].demonitor(target.port(), handle.id) else { return false };
        self.forget_monitor(&monitor);
        self.release_monitor(&monitor);
        if last && !target.port().is_empty() {
            self.send_to_node(index, &("mon0", target.port()));
        }
        self.retire(index);
        true
    }

    /// A monitor fires in its turn.
    pub(in crate::engine) fn fire(&mut self, monitor: Monitor, reasons: Reasons) {
        self.firing.insert(monitor.id);
        self.steps.push_back(Step::Fire(monitor, reasons));
    }

    /// A monitor's turn has come.
    pub(in crate::engine) fn fire_now(&mut self, host: &mut impl Host, monitor: Monitor, reasons: Reasons) {
        self.forget_monitor(&monitor);
        // It may have been taken back meanwhile (`MON-12`).
        if !self.firing.remove(&monitor.id) {
            return self.release_monitor(&monitor);
        }
        match monitor.action {
            // A normal end does not spread.
            OnEnd::Asked(MonitorAction::Kill(_)) if reasons.is_normal() => {}
            OnEnd::Asked(MonitorAction::Kill(port)) => self.end(port, &reasons),
            OnEnd::Asked(MonitorAction::Send(to, elements)) => self.send_or_report(&to, &Fired(&elements, reasons.values())),
            OnEnd::Asked(MonitorAction::Notify(owner, token)) => {
                if owner.is_none_or(|owner| self.ports.has(owner)) {
                    host.fired(self, owner, token, reasons);
                } else {
                    self.released.push_back(Released::Token(token));
                }
            }
            OnEnd::RemoveEntry(family, key) => self.remove_registered(family, key),
            OnEnd::CloseView(view) => self.close_view(view),
            OnEnd::DataEnded(ended) => {
                let DataEnded { key, owner, waits } = *ended;
                if let Some(owner) = owner {
                    self.detach(owner, waits);
                }
                self.data_ended(host, &key, reasons);
            }
        }
    }

    /// The port that has set a monitor need not take it back any more.
    fn forget_monitor(&mut self, monitor: &Monitor) {
        if let Some(held) = monitor.owner().and_then(|owner| self.ports.get_mut(owner)?.held.as_mut()) {
            held.monitors.remove(&monitor.id);
        }
    }

    fn release_monitor(&mut self, monitor: &Monitor) {
        self.released.extend(monitor.token().map(Released::Token));
    }
}
