//! The cost of a message: scanning, decoding and encoding, beside serde_json in the same run, and a whole link to a link.
//!
//! `cargo bench -p aemp-proto`; figures in `docs/performance.md`.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::actor::{ConnectionId, Node, NodeConfig};
use aemp_proto::auth::Secret;
use aemp_proto::framing::{Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A small message, as it is sent most: port, tag, a number, a port ID to answer to.
type Small<'a> = (&'a str, &'a str, u64, &'a str);
const SMALL: Small<'static> = ("yPLm3824cb", "tick", 4711, "seed#yOLeTj00Mb");

/// Messages in one buffer, as one read from a socket brings them.
const BATCH: usize = 1000;

fn batch(framing: Framing, message: &impl serde::Serialize) -> Vec<u8> {
    let mut octets = Vec::new();
    for _ in 0..BATCH {
        framing.encode(message, &Limits::default(), &mut octets).expect("a tuple is a packet");
    }
    octets
}

/// Finds the packets of a batch and calls `visit` with each one's octets.
fn scan<'a>(scanner: &mut Scanner, mut octets: &'a [u8], mut visit: impl FnMut(&'a [u8])) {
    while let Scan::Packet { start, end } = scanner.scan(octets).expect("the batch is well-formed") {
        visit(&octets[start..end]);
        octets = &octets[end..];
    }
}

fn receiving(criterion: &mut Criterion) {
    let payload = "x".repeat(1024);
    for (size, message) in [("small", SMALL), ("1 KiB", ("yPLm3824cb", "tick", 4711, payload.as_str()))] {
        let mut group = criterion.benchmark_group(format!("receive {size}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let json = batch(Framing::Json, &message);
        group.bench_function("serde_json validate only", |bencher| {
            bencher.iter(|| {
                let stream = serde_json::Deserializer::from_slice(&json).into_iter::<serde::de::IgnoredAny>();
                assert_eq!(stream.filter(Result::is_ok).count(), BATCH);
            });
        });
        group.bench_function("serde_json typed", |bencher| {
            bencher.iter(|| {
                for packet in serde_json::Deserializer::from_slice(&json).into_iter::<Small<'_>>() {
                    black_box(packet.expect("json"));
                }
            });
        });
        for framing in Framing::ALL {
            let octets = batch(framing, &message);
            let mut scanner = Scanner::new(framing, Limits::default());
            group.bench_function(BenchmarkId::new("scan", framing), |bencher| {
                bencher.iter(|| scan(&mut scanner, &octets, |packet| _ = black_box(packet)));
            });
            let mut packets = Vec::new();
            scan(&mut scanner, &octets, |octets| {
                packets.push(Packet::parse(framing, octets, &Limits::default()).expect("a packet"));
            });
            group.bench_function(BenchmarkId::new("typed decode of a scanned packet", framing), |bencher| {
                bencher.iter(|| {
                    for packet in &packets {
                        black_box(packet.decode::<Small<'_>>().expect("the same type"));
                    }
                });
            });
            group.bench_function(BenchmarkId::new("decode into Value", framing), |bencher| {
                bencher.iter(|| {
                    for packet in &packets {
                        black_box(packet.decode::<Value>().expect("a value"));
                    }
                });
            });
        }
        group.finish();
    }
}

fn sending(criterion: &mut Criterion) {
    let payload = "x".repeat(1024);
    for (size, message) in [("small", SMALL), ("1 KiB", ("yPLm3824cb", "tick", 4711, payload.as_str()))] {
        let mut group = criterion.benchmark_group(format!("send {size}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let mut out = Vec::new();
        group.bench_function("serde_json typed", |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..BATCH {
                    serde_json::to_writer(&mut out, black_box(&message)).expect("json");
                }
            });
        });
        for framing in Framing::ALL {
            group.bench_function(BenchmarkId::new("encode", framing), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    for _ in 0..BATCH {
                        framing.encode(black_box(&message), &Limits::default(), &mut out).expect("a packet");
                    }
                });
            });
        }
        group.finish();
    }
}

/// Two links, authenticated.
fn links(framing: Framing) -> (Link, Link) {
    let link = |node: &str, role, random| {
        let mut config = Config::new(NodeId::new(node).expect("a node ID"));
        config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
        config.framings = vec![framing];
        let greeting = OwnGreeting::new(&config, random, None).expect("a greeting");
        Link::new(Arc::new(config), role, greeting, Duration::ZERO)
    };
    let (mut opener, mut acceptor) = (link("a", Role::Opener, [1; 32]), link("b", Role::Acceptor, [2; 32]));
    for _ in 0..3 {
        carry(&mut opener, &mut acceptor, |_| {});
        carry(&mut acceptor, &mut opener, |_| {});
    }
    assert!(opener.is_up() && acceptor.is_up());
    (opener, acceptor)
}

fn carry(from: &mut Link, to: &mut Link, mut visit: impl FnMut(Packet<'_>)) {
    let mut input = from.output();
    while let Some(event) = to.receive(std::mem::take(&mut input), &mut visit).expect("the peer behaves") {
        if event == Event::Greeted {
            assert_eq!(to.accept(), Ok(Accepted::Authenticating));
        }
    }
    from.advance_output(from.output().len());
}

fn link_to_link(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("link to link");
    group.throughput(Throughput::Elements(BATCH as u64));
    for framing in Framing::ALL {
        let (mut from, mut to) = links(framing);
        group.bench_function(BenchmarkId::new("send, scan, decode", framing), |bencher| {
            bencher.iter(|| {
                for _ in 0..BATCH {
                    from.send(black_box(&SMALL)).expect("a packet");
                }
                let mut arrived = 0;
                carry(&mut from, &mut to, |packet| {
                    arrived += 1;
                    black_box(packet.decode::<Small<'_>>().expect("the same type"));
                });
                assert_eq!(arrived, BATCH);
            });
        });
    }
    group.finish();
}

/// Two nodes that are connected, and what goes to and fro between them.
fn nodes(framing: Framing) -> ([Node; 2], [ConnectionId; 2]) {
    let node = |name: &str| {
        let mut config = Config::new(NodeId::new(name).expect("a node ID"));
        config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
        config.framings = vec![framing];
        Node::new(NodeConfig::new(config), 1, Duration::ZERO, Duration::ZERO)
    };
    let mut nodes = [node("a"), node("b")];
    let mut open =
        |place: usize, role| nodes[place].open(Duration::ZERO, role, [place as u8; 32], None, None).expect("a connection");
    let ids = [open(0, Role::Opener), open(1, Role::Acceptor)];
    for _ in 0..4 {
        exchange(&mut nodes, ids, 0);
        exchange(&mut nodes, ids, 1);
    }
    assert_eq!(nodes[0].up_nodes().count(), 1);
    (nodes, ids)
}

/// Carries what one node has to send to the other.
fn exchange([a, b]: &mut [Node; 2], ids: [ConnectionId; 2], from: usize) {
    let (sender, receiver) = if from == 0 { (a, b) } else { (b, a) };
    let octets = sender.output(ids[from]);
    receiver.receive(Duration::ZERO, ids[1 - from], octets);
    sender.advance_output(ids[from], sender.output(ids[from]).len());
    while sender.poll_writable().is_some() {}
    while sender.poll_event().is_some() {}
    if receiver.has_work() {
        receiver.run(Duration::ZERO);
    }
}

/// A port that decodes and checks each number, and how many came.
fn counting_port(node: &mut Node) -> (PortId, Rc<Cell<u64>>) {
    let arrived = Rc::new(Cell::new(0));
    let expected = arrived.clone();
    let port = node.with(Duration::ZERO, |context| {
        context.port(move |_, elements| {
            let (tag, number, _): (&str, u64, &str) = elements.rest()?;
            if tag != "tick" || number != expected.get() {
                return Err("out of order".into());
            }
            expected.set(number + 1);
            Ok(())
        })
    });
    (port, arrived)
}

fn node_to_node(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node to node");
    group.throughput(Throughput::Elements(BATCH as u64));
    for framing in Framing::ALL {
        let (mut nodes, ids) = nodes(framing);
        let (port, arrived) = counting_port(&mut nodes[1]);
        let mut number = 0u64;
        group.bench_function(BenchmarkId::new("snd to a port that decodes", framing), |bencher| {
            bencher.iter(|| {
                nodes[0].with(Duration::ZERO, |context| {
                    for _ in 0..BATCH {
                        context.send(&port, &("tick", number, "seed#yOLeTj00Mb")).expect("small");
                        number += 1;
                    }
                });
                exchange(&mut nodes, ids, 0);
            });
        });
        assert_eq!(arrived.get(), number, "messages were lost");
    }
    let (mut nodes, _) = nodes(Framing::Cbor);
    let (port, arrived) = counting_port(&mut nodes[0]);
    let mut number = 0u64;
    group.bench_function("snd to a port of the same node", |bencher| {
        bencher.iter(|| {
            nodes[0].with(Duration::ZERO, |context| {
                for _ in 0..BATCH {
                    context.send(&port, &("tick", number, "seed#yOLeTj00Mb")).expect("small");
                    number += 1;
                }
            });
            nodes[0].run(Duration::ZERO);
        });
    });
    assert_eq!(arrived.get(), number, "messages were lost");
    group.finish();
}

criterion_group!(benches, receiving, sending, link_to_link, node_to_node);
criterion_main!(benches);
