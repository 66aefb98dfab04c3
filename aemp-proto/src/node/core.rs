//! What the code of ports can reach: ports, peers, watches, and the queue of the node's own messages.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::access::{Access, Functions, Spawned};
use super::config::NodeConfig;
use super::context::Context;
use super::data;
use super::database::Watchers;
use super::denials::Denials;
use super::ending::{Forgetting, Telling};
use super::monitors::Watches;
use super::peer::{ConnectionId, Peer, PeerState};
use super::port::{PortKey, Ports, Ran};
use super::reasons::{Outcome, Reasons, Told};
use super::sending::check_name;
use super::supervise::Supervisor;
use super::timer::{Task, Timers};
use super::watch::{Watch, WatchHandle, WatchId};
use super::{NodeEvent, request};
use crate::framing::{Elements, EncodeError, Framing, Limits, Packet};
use crate::global::{Global, Output};
use crate::names::{LONGEST, NodeId, PortId, PortNames};

/// A function that others may call or spawn ([`Access`]): it gets the arguments.
pub type Function = Rc<dyn Fn(&mut Context<'_>, Elements<'_>) -> Outcome>;

/// What a packet, a step, or an operation on a table costs beside its octets, in units of work.
pub(super) const OPERATION: u64 = 16;

/// Steps that are being done, and the octets of the messages among them.
#[derive(Default)]
pub(super) struct Batch {
    steps: VecDeque<Step>,
    octets: Vec<u8>,
    /// Where the next message begins.
    start: usize,
}

impl Batch {
    /// The elements of the next message, which ends there.
    fn elements<'a>(octets: &'a [u8], start: &mut usize, end: usize) -> Elements<'a> {
        Packet::scanned(Framing::Cbor, &octets[core::mem::replace(start, end)..end]).elements()
    }
}

/// Something to do when what goes on now has come to its end (`PORT-4`).
pub(super) enum Step {
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
    /// A peer was lost: these watches fire, all in one step.
    Lost {
        peer: usize,
        watches: Vec<Watch>,
        reasons: Reasons,
    },
    /// Peers are told of the end of a port.
    Tell(Box<Telling>),
    /// What a lost peer has watched is forgotten.
    Forget(Box<Forgetting>),
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
    pub(super) spawned: PortNames,
    pub(super) next_spawned: u64,
    pub(super) next_watch: u64,
    pub(super) peers: Vec<Peer>,
    pub(super) by_node: BTreeMap<NodeId, usize>,
    /// Places of peers of which nothing was known any more, to be used again.
    pub(super) idle: VecDeque<usize>,
    /// What waits for all peers that have no connection, in octets, with what they cost themselves.
    pub(super) queued: usize,
    pub(super) functions: Functions,
    /// The ports that peers have spawned.
    pub(super) spawned_ports: Spawned,
    /// The peer whose packet is being handled: what is sent now, is sent because of it.
    pub(super) acting_for: Option<usize>,
    /// How many nodes are being connected to because of peers.
    pub(super) caused: usize,
    /// What was denied to peers.
    pub(super) denials: Denials,
    /// Watches that are about to fire.
    pub(super) firing: BTreeSet<WatchId>,
    pub(super) timers: Timers,
    pub(super) supervisor: Option<Rc<dyn Supervisor>>,
    /// How many peers are in the state `Connecting`.
    pub(super) connecting: usize,
    /// Units of work that were done since the start.
    pub(super) work: u64,
    /// At how many units of work the present connection's turn ends.
    pub(super) turn_end: u64,
    /// Steps that have gathered before those of `steps`, and were not all done for lack of time.
    pub(super) batch: Batch,
    pub(super) steps: VecDeque<Step>,
    /// The messages among the steps, in cbor, one behind the other.
    pub(super) own: Vec<u8>,
    pub(super) events: VecDeque<NodeEvent>,
    pub(super) global: Global,
    /// Our part in the global protocol has work only for peers that are not ready for it.
    pub(super) database_waits: bool,
    /// Data connections that do not stand yet.
    pub(super) data: data::Table,
    /// Who waits for what is in the database.
    pub(super) watchers: Watchers,
    /// What has been found out about where nodes are.
    pub(super) discovered: VecDeque<Output>,
    /// Peers to which a connection is wanted.
    pub(super) wanted: Vec<usize>,
    /// Connections that have output, of which the owner has not been told.
    pub(super) told: Vec<ConnectionId>,
    /// Peers that were paused and are so no more.
    pub(super) resumed: Vec<usize>,
    /// The seed that was not reached last, and why; none once any node is.
    pub(super) refused: Option<String>,
    /// Connections to close.
    pub(super) closing: Vec<ConnectionId>,
}

impl Core {
    pub(super) fn new(config: NodeConfig, random: u128, now: Duration, unix: Duration) -> Self {
        let mut limits = config.database.clone();
        limits.answers = config.link.send_limits.at_least(&Limits::LEAST);
        limits.all = limits.all.min(config.memory.database);
        let mut global = Global::new(config.link.node.clone(), config.addresses.clone(), limits);
        global.set_permissions(config.permissions.clone());
        Core {
            id: config.link.node.clone(),
            global,
            database_waits: false,
            watchers: Watchers::default(),
            data: data::Table::default(),
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
            idle: VecDeque::new(),
            queued: 0,
            functions: Functions::default(),
            spawned_ports: Spawned::default(),
            acting_for: None,
            caused: 0,
            denials: Denials::default(),
            firing: BTreeSet::new(),
            timers: Timers::default(),
            work: 0,
            turn_end: 0,
            batch: Batch::default(),
            steps: VecDeque::new(),
            own: Vec::new(),
            events: VecDeque::new(),
            wanted: Vec::new(),
            told: Vec::new(),
            resumed: Vec::new(),
            refused: None,
            closing: Vec::new(),
        }
    }

    pub(super) fn send_limits(&self) -> Limits {
        self.config.link.send_limits
    }

    /// What one packet to a peer may cost (`LIMIT-5`).
    pub(super) fn limits_of(&self, index: usize) -> Limits {
        match &self.peers[index].state {
            PeerState::Up(up) => up.limits,
            _ => self.send_limits(),
        }
    }

    /// What one packet to a node may cost (`LIMIT-5`).
    pub(super) fn limits_to(&self, node: &NodeId) -> Limits {
        self.known_peer(node).map_or_else(|| self.send_limits(), |index| self.limits_of(index))
    }

    // --- steps ---

    pub(super) fn has_steps(&self) -> bool {
        !self.steps.is_empty() || !self.batch.steps.is_empty()
    }

    /// How many steps are to be done.
    pub(super) fn steps_waiting(&self) -> usize {
        self.steps.len() + self.batch.steps.len()
    }

    /// Does what has gathered, but not what gathers meanwhile, until so much work is done: connections get their turn in between.
    pub(super) fn run_steps(&mut self, budget: u64) {
        let mut batch = core::mem::take(&mut self.batch);
        if batch.steps.is_empty() {
            batch = Batch { steps: core::mem::take(&mut self.steps), octets: core::mem::take(&mut self.own), start: 0 };
        }
        let end = self.work.saturating_add(budget);
        let own = self.id.clone();
        let Batch { steps, octets, start } = &mut batch;
        while let Some(step) = steps.pop_front() {
            let before = *start;
            match step {
                Step::Message { port, end } => {
                    let mut elements = Batch::elements(octets, start, end);
                    elements.name();
                    self.run_port(port, elements, Some(&own));
                }
                Step::Request { end } => {
                    let mut elements = Batch::elements(octets, start, end);
                    elements.name();
                    request::handle(self, elements, &own, None);
                }
                Step::Init { port, function, end } => {
                    let elements = Batch::elements(octets, start, end);
                    self.init(port, &function, elements, &own);
                }
                Step::Fire(watch, reasons) => self.fire_now(watch, reasons),
                Step::Lost { peer, watches, reasons } => self.tell_loss(peer, watches, &reasons),
                Step::Tell(telling) => self.tell_end(*telling),
                Step::Forget(forgetting) => self.forget_watched(*forgetting),
                Step::Run(port, task) => self.run_task(port, task),
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

    /// Fires all watches that a loss fires; those that were set since are of the same run. What is sent because of it is of the next one,
    /// whichever watch fires first: whoever is told may send again at once (`PEER-4`).
    fn tell_loss(&mut self, index: usize, watches: Vec<Watch>, reasons: &Reasons) {
        let mut late = Vec::new();
        let peer = &mut self.peers[index];
        if let PeerState::Lost = peer.state {
            peer.state = PeerState::Unknown;
            late = core::mem::take(&mut peer.watches).into_values().flat_map(Watches::into_iter).collect();
        }
        self.firing.extend(late.iter().map(|watch| watch.id));
        for watch in watches.into_iter().chain(late) {
            self.fire_now(watch, reasons.clone());
        }
        self.retire(index);
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
            self.spawned_ended(held.spawned_by, &name);
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
            for question in held.questions {
                self.give_up_question(question);
            }
        }
        let monitors = ended.monitors.take();
        self.discard(ended);
        let Some(monitors) = monitors else { return };
        for watch in monitors.own.into_iter() {
            self.fire(watch, reasons.clone());
        }
        if !monitors.peers.is_empty() {
            let (name, reasons, peers) = (name.into(), reasons.clone(), monitors.peers);
            self.tell_end(Telling { port, name, reasons, peers, too_large: Vec::new() });
        }
    }

    /// Ends a port of any node.
    pub(super) fn kill(&mut self, port: &PortId, reasons: &Reasons) {
        if *port.node() == self.id {
            if let Some(key) = self.ports.find(port.port()) {
                self.end(key, reasons);
            }
        } else if !port.port().is_empty() {
            let index = self.peer(port.node());
            self.send_to_node(index, &Told { request: "kil1", port: port.port(), reasons: reasons.values() });
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

    pub(super) fn register(&mut self, name: &str, access: Access, function: Function) {
        if name.len() > LONGEST {
            return self.discard(function);
        }
        let before = self.functions.insert(name, access, function);
        self.discard(before);
    }

    /// Calls a function for another node. There is no port to end when it fails.
    pub(super) fn call_function(&mut self, function: &Function, elements: Elements<'_>, source: &NodeId) {
        let run = |core: &mut Core| function(&mut Context::new(core, None, Some(source)), elements);
        if let Err(failure) = self.supervised(None, run).flatten() {
            self.events.push_back(NodeEvent::CallFailed { source: source.clone(), failure });
        }
    }

    // --- spawning ---

    /// Spawns a port; there is no visible effect before this returns (`SPAWN-1`).
    pub(super) fn spawn(&mut self, node: &NodeId, function: &str, arguments: Elements<'_>) -> Result<PortId, EncodeError> {
        check_name(function)?;
        let name = self.spawned.name(self.next_spawned);
        self.next_spawned += 1;
        let limits = self.limits_to(node);
        if *node != self.id {
            let index = self.peer(node);
            let head = ["", request::SPAWN, &name, function];
            self.write_to(index, |framing, out| arguments.relay(&head, framing, &limits, out))?;
        } else if let Some(function) = self.functions.to_spawn(function)
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
