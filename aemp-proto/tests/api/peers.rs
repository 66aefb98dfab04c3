//! Other nodes: connections that compete, strangers, silence, too much.

use std::time::Duration;

use crate::support::pair::{config, give, take};
use crate::support::ports::{heard, log, noting, noting_reasons, port, two, values, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Node, NodeConfig, NodeEvent, Reasons};
use aemp_proto::link::{Link, OwnGreeting, Role};
use aemp_proto::value::Value;

/// A connection of a stranger who greets under a name, and has no secret.
fn stranger(node: &mut Node, now: Duration, name: &str, methods: &str) -> aemp_proto::actor::ConnectionId {
    let id = node.open(now, Role::Acceptor, [77; 32], None, None).expect("a connection");
    node.receive(now, id, format!("aemp;1;{name};{methods};json\nnonce\n").as_bytes());
    id
}

#[test]
fn simultaneous_connections_end_as_one_and_lose_nothing() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.latency = Duration::from_millis(20);
        let (a, b) = (world.add(node_config("a")), world.add(node_config("b")));
        let (got, fired) = (log(), log());
        for (host, other) in [(a, "b#p"), (b, "a#p")] {
            with(&mut world, host, |context| {
                context.named_port("p", noting(&got)).expect("free");
                context.watch(&port(other), noting_reasons(&fired));
                for n in 0..10u64 {
                    context.send(&port(other), &(other, n)).expect("small");
                }
            });
        }
        world.dial(a, b);
        world.dial(b, a);
        world.run_for(Duration::from_millis(1500));
        for other in ["a#p", "b#p"] {
            let from_other: Vec<_> =
                got.borrow().iter().filter(|value| format!("{value:?}").contains(other)).cloned().collect();
            let right: Vec<_> = (0..10u64).map(|n| Value::Array(vec![other.into(), n.into()])).collect();
            assert_eq!(from_other, right, "seed {seed}");
        }
        assert_eq!(heard(&fired), [], "seed {seed}");
        assert_eq!(world.wires_between(a, b).len(), 1, "seed {seed}: PEER-5, PEER-7");
    }
}

#[test]
fn strangers_cannot_fill_a_node_with_handshakes() {
    let mut node = Node::new(NodeConfig { handshakes: 3, ..node_config("a") }, 1, Duration::ZERO, Duration::ZERO);
    for name in ["x", "y", "z"] {
        stranger(&mut node, Duration::ZERO, name, "hmac_sha3_512");
    }
    let mut open = |role| node.open(Duration::ZERO, role, [1; 32], None, None);
    let error = open(Role::Acceptor).expect_err("SEC-5");
    insta::assert_snapshot!(error, @"over a limit: 3 connections are in their handshake already [SEC-5]");
    open(Role::Opener).expect("our own do not count");
}

#[test]
fn a_node_that_comes_back_under_its_name_is_let_in_within_two_seconds() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    // The machine is gone without a word, and comes back.
    world.crash(b, true);
    world.start(b);
    world.dial(b, a);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.node(b).up_nodes().count(), 1, "PEER-9");
    assert_eq!(
        heard(&fired),
        [values(["transport_error", "b", "the node has come back, and this connection is dead"])],
        "PEER-9"
    );
}

#[test]
fn a_node_that_claims_a_name_in_use_is_refused_while_the_connection_lives() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    let impostor = world.add(node_config("b"));
    world.dial(impostor, a);
    world.run_for(Duration::from_secs(1));
    assert_eq!((heard(&fired), world.node(impostor).up_nodes().count()), (vec![], 0), "PEER-5, PEER-9");
    assert_eq!(world.wires_between(a, b).len(), 1);
}

#[test]
fn a_peer_that_says_nothing_is_asked_and_then_given_up() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    // Silence alone is no death: the question is answered.
    world.run_for(Duration::from_secs(150));
    assert_eq!(heard(&fired), []);
    for wire in world.wires_between(a, b) {
        world.wires[wire].stuck = [true; 2];
    }
    world.run_for(Duration::from_secs(121));
    assert_eq!(heard(&fired), [values(["transport_error", "b", "no sign of life"])], "PEER-10");
}

#[test]
fn a_reader_that_stops_costs_no_more_than_the_queue_and_loses_nothing_in_silence() {
    let mut world = World::new(1);
    let a = world.add(NodeConfig { queue: 100_000, ready: 10_000, ..node_config("a") });
    let b = world.add(node_config("b"));
    world.dial(a, b);
    world.settle();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b#p"), noting_reasons(&fired))));
    for wire in world.wires_between(a, b) {
        world.wires[wire].stuck = [true; 2];
    }
    let mut was_ready = Vec::new();
    for _ in 0..400 {
        with(&mut world, a, |context| {
            was_ready.push(context.is_ready(port("b").node()));
            context.send(&port("b#p"), &"x".repeat(1000)).expect("small");
        });
        assert!(world.node(a).waiting() <= 101_100, "PEER-3");
        world.step();
    }
    assert!(was_ready[0] && was_ready.contains(&false), "whoever asks can wait");
    assert_eq!(heard(&fired), [values(["transport_error", "b", "too much waits for it"])], "PEER-3, PEER-4");
}

#[test]
fn against_a_peer_that_authenticates_at_once_only_one_connection_can_complete() {
    // The reference sends its line on every connection as soon as it has read the greeting, and knows no arbiter. It would
    // switch to whichever comes up last, so only one may.
    for first in [0, 1] {
        let mut node = Node::new(node_config("node"), 1, Duration::ZERO, Duration::ZERO);
        let ids = [Role::Opener, Role::Acceptor]
            .map(|role| node.open(Duration::ZERO, role, [role as u8; 32], None, None).expect("a connection"));
        let mut reference = [1, 2].map(|nonce| {
            let config = config("reference");
            let own = OwnGreeting::new(&config, [nonce; 32], None).expect("a greeting");
            Link::new(config.into(), Role::Opener, own, Duration::ZERO)
        });
        let mut told = [Vec::new(), Vec::new()];
        let mut closed = Vec::new();
        for round in 0..6 {
            for place in if first == 0 { [0, 1] } else { [1, 0] } {
                if closed.contains(&ids[place]) {
                    continue;
                }
                let output = node.output(ids[place]).to_vec();
                node.advance_output(ids[place], output.len());
                give(&mut reference[place], &output, &mut told[place]).expect("the node behaves");
                let octets = take(&mut reference[place]);
                node.receive(Duration::ZERO, ids[place], &octets);
                while let Some(action) = node.poll_action() {
                    if let aemp_proto::actor::Action::Close(id) = action {
                        closed.push(id);
                    }
                }
            }
            assert!(reference.iter().filter(|link| link.is_up()).count() <= 1, "PEER-7, round {round}");
        }
        assert_eq!(node.up_nodes().count(), 1);
        assert_eq!(closed, [ids[1 - first]], "the other one is closed");
        assert!(reference[first].is_up() && !reference[1 - first].is_up(), "PEER-7");
    }
}

#[test]
fn when_the_chosen_connection_fails_another_one_is_taken() {
    let mut node = Node::new(node_config("b"), 1, Duration::ZERO, Duration::ZERO);
    let mut open = |role, nonce| {
        let id = node.open(Duration::ZERO, role, [nonce; 32], None, None).expect("a connection");
        let config = config("reference");
        let own = OwnGreeting::new(&config, [nonce + 1; 32], None).expect("a greeting");
        (id, Link::new(config.into(), Role::Opener, own, Duration::ZERO))
    };
    let ((first, mut dying), (second, mut living)) = (open(Role::Opener, 1), open(Role::Acceptor, 5));
    let mut told = Vec::new();
    for (id, link) in [(first, &mut dying), (second, &mut living)] {
        let output = node.output(id).to_vec();
        node.advance_output(id, output.len());
        // The greeting alone: nobody has authenticated yet.
        let greeting = take(link);
        give(link, &output, &mut told).expect("the node behaves");
        node.receive(Duration::ZERO, id, &greeting);
    }
    let line = take(&mut living);
    node.receive(Duration::ZERO, second, &line);
    assert_eq!(node.up_nodes().count(), 0, "the first one was chosen, and has our line");
    node.closed(Duration::ZERO, first, None);
    assert_eq!(node.up_nodes().count(), 1, "PEER-7: the second one is taken");
}

#[test]
fn a_stranger_who_greets_in_the_name_of_a_quiet_peer_does_it_no_harm() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    for wire in world.wires_between(a, b) {
        world.wires[wire].stuck = [true; 2];
    }
    for hangs_up in [true, false] {
        let now = world.now;
        let id = stranger(world.node(a), now, "b", "hmac_sha3_512");
        if hangs_up {
            world.node(a).closed(now, id, None);
        }
        world.run_for(Duration::from_secs(3));
        assert_eq!(heard(&fired), [], "PEER-5, GREET-20");
    }
}

#[test]
fn a_stranger_who_says_nothing_more_does_not_keep_a_node_out() {
    let mut world = World::new(1);
    let (a, b) = (world.add(node_config("a")), world.add(node_config("b")));
    let now = world.now;
    stranger(world.node(a), now, "b", "hmac_sha3_512");
    world.dial(b, a);
    world.run_for(Duration::from_secs(4));
    assert_eq!(world.node(a).up_nodes().count(), 1, "PEER-7");
}

#[test]
fn strangers_who_keep_coming_in_the_name_of_a_node_do_not_keep_it_out() {
    // Whether they say that they know of arbiters or not, whoever of the two is the arbiter, and whoever of the two dials.
    for (keys, names, dials) in [
        ("", ["a", "b"], [1, 0]),
        (";arbiter=1", ["a", "b"], [1, 0]),
        ("", ["b", "a"], [1, 0]),
        (";arbiter=1", ["b", "a"], [1, 0]),
        ("", ["a", "b"], [0, 1]),
        (";arbiter=1", ["a", "b"], [0, 1]),
        ("", ["b", "a"], [0, 1]),
        (";arbiter=1", ["b", "a"], [0, 1]),
    ] {
        let mut world = World::new(1);
        let hosts = names.map(|name| world.add(node_config(name)));
        let [victim, kept_out] = hosts;
        world.latency = Duration::from_millis(20);
        for turn in 0..240u8 {
            let now = world.now;
            let id = world.node(victim).open(now, Role::Acceptor, [turn; 32], None, None).expect("a connection");
            let greeting = format!("aemp;1;{};hmac_sha3_512;json{keys}\nnonce{turn}\n", names[1]);
            world.node(victim).receive(now, id, greeting.as_bytes());
            if turn == 120 {
                world.dial(hosts[dials[0]], hosts[dials[1]]);
            }
            world.run_for(Duration::from_millis(300));
        }
        let up = [victim, kept_out].map(|host| world.node(host).up_nodes().count());
        assert_eq!(up, [1, 1], "PEER-7: {names:?}, {keys}, {dials:?}");
    }
}

#[test]
fn what_is_passed_on_to_nodes_that_nobody_knows_is_bounded() {
    let mut world = World::new(1);
    let a = world.add(node_config("a"));
    let b = world.add(NodeConfig { queue: 100_000, ..node_config("b") });
    world.dial(a, b);
    world.settle();
    for n in 0..1000 {
        with(&mut world, a, |context| {
            context.send(&port("b"), &("snd", format!("nobody{n}#p"), "x".repeat(5000))).expect("small");
        });
        world.settle();
        assert!(world.node(b).waiting() <= 200_000, "PEER-3: {} octets after {n}", world.node(b).waiting());
    }
}

#[test]
fn a_thousand_strangers_of_one_name_cost_no_stack() {
    let mut node = Node::new(NodeConfig { handshakes: 2000, ..node_config("a") }, 1, Duration::ZERO, Duration::ZERO);
    let first = stranger(&mut node, Duration::ZERO, "b", "hmac_sha3_512");
    for _ in 0..1000 {
        stranger(&mut node, Duration::ZERO, "b", "nonsense");
    }
    node.closed(Duration::ZERO, first, None);
    let mut closed = 0;
    while node.poll_action().is_some() {
        closed += 1;
    }
    assert_eq!(closed, 1001);
}

#[test]
fn a_peer_that_is_lost_by_what_it_is_told_is_told_no_more() {
    let mut world = World::new(1);
    let a = world.add(node_config("a"));
    let b = world.add(NodeConfig { queue: 2000, ..node_config("b") });
    world.dial(a, b);
    world.settle();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    for _ in 0..50 {
        with(&mut world, a, |context| context.send(&port("b"), &("mon1", id.port())).expect("small"));
    }
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::new(["x".repeat(1000)])));
    world.settle();
    assert!(world.hosts[b].events.iter().any(|event| matches!(event, NodeEvent::Down(..))), "PEER-3");
    world.run_for(Duration::from_secs(4));
    // The next connection begins with nothing on its account.
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&id, noting_reasons(&fired))));
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::new(["again"])));
    world.settle();
    assert_eq!(heard(&fired), [values(["again"])]);
}

#[test]
fn what_is_sent_and_watched_between_a_loss_and_its_watches_is_of_the_run_that_has_ended() {
    let (mut world, a, b) = two();
    let (fired, got) = (log(), log());
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    let later = with(&mut world, a, |context| context.port(|context, _| Ok(context.send(&port("b#p"), &"second")?)));
    world.crash(b, false);
    let connection = world.wires_between(a, b);
    assert!(connection.is_empty());
    // The loss is known, and nothing has fired yet.
    for wire in 0..world.wires.len() {
        world.deliver(wire, 0);
        world.deliver(wire, 1);
    }
    with(&mut world, a, |context| {
        context.send(&later, &()).expect("small");
        context.watch(&port("b#p"), noting_reasons(&fired));
        context.send(&port("b#p"), &"first").expect("small");
    });
    world.start(b);
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    world.dial(b, a);
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired).len(), 1, "PEER-4");
    assert_eq!(
        heard(&got),
        [values(["second"])],
        "PEER-4: the watch has fired between the first one, which is lost, and the second one"
    );
}

#[test]
fn what_is_sent_because_of_a_loss_belongs_to_the_next_run_whichever_watch_fires_first() {
    let (mut world, a, b) = two();
    let got = log();
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    for name in ["first", "second"] {
        with(&mut world, a, |context| {
            context.watch(&port("b#p"), move |context, _| context.send(&port("b#p"), &name).expect("small"));
        });
    }
    world.settle();
    world.crash(b, false);
    world.start(b);
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    world.dial(b, a);
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&got), [values(["first"]), values(["second"])], "PEER-4");
}

#[test]
fn a_node_that_was_asleep_asks_before_it_gives_anyone_up() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    world.now += Duration::from_secs(300);
    world.run_for(Duration::from_secs(5));
    assert_eq!((heard(&fired), world.node(b).up_nodes().count()), (vec![], 1), "PEER-10");
}
