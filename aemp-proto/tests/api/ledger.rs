//! The memory that a node holds for its peers: counted as it is, within its ceiling, and taken from the peer that has most.

use std::rc::Rc;
use std::time::Duration;

use crate::checks::heap;
use crate::support::pair::{Told, config, give, link, take};
use crate::support::world::node_config;
use aemp_proto::actor::{Access, ConnectionId, Memory, MemoryKind, Node, NodeConfig, NodeEvent};
use aemp_proto::framing::Framing;
use aemp_proto::link::{Link, Role};
use aemp_proto::value::Value;

const NOW: Duration = Duration::ZERO;

/// A node with peers.
struct Stage {
    node: Node,
    opened: u32,
    events: Vec<NodeEvent>,
}

struct Peer {
    id: ConnectionId,
    link: Link,
}

impl Stage {
    fn new(config: NodeConfig) -> Self {
        Stage { node: Node::new(config, 1, NOW, NOW), opened: 0, events: Vec::new() }
    }

    /// A peer that is up.
    fn peer(&mut self, name: &str) -> Peer {
        self.opened += 1;
        let mut random = [0; 32];
        random[..4].copy_from_slice(&self.opened.to_be_bytes());
        let id = self.node.open(NOW, Role::Acceptor, random, None, None).expect("there is room");
        let mut peer = Peer { id, link: link(config(name), Role::Opener) };
        self.exchange(&mut peer);
        assert!(peer.link.is_up() && peer.link.sends() == Some(Framing::Cbor));
        peer
    }

    /// Carries octets to and fro until there are no more; what the peer hears.
    fn exchange(&mut self, peer: &mut Peer) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let octets = take(&mut peer.link);
            self.give(peer, &octets);
            let output = self.node.output(peer.id).to_vec();
            self.node.advance_output(peer.id, output.len());
            if output.is_empty() {
                break;
            }
            give(&mut peer.link, &output, &mut told).expect("what a node sends is right");
        }
        told.into_iter().filter_map(|told| if let Told::Packet(packet) = told { Some(packet) } else { None }).collect()
    }

    /// Gives the node octets of a peer, whose side does not know of them.
    fn give(&mut self, peer: &Peer, octets: &[u8]) {
        for octets in octets.chunks(64 << 10) {
            self.node.receive(NOW, peer.id, octets);
            while self.node.has_work() {
                self.node.run(NOW);
            }
            self.take_events();
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.node.poll_event() {
            self.events.push(event);
        }
        while self.node.poll_action().is_some() || self.node.poll_writable().is_some() {}
    }

    /// Lets so much time pass that everything is looked at.
    fn tick(&mut self) {
        for tenth in 1..=3 {
            self.node.run(NOW + Duration::from_millis(100 * tenth));
        }
        self.take_events();
    }

    /// Whether a peer is up, and gets an answer.
    fn answers(&mut self, peer: &mut Peer, name: &str) -> bool {
        peer.link.send(&("", "snd", name, "there?")).expect("it is up");
        // To its node port it comes without a name.
        !self.exchange(peer).is_empty()
    }

    fn given_up(&mut self) -> Vec<(String, MemoryKind)> {
        let given_up = |event| match event {
            NodeEvent::GivenUp { node, kind, .. } => Some((node.to_string(), kind)),
            _ => None,
        };
        std::mem::take(&mut self.events).into_iter().filter_map(given_up).collect()
    }
}

/// The beginning of a packet for a port, in cbor: all of it but the last of so many octets of text.
fn unfinished(octets: usize) -> Vec<u8> {
    let mut packet = vec![0x82, 0x64];
    packet.extend(b"port");
    packet.push(0x7a);
    packet.extend((octets as u32).to_be_bytes());
    packet.resize(packet.len() + octets - 1, b'x');
    packet
}

#[test]
fn unfinished_packets_of_many_peers_stay_within_their_share_and_a_small_peer_survives() {
    // 40 peers with 65 MB each against a ceiling of 1 GiB, at a sixteenth of the size.
    let ceiling = (1 << 30) / 16;
    let mut stage = Stage::new(NodeConfig { memory: Memory::of(ceiling), ..node_config("node") });
    let before = heap::taken();
    let mut honest = stage.peer("honest");
    stage.give(&honest, &unfinished(1000));
    let packet = unfinished(65_000_000 / 16);
    let attackers: Vec<_> = (0..40).map(|number| stage.peer(&format!("attacker{number}"))).collect();
    let mut most = 0;
    // All at once, each a piece at a time.
    for piece in packet.chunks(64 << 10) {
        for attacker in &attackers {
            stage.give(attacker, piece);
            let held = stage.node.held();
            most = most.max(held);
            assert!(held <= ceiling, "SEC-13: {held} octets");
        }
    }
    assert!(most > ceiling / 8, "they have held much: {most}");
    let given_up = stage.given_up();
    assert!(given_up.len() >= 20, "SEC-13: {given_up:?}");
    assert!(given_up.iter().all(|(node, kind)| node.starts_with("attacker") && *kind == MemoryKind::Packets));
    let allocated = heap::since(before);
    assert!(allocated <= ceiling, "{allocated} octets are allocated");
    // The rest of its packet comes, and what comes behind it is answered.
    stage.give(&honest, b"x");
    assert!(stage.answers(&mut honest, "honest"), "SEC-13");
}

#[test]
fn one_large_packet_costs_little_more_than_itself_and_nothing_when_it_is_there() {
    let mut stage = Stage::new(node_config("node"));
    let peer = stage.peer("peer");
    let before = heap::taken();
    let packet = unfinished(30_000_000);
    stage.give(&peer, &packet);
    let held = stage.node.memory().packets;
    assert!(held >= packet.len() && held < packet.len() * 13 / 10, "{held} octets");
    let allocated = heap::since(before) - packet.capacity();
    assert!(allocated < packet.len() * 13 / 10, "{allocated} octets are allocated");
    stage.give(&peer, b"x");
    assert_eq!(stage.node.memory().packets, 0);
    let id = peer.id;
    stage.give(&peer, &unfinished(1_000_000));
    assert!(stage.node.memory().packets > 1_000_000);
    stage.node.closed(NOW, id, None);
    assert_eq!(stage.node.memory().packets, 0, "what a peer held is given back with its connection");
}

/// What is allocated for what `fill` does, and what the node says that it holds more than before.
fn compare(stage: &mut Stage, fill: impl FnOnce(&mut Stage)) -> (f64, Memory) {
    let (held, allocated) = (stage.node.memory(), heap::taken());
    fill(stage);
    let (after, grown) = (stage.node.memory(), heap::since(allocated));
    let more = Memory {
        queues: after.queues - held.queues,
        packets: after.packets - held.packets,
        database: after.database - held.database,
        tables: after.tables - held.tables,
    };
    (more.total() as f64 / grown as f64, more)
}

#[track_caller]
fn is_near(what: &str, (ratio, more): (f64, Memory)) {
    println!("{what}: {ratio:.2} of what is allocated, {more:?}");
    assert!((1.0 / 1.5..1.5).contains(&ratio), "{what}: {ratio:.2} of what is allocated: {more:?}");
}

#[test]
fn what_is_counted_is_what_is_allocated_within_a_factor_of_one_and_a_half() {
    let mut stage = Stage::new(NodeConfig { connecting_of_peer: 10_000, ..node_config("node") });
    stage.node.with(NOW, |context| context.register("make", Access::SPAWN, Rc::new(|_, _| Ok(()))));
    stage.node.with(NOW, |context| assert!(context.data_accept("take")));
    let peers = compare(&mut stage, |stage| {
        for number in 0..500 {
            let mut peer = stage.peer(&format!("peer{number}"));
            stage.exchange(&mut peer);
            // Its own side is not the node's.
            drop(peer);
        }
    });
    is_near("peers", peers);
    let mut peer = stage.peer("peer");
    let say = |stage: &mut Stage, peer: &mut Peer, message: &[Value]| {
        peer.link.send(message).expect("it is up");
        stage.exchange(peer);
        peer.link.advance_output(peer.link.output().len());
    };
    let spawned = compare(&mut stage, |stage| {
        for number in 0..5000 {
            let name = format!("{number:0200}");
            say(stage, &mut peer, &["".into(), "AnyEvent::MP::_spawn".into(), name.into(), "make".into()]);
        }
    });
    is_near("spawned ports", spawned);
    let watches = compare(&mut stage, |stage| {
        for number in 0..5000 {
            say(stage, &mut peer, &["".into(), "mon1".into(), format!("{number:0200}").into()]);
        }
    });
    is_near("watches", watches);
    let data = compare(&mut stage, |stage| {
        for number in 0..100 {
            let request = ["".into(), "AnyEvent::MP::DataConn::_expect".into(), format!("{number:0250}").into()];
            let rest = ["peer#waits".into(), Value::from(100u64), "take".into(), "a".repeat(2000).into()];
            say(stage, &mut peer, &[&request[..], &rest].concat());
        }
    });
    is_near("data connections", data);
    let named = compare(&mut stage, |stage| {
        for number in 0..5000 {
            let to = format!("{number:0200}#p");
            say(stage, &mut peer, &["".into(), "snd".into(), to.into(), "x".into()]);
        }
    });
    is_near("nodes that are named", named);
    let queue = compare(&mut stage, |stage| {
        let port = "peer#p".parse().expect("a port ID");
        for _ in 0..100 {
            stage.node.with(NOW, |context| context.send(&port, &"x".repeat(100_000)).expect("small"));
        }
        stage.take_events();
    });
    is_near("a queue", queue);
    let packet = unfinished(20_000_000);
    let packets = compare(&mut stage, |stage| stage.give(&peer, &packet));
    is_near("a packet", packets);
    let mut stage = Stage::new(NodeConfig { global: true, ..node_config("node") });
    let mut peer = stage.peer("peer");
    let families = compare(&mut stage, |stage| {
        for number in 0..5000 {
            say(stage, &mut peer, &["".into(), "g_mon1".into(), format!("f{number:0200}").into()]);
        }
    });
    is_near("watched families", families);
}

#[test]
fn tables_have_a_share_and_who_fills_them_is_given_up() {
    let memory = Memory { tables: 500_000, ..Memory::default() };
    let mut stage = Stage::new(NodeConfig { memory, ..node_config("node") });
    let names: Vec<_> = (0..10_000).map(|number| format!("p{number}")).collect();
    stage.node.with(NOW, |context| {
        for name in &names {
            context.named_port(name, |_, _| Ok(())).expect("free");
        }
    });
    let (mut honest, mut greedy) = (stage.peer("honest"), stage.peer("greedy"));
    honest.link.send(&("", "mon1", "p1")).expect("it is up");
    stage.exchange(&mut honest);
    for name in &names {
        greedy.link.send(&("", "mon1", name)).expect("it is up");
    }
    stage.exchange(&mut greedy);
    stage.tick();
    assert_eq!(stage.given_up(), [("greedy".to_owned(), MemoryKind::Tables)], "SEC-13");
    assert_eq!((stage.node.watched(), stage.answers(&mut honest, "honest")), (1, true));
}

#[test]
fn families_that_are_watched_count_as_tables() {
    let memory = Memory { tables: 500_000, ..Memory::default() };
    let mut stage = Stage::new(NodeConfig { memory, global: true, ..node_config("node") });
    let (mut honest, mut greedy) = (stage.peer("honest"), stage.peer("greedy"));
    honest.link.send(&("", "g_mon1", "f")).expect("it is up");
    stage.exchange(&mut honest);
    for number in 0..5_000 {
        greedy.link.send(&("", "g_mon1", format!("f{number}"))).expect("it is up");
    }
    stage.exchange(&mut greedy);
    stage.tick();
    assert_eq!(stage.given_up(), [("greedy".to_owned(), MemoryKind::Tables)], "SEC-13");
    assert!(stage.answers(&mut honest, "honest"));
}
