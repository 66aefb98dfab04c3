//! Nodes on a network in memory, under a virtual clock that jumps from one event to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp_proto::actor::{Action, ConnectionId, Context, DialId, Node, NodeConfig};
use aemp_proto::framing::{Framing, Limits, Scan, Scanner};
use aemp_proto::link::Role;

/// A generator that gives the same numbers for the same seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What passed over all wires.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Traffic {
    /// Packets, the handshakes not included.
    pub(crate) messages: u64,
    /// All octets, the handshakes included.
    pub(crate) octets: u64,
    /// The octets of handshakes.
    pub(crate) handshakes: u64,
    /// Connections that were made.
    pub(crate) connections: u64,
}

impl Traffic {
    pub(crate) fn since(self, before: Traffic) -> Traffic {
        Traffic {
            messages: self.messages - before.messages,
            octets: self.octets - before.octets,
            handshakes: self.handshakes - before.handshakes,
            connections: self.connections - before.connections,
        }
    }
}

enum Event {
    /// The program of a host starts.
    Start(usize),
    /// The deadline of a node has come, if it is still the same.
    Wake(usize),
    /// Somebody answers where a host has dialled, or nobody.
    Dialled { from: usize, dial: DialId, to: usize },
    /// Octets arrive at an end of a wire, or the end of the stream.
    Arrive { wire: usize, end: usize, octets: Option<Vec<u8>> },
}

#[derive(Default)]
struct Host {
    config: Option<NodeConfig>,
    seeds: Vec<usize>,
    node: Option<Box<Node>>,
    /// When it will be woken.
    wake: Option<Duration>,
    wires: BTreeMap<ConnectionId, (usize, usize)>,
}

/// What goes one way.
struct Stream {
    /// Nothing arrives before what was sent before it.
    latest: Duration,
    /// Lines of the handshake that are still to come: a greeting, a nonce, an authentication.
    lines: usize,
    scanner: Scanner,
}

struct Wire {
    ends: [(usize, ConnectionId); 2],
    /// What goes to each end.
    streams: [Stream; 2],
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) random: Random,
    pub(crate) traffic: Traffic,
    /// What each node does when it starts.
    prepare: fn(&mut Context<'_>),
    hosts: Vec<Host>,
    wires: Vec<Wire>,
    /// By time, and in the order in which they were caused.
    events: BTreeMap<(Duration, u64), Event>,
    last_event: u64,
    /// Events other than the passing of time.
    in_flight: usize,
}

/// The address of a host, and back.
pub(crate) fn address(host: usize) -> String {
    format!("10.1.{}.{}:4040", host / 256, host % 256)
}

fn host_at(address: &str) -> usize {
    let mut parts = address.split(['.', ':']).skip(2).map(|part| part.parse::<usize>().expect("an address of ours"));
    let mut part = || parts.next().expect("an address of ours");
    part() * 256 + part()
}

impl World {
    pub(crate) fn new(seed: u64, prepare: fn(&mut Context<'_>)) -> Self {
        World {
            now: Duration::from_secs(1000),
            random: Random(seed),
            traffic: Traffic::default(),
            prepare,
            hosts: Vec::new(),
            wires: Vec::new(),
            events: BTreeMap::new(),
            last_event: 0,
            in_flight: 0,
        }
    }

    /// Adds a host, on which a node starts at a time.
    pub(crate) fn add(&mut self, config: NodeConfig, seeds: Vec<usize>, at: Duration) {
        self.hosts.push(Host { config: Some(config), seeds, ..Host::default() });
        self.plan(at, Event::Start(self.hosts.len() - 1));
    }

    /// The node of a host, if it runs.
    pub(crate) fn node(&self, host: usize) -> Option<&Node> {
        self.hosts[host].node.as_deref()
    }

    /// Does something with the node of a host.
    pub(crate) fn with<R>(&mut self, host: usize, code: impl FnOnce(&mut Node, Duration) -> R) -> Option<R> {
        let now = self.now;
        let result = self.hosts[host].node.as_mut().map(|node| code(node, now));
        self.serve(host);
        result
    }

    /// The program of a host ends without a word; its system closes the connections. Gives the node that ran.
    pub(crate) fn kill(&mut self, host: usize) -> Option<Box<Node>> {
        for (wire, end) in std::mem::take(&mut self.hosts[host].wires).into_values() {
            self.send(wire, 1 - end, None);
        }
        self.hosts[host].wake = None;
        self.hosts[host].node.take()
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight == 0
    }

    /// Does what comes next, if that is before `end`. Gives the host where it was, or none.
    pub(crate) fn step(&mut self, end: Duration) -> Option<usize> {
        let first = self.events.first_entry().filter(|first| first.key().0 < end)?;
        let ((now, _), event) = first.remove_entry();
        self.now = now;
        if !matches!(event, Event::Wake(_)) {
            self.in_flight -= 1;
        }
        let host = match event {
            Event::Start(host) => {
                self.start(host);
                host
            }
            Event::Wake(host) => {
                if self.hosts[host].wake != Some(now) {
                    return Some(host);
                }
                self.hosts[host].wake = None;
                host
            }
            Event::Dialled { from, dial, to } => {
                self.connect(from, dial, to);
                from
            }
            Event::Arrive { wire, end, octets } => self.arrive(wire, end, octets),
        };
        self.serve(host);
        Some(host)
    }

    /// Lets the time pass until then.
    pub(crate) fn run_until(&mut self, end: Duration) {
        while self.step(end).is_some() {}
        self.now = end;
    }

    /// Lets the time pass until nothing is on its way, but no longer than until then.
    pub(crate) fn run_until_quiet(&mut self, end: Duration) {
        while !self.is_quiet() && self.step(end).is_some() {}
    }

    fn plan(&mut self, at: Duration, event: Event) {
        if !matches!(event, Event::Wake(_)) {
            self.in_flight += 1;
        }
        self.last_event += 1;
        self.events.insert((at, self.last_event), event);
    }

    /// How long octets are on their way.
    fn latency(&mut self) -> Duration {
        Duration::from_micros(500 + self.random.below(4501))
    }

    fn start(&mut self, host: usize) {
        let random = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let Some(config) = self.hosts[host].config.take() else { return };
        let mut node = Box::new(Node::new(config, random, self.now, Duration::from_secs(1_795_000_000)));
        node.with(self.now, self.prepare);
        for seed in std::mem::take(&mut self.hosts[host].seeds) {
            node.add_seed(self.now, &address(seed));
        }
        self.hosts[host].node = Some(node);
    }

    fn connect(&mut self, from: usize, dial: DialId, to: usize) {
        let now = self.now;
        let own = std::array::from_fn(|_| self.random.next() as u8);
        let other = std::array::from_fn(|_| self.random.next() as u8);
        let acceptor = self.hosts.get_mut(to).and_then(|host| host.node.as_mut());
        let accepted = acceptor.and_then(|node| node.open(now, Role::Acceptor, other, None, None).ok());
        let Some(opener) = self.hosts[from].node.as_mut() else { return };
        let Some(accepted) = accepted else { return opener.dial_failed(now, dial, "Connection refused") };
        let Ok(opened) = opener.open(now, Role::Opener, own, None, Some(dial)) else { return };
        let stream = || Stream { latest: now, lines: 3, scanner: Scanner::new(Framing::DEFAULT[0], Limits::default()) };
        let wire = self.wires.len();
        self.wires.push(Wire { ends: [(from, opened), (to, accepted)], streams: [stream(), stream()] });
        self.hosts[from].wires.insert(opened, (wire, 0));
        self.hosts[to].wires.insert(accepted, (wire, 1));
        self.traffic.connections += 1;
        self.serve(to);
    }

    fn send(&mut self, wire: usize, end: usize, octets: Option<Vec<u8>>) {
        let at = self.now + self.latency();
        let stream = &mut self.wires[wire].streams[end];
        stream.latest = at.max(stream.latest);
        let at = stream.latest;
        self.plan(at, Event::Arrive { wire, end, octets });
    }

    fn arrive(&mut self, wire: usize, end: usize, octets: Option<Vec<u8>>) -> usize {
        let Wire { ends, streams } = &mut self.wires[wire];
        let (host, connection) = ends[end];
        let Host { node: Some(node), wires, .. } = &mut self.hosts[host] else { return host };
        match octets {
            // It may have closed this end itself.
            _ if !wires.contains_key(&connection) => {}
            Some(octets) => {
                count(&mut streams[end], &octets, &mut self.traffic);
                node.receive(self.now, connection, &octets);
            }
            None => {
                wires.remove(&connection);
                node.closed(self.now, connection, None);
            }
        }
        host
    }

    /// Does for a node what its owner has to do.
    fn serve(&mut self, host: usize) {
        let now = self.now;
        loop {
            let Some(node) = self.hosts[host].node.as_mut() else { return };
            if node.has_work() || node.deadline().is_some_and(|at| at <= now) {
                node.run(now);
            }
            while node.poll_event().is_some() {}
            if let Some(action) = node.poll_action() {
                self.act(host, action);
            } else if let Some(connection) = node.poll_writable() {
                let octets = node.output(connection).to_vec();
                node.advance_output(connection, octets.len());
                if let (false, Some(&(wire, end))) = (octets.is_empty(), self.hosts[host].wires.get(&connection)) {
                    self.send(wire, 1 - end, Some(octets));
                }
            } else if !node.has_work() {
                break;
            }
        }
        let Host { node: Some(node), wake, .. } = &mut self.hosts[host] else { return };
        if let Some(deadline) = node.deadline()
            && wake.is_none_or(|wake| deadline < wake)
        {
            *wake = Some(deadline);
            self.plan(deadline, Event::Wake(host));
        }
    }

    fn act(&mut self, host: usize, action: Action) {
        match action {
            Action::Dial { dial, address } => {
                // There and back.
                let at = self.now + self.latency() + self.latency();
                self.plan(at, Event::Dialled { from: host, dial, to: host_at(&address) });
            }
            Action::Close(connection) => {
                if let Some((wire, end)) = self.hosts[host].wires.remove(&connection) {
                    self.send(wire, 1 - end, None);
                }
            }
            _ => {}
        }
    }
}

/// Counts what arrives. All that a node has to write is taken at once, so no packet comes in pieces.
fn count(stream: &mut Stream, octets: &[u8], traffic: &mut Traffic) {
    traffic.octets += octets.len() as u64;
    let mut rest = octets;
    while stream.lines > 0
        && let Some(end) = rest.iter().position(|octet| *octet == b'\n')
    {
        stream.lines -= 1;
        traffic.handshakes += end as u64 + 1;
        rest = &rest[end + 1..];
    }
    while !rest.is_empty() {
        match stream.scanner.scan(rest) {
            Ok(Scan::Packet { end, .. }) => {
                traffic.messages += 1;
                rest = &rest[end..];
            }
            other => panic!("a node has sent what is no packet: {other:?}"),
        }
    }
}
