//! What the code of a port can do: the verbs.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::access::Access;
use super::core::{Core, Function};
use super::port::{Handler, PortKey};
use super::reasons::{IntoOutcome, Outcome, Reasons};
use super::timer::{Task, TimerHandle};
use super::watch::{WatchAction, WatchHandle};
use crate::framing::{Elements, EncodeError, Framing, Packet};
use crate::names::{NodeId, PortId};
use crate::value::Value;

/// The node, as the code that runs in it sees it, in the name of a port or of nobody.
pub struct Context<'a> {
    pub(super) core: &'a mut Core,
    pub(super) port: Option<PortKey>,
    pub(super) source: Option<&'a NodeId>,
}

impl<'a> Context<'a> {
    pub(super) fn new(core: &'a mut Core, port: Option<PortKey>, source: Option<&'a NodeId>) -> Self {
        Context { core, port, source }
    }

    /// This node's ID.
    pub fn node(&self) -> &NodeId {
        &self.core.id
    }

    /// The node's master. A global node has none.
    pub fn master(&self) -> Option<&NodeId> {
        self.core.global.master()
    }

    /// The port in whose name this runs; `None` if there is none, or it has ended.
    pub fn own_port(&mut self) -> Option<PortId> {
        let port = self.port?;
        self.core.ports.get(port)?;
        Some(self.core.port_id(port))
    }

    /// Whether the port in whose name this runs has ended.
    pub fn has_ended(&mut self) -> bool {
        self.port.is_some_and(|port| self.core.ports.get(port).is_none())
    }

    /// The node that sent the message that is being handled.
    pub fn source(&self) -> Option<&NodeId> {
        self.source
    }

    /// The time of what goes on now.
    pub fn now(&self) -> Duration {
        self.core.now
    }

    /// Makes a port that handles its messages so.
    pub fn port(&mut self, handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static) -> PortId {
        let id = self.port_without_code();
        self.receive(&id, handler);
        id
    }

    /// Makes a port without code: a message ends it, unless code is added first (`PORT-3`).
    pub fn port_without_code(&mut self) -> PortId {
        match self.core.ports.make(None) {
            Some(port) => self.core.port_id(port),
            // Only names can be taken.
            None => self.core.id.port(""),
        }
    }

    /// Makes a port of this name; `None` if there is one, or the name is empty or has more than 256 octets (`LIMIT-9`). It ignores what it has no code for.
    pub fn named_port(
        &mut self,
        name: &str,
        handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static,
    ) -> Option<PortId> {
        let port = self.core.ports.make(Some(name))?;
        self.core.ports.set_default(port, Some(Box::new(handler)));
        Some(self.core.port_id(port))
    }

    fn own(&mut self, id: &PortId) -> Option<PortKey> {
        if *id.node() == self.core.id { self.core.ports.find(id.port()) } else { None }
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
            let before = self.core.ports.set_default(key, handler);
            self.core.discard(before);
        }
    }

    /// Sets or takes away the code for a tag.
    pub fn set_tag(&mut self, port: &PortId, tag: &str, handler: Option<Handler>) {
        if let Some(key) = self.own(port) {
            let before = self.core.ports.set_tag(key, tag, handler);
            self.core.discard(before);
        }
    }

    /// Sends a message: a tuple, a sequence, an enum, or a single element. It never blocks: what cannot be sent at once waits, and
    /// when it is lost, the watches on the port and on its node fire.
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
        self.core.relay(to, elements)
    }

    /// Whether less waits for a node than the low-water mark: whoever sends much should [wait](Self::when_ready) for that.
    pub fn is_ready(&mut self, node: &NodeId) -> bool {
        let ready = self.core.config.ready;
        self.core.known_peer(node).is_none_or(|index| self.core.peers[index].waiting() < ready)
    }

    /// Runs `callback` once when the port ends, or its node is lost, in the name of the own port.
    /// The watch is given up when the own port ends, and its failure ends the own port; a watch on the own port itself runs in the name of nobody.
    pub fn watch<O: IntoOutcome>(
        &mut self,
        target: &PortId,
        callback: impl FnOnce(&mut Context<'_>, Reasons) -> O + 'static,
    ) -> WatchHandle {
        let itself = self.own(target);
        let owner = self.port.filter(|_| itself != self.port);
        let callback = Box::new(|context: &mut Context<'_>, reasons| callback(context, reasons).into_outcome());
        self.core.watch(target, WatchAction::Call(owner, callback))
    }

    /// Ends the own port, with the same reasons, when the port ends; a normal end does not spread. Nothing happens without an own port.
    pub fn link(&mut self, target: &PortId) -> Option<WatchHandle> {
        let own = self.port?;
        Some(self.core.watch(target, WatchAction::End(own)))
    }

    /// Sends a message with the reasons behind these elements when the port ends.
    pub fn watch_with_message(&mut self, target: &PortId, to: &PortId, elements: Vec<Value>) -> WatchHandle {
        self.core.watch(target, WatchAction::Message(to.clone(), elements))
    }

    /// Gives a watch up; false if it has fired.
    pub fn unwatch(&mut self, watch: &WatchHandle) -> bool {
        self.core.unwatch(watch)
    }

    /// Ends a port of any node; without reasons it is a normal end. A port of this node gets no message after that.
    #[expect(clippy::needless_pass_by_value, reason = "reasons are made for it")]
    pub fn end(&mut self, port: &PortId, reasons: Reasons) {
        self.core.kill(port, &reasons);
    }

    /// Makes a port on a node and runs the function of that name there, in its name. What goes wrong shows to whoever watches the port.
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
        let mut encoded = Vec::new();
        Framing::Cbor.encode_elements(arguments, &self.core.limits_to(node), &mut encoded)?;
        self.spawn_with(node, function, Packet::scanned(Framing::Cbor, &encoded).elements())
    }

    /// The same with arguments that are encoded already.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with(&mut self, node: &NodeId, function: &str, arguments: Elements<'_>) -> Result<PortId, EncodeError> {
        self.core.spawn(node, function, arguments)
    }

    /// Lets others use a function under this name, as `access` says. It takes the place of one that has that name already.
    /// Nothing is registered under a name of more than 256 octets (`LIMIT-9`): nobody could ask for it.
    pub fn register(&mut self, name: &str, access: Access, function: Function) {
        self.core.register(name, access, function);
    }

    /// Protects a port of this node: from now on other nodes cannot end it (`KILL-4`). What they are denied is an
    /// [event](super::NodeEvent::Denied). Code of this node can still end it. Nothing happens if it has ended.
    pub fn protect(&mut self, port: &PortId) {
        if let Some(port) = self.own(port).and_then(|port| self.core.ports.get(port)) {
            port.protected = true;
        }
    }

    /// Runs code after a time, in the name of the own port, if it has not ended by then. If the code fails, the port ends.
    pub fn after<O: IntoOutcome>(
        &mut self,
        time: Duration,
        task: impl FnOnce(&mut Context<'_>) -> O + 'static,
    ) -> TimerHandle {
        self.core.after(time, self.port, boxed(task))
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
        self.core.cancel(timer)
    }

    /// Stops handling what a node sends, for a receiver that cannot take more: after the present packet, nothing of that node is handled
    /// or read until [`resume_peer`](Self::resume_peer) was called as often as this, requests such as watches included. What it sends meanwhile
    /// waits there, in order, and it counts as alive. The pause holds across connections. Of the own node nothing can be paused.
    pub fn pause_peer(&mut self, node: &NodeId) {
        self.core.pause_peer(node);
    }

    /// Takes back one [pause](Self::pause_peer) of a node. More calls than pauses do nothing.
    pub fn resume_peer(&mut self, node: &NodeId) {
        self.core.resume_peer(node);
    }

    /// Runs code when what goes on now has come to its end, in the name of the own port. If the code fails, the port ends.
    pub fn later<O: IntoOutcome>(&mut self, task: impl FnOnce(&mut Context<'_>) -> O + 'static) {
        self.core.later(self.port, boxed(task));
    }

    /// Runs code in the name of a port of this node when what goes on now has come to its end. If the code fails, that port ends; if the
    /// port has ended, nothing runs.
    pub fn run_in<O: IntoOutcome>(&mut self, port: &PortId, task: impl FnOnce(&mut Context<'_>) -> O + 'static) {
        if let Some(port) = self.own(port) {
            self.core.later(Some(port), boxed(task));
        }
    }

    /// Runs code, in the name of the own port, when less waits for a node than the low-water mark, or nothing does since it is lost: whoever
    /// sends much should wait for that.
    pub fn when_ready<O: IntoOutcome>(&mut self, node: &NodeId, task: impl FnOnce(&mut Context<'_>) -> O + 'static) {
        self.core.when_ready(node, self.port, boxed(task));
    }
}

/// Code that runs once, as it is kept.
pub(super) fn boxed<O: IntoOutcome>(task: impl FnOnce(&mut Context<'_>) -> O + 'static) -> Task {
    Box::new(|context| task(context).into_outcome())
}
