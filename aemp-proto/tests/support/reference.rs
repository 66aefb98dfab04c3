//! A peer that behaves as the Perl reference does, faults included, where that matters to a node that talks with it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::link::{Config, Event, Link, OwnGreeting, Role};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

use super::host::Outsider;
use super::world::Random;

/// How long it looks for a connection before its monitors fire.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long it waits before it dials again, before jitter.
const FIRST_WAIT: Duration = Duration::from_millis(1200);

/// A message that has arrived at a port.
pub struct Received {
    /// Over which connection.
    pub connection: u64,
    pub port: String,
    pub elements: Vec<Value>,
}

/// How the reference dealt with a neighbour, as far as its own promises go.
#[derive(Debug, Default, Clone, Copy)]
pub struct Manners {
    /// It went over to another connection while one was up.
    pub switched: bool,
    /// It gave that one up too, and told none of its own ports.
    pub dropped_in_silence: bool,
    /// It closed a second connection right after the greetings.
    pub refused: bool,
}

pub struct Reference {
    config: Arc<Config>,
    /// Stops a handshake in which nothing happens, and bounds the time between two tries.
    monitor_timeout: Duration,
    random: Random,
    transports: BTreeMap<u64, Transport>,
    neighbours: BTreeMap<NodeId, Neighbour>,
    seeds: Vec<Seed>,
    /// Its ports, and who monitors them: once for each time that they asked.
    ports: BTreeMap<String, Vec<NodeId>>,
    next: u64,
    now: Duration,
    dials: Vec<usize>,
    closes: Vec<u64>,
    /// What came to its ports, in order.
    pub inbox: Vec<Received>,
    /// The monitors that fired, and the reasons.
    pub fired: Vec<(u64, Vec<Value>)>,
    /// For tests of the tests: it does not dial, and accepts nobody.
    pub is_deaf: bool,
}

struct Transport {
    link: Link,
    dialled: Option<usize>,
    node: Option<NodeId>,
    /// When anything arrived last.
    heard: Duration,
}

#[derive(Default)]
struct Neighbour {
    transport: Option<u64>,
    /// Without bound.
    queue: Vec<(String, Vec<Value>)>,
    monitors: BTreeMap<String, Vec<u64>>,
    until: Option<Duration>,
    manners: Manners,
}

struct Seed {
    address: usize,
    node: NodeId,
    next: Option<Duration>,
    wait: Duration,
}

impl Reference {
    /// `seeds` are the addresses that it dials, and the nodes there.
    pub fn new(config: Config, monitor_timeout: Duration, seeds: Vec<(usize, NodeId)>, mut random: Random) -> Self {
        let seed = |(address, node)| Seed { address, node, next: Some(Duration::ZERO), wait: FIRST_WAIT };
        Reference {
            // It counts from the last octet, and bounds no handshake as a whole.
            config: Arc::new(Config { handshake_timeout: Duration::MAX, ..config }),
            monitor_timeout,
            transports: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            seeds: seeds.into_iter().map(seed).collect(),
            ports: BTreeMap::new(),
            // No two starts name their connections alike.
            next: random.next() >> 1,
            random,
            now: Duration::ZERO,
            dials: Vec::new(),
            closes: Vec::new(),
            inbox: Vec::new(),
            fired: Vec::new(),
            is_deaf: false,
        }
    }

    pub fn up_nodes(&self) -> BTreeSet<NodeId> {
        let up = self.neighbours.iter().filter(|(_, neighbour)| neighbour.transport.is_some());
        up.map(|(node, _)| node.clone()).collect()
    }

    pub fn manners(&self, node: &NodeId) -> Manners {
        self.neighbours.get(node).map(|neighbour| neighbour.manners).unwrap_or_default()
    }

    pub fn port(&mut self, name: &str) {
        self.ports.entry(name.into()).or_default();
    }

    /// Ends a port here.
    pub fn end(&mut self, port: &str, reasons: &[Value]) {
        for watcher in self.ports.remove(port).unwrap_or_default() {
            let mut elements = vec!["kil0".into(), port.into()];
            elements.extend_from_slice(reasons);
            self.send(&watcher.port(""), elements);
        }
    }

    /// Ends a port of another node.
    pub fn end_there(&mut self, port: &PortId, reason: &str) {
        self.send(&port.node().port(""), vec!["kil1".into(), port.port().into(), reason.into()]);
    }

    /// Monitors a port of another node.
    pub fn monitor(&mut self, port: &PortId) -> u64 {
        self.next += 1;
        let neighbour = self.neighbours.entry(port.node().clone()).or_default();
        let monitors = neighbour.monitors.entry(port.port().into()).or_default();
        monitors.push(self.next);
        if monitors.len() == 1 {
            self.send(&port.node().port(""), vec!["mon1".into(), port.port().into()]);
        }
        self.next
    }

    /// Takes a monitor back; false if it has fired.
    pub fn unmonitor(&mut self, port: &PortId, monitor: u64) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(port.node()) else { return false };
        let Some(monitors) = neighbour.monitors.get_mut(port.port()) else { return false };
        let Some(place) = monitors.iter().position(|other| *other == monitor) else { return false };
        monitors.remove(place);
        if monitors.is_empty() {
            neighbour.monitors.remove(port.port());
            self.send(&port.node().port(""), vec!["mon0".into(), port.port().into()]);
        }
        true
    }

    /// Sends a message, now or when there is a connection.
    pub fn send(&mut self, to: &PortId, elements: Vec<Value>) {
        if *to.node() == self.config.node {
            return self.message(None, &self.config.node.clone(), to.port(), elements);
        }
        let neighbour = self.neighbours.entry(to.node().clone()).or_default();
        match neighbour.transport.and_then(|transport| self.transports.get_mut(&transport)) {
            Some(transport) => transport.link.send_to(to.port(), &elements).expect("it is small and the link is up"),
            None => {
                neighbour.queue.push((to.port().into(), elements));
                if neighbour.until.is_none() {
                    neighbour.until = Some(self.now + CONNECT_TIMEOUT);
                    let known = self.seeds.iter_mut().filter(|seed| seed.node == *to.node() && seed.next.is_some());
                    known.for_each(|seed| seed.next = Some(self.now));
                }
            }
        }
    }

    /// A message to one of its ports.
    fn message(&mut self, connection: Option<u64>, source: &NodeId, port: &str, elements: Vec<Value>) {
        if port.is_empty() {
            return self.request(source, elements);
        }
        if let (Some(connection), true) = (connection, self.ports.contains_key(port)) {
            self.inbox.push(Received { connection, port: port.into(), elements });
        }
    }

    fn request(&mut self, source: &NodeId, elements: Vec<Value>) {
        let mut elements = elements.into_iter();
        let mut text = || match elements.next() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        let (Some(request), Some(argument)) = (text(), text()) else { return };
        let rest: Vec<Value> = elements.collect();
        match request.as_str() {
            "mon1" => match self.ports.get_mut(&argument) {
                Some(watchers) => watchers.push(source.clone()),
                None => {
                    let port = self.config.node.port(&argument).to_string();
                    let texts = ["kil0", &argument, "no_such_port", "cannot monitor nonexistent port", &port];
                    self.send(&source.port(""), texts.map(Value::from).to_vec());
                }
            },
            "mon0" => {
                if let Some(watchers) = self.ports.get_mut(&argument)
                    && let Some(place) = watchers.iter().position(|watcher| watcher == source)
                {
                    watchers.remove(place);
                }
            }
            "kil0" => {
                let monitors = self.neighbours.get_mut(source).and_then(|neighbour| neighbour.monitors.remove(&argument));
                self.fired.extend(monitors.into_iter().flatten().map(|monitor| (monitor, rest.clone())));
            }
            "kil1" => self.end(&argument, &rest),
            "snd" => {
                if let Ok(to) = argument.parse() {
                    self.send(&to, rest);
                }
            }
            _ => {}
        }
    }

    /// A handshake has ended: whichever ends last is the connection.
    fn connected(&mut self, connection: u64) {
        let transport = &self.transports[&connection];
        let Some(node) = transport.node.clone() else { return };
        if let Some(place) = transport.dialled {
            self.seeds[place].wait = FIRST_WAIT;
        }
        let neighbour = self.neighbours.entry(node.clone()).or_default();
        let old = neighbour.transport;
        if let Some(old) = old {
            neighbour.manners.switched = true;
            self.lose(&node, "switched connections");
            self.close(old);
        }
        let neighbour = self.neighbours.entry(node).or_default();
        (neighbour.transport, neighbour.until) = (Some(connection), None);
        let transport = self.transports.get_mut(&connection).expect("it has just come up");
        for (port, elements) in mem::take(&mut neighbour.queue) {
            transport.link.send_to(&port, &elements).expect("it is small");
        }
        if old.is_some() && self.random.chance(2) {
            // The other side has closed what this side took.
            neighbour.manners.dropped_in_silence = true;
            neighbour.transport = None;
            self.close(connection);
        }
    }

    /// The connection to a node is lost, or cannot be made.
    fn lose(&mut self, node: &NodeId, text: &str) {
        let Some(neighbour) = self.neighbours.get_mut(node) else { return };
        (neighbour.transport, neighbour.until) = (None, None);
        neighbour.queue.clear();
        let reasons = ["transport_error", node.as_str(), text].map(Value::from).to_vec();
        let monitors = mem::take(&mut neighbour.monitors).into_values().flatten();
        self.fired.extend(monitors.map(|monitor| (monitor, reasons.clone())));
        self.ports.values_mut().for_each(|watchers| watchers.retain(|watcher| watcher != node));
    }

    /// A connection is over; whether the other side did it or not.
    fn close(&mut self, connection: u64) {
        let Some(transport) = self.transports.remove(&connection) else { return };
        self.closes.push(connection);
        if let Some(place) = transport.dialled {
            self.again(place);
        }
        if let Some(node) = transport.node
            && self.neighbours.get(&node).is_some_and(|neighbour| neighbour.transport == Some(connection))
        {
            self.lose(&node, "Unexpected end-of-file");
        }
    }

    /// Dials an address again after a while, twice as long each time.
    fn again(&mut self, place: usize) {
        let seed = &mut self.seeds[place];
        let jitter = seed.wait.mul_f64(self.random.below(1000) as f64 / 1000.0);
        seed.next = Some(self.now + (seed.wait + jitter).min(self.monitor_timeout));
        seed.wait = (seed.wait * 2).min(self.monitor_timeout);
    }

    fn seed_at(&self, address: usize) -> Option<usize> {
        self.seeds.iter().position(|seed| seed.address == address)
    }

    /// Gives octets to a link and does what it tells.
    fn pump(&mut self, connection: u64, octets: &[u8]) {
        let mut input = octets;
        loop {
            let Some(transport) = self.transports.get_mut(&connection) else { return };
            let mut packets = Vec::new();
            let told = transport.link.receive(mem::take(&mut input), |packet| {
                packets.push(packet.decode::<Vec<Value>>().expect("any value"));
            });
            let source = transport.node.clone();
            for packet in packets {
                let mut elements = packet.into_iter();
                if let (Some(Value::Text(port)), Some(source)) = (elements.next(), &source) {
                    self.message(Some(connection), source, &port, elements.collect());
                }
            }
            match told {
                Ok(None) => return,
                Ok(Some(Event::Greeted)) => {
                    let Some(transport) = self.transports.get_mut(&connection) else { return };
                    let node = transport.link.peer().map(|greeting| greeting.node.clone()).expect("it has greeted");
                    transport.node = Some(node.clone());
                    let neighbour = self.neighbours.entry(node).or_default();
                    if neighbour.transport.is_some() {
                        neighbour.manners.refused = true;
                        return self.close(connection);
                    }
                    if transport.link.accept().is_err() {
                        return self.close(connection);
                    }
                }
                Ok(Some(Event::Up)) => self.connected(connection),
                Ok(Some(_)) => {}
                Err(_) => return self.close(connection),
            }
        }
    }
}

impl Outsider for Reference {
    fn run(&mut self, now: Duration) {
        self.now = now;
        let stalls = |transport: &Transport| !transport.link.is_up() && now >= transport.heard + self.monitor_timeout;
        let late: Vec<_> = self.transports.iter().filter(|(_, transport)| stalls(transport)).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|connection| self.close(connection));
        let late = |neighbour: &Neighbour| neighbour.until.is_some_and(|until| now >= until);
        let late: Vec<_> = self.neighbours.iter().filter(|(_, other)| late(other)).map(|(node, _)| node.clone()).collect();
        late.iter().for_each(|node| self.lose(node, "connect timeout"));
        for seed in &mut self.seeds {
            let up = self.neighbours.get(&seed.node).is_some_and(|neighbour| neighbour.transport.is_some());
            if !self.is_deaf && seed.next.is_some_and(|next| next <= now) {
                seed.next = if up { Some(now + FIRST_WAIT) } else { None };
                self.dials.extend((!up).then_some(seed.address));
            }
        }
    }

    fn dials(&mut self) -> Vec<usize> {
        mem::take(&mut self.dials)
    }

    fn closes(&mut self) -> Vec<u64> {
        mem::take(&mut self.closes)
    }

    fn dial_failed(&mut self, now: Duration, address: usize) {
        self.now = now;
        if let Some(place) = self.seed_at(address) {
            self.again(place);
        }
    }

    fn open(&mut self, now: Duration, dialled: Option<usize>, random: [u8; 32]) -> Option<u64> {
        if self.is_deaf {
            return None;
        }
        let own = OwnGreeting::new(&self.config, random, None).expect("a greeting");
        // Either side of it authenticates at once, as an opener does.
        let link = Link::new(self.config.clone(), Role::Opener, own, now);
        self.next += 1;
        let dialled = dialled.and_then(|address| self.seed_at(address));
        self.transports.insert(self.next, Transport { link, dialled, node: None, heard: now });
        Some(self.next)
    }

    fn receive(&mut self, now: Duration, connection: u64, octets: &[u8]) {
        self.now = now;
        if let Some(transport) = self.transports.get_mut(&connection) {
            transport.heard = now;
        }
        self.pump(connection, octets);
    }

    fn reads(&self, _: u64) -> bool {
        true
    }

    fn closed(&mut self, now: Duration, connection: u64) {
        self.now = now;
        self.close(connection);
    }

    fn output(&self, connection: u64) -> &[u8] {
        self.transports.get(&connection).map_or(&[], |transport| transport.link.output())
    }

    fn advance_output(&mut self, connection: u64, octets: usize) {
        if let Some(transport) = self.transports.get_mut(&connection) {
            transport.link.advance_output(octets);
        }
    }
}
