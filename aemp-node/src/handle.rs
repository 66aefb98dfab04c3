//! The node, as everyone else holds it.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use aemp_proto::actor::{Access, Context, NoAnswer, NodeEvent, Outcome, Reasons};
use aemp_proto::framing::{Elements, EncodeError, Framing, Limits};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::permissions::Permissions;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::config::Config;
use crate::driver::{self, Driver};
use crate::events::{self, Events};
use crate::joining::Standing;
use crate::message::Message;
use crate::watch::Watch;

/// A node that runs on a thread of its own. It ends when it is [stopped](Self::stop), or when the last handle is gone; code
/// of its own ports that holds a handle keeps it alive. What was sent before still goes out, for up to a second, unless the
/// process ends before: wait for `stop` to be sure.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

/// Shows the ID.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.shared.id).finish()
    }
}

struct Shared {
    id: NodeId,
    addresses: Vec<SocketAddr>,
    send_limits: Limits,
    /// Octets that may wait for the node's thread.
    queue: usize,
    waiting: Arc<AtomicUsize>,
    commands: mpsc::UnboundedSender<Command>,
    /// What happened since the start, for whoever asks first; and one to make others from.
    first_events: Mutex<Option<broadcast::Receiver<NodeEvent>>>,
    events: broadcast::Receiver<NodeEvent>,
    standing: watch::Receiver<Standing>,
    /// Addresses that are dialled.
    seeds: AtomicUsize,
}

type UseDriver = dyn FnOnce(&Rc<Driver>) + Send;

/// Something to do on the node's thread.
pub(crate) enum Command {
    /// Use the driver.
    Use(Box<UseDriver>),
    /// Send the elements, which are a packet in cbor without a port name.
    Send { to: PortId, elements: Vec<u8>, _reserved: Reserved },
    /// End the node, and tell when it has ended.
    Stop(oneshot::Sender<()>),
}

/// A part of what may wait for the node's thread; given back when this is dropped.
pub(crate) struct Reserved {
    waiting: Arc<AtomicUsize>,
    octets: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// The node has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the node has ended")]
pub struct Stopped;

/// Why a node did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is to meet other nodes, and cannot prove anything to them.
    #[error(
        "the node has binds or seeds, and neither a secret nor a certificate, so no other node would take it: set \
         `config.node.link.secret` or `config.certificates`"
    )]
    NoCredentials,
    /// It cannot listen on an address, or there is no randomness or no thread to be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Io(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidInput, error.to_string()),
        }
    }
}

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// It cannot be written, or is over the limits.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// So many octets wait for the node's thread already.
    #[error("{0} octets wait for the node already: wait until it is ready")]
    Full(usize),
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The port has ended, or the time is up.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The call was not taken.
    #[error(transparent)]
    NotSent(#[from] SendError),
}

impl From<EncodeError> for CallError {
    fn from(error: EncodeError) -> Self {
        CallError::NotSent(error.into())
    }
}

impl From<Stopped> for CallError {
    fn from(stopped: Stopped) -> Self {
        CallError::NotSent(stopped.into())
    }
}

/// A call that is waited for; when that is dropped, the call is given up.
pub(crate) struct Calling<'n> {
    node: &'n Node,
    /// The port for the answer, once it is known; none if there is nothing to give up.
    reply: Option<Arc<OnceLock<PortId>>>,
}

impl<'n> Calling<'n> {
    pub(crate) fn new(node: &'n Node, reply: Arc<OnceLock<PortId>>) -> Self {
        Calling { node, reply: Some(reply) }
    }

    /// There is nothing to give up any more.
    pub(crate) fn has_ended(mut self) {
        self.reply = None;
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        // It comes behind the command that makes the port.
        self.node.command(move |driver| {
            if let Some(reply) = reply.get() {
                driver.with_context(|context| context.end(reply, Reasons::normal()));
            }
        });
    }
}

impl Node {
    /// Starts a node. It listens when this returns; seeds are dialled meanwhile: [`joined`](Self::joined) waits for that.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node, StartError, proto::names::NodeId};
    /// let mut config = Config::new(NodeId::new("worker").unwrap());
    /// config.seeds = vec!["seed.example:4040".into()];
    /// assert!(matches!(Node::start(config).await, Err(StartError::NoCredentials)));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When it has binds or seeds, and neither a secret nor a certificate. When it cannot listen on an address, or there is
    /// no randomness or no thread to be had.
    pub async fn start(config: Config) -> Result<Node, StartError> {
        let node = Node::start_closed(config).await?;
        node.open();
        Ok(node)
    }

    /// Starts a node that listens, and neither accepts connections nor dials its seeds before it is [opened](Self::open). So
    /// its ports and functions are there before another node can ask for them.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use aemp_node::{Config, Node, echo};
    ///
    /// let node = Node::start_closed(Config::local()).await.unwrap();
    /// node.with(|context| context.named_port("echo", echo)).await.unwrap();
    /// node.open();
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_closed(config: Config) -> Result<Node, StartError> {
        let alone = config.listen.is_empty() && config.seeds.is_empty();
        if !alone && config.node.link.secret.is_none() && config.certificates.is_none() {
            return Err(StartError::NoCredentials);
        }
        let (id, send_limits) = (config.node.link.node.clone(), config.node.link.send_limits);
        let (queue, waiting) = (config.node.queue, Arc::new(AtomicUsize::new(0)));
        let (commands, inbox) = mpsc::unbounded_channel();
        let (started, has_started) = oneshot::channel();
        let name = format!("aemp {id}");
        let (teller, first_events) = broadcast::channel(events::WAITING);
        let events = teller.subscribe();
        let (stands, standing) = watch::channel(Standing::default());
        let seeds = AtomicUsize::new(config.seeds.len());
        let run = move || driver::run(&config, inbox, driver::Tellers { events: teller, standing: stands }, started);
        thread::Builder::new().name(name).spawn(run)?;
        let addresses = has_started.await.map_err(|_| io::Error::other("the node's thread has ended"))??;
        let first_events = Mutex::new(Some(first_events));
        let shared = Shared { id, addresses, send_limits, queue, waiting, commands, first_events, events, standing, seeds };
        Ok(Node { shared: Arc::new(shared) })
    }

    /// Accepts connections from now on, and dials the seeds, after [`start_closed`](Self::start_closed). Does nothing the
    /// second time.
    pub fn open(&self) {
        self.command(Driver::open);
    }

    /// The node's ID.
    pub fn id(&self) -> &NodeId {
        &self.shared.id
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// Where the node stands, also as it changes.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.clone()
    }

    /// How many addresses are dialled.
    pub(crate) fn seeds(&self) -> usize {
        self.shared.seeds.load(Ordering::Relaxed)
    }

    pub(crate) fn send_limits(&self) -> Limits {
        self.shared.send_limits
    }

    pub(crate) fn command(&self, command: impl FnOnce(&Rc<Driver>) + Send + 'static) {
        // A node that has ended drops what the command would have answered with, and that is how it is noticed.
        let _ended = self.shared.commands.send(Command::Use(Box::new(command)));
    }

    /// Makes room for something that is to wait for the node's thread.
    pub(crate) fn reserve(&self, octets: usize) -> Result<Reserved, SendError> {
        /// About what a command costs beside what is encoded.
        const COST: usize = 256;
        let (waiting, octets) = (self.shared.waiting.clone(), octets + COST);
        let before = waiting.fetch_add(octets, Ordering::Relaxed);
        let reserved = Reserved { waiting, octets };
        // One message always has room.
        if before > 0 && before + octets > self.shared.queue { Err(SendError::Full(before)) } else { Ok(reserved) }
    }

    /// Asks for something that must be undone if nobody waits for it any more.
    pub(crate) async fn ask_or_undo<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
        undo: impl FnOnce(&mut Context<'_>, R) + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.command(move |driver| {
            driver.with_context(|context| {
                let made = ask(context);
                if let Err(made) = answer.send(made) {
                    undo(context, made);
                }
            });
        });
        answered.await.map_err(|_| Stopped)
    }

    /// Ends the node: its ports are gone when this returns, and what was sent before has been taken by the other nodes, or a
    /// second has passed. All handles of the node are of no more use then.
    pub async fn stop(&self) {
        let (stopped, has_stopped) = oneshot::channel();
        // One that has ended already need not be told.
        if self.shared.commands.send(Command::Stop(stopped)).is_ok() {
            let _it_ends = has_stopped.await;
        }
    }

    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&Rc<Driver>) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.command(move |driver| {
            let _nobody_waits = answer.send(catch_unwind(AssertUnwindSafe(|| ask(driver))));
        });
        answered.await.map_err(|_| Stopped)?.map_err(|panic| resume_unwind(panic))
    }

    /// Runs code in the node, on its thread, in the name of no port. It must not block. A panic in it comes back here.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn with<R: Send + 'static>(
        &self,
        code: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        self.ask(move |driver| driver.with_context(code)).await
    }

    /// Runs code in the name of a port of this node: what it watches, calls and sets timers for goes with that port. `None`
    /// if the port has ended.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn within<R: Send + 'static>(
        &self,
        port: &PortId,
        code: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<Option<R>, Stopped> {
        let port = port.clone();
        self.ask(move |driver| driver.with_node(|node, now| node.within(now, &port, code))).await
    }

    /// Makes a port that handles its messages on the node's thread.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node};
    /// let node = Node::start(Config::local()).await.unwrap();
    /// let mut count = 0u64;
    /// let counter = node.port(move |context, elements| {
    ///     let (by, reply) = elements.request::<u64>()?;
    ///     count += by;
    ///     Ok(context.send(&reply, &count)?)
    /// }).await.unwrap();
    /// node.call(&counter, &40, None).await.unwrap();
    /// assert_eq!(node.call(&counter, &2, None).await.unwrap().decode::<u64>().unwrap(), 42);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn port(
        &self,
        handler: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + Send + 'static,
    ) -> Result<PortId, Stopped> {
        self.ask_or_undo(|context| context.port(handler), |context, port| context.end(&port, Reasons::normal())).await
    }

    /// Sends a message. It never blocks: what cannot be sent at once waits, and when it is lost, the watches on the port and
    /// on its node fire. Whoever sends much waits with [`ready`](Self::ready) now and then.
    ///
    /// # Errors
    ///
    /// When the message was not taken: nothing is lost then without your knowing.
    pub fn send<T: Serialize + ?Sized>(&self, to: &PortId, elements: &T) -> Result<(), SendError> {
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(elements, &self.shared.send_limits, &mut octets)?;
        let reserved = self.reserve(octets.len())?;
        let command = Command::Send { to: to.clone(), elements: octets, _reserved: reserved };
        self.shared.commands.send(command).map_err(|_| Stopped.into())
    }

    /// Waits until less waits for a node than the low-water mark, or nothing does because it is lost; and until what this
    /// handle has sent has been taken by the own node.
    ///
    /// It knows what waits for that node *here*. Of a port there it knows only what comes back over the connection: a
    /// mailbox that is full pauses the connection ([`Overflow::Pause`](crate::Overflow::Pause), the default), and then this
    /// waits. With another policy, or where the other node is of another kind, ask for answers to know how far the receiver
    /// is.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node};
    /// let node = Node::start(Config::local()).await.unwrap();
    /// let sink = node.port(|_, _| Ok(())).await.unwrap();
    /// for number in 0..100_000 {
    ///     if number % 1000 == 0 {
    ///         node.ready(sink.node()).await.unwrap();
    ///     }
    ///     node.send(&sink, &number).unwrap();
    /// }
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the own node has ended.
    pub async fn ready(&self, node: &NodeId) -> Result<(), Stopped> {
        let (tell, told) = oneshot::channel::<()>();
        let node = node.clone();
        self.command(move |driver| {
            driver.with_context(|context| {
                context.when_ready(&node, move |_| {
                    let _nobody_waits = tell.send(());
                });
            });
        });
        told.await.map_err(|_| Stopped)
    }

    /// Sends a message with a port for the answer as its last element, and waits for that. The port is monitored: when it
    /// has ended, never was, or its node cannot be reached, that reason comes at once. A port that lives and does not answer
    /// is waited for until the time-out; without one, until it ends. When this is dropped, the call is given up.
    ///
    /// Whoever is called takes the message with [`Message::request`] or [`Elements::request`], as the type that was given
    /// here.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn call<T: Serialize + ?Sized>(
        &self,
        to: &PortId,
        elements: &T,
        timeout: Option<Duration>,
    ) -> Result<Message, CallError> {
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(elements, &self.shared.send_limits, &mut octets)?;
        let reserved = self.reserve(octets.len())?;
        let (answer, answered) = oneshot::channel::<Result<Message, CallError>>();
        let to = to.clone();
        let reply = Arc::new(OnceLock::new());
        let calling = Calling::new(self, reply.clone());
        self.command(move |driver| {
            let _reserved = reserved;
            driver.with_context(|context| {
                let answer = Rc::new(std::cell::Cell::new(Some(answer)));
                let tell = move |result| {
                    let _nobody_waits = answer.take().map(|answer: oneshot::Sender<_>| answer.send(result));
                };
                let cannot = tell.clone();
                let answered = move |context: &mut Context<'_>, elements: Result<Elements<'_>, NoAnswer>| {
                    tell(match elements {
                        Ok(elements) => Message::new(context.source(), elements).map_err(Into::into),
                        Err(error) => Err(error.into()),
                    });
                };
                let called =
                    driver::packet(&octets).and_then(|packet| context.call_with(&to, packet.elements(), timeout, answered));
                match called {
                    Ok(port) => drop(reply.set(port)),
                    Err(error) => cannot(Err(error.into())),
                }
            });
        });
        let answer = answered.await.map_err(|_| Stopped)?;
        calling.has_ended();
        answer
    }

    /// Watches a port, or a node under its bare ID: the watch stands when this returns. It is a future that waits until the
    /// port ends or its node is lost; when it is dropped, the watch is given up.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node, proto::actor::Reasons};
    /// let node = Node::start(Config::local()).await.unwrap();
    /// let fragile = node.port(|_, _| panic!("oh no")).await.unwrap();
    /// let watch = node.watch(&fragile).await.unwrap();
    /// node.send(&fragile, &"boo").unwrap();
    /// assert_eq!(watch.await.unwrap(), Reasons::new(["die", "oh no"]));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the own node has ended.
    pub async fn watch(&self, port: &PortId) -> Result<Watch, Stopped> {
        let (fire, fired) = oneshot::channel();
        let port = port.clone();
        let set = move |context: &mut Context<'_>| {
            context.watch(&port, move |_, reasons| {
                let _nobody_waits = fire.send(reasons);
            })
        };
        let undo = |context: &mut Context<'_>, handle| {
            context.unwatch(&handle);
        };
        let handle = self.ask_or_undo(set, undo).await?;
        Ok(Watch::new(self.clone(), handle, fired))
    }

    /// Ends a port of any node; without reasons it is a normal end.
    pub fn end(&self, port: &PortId, reasons: Reasons) {
        let port = port.clone();
        self.command(move |driver| driver.with_context(|context| context.end(&port, reasons)));
    }

    /// Makes a port on a node and runs the function of that name there, in its name. What goes wrong shows to whoever
    /// watches the port.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Access, Config, Node};
    /// let node = Node::start(Config::local()).await.unwrap();
    /// node.register("Adder::start", Access::SPAWN, |context, arguments| {
    ///     let mut sum: u64 = arguments.rest()?;
    ///     let own = context.own_port().ok_or("the port has ended")?;
    ///     context.receive_tag(&own, "add", move |context, elements| {
    ///         let (number, reply) = elements.request::<u64>()?;
    ///         sum += number;
    ///         Ok(context.send(&reply, &sum)?)
    ///     });
    ///     Ok(())
    /// }).await.unwrap();
    /// let adder = node.spawn(node.id(), "Adder::start", &30).await.unwrap();
    /// let sum: u64 = node.call(&adder, &("add", 12), None).await.unwrap().decode().unwrap();
    /// assert_eq!(sum, 42);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written, or the own node has ended.
    pub async fn spawn<T: Serialize + ?Sized>(
        &self,
        node: &NodeId,
        function: &str,
        arguments: &T,
    ) -> Result<PortId, SendError> {
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(arguments, &self.shared.send_limits, &mut octets)?;
        let reserved = self.reserve(octets.len())?;
        let (node, function) = (node.clone(), function.to_owned());
        let spawn = move |context: &mut Context<'_>| {
            let _reserved = reserved;
            context.spawn_with(&node, &function, driver::packet(&octets)?.elements())
        };
        Ok(self.with(spawn).await??)
    }

    /// Lets others use a function under this name, as `access` says. Nothing else of this program can be called or spawned.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn register(
        &self,
        name: &str,
        access: Access,
        function: impl Fn(&mut Context<'_>, Elements<'_>) -> Outcome + Send + 'static,
    ) -> Result<(), Stopped> {
        let name = name.to_owned();
        self.with(move |context| context.register(&name, access, Rc::new(function))).await
    }

    /// What happens in the node: nodes that come and go, refusals, failures that concern nobody else. Whoever asks first
    /// gets all since the start, as far as it is kept; others what happens from now on.
    pub fn events(&self) -> Events {
        let first = self.shared.first_events.lock().ok().and_then(|mut first| first.take());
        Events::new(first.unwrap_or_else(|| self.shared.events.resubscribe()))
    }

    /// The transport connections that stand, those in their handshake included.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn connections(&self) -> Result<usize, Stopped> {
        self.ask(|driver| driver.node().connections()).await
    }

    /// Has an address, `HOST:PORT`, dialled until a node is reached there, and again whenever that is lost.
    pub fn add_seed(&self, address: &str) {
        let address = address.to_owned();
        self.shared.seeds.fetch_add(1, Ordering::Relaxed);
        self.command(move |driver| driver.with_node(|node, now| node.add_seed(now, &address)));
    }

    /// Sets what other nodes may do here, from now on
    /// ([`NodeConfig::permissions`](aemp_proto::actor::NodeConfig::permissions)). What they have done before stays: ports
    /// that they have spawned, watches, entries of the database.
    pub fn set_permissions(&self, permissions: Permissions) {
        self.command(move |driver| driver.with_node(|node, _| node.set_permissions(permissions)));
    }

    /// The octets that wait for all other nodes together.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn waiting(&self) -> Result<usize, Stopped> {
        self.ask(|driver| driver.node().waiting()).await
    }

    /// The nodes to which there is a connection.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn up_nodes(&self) -> Result<Vec<NodeId>, Stopped> {
        self.ask(|driver| driver.node().up_nodes().cloned().collect()).await
    }
}
