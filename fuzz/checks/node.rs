//! A whole node with hostile peers, driven by a small program that the octets are: what it may cost, and what must hold.
//!
//! Everything that the node does is paid for, with octets that came or that it sends because of them. What it takes from the
//! heap, what it keeps there, and the work that it counts itself must stay within a constant times that.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::actor::{
    Access, Action, ConnectionId, Context, DialId, MonitorHandle, Node, NodeConfig, NodeEvent, Reasons,
};
use aemp_proto::auth::{Method, Secret};
use aemp_proto::framing::{Framing, Limits};
use aemp_proto::link::{self, Event, Link, OwnGreeting, Role};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

use super::heap;
use super::requests::{Input, request};

/// Octets from the heap for each octet that was paid, at most: what a message costs that is decoded, copied and answered.
/// Small maps cost most, some 170.
const TAKEN: usize = 250;
/// Units of work for each octet that was paid, at most: a packet without anything in it costs ten for each of its octets.
const WORK: u64 = 40;
/// Octets that are kept on the heap for each octet that came, at most.
const KEPT: usize = 60;
/// Octets that each call of the node is worth, whatever it does: its tables are looked through from time to time.
const CALL: usize = 200;
/// Octets that are there from the start: tables, the own ports.
const START: usize = 200_000;
/// Octets that peers send in one run, at most.
const BUDGET: usize = 1_500_000;

const PEERS: usize = 4;

/// What one packet may cost here: small, so that answers are soon too large.
const LIMITS: Limits = Limits { octets: 100_000, depth: 60, values: 20_000 };

struct Peer {
    connection: ConnectionId,
    link: Link,
    framing: Framing,
    reads: bool,
    /// What the node has not read yet.
    unread: Vec<u8>,
    /// How often it watched a port, and how often it was told of an end; none if it has sent what nobody counts.
    watches: Option<(usize, usize)>,
}

#[derive(Default)]
struct Costs {
    came: usize,
    sent: usize,
    calls: usize,
    /// What local code has handed to the node.
    local: usize,
    taken: usize,
    kept: isize,
}

/// Something that happens once at most.
#[derive(Clone, Default)]
struct Once(Rc<Cell<bool>>);

impl Once {
    fn happens(&self) {
        assert!(!self.0.replace(true), "it has happened, or was given up");
    }

    fn given_up(&self) {
        self.0.set(true);
    }
}

struct Run<'a> {
    input: Input<'a>,
    node: Node,
    now: Duration,
    peers: [Option<Peer>; PEERS],
    dials: Vec<DialId>,
    costs: Costs,
    /// Ports of the node's own, and whether they have ended.
    ports: Vec<(PortId, Rc<Cell<bool>>)>,
    watches: Vec<(MonitorHandle, Once)>,
    connections: u8,
}

/// Runs a node as the octets say.
pub fn node(octets: &[u8]) {
    let mut input = Input::new(octets);
    let is_global = input.octet().unwrap_or_default() & 1 == 1;
    let node = Node::new(config(is_global), 7, Duration::ZERO, Duration::from_secs(1_700_000_000));
    let (peers, now) = (Default::default(), Duration::from_secs(1));
    let mut run = Run {
        input,
        node,
        now,
        peers,
        dials: Vec::new(),
        costs: Costs::default(),
        ports: Vec::new(),
        watches: Vec::new(),
        connections: 0,
    };
    run.local(register);
    run.own_port(Some("port"));
    while let Some(operation) = run.input.octet() {
        run.step(operation);
        run.check();
    }
    run.leave();
}

fn config(global: bool) -> NodeConfig {
    let mut config = link_config("node");
    (config.limits, config.send_limits) = (LIMITS, Limits { octets: 10_000, ..LIMITS });
    let mut config = NodeConfig::new(config);
    (config.queue, config.memory.queues, config.watches) = (16 << 20, 64 << 20, 50_000);
    (config.global, config.addresses) = (global, vec!["here:1".into()]);
    config
}

fn link_config(node: &str) -> link::Config {
    let mut config = link::Config::new(NodeId::new(node).expect("a node ID"));
    config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    // Nobody computes hashes here.
    (config.send, config.accept) = (vec![Method::Cleartext], vec![Method::Cleartext]);
    config.framings = vec![Framing::Json, Framing::Cbor, Framing::Storable];
    config
}

/// What others may call and spawn.
fn register(context: &mut Context<'_>) {
    let work = |context: &mut Context<'_>, elements: aemp_proto::framing::Elements<'_>| {
        let values: Vec<Value> = elements.rest()?;
        let own = context.own_port();
        if let Some(own) = own {
            context.receive(&own, |_, elements| elements.rest::<Vec<Value>>().map(drop).map_err(Into::into));
        }
        if values.is_empty() { Err("it wants an argument".into()) } else { Ok(()) }
    };
    context.register("work", Access::BOTH, Rc::new(work));
    context.data_accept("data");
}

impl Run<'_> {
    fn step(&mut self, operation: u8) {
        match operation % 16 {
            0 => {
                let choice = self.input.octet().unwrap_or_default();
                self.connect(usize::from(choice) % PEERS, usize::from(choice >> 2) % 3);
            }
            1 => {
                let (peer, length) = (self.peer(), self.input.octet().unwrap_or_default());
                let octets = self.input.octets(length.into()).to_vec();
                if let Some(peer) = &mut self.peers[peer] {
                    peer.watches = None;
                }
                self.say(peer, &octets);
            }
            2..9 => self.request(),
            9 => {
                let times = [0, 1, 100, 500, 1_000, 3_000, 11_000, 130_000];
                let choice = self.input.octet().unwrap_or_default();
                self.now += Duration::from_millis(times[usize::from(choice & 7)]);
                self.run_node();
            }
            10 => {
                let peer = self.peer();
                self.close(peer);
            }
            11 | 12 => self.own_code(),
            13 => {
                let peer = self.peer();
                if let Some(peer) = &mut self.peers[peer] {
                    peer.reads = !peer.reads;
                }
                self.call(|_, _| {});
            }
            14 => self.data_connection(),
            _ => {
                self.run_node();
                if let Some(dial) = self.dials.pop() {
                    self.call(|node, now| node.dial_failed(now, dial, "nobody answers"));
                }
            }
        }
    }

    fn peer(&mut self) -> usize {
        usize::from(self.input.octet().unwrap_or_default()) % PEERS
    }

    /// Calls the node, and does what it asks for.
    fn call<R>(&mut self, call: impl FnOnce(&mut Node, Duration) -> R) -> R {
        let waited = self.node.waiting();
        let (total, taken) = (heap::total(), heap::taken());
        let result = call(&mut self.node, self.now);
        let (mut closes, mut hand_over, mut lost) = (Vec::new(), Vec::new(), false);
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Dial { dial, .. } => self.dials.push(dial),
                Action::Close(id) => closes.push(id),
                Action::HandOver(id) => hand_over.push(id),
                _ => {}
            }
        }
        while let Some(event) = self.node.poll_event() {
            lost |= matches!(event, NodeEvent::Down(..));
        }
        while self.node.poll_writable().is_some() {}
        self.costs.calls += 1;
        self.costs.taken += heap::total() - total;
        self.costs.kept += heap::taken() - taken;
        let waits = self.node.waiting();
        // What was dropped with a connection was sent, too, as far as anyone knows.
        self.costs.sent += if lost { waits } else { waits.saturating_sub(waited) };
        for id in closes {
            assert!(self.node.output(id).is_empty() && !self.node.wants_input(id), "a closed connection is still in use");
            for peer in &mut self.peers {
                drop(peer.take_if(|peer| peer.connection == id));
            }
        }
        for id in hand_over {
            let octets = self.node.output(id).len();
            self.node.advance_output(id, octets);
            let taken = heap::taken();
            drop(self.node.hand_over(self.now, id));
            self.costs.kept += heap::taken() - taken;
        }
        for peer in 0..PEERS {
            self.read(peer);
        }
        result
    }

    /// A peer reads what there is for it.
    fn read(&mut self, peer: usize) {
        let Some(peer) = self.peers[peer].as_mut().filter(|peer| peer.reads) else { return };
        let output = self.node.output(peer.connection).to_vec();
        let taken = heap::taken();
        self.node.advance_output(peer.connection, output.len());
        self.costs.kept += heap::taken() - taken;
        let mut ended = 0;
        let mut input = &output[..];
        let mut visit = |packet: aemp_proto::framing::Packet<'_>| {
            let mut elements = packet.elements();
            let is_request = elements.name().is_some_and(|name| name.is_empty());
            ended += usize::from(is_request && elements.name().is_some_and(|name| name == "kil0"));
        };
        while let Some(event) =
            peer.link.receive(std::mem::take(&mut input), &mut visit).expect("what a node sends is right")
        {
            if event == Event::Greeted {
                // There is no TLS here.
                let _authenticating = peer.link.accept().expect("it may go on");
            }
        }
        if let Some((watches, told)) = &mut peer.watches {
            *told += ended;
            assert!(told <= watches, "{told} ends were told, {watches} were asked for");
        }
    }

    fn connect(&mut self, place: usize, framing: usize) {
        if self.peers[place].is_some() {
            return;
        }
        self.connections = self.connections.wrapping_add(1);
        let random = [self.connections; 32];
        let Ok(connection) = self.call(|node, now| node.open(now, Role::Acceptor, random, None, None)) else { return };
        let framing = Framing::DEFAULT.get(framing).copied().unwrap_or(Framing::Storable);
        let mut config = link_config(&format!("peer{place}"));
        (config.framings, config.send_framings) = (vec![Framing::Cbor], Some(vec![framing]));
        config.keys.extend(["mproto", "gproto"].map(|key| (key.into(), "1".into())));
        let own = OwnGreeting::new(&config, [!self.connections; 32], None).expect("a greeting");
        let link = Link::new(Arc::new(config), Role::Opener, own, Duration::ZERO);
        let (unread, watches) = (Vec::new(), Some((0, 0)));
        self.peers[place] = Some(Peer { connection, link, framing, reads: true, unread, watches });
        for _ in 0..3 {
            self.read(place);
            let Some(peer) = &mut self.peers[place] else { return };
            let output = peer.link.output().to_vec();
            peer.link.advance_output(output.len());
            self.say(place, &output);
        }
    }

    /// A peer sends octets; the node reads what it wants.
    fn say(&mut self, place: usize, octets: &[u8]) {
        let Some(peer) = &mut self.peers[place] else { return };
        peer.unread.extend_from_slice(octets);
        self.give(place);
    }

    fn give(&mut self, place: usize) {
        /// What is read at once.
        const READ: usize = 16 << 10;
        while let Some(peer) = &mut self.peers[place] {
            let id = peer.connection;
            if peer.unread.is_empty() || !self.node.wants_input(id) {
                return;
            }
            let length = peer.unread.len().min(READ);
            let part: Vec<u8> = peer.unread.drain(..length).collect();
            self.costs.came += length;
            self.call(|node, now| node.receive(now, id, &part));
            self.run_node();
        }
    }

    fn close(&mut self, place: usize) {
        if let Some(peer) = self.peers[place].take() {
            self.call(|node, now| node.closed(now, peer.connection, None));
            assert!(self.node.output(peer.connection).is_empty());
        }
    }

    /// Lets the node do what it has to do, and go on with what it has left unread.
    fn run_node(&mut self) {
        self.call(Node::run);
        for _ in 0..10_000 {
            if !self.node.has_work() {
                return;
            }
            self.call(Node::run);
        }
        panic!("the node is never done");
    }

    fn request(&mut self) {
        let (place, kind) = (self.peer(), self.input.octet().unwrap_or_default());
        let times = [1, 1, 1, 2, 5, 30, 200, 1_000][usize::from(self.input.octet().unwrap_or_default() & 7)];
        let before = self.input.clone();
        let Some(framing) = self.peers[place].as_ref().map(|peer| peer.framing) else { return };
        let (mut octets, mut watches) = (Vec::new(), 0);
        for number in 0..times {
            self.input = before.clone();
            let elements = request(&mut self.input, kind, place, number);
            watches += usize::from(elements.get(1).is_some_and(|name| *name == Value::from("mon1")));
            // What cannot be written is not sent.
            let _ = framing.encode(&elements, &Limits { octets: 200_000, ..LIMITS }, &mut octets);
            if self.costs.came + octets.len() > BUDGET {
                break;
            }
        }
        if let Some(Some((asked, _))) = self.peers[place].as_mut().map(|peer| &mut peer.watches) {
            *asked += watches;
        }
        self.say(place, &octets);
    }

    /// A data connection of a peer, perhaps one that is expected.
    fn data_connection(&mut self) {
        let (place, id) = (self.peer(), self.input.octet().unwrap_or_default());
        self.connections = self.connections.wrapping_add(1);
        let random = [self.connections; 32];
        let Ok(connection) = self.call(|node, now| node.open(now, Role::Acceptor, random, None, None)) else { return };
        let secret = "73776f726466697368";
        let said =
            format!("aemp-dataconn;1;peer{place};cleartext;json;dataconn_id=id{}\nx\ncleartext;{secret};json\n", id % 8);
        self.costs.came += said.len();
        self.call(|node, now| node.receive(now, connection, said.as_bytes()));
        self.call(|node, now| node.closed(now, connection, None));
    }

    /// Code of the node's own.
    fn local<R>(&mut self, code: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.costs.local += 2_000;
        self.call(|node, now| node.with(now, code))
    }

    fn own_port(&mut self, name: Option<&str>) {
        let ended = Rc::<Cell<bool>>::default();
        let (has_ended, ends) = (ended.clone(), ended.clone());
        let port = self.local(|context| {
            let handler = move |context: &mut Context<'_>, elements: aemp_proto::framing::Elements<'_>| {
                assert!(!has_ended.get(), "a message after the end");
                let mut values: Vec<Value> = elements.rest()?;
                if let Some(reply) = values.pop().and_then(|value| value.text()?.parse::<PortId>().ok()) {
                    context.send(&reply, &values)?;
                }
                Ok(())
            };
            let port = match name {
                Some(name) => context.named_port(name, handler)?,
                None => context.port(handler),
            };
            context.watch(&port, move |_, _| ends.set(true));
            Some(port)
        });
        self.ports.extend(port.map(|port| (port, ended)));
    }

    fn target(&mut self) -> PortId {
        let choice = self.input.octet().unwrap_or_default();
        let text = match choice % 8 {
            0..3 => return self.ports[usize::from(choice >> 3) % self.ports.len()].0.clone(),
            3 => "nobody#x".into(),
            4 => format!("nobody{}#", choice >> 3),
            5 => format!("peer{}#", choice >> 3 & 3),
            _ => format!("peer{}#n{}", choice >> 3 & 3, choice >> 5),
        };
        text.parse().expect("a port ID")
    }

    fn own_code(&mut self) {
        let (choice, target) = (self.input.octet().unwrap_or_default(), self.target());
        let once = Once::default();
        let happens = once.clone();
        match choice % 14 {
            0 if self.ports.len() < 50 => self.own_port(None),
            1 => {
                let watch = self.local(|context| context.watch(&target, move |_, _| happens.happens()));
                self.watches.push((watch, once));
            }
            2 => {
                if let Some((watch, once)) = self.watches.pop() {
                    self.local(|context| context.unwatch(&watch));
                    once.given_up();
                }
            }
            3 => {
                self.local(|context| context.end(&target, Reasons::die("because")));
                self.ports.iter().filter(|(port, _)| *port == target).for_each(|(_, ended)| ended.set(true));
                // There is one again.
                self.own_port(Some("port"));
            }
            // What cannot be sent is not.
            4 => drop(self.local(|context| context.send(&target, &("hello", choice)))),
            5 => drop(self.local(|context| context.call(&target, &choice, None, move |_, _| happens.happens()))),
            6 => {
                let time = Some(Duration::from_secs(3));
                drop(self.local(|context| context.call(&target, &choice, time, move |_, _| happens.happens())));
            }
            7 => drop(self.local(|context| context.spawn(target.node(), "work", &1))),
            8 => drop(self.local(|context| context.db_set("f", &format!("k{}", choice >> 4), &choice))),
            9 => self.local(|context| context.db_del("f", [&*format!("k{}", choice >> 4)])),
            10 => self.local(|context| context.db_family("f", move |_, _| happens.happens())),
            11 => self.local(|context| context.db_keys("f", move |_, _| happens.happens())),
            12 => drop(self.local(|context| context.db_watch("f", |_, _| {}))),
            _ => {
                let time = Duration::from_secs(5);
                let failed = move |_: &mut Context<'_>, _| happens.happens();
                drop(self.local(|context| context.data_connect([choice; 16], target.node(), "data", &1, time, failed)));
            }
        }
    }

    fn check(&self) {
        let Costs { came, sent, calls, local, taken, kept } = self.costs;
        let paid = came + sent + local + calls * CALL;
        assert!(
            taken <= TAKEN * paid + START,
            "{taken} octets were taken from the heap for {paid} ({came} came, {sent} were sent)"
        );
        let work = self.node.work();
        assert!(
            work <= WORK * paid as u64 + 100_000,
            "{work} units of work for {paid} octets ({came} came, {sent} were sent)"
        );
        let most = KEPT * (came + local) + sent + calls * CALL + START;
        assert!(kept <= most as isize, "{kept} octets are kept for {came} that came");
        // What the node counts is what it holds: all but what its own code has asked for, and what is there from the start.
        let held = self.node.held();
        let most = held + held / 2 + 3 * local + calls * CALL + START;
        assert!(kept <= most as isize, "{kept} octets are kept, and {held} are counted");
        assert!(held <= KEPT * (came + local) + sent + START, "{held} octets are counted for {came} that came");
    }

    /// All leave, and time passes: what is kept is little.
    fn leave(mut self) {
        for place in 0..PEERS {
            self.close(place);
        }
        for dial in std::mem::take(&mut self.dials) {
            self.call(|node, now| node.dial_failed(now, dial, "nobody answers"));
        }
        for _ in 0..20 {
            self.now += Duration::from_secs(61);
            self.run_node();
            for dial in std::mem::take(&mut self.dials) {
                self.call(|node, now| node.dial_failed(now, dial, "nobody answers"));
            }
        }
        self.check();
    }
}
