//! A machine of the world, and the program that runs on it: a node, or an outsider.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::actor::{Action, ConnectionId, DataConnection, DialId, Node, NodeConfig, NodeEvent};
use aemp_proto::link::Role;
use aemp_proto::names::NodeId;

/// A program that is no node of this crate. It names its connections itself.
pub trait Outsider {
    /// Does what is due.
    fn run(&mut self, now: Duration);

    /// Takes the addresses to dial now.
    fn dials(&mut self) -> Vec<usize>;

    /// Takes the connections to close now.
    fn closes(&mut self) -> Vec<u64>;

    /// Nobody answers at an address.
    fn dial_failed(&mut self, now: Duration, address: usize);

    /// A connection stands, to the address that was dialled, or from somebody; `None` if it is not wanted.
    fn open(&mut self, now: Duration, dialled: Option<usize>, random: [u8; 32]) -> Option<u64>;

    fn receive(&mut self, now: Duration, connection: u64, octets: &[u8]);

    /// Whether it reads from a connection at the moment.
    fn reads(&self, connection: u64) -> bool;

    fn closed(&mut self, now: Duration, connection: u64);

    fn output(&self, connection: u64) -> &[u8];

    fn advance_output(&mut self, connection: u64, octets: usize);
}

/// How the program on a host names a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    Node(ConnectionId),
    Outsider(u64),
}

/// How the program on a host names a try to connect.
#[derive(Debug, Clone, Copy)]
pub enum Dial {
    Node(DialId),
    Outsider,
}

/// A machine: a node runs on it, or an outsider, or nothing.
pub struct Host {
    pub config: NodeConfig,
    pub node: Option<Node>,
    pub outsider: Option<Rc<RefCell<dyn Outsider>>>,
    /// Everything that its nodes told.
    pub events: Vec<NodeEvent>,
    /// The data connections that the node has handed over.
    pub streams: BTreeMap<ConnectionId, Stream>,
    /// Those that it will hand over once their output is written.
    pub to_take: Vec<ConnectionId>,
    /// Its turns are small, so it takes many of them at a time.
    pub hasty: bool,
}

/// A data connection in the hands of a program.
pub struct Stream {
    pub data: DataConnection,
    /// What has arrived.
    pub heard: Vec<u8>,
    /// What is to be sent.
    pub to_say: Vec<u8>,
    pub ended: bool,
}

/// What the program on a host wants done.
#[derive(Default)]
pub struct Wishes {
    pub dials: Vec<(Dial, usize)>,
    pub closes: Vec<Socket>,
    pub writable: Vec<ConnectionId>,
    /// Nodes to which it had a connection, and has lost it.
    pub lost: Vec<NodeId>,
}

impl Host {
    pub fn new(config: NodeConfig) -> Self {
        let (events, streams, to_take) = Default::default();
        let hasty = config.turn_budget < 10_000;
        Host { config, node: None, outsider: None, events, streams, to_take, hasty }
    }

    pub fn is_running(&self) -> bool {
        self.node.is_some() || self.outsider.is_some()
    }

    /// Takes the data connections that can be taken.
    fn take_streams(&mut self, now: Duration) {
        let Some(node) = &mut self.node else { return };
        let (taken, waiting) = std::mem::take(&mut self.to_take).into_iter().partition(|id| node.output(*id).is_empty());
        self.to_take = waiting;
        for id in Vec::from_iter::<Vec<_>>(taken) {
            if let Some(mut data) = node.hand_over(now, id) {
                let heard = std::mem::take(&mut data.early);
                self.streams.insert(id, Stream { data, heard, to_say: Vec::new(), ended: false });
            }
        }
    }

    pub fn run(&mut self, now: Duration) {
        /// How often a node that goes on having work is run, before other hosts are.
        const TURNS: usize = 200;
        self.take_streams(now);
        if let Some(node) = &mut self.node
            && (node.has_work() || node.deadline().is_some_and(|at| at <= now))
        {
            node.run(now);
            // What is small enough for one turn gets one, so that what gathers meanwhile waits.
            for _ in 1..TURNS {
                if !self.hasty || !node.has_work() {
                    break;
                }
                node.run(now);
            }
        }
        if let Some(outsider) = &self.outsider {
            outsider.borrow_mut().run(now);
        }
    }

    /// Takes what the program wants done.
    pub fn wishes(&mut self) -> Wishes {
        let mut wishes = Wishes::default();
        if let Some(node) = &mut self.node {
            while let Some(action) = node.poll_action() {
                match action {
                    Action::Dial { dial, address } => {
                        let address = address.parse().expect("an address is the number of a host");
                        wishes.dials.push((Dial::Node(dial), address));
                    }
                    Action::Close(connection) => wishes.closes.push(Socket::Node(connection)),
                    Action::HandOver(connection) => self.to_take.push(connection),
                    _ => {}
                }
            }
            wishes.writable.extend(std::iter::from_fn(|| node.poll_writable()));
            let talks = |stream: &&Stream| !stream.to_say.is_empty();
            wishes.writable.extend(self.streams.iter().filter(|(_, stream)| talks(stream)).map(|(id, _)| *id));
            while let Some(event) = node.poll_event() {
                if let NodeEvent::Down(node, _) = &event {
                    wishes.lost.push(node.clone());
                }
                self.events.push(event);
            }
        }
        if let Some(outsider) = &self.outsider {
            let mut outsider = outsider.borrow_mut();
            wishes.dials.extend(outsider.dials().into_iter().map(|address| (Dial::Outsider, address)));
            wishes.closes.extend(outsider.closes().into_iter().map(Socket::Outsider));
        }
        wishes
    }

    /// Tells of a connection: `dialled` if the program asked for it. `None` if it does not want it.
    pub fn open(&mut self, now: Duration, dialled: Option<(Dial, usize)>, random: [u8; 32]) -> Option<Socket> {
        if let Some(node) = &mut self.node {
            let (role, dial) = match dialled {
                Some((Dial::Node(dial), _)) => (Role::Opener, Some(dial)),
                _ => (Role::Acceptor, None),
            };
            return node.open(now, role, random, None, dial).ok().map(Socket::Node);
        }
        let address = dialled.map(|(_, address)| address);
        self.outsider.as_ref()?.borrow_mut().open(now, address, random).map(Socket::Outsider)
    }

    pub fn dial_failed(&mut self, now: Duration, dial: Dial, address: usize) {
        match (dial, &mut self.node, &self.outsider) {
            (Dial::Node(dial), Some(node), _) => node.dial_failed(now, dial, "Connection refused"),
            (Dial::Outsider, _, Some(outsider)) => outsider.borrow_mut().dial_failed(now, address),
            _ => {}
        }
    }

    pub fn receive(&mut self, now: Duration, socket: Socket, octets: &[u8]) {
        if let Socket::Node(connection) = socket
            && let Some(stream) = self.streams.get_mut(&connection)
        {
            return stream.heard.extend_from_slice(octets);
        }
        match (socket, &mut self.node, &self.outsider) {
            (Socket::Node(connection), Some(node), _) => node.receive(now, connection, octets),
            (Socket::Outsider(connection), _, Some(outsider)) => outsider.borrow_mut().receive(now, connection, octets),
            _ => {}
        }
    }

    pub fn closed(&mut self, now: Duration, socket: Socket) {
        if let Socket::Node(connection) = socket
            && let Some(stream) = self.streams.get_mut(&connection)
        {
            stream.ended = true;
            return;
        }
        match (socket, &mut self.node, &self.outsider) {
            (Socket::Node(connection), Some(node), _) => node.closed(now, connection, None),
            (Socket::Outsider(connection), _, Some(outsider)) => outsider.borrow_mut().closed(now, connection),
            _ => {}
        }
    }

    pub fn reads(&self, socket: Socket) -> bool {
        match (socket, &self.node, &self.outsider) {
            (Socket::Outsider(connection), _, Some(outsider)) => outsider.borrow().reads(connection),
            (Socket::Node(connection), Some(node), _) if !self.streams.contains_key(&connection) => {
                node.wants_input(connection)
            }
            _ => true,
        }
    }

    /// Takes up to so many octets of what is to be written.
    pub fn take_output(&mut self, socket: Socket, most: usize) -> Vec<u8> {
        if let Socket::Node(connection) = socket
            && let Some(stream) = self.streams.get_mut(&connection)
        {
            let most = most.min(stream.to_say.len());
            return stream.to_say.drain(..most).collect();
        }
        match (socket, &mut self.node, &self.outsider) {
            (Socket::Node(connection), Some(node), _) => {
                let output = node.output(connection);
                let octets = output[..output.len().min(most)].to_vec();
                node.advance_output(connection, octets.len());
                octets
            }
            (Socket::Outsider(connection), _, Some(outsider)) => {
                let mut outsider = outsider.borrow_mut();
                let output = outsider.output(connection);
                let octets = output[..output.len().min(most)].to_vec();
                outsider.advance_output(connection, octets.len());
                octets
            }
            _ => Vec::new(),
        }
    }
}
