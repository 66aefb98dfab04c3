//! What the code of ports can reach: ports, peers, watches, and the queue of the node's own messages.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::config::NodeConfig;
use super::context::Context;
use super::database::Watchers;
use super::peer::{ConnectionId, Peer, PeerState};
use super::port::{PortKey, Ports, Ran, Watcher};
use super::reasons::{Outcome, Reasons};
use super::watch::{Callback, Watch, WatchAction, WatchHandle, WatchId};
use super::{NodeEvent, request};
use crate::framing::{Elements, EncodeError, Framing, Limits, Packet};
use crate::global::{Global, Output};
use crate::names::{NodeId, PortId, PortNames};
use crate::value::Value;

/// A function that others may call or spawn: it gets the arguments.
pub type Function = Rc<dyn Fn(&mut Context<'_>, Elements<'_>) -> Outcome>;

/// Code that runs once, at a time.
pub type Task = Box<dyn FnOnce(&mut Context<'_>)>;

/// Something to do when what goes on now has come to its end (`PORT-4`).
enum Step {
    /// The packet that ends there in the batch's octets is for the port.
    Message {
        port: PortKey,
        end: usize,
    },
    /// The packet that ends there in the batch's octets is a request of our own.
    Request {
        end: usize,
    },
    /// The packet that ends there in the batch's octets has the arguments for the function that makes the port what it is.
    Init {
        port: PortKey,
        function: Function,
        end: usize,
    },
    Fire(Watch, Reasons),
    /// All watches on a peer that was lost have fired.
    Recovered(usize),
    Run(Option<PortKey>, Task),
}

pub(super) struct Core {
    pub(super) id: NodeId,
    pub(super) config: NodeConfig,
    pub(super) now: Duration,
    /// The Unix time at the monotonic time zero.
    pub(super) unix: Duration,
    pub(super) ports: Ports,
    /// Names for ports that are spawned elsewhere: they never meet those of the ports here.
    spawned: PortNames,
    next_spawned: u64,
    next_watch: u64,
    next_timer: u64,
    pub(super) peers: Vec<Peer>,
    by_node: BTreeMap<NodeId, usize>,
    /// Where an idle peer was looked for last.
    next_place: usize,
    functions: BTreeMap<Box<str>, Function>,
    /// Watches that are about to fire.
    firing: BTreeSet<WatchId>,
    timers: BTreeMap<(Duration, u64), (Option<PortKey>, Task)>,
    steps: VecDeque<Step>,
    /// The messages among the steps, in cbor, one behind the other.
    own: Vec<u8>,
    pub(super) events: VecDeque<NodeEvent>,
    pub(super) global: Global,
    /// Who waits for what is in the database.
    pub(super) watchers: Watchers,
    /// What has been found out about where nodes are.
    pub(super) discovered: VecDeque<Output>,
    /// Peers to which a connection is wanted.
    pub(super) wanted: Vec<usize>,
    /// Connections that have output, of which the owner has not been told.
    pub(super) told: Vec<ConnectionId>,
    /// Connections to close.
    pub(super) closing: Vec<ConnectionId>,
}

impl Core {
    pub(super) fn new(config: NodeConfig, random: u128, now: Duration, unix: Duration) -> Self {
        Core {
            id: config.link.node.clone(),
            global: Global::new(config.link.node.clone(), config.addresses.clone(), config.database),
            watchers: Watchers::default(),
            discovered: VecDeque::new(),
            config,
            now,
            unix: unix.saturating_sub(now),
            ports: Ports::new(PortNames::new(random as u64)),
            spawned: PortNames::new((random >> 64) as u64),
            next_spawned: 0,
            next_watch: 0,
            next_timer: 0,
            peers: Vec::new(),
            by_node: BTreeMap::new(),
            next_place: 0,
            functions: BTreeMap::new(),
            firing: BTreeSet::new(),
            timers: BTreeMap::new(),
            steps: VecDeque::new(),
            own: Vec::new(),
            events: VecDeque::new(),
            wanted: Vec::new(),
            told: Vec::new(),
            closing: Vec::new(),
        }
    }

    pub(super) fn send_limits(&self) -> Limits {
        self.config.link.send_limits
    }

    // --- steps ---

    pub(super) fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Does what has gathered, but not what gathers meanwhile: connections get their turn in between.
    pub(super) fn run_steps(&mut self) {
        let steps = core::mem::take(&mut self.steps);
        let octets = core::mem::take(&mut self.own);
        let mut start = 0;
        let mut elements_to = |end: usize| {
            let packet = Packet::scanned(Framing::Cbor, &octets[start..end]);
            start = end;
            packet.elements()
        };
        let own = self.id.clone();
        for step in steps {
            match step {
                Step::Message { port, end } => {
                    let mut elements = elements_to(end);
                    elements.name();
                    self.run_port(port, elements, Some(&own));
                }
                Step::Request { end } => {
                    let mut elements = elements_to(end);
                    elements.name();
                    request::handle(self, elements, &own, None);
                }
                Step::Init { port, function, end } => {
                    let elements = elements_to(end);
                    self.init(port, &function, elements, &own);
                }
                Step::Fire(watch, reasons) => self.fire_now(watch, reasons),
                Step::Recovered(index) => self.recover(index),
                Step::Run(port, task) => self.run_task(port, task),
            }
        }
    }

    /// Queues code to run in the name of a port, if it has not ended by then.
    pub(super) fn later(&mut self, port: Option<PortKey>, task: Task) {
        self.steps.push_back(Step::Run(port, task));
    }

    fn run_task(&mut self, port: Option<PortKey>, task: Task) {
        if port.is_none_or(|port| self.ports.get(port).is_some()) {
            task(&mut Context::new(self, port, None));
        }
    }

    /// All watches that a loss was to fire have fired. Those that were set meanwhile are of the same run, so they fire first.
    fn recover(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if !matches!(peer.state, PeerState::Lost) {
            return;
        }
        let late = core::mem::take(&mut peer.watches);
        if late.is_empty() {
            peer.state = PeerState::Unknown;
            return;
        }
        let reasons = Reasons::transport_error(&peer.node, "the connection has just been lost");
        for watch in late.into_values().flatten() {
            self.fire(watch, reasons.clone());
        }
        self.steps.push_back(Step::Recovered(index));
    }

    // --- timers ---

    pub(super) fn after(&mut self, time: Duration, port: Option<PortKey>, task: Task) {
        self.next_timer += 1;
        self.timers.insert((self.now.saturating_add(time), self.next_timer), (port, task));
    }

    pub(super) fn next_timer(&self) -> Option<Duration> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn run_timers(&mut self) {
        while let Some(timer) = self.timers.first_entry()
            && timer.key().0 <= self.now
        {
            let (port, task) = timer.remove();
            self.later(port, task);
        }
    }

    // --- ports ---

    /// Runs the code of a port on a message whose port name has been taken.
    pub(super) fn run_port(&mut self, port: PortKey, elements: Elements<'_>, source: Option<&NodeId>) {
        let Some(mut running) = self.ports.take_code(port) else { return };
        let ran = running.run(&mut Context::new(self, Some(port), source), elements);
        self.ports.put_back(running);
        match ran {
            Ran::Done(Ok(())) => {}
            Ran::Done(Err(failure)) => self.end(port, &Reasons::die(failure.0)),
            Ran::Unhandled(tag) => self.end(port, &Reasons::unhandled(&tag)),
        }
    }

    /// Runs the function that makes a spawned port what it is (`SPAWN-2`, `SPAWN-4`).
    pub(super) fn init(&mut self, port: PortKey, function: &Function, elements: Elements<'_>, source: &NodeId) {
        if self.ports.get(port).is_some()
            && let Err(failure) = function(&mut Context::new(self, Some(port), Some(source)), elements)
        {
            self.end(port, &Reasons::die(failure.0));
        }
    }

    pub(super) fn port_id(&mut self, port: PortKey) -> PortId {
        self.id.port(&self.ports.name(port))
    }

    /// Ends a port at once; those who watch it are told in their turn.
    pub(super) fn end(&mut self, port: PortKey, reasons: &Reasons) {
        let name = self.ports.name(port);
        let Some(ended) = self.ports.remove(port) else { return };
        for watcher in ended.watchers {
            match watcher {
                Watcher::Own(watch) => self.fire(watch, reasons.clone()),
                Watcher::Peer(index) => {
                    // One that is lost by what it is told is told no more.
                    let Some(times) = self.peers[index].watched.remove(&port) else { continue };
                    self.peers[index].watches_held -= times;
                    for _ in 0..times {
                        request::kil0_to(self, index, &name, reasons.clone());
                        if self.peers[index].up().is_none() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Ends a port of any node.
    pub(super) fn kill(&mut self, port: &PortId, reasons: Reasons) {
        if *port.node() == self.id {
            if let Some(key) = self.ports.find(port.port()) {
                self.end(key, &reasons);
            }
        } else if !port.port().is_empty() {
            let index = self.peer(port.node());
            let mut elements = alloc::vec![Value::from("kil1"), port.port().into()];
            elements.extend(reasons.into_values());
            self.send_to_node(index, &elements);
        }
    }

    // --- functions ---

    pub(super) fn register(&mut self, name: &str, function: Function) {
        self.functions.insert(name.into(), function);
    }

    /// Calls a function for another node. There is no port to end when it fails.
    pub(super) fn call_function(&mut self, function: &Function, elements: Elements<'_>, source: &NodeId) {
        if let Err(failure) = function(&mut Context::new(self, None, Some(source)), elements) {
            self.events.push_back(NodeEvent::CallFailed { source: source.clone(), failure });
        }
    }

    pub(super) fn function(&self, name: &str) -> Option<Function> {
        self.functions.get(name).cloned()
    }

    // --- watches ---

    pub(super) fn fire(&mut self, watch: Watch, reasons: Reasons) {
        self.firing.insert(watch.id);
        self.steps.push_back(Step::Fire(watch, reasons));
    }

    fn fire_now(&mut self, watch: Watch, reasons: Reasons) {
        // It may have been given up meanwhile (`MON-12`).
        if !self.firing.remove(&watch.id) {
            return;
        }
        match watch.action {
            // A normal end does not spread.
            WatchAction::End(_) if reasons.is_normal() => {}
            WatchAction::End(port) => self.end(port, &reasons),
            WatchAction::Message(to, mut elements) => {
                elements.extend(reasons.into_values());
                self.send_or_report(&to, &elements);
            }
            WatchAction::Call(port, callback) => self.call(port, callback, reasons),
        }
    }

    fn call(&mut self, port: Option<PortKey>, callback: Callback, reasons: Reasons) {
        if port.is_none_or(|port| self.ports.get(port).is_some()) {
            callback(&mut Context::new(self, port, None), reasons);
        }
    }

    pub(super) fn watch(&mut self, target: &PortId, action: WatchAction) -> WatchHandle {
        self.next_watch += 1;
        let id = WatchId(self.next_watch);
        if *target.node() != self.id {
            self.watch_remote(target, Watch { id, action });
        } else if !target.port().is_empty() {
            // The node port never ends.
            match self.ports.find(target.port()).and_then(|port| self.ports.get(port)) {
                Some(port) => port.watchers.push(Watcher::Own(Watch { id, action })),
                None => self.fire(Watch { id, action }, Reasons::no_such_port(target)),
            }
        }
        WatchHandle { target: target.clone(), id }
    }

    fn watch_remote(&mut self, target: &PortId, watch: Watch) {
        let index = self.peer(target.node());
        let watches = self.peers[index].watches.entry(target.port().into()).or_default();
        watches.push(watch);
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
            return self.ports.find(target.port()).and_then(|port| self.ports.unwatch(port, watch.id)).is_some();
        }
        let Some(&index) = self.by_node.get(target.node()) else { return false };
        let Some((_, last)) = self.peers[index].unwatch(target.port(), watch.id) else { return false };
        if last && !target.port().is_empty() {
            self.send_to_node(index, &("mon0", target.port()));
        }
        true
    }

    // --- sending ---

    /// Sends a message; it arrives, or the watches on its port or node fire.
    pub(super) fn send<T: Serialize + ?Sized>(&mut self, to: &PortId, elements: &T) -> Result<(), EncodeError> {
        let limits = self.send_limits();
        self.send_with(to, |port, framing, out| framing.encode_message(port, elements, &limits, out))
    }

    /// Sends on what is left of a message.
    pub(super) fn relay(&mut self, to: &PortId, elements: Elements<'_>) -> Result<(), EncodeError> {
        let limits = self.send_limits();
        self.send_with(to, |port, framing, out| elements.relay(&[port], framing, &limits, out))
    }

    fn send_with(
        &mut self,
        to: &PortId,
        write: impl FnOnce(&str, Framing, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        if *to.node() != self.id {
            let index = self.peer(to.node());
            return self.write_to(index, |framing, out| write(to.port(), framing, out));
        }
        let port = self.ports.find(to.port());
        if port.is_none() && !to.port().is_empty() {
            // Nobody hears it (`MSG-5`); whoever watched that port knows.
            return Ok(());
        }
        write(to.port(), Framing::Cbor, &mut self.own)?;
        let end = self.own.len();
        self.steps.push_back(port.map_or(Step::Request { end }, |port| Step::Message { port, end }));
        Ok(())
    }

    /// Sends a message for which nobody waits: an error is an event.
    pub(super) fn send_or_report<T: Serialize + ?Sized>(&mut self, to: &PortId, elements: &T) {
        if let Err(error) = self.send(to, elements) {
            self.events.push_back(NodeEvent::NotSent { to: to.clone(), error });
        }
    }

    /// Sends on what is left of a message, for which nobody waits.
    pub(super) fn relay_or_report(&mut self, to: &PortId, elements: Elements<'_>) {
        if let Err(error) = self.relay(to, elements) {
            self.events.push_back(NodeEvent::NotSent { to: to.clone(), error });
        }
    }

    /// Sends a request to a node.
    pub(super) fn try_request<T: Serialize + ?Sized>(&mut self, index: usize, request: &T) -> Result<(), EncodeError> {
        let limits = self.send_limits();
        self.write_to(index, |framing, out| framing.encode_message("", request, &limits, out))
    }

    /// Sends a request that the other node must hear: if it cannot be written, that is the loss of the connection.
    pub(super) fn send_to_node<T: Serialize + ?Sized>(&mut self, index: usize, request: &T) {
        if self.try_request(index, request).is_err() {
            self.lose_peer(index, "a request to it cannot be written");
        }
    }

    /// Appends a packet to what goes to a peer, and begins to connect if there is no connection (`PEER-1`).
    fn write_to(
        &mut self,
        index: usize,
        write: impl FnOnce(Framing, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.connect(index);
        let peer = &mut self.peers[index];
        let waits = peer.write(write)?;
        if let Some(up) = peer.up()
            && !core::mem::replace(&mut up.told, true)
        {
            let connection = up.connection;
            self.told.push(connection);
        }
        if waits > self.config.queue {
            self.lose_peer(index, "too much waits for it");
        }
        Ok(())
    }

    // --- peers ---

    /// Begins to connect to a peer, if there is no connection.
    fn connect(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if let PeerState::Unknown = peer.state {
            let until = self.now.saturating_add(self.config.connect_timeout);
            peer.state = PeerState::Connecting { queue: Vec::new(), until };
            self.wanted.push(index);
        }
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

    pub(super) fn is_connecting(&self) -> bool {
        self.peers.iter().any(|peer| matches!(peer.state, PeerState::Connecting { .. }))
    }

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
        let peer = &mut self.peers[index];
        let node = peer.node.clone();
        let state = core::mem::replace(&mut peer.state, PeerState::Lost);
        let watches = core::mem::take(&mut peer.watches);
        let watched = core::mem::take(&mut peer.watched);
        peer.watches_held = 0;
        for port in watched.into_keys() {
            if let Some(port) = self.ports.get(port) {
                port.watchers.retain(|watcher| !matches!(watcher, Watcher::Peer(other) if *other == index));
            }
        }
        let reasons = Reasons::transport_error(&node, text);
        for watch in watches.into_values().flatten() {
            self.fire(watch, reasons.clone());
        }
        self.steps.push_back(Step::Recovered(index));
        self.global.down(&node);
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
    fn tell_unreachable(&mut self, index: usize, reasons: Reasons) {
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
        let node = peer.node.clone();
        let mut elements = packet.elements();
        let Some(name) = elements.name() else { return };
        if name.is_empty() {
            request::handle(self, elements, &node, Some(index));
        } else if let Some(port) = self.ports.find(&name) {
            self.run_port(port, elements, Some(&node));
        }
    }

    // --- spawning ---

    /// Spawns a port; there is no visible effect before this returns (`SPAWN-1`).
    pub(super) fn spawn<T: Serialize + ?Sized>(
        &mut self,
        node: &NodeId,
        function: &str,
        arguments: &T,
    ) -> Result<PortId, EncodeError> {
        let name = self.spawned.name(self.next_spawned);
        self.next_spawned += 1;
        let limits = self.send_limits();
        if *node == self.id {
            if let Some(function) = self.function(function)
                && let Some(port) = self.ports.make(Some(&name))
            {
                let written = Framing::Cbor.encode_elements(arguments, &limits, &mut self.own);
                if let Err(error) = written {
                    self.ports.remove(port);
                    return Err(error);
                }
                self.steps.push_back(Step::Init { port, function, end: self.own.len() });
            }
        } else {
            let mut octets = Vec::new();
            Framing::Cbor.encode_elements(arguments, &limits, &mut octets)?;
            let elements = Packet::scanned(Framing::Cbor, &octets).elements();
            let index = self.peer(node);
            let head = ["", request::SPAWN, &name, function];
            self.write_to(index, |framing, out| elements.relay(&head, framing, &limits, out))?;
        }
        Ok(node.port(&name))
    }

    /// The seconds since 1970.
    pub(super) fn unix_time(&self) -> f64 {
        (self.unix + self.now).as_secs_f64()
    }
}
