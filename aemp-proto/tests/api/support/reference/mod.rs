//! A peer that behaves as the Perl reference does, faults included, where that matters to a node that talks with it.

mod dialling;
mod roles;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::framing::Framing;
use aemp_proto::link::{Config, Event, Link, OwnGreeting, Role};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

use dialling::Dialling;
pub use roles::{Misdeeds, Roles};

use super::host::Outsider;
use super::world::Random;

/// How long it looks for a connection before its monitors fire.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What it writes for a number that JSON does not have: another one of it loses what it has read, and hears nothing any
/// more.
const BAD_INPUT: &[u8] = br#"["in",nan]"#;

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
    dialling: Dialling,
    /// Its part in the global protocol, if it speaks that.
    pub roles: Option<Roles>,
    /// Its ports, and who monitors them: once for each time that they asked.
    ports: BTreeMap<String, Vec<NodeId>>,
    next: u64,
    now: Duration,
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
    /// It got bad input, and hears nothing any more.
    is_deaf: bool,
    /// What its codec cannot write, behind all else.
    bad_output: Vec<u8>,
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

impl Reference {
    /// `seeds` are the addresses that it dials, and the nodes there.
    pub fn new(config: Config, monitor_timeout: Duration, seeds: Vec<(usize, NodeId)>, mut random: Random) -> Self {
        Reference {
            // It counts from the last octet, and bounds no handshake as a whole.
            config: Arc::new(Config { handshake_timeout: Duration::MAX, ..config }),
            monitor_timeout,
            transports: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            dialling: Dialling::new(seeds, monitor_timeout, random.clone()),
            roles: None,
            ports: BTreeMap::new(),
            // No two starts name their connections alike.
            next: random.next() >> 1,
            random,
            now: Duration::ZERO,
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
            Some(transport) => transport.send(to.port(), &elements),
            None => {
                neighbour.queue.push((to.port().into(), elements));
                if neighbour.until.is_none() {
                    neighbour.until = Some(self.now + CONNECT_TIMEOUT);
                    if !self.dialling.want(to.node(), self.now)
                        && let Some(roles) = &mut self.roles
                    {
                        roles.find(to.node());
                    }
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
        if let (Some(Value::Text(request)), Some(roles)) = (elements.first(), &mut self.roles)
            && request.starts_with("g_")
        {
            return roles.receive(source, request, &elements[1..]);
        }
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
        if let Some(address) = transport.dialled {
            self.dialling.reached(address);
        }
        let neighbour = self.neighbours.entry(node.clone()).or_default();
        let old = neighbour.transport;
        if let Some(old) = old {
            neighbour.manners.switched = true;
            self.lose(&node, "switched connections");
            self.close(old);
        }
        let neighbour = self.neighbours.entry(node.clone()).or_default();
        (neighbour.transport, neighbour.until) = (Some(connection), None);
        let transport = self.transports.get_mut(&connection).expect("it has just come up");
        for (port, elements) in mem::take(&mut neighbour.queue) {
            transport.send(&port, &elements);
        }
        if let Some(roles) = &mut self.roles {
            roles.up(&node);
        }
        if old.is_some() && self.random.chance(2) {
            // The other side has closed what this side took.
            neighbour.manners.dropped_in_silence = true;
            neighbour.transport = None;
            if let Some(roles) = &mut self.roles {
                roles.unregister(&node);
            }
            self.close(connection);
        }
    }

    /// The connection to a node is lost, or cannot be made.
    fn lose(&mut self, node: &NodeId, text: &str) {
        let Some(neighbour) = self.neighbours.get_mut(node) else { return };
        let was_up = neighbour.transport.is_some();
        (neighbour.transport, neighbour.until) = (None, None);
        neighbour.queue.clear();
        if let (Some(roles), true) = (&mut self.roles, was_up) {
            roles.down(node);
        }
        let reasons = ["transport_error", node.as_str(), text].map(Value::from).to_vec();
        let monitors = mem::take(&mut neighbour.monitors).into_values().flatten();
        self.fired.extend(monitors.map(|monitor| (monitor, reasons.clone())));
        self.ports.values_mut().for_each(|watchers| watchers.retain(|watcher| watcher != node));
    }

    /// A connection is over; whether the other side did it or not.
    fn close(&mut self, connection: u64) {
        let Some(transport) = self.transports.remove(&connection) else { return };
        self.closes.push(connection);
        if let Some(address) = transport.dialled {
            self.dialling.again(address, self.now);
        }
        if let Some(node) = transport.node
            && self.neighbours.get(&node).is_some_and(|neighbour| neighbour.transport == Some(connection))
        {
            self.lose(&node, "Unexpected end-of-file");
        }
    }

    /// Does what its part in the global protocol wants.
    fn settle(&mut self) {
        while let Some(roles) = &mut self.roles {
            let (sends, found) = (mem::take(&mut roles.sends), mem::take(&mut roles.found));
            if sends.is_empty() && found.is_empty() {
                let address = |node: &NodeId| roles.addresses(node).and_then(address);
                return self.dialling.keep(&roles.wanted(), self.now, address);
            }
            let is_global = roles.is_global();
            for (node, addresses) in found {
                let Some(neighbour) = self.neighbours.get_mut(&node).filter(|neighbour| neighbour.until.is_some()) else {
                    continue;
                };
                match addresses {
                    Some(addresses) => address(&addresses).into_iter().for_each(|address| self.dialling.once(address)),
                    // Nobody is told, and what was to be sent is lost.
                    None if is_global => (neighbour.until, neighbour.queue) = (None, Vec::new()),
                    None => self.lose(&node, "no known address"),
                }
            }
            sends.into_iter().for_each(|(node, elements)| self.send(&node.port(""), elements));
        }
    }

    /// Does something with its part in the global protocol.
    pub fn with_roles<R>(&mut self, act: impl FnOnce(&mut Roles) -> R) -> R {
        let result = act(self.roles.as_mut().expect("it speaks the global protocol"));
        self.settle();
        result
    }

    /// Sends a number that JSON does not have, if it sends JSON.
    pub fn send_bad_input(&mut self, to: &NodeId) {
        let transport = self.neighbours.get(to).and_then(|neighbour| neighbour.transport);
        if let Some(transport) = transport.and_then(|transport| self.transports.get_mut(&transport))
            && transport.link.sends() == Some(Framing::Json)
        {
            transport.bad_output.extend_from_slice(BAD_INPUT);
        }
    }

    /// Its part in the network, for people.
    pub fn picture(&self) -> String {
        let Some(roles) = &self.roles else { return String::new() };
        let (global, master, registered) = (roles.is_global(), roles.master(), roles.registered_at().is_some());
        let deaf_to: Vec<_> = self.up_nodes().into_iter().filter(|node| self.is_deaf_to(node)).collect();
        let up = self.up_nodes();
        format!("reference global {global} master {master:?} registered {registered} up {up:?} deaf to {deaf_to:?}")
    }

    /// Whether it has ever gone on without a connection that it believed to have.
    pub fn has_dropped_in_silence(&self) -> bool {
        self.neighbours.values().any(|neighbour| neighbour.manners.dropped_in_silence)
    }

    /// Whether it hears nothing any more of what a node says.
    pub fn is_deaf_to(&self, node: &NodeId) -> bool {
        self.transports.values().any(|transport| transport.is_deaf && transport.node.as_ref() == Some(node))
    }

    /// How many connections are of no use any more, because of bad input.
    pub fn deaf(&self) -> usize {
        self.transports.values().filter(|transport| transport.is_deaf).count()
    }

    /// Gives octets to a link and does what it tells.
    fn pump(&mut self, connection: u64, octets: &[u8]) {
        let mut input = octets;
        loop {
            let Some(transport) = self.transports.get_mut(&connection) else { return };
            transport.is_deaf |= transport.link.is_up() && input.windows(BAD_INPUT.len()).any(|octets| octets == BAD_INPUT);
            if transport.is_deaf {
                return;
            }
            let was_up = transport.link.is_up();
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
                // Bad input that came in pieces.
                Err(_) if was_up => {
                    if let Some(transport) = self.transports.get_mut(&connection) {
                        transport.is_deaf = true;
                    }
                    return;
                }
                Err(_) => return self.close(connection),
            }
        }
    }
}

impl Transport {
    fn send(&mut self, port: &str, elements: &[Value]) {
        // A link that got bad input in pieces is of no use.
        let sent = self.link.send_to(port, elements);
        assert!(sent.is_ok() || self.is_deaf, "it is small and the link is up: {sent:?}");
    }

    fn output(&self) -> &[u8] {
        match self.link.output() {
            [] => &self.bad_output,
            output => output,
        }
    }
}

/// The host in an entry of the family of addresses.
fn address(addresses: &Value) -> Option<usize> {
    let Value::Array(addresses) = addresses else { return None };
    addresses.first()?.text()?.parse().ok()
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
        self.settle();
        if !self.is_deaf {
            let neighbours = &self.neighbours;
            self.dialling.run(now, |node| neighbours.get(node).is_some_and(|neighbour| neighbour.transport.is_some()));
        }
    }

    fn dials(&mut self) -> Vec<usize> {
        self.dialling.take()
    }

    fn closes(&mut self) -> Vec<u64> {
        mem::take(&mut self.closes)
    }

    fn dial_failed(&mut self, now: Duration, address: usize) {
        self.now = now;
        self.dialling.again(address, now);
    }

    fn open(&mut self, now: Duration, dialled: Option<usize>, random: [u8; 32]) -> Option<u64> {
        if self.is_deaf {
            return None;
        }
        let own = OwnGreeting::new(&self.config, random, None).expect("a greeting");
        // Either side of it authenticates at once, as an opener does.
        let link = Link::new(self.config.clone(), Role::Opener, own, now);
        self.next += 1;
        let transport = Transport { link, dialled, node: None, heard: now, is_deaf: false, bad_output: Vec::new() };
        self.transports.insert(self.next, transport);
        Some(self.next)
    }

    fn receive(&mut self, now: Duration, connection: u64, octets: &[u8]) {
        self.now = now;
        if let Some(transport) = self.transports.get_mut(&connection) {
            transport.heard = now;
        }
        self.pump(connection, octets);
        self.settle();
    }

    fn reads(&self, _: u64) -> bool {
        true
    }

    fn closed(&mut self, now: Duration, connection: u64) {
        self.now = now;
        self.close(connection);
        self.settle();
    }

    fn output(&self, connection: u64) -> &[u8] {
        self.transports.get(&connection).map_or(&[], Transport::output)
    }

    fn advance_output(&mut self, connection: u64, octets: usize) {
        if let Some(transport) = self.transports.get_mut(&connection) {
            match transport.link.output().is_empty() {
                true => drop(transport.bad_output.drain(..octets)),
                false => transport.link.advance_output(octets),
            }
        }
    }
}
