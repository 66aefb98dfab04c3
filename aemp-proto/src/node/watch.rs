//! Watches: what happens when a port ends.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::context::Context;
use super::core::{Core, Step};
use super::port::PortKey;
use super::reasons::{Fired, Outcome, Reasons};
use crate::names::{LONGEST, PortId};
use crate::value::Value;

/// Which watch; no two of a node are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatchId(pub(super) u64);

/// A watch that was set, to give it up.
///
/// Dropping it does nothing: the watch stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchHandle {
    pub(super) target: PortId,
    pub(super) id: WatchId,
}

/// A watch that has not fired.
pub(super) struct Watch {
    pub(super) id: WatchId,
    pub(super) action: WatchAction,
}

/// What happens when a watch fires.
pub(super) enum WatchAction {
    /// The port ends too, with the same reasons, unless there are none.
    End(PortKey),
    /// The message is sent, with the reasons behind it.
    Message(PortId, Vec<Value>),
    /// The code runs, in the name of the port if it has not ended.
    Call(Option<PortKey>, Callback),
}

impl Watch {
    /// The port that the watch goes with: when that ends, the watch is given up.
    pub(super) fn owner(&self) -> Option<PortKey> {
        match self.action {
            WatchAction::End(port) => Some(port),
            WatchAction::Call(port, _) => port,
            WatchAction::Message(..) => None,
        }
    }
}

/// Code that runs once when a watch fires.
pub(super) type Callback = Box<dyn FnOnce(&mut Context<'_>, Reasons) -> Outcome>;

impl Core {
    pub(super) fn fire(&mut self, watch: Watch, reasons: Reasons) {
        self.firing.insert(watch.id);
        self.steps.push_back(Step::Fire(watch, reasons));
    }

    pub(super) fn fire_now(&mut self, watch: Watch, reasons: Reasons) {
        self.forget_watch(&watch);
        // It may have been given up meanwhile (`MON-12`).
        if !self.firing.remove(&watch.id) {
            return self.discard(watch);
        }
        match watch.action {
            // A normal end does not spread.
            WatchAction::End(_) if reasons.is_normal() => {}
            WatchAction::End(port) => self.end(port, &reasons),
            WatchAction::Message(to, elements) => self.send_or_report(&to, &Fired(&elements, reasons.values())),
            WatchAction::Call(port, callback) => self.run_code(port, None, |context| callback(context, reasons)),
        }
    }

    /// The port that has set a watch need not give it up any more.
    pub(super) fn forget_watch(&mut self, watch: &Watch) {
        if let Some(held) = watch.owner().and_then(|owner| self.ports.get(owner)?.held.as_mut()) {
            held.watches.remove(&watch.id);
        }
    }

    pub(super) fn watch(&mut self, target: &PortId, action: WatchAction) -> WatchHandle {
        self.next_watch += 1;
        let id = WatchId(self.next_watch);
        let watch = Watch { id, action };
        if let Some(port) = watch.owner().and_then(|owner| self.ports.get(owner)) {
            port.hold().watches.insert(id, target.clone());
        }
        if target.port().len() > LONGEST {
            // No port has such a name (`LIMIT-10`).
            self.fire(watch, Reasons::no_such_port(target));
        } else if *target.node() != self.id {
            self.watch_remote(target, watch);
        } else if !target.port().is_empty() {
            // The node port never ends.
            match self.ports.find(target.port()).and_then(|port| self.ports.get(port)) {
                Some(port) => port.monitors().own.insert(watch),
                None => self.fire(watch, Reasons::no_such_port(target)),
            }
        }
        WatchHandle { target: target.clone(), id }
    }

    pub(super) fn watch_remote(&mut self, target: &PortId, watch: Watch) {
        let index = self.peer(target.node());
        let watches = self.peers[index].watches.entry(target.port().into()).or_default();
        watches.insert(watch);
        if watches.len() > 1 {
            return;
        }
        if target.port().is_empty() {
            // Watching a node asks nothing of it, but it must be there (`MON-10`).
            self.connect(index);
        } else {
            self.send_to_node(index, &("mon1", target.port()));
        }
    }

    pub(super) fn unwatch(&mut self, watch: &WatchHandle) -> bool {
        if self.firing.remove(&watch.id) {
            return true;
        }
        let target = &watch.target;
        if *target.node() == self.id {
            let given_up = self.ports.find(target.port()).and_then(|port| self.ports.unwatch(port, watch.id));
            let given_up = given_up.inspect(|watch| self.forget_watch(watch));
            let was_there = given_up.is_some();
            self.discard(given_up);
            return was_there;
        }
        let Some(&index) = self.by_node.get(target.node()) else { return false };
        let Some((given_up, last)) = self.peers[index].unwatch(target.port(), watch.id) else { return false };
        self.forget_watch(&given_up);
        self.discard(given_up);
        if last && !target.port().is_empty() {
            self.send_to_node(index, &("mon0", target.port()));
        }
        self.retire(index);
        true
    }
}
