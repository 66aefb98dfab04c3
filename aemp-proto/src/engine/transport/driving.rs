//! Driving the engine: making it, running what is due, and looking after times.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::config::NodeConfig;
use super::super::event::{Action, NodeEvent, Output};
use super::super::host::Host;
use super::super::state::{ARBITER, Core, Engine, GLOBAL, LIMITS, TICK};
use super::super::tables::data_connections::WORD;
use super::super::tables::keys::ConnectionId;
use super::super::tables::peers::{Peer, PeerState};
use super::super::tables::searches::Searches;
use super::super::tables::seeds::Seeds;
use super::super::tables::strangers::Admission;
use crate::auth::Secret;
use crate::global::Global;
use crate::link::Tls;
use crate::names::NodeId;
use crate::permissions::Permissions;

impl Engine {
    /// Creates a node without ports and connections. `random` must be new at each start of the program; `now` is any
    /// monotonic time, `unix` the time since 1970.
    pub fn new(mut config: NodeConfig, random: u128, now: Duration, unix: Duration) -> Self {
        for key in ["mproto", ARBITER, GLOBAL] {
            config.link.keys.insert(key.into(), "1".into());
        }
        config.link.keys.insert(LIMITS.into(), config.link.limits.to_string());
        config.link.protocols = Vec::from([WORD.into()]);
        let is_global = config.global;
        let mut engine = Engine {
            link_config: Arc::new(config.link.clone()),
            seeds: Seeds::new(random as u64 ^ (random >> 64) as u64),
            searches: Searches::new(random as u64),
            core: Core::new(config, random, now, unix),
            connections: BTreeMap::new(),
            unfinished: 0,
            of_nodes: BTreeSet::new(),
            next_connection: 0,
            handshakes: BTreeSet::new(),
            admission: Admission::default(),
            actions: VecDeque::new(),
            writable: VecDeque::new(),
            turns: VecDeque::new(),
            undecided: Vec::new(),
            next_tick: now,
            hurries: false,
        };
        if is_global {
            engine.core.tell_global(Global::become_global);
        }
        engine
    }

    /// Returns this node's ID.
    pub fn id(&self) -> &NodeId {
        self.core.id()
    }

    /// Returns what the node knows without its connections, to look at it.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Runs code with the [`Core`] and the host at hand, from outside, and then does what it has caused.
    pub fn with<H: Host, R>(&mut self, host: &mut H, now: Duration, code: impl FnOnce(&mut Core, &mut H) -> R) -> R {
        self.core.now = now;
        let result = code(&mut self.core, host);
        self.settle(host);
        result
    }

    /// Returns what the node knows without its connections, to [take](Core::poll_released) what the host need not keep any
    /// more. Other changes belong into [`with`](Self::with), which does what they cause.
    #[inline]
    pub fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Adds an event to those that [`poll_event`](Self::poll_event) gives, for hosts that have something to tell.
    pub fn report(&mut self, event: NodeEvent) {
        self.core.report(event);
    }

    /// Stops handling what a node sends, as [`Core::pause_peer`] does.
    pub fn pause_peer(&mut self, node: &NodeId) {
        self.core.pause_peer(node);
    }

    /// Takes back one [pause](Self::pause_peer) of a node, as [`Core::resume_peer`] does.
    pub fn resume_peer(&mut self, host: &mut impl Host, now: Duration, node: &NodeId) {
        self.core.now = now;
        self.core.resume_peer(node);
        self.settle(host);
    }

    /// Adds an address that is dialled, and dialled again, until a node is reached there.
    pub fn add_seed(&mut self, now: Duration, address: &str) {
        self.core.now = now;
        self.seeds.add(address, now);
        self.hurries = true;
    }

    /// Sets what other nodes may do, from now on. What they have done before stays: ports that they have spawned, watches,
    /// entries of the database.
    pub fn set_permissions(&mut self, permissions: Permissions) {
        self.core.config.permissions = permissions;
        for index in 0..self.core.peers.len() {
            self.core.resolve_rights(index);
        }
        self.core.global.set_permissions(self.core.config.permissions.clone());
    }

    /// How connections are made from now on; those that stand go on as they are. The node ID, the keys and the limits stay
    /// what they were.
    pub fn set_credentials(&mut self, tls: Tls, secret: Option<Secret>, further_secrets: Vec<Secret>) {
        let config = Arc::make_mut(&mut self.link_config);
        (config.tls, config.secret, config.further_secrets) = (tls, secret, further_secrets);
    }

    /// Takes the next thing to do or to know, until that is a [time-out](Output::Timeout).
    pub fn poll_output(&mut self) -> Output {
        if let Some(id) = self.writable.pop_front() {
            Output::Writable(id)
        } else if let Some(action) = self.actions.pop_front() {
            action.into()
        } else if let Some(event) = self.core.events.pop_front() {
            Output::Event(event)
        } else {
            Output::Timeout(if self.has_work() { Some(self.core.now) } else { self.deadline() })
        }
    }

    /// Takes the next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes the next thing that happened.
    pub fn poll_event(&mut self) -> Option<NodeEvent> {
        self.core.events.pop_front()
    }

    /// Takes a connection that has output.
    pub fn poll_writable(&mut self) -> Option<ConnectionId> {
        self.writable.pop_front()
    }

    /// The nodes to which there is a connection.
    pub fn up_nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.core.up_nodes()
    }

    /// The connections that stand, those in their handshake included.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The data connections that are expected, or being opened from here.
    pub fn data_under_way(&self) -> usize {
        self.core.data.len()
    }

    /// The octets that wait for all peers together.
    pub fn waiting(&self) -> usize {
        self.core.peers.iter().map(Peer::waiting).sum()
    }

    /// How often something was denied to other nodes since the start ([`NodeEvent::Denied`]).
    pub fn denied(&self) -> u64 {
        self.core.denials.count()
    }

    /// The watches that all peers together have on ports of this node.
    pub fn watched(&self) -> usize {
        self.core.peers.iter().map(|peer| peer.watches_held).sum()
    }

    /// Whether [`run`](Engine::run) has something to do now: what has gathered within the node, or connections whose turn
    /// comes.
    pub fn has_work(&self) -> bool {
        self.core.has_steps() || !self.turns.is_empty() || self.core.has_database_work()
    }

    /// How much work the node has done since its start. One unit is about an octet that was read, walked over, copied or
    /// written; a packet, a step, and an operation on a table cost 16 units beside their octets. What the code of ports does
    /// is not counted.
    ///
    /// A unit takes some nanoseconds. The count is the same wherever the same happens, so tests can compare it to the octets
    /// that a peer has sent.
    pub fn work(&self) -> u64 {
        self.core.work
    }

    /// When to call [`run`](Engine::run) at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let timed = !self.connections.is_empty()
            || self.seeds.is_waiting()
            || self.core.is_connecting()
            || self.searches.is_waiting();
        let tick = if self.hurries { Some(self.core.now) } else { timed.then_some(self.next_tick) };
        [self.core.timers.next(), tick, self.admission.next()].into_iter().flatten().min()
    }

    /// Does what is due, a portion of what has gathered within the node, and then one turn of one connection that has waited
    /// for it. Each of the two takes about a [budget](crate::engine::NodeConfig::turn_budget). Let others have their turn
    /// before you call it again.
    pub fn run(&mut self, host: &mut impl Host, now: Duration) {
        self.core.now = now;
        self.core.run_timers();
        self.release_held();
        self.core.run_steps(host, self.core.config.turn_budget);
        self.core.run_database();
        self.next_turn(host);
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick();
        }
        if core::mem::take(&mut self.hurries) {
            self.dial();
        }
        self.settle(host);
    }

    /// Carries out what the code of ports has caused.
    pub(in crate::engine) fn settle(&mut self, host: &mut impl Host) {
        loop {
            self.core.carry_out();
            self.close_and_want();
            if self.discover() || self.data_open() {
                continue;
            }
            // One after the other, not one within the other: strangers choose how many there are.
            let Some(node) = self.undecided.pop() else { return };
            self.decide(host, &node);
        }
    }

    fn close_and_want(&mut self) {
        while let Some(id) = self.core.closing.pop() {
            if let Some(connection) = self.forget_connection(id) {
                connection.dial.and_then(|dial| self.dial_ended(dial, "it was given up"));
                self.undecided.extend(connection.node);
            }
        }
        while let Some(index) = self.core.wanted.pop() {
            let (node, caused) = (self.core.peers[index].node.clone(), self.core.peers[index].cause.is_some());
            self.seeds.want(&node, self.core.now);
            self.search(&node, caused);
            self.hurries = true;
        }
        while let Some(id) = self.core.told.pop() {
            self.writable.push_back(id);
        }
        while let Some(index) = self.core.resumed.pop() {
            if let Some(up) = self.core.peers[index].up() {
                let id = up.connection;
                self.turn_ends(id);
                self.writable.push_back(id);
            }
        }
    }

    // --- times ---

    fn tick(&mut self) {
        let now = self.core.now;
        for id in self.handshakes.iter().copied().collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(&id)
                && let Err(error) = connection.link.handle_timeout(now)
            {
                self.failed(id, &error);
            }
        }
        self.close_silent();
        self.hurry();
        for index in 0..self.core.peers.len() {
            self.look_after(index);
        }
        self.core.shed_load();
        self.core.denials.expire(now);
        self.core.tell_global(|global| global.expire(now));
        self.end_searches();
        self.data_hurry();
        self.hurries = true;
    }

    /// Looks after the times of a peer (`MON-10`, `PEER-9`, `PEER-10`).
    fn look_after(&mut self, index: usize) {
        let now = self.core.now;
        let (quiet, silence) = (self.core.config.quiet, self.core.config.silence);
        let is_paused = self.core.peers[index].is_paused();
        match &mut self.core.peers[index].state {
            PeerState::Unknown | PeerState::Lost => {}
            PeerState::Connecting { until, .. } => {
                if now >= *until {
                    self.core.lose_peer(index, "connect timeout");
                }
            }
            PeerState::Up(up) => {
                let is_late = up.probe.is_some_and(|until| now >= until) || now.saturating_sub(up.heard) >= quiet;
                if is_late && (is_paused || self.connections.get(&up.connection).is_some_and(|own| own.link.has_input())) {
                    // What it has sent, we have not read: it counts as alive.
                    (up.heard, up.asked) = (now, None);
                    up.probe = up.probe.map(|_| now.saturating_add(self.core.config.probe_timeout));
                } else if up.probe.is_some_and(|until| now >= until) {
                    (up.probe, up.suspect) = (None, true);
                    let node = self.core.peers[index].node.clone();
                    self.undecided.push(node);
                } else if up.asked.is_some_and(|asked| now.saturating_sub(asked) >= silence.saturating_sub(quiet)) {
                    self.core.lose_peer(index, "no sign of life");
                } else if now.saturating_sub(up.heard) >= quiet && up.asked.is_none() {
                    up.asked = Some(now);
                    self.ask_for_life(index);
                }
            }
        }
    }
}
