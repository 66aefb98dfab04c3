//! A whole node without I/O: ports, watches, requests, and the peers that it reaches over many links. A state machine with one
//! writer.
//!
//! Whoever owns a [`Node`] drives it:
//!
//! 1. Carry out each [`Action`] of [`poll_action`](Node::poll_action): dial an address, close a connection.
//! 2. Tell it of each connection with [`open`](Node::open), of its octets with [`receive`](Node::receive), of its end with
//!    [`closed`](Node::closed).
//! 3. Write what [`output`](Node::output) has for each connection that [`poll_writable`](Node::poll_writable) names; one that is named
//!    may also read again, if it did not [want input](Node::wants_input).
//! 4. When the [`deadline`](Node::deadline) has come, and as long as [`has_work`](Node::has_work), call [`run`](Node::run).
//! 5. Take each event of [`poll_event`](Node::poll_event): they wait until then.
//!
//! All of that after each call. A node is not `Send`: it lives on one thread. Code of ports must not panic, unless the owner
//! [supervises](Node::supervise) it.
//!
//! Code of ports runs within these calls, and within [`with`](Node::with), which is how others reach the node.

mod arbitration;
mod call;
mod config;
mod context;
mod core;
mod database;
mod discovery;
mod peer;
mod port;
mod reasons;
mod request;
mod search;
mod seed;
mod supervise;
mod timer;
mod watch;

pub use self::core::Function;
pub use call::NoAnswer;
pub use config::NodeConfig;
pub use context::Context;
pub use database::DbEntry;
pub use peer::ConnectionId;
pub use port::Handler;
pub use reasons::{Failure, IntoOutcome, Outcome, Reasons};
pub use seed::DialId;
pub use supervise::{Conduct, Supervisor};
pub use timer::TimerHandle;
pub use watch::WatchHandle;

use ::core::time::Duration;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use self::core::Core;
use crate::auth::Secret;
use crate::error::{Error, LimitExceeded};
use crate::framing::EncodeError;
use crate::link::{self, Event, Link, OwnGreeting, Role, StartTls, Tls};
use crate::names::{NodeId, PortId};
use peer::PeerState;
use search::Searches;
use seed::Seeds;

/// The key in a greeting by which nodes that settle simultaneous connections know each other (`PEER-6`).
const ARBITER: &str = "arbiter";

/// The key in a greeting of those who speak the global protocol (`GLOBAL-1`).
const GLOBAL: &str = "gproto";

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
    /// A connection ended before it was up; the node, if it said who it is.
    Refused {
        /// What the other side said that it is.
        node: Option<NodeId>,
        /// The address that was dialled.
        address: Option<String>,
        /// Why.
        error: String,
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
}

/// A node.
pub struct Node {
    core: Core,
    link_config: Arc<link::Config>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_connection: u64,
    handshakes: usize,
    seeds: Seeds,
    searches: Searches,
    actions: VecDeque<Action>,
    writable: VecDeque<ConnectionId>,
    /// Nodes about whose connections there is something to decide.
    undecided: Vec<NodeId>,
    next_tick: Duration,
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
        let is_global = config.global;
        let mut node = Node {
            link_config: Arc::new(config.link.clone()),
            seeds: Seeds::new(random as u64 ^ (random >> 64) as u64),
            searches: Searches::new(random as u64),
            core: Core::new(config, random, now, unix),
            connections: BTreeMap::new(),
            next_connection: 0,
            handshakes: 0,
            actions: VecDeque::new(),
            writable: VecDeque::new(),
            undecided: Vec::new(),
            next_tick: now,
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

    /// Has the code of ports run by a supervisor, from now on.
    pub fn supervise(&mut self, supervisor: Rc<dyn Supervisor>) {
        self.core.supervise(supervisor);
    }

    /// Adds an address that is dialled, and dialled again, until a node is reached there.
    pub fn add_seed(&mut self, now: Duration, address: &str) {
        self.core.now = now;
        self.seeds.add(address, now);
        self.next_tick = now;
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

    /// The octets that wait for all peers together.
    pub fn waiting(&self) -> usize {
        self.core.peers.iter().map(peer::Peer::waiting).sum()
    }

    /// The watches that all peers together have on ports of this node.
    pub fn watched(&self) -> usize {
        self.core.peers.iter().map(|peer| peer.watches_held).sum()
    }

    /// Whether [`run`](Node::run) has something to do now.
    pub fn has_work(&self) -> bool {
        self.core.has_steps()
    }

    /// When to call [`run`](Node::run) at the latest.
    pub fn deadline(&self) -> Option<Duration> {
        let timed = !self.connections.is_empty()
            || self.seeds.is_waiting()
            || self.core.is_connecting()
            || self.searches.is_waiting();
        let tick = timed.then_some(self.next_tick);
        [self.core.timers.next(), tick].into_iter().flatten().min()
    }

    /// Does what is due, and what has gathered within the node.
    pub fn run(&mut self, now: Duration) {
        self.core.now = now;
        self.core.run_timers();
        self.core.run_steps();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            self.tick();
        }
        self.settle();
    }

    // --- connections ---

    /// Tells of a transport connection that stands. `random` must be new for each (`NONCE-1`).
    ///
    /// # Errors
    ///
    /// When too many connections are in their handshake (`SEC-5`), or the node's own greeting is too long.
    pub fn open(
        &mut self,
        now: Duration,
        role: Role,
        random: [u8; 32],
        peer_address: Option<&str>,
        dial: Option<DialId>,
    ) -> Result<ConnectionId, Error> {
        self.core.now = now;
        let limit = self.core.config.handshakes;
        if role == Role::Acceptor && self.handshakes >= limit {
            return Err(LimitExceeded::Handshakes { limit }.into());
        }
        let own = OwnGreeting::new(&self.link_config, random, peer_address)?;
        let link = Link::new(self.link_config.clone(), role, own, now);
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        self.connections.insert(id, Connection { link, dial, node: None, accepted: false, accepted_at: None, peer: None });
        self.handshakes += 1;
        self.writable.push_back(id);
        Ok(id)
    }

    /// Tells that an address could not be reached.
    pub fn dial_failed(&mut self, now: Duration, dial: DialId, error: &str) {
        self.core.now = now;
        let address = self.dial_ended(dial);
        self.core.events.push_back(NodeEvent::Refused { node: None, address, error: error.into() });
        self.settle();
    }

    /// Gives octets that have arrived.
    #[inline]
    pub fn receive(&mut self, now: Duration, id: ConnectionId, octets: &[u8]) {
        self.core.now = now;
        self.heard(id);
        self.pump(id, octets);
        self.settle();
    }

    /// Tells that TLS stands on a connection, with a certificate of the peer's that is trusted (`TLS-5`).
    pub fn tls_established(&mut self, now: Duration, id: ConnectionId) {
        self.core.now = now;
        if let Some(connection) = self.connections.get_mut(&id) {
            match connection.link.tls_established() {
                Ok(()) => {
                    self.writable.push_back(id);
                    self.pump(id, &[]);
                }
                Err(error) => self.gone(id, &error.to_string()),
            }
        }
        self.settle();
    }

    /// The node that the other side of a connection says it is, once it has greeted. Before the connection is up nothing proves that.
    pub fn greeted_as(&self, id: ConnectionId) -> Option<&NodeId> {
        self.connections.get(&id)?.node.as_ref()
    }

    /// Whether octets of a connection would be of use now; if not, better leave them with the transport.
    pub fn wants_input(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.link.wants_input())
    }

    /// Tells that a transport connection has ended, and how, if not in order.
    pub fn closed(&mut self, now: Duration, id: ConnectionId, error: Option<&str>) {
        self.core.now = now;
        if let Some(connection) = self.connections.get_mut(&id) {
            let ended = connection.link.end_of_input();
            let text = match (error, ended) {
                (Some(error), _) => error.into(),
                (None, Err(error)) => error.to_string(),
                (None, Ok(())) => String::from("Unexpected end-of-file"),
            };
            self.gone(id, &text);
        }
        self.settle();
    }

    /// What is to be written to a connection.
    #[inline]
    pub fn output(&self, id: ConnectionId) -> &[u8] {
        let Some(connection) = self.connections.get(&id) else { return &[] };
        let handshake = connection.link.output();
        match connection.peer.map(|index| &self.core.peers[index].state) {
            Some(PeerState::Up(up)) if handshake.is_empty() && up.connection == id => up.output.pending(),
            _ => handshake,
        }
    }

    /// Takes octets off the [`output`](Node::output) that were written.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    #[inline]
    pub fn advance_output(&mut self, id: ConnectionId, octets: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.link.output().is_empty() {
            connection.link.advance_output(octets);
        } else if let Some(index) = connection.peer
            && let Some(up) = self.core.peers[index].up()
        {
            up.output.advance(octets);
            up.told = up.output.len() > 0;
            self.core.tell_ready(index);
        }
        if !self.output(id).is_empty() {
            self.writable.push_back(id);
        }
    }

    /// Gives octets to a link and does what it tells.
    fn pump(&mut self, id: ConnectionId, octets: &[u8]) {
        let mut input = octets;
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let (core, peer) = (&mut self.core, connection.peer);
            let told = connection.link.receive(::core::mem::take(&mut input), |packet| {
                if let Some(index) = peer {
                    core.packet(index, id, &packet);
                }
            });
            if !connection.link.output().is_empty() {
                self.writable.push_back(id);
            }
            match told {
                Ok(None) => return,
                Ok(Some(Event::Greeted)) => {
                    let node = connection.link.peer().map(|greeting| greeting.node.clone());
                    connection.node.clone_from(&node);
                    if let Some(node) = node {
                        if let Some(dial) = connection.dial {
                            self.greeted(dial, &node);
                        }
                        self.decide(&node);
                    }
                }
                Ok(Some(Event::Up)) => self.up(id),
                Err(error) => {
                    let dial = connection.dial;
                    self.is_it_us(dial, &error);
                    return self.gone(id, &error.to_string());
                }
            }
        }
    }

    /// A connection is over, for whatever reason.
    fn gone(&mut self, id: ConnectionId, text: &str) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.actions.push_back(Action::Close(id));
        let address = connection.dial.and_then(|dial| self.dial_ended(dial));
        match connection.peer {
            Some(index) => {
                if self.core.peers[index].up().is_some_and(|up| up.connection == id) {
                    self.core.lose_peer(index, text);
                }
            }
            None => {
                self.handshakes -= 1;
                let node = connection.node.clone();
                self.core.events.push_back(NodeEvent::Refused { node, address, error: text.into() });
            }
        }
        // Another connection of that node may have waited for this one, or a probe was for this one.
        self.undecided.extend(connection.node);
    }

    /// Carries out what the code of ports has caused.
    fn settle(&mut self) {
        loop {
            self.core.carry_out();
            self.close_and_want();
            if self.discover() {
                continue;
            }
            // One after the other, not one within the other: strangers choose how many there are.
            let Some(node) = self.undecided.pop() else { return };
            self.decide(&node);
        }
    }

    fn close_and_want(&mut self) {
        while let Some(id) = self.core.closing.pop() {
            if let Some(connection) = self.connections.remove(&id) {
                self.actions.push_back(Action::Close(id));
                connection.dial.and_then(|dial| self.dial_ended(dial));
                self.undecided.extend(connection.node);
            }
        }
        while let Some(index) = self.core.wanted.pop() {
            let node = self.core.peers[index].node.clone();
            self.seeds.want(&node, self.core.now);
            self.search(&node);
            self.next_tick = self.core.now;
        }
        while let Some(id) = self.core.told.pop() {
            self.writable.push_back(id);
        }
    }

    // --- times ---

    fn tick(&mut self) {
        let now = self.core.now;
        let late: Vec<_> = self
            .connections
            .iter_mut()
            .filter_map(|(id, connection)| connection.link.handle_timeout(now).err().map(|error| (*id, error)))
            .collect();
        for (id, error) in late {
            self.gone(id, &error.to_string());
        }
        self.hurry();
        for index in 0..self.core.peers.len() {
            self.look_after(index);
        }
        self.core.shed_load();
        let core = &self.core;
        while let Some((dial, address)) = self.seeds.next_due(now, |node| core.is_up(node)) {
            self.actions.push_back(Action::Dial { dial, address });
        }
        self.search_on();
    }

    /// Looks after the times of a peer (`MON-10`, `PEER-9`, `PEER-10`).
    fn look_after(&mut self, index: usize) {
        let now = self.core.now;
        let (quiet, silence) = (self.core.config.quiet, self.core.config.silence);
        match &mut self.core.peers[index].state {
            PeerState::Unknown | PeerState::Lost => {}
            PeerState::Connecting { until, .. } => {
                if now >= *until {
                    self.core.lose_peer(index, "connect timeout");
                }
            }
            PeerState::Up(up) => {
                if up.probe.is_some_and(|until| now >= until) {
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
