//! A whole node without I/O: ports, watches, requests, and the peers that it reaches over many links. A state machine with one
//! writer.
//!
//! Whoever owns a [`Node`] drives it:
//!
//! 1. Carry out each [`Action`] of [`poll_action`](Node::poll_action): dial an address, close a connection.
//! 2. Tell it of each connection with [`open`](Node::open), of its octets with [`receive`](Node::receive), of its end with
//!    [`closed`](Node::closed).
//! 3. Write what [`output`](Node::output) has for each connection that [`poll_writable`](Node::poll_writable) names; one that is named
//!    may also read again, if it did not [want input](Node::wants_input): do not read from one that does not.
//! 4. When the [`deadline`](Node::deadline) has come, and as long as [`has_work`](Node::has_work), call [`run`](Node::run).
//! 5. Take each data connection with [`hand_over`](Node::hand_over) when [`Action::HandOver`] says so: its octets are not the node's.
//! 6. Take each event of [`poll_event`](Node::poll_event): they wait until then.
//!
//! All of that after each call. A node is not `Send`: it lives on one thread. Code of ports must not panic, unless the owner
//! [supervises](Node::supervise) it.
//!
//! Code of ports runs within these calls, and within [`with`](Node::with), which is how others reach the node.

mod access;
mod admission;
mod arbitration;
mod call;
mod config;
mod connections;
mod context;
mod core;
mod data;
mod database;
mod denials;
mod discovery;
mod ending;
mod ledger;
mod monitors;
mod peer;
mod peers;
mod port;
mod reasons;
mod refusal;
mod request;
mod rights;
mod search;
mod seed;
mod sending;
mod supervise;
mod tables;
mod timer;
mod watch;

pub use self::core::Function;
pub use access::Access;
pub use call::NoAnswer;
pub use config::NodeConfig;
pub use context::Context;
pub use data::{DataConnection, DataTaker};
pub use database::DbEntry;
pub use denials::Denied;
pub use ledger::{Memory, MemoryKind};
pub use peer::ConnectionId;
pub use port::Handler;
pub use reasons::{Failure, IntoOutcome, Outcome, Reasons};
pub use refusal::Refusal;
pub use seed::DialId;
pub use supervise::{Conduct, Supervisor};
pub use tables::Tables;
pub use timer::TimerHandle;
pub use watch::WatchHandle;

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::core::Core;
use crate::auth::Secret;
use crate::framing::EncodeError;
use crate::link::{self, Link, StartTls, Tls};
use crate::names::{NodeId, PortId};
use admission::Admission;
use peer::PeerState;
use search::Searches;
use seed::Seeds;

/// The key in a greeting by which nodes that settle simultaneous connections know each other (`PEER-6`).
const ARBITER: &str = "arbiter";

/// The key in a greeting of those who speak the global protocol (`GLOBAL-1`).
const GLOBAL: &str = "gproto";

/// The key in a greeting that says what a node takes in one packet (`GREET-26`).
const LIMITS: &str = "limits";

/// What the owner of a node has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect to an address, then call [`Node::open`], or [`Node::dial_failed`].
    Dial {
        /// To name it by.
        dial: DialId,
        /// `HOST:PORT`, as it was given.
        address: String,
    },
    /// Run TLS on a connection: write its output as it is, then begin, and call [`Node::tls_established`] when it stands, or
    /// [`Node::closed`]. From then on the node reads and writes what is inside (`TLS-2`).
    StartTls {
        /// Which connection.
        connection: ConnectionId,
        /// Which part to play, and the octets of TLS that have arrived already.
        tls: StartTls,
    },
    /// A connection has become a data connection: write its output as it is, then take it with [`Node::hand_over`], or tell that it has
    /// [ended](Node::closed).
    HandOver(ConnectionId),
    /// Close a connection, after what has been taken of its output. The node has forgotten it.
    Close(ConnectionId),
}

/// What happened in a node, for those who want to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// There is a connection to a node.
    Up(NodeId),
    /// The connection to a node is lost.
    Down(NodeId, Reasons),
    /// A connection to a node was wanted, and could not be made in time.
    Unreachable(NodeId, Reasons),
    /// A connection ended before it was up, or an address could not be reached.
    Refused {
        /// The ID that the other side has claimed. Nothing proves it. `None` if the other side has not greeted.
        node: Option<NodeId>,
        /// The address that was dialled. `None` if the other side has connected.
        address: Option<String>,
        /// The address from which the other side has connected. `None` if this node has dialled, or its owner did not say it.
        from: Option<String>,
        /// Which kind of reason it is.
        reason: Refusal,
        /// The reason as a text for people.
        error: String,
    },
    /// Another node wanted something that it may not do. The same is told once, and again after an hour; [`Node::denied`] counts all of them.
    Denied {
        /// The node.
        source: NodeId,
        /// What it wanted to do.
        what: Denied,
        /// The port, function or family with which it wanted to do that.
        name: String,
    },
    /// A peer was given up because memory of a kind was used up, and most of it was for that peer (`SEC-13`).
    GivenUp {
        /// The peer.
        node: NodeId,
        /// Which kind of memory.
        kind: MemoryKind,
        /// How many octets were held for the peer.
        octets: usize,
    },
    /// The node has become global.
    BecameGlobal,
    /// The node has another master now, or none. A global node has none.
    Master(Option<NodeId>),
    /// A message that nobody waits for, such as an answer, could not be written.
    NotSent {
        /// Where it should have gone.
        to: PortId,
        /// Why it did not.
        error: EncodeError,
    },
    /// A node has set an entry of the database that is too large to be sent on to everyone, so this node does not keep it (`DB-31`, `DB-41`). Told
    /// once for each node, family and key, as far as the last 1,000 are remembered.
    EntryRefused {
        /// Who has set it.
        node: NodeId,
        /// The family.
        family: String,
        /// The first 256 characters of the key.
        key: String,
        /// What key and value come to, in octets; 524,288 at most are kept.
        octets: usize,
    },
    /// A function that another node called failed.
    CallFailed {
        /// Who called.
        source: NodeId,
        /// What the function said.
        failure: Failure,
    },
    /// Code that ran in the name of nobody failed.
    TaskFailed(Failure),
    /// Code held up the whole node for so long.
    Slow {
        /// The port in whose name it ran; the node port if in the name of nobody.
        port: PortId,
        /// How long.
        time: Duration,
    },
}

/// A connection that the node knows.
struct Connection {
    link: Link,
    dial: Option<DialId>,
    /// Who the other side says it is, once it has greeted.
    node: Option<NodeId>,
    /// We go on with it.
    accepted: bool,
    /// Since when.
    accepted_at: Option<Duration>,
    /// The place of the peer, once it is up.
    peer: Option<usize>,
    /// The address that was dialled.
    address: Option<String>,
    /// The address from which it was opened, if others have opened it.
    from: Option<String>,
    /// Which data connection it is, once it is one.
    data: Option<data::Key>,
    /// It waits for its turn.
    queued: bool,
    /// It has ended, in order or with an error: what has arrived before that is handled first.
    ended: Option<Option<String>>,
    /// The memory that it takes for what has not arrived whole.
    unfinished: usize,
}

/// A node.
pub struct Node {
    core: Core,
    link_config: Arc<link::Config>,
    connections: BTreeMap<ConnectionId, Box<Connection>>,
    /// The memory that is taken by packets that have not arrived whole.
    unfinished: usize,
    /// Those that have greeted, by node.
    of_nodes: BTreeSet<(NodeId, ConnectionId)>,
    next_connection: u64,
    /// Those that are not up yet.
    handshakes: BTreeSet<ConnectionId>,
    /// Those of them that others have opened.
    admission: Admission,
    seeds: Seeds,
    searches: Searches,
    actions: VecDeque<Action>,
    writable: VecDeque<ConnectionId>,
    /// Connections whose last turn was over before all that they had brought was handled.
    turns: VecDeque<ConnectionId>,
    /// Nodes about whose connections there is something to decide.
    undecided: Vec<NodeId>,
    next_tick: Duration,
    /// There may be something to dial before that.
    hurries: bool,
}

/// How often times are looked at.
const TICK: Duration = Duration::from_millis(100);

impl Node {
    /// A node without ports and connections. `random` must be new at each start of the program; `now` is any monotonic time, `unix`
    /// the time since 1970.
    pub fn new(mut config: NodeConfig, random: u128, now: Duration, unix: Duration) -> Self {
        for key in ["mproto", ARBITER, GLOBAL] {
            config.link.keys.insert(key.into(), "1".into());
        }
        config.link.keys.insert(LIMITS.into(), config.link.limits.to_string());
        config.link.protocols = Vec::from([data::WORD.into()]);
        let is_global = config.global;
        let mut node = Node {
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
            node.become_global(now);
        }
        node
    }

    /// This node's ID.
    pub fn id(&self) -> &NodeId {
        &self.core.id
    }

    /// Runs code in the node, in the name of nobody.
    pub fn with<R>(&mut self, now: Duration, code: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.core.now = now;
        let result = code(&mut Context::new(&mut self.core, None, None));
        self.settle();
        result
    }

    /// Runs code in the name of a port of this node; `None` if that has ended.
    pub fn within<R>(&mut self, now: Duration, port: &PortId, code: impl FnOnce(&mut Context<'_>) -> R) -> Option<R> {
        self.core.now = now;
        let key = if *port.node() == self.core.id { self.core.ports.find(port.port()) } else { None };
        let result = key.map(|key| code(&mut Context::new(&mut self.core, Some(key), None)));
        self.settle();
        result
    }

    /// Stops handling what a node sends, as [`Context::pause_peer`] does.
    pub fn pause_peer(&mut self, node: &NodeId) {
        self.core.pause_peer(node);
    }

    /// Takes back one [pause](Self::pause_peer) of a node, as [`Context::resume_peer`] does.
    pub fn resume_peer(&mut self, now: Duration, node: &NodeId) {
        self.core.now = now;
        self.core.resume_peer(node);
        self.settle();
    }

    /// Has the code of ports run by a supervisor, from now on.
    pub fn supervise(&mut self, supervisor: Rc<dyn Supervisor>) {
        self.core.supervise(supervisor);
    }

    /// Adds an address that is dialled, and dialled again, until a node is reached there.
    pub fn add_seed(&mut self, now: Duration, address: &str) {
        self.core.now = now;
        self.seeds.add(address, now);
        self.hurries = true;
    }

    /// How connections are made from now on; those that stand go on as they are. The node ID, the keys and the limits stay what they were.
    pub fn set_credentials(&mut self, tls: Tls, secret: Option<Secret>, further_secrets: Vec<Secret>) {
        let config = Arc::make_mut(&mut self.link_config);
        (config.tls, config.secret, config.further_secrets) = (tls, secret, further_secrets);
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
        self.core.peers.iter().map(peer::Peer::waiting).sum()
    }

    /// How often something was denied to other nodes since the start ([`NodeEvent::Denied`]).
    pub fn denied(&self) -> u64 {
        self.core.denials.count()
    }

    /// The watches that all peers together have on ports of this node.
    pub fn watched(&self) -> usize {
        self.core.peers.iter().map(|peer| peer.watches_held).sum()
    }

    /// Whether [`run`](Node::run) has something to do now: what has gathered within the node, or connections whose turn comes.
    pub fn has_work(&self) -> bool {
        self.core.has_steps() || !self.turns.is_empty() || self.core.has_database_work()
    }

    /// How much work the node has done since its start. One unit is about an octet that was read, walked over, copied or written; a packet, a
    /// step, and an operation on a table cost 16 units beside their octets. What the code of ports does is not counted.
    ///
    /// A unit takes some nanoseconds. The count is the same wherever the same happens, so tests can compare it to the octets that a peer
    /// has sent.
    pub fn work(&self) -> u64 {
        self.core.work
    }

    /// When to call [`run`](Node::run) at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let timed = !self.connections.is_empty()
            || self.seeds.is_waiting()
            || self.core.is_connecting()
            || self.searches.is_waiting();
        let tick = if self.hurries { Some(self.core.now) } else { timed.then_some(self.next_tick) };
        [self.core.timers.next(), tick, self.admission.next()].into_iter().flatten().min()
    }

    /// Does what is due, a portion of what has gathered within the node, and then one turn of one connection that has waited for it. Each of
    /// the two takes about a [budget](NodeConfig::turn_budget). Let others have their turn before you call it again.
    pub fn run(&mut self, now: Duration) {
        self.core.now = now;
        self.core.run_timers();
        self.release_held();
        self.core.run_steps(self.core.config.turn_budget);
        self.core.run_database();
        self.next_turn();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick();
        }
        if ::core::mem::take(&mut self.hurries) {
            self.dial();
        }
        self.settle();
    }

    /// Carries out what the code of ports has caused.
    fn settle(&mut self) {
        loop {
            self.core.carry_out();
            self.close_and_want();
            if self.discover() || self.data_open() {
                continue;
            }
            // One after the other, not one within the other: strangers choose how many there are.
            let Some(node) = self.undecided.pop() else { return };
            self.decide(&node);
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
