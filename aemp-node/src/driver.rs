//! What happens on the node's thread: one loop owns the node, and a local task each connection.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use aemp_proto::link::Role;
use aemp_proto::node::{Action, ConnectionId, DialId, Node, NodeConfig, NodeEvent};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use crate::connection;

/// Something to do on the node's thread.
pub(crate) type Command = Box<dyn FnOnce(&Rc<Driver>) + Send>;

/// Drives the node: what the state machine asks for is done here.
pub(crate) struct Driver {
    node: RefCell<Node>,
    connections: RefCell<BTreeMap<ConnectionId, Rc<Wake>>>,
    /// What each connection reads into: an idle one keeps no buffer.
    pub(crate) buffer: RefCell<Vec<u8>>,
    start: Instant,
    timer: Notify,
    listeners: RefCell<Vec<mpsc::UnboundedSender<NodeEvent>>>,
}

/// What a connection's task waits for beside its socket.
#[derive(Default)]
pub(crate) struct Wake {
    pub(crate) output: Notify,
    pub(crate) close: Notify,
}

/// Octets that are read at once.
const READ: usize = 64 << 10;

impl Driver {
    pub(crate) fn new(config: NodeConfig) -> io::Result<Rc<Self>> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Rc::new(Driver {
            node: RefCell::new(Node::new(config, u128::from_ne_bytes(random), Duration::ZERO, unix)),
            connections: RefCell::default(),
            buffer: RefCell::new(vec![0; READ]),
            start: Instant::now(),
            timer: Notify::new(),
            listeners: RefCell::default(),
        }))
    }

    /// Uses the node, then does what it asks for.
    pub(crate) fn with_node<R>(self: &Rc<Self>, use_node: impl FnOnce(&mut Node, Duration) -> R) -> R {
        let result = use_node(&mut self.node.borrow_mut(), self.start.elapsed());
        self.settle();
        result
    }

    pub(crate) fn node(&self) -> std::cell::RefMut<'_, Node> {
        self.node.borrow_mut()
    }

    /// Tells what happens in the node from now on.
    pub(crate) fn listen(&self, listener: mpsc::UnboundedSender<NodeEvent>) {
        self.listeners.borrow_mut().push(listener);
    }

    fn settle(self: &Rc<Self>) {
        let mut node = self.node.borrow_mut();
        while let Some(action) = node.poll_action() {
            match action {
                Action::Dial { dial, address } => drop(spawn_local(dial_task(self.clone(), dial, address))),
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
            self.listeners.borrow_mut().retain(|listener| listener.send(event.clone()).is_ok());
        }
        // There may be work to do, or an earlier deadline.
        self.timer.notify_one();
    }

    /// Takes on a transport connection.
    fn take_on(self: &Rc<Self>, stream: TcpStream, role: Role, dial: Option<DialId>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?.to_string();
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let opened = self.with_node(|node, now| node.open(now, role, random, Some(&peer), dial));
        let id = opened.map_err(io::Error::other)?;
        let wake = Rc::new(Wake::default());
        wake.output.notify_one();
        self.connections.borrow_mut().insert(id, wake.clone());
        spawn_local(connection::run(self.clone(), id, stream, wake));
        Ok(())
    }

    /// Forgets a connection whose task has ended.
    pub(crate) fn ended(self: &Rc<Self>, id: ConnectionId, error: Option<&str>) {
        self.connections.borrow_mut().remove(&id);
        self.with_node(|node, now| node.closed(now, id, error));
    }
}

/// Lets times pass: runs what is due, and what has gathered, with a turn for everyone else in between.
pub(crate) async fn timer_task(driver: Rc<Driver>) {
    loop {
        let (busy, deadline) = {
            let node = driver.node.borrow();
            (node.has_work(), node.deadline())
        };
        match deadline {
            _ if busy => tokio::task::yield_now().await,
            Some(deadline) => {
                tokio::select! {
                    () = sleep_until(driver.start + deadline) => {}
                    () = driver.timer.notified() => continue,
                }
            }
            None => {
                driver.timer.notified().await;
                continue;
            }
        }
        driver.with_node(Node::run);
    }
}

async fn dial_task(driver: Rc<Driver>, dial: DialId, address: String) {
    let connected = match TcpStream::connect(&address).await {
        Ok(stream) => driver.take_on(stream, Role::Opener, Some(dial)),
        Err(error) => Err(error),
    };
    if let Err(error) = connected {
        driver.with_node(|node, now| node.dial_failed(now, dial, &error.to_string()));
    }
}

/// Accepts connections for as long as the node runs.
pub(crate) async fn listen_task(driver: Rc<Driver>, listener: TcpListener) {
    loop {
        // A connection that could not be taken on is its own loss; out of descriptors, a pause lets others end.
        let taken = match listener.accept().await {
            Ok((stream, _)) => driver.take_on(stream, Role::Acceptor, None),
            Err(error) => Err(error),
        };
        if taken.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
