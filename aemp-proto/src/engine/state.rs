//! The state of the engine, all of it: [`Core`] is what a host reaches from within, [`Engine`] is that and the connections.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::config::NodeConfig;
use super::event::{Action, NodeEvent};
use super::tables::data_connections::Table;
use super::tables::denials::Denials;
use super::tables::functions::{Functions, Spawned};
use super::tables::keys::{ConnectionId, DataKey, DialId, MonitorHandle, MonitorId, PortKey, Released};
use super::tables::peers::Peer;
use super::tables::ports::Ports;
use super::tables::searches::Searches;
use super::tables::seeds::Seeds;
use super::tables::steps::{Batch, Step};
use super::tables::strangers::Admission;
use super::tables::timers::Timers;
use crate::framing::Limits;
use crate::global::{FamilyWatch, Global, Output, Owner, QuestionId};
use crate::link::{self, Link};
use crate::names::{NodeId, PortNames};

/// The key in a greeting by which nodes that settle simultaneous connections know each other (`PEER-6`).
pub(in crate::engine) const ARBITER: &str = "arbiter";

/// The key in a greeting of those who speak the global protocol (`GLOBAL-1`).
pub(in crate::engine) const GLOBAL: &str = "gproto";

/// The key in a greeting that says what a node takes in one packet (`GREET-26`).
pub(in crate::engine) const LIMITS: &str = "limits";

/// How often times are looked at.
pub(in crate::engine) const TICK: Duration = Duration::from_millis(100);

/// A connection that the node knows.
pub(in crate::engine) struct Connection {
    pub(in crate::engine) link: Link,
    pub(in crate::engine) dial: Option<DialId>,
    /// Who the other side says it is, once it has greeted.
    pub(in crate::engine) node: Option<NodeId>,
    /// We go on with it.
    pub(in crate::engine) accepted: bool,
    /// Since when.
    pub(in crate::engine) accepted_at: Option<Duration>,
    /// The place of the peer, once it is up.
    pub(in crate::engine) peer: Option<usize>,
    /// The address that was dialled.
    pub(in crate::engine) address: Option<String>,
    /// The address from which it was opened, if others have opened it.
    pub(in crate::engine) from: Option<String>,
    /// Which data connection it is, once it is one.
    pub(in crate::engine) data: Option<DataKey>,
    /// It waits for its turn.
    pub(in crate::engine) queued: bool,
    /// It has ended, in order or with an error: what has arrived before that is handled first.
    pub(in crate::engine) ended: Option<Option<String>>,
    /// The memory that it takes for what has not arrived whole.
    pub(in crate::engine) unfinished: usize,
}

/// A view of a family of the database.
pub(in crate::engine) struct View {
    /// The port that the view goes with.
    pub(in crate::engine) owner: Option<PortKey>,
    /// What closes the view when that port ends.
    pub(in crate::engine) end: Option<MonitorHandle>,
}

/// An entry that goes with a port.
pub(in crate::engine) struct Registered {
    pub(in crate::engine) owner: Owner,
    /// What removes it when the port ends.
    pub(in crate::engine) end: MonitorHandle,
}

/// Who waits for what is in the database, and entries that wait for the end of a port.
#[derive(Default)]
pub(in crate::engine) struct Watchers {
    /// By family and key; only such as `register_in` has set last.
    pub(in crate::engine) registered: BTreeMap<(String, String), Registered>,
    pub(in crate::engine) views: BTreeMap<FamilyWatch, View>,
    /// The ports that questions go with.
    pub(in crate::engine) asking: BTreeMap<QuestionId, Option<PortKey>>,
}

/// What a node knows and decides, without its connections: ports, monitors, peers, functions, the database, and what is to
/// be done next.
///
/// A [host](crate::engine::Host) gets it with each call and can do with it all that a program can do: make and kill ports,
/// send, monitor, spawn, ask the database. From outside, [`Engine::with`](crate::engine::Engine::with) gives it.
pub struct Core {
    pub(in crate::engine) id: NodeId,
    pub(in crate::engine) config: NodeConfig,
    pub(in crate::engine) now: Duration,
    /// The Unix time at the monotonic time zero.
    pub(in crate::engine) unix: Duration,
    pub(in crate::engine) ports: Ports,
    /// Names for ports that are spawned elsewhere: they never meet those of the ports here.
    pub(in crate::engine) spawned: PortNames,
    pub(in crate::engine) next_spawned: u64,
    pub(in crate::engine) next_monitor: u64,
    pub(in crate::engine) peers: Vec<Peer>,
    pub(in crate::engine) by_node: BTreeMap<NodeId, usize>,
    /// Places of peers of which nothing was known any more, to be used again.
    pub(in crate::engine) idle: VecDeque<usize>,
    /// What waits for all peers that have no connection, in octets, with what they cost themselves.
    pub(in crate::engine) queued: usize,
    pub(in crate::engine) functions: Functions,
    /// The ports that peers have spawned.
    pub(in crate::engine) spawned_ports: Spawned,
    /// The peer whose packet is being handled: what is sent now, is sent because of it.
    pub(in crate::engine) acting_for: Option<usize>,
    /// How many nodes are being connected to because of peers.
    pub(in crate::engine) caused: usize,
    /// What was denied to peers.
    pub(in crate::engine) denials: Denials,
    /// Monitors that are about to fire.
    pub(in crate::engine) firing: BTreeSet<MonitorId>,
    pub(in crate::engine) timers: Timers,
    /// How many peers are in the state `Connecting`.
    pub(in crate::engine) connecting: usize,
    /// Units of work that were done since the start.
    pub(in crate::engine) work: u64,
    /// At how many units of work the present connection's turn ends.
    pub(in crate::engine) turn_end: u64,
    /// Steps that have gathered before those of `steps`, and were not all done for lack of time.
    pub(in crate::engine) batch: Batch,
    pub(in crate::engine) steps: VecDeque<Step>,
    /// The messages among the steps, in cbor, one behind the other.
    pub(in crate::engine) own: Vec<u8>,
    pub(in crate::engine) events: VecDeque<NodeEvent>,
    pub(in crate::engine) global: Global,
    /// Our part in the global protocol has work only for peers that are not ready for it.
    pub(in crate::engine) database_waits: bool,
    /// Data connections that do not stand yet.
    pub(in crate::engine) data: Table,
    /// Who waits for what is in the database.
    pub(in crate::engine) watchers: Watchers,
    /// What the host keeps and need not keep any more.
    pub(in crate::engine) released: VecDeque<Released>,
    /// What has been found out about where nodes are.
    pub(in crate::engine) discovered: VecDeque<Output>,
    /// Peers to which a connection is wanted.
    pub(in crate::engine) wanted: Vec<usize>,
    /// Connections that have output, of which the owner has not been told.
    pub(in crate::engine) told: Vec<ConnectionId>,
    /// Peers that were paused and are so no more.
    pub(in crate::engine) resumed: Vec<usize>,
    /// The seed that was not reached last, and why; none once any node is.
    pub(in crate::engine) refused: Option<String>,
    /// Connections to close.
    pub(in crate::engine) closing: Vec<ConnectionId>,
}

impl Core {
    pub(in crate::engine) fn new(config: NodeConfig, random: u128, now: Duration, unix: Duration) -> Self {
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
            released: VecDeque::new(),
            data: Table::default(),
            discovered: VecDeque::new(),
            config,
            now,
            unix: unix.saturating_sub(now),
            ports: Ports::new(PortNames::new(random as u64)),
            spawned: PortNames::new((random >> 64) as u64),
            next_spawned: 0,
            next_monitor: 0,
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
}

impl Core {
    /// Adds an event to those that [`Engine::poll_event`] gives, for hosts that have something to tell.
    pub fn report(&mut self, event: NodeEvent) {
        self.events.push_back(event);
    }
}

/// A whole node as a protocol machine.
///
/// See the [module](crate::engine) for how to drive it.
pub struct Engine {
    pub(in crate::engine) core: Core,
    pub(in crate::engine) link_config: Arc<link::Config>,
    pub(in crate::engine) connections: BTreeMap<ConnectionId, Box<Connection>>,
    /// The memory that is taken by packets that have not arrived whole.
    pub(in crate::engine) unfinished: usize,
    /// Those that have greeted, by node.
    pub(in crate::engine) of_nodes: BTreeSet<(NodeId, ConnectionId)>,
    pub(in crate::engine) next_connection: u64,
    /// Those that are not up yet.
    pub(in crate::engine) handshakes: BTreeSet<ConnectionId>,
    /// Those of them that others have opened.
    pub(in crate::engine) admission: Admission,
    pub(in crate::engine) seeds: Seeds,
    pub(in crate::engine) searches: Searches,
    pub(in crate::engine) actions: VecDeque<Action>,
    pub(in crate::engine) writable: VecDeque<ConnectionId>,
    /// Connections whose last turn was over before all that they had brought was handled.
    pub(in crate::engine) turns: VecDeque<ConnectionId>,
    /// Nodes about whose connections there is something to decide.
    pub(in crate::engine) undecided: Vec<NodeId>,
    pub(in crate::engine) next_tick: Duration,
    /// There may be something to dial before that.
    pub(in crate::engine) hurries: bool,
}
