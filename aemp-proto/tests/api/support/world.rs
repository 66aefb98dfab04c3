//! Nodes on a network that exists in memory, under a clock that the test turns.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::actor::{Node, NodeConfig};
use aemp_proto::names::NodeId;

use super::host::{Dial, Host, Outsider, Socket};
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

/// One end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    host: usize,
    socket: Socket,
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
    /// When each end gave the connection up, not having lost it.
    left: [Option<Duration>; 2],
    /// How many lines each end has sent; from the third one on, which authenticates it, that does not matter.
    lines: [usize; 2],
    authenticated: [Option<Duration>; 2],
    /// When nothing arrives at one end any more, and at which.
    dies_at: Option<(Duration, usize)>,
    /// When the transport of an outsider gives the connection up, since what it sends is not acknowledged.
    reset_at: Option<Duration>,
}

/// A connection on which one end has sent its authentication line.
#[derive(Debug, Clone, Copy)]
pub struct Authenticated {
    pub wire: usize,
    pub at: Duration,
    /// When that end gave it up.
    pub left: Option<Duration>,
    /// That end did not give it up: it is lost, or the other one did.
    pub ended: bool,
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
    /// One in so many connections dies in one direction while it is young, if this is not zero.
    pub frailty: u64,
    /// Octets that have arrived anywhere.
    pub carried: usize,
    /// For tests of the tests: what programs close stays open.
    pub keeps_open: bool,
    by_end: BTreeMap<(usize, Socket), (usize, usize)>,
    dials: Vec<(Duration, usize, Dial, usize)>,
    /// The wires on which something may still happen.
    live: Vec<usize>,
}

pub fn node_config(name: &str) -> NodeConfig {
    NodeConfig::new(config(name))
}

/// Half of the networks that are drawn from a number have small turns: from one packet to a few.
pub fn turn_budget(seed: u64, host: usize) -> u64 {
    match seed % 2 {
        0 => Random(seed ^ host as u64).below(400),
        _ => 100_000,
    }
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
            frailty: 0,
            carried: 0,
            keeps_open: false,
            by_end: BTreeMap::new(),
            dials: Vec::new(),
            live: Vec::new(),
        }
    }

    /// Adds a host; its address is its number. Whether other nodes know that is a matter of its configuration.
    pub fn add(&mut self, config: NodeConfig) -> usize {
        self.hosts.push(Host::new(config));
        let host = self.hosts.len() - 1;
        self.start(host);
        host
    }

    /// Adds a host on which no node runs, but this.
    pub fn add_outsider(&mut self, config: NodeConfig, outsider: Option<Rc<RefCell<dyn Outsider>>>) -> usize {
        self.hosts.push(Host { outsider, ..Host::new(config) });
        self.hosts.len() - 1
    }

    /// Starts a node on a host.
    pub fn start(&mut self, host: usize) {
        let random = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let unix = Duration::from_secs(1_795_000_000);
        self.hosts[host].node = Some(Node::new(self.hosts[host].config.clone(), random, self.now, unix));
    }

    /// The program of a host vanishes; its connections end if the machine is still there to say so.
    pub fn crash(&mut self, host: usize, silently: bool) {
        (self.hosts[host].node, self.hosts[host].outsider) = (None, None);
        self.hosts[host].streams.clear();
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

    pub fn is_cut(&self, a: usize, b: usize) -> bool {
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
            self.hosts[host].run(self.now);
            self.act(host);
        }
        self.connect();
        for place in 0..self.live.len() {
            let wire = self.live[place];
            if let Some((at, end)) = self.wires[wire].dies_at
                && at <= self.now
            {
                self.wires[wire].dead[end] = true;
            }
            self.deliver(wire, 0);
            self.deliver(wire, 1);
            self.reset(wire);
        }
        let wires = &self.wires;
        self.live.retain(|&wire| wires[wire].gone != [true; 2]);
        for host in 0..self.hosts.len() {
            self.act(host);
        }
    }

    /// Does what a program asks for.
    fn act(&mut self, host: usize) {
        let wishes = self.hosts[host].wishes();
        for (dial, address) in wishes.dials {
            let at = self.now + self.delay();
            self.dials.push((at, host, dial, address));
        }
        for connection in wishes.writable {
            if let Some(&(wire, end)) = self.by_end.get(&(host, Socket::Node(connection))) {
                self.write(wire, end);
            }
        }
        if self.hosts[host].outsider.is_some() {
            for place in 0..self.live.len() {
                for end in 0..2 {
                    if self.wires[self.live[place]].ends[end].host == host {
                        self.write(self.live[place], end);
                    }
                }
            }
        }
        let keeps_open = self.keeps_open;
        for socket in wishes.closes.into_iter().filter(|_| !keeps_open) {
            if let Some(&(wire, end)) = self.by_end.get(&(host, socket)) {
                let other = self.wires[wire].ends[1 - end].host;
                if !self.wires[wire].gone[end] && !wishes.lost.contains(&self.hosts[other].config.link.node) {
                    self.wires[wire].left[end] = Some(self.now);
                }
                self.hang_up(wire, end);
            }
        }
    }

    /// An end closes.
    fn hang_up(&mut self, wire: usize, end: usize) {
        let at = self.now + self.delay();
        let wire = &mut self.wires[wire];
        wire.gone[end] = true;
        if !wire.dead[1 - end] {
            // A stream keeps its order, to its end.
            let at = wire.flight[1 - end].back().map_or(at, |(before, _)| at.max(*before));
            wire.flight[1 - end].push_back((at, None));
        }
    }

    /// Loses a connection as a cable that is pulled out does: both ends hear of it.
    pub fn break_wire(&mut self, wire: usize) {
        for end in 0..2 {
            let wire = &mut self.wires[wire];
            wire.flight[end].push_back((self.now, None));
        }
    }

    fn write(&mut self, wire: usize, end: usize) {
        let End { host, socket } = self.wires[wire].ends[end];
        if self.wires[wire].gone[end] {
            return;
        }
        loop {
            let in_flight: usize =
                self.wires[wire].flight[1 - end].iter().map(|(_, octets)| octets.as_ref().map_or(0, Vec::len)).sum();
            let most = (1 + self.random.below(5000) as usize).min(WINDOW.saturating_sub(in_flight));
            let octets = self.hosts[host].take_output(socket, most);
            if octets.is_empty() {
                return;
            }
            let at = self.now + self.delay();
            let wire = &mut self.wires[wire];
            if wire.lines[end] < 3 {
                wire.lines[end] += octets.iter().filter(|octet| **octet == b'\n').count();
                wire.authenticated[end] = (wire.lines[end] >= 3).then_some(self.now);
            }
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
        for (_, from, dial, to) in due {
            let random = |random: &mut Random| std::array::from_fn(|_| random.next() as u8);
            let (own, other) = (random(&mut self.random), random(&mut self.random));
            if !self.hosts[from].is_running() {
                continue;
            }
            if self.is_cut(from, to) {
                // Nobody answers; the system gives up later.
                self.dials.push((now + Duration::from_secs(1), from, dial, to));
                continue;
            }
            if !self.hosts[to].is_running() {
                self.hosts[from].dial_failed(now, dial, to);
                continue;
            }
            let Some(opener) = self.hosts[from].open(now, Some((dial, to)), own) else { continue };
            let Some(acceptor) = self.hosts[to].open(now, None, other) else {
                self.hosts[from].closed(now, opener);
                continue;
            };
            let ends = [End { host: from, socket: opener }, End { host: to, socket: acceptor }];
            for (place, end) in ends.iter().enumerate() {
                self.by_end.insert((end.host, end.socket), (self.wires.len(), place));
            }
            let dies_at = (self.frailty > 0 && self.random.chance(self.frailty))
                .then(|| (now + 4 * self.delay(), self.random.below(2) as usize));
            self.live.push(self.wires.len());
            self.wires.push(Wire {
                ends,
                flight: Default::default(),
                dead: [false; 2],
                stuck: [false; 2],
                gone: [false; 2],
                left: [None; 2],
                lines: [0; 2],
                authenticated: [None; 2],
                dies_at,
                reset_at: None,
            });
        }
    }

    /// Gives an end what has arrived there.
    pub fn deliver(&mut self, wire: usize, end: usize) {
        let now = self.now;
        let End { host, socket } = self.wires[wire].ends[end];
        let mut freed = false;
        loop {
            let Wire { flight, dead, stuck, gone, .. } = &mut self.wires[wire];
            if dead[end] || (stuck[end] && !gone[end]) || flight[end].front().is_none_or(|(at, _)| *at > now) {
                break;
            }
            // The end of a connection may be noticed also where nothing is read.
            let is_end = flight[end].front().is_some_and(|(_, octets)| octets.is_none());
            if !gone[end] && !is_end && !self.hosts[host].reads(socket) {
                break;
            }
            let Some((_, octets)) = flight[end].pop_front() else { break };
            freed = true;
            if gone[end] {
                continue;
            }
            match octets {
                Some(octets) => {
                    self.carried += octets.len();
                    self.hosts[host].receive(now, socket, &octets);
                }
                None => {
                    gone[end] = true;
                    self.hosts[host].closed(now, socket);
                }
            }
        }
        if freed {
            self.write(wire, 1 - end);
        }
    }

    /// Outsiders notice a dead connection as the reference does: when their transport gives it up.
    fn reset(&mut self, wire: usize) {
        for end in 0..2 {
            let Wire { ends, dead, gone, .. } = &self.wires[wire];
            let End { host, socket } = ends[end];
            if gone[end] || *dead == [false; 2] || !matches!(socket, Socket::Outsider(_)) {
                continue;
            }
            let patience = Duration::from_millis(3000 + self.random.below(7000));
            let now = self.now;
            let wire = &mut self.wires[wire];
            if *wire.reset_at.get_or_insert(now + patience) <= now {
                wire.gone[end] = true;
                self.hosts[host].closed(now, socket);
            }
        }
    }

    /// The connections between two hosts on which the first one has sent its authentication line.
    pub fn authenticated(&self, host: usize, other: usize) -> Vec<Authenticated> {
        let of_wire = |(place, wire): (usize, &Wire)| {
            let end = (0..2).find(|&end| wire.ends[end].host == host && wire.ends[1 - end].host == other)?;
            let (at, left) = (wire.authenticated[end]?, wire.left[end]);
            Some(Authenticated { wire: place, at, left, ended: wire.gone[end] && left.is_none() })
        };
        self.wires.iter().enumerate().filter_map(of_wire).collect()
    }

    /// The connections on which both of two hosts are authenticated, and that neither has given up.
    pub fn established(&self, a: usize, b: usize) -> usize {
        let wires = self.wires_between(a, b).into_iter().map(|wire| &self.wires[wire]);
        wires.filter(|wire| wire.authenticated.iter().all(Option::is_some)).count()
    }

    /// Who has opened a connection.
    pub fn opener(&self, wire: usize) -> usize {
        self.wires[wire].ends[0].host
    }

    /// How many connections a host has opened that it has not given up, and how many it has accepted.
    pub fn sockets(&self, host: usize) -> [usize; 2] {
        let stands = |end: usize| {
            move |wire: &&usize| {
                let wire = &self.wires[**wire];
                wire.ends[end].host == host && !wire.gone[end]
            }
        };
        [0, 1].map(|end| self.live.iter().filter(stands(end)).count())
    }

    /// The wires between two hosts that neither has given up.
    pub fn wires_between(&self, a: usize, b: usize) -> Vec<usize> {
        let between = |wire: &Wire| {
            let hosts = [wire.ends[0].host, wire.ends[1].host];
            (hosts == [a, b] || hosts == [b, a]) && wire.gone == [false; 2]
        };
        self.live.iter().copied().filter(|&wire| between(&self.wires[wire])).collect()
    }
}
