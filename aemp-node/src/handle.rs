//! The node, as everyone else holds it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aemp_proto::framing::{Elements, EncodeError};
use aemp_proto::link;
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::node::{Context, NodeConfig, NodeEvent, Reasons};
use aemp_proto::value::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::driver::{Command, Driver, listen_task, timer_task};

/// How a node runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// How the node behaves.
    pub node: NodeConfig,
    /// Addresses to listen on, `HOST:PORT`.
    pub binds: Vec<String>,
    /// Addresses of other nodes, `HOST:PORT`, which are dialled until they are reached.
    pub seeds: Vec<String>,
}

impl Config {
    /// The defaults: no secret, no listener, no seeds.
    pub fn new(node: NodeId) -> Self {
        Config { node: NodeConfig::new(link::Config::new(node)), binds: Vec::new(), seeds: Vec::new() }
    }
}

/// A node that runs on a thread of its own. It ends when the last handle is gone.
#[derive(Clone)]
pub struct Node {
    id: NodeId,
    addresses: Arc<[SocketAddr]>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The node has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the node has ended")]
pub struct Stopped;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The port that was called has ended, or its node is lost.
    #[error("the port has ended: {0:?}")]
    Ended(Reasons),
    /// The time is up.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The message cannot be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// Starts a node. It listens when this returns; seeds are dialled meanwhile.
    ///
    /// # Errors
    ///
    /// When it cannot listen on an address, or there is no randomness or no thread to be had.
    pub async fn start(config: Config) -> io::Result<Node> {
        let id = config.node.link.node.clone();
        let (commands, inbox) = mpsc::unbounded_channel();
        let (started, has_started) = oneshot::channel();
        let name = format!("aemp {id}");
        thread::Builder::new().name(name).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            LocalSet::new().block_on(&runtime, main(config, inbox, started));
        })?;
        let addresses = has_started.await.map_err(|_| io::Error::other("the node's thread has ended"))??;
        Ok(Node { id, addresses: addresses.into(), commands })
    }

    /// The node's ID.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// The addresses that it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn command(&self, command: impl FnOnce(&std::rc::Rc<Driver>) + Send + 'static) {
        // A node that has ended drops what the command would have answered with, and that is how it is noticed.
        let _ended = self.commands.send(Box::new(command));
    }

    /// Runs code in the node, on its thread, in the name of no port. It must not block.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn with<R: Send + 'static>(
        &self,
        code: impl FnOnce(&mut Context<'_>) -> R + Send + 'static,
    ) -> Result<R, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.command(move |driver| {
            let _nobody_waits = answer.send(driver.with_node(|node, now| node.with(now, code)));
        });
        answered.await.map_err(|_| Stopped)
    }

    /// What happens in the node from now on: nodes that come and go, refusals.
    pub fn events(&self) -> mpsc::UnboundedReceiver<NodeEvent> {
        let (listener, events) = mpsc::unbounded_channel();
        self.command(move |driver| driver.listen(listener));
        events
    }

    /// Sends a message with a port for the answer as its last element, and waits for that. Without a time-out it waits until the answer
    /// comes or the port ends; with one the port is not watched.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn call(
        &self,
        to: &PortId,
        mut elements: Vec<Value>,
        timeout: Option<Duration>,
    ) -> Result<Vec<Value>, CallError> {
        let (answer, answered) = oneshot::channel::<Result<Vec<Value>, CallError>>();
        let to = to.clone();
        self.with(move |context| {
            let answer = Once::new(answer);
            let reply = context.port_without_code();
            let watch = timeout.is_none().then(|| {
                let (answer, reply) = (answer.clone(), reply.clone());
                context.watch(&to, move |context, reasons| {
                    context.end(&reply, Reasons::normal());
                    answer.send(Err(CallError::Ended(reasons)));
                })
            });
            let (answers, own) = (answer.clone(), reply.clone());
            context.receive(&reply, move |context, elements: Elements<'_>| {
                answers.send(Ok(elements.rest()?));
                if let Some(watch) = &watch {
                    context.unwatch(watch);
                }
                context.end(&own, Reasons::normal());
                Ok(())
            });
            elements.push(reply.to_string().into());
            if let Err(error) = context.send(&to, &elements) {
                context.end(&reply, Reasons::normal());
                answer.send(Err(error.into()));
            }
            if let Some(timeout) = timeout {
                context.after(timeout, move |context| {
                    context.end(&reply, Reasons::normal());
                    answer.send(Err(CallError::TimedOut(timeout)));
                });
            }
        })
        .await?;
        answered.await.map_err(|_| Stopped)?
    }

    /// Watches a port: the watch stands when this returns, and what it returns waits until the port ends, or its node is lost.
    ///
    /// # Errors
    ///
    /// When the own node has ended.
    pub async fn watch(&self, port: &PortId) -> Result<impl Future<Output = Result<Reasons, Stopped>> + use<>, Stopped> {
        let (fire, fired) = oneshot::channel();
        let port = port.clone();
        self.with(move |context| {
            context.watch(&port, move |_, reasons| {
                let _nobody_waits = fire.send(reasons);
            });
        })
        .await?;
        Ok(async { fired.await.map_err(|_| Stopped) })
    }
}

/// Sends one answer, whoever is first.
struct Once<T>(std::rc::Rc<std::cell::Cell<Option<oneshot::Sender<T>>>>);

impl<T> Clone for Once<T> {
    fn clone(&self) -> Self {
        Once(self.0.clone())
    }
}

impl<T> Once<T> {
    fn new(answer: oneshot::Sender<T>) -> Self {
        Once(std::rc::Rc::new(std::cell::Cell::new(Some(answer))))
    }

    fn send(&self, value: T) {
        if let Some(answer) = self.0.take() {
            let _nobody_waits = answer.send(value);
        }
    }
}

/// The life of a node, on its thread.
async fn main(
    config: Config,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    started: oneshot::Sender<io::Result<Vec<SocketAddr>>>,
) {
    let driver = match begin(&config).await {
        Ok((driver, addresses)) => {
            if started.send(Ok(addresses)).is_err() {
                return;
            }
            driver
        }
        Err(error) => return drop(started.send(Err(error))),
    };
    driver.with_node(|node, now| config.seeds.iter().for_each(|seed| node.add_seed(now, seed)));
    while let Some(command) = inbox.recv().await {
        command(&driver);
    }
}

async fn begin(config: &Config) -> io::Result<(std::rc::Rc<Driver>, Vec<SocketAddr>)> {
    let driver = Driver::new(config.node.clone())?;
    let mut addresses = Vec::new();
    for bind in &config.binds {
        let listener = TcpListener::bind(bind)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {bind}: {error}")))?;
        addresses.push(listener.local_addr()?);
        tokio::task::spawn_local(listen_task(driver.clone(), listener));
    }
    tokio::task::spawn_local(timer_task(driver.clone()));
    Ok((driver, addresses))
}
