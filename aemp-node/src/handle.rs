//! The handle of a node, for async tasks and other threads.

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

/// A handle of a node, which runs on a thread of its own. All clones are handles of the same node.
///
/// The node stops when [`stop`](Self::stop) is called or when its last handle is dropped. A handle inside a handler of
/// one of its own ports keeps the node alive. A node that stops goes on writing queued messages for up to 1 second.
/// Await `stop` before the process exits, or these messages may be lost.
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
    /// Bytes that may wait for the node's thread.
    queue: usize,
    waiting: Arc<AtomicUsize>,
    commands: mpsc::UnboundedSender<Command>,
    /// The events since the start, for the first subscriber; `events` makes the later subscribers.
    first_events: Mutex<Option<broadcast::Receiver<NodeEvent>>>,
    events: broadcast::Receiver<NodeEvent>,
    standing: watch::Receiver<Standing>,
    /// The number of addresses that the node dials.
    seeds: AtomicUsize,
}

type UseDriver = dyn FnOnce(&Rc<Driver>) + Send;

/// A command for the node's thread.
pub(crate) enum Command {
    /// Calls the closure with the driver.
    Use(Box<UseDriver>),
    /// Sends the elements, which another thread has encoded as a CBOR packet without a port name.
    Send { to: PortId, elements: Vec<u8>, _reserved: Reserved },
    /// Stops the node, and signals the sender when the node has stopped.
    Stop(oneshot::Sender<()>),
}

/// A share of the bytes that may wait for the node's thread. Dropping it releases the share.
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

/// The reason why a node did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration has listen addresses or seeds, but neither a secret nor a certificate.
    #[error(
        "the node has addresses to listen on or seeds, and neither a secret nor a certificate, so no other node would take it: set \
         `config.node.link.secret` or `config.certificates`"
    )]
    NoCredentials,
    /// The node cannot listen on an address, or the operating system provides no randomness or no thread.
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

/// The reason why the node did not accept a message.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The message cannot be encoded, or it exceeds the send limits.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// This many bytes already wait for the node's thread. Await [`Node::ready`], then send again.
    #[error("{0} octets wait for the node already: wait until it is ready")]
    Full(usize),
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The reason why a call has no answer.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The called port has ended, its node is unreachable, or the time-out has passed.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The node did not accept the call.
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

/// A pending call. Dropping it cancels the call.
pub(crate) struct Calling<'n> {
    node: &'n Node,
    /// The reply port, once it is known; `None` when there is nothing to cancel.
    reply: Option<Arc<OnceLock<PortId>>>,
}

impl<'n> Calling<'n> {
    pub(crate) fn new(node: &'n Node, reply: Arc<OnceLock<PortId>>) -> Self {
        Calling { node, reply: Some(reply) }
    }

    /// Marks the call as answered, so that dropping it does nothing.
    pub(crate) fn has_ended(mut self) {
        self.reply = None;
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        // This command runs after the one that creates the reply port.
        self.node.command(move |driver| {
            if let Some(reply) = reply.get() {
                driver.with_context(|context| context.end(reply, Reasons::normal()));
            }
        });
    }
}

impl Node {
    /// Starts a node. The node listens when this function returns. It dials its seeds in the background: await
    /// [`joined`](Self::joined) to wait for them.
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
    /// Returns [`StartError::NoCredentials`] if the configuration has listen addresses or seeds, but neither a secret
    /// nor a certificate. Returns [`StartError::Io`] if the node cannot listen on an address, or if the operating
    /// system provides no randomness or no thread.
    pub async fn start(config: Config) -> Result<Node, StartError> {
        let node = Node::start_closed(config).await?;
        node.open();
        Ok(node)
    }

    /// Starts a node that holds its listen addresses, but neither accepts connections nor dials its seeds until
    /// [`open`](Self::open) is called. Create its ports and functions in between, so that they exist before another
    /// node can use them.
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
    /// Returns the same errors as [`start`](Self::start).
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

    /// Starts to accept connections and to dial the seeds, after [`start_closed`](Self::start_closed). A second call
    /// does nothing.
    pub fn open(&self) {
        self.command(Driver::open);
    }

    /// Returns the node's ID.
    pub fn id(&self) -> &NodeId {
        &self.shared.id
    }

    /// Returns the addresses under which the listeners of this node can be reached. A listener on all addresses counts
    /// with each address of the host.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.shared.addresses
    }

    /// Returns a receiver of the current standing and its changes.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.clone()
    }

    /// Returns the number of addresses that the node dials.
    pub(crate) fn seeds(&self) -> usize {
        self.shared.seeds.load(Ordering::Relaxed)
    }

    pub(crate) fn send_limits(&self) -> Limits {
        self.shared.send_limits
    }

    pub(crate) fn command(&self, command: impl FnOnce(&Rc<Driver>) + Send + 'static) {
        // A stopped node drops the command with its answer channel. The caller notices that on the channel.
        let _ended = self.shared.commands.send(Command::Use(Box::new(command)));
    }

    /// Reserves bytes of the budget for commands that wait for the node's thread.
    pub(crate) fn reserve(&self, octets: usize) -> Result<Reserved, SendError> {
        /// The approximate cost of a command in bytes, without its encoded elements.
        const COST: usize = 256;
        let (waiting, octets) = (self.shared.waiting.clone(), octets + COST);
        let before = waiting.fetch_add(octets, Ordering::Relaxed);
        let reserved = Reserved { waiting, octets };
        // An empty queue accepts a message of any size.
        if before > 0 && before + octets > self.shared.queue { Err(SendError::Full(before)) } else { Ok(reserved) }
    }

    /// Runs `ask` on the node's thread and returns its result. Runs `undo` if the caller has dropped the future by
    /// then.
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

    /// Stops the node. When this function returns, all ports have ended, and either the other nodes have accepted the
    /// queued messages or 1 second has passed. Every later call on any handle fails with [`Stopped`] or does nothing.
    ///
    /// Dropping the future after its first poll does not cancel the stop.
    pub async fn stop(&self) {
        let (stopped, has_stopped) = oneshot::channel();
        // If the channel is closed, the node has already stopped.
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

    /// Runs `code` on the node's thread, without an own port, and returns its result. `code` must not block. If it
    /// panics, the panic resumes in the caller.
    ///
    /// Dropping the future after its first poll does not stop `code`: it still runs.
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

    /// Runs `code` on the node's thread in the context of a port of this node, and returns its result. The monitors,
    /// calls and timers that `code` creates end with that port. Returns `None` if the port has ended; `code` does not
    /// run then. `code` must not block. If it panics, the panic resumes in the caller.
    ///
    /// Dropping the future after its first poll does not stop `code`: it still runs.
    ///
    /// Dropping the future after its first poll does not stop `code`: it still runs.
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

    /// Creates a port. Its `handler` runs on the node's thread for each message, and must not block. If the handler
    /// fails or panics, the port ends with `die`.
    ///
    /// If the caller drops the future before the node has created the port, the node ends the port at once.
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

    /// Sends a message. This function never blocks: the node queues the message if it cannot send it at once. If the
    /// node loses the message later, the monitors of the port and of its node fire. A task that sends many messages
    /// should await [`ready`](Self::ready) from time to time.
    ///
    /// # Errors
    ///
    /// Returns [`SendError::Encode`] if the message cannot be encoded or exceeds the send limits, [`SendError::Full`]
    /// if too many bytes wait for the node's thread (`config.node.queue`, 64 MiB by default), and
    /// [`SendError::Stopped`] if the node has stopped. The node has not accepted the message then.
    pub fn send<T: Serialize + ?Sized>(&self, to: &PortId, elements: &T) -> Result<(), SendError> {
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(elements, &self.shared.send_limits, &mut octets)?;
        let reserved = self.reserve(octets.len())?;
        let command = Command::Send { to: to.clone(), elements: octets, _reserved: reserved };
        self.shared.commands.send(command).map_err(|_| Stopped.into())
    }

    /// Waits until this node has processed what this handle has sent before, and until the bytes queued for `node` are
    /// below the low-water mark (`config.node.ready`, 1 MiB by default). Also returns when the connection to `node` is
    /// lost, because nothing is queued then.
    ///
    /// This function counts only the bytes queued on this side. A slow port on the other node is noticed only through
    /// the connection: a full mailbox with [`Overflow::Pause`](crate::Overflow::Pause), the default, pauses the
    /// connection, and this function waits. With another policy, or with another kind of node, ask the receiver for
    /// answers to learn how much it has processed.
    ///
    /// Dropping the future has no effect on the node.
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

    /// Sends a request and waits for the answer. The node appends a reply port as the last element of the message, and
    /// monitors the called port. The call fails at once if that port has ended, never existed, or is on an unreachable
    /// node. If the port exists but does not answer, the call fails after `timeout`, or without a `timeout` when the
    /// port ends.
    ///
    /// Dropping the future cancels the call: the reply port ends, and a late answer is dropped. The receiver may have
    /// processed the request.
    ///
    /// The receiver decodes the request with [`Message::request`] or [`Elements::request`], as the type that the caller
    /// sent.
    ///
    /// # Errors
    ///
    /// Returns [`CallError::NotSent`] if the node did not accept the call, and [`CallError::NoAnswer`] if the port
    /// ended, is unreachable or did not answer in time.
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

    /// Monitors a port, or a node if `port` is a bare node ID. The monitor is active when this function returns. The
    /// returned [`Watch`] is a future that resolves when the port ends or its node is lost. Dropping it removes the
    /// monitor.
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

    /// Ends a port of any node with these reasons. Empty reasons are a normal end. This function does not wait for the
    /// effect, and reports no error.
    pub fn end(&self, port: &PortId, reasons: Reasons) {
        let port = port.clone();
        self.command(move |driver| driver.with_context(|context| context.end(&port, reasons)));
    }

    /// Creates a port on `node` and runs the function with this name there, in the context of that port. Returns the ID
    /// of the port at once. If the other node refuses or the function fails, the port ends: monitor it to get the
    /// reasons.
    ///
    /// Dropping the future after its first poll does not stop the request: the port may be created.
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
    /// Returns an error if the arguments cannot be encoded or exceed the send limits, if too many bytes wait for the
    /// node's thread, or if this node has stopped.
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

    /// Registers a function under a name, so that other nodes can use it as `access` allows. Other nodes can call and
    /// spawn registered functions only.
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

    /// Returns a receiver of the node's events: nodes that connect and disconnect, refused connections, and failures
    /// that end no port. The first receiver gets the events since the start, up to the last 1024. Each later receiver
    /// gets the events from now on.
    pub fn events(&self) -> Events {
        let first = self.shared.first_events.lock().ok().and_then(|mut first| first.take());
        Events::new(first.unwrap_or_else(|| self.shared.events.resubscribe()))
    }

    /// Returns the number of open transport connections, including those in their handshake.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn connections(&self) -> Result<usize, Stopped> {
        self.ask(|driver| driver.node().connections()).await
    }

    /// Adds a seed, `HOST:PORT`. The node dials the address until it reaches a node there, and again after it loses
    /// that node.
    pub fn add_seed(&self, address: &str) {
        let address = address.to_owned();
        self.shared.seeds.fetch_add(1, Ordering::Relaxed);
        self.command(move |driver| driver.with_node(|node, now| node.add_seed(now, &address)));
    }

    /// Replaces the permissions of other nodes
    /// ([`NodeConfig::permissions`](aemp_proto::actor::NodeConfig::permissions)). The new table applies to later
    /// requests. Ports that other nodes have already spawned, their monitors and their database entries stay.
    pub fn set_permissions(&self, permissions: Permissions) {
        self.command(move |driver| driver.with_node(|node, _| node.set_permissions(permissions)));
    }

    /// Returns the number of bytes that are queued for all other nodes together.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn waiting(&self) -> Result<usize, Stopped> {
        self.ask(|driver| driver.node().waiting()).await
    }

    /// Returns the IDs of the connected nodes.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn up_nodes(&self) -> Result<Vec<NodeId>, Stopped> {
        self.ask(|driver| driver.node().up_nodes().cloned().collect()).await
    }
}
