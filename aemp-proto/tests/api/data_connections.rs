//! Data connections of nodes in a network that exists in memory.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::support::host::Stream;
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Context, DataTaker, NodeConfig, NodeEvent, Reasons};
use aemp_proto::framing::{Framing, Packet};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;
use serde::Serialize;

const SECOND: Duration = Duration::from_secs(1);

/// A host whose address others are told, or not: its number.
fn config(name: &str, host: usize, listens: bool) -> NodeConfig {
    NodeConfig { addresses: if listens { vec![host.to_string()] } else { Vec::new() }, ..node_config(name) }
}

/// The node `a`, which asks, and `b`, which takes what is asked of `Files::take`; they are connected, by the side that can
/// be.
fn pair(a_listens: bool, b_listens: bool, change: impl Fn(&mut NodeConfig)) -> World {
    let mut world = World::new(7);
    world.latency = Duration::from_millis(20);
    // Whoever does not listen has to be reached by the seed.
    for (name, listens) in [("a", a_listens), ("b", b_listens)] {
        let host = world.hosts.len();
        let mut config = config(name, host, listens);
        change(&mut config);
        world.add(config);
    }
    let now = world.now;
    world.node(1).with(now, |context| assert!(context.data_accept("Files::take")));
    let seed = world.add(NodeConfig { global: true, ..config("seed", 2, true) });
    for (host, listens) in [(0, b_listens), (1, !b_listens && a_listens)] {
        if listens {
            world.dial(host, 1 - host);
        }
        world.dial(host, seed);
    }
    world.run_for(3 * SECOND);
    world
}

/// What came of asking: nothing yet, or why there is no data connection.
type Failed = Rc<RefCell<Vec<Vec<Value>>>>;

/// Has `a` ask for a data connection.
fn ask_of<T: Serialize>(
    world: &mut World,
    node: &str,
    function: &str,
    arguments: &T,
    timeout: Duration,
) -> (PortId, Failed) {
    let failed = Failed::default();
    let told = failed.clone();
    let random = u128::from(world.random.next()) << 64 | u128::from(world.random.next());
    let (now, node) = (world.now, NodeId::new(node).expect("a node ID"));
    let port = world.node(0).with(now, |context| {
        let on_failure = move |_: &mut Context<'_>, reasons: Reasons| told.borrow_mut().push(reasons.values().to_vec());
        context.data_connect(random.to_be_bytes(), &node, function, arguments, timeout, on_failure).expect("it is small")
    });
    (port, failed)
}

fn ask(world: &mut World, function: &str, timeout: Duration) -> (PortId, Failed) {
    ask_of(world, "b", function, &("x", 3), timeout)
}

fn only_stream(world: &mut World, host: usize) -> &mut Stream {
    let streams = &mut world.hosts[host].streams;
    assert_eq!(streams.len(), 1, "of host {host}");
    streams.values_mut().next().expect("one")
}

/// Sends octets both ways, and messages meanwhile; all of it arrives where it belongs.
fn talk(world: &mut World) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (port, now) = (heard.clone(), world.now);
    let inbox = world.node(1).with(now, |context| {
        context.port(move |_, elements| {
            port.borrow_mut().push(elements.rest::<u64>()?);
            Ok(())
        })
    });
    // Octets that look like packets, and others.
    let from_a: Vec<u8> =
        (0..50_000u32).flat_map(|number| format!("[\"{}\",{number}]\n", inbox.port()).into_bytes()).collect();
    let from_b: Vec<u8> = (0..90_000u32).map(|number| (number.wrapping_mul(number) >> 3) as u8).collect();
    only_stream(world, 0).to_say.extend_from_slice(&from_a);
    only_stream(world, 1).to_say.extend_from_slice(&from_b);
    for number in 0..1000u64 {
        let now = world.now;
        world.node(0).with(now, |context| context.send(&inbox, &number).expect("it is small"));
        world.run_for(Duration::from_millis(5));
    }
    world.run_for(5 * SECOND);
    assert!(only_stream(world, 1).heard == from_a && only_stream(world, 0).heard == from_b);
    assert_eq!(*heard.borrow(), (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_data_connection_is_opened_from_whichever_side_can() {
    // DATA-1, DATA-2, DATA-4, DATA-6, DATA-12, DATA-20, DATA-21, DATA-22
    for (a_listens, b_listens) in [(false, true), (true, true), (true, false)] {
        let mut world = pair(a_listens, b_listens, |_| {});
        let (port, failed) = ask(&mut world, "Files::take", 10 * SECOND);
        world.run_for(SECOND);
        assert_eq!(*failed.borrow(), Vec::<Vec<Value>>::new());
        let (a, b) = (world.id(0), world.id(1));
        assert_eq!(only_stream(&mut world, 0).data.peer, b);
        assert_eq!(only_stream(&mut world, 1).data.peer, a);
        assert_eq!(only_stream(&mut world, 0).data.taker, DataTaker::Asked(port));
        let DataTaker::Function { name, arguments } = only_stream(&mut world, 1).data.taker.clone() else { panic!("asked") };
        let arguments = Packet::parse(Framing::Cbor, &arguments, &Default::default()).expect("a packet");
        assert_eq!((&*name, arguments.decode::<(String, u64)>().expect("as asked")), ("Files::take", ("x".into(), 3)));
        talk(&mut world);
        // Much later it still stands, and nobody counts it as a connection to the node.
        world.run_for(400 * SECOND);
        assert!(!only_stream(&mut world, 0).ended && !only_stream(&mut world, 1).ended);
        assert_eq!((failed.borrow().len(), world.node(0).up_nodes().filter(|node| **node == b).count()), (0, 1));
    }
}

#[test]
fn a_data_connection_outlives_the_other_connection_of_the_pair() {
    // DATA-9
    let mut world = pair(false, true, |_| {});
    ask(&mut world, "Files::take", 10 * SECOND);
    world.run_for(SECOND);
    // The first wire is the connection of the nodes, the last one carries data.
    let wires = world.wires_between(0, 1);
    assert_eq!(wires.len(), 2);
    world.break_wire(wires[0]);
    world.run_for(SECOND / 2);
    assert!(world.hosts[0].events.iter().any(|event| matches!(event, NodeEvent::Down(node, _) if node.as_str() == "b")));
    world.run_for(3 * SECOND);
    talk(&mut world);
}

#[test]
fn who_asks_for_what_is_not_there_hears_so_at_once() {
    // DATA-8, DATA-13, DATA-14
    let mut world = pair(false, true, |_| {});
    let text = "no function of that name takes data connections here";
    for secure in [false, true] {
        let (_, failed) = ask(&mut world, if secure { "Files::take" } else { "Files::none" }, 10 * SECOND);
        world.run_for(SECOND / 2);
        assert_eq!(*failed.borrow(), [["AnyEvent::MP::DataConn".into(), Value::from(text)]]);
        // In secure mode there is no such function.
        world = pair(false, true, |config| config.secure = config.link.node.as_str() == "b");
    }
}

#[test]
fn without_a_listener_on_either_side_that_is_said_at_once() {
    // DATA-23, DATA-25
    let mut world = World::new(1);
    for (name, listens) in [("a", false), ("b", false), ("seed", true)] {
        let host = world.hosts.len();
        world.add(NodeConfig { global: name == "seed", ..config(name, host, listens) });
    }
    // One has reached the other once, so they are connected; nothing else comes through.
    world.dial(0, 1);
    world.dial(0, 2);
    world.dial(1, 2);
    world.run_for(3 * SECOND);
    let now = world.now;
    world.node(1).with(now, |context| context.data_accept("Files::take"));
    world.cut = vec![(0, 1)];
    let (_, failed) = ask(&mut world, "Files::take", 20 * SECOND);
    world.run_for(5 * SECOND);
    let failed = failed.borrow();
    let [reasons] = &failed[..] else { panic!("{failed:?}") };
    let Value::Text(text) = &reasons[1] else { panic!("{reasons:?}") };
    assert!(text.ends_with(", and this node does not listen"), "{text}");
}

#[test]
fn what_takes_too_long_fails_on_both_sides_and_is_forgotten() {
    // DATA-16
    let mut world = pair(true, true, |_| {});
    world.cut = vec![(0, 1)];
    let (_, failed) = ask(&mut world, "Files::take", 3 * SECOND);
    world.run_for(2 * SECOND);
    assert!(failed.borrow().is_empty());
    world.run_for(2 * SECOND);
    assert_eq!(*failed.borrow(), [["AnyEvent::MP::DataConn", "no data connection within 3s"].map(Value::from)]);
    world.cut.clear();
    world.run_for(10 * SECOND);
    assert_eq!((world.hosts[0].streams.len(), world.hosts[1].streams.len(), failed.borrow().len()), (0, 0, 1));
    // Nothing of it is in the way of the next one.
    ask(&mut world, "Files::take", 3 * SECOND);
    world.run_for(SECOND);
    talk(&mut world);
}

#[test]
fn the_loss_of_the_node_ends_the_waiting() {
    // DATA-19
    let mut world = pair(false, true, |_| {});
    world.cut = vec![(0, 1)];
    let (_, failed) = ask(&mut world, "Files::take", 30 * SECOND);
    world.run_for(SECOND / 5);
    world.crash(1, false);
    world.run_for(SECOND);
    let failed = failed.borrow();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0][..2], ["transport_error", "b"].map(Value::from));
}

#[test]
fn a_node_that_cannot_be_reached_is_a_failure_like_for_any_watch() {
    let mut world = pair(false, true, |_| {});
    let (_, failed) = ask_of(&mut world, "nobody", "x", &(), 10 * SECOND);
    world.run_for(3 * SECOND);
    assert_eq!(*failed.borrow(), [["transport_error", "nobody", "no known address"].map(Value::from)]);
}

#[test]
fn giving_up_is_no_failure_and_leaves_nothing_behind() {
    let mut world = pair(false, true, |_| {});
    for wait in [0, 30, 60, 90, 120, 150] {
        let (port, _) = ask(&mut world, "Files::take", 10 * SECOND);
        world.run_for(Duration::from_millis(wait));
        let now = world.now;
        world.node(0).with(now, |context| context.end(&port, Reasons::normal()));
    }
    world.run_for(11 * SECOND);
    let stands = world.hosts[0].streams.len();
    // What stood already when it was given up is its owner's to close.
    assert!(world.hosts[1].streams.values().filter(|stream| !stream.ended).count() <= stands);
    assert_eq!(world.wires_between(0, 1).len(), 1 + stands);
}

#[test]
fn there_is_a_bound_for_what_is_expected() {
    // DATA-18
    let mut world = pair(false, true, |config| {
        (config.data_expected_of_peer, config.data_arguments) = (3, 100);
    });
    world.cut = vec![(0, 1)];
    let asked: Vec<_> = (0..5).map(|_| ask(&mut world, "Files::take", 10 * SECOND).1).collect();
    world.run_for(SECOND);
    let failed: Vec<_> = asked.iter().map(|failed| failed.borrow().len()).collect();
    assert_eq!(failed, [0, 0, 0, 1, 1]);
    let Value::Text(text) = &asked[4].borrow()[0][1] else { panic!("a text") };
    assert!(text.contains("too many"), "{text}");
    world.run_for(20 * SECOND);
    let (_, failed) = ask_of(&mut world, "b", "Files::take", &"x".repeat(200), 10 * SECOND);
    world.run_for(SECOND);
    let Value::Text(text) = &failed.borrow()[0][1] else { panic!("a text") };
    assert!(text.contains("the arguments are too large"), "{text}");
}

#[test]
fn a_node_has_no_data_connection_to_itself() {
    let mut world = pair(false, true, |_| {});
    let (_, failed) = ask_of(&mut world, "a", "Files::take", &(), 10 * SECOND);
    world.settle();
    assert_eq!(failed.borrow().len(), 1);
}

#[test]
fn whatever_happens_to_the_network_each_request_has_one_outcome() {
    // DATA-16, DATA-17, DATA-19
    let (mut stood, mut none) = (0, 0);
    for seed in 0..150 {
        let listens = [seed % 3 != 0, seed % 3 != 1];
        let mut world = pair(listens[0], listens[1], |config| config.link.handshake_timeout = 5 * SECOND);
        world.random.0 = seed;
        world.latency = Duration::from_millis(1 + world.random.below(400));
        world.frailty = world.random.below(4);
        let mut asked = Vec::new();
        for _ in 0..10 {
            let timeout = Duration::from_millis(100 + world.random.below(6000));
            let function = if world.random.chance(8) { "Files::none" } else { "Files::take" };
            asked.push(ask(&mut world, function, timeout));
            match world.random.below(6) {
                0 => world.cut = vec![(0, 1)],
                1 => world.cut.clear(),
                2 => {
                    for wire in world.wires_between(0, 1) {
                        if world.random.chance(2) {
                            world.break_wire(wire);
                        }
                    }
                }
                3 if world.random.chance(3) => {
                    let silently = world.random.chance(2);
                    world.crash(1, silently);
                    world.start(1);
                    let now = world.now;
                    world.node(1).with(now, |context| context.data_accept("Files::take"));
                    for seed in [2, 0].into_iter().filter(|host| *host == 2 || listens[0]) {
                        world.dial(1, seed);
                    }
                }
                _ => {}
            }
            let time = Duration::from_millis(world.random.below(1500));
            world.run_for(time);
        }
        world.cut.clear();
        // Longer than anyone waits for anything, a node that has vanished without a word included.
        world.run_for(150 * SECOND);
        for (port, failed) in asked {
            let stands = |stream: &&Stream| stream.data.taker == DataTaker::Asked(port.clone());
            let streams = world.hosts[0].streams.values().filter(stands).count();
            assert_eq!(streams + failed.borrow().len(), 1, "seed {seed}: {:?}", failed.borrow());
            stood += streams;
            none += failed.borrow().len();
        }
        assert_eq!((world.node(0).data_under_way(), world.node(1).data_under_way()), (0, 0), "seed {seed}");
        // Nothing of the making is left open.
        let open = world.hosts[0].streams.values().filter(|stream| !stream.ended).count();
        assert!(world.wires_between(0, 1).len() <= 1 + open, "seed {seed}");
    }
    assert!(stood > 300 && none > 300, "{stood} stood, {none} did not");
}
