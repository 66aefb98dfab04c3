//! What happens on the node's thread: one loop owns the node, and a local task each connection.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime};

use aemp_proto::framing::{EncodeError, Framing, Limits, Packet};
use aemp_proto::link::Role;
use aemp_proto::names::PortId;
use aemp_proto::node::{Action, ConnectionId, Context, DialId, Node, NodeEvent};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::Config;
use crate::connection::{self, Wake};
use crate::credentials::Credentials;
use crate::data;
use crate::handle::Command;
use crate::supervisor::Watchful;
use crate::wire::Tapped;
use crate::{addresses, socket};

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
    /// No new connections are made.
    ending: Cell<bool>,
    /// When the timer wakes by itself: it is told of what comes before that only.
    armed: Cell<Duration>,
    events: broadcast::Sender<NodeEvent>,
    /// Addresses of which a failure was told.
    told: RefCell<BTreeSet<String>>,
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
    events: broadcast::Sender<NodeEvent>,
    started: oneshot::Sender<io::Result<Vec<SocketAddr>>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    LocalSet::new().block_on(&runtime, async move {
        let driver = match Driver::begin(config, events).await {
            Ok((driver, addresses)) => {
                if started.send(Ok(addresses)).is_err() {
                    return;
                }
                driver
            }
            Err(error) => return drop(started.send(Err(error))),
        };
        driver.with_node(|node, now| config.seeds.iter().for_each(|seed| node.add_seed(now, seed)));
        let timer = spawn_local(timer_task(driver.clone()));
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
    async fn begin(config: &Config, events: broadcast::Sender<NodeEvent>) -> io::Result<(Rc<Self>, Vec<SocketAddr>)> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut settings = config.node.clone();
        let credentials = Credentials::new(config);
        credentials.put_into(&mut settings.link);
        let mut node = Node::new(settings, u128::from_ne_bytes(random), Duration::ZERO, unix);
        node.supervise(Rc::new(Watchful::new(node.id().as_str(), config.slow)));
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
            ending: Cell::new(false),
            armed: Cell::new(Duration::ZERO),
            events,
            told: RefCell::default(),
        });
        CURRENT
            .with(|current| current.set(Rc::downgrade(&driver)).map_err(|_| io::Error::other("a thread for two nodes")))?;
        let mut addresses = Vec::new();
        for bind in &config.binds {
            for listener in addresses::listen(bind).await? {
                addresses.extend(addresses::reachable(listener.local_addr()?)?);
                driver.listening.borrow_mut().push(spawn_local(listen_task(driver.clone(), listener)));
            }
        }
        let announced: Vec<_> = match &config.announce[..] {
            [] => addresses.iter().map(ToString::to_string).collect(),
            announced => announced.to_vec(),
        };
        driver.with_node(|node, now| node.set_addresses(now, announced));
        Ok((driver, addresses))
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
        if time >= self.config.slow {
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
            self.tell(event);
        }
        if node.has_work() || node.deadline().is_some_and(|deadline| deadline < self.armed.get()) {
            self.armed.set(Duration::ZERO);
            self.timer.notify_one();
        }
    }

    fn tell(&self, event: NodeEvent) {
        let node = self.config.node.link.node.as_str();
        match &event {
            NodeEvent::Up(peer) => tracing::info!(node, %peer, "connected"),
            NodeEvent::Down(peer, reasons) => tracing::info!(node, %peer, %reasons, "the connection is lost"),
            NodeEvent::Unreachable(peer, reasons) => tracing::info!(node, %peer, %reasons, "not reached"),
            NodeEvent::Refused { node: peer, address, error, .. } => {
                let peer = peer.as_ref().map(ToString::to_string);
                // Whoever runs the node should hear once that it does not reach what it was told to reach.
                if address.clone().is_some_and(|address| self.told.borrow_mut().insert(address)) {
                    tracing::warn!(node, peer, address, error, "no connection; this is told once for each address");
                } else {
                    tracing::info!(node, peer, address, error, "no connection");
                }
            }
            NodeEvent::NotSent { to, error } => tracing::warn!(node, %to, %error, "a message was not sent"),
            NodeEvent::CallFailed { source, failure } => tracing::warn!(node, %source, ?failure, "a function failed"),
            NodeEvent::Denied { source, what, name } => {
                tracing::warn!(node, %source, ?what, ?name, "denied; the same is told again after an hour");
            }
            NodeEvent::TaskFailed(failure) => tracing::warn!(node, ?failure, "code in the name of nobody failed"),
            NodeEvent::Slow { port, time } => tracing::warn!(node, %port, ?time, "code of this port held up the node"),
            other => tracing::debug!(node, ?other),
        }
        let _nobody_listens = self.events.send(event);
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
    pub(crate) fn ended(self: &Rc<Self>, id: ConnectionId, error: Option<&str>) {
        self.connections.borrow_mut().remove(&id);
        self.with_node(|node, now| node.closed(now, id, error));
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
        driver.with_node(Node::run);
    }
}

async fn dial_task(driver: Rc<Driver>, dial: DialId, address: String) {
    let connected = match socket::dial(&address, driver.config.node.connect_timeout).await {
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
