//! What the code of ports can reach: ports, peers, watches, and the queue of the node's own messages.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::config::NodeConfig;
use super::context::Context;
use super::database::Watchers;
use super::peer::{ConnectionId, Peer, PeerState};
use super::port::{PortKey, Ports, Ran, Watcher};
use super::reasons::{Outcome, Reasons};
use super::supervise::Supervisor;
use super::timer::{Task, Timers};
use super::watch::{Watch, WatchAction, WatchHandle, WatchId};
use super::{NodeEvent, request};
use crate::framing::{Elements, EncodeError, Framing, Limits, Packet};
use crate::global::{Global, Output};
use crate::names::{NodeId, PortId, PortNames};
use crate::value::Value;

/// A function that others may call or spawn: it gets the arguments.
pub type Function = Rc<dyn Fn(&mut Context<'_>, Elements<'_>) -> Outcome>;

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
    pub(super) peers: Vec<Peer>,
    by_node: BTreeMap<NodeId, usize>,
    /// Where an idle peer was looked for last.
    next_place: usize,
    /// What waits for all peers that have no connection, in octets, with what they cost themselves.
    queued: usize,
    functions: BTreeMap<Box<str>, Function>,
    /// Watches that are about to fire.
    firing: BTreeSet<WatchId>,
    pub(super) timers: Timers,
    pub(super) supervisor: Option<Rc<dyn Supervisor>>,
    /// How many peers are in the state `Connecting`.
    connecting: usize,
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
            supervisor: None,
            connecting: 0,
            peers: Vec::new(),
            by_node: BTreeMap::new(),
            next_place: 0,
            queued: 0,
            functions: BTreeMap::new(),
            firing: BTreeSet::new(),
            timers: Timers::default(),
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
        self.run_code(port, None, task);
    }

    /// Runs code in the name of a port, if that has not ended; if the code fails, it ends.
    pub(super) fn run_code(
        &mut self,
        port: Option<PortKey>,
        source: Option<&NodeId>,
        code: impl FnOnce(&mut Context<'_>) -> Outcome,
    ) {
        if port.is_some_and(|port| self.ports.get(port).is_none()) {
            return self.discard(code);
        }
        if let Err(failure) = self.supervised(port, |core| code(&mut Context::new(core, port, source))).flatten() {
            match port {
                Some(port) => self.end(port, &Reasons::die(failure.0)),
                None => self.events.push_back(NodeEvent::TaskFailed(failure)),
            }
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

    // --- ports ---

    /// Runs the code of a port on a message whose port name has been taken.
    pub(super) fn run_port(&mut self, port: PortKey, elements: Elements<'_>, source: Option<&NodeId>) {
        let Some(mut running) = self.ports.take_code(port) else { return };
        let ran = self.supervised(Some(port), |core| running.run(&mut Context::new(core, Some(port), source), elements));
        let rest = self.ports.put_back(running);
        self.discard(rest);
        match ran {
            Ok(Ran::Done(Ok(()))) => {}
            Ok(Ran::Done(Err(failure))) | Err(failure) => self.end(port, &Reasons::die(failure.0)),
            Ok(Ran::Unhandled(tag)) => self.end(port, &Reasons::unhandled(&tag)),
        }
    }

    /// Runs the function that makes a spawned port what it is (`SPAWN-2`, `SPAWN-4`).
    pub(super) fn init(&mut self, port: PortKey, function: &Function, elements: Elements<'_>, source: &NodeId) {
        if self.ports.get(port).is_none() {
            return;
        }
        let run = |core: &mut Core| function(&mut Context::new(core, Some(port), Some(source)), elements);
        if let Err(failure) = self.supervised(Some(port), run).flatten() {
            self.end(port, &Reasons::die(failure.0));
        }
    }

    pub(super) fn port_id(&mut self, port: PortKey) -> PortId {
        self.id.port(&self.ports.name(port))
    }

    /// Ends a port at once; those who watch it are told in their turn.
    pub(super) fn end(&mut self, port: PortKey, reasons: &Reasons) {
        let name = self.ports.name(port);
        let Some(mut ended) = self.ports.remove(port) else { return };
        if let Some(held) = ended.held.take() {
            for key in held.timers {
                let task = self.timers.remove(key);
                self.discard(task);
            }
            for (id, target) in held.watches {
                self.unwatch(&WatchHandle { target, id });
            }
            for reply in held.calls {
                self.end(reply, &Reasons::normal());
            }
        }
        let watchers = core::mem::take(&mut ended.watchers);
        self.discard(ended);
        for watcher in watchers {
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

    /// A call goes with the port in whose name it was made.
    pub(super) fn hold_call(&mut self, owner: Option<PortKey>, reply: PortKey) {
        if let Some(port) = owner.and_then(|owner| self.ports.get(owner)) {
            port.hold().calls.insert(reply);
        }
    }

    pub(super) fn forget_call(&mut self, owner: Option<PortKey>, reply: PortKey) {
        if let Some(held) = owner.and_then(|owner| self.ports.get(owner)?.held.as_mut()) {
            held.calls.remove(&reply);
        }
    }

    // --- functions ---

    pub(super) fn register(&mut self, name: &str, function: Function) {
        self.functions.insert(name.into(), function);
    }

    /// Calls a function for another node. There is no port to end when it fails.
    pub(super) fn call_function(&mut self, function: &Function, elements: Elements<'_>, source: &NodeId) {
        let run = |core: &mut Core| function(&mut Context::new(core, None, Some(source)), elements);
        if let Err(failure) = self.supervised(None, run).flatten() {
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
        self.forget_watch(&watch);
        // It may have been given up meanwhile (`MON-12`).
        if !self.firing.remove(&watch.id) {
            return self.discard(watch);
        }
        match watch.action {
            // A normal end does not spread.
            WatchAction::End(_) if reasons.is_normal() => {}
            WatchAction::End(port) => self.end(port, &reasons),
            WatchAction::Message(to, mut elements) => {
                elements.extend(reasons.into_values());
                self.send_or_report(&to, &elements);
            }
            WatchAction::Call(port, callback) => self.run_code(port, None, |context| callback(context, reasons)),
        }
    }

    /// The port that has set a watch need not give it up any more.
    fn forget_watch(&mut self, watch: &Watch) {
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
        if *target.node() != self.id {
            self.watch_remote(target, watch);
        } else if !target.port().is_empty() {
            // The node port never ends.
            match self.ports.find(target.port()).and_then(|port| self.ports.get(port)) {
                Some(port) => port.watchers.push(Watcher::Own(watch)),
                None => self.fire(watch, Reasons::no_such_port(target)),
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

    /// Sends on what is left of a message, with a port for the answer behind it.
    pub(super) fn relay_with_reply(
        &mut self,
        to: &PortId,
        elements: Elements<'_>,
        reply: &PortId,
    ) -> Result<(), EncodeError> {
        let limits = self.send_limits();
        let reply = reply.to_string();
        self.send_with(to, |port, framing, out| elements.relay_between(&[port], &[&reply], framing, &limits, out))
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
        let before = peer.state.queued();
        let waits = peer.write(write)?;
        self.queued += peer.state.queued() - before;
        // Others choose for which nodes they have us keep something, so all of them share one bound.
        let waits = if before > 0 { self.queued } else { waits };
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
            self.set_state(index, PeerState::Connecting { queue: Vec::new(), until });
            if self.connecting > self.config.connecting {
                self.lose_peer(index, "too many nodes are wanted at once");
            } else {
                self.wanted.push(index);
            }
        }
    }

    /// Changes how a peer can be reached; how it could be before.
    pub(super) fn set_state(&mut self, index: usize, state: PeerState) -> PeerState {
        let state = core::mem::replace(&mut self.peers[index].state, state);
        self.queued = self.queued - state.queued() + self.peers[index].state.queued();
        let connecting = |state: &PeerState| usize::from(matches!(state, PeerState::Connecting { .. }));
        self.connecting = self.connecting - connecting(&state) + connecting(&self.peers[index].state);
        state
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
        self.connecting > 0
    }

    /// Runs what waits for a peer to be ready for more, if it is.
    #[inline]
    pub(super) fn tell_ready(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        if !peer.when_ready.is_empty() && peer.waiting() < self.config.ready.max(1) {
            let ready = core::mem::take(&mut peer.when_ready);
            self.steps.extend(ready.into_iter().map(|(port, task)| Step::Run(port, task)));
        }
    }

    /// Runs code when less waits for a node than the low-water mark.
    pub(super) fn when_ready(&mut self, node: &NodeId, port: Option<PortKey>, task: Task) {
        let ready = self.config.ready;
        match self.known_peer(node) {
            // Nothing is below a mark of nothing.
            Some(index) if self.peers[index].waiting() >= ready.max(1) => self.peers[index].when_ready.push((port, task)),
            _ => self.later(port, task),
        }
    }

    /// Gives up the peer for which most waits, while too much waits for all of them together.
    pub(super) fn shed_load(&mut self) {
        let mut waiting: usize = self.peers.iter().map(Peer::waiting).sum();
        while waiting > self.config.queues
            && let Some(most) = (0..self.peers.len()).max_by_key(|&index| self.peers[index].waiting())
        {
            waiting -= self.peers[most].waiting();
            self.lose_peer(most, "too much waits for all nodes together, and most of it for this one");
        }
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
        let state = self.set_state(index, PeerState::Lost);
        let peer = &mut self.peers[index];
        let node = peer.node.clone();
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
        self.tell_ready(index);
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
    pub(super) fn spawn(&mut self, node: &NodeId, function: &str, arguments: Elements<'_>) -> Result<PortId, EncodeError> {
        let name = self.spawned.name(self.next_spawned);
        self.next_spawned += 1;
        let limits = self.send_limits();
        if *node != self.id {
            let index = self.peer(node);
            let head = ["", request::SPAWN, &name, function];
            self.write_to(index, |framing, out| arguments.relay(&head, framing, &limits, out))?;
        } else if let Some(function) = self.function(function)
            && let Some(port) = self.ports.make(Some(&name))
        {
            if let Err(error) = arguments.relay(&[], Framing::Cbor, &limits, &mut self.own) {
                self.ports.remove(port);
                return Err(error);
            }
            self.steps.push_back(Step::Init { port, function, end: self.own.len() });
        }
        Ok(node.port(&name))
    }

    /// The seconds since 1970.
    pub(super) fn unix_time(&self) -> f64 {
        (self.unix + self.now).as_secs_f64()
    }
}
