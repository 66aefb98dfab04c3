//! Nodes on a network that exists in memory, under a clock that the test turns.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aemp_proto::link::Role;
use aemp_proto::names::NodeId;
use aemp_proto::node::{Action, ConnectionId, Node, NodeConfig, NodeEvent};

use super::pair::config;

/// A generator that gives the same numbers for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// A machine: a node runs on it, or none.
pub struct Host {
    pub config: NodeConfig,
    pub node: Option<Node>,
    /// Everything that its nodes told.
    pub events: Vec<NodeEvent>,
}

/// One end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    host: usize,
    connection: ConnectionId,
}

/// A transport connection.
pub struct Wire {
    ends: [End; 2],
    /// What is on its way to each end, and when it arrives; `None` is the end of the stream.
    flight: [VecDeque<(Duration, Option<Vec<u8>>)>; 2],
    /// Nothing that is sent to this end arrives any more, and nobody notices.
    pub dead: [bool; 2],
    /// This end does not read.
    pub stuck: [bool; 2],
    gone: [bool; 2],
}

/// Octets that a wire takes in one direction before it pushes back.
const WINDOW: usize = 64 << 10;

pub struct World {
    pub now: Duration,
    pub random: Random,
    pub hosts: Vec<Host>,
    pub wires: Vec<Wire>,
    /// Pairs of hosts between which nothing passes; a new connection is never answered.
    pub cut: Vec<(usize, usize)>,
    /// The longest time that octets are on their way.
    pub latency: Duration,
    by_end: BTreeMap<(usize, ConnectionId), (usize, usize)>,
    dials: Vec<(Duration, usize, aemp_proto::node::DialId, String)>,
}

pub fn node_config(name: &str) -> NodeConfig {
    NodeConfig::new(config(name))
}

impl World {
    pub fn new(seed: u64) -> Self {
        World {
            now: Duration::from_secs(1000),
            random: Random(seed),
            hosts: Vec::new(),
            wires: Vec::new(),
            cut: Vec::new(),
            latency: Duration::ZERO,
            by_end: BTreeMap::new(),
            dials: Vec::new(),
        }
    }

    /// Adds a host; its address is its number. Whether other nodes know that is a matter of its configuration.
    pub fn add(&mut self, config: NodeConfig) -> usize {
        self.hosts.push(Host { config, node: None, events: Vec::new() });
        let host = self.hosts.len() - 1;
        self.start(host);
        host
    }

    /// Starts a node on a host.
    pub fn start(&mut self, host: usize) {
        let random = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let unix = Duration::from_secs(1_795_000_000);
        self.hosts[host].node = Some(Node::new(self.hosts[host].config.clone(), random, self.now, unix));
    }

    /// The node of a host vanishes; its connections end if the machine is still there to say so.
    pub fn crash(&mut self, host: usize, silently: bool) {
        self.hosts[host].node = None;
        for wire in &mut self.wires {
            for end in 0..2 {
                if wire.ends[end].host == host {
                    wire.gone[end] = true;
                    if silently {
                        wire.dead = [true, true];
                    } else {
                        wire.flight[1 - end].push_back((self.now, None));
                    }
                }
            }
        }
    }

    pub fn node(&mut self, host: usize) -> &mut Node {
        self.hosts[host].node.as_mut().expect("a node runs there")
    }

    pub fn id(&self, host: usize) -> NodeId {
        self.hosts[host].config.link.node.clone()
    }

    pub fn dial(&mut self, from: usize, to: usize) {
        let now = self.now;
        self.node(from).add_seed(now, &to.to_string());
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a, b)) || self.cut.contains(&(b, a))
    }

    fn delay(&mut self) -> Duration {
        let longest = self.latency.as_micros() as u64;
        Duration::from_micros(self.random.below(longest + 1))
    }

    /// Lets a time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += Duration::from_millis(5);
        }
    }

    /// Lets everything happen that can happen now.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            self.step();
        }
    }

    pub fn step(&mut self) {
        for host in 0..self.hosts.len() {
            let now = self.now;
            if let Some(node) = &mut self.hosts[host].node
                && (node.has_work() || node.deadline().is_some_and(|at| at <= now))
            {
                node.run(now);
            }
            self.act(host);
        }
        self.connect();
        for wire in 0..self.wires.len() {
            for end in 0..2 {
                self.deliver(wire, end);
            }
        }
        for host in 0..self.hosts.len() {
            self.act(host);
        }
    }

    /// Does what a node asks for.
    fn act(&mut self, host: usize) {
        let Host { node: Some(node), events, .. } = &mut self.hosts[host] else { return };
        let mut closes = Vec::new();
        let mut dials = Vec::new();
        while let Some(action) = node.poll_action() {
            match action {
                Action::Dial { dial, address } => dials.push((dial, address)),
                Action::Close(connection) => closes.push(connection),
                _ => {}
            }
        }
        let mut writable = Vec::new();
        while let Some(connection) = node.poll_writable() {
            writable.push(connection);
        }
        while let Some(event) = node.poll_event() {
            events.push(event);
        }
        for (dial, address) in dials {
            let at = self.now + self.delay();
            self.dials.push((at, host, dial, address));
        }
        for connection in writable {
            self.write(host, connection);
        }
        for connection in closes {
            if let Some(&(wire, end)) = self.by_end.get(&(host, connection)) {
                let at = self.now + self.delay();
                let wire = &mut self.wires[wire];
                wire.gone[end] = true;
                if !wire.dead[1 - end] {
                    wire.flight[1 - end].push_back((at, None));
                }
            }
        }
    }

    fn write(&mut self, host: usize, connection: ConnectionId) {
        let Some(&(wire, end)) = self.by_end.get(&(host, connection)) else { return };
        loop {
            let at = self.now + self.delay();
            let in_flight: usize =
                self.wires[wire].flight[1 - end].iter().map(|(_, octets)| octets.as_ref().map_or(0, Vec::len)).sum();
            let Some(node) = &mut self.hosts[host].node else { return };
            let output = node.output(connection);
            let length = output.len().min(1 + self.random.below(5000) as usize).min(WINDOW.saturating_sub(in_flight));
            if length == 0 {
                return;
            }
            let octets = output[..length].to_vec();
            node.advance_output(connection, length);
            let wire = &mut self.wires[wire];
            if !wire.gone[1 - end] && !wire.dead[1 - end] {
                // A stream keeps its order.
                let at = wire.flight[1 - end].back().map_or(at, |(before, _)| at.max(*before));
                wire.flight[1 - end].push_back((at, Some(octets)));
            } else if wire.dead[1 - end] {
                wire.flight[1 - end].push_back((Duration::MAX, Some(octets)));
            }
        }
    }

    fn connect(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.dials).into_iter().partition(|(at, ..)| *at <= now);
        self.dials = later;
        for (_, from, dial, address) in due {
            let to: usize = address.parse().expect("an address is the number of a host");
            let random = |random: &mut Random| std::array::from_fn(|_| random.next() as u8);
            let (own, other) = (random(&mut self.random), random(&mut self.random));
            if self.hosts[from].node.is_none() {
                continue;
            }
            if self.is_cut(from, to) {
                // Nobody answers; the system gives up later.
                self.dials.push((now + Duration::from_secs(1), from, dial, address));
                continue;
            }
            if self.hosts[to].node.is_none() {
                self.node(from).dial_failed(now, dial, "Connection refused");
                continue;
            }
            let Ok(opener) = self.node(from).open(now, Role::Opener, own, None, Some(dial)) else { continue };
            let Ok(acceptor) = self.node(to).open(now, Role::Acceptor, other, None, None) else {
                self.node(from).closed(now, opener, None);
                continue;
            };
            let ends = [End { host: from, connection: opener }, End { host: to, connection: acceptor }];
            for (place, end) in ends.iter().enumerate() {
                self.by_end.insert((end.host, end.connection), (self.wires.len(), place));
            }
            self.wires.push(Wire {
                ends,
                flight: Default::default(),
                dead: [false; 2],
                stuck: [false; 2],
                gone: [false; 2],
            });
        }
    }

    /// Gives an end what has arrived there.
    pub fn deliver(&mut self, wire: usize, end: usize) {
        let now = self.now;
        let End { host, connection } = self.wires[wire].ends[end];
        let mut freed = false;
        loop {
            let Wire { flight, dead, stuck, gone, .. } = &mut self.wires[wire];
            if dead[end] || (stuck[end] && !gone[end]) || flight[end].front().is_none_or(|(at, _)| *at > now) {
                break;
            }
            let Some((_, octets)) = flight[end].pop_front() else { break };
            freed = true;
            if gone[end] {
                continue;
            }
            let Some(node) = &mut self.hosts[host].node else { continue };
            match octets {
                Some(octets) => node.receive(now, connection, &octets),
                None => {
                    gone[end] = true;
                    node.closed(now, connection, None);
                }
            }
        }
        if freed {
            let other = self.wires[wire].ends[1 - end];
            if !self.wires[wire].gone[1 - end] {
                self.write(other.host, other.connection);
            }
        }
    }

    /// Ends a wire, and both ends notice.
    pub fn break_wire(&mut self, wire: usize) {
        for end in 0..2 {
            self.wires[wire].flight[end].clear();
            self.wires[wire].flight[end].push_back((self.now, None));
        }
    }

    /// The wires between two hosts that neither has given up.
    pub fn wires_between(&self, a: usize, b: usize) -> Vec<usize> {
        let between = |wire: &Wire| {
            let hosts = [wire.ends[0].host, wire.ends[1].host];
            (hosts == [a, b] || hosts == [b, a]) && wire.gone == [false; 2]
        };
        (0..self.wires.len()).filter(|&wire| between(&self.wires[wire])).collect()
    }
}
