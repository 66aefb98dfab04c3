//! What the code of a port can do: the verbs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::state::{Change, Context, Function, Handler, Task, Work};
use crate::engine::{Access, IntoOutcome, MonitorAction, MonitorHandle, Outcome, PortKey, Reasons, TimerHandle};
use crate::framing::{Elements, EncodeError, Framing, Packet};
use crate::names::{NodeId, PortId};
use crate::value::Value;

impl Context<'_> {
    /// This node's ID.
    pub fn node(&self) -> &NodeId {
        self.core.id()
    }

    /// The node's master. A global node has none.
    pub fn master(&self) -> Option<&NodeId> {
        self.core.master()
    }

    /// The port in whose name this runs; `None` if there is none, or it has ended.
    pub fn own_port(&mut self) -> Option<PortId> {
        let port = self.port.filter(|port| self.core.has_port(*port))?;
        Some(self.core.port_id(port))
    }

    /// Whether the port in whose name this runs has ended.
    pub fn has_ended(&mut self) -> bool {
        self.port.is_some_and(|port| !self.core.has_port(port))
    }

    /// The node that sent the message that is being handled.
    pub fn source(&self) -> Option<&NodeId> {
        self.source
    }

    /// The time of what goes on now.
    pub fn now(&self) -> Duration {
        self.core.now()
    }

    /// Makes a port that handles its messages so.
    pub fn port(&mut self, handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static) -> PortId {
        let id = self.port_without_code();
        self.receive(&id, handler);
        id
    }

    /// Makes a port without code: a message ends it, unless code is added first (`PORT-3`).
    pub fn port_without_code(&mut self) -> PortId {
        let port = self.core.make_port();
        self.core.port_id(port)
    }

    /// Makes a port of this name; `None` if there is one, or the name is empty or has more than 256 octets (`LIMIT-9`). It
    /// ignores what it has no code for.
    pub fn named_port(
        &mut self,
        name: &str,
        handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static,
    ) -> Option<PortId> {
        let port = self.core.make_named_port(name)?;
        self.change(port, Change::Default(Some(Box::new(handler))));
        Some(self.core.port_id(port))
    }

    fn own(&mut self, id: &PortId) -> Option<PortKey> {
        self.core.find_port(id)
    }

    /// Changes the code of a port that has not ended.
    fn change(&mut self, port: PortKey, change: Change) {
        if let Some(before) = self.actors.code(self.core, port).change(change) {
            self.actors.discard(self.core, before);
        }
    }

    /// Sets what a port of this node does with messages that no tag fits. Nothing happens if it has ended.
    pub fn receive(&mut self, port: &PortId, handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static) {
        self.set_default(port, Some(Box::new(handler)));
    }

    /// Sets what a port of this node does with messages whose first element is `tag`; it gets the elements behind it.
    pub fn receive_tag(
        &mut self,
        port: &PortId,
        tag: &str,
        handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static,
    ) {
        self.set_tag(port, tag, Some(Box::new(handler)));
    }

    /// Sets or takes away the code for messages that no tag fits.
    pub fn set_default(&mut self, port: &PortId, handler: Option<Handler>) {
        if let Some(key) = self.own(port) {
            self.change(key, Change::Default(handler));
        }
    }

    /// Sets or takes away the code for a tag.
    pub fn set_tag(&mut self, port: &PortId, tag: &str, handler: Option<Handler>) {
        if let Some(key) = self.own(port) {
            self.change(key, Change::Tag(tag.into(), handler));
        }
    }

    /// Sends a message: a tuple, a sequence, an enum, or a single element. It never blocks: what cannot be sent at once
    /// waits, and when it is lost, the watches on the port and on its node fire.
    ///
    /// # Errors
    ///
    /// When the message cannot be written, or is over the limits.
    #[inline]
    pub fn send<T: Serialize + ?Sized>(&mut self, to: &PortId, elements: &T) -> Result<(), EncodeError> {
        self.core.send(to, elements)
    }

    /// Sends on what is left of a message.
    ///
    /// # Errors
    ///
    /// When it is over the limits in the framing of the next node.
    pub fn forward(&mut self, to: &PortId, elements: Elements<'_>) -> Result<(), EncodeError> {
        self.core.forward(to, elements)
    }

    /// Whether less waits for a node than the low-water mark: whoever sends much should [wait](Self::when_ready) for that.
    pub fn is_ready(&mut self, node: &NodeId) -> bool {
        self.core.is_drained(node)
    }

    /// Runs `callback` once when the port ends, or its node is lost, in the name of the own port. The watch is given up when
    /// the own port ends, and its failure ends the own port; a watch on the own port itself runs in the name of nobody.
    pub fn watch<O: IntoOutcome>(
        &mut self,
        target: &PortId,
        callback: impl FnOnce(&mut Context<'_>, Reasons) -> O + 'static,
    ) -> MonitorHandle {
        let itself = self.own(target);
        let owner = self.port.filter(|_| itself != self.port);
        let callback = Box::new(|context: &mut Context<'_>, reasons| callback(context, reasons).into_outcome());
        let token = self.actors.keep(Work::Callback(callback));
        self.core.monitor(target, MonitorAction::Notify(owner, token))
    }

    /// Ends the own port, with the same reasons, when the port ends; a normal end does not spread. Nothing happens without
    /// an own port.
    pub fn link(&mut self, target: &PortId) -> Option<MonitorHandle> {
        let own = self.port?;
        Some(self.core.monitor(target, MonitorAction::Kill(own)))
    }

    /// Sends a message with the reasons behind these elements when the port ends.
    pub fn watch_with_message(&mut self, target: &PortId, to: &PortId, elements: Vec<Value>) -> MonitorHandle {
        self.core.monitor(target, MonitorAction::Send(to.clone(), elements))
    }

    /// Gives a watch up; false if it has fired.
    pub fn unwatch(&mut self, watch: &MonitorHandle) -> bool {
        let was_there = self.core.demonitor(watch);
        self.actors.release(self.core);
        was_there
    }

    /// Ends a port of any node; without reasons it is a normal end. A port of this node gets no message after that.
    #[expect(clippy::needless_pass_by_value, reason = "reasons are made for it")]
    pub fn end(&mut self, port: &PortId, reasons: Reasons) {
        self.core.kill(port, &reasons);
        self.actors.release(self.core);
    }

    /// Makes a port on a node and runs the function of that name there, in its name. What goes wrong shows to whoever
    /// watches the port.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written.
    pub fn spawn<T: Serialize + ?Sized>(
        &mut self,
        node: &NodeId,
        function: &str,
        arguments: &T,
    ) -> Result<PortId, EncodeError> {
        self.core.spawn(node, function, arguments)
    }

    /// The same with arguments that are encoded already.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with(&mut self, node: &NodeId, function: &str, arguments: Elements<'_>) -> Result<PortId, EncodeError> {
        self.core.spawn_with(node, function, arguments)
    }

    /// Lets others use a function under this name, as `access` says. It takes the place of one that has that name already.
    /// Nothing is registered under a name of more than 256 octets (`LIMIT-9`): nobody could ask for it.
    pub fn register(&mut self, name: &str, access: Access, function: Function) {
        let Some(id) = self.core.register_function(name, access) else {
            return self.actors.discard(self.core, function);
        };
        if let Some(before) = self.actors.functions.insert(id, function) {
            self.actors.discard(self.core, before);
        }
    }

    /// Protects a port of this node: from now on other nodes cannot end it (`KILL-4`). What they are denied is an
    /// [event](crate::engine::NodeEvent::Denied). Code of this node can still end it. Nothing happens if it has ended.
    pub fn protect(&mut self, port: &PortId) {
        if let Some(port) = self.own(port) {
            self.core.protect(port);
        }
    }

    /// Runs code after a time, in the name of the own port, if it has not ended by then. If the code fails, the port ends.
    pub fn after<O: IntoOutcome>(
        &mut self,
        time: Duration,
        task: impl FnOnce(&mut Context<'_>) -> O + 'static,
    ) -> TimerHandle {
        let token = self.actors.keep(Work::Task(boxed(task)));
        self.core.after(time, self.port, token)
    }

    /// Sends a message after a time, if the own port has not ended by then.
    ///
    /// # Errors
    ///
    /// When the message cannot be written. What goes wrong when the time has come ends the own port.
    pub fn send_after<T: Serialize + ?Sized>(
        &mut self,
        time: Duration,
        to: &PortId,
        elements: &T,
    ) -> Result<TimerHandle, EncodeError> {
        let (to, mut message) = (to.clone(), Vec::new());
        Framing::Cbor.encode_elements(elements, &self.core.limits_to(to.node()), &mut message)?;
        Ok(self.after(time, move |context: &mut Context<'_>| -> Outcome {
            Ok(context.forward(&to, Packet::scanned(Framing::Cbor, &message).elements())?)
        }))
    }

    /// Gives a timer up; false if it has run, or is about to.
    pub fn cancel(&mut self, timer: &TimerHandle) -> bool {
        let was_there = self.core.cancel(timer);
        self.actors.release(self.core);
        was_there
    }

    /// Stops handling what a node sends, for a receiver that cannot take more: after the present packet, nothing of that
    /// node is handled or read until [`resume_peer`](Self::resume_peer) was called as often as this, requests such as
    /// watches included. What it sends meanwhile waits there, in order, and it counts as alive. The pause holds across
    /// connections. Of the own node nothing can be paused.
    pub fn pause_peer(&mut self, node: &NodeId) {
        self.core.pause_peer(node);
    }

    /// Takes back one [pause](Self::pause_peer) of a node. More calls than pauses do nothing.
    pub fn resume_peer(&mut self, node: &NodeId) {
        self.core.resume_peer(node);
    }

    /// Runs code when what goes on now has come to its end, in the name of the own port. If the code fails, the port ends.
    pub fn later<O: IntoOutcome>(&mut self, task: impl FnOnce(&mut Context<'_>) -> O + 'static) {
        let token = self.actors.keep(Work::Task(boxed(task)));
        self.core.defer(self.port, token);
    }

    /// Runs code in the name of a port of this node when what goes on now has come to its end. If the code fails, that port
    /// ends; if the port has ended, nothing runs.
    pub fn run_in<O: IntoOutcome>(&mut self, port: &PortId, task: impl FnOnce(&mut Context<'_>) -> O + 'static) {
        if let Some(port) = self.own(port) {
            let token = self.actors.keep(Work::Task(boxed(task)));
            self.core.defer(Some(port), token);
        }
    }

    /// Runs code, in the name of the own port, when less waits for a node than the low-water mark, or nothing does since it
    /// is lost: whoever sends much should wait for that.
    pub fn when_ready<O: IntoOutcome>(&mut self, node: &NodeId, task: impl FnOnce(&mut Context<'_>) -> O + 'static) {
        let token = self.actors.keep(Work::Task(boxed(task)));
        self.core.when_drained(node, self.port, token);
    }
}

/// Code that runs once, as it is kept.
fn boxed<O: IntoOutcome>(task: impl FnOnce(&mut Context<'_>) -> O + 'static) -> Task {
    Box::new(|context| task(context).into_outcome())
}
