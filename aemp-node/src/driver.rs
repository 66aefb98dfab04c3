//! What happens on the node's thread: one loop owns the node, and a local task each connection.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime};

use aemp_proto::actor::{Action, ConnectionId, Context, DialId, Node, NodeEvent, Refusal};
use aemp_proto::framing::{EncodeError, Framing, Limits, Packet};
use aemp_proto::link::Role;
use aemp_proto::names::{NodeId, PortId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::Config;
use crate::connection::{self, Wake};
use crate::credentials::Credentials;
use crate::data;
use crate::handle::Command;
use crate::joining::Standing;
use crate::rate::LogRate;
use crate::supervisor::Watchful;
use crate::wire::Tapped;
use crate::{addresses, host, socket};

/// Drives the node: what the state machine asks for is done here.
pub(crate) struct Driver {
    node: RefCell<Node>,
    connections: RefCell<BTreeMap<ConnectionId, Rc<Wake>>>,
    /// What each connection reads into: an idle one keeps no buffer.
    pub(crate) buffer: RefCell<Vec<u8>>,
    pub(crate) credentials: RefCell<Credentials>,
    pub(crate) config: Config,
    pub(crate) data: data::Waiting,
    start: Instant,
    timer: Notify,
    listening: RefCell<Vec<JoinHandle<()>>>,
    is_open: Cell<bool>,
    /// Those whose connections are not accepted yet.
    listeners: RefCell<Vec<TcpListener>>,
    /// No new connections are made.
    ending: Cell<bool>,
    /// When the timer wakes by itself: it is told of what comes before that only.
    armed: Cell<Duration>,
    tellers: Tellers,
    /// Addresses of which a failure was told, oldest first.
    told: RefCell<VecDeque<String>>,
    /// How much is told of each kind of thing that others can cause.
    rates: RefCell<BTreeMap<&'static str, Rc<LogRate>>>,
    names: socket::Names,
    /// The connection that is just being given up was ended by the other side.
    left: Cell<bool>,
}

/// Addresses of which a failure is remembered to have been told.
const TOLD: usize = 1_000;

/// Warns, at a bounded rate for this text; beyond it the same is logged at the level debug.
macro_rules! warn_at_a_rate {
    ($driver:expr, $what:literal, $($fields:tt)*) => {
        if $driver.may_warn($what) {
            tracing::warn!($($fields)*, $what);
        } else {
            tracing::debug!($($fields)*, $what);
        }
    };
}

/// Where other threads hear what happens in the node.
pub(crate) struct Tellers {
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) standing: watch::Sender<Standing>,
}

thread_local! {
    /// The driver of the node whose thread this is.
    static CURRENT: OnceCell<Weak<Driver>> = const { OnceCell::new() };
}

/// Octets that are read at once.
pub(crate) const READ: usize = 64 << 10;

/// How long a node that ends goes on writing what was sent before.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The life of a node, on its thread.
pub(crate) fn run(
    config: &Config,
    inbox: mpsc::UnboundedReceiver<Command>,
    tellers: Tellers,
    started: oneshot::Sender<io::Result<Vec<SocketAddr>>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    LocalSet::new().block_on(&runtime, async move {
        let driver = match Driver::begin(config, tellers).await {
            Ok((driver, addresses)) => {
                if started.send(Ok(addresses)).is_err() {
                    return;
                }
                driver
            }
            Err(error) => return drop(started.send(Err(error))),
        };
        let timer = spawn_local(timer_task(driver.clone()));
        spawn_local(look_task(Rc::downgrade(&driver)));
        let stopped = tokio::select! {
            stopped = take_commands(&driver, inbox) => stopped,
            // Without it the node would seem to live, and do nothing.
            _ = timer => return tracing::error!(node = config.node.link.node.as_str(), "the node has ended by an error of its own"),
        };
        driver.last_words().await;
        if let Some(stopped) = stopped {
            let _nobody_waits = stopped.send(());
        }
    });
}

/// Does what other threads want until the last of them is gone, or one wants the node to stop.
async fn take_commands(driver: &Rc<Driver>, mut inbox: mpsc::UnboundedReceiver<Command>) -> Option<oneshot::Sender<()>> {
    /// What is taken from the queue at once: connections and timers have their turn in between.
    const BATCH: usize = 256;
    let mut commands = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut commands, BATCH).await > 0 {
        for command in commands.drain(..) {
            match command {
                Command::Use(use_driver) => driver.watched(use_driver),
                Command::Send { to, elements, .. } => driver.send(to, &elements),
                Command::Stop(stopped) => return Some(stopped),
            }
        }
        driver.settle();
        tokio::task::yield_now().await;
    }
    None
}

/// The packet that another thread has encoded.
///
/// # Errors
///
/// When it is none.
pub(crate) fn packet(octets: &[u8]) -> Result<Packet<'_>, EncodeError> {
    let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
    Packet::parse(Framing::Cbor, octets, &unlimited).map_err(serde::ser::Error::custom)
}

impl Driver {
    async fn begin(config: &Config, tellers: Tellers) -> io::Result<(Rc<Self>, Vec<SocketAddr>)> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut settings = config.node.clone();
        let credentials = Credentials::new(config);
        credentials.put_into(&mut settings.link);
        settings.link.exporter = true;
        let mut node = Node::new(settings, u128::from_ne_bytes(random), Duration::ZERO, unix);
        node.supervise(Rc::new(Watchful::new(node.id().as_str(), config.slow_handler)));
        let driver = Rc::new(Driver {
            node: RefCell::new(node),
            connections: RefCell::default(),
            buffer: RefCell::new(vec![0; READ]),
            credentials: RefCell::new(credentials),
            config: config.clone(),
            data: data::Waiting::default(),
            start: Instant::now(),
            timer: Notify::new(),
            listening: RefCell::default(),
            is_open: Cell::new(false),
            listeners: RefCell::default(),
            ending: Cell::new(false),
            armed: Cell::new(Duration::ZERO),
            tellers,
            told: RefCell::default(),
            rates: RefCell::default(),
            names: socket::Names::new(),
            left: Cell::new(false),
        });
        CURRENT
            .with(|current| current.set(Rc::downgrade(&driver)).map_err(|_| io::Error::other("a thread for two nodes")))?;
        let mut addresses = Vec::new();
        for bind in &config.listen {
            for listener in addresses::listen(bind).await? {
                addresses.extend(addresses::reachable(listener.local_addr()?)?);
                driver.listeners.borrow_mut().push(listener);
            }
        }
        let announced: Vec<_> = match &config.advertise[..] {
            [] => addresses.iter().map(ToString::to_string).collect(),
            announced => announced.to_vec(),
        };
        driver.with_node(|node, now| node.set_addresses(now, announced));
        Ok((driver, addresses))
    }

    /// Accepts connections from now on, and dials the seeds.
    pub(crate) fn open(self: &Rc<Self>) {
        let listeners = self.listeners.take();
        self.listening
            .borrow_mut()
            .extend(listeners.into_iter().map(|listener| spawn_local(listen_task(self.clone(), listener))));
        if !self.is_open.replace(true) {
            self.with_node(|node, now| self.config.seeds.iter().for_each(|seed| node.add_seed(now, seed)));
        }
    }

    /// The driver of the node whose thread this is.
    pub(crate) fn current() -> Option<Rc<Driver>> {
        CURRENT.with(|current| current.get()?.upgrade())
    }

    /// Uses the node, unless it is in use: by code that runs in it, and has come here.
    pub(crate) fn try_with_node<R>(self: &Rc<Self>, use_node: impl FnOnce(&mut Node, Duration) -> R) -> Option<R> {
        let result = use_node(&mut *self.node.try_borrow_mut().ok()?, self.start.elapsed());
        self.settle();
        Some(result)
    }

    /// Does something on the node's thread, and tells if that held up the node.
    pub(crate) fn watched<R>(self: &Rc<Self>, code: impl FnOnce(&Rc<Self>) -> R) -> R {
        let begun = Instant::now();
        let result = code(self);
        let time = begun.elapsed();
        if time >= self.config.slow_handler {
            self.tell(NodeEvent::Slow { port: self.config.node.link.node.port(""), time });
        }
        result
    }

    /// Uses the node, then does what it asks for.
    pub(crate) fn with_node<R>(self: &Rc<Self>, use_node: impl FnOnce(&mut Node, Duration) -> R) -> R {
        let result = use_node(&mut self.node.borrow_mut(), self.start.elapsed());
        self.settle();
        result
    }

    /// Tells the node the time of day, which may have been set since.
    fn follow_clock(&self) {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.node.borrow_mut().set_unix_time(self.start.elapsed(), unix);
    }

    /// Runs code in the node, in the name of nobody.
    pub(crate) fn with_context<R>(self: &Rc<Self>, code: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.with_node(|node, now| node.with(now, code))
    }

    pub(crate) fn node(&self) -> std::cell::RefMut<'_, Node> {
        self.node.borrow_mut()
    }

    /// Sends what another thread has encoded; the node settles afterwards.
    fn send(&self, to: PortId, elements: &[u8]) {
        let sent = packet(elements).and_then(|packet| {
            let mut node = self.node.borrow_mut();
            node.with(self.start.elapsed(), |context| context.forward(&to, packet.elements()))
        });
        if let Err(error) = sent {
            // It fits into cbor, and not into the framing of the peer.
            self.tell(NodeEvent::NotSent { to, error });
        }
    }

    fn settle(self: &Rc<Self>) {
        let mut node = self.node.borrow_mut();
        while let Some(action) = node.poll_action() {
            match action {
                Action::Dial { .. } if self.ending.get() => {}
                Action::Dial { dial, address } => drop(spawn_local(dial_task(self.clone(), dial, address))),
                Action::StartTls { connection, tls } => {
                    if let Some(wake) = self.connections.borrow().get(&connection) {
                        wake.tls.replace(Some(tls));
                        wake.output.notify_one();
                    }
                }
                Action::HandOver(id) => {
                    if let Some(wake) = self.connections.borrow().get(&id) {
                        wake.hand_over.set(true);
                        wake.output.notify_one();
                    }
                }
                Action::Close(id) => {
                    if let Some(wake) = self.connections.borrow_mut().remove(&id) {
                        wake.close.notify_one();
                    }
                }
                _ => {}
            }
        }
        while let Some(id) = node.poll_writable() {
            if let Some(wake) = self.connections.borrow().get(&id) {
                wake.output.notify_one();
            }
        }
        while let Some(event) = node.poll_event() {
            if let NodeEvent::Up(peer) = &event {
                self.tell_up(&node, peer);
            }
            self.tell(event);
        }
        if node.has_work() || node.deadline().is_some_and(|deadline| deadline < self.armed.get()) {
            self.armed.set(Duration::ZERO);
            self.timer.notify_one();
        }
    }

    /// Logs who is connected, and how it has proven that: a secret that is to be dropped is one that nobody uses any more.
    fn tell_up(&self, node: &Node, peer: &NodeId) {
        let (own, how) = (self.config.node.link.node.as_str(), node.authenticated(peer));
        let method = how.map(|(method, _)| method.name());
        let secret = how.and_then(|(_, secret)| secret).map(|secret| if secret == 0 { "own" } else { "further" });
        tracing::info!(node = own, %peer, method, secret, "connected");
    }

    fn tell(&self, event: NodeEvent) {
        let node = self.config.node.link.node.as_str();
        match &event {
            NodeEvent::Up(_) => {}
            NodeEvent::Down(peer, reasons) => tracing::info!(node, %peer, %reasons, "the connection is lost"),
            NodeEvent::Unreachable(peer, reasons) => tracing::info!(node, %peer, %reasons, "not reached"),
            NodeEvent::Refused { node: peer, address, from, reason, error } => {
                let peer = peer.as_ref().map(ToString::to_string);
                if let Some(from) = from {
                    let is_usual = matches!(reason, Refusal::Superseded | Refusal::Unwanted);
                    if is_usual || self.left.get() {
                        // To look who is there, and to leave, is nothing unusual.
                        tracing::info!(node, peer, from, error, "no connection");
                    } else {
                        warn_at_a_rate!(self, "a connection was refused", node, peer, from, error);
                    }
                } else if address.as_deref().is_some_and(|address| self.is_new(address)) {
                    // The operator should hear once that the node does not reach what it was told to reach.
                    warn_at_a_rate!(self, "no connection; this is told once for each address", node, peer, address, error);
                } else {
                    tracing::info!(node, peer, address, error, "no connection");
                }
            }
            NodeEvent::Denied { source, what, name } => {
                warn_at_a_rate!(self, "another node may not do what it wants to do", node, %source, ?what, name);
            }
            NodeEvent::EntryRefused { node: peer, family, key, octets } => warn_at_a_rate!(
                self,
                "an entry of the database is too large and is not kept: 524,288 octets at most [DB-30]",
                node,
                %peer,
                %family,
                ?key,
                octets
            ),
            NodeEvent::NotSent { to, error } => warn_at_a_rate!(self, "a message was not sent", node, %to, %error),
            NodeEvent::CallFailed { source, failure } => {
                warn_at_a_rate!(self, "a function failed", node, %source, ?failure);
            }
            NodeEvent::TaskFailed(failure) => {
                warn_at_a_rate!(self, "a task that belongs to no port failed", node, ?failure);
            }
            NodeEvent::Slow { port, time } => {
                warn_at_a_rate!(self, "code of this port held up the node", node, %port, ?time);
            }
            other => tracing::debug!(node, ?other),
        }
        self.tellers.standing.send_if_modified(|standing| standing.take(&event));
        let _nobody_listens = self.tellers.events.send(event);
    }

    /// Whether a failure of this address was not told yet.
    fn is_new(&self, address: &str) -> bool {
        let mut told = self.told.borrow_mut();
        let is_new = !told.iter().any(|told| told == address);
        if is_new {
            told.push_back(address.to_owned());
            if told.len() > TOLD {
                told.pop_front();
            }
        }
        is_new
    }

    /// Whether a warning of this kind is logged now. Those that are not are counted, and the count is logged a second later.
    pub(crate) fn may_warn(&self, what: &'static str) -> bool {
        let rate = self.rates.borrow_mut().entry(what).or_default().clone();
        let may = rate.take(std::time::Instant::now());
        if !may && Rc::strong_count(&rate) == 2 {
            let node = self.config.node.link.node.clone();
            // The task holds the rate, so that there is one only.
            spawn_local(async move {
                sleep(LogRate::WINDOW).await;
                if let Some(more) = rate.left_out(std::time::Instant::now()) {
                    tracing::warn!(node = node.as_str(), "and {more} more like this: {what}");
                }
            });
        }
        may
    }

    /// Takes on a transport connection.
    fn take_on(self: &Rc<Self>, stream: TcpStream, role: Role, dial: Option<DialId>) -> io::Result<()> {
        if self.ending.get() {
            return Err(io::Error::other("this node is ending"));
        }
        socket::prepare(&stream, self.config.host_timeout)?;
        let peer = stream.peer_addr()?.to_string();
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let opened = self.with_node(|node, now| node.open(now, role, random, Some(&peer), dial));
        let id = opened.map_err(io::Error::other)?;
        let tap = self.config.tap.clone().map(|tap| Tapped::new(tap, self.config.node.link.node.as_str(), &peer));
        let wake = Rc::new(Wake::new(tap));
        self.connections.borrow_mut().insert(id, wake.clone());
        spawn_local(connection::run(self.clone(), id, stream, wake));
        Ok(())
    }

    /// Forgets a connection whose task has ended.
    pub(crate) fn ended(self: &Rc<Self>, id: ConnectionId, error: Option<&io::Error>) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        self.connections.borrow_mut().remove(&id);
        let left = error.is_none_or(|error| matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset));
        self.left.set(left);
        let text = error.map(ToString::to_string);
        self.with_node(|node, now| node.closed(now, id, text.as_deref()));
        self.left.set(false);
    }

    /// Goes on until the others have taken everything, or for so long.
    async fn last_words(self: &Rc<Self>) {
        // From now on nobody comes and nobody is called.
        self.listening.take().iter().for_each(JoinHandle::abort);
        self.ending.set(true);
        let end = Instant::now() + LAST_WORDS;
        let wait_until = async |done: &dyn Fn() -> bool| {
            while Instant::now() < end && !done() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        wait_until(&|| self.node().waiting() == 0 && !self.node().has_work()).await;
        for wake in self.connections.borrow().values() {
            wake.last.set(true);
            wake.output.notify_one();
        }
        wait_until(&|| self.connections.borrow().is_empty()).await;
    }
}

/// Lets times pass: runs what is due, and what has gathered, with a turn for everyone else in between.
async fn timer_task(driver: Rc<Driver>) {
    loop {
        let (busy, deadline) = {
            let node = driver.node.borrow();
            (node.has_work(), node.deadline())
        };
        // Nothing comes before what is to be done at once.
        driver.armed.set(if busy { Duration::ZERO } else { deadline.unwrap_or(Duration::MAX) });
        match deadline {
            _ if busy => tokio::task::yield_now().await,
            None => {
                driver.timer.notified().await;
                continue;
            }
            Some(deadline) => {
                // One beyond all time never comes.
                let due = driver.start.checked_add(deadline);
                tokio::select! {
                    () = sleep_until(due.unwrap_or(driver.start)), if due.is_some() => {}
                    () = driver.timer.notified() => continue,
                }
            }
        }
        driver.follow_clock();
        driver.with_node(Node::run);
    }
}

/// Has each connection looked at of which nothing was heard since the last time, and all streams that programs hold.
async fn look_task(driver: Weak<Driver>) {
    while let Some(driver) = driver.upgrade() {
        let host_timeout = driver.config.host_timeout;
        for wake in driver.connections.borrow().values() {
            if !wake.heard.take() {
                wake.look.notify_one();
            }
        }
        driver.data.look(host_timeout);
        driver.follow_clock();
        drop(driver);
        sleep(host::pause(host_timeout)).await;
    }
}

async fn dial_task(driver: Rc<Driver>, dial: DialId, address: String) {
    let (is_own, patience) = (driver.config.seeds.contains(&address), driver.config.node.connect_timeout);
    let connected = match socket::dial(&driver.names, &address, is_own, patience).await {
        Ok(stream) => driver.take_on(stream, Role::Opener, Some(dial)),
        Err(error) => Err(error),
    };
    if let Err(error) = connected {
        driver.with_node(|node, now| node.dial_failed(now, dial, &error.to_string()));
    }
}

/// Accepts connections for as long as the node runs.
async fn listen_task(driver: Rc<Driver>, listener: TcpListener) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            // One that is not taken on is its own loss, and the node has told why. The next one does not wait for that.
            Ok((stream, _)) => {
                let _refused = driver.take_on(stream, Role::Acceptor, None);
                failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "no connection can be accepted; this is told again after one was");
                }
                // Perhaps there are no descriptors left: a pause lets others end.
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
