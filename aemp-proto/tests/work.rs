//! What a peer makes a node do is bounded by the octets that it sends and that they cause, and others have their turn meanwhile.
//!
//! Each test counts units of work ([`Node::work`](aemp_proto::node::Node::work)), never time.

mod support;

use std::time::Duration;

use aemp_proto::node::NodeConfig;
use aemp_proto::value::Value;
use support::ports::{Log, heard, log, noting, noting_reasons, port, values, with};
use support::world::{World, node_config};

/// A node `a` whose turns have that budget, and `others` that are connected with it.
fn star(budget: u64, others: &[&str]) -> World {
    let mut world = World::new(1);
    world.add(NodeConfig { turn_budget: budget, ..node_config("a") });
    for (place, name) in others.iter().enumerate() {
        world.add(node_config(name));
        world.dial(place + 1, 0);
    }
    world.settle();
    assert_eq!(world.node(0).up_nodes().count(), others.len());
    // Also where its turns are small, one step of the world is one call of `run`.
    world.hosts[0].hasty = false;
    world
}

#[test]
fn a_turn_ends_in_the_middle_of_a_read_and_others_go_on() {
    let mut world = star(200, &["busy", "calm"]);
    let noted = log();
    with(&mut world, 0, |context| context.named_port("p", noting(&noted)).map(drop).expect("the name is free"));
    with(&mut world, 1, |context| {
        for number in 0..100 {
            context.send(&port("a#p"), &("busy", number)).expect("small");
        }
    });
    world.step();
    let first = heard(&noted).len();
    assert!((1..20).contains(&first), "{first} of 100 messages were handled in one turn");
    assert!(world.node(0).has_work(), "the rest waits");
    with(&mut world, 2, |context| context.send(&port("a#p"), &"calm").expect("small"));
    world.step();
    let then = heard(&noted);
    assert!(then.contains(&values(["calm"])), "another peer has its turn before the rest: {then:?}");
    assert!(then.len() < 20, "{} messages were handled in two turns", then.len());
    let mut all: Vec<_> = (0..first).map(|_| Value::Null).chain(then).collect();
    while world.node(0).has_work() {
        world.step();
        all.extend(heard(&noted));
    }
    assert_eq!(all.len(), 101, "nothing is lost");
    let number = |value: &Value| match value {
        Value::Array(elements) => elements.get(1).cloned(),
        _ => None,
    };
    let numbers: Vec<_> = all.iter().filter_map(number).collect();
    let expected: Vec<Value> = (first as u64..100).map(Value::from).collect();
    assert_eq!(numbers, expected, "NODE-2: within a connection the order stays");
}

/// A port of the first host, `a#p`, that notes what it gets, and pauses the sender each time that it has got something.
fn pausing_port(world: &mut World) -> Log {
    let noted = log();
    let mut note = noting(&noted);
    with(world, 0, |context| {
        let made = context.named_port("p", move |context, elements| {
            let source = context.source().expect("a peer has sent it").clone();
            context.pause_peer(&source);
            note(context, elements)
        });
        made.expect("the name is free");
    });
    noted
}

#[test]
fn a_paused_peer_is_neither_handled_nor_read_until_it_is_resumed_as_often() {
    let mut world = star(100_000, &["b", "c"]);
    let (noted, other) = (pausing_port(&mut world), log());
    with(&mut world, 0, |context| context.named_port("other", noting(&other)).map(drop).expect("the name is free"));
    with(&mut world, 1, |context| {
        for number in 0..3 {
            context.send(&port("a#p"), &number).expect("small");
        }
    });
    world.settle();
    assert_eq!(heard(&noted), [Value::Array(vec![0u64.into()])], "nothing behind the present packet is handled");
    assert!(!world.node(0).has_work(), "and nothing goes on");
    with(&mut world, 2, |context| context.send(&port("a#other"), &"c").expect("small"));
    world.settle();
    assert_eq!(heard(&other), [values(["c"])], "others are not paused");
    let (now, b) = (world.now, world.id(1));
    for number in 1u64..3 {
        world.node(0).resume_peer(now, &b);
        world.settle();
        assert_eq!(heard(&noted), [Value::Array(vec![number.into()])]);
    }
    // It is paused once. Twice is twice.
    world.node(0).pause_peer(&b);
    with(&mut world, 1, |context| context.send(&port("a#other"), &"b").expect("small"));
    with(&mut world, 0, |context| context.resume_peer(&b));
    world.settle();
    assert!(heard(&other).is_empty(), "it was paused twice, and resumed once");
    with(&mut world, 0, |context| context.resume_peer(&b));
    world.settle();
    assert_eq!(heard(&other), [values(["b"])]);
    // More than was paused means nothing.
    with(&mut world, 0, |context| context.resume_peer(&b));
    world.node(0).pause_peer(&b);
    with(&mut world, 1, |context| context.send(&port("a#other"), &"b").expect("small"));
    world.settle();
    assert!(heard(&other).is_empty());
}

#[test]
fn a_paused_peer_lives_for_as_long_as_it_is_paused() {
    let mut world = star(100_000, &["b"]);
    let noted = pausing_port(&mut world);
    with(&mut world, 1, |context| {
        context.send(&port("a#p"), &1).expect("small");
        context.send(&port("a#p"), &2).expect("small");
    });
    // Longer than any silence.
    world.run_for(Duration::from_secs(300));
    assert_eq!(world.node(0).up_nodes().count(), 1, "we are the ones who do not read");
    let now = world.now;
    let b = world.id(1);
    world.node(0).resume_peer(now, &b);
    world.settle();
    assert_eq!(heard(&noted).len(), 2);
}

#[test]
fn what_arrived_whole_before_the_end_of_a_connection_is_handled_before_its_loss_also_when_it_waits() {
    // CONN-10, MON-8
    let mut world = star(1, &["b"]);
    let noted = log();
    let b = world.id(1);
    with(&mut world, 0, |context| {
        context.named_port("p", noting(&noted)).expect("the name is free");
        context.watch(&b.port(""), noting_reasons(&noted));
    });
    with(&mut world, 1, |context| {
        for number in 0..10 {
            context.send(&port("a#p"), &number).expect("small");
        }
    });
    world.step();
    world.crash(1, false);
    world.step();
    assert!(heard(&noted).len() < 5, "the rest waits for its turn");
    assert_eq!(world.node(0).up_nodes().count(), 1);
    (0..20).for_each(|_| world.step());
    let then = heard(&noted);
    let (loss, messages) = then.split_last().expect("something was noted");
    assert_eq!(messages.last(), Some(&Value::Array(vec![9u64.into()])));
    assert!(format!("{loss:?}").contains("transport_error"), "{loss:?}");
}

#[test]
fn what_waits_behind_a_pause_comes_before_the_loss_of_the_connection() {
    // CONN-10
    let mut world = star(100_000, &["b"]);
    let noted = pausing_port(&mut world);
    with(&mut world, 1, |context| {
        for number in 0..3 {
            context.send(&port("a#p"), &number).expect("small");
        }
    });
    world.step();
    world.crash(1, false);
    world.settle();
    assert_eq!(world.node(0).up_nodes().count(), 1);
    let (now, b) = (world.now, world.id(1));
    for _ in 0..2 {
        world.node(0).resume_peer(now, &b);
        world.settle();
    }
    assert_eq!(heard(&noted).len(), 3);
    assert_eq!(world.node(0).up_nodes().count(), 0, "nothing waits any more");
}
