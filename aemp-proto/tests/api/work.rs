//! What a peer makes a node do is bounded by the octets that it sends and that they cause, and others have their turn
//! meanwhile.
//!
//! Each test counts units of work ([`Node::work`](aemp_proto::actor::Node::work)), never time.

use std::time::Duration;

use crate::support::ports::{Log, heard, log, noting, noting_reasons, port, values, with};
use crate::support::vectors::doubled;
use crate::support::world::{World, node_config};
use aemp_proto::actor::{NodeConfig, Reasons};
use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

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

/// Units of work for each octet that a plain small message may cost at most, with what is done for it.
const PER_OCTET: u64 = 20;

/// What the first host does, in units of work, until it has nothing to do.
fn work_of(world: &mut World, code: impl FnOnce(&mut World)) -> u64 {
    let before = world.node(0).work();
    code(world);
    loop {
        world.settle();
        if !world.node(0).has_work() {
            return world.node(0).work() - before;
        }
    }
}

#[test]
fn a_port_with_very_many_watches_costs_no_more_for_each_request_than_another() {
    // MON-1, MON-3, MON-11
    const WATCHES: u64 = 100_000;
    let mut world = star(100_000, &["b", "c"]);
    with(&mut world, 0, |context| context.named_port("p", |_, _| Ok(())).map(drop).expect("the name is free"));
    let ask = |world: &mut World, host: usize, request: &str, times: u64| {
        let octets = times * b"\x83\x60dmon1ap".len() as u64;
        let work = work_of(world, |world| {
            with(world, host, |context| {
                (0..times).for_each(|_| context.send(&port("a"), &(request, "p")).expect("small"));
            });
        });
        assert!(work <= octets * PER_OCTET, "{request}: {work} units for {octets} octets");
    };
    ask(&mut world, 1, "mon1", WATCHES);
    ask(&mut world, 2, "mon1", 1000);
    assert_eq!(world.node(0).watched() as u64, WATCHES + 1000);
    ask(&mut world, 2, "mon0", 1000);
    ask(&mut world, 1, "mon0", 1000);
    assert_eq!(world.node(0).watched() as u64, WATCHES - 1000);
    // One too many means nothing.
    ask(&mut world, 2, "mon0", 1);
    assert_eq!(world.node(0).watched() as u64, WATCHES - 1000);
}

#[test]
fn the_end_of_a_port_is_told_once_for_each_time_that_was_asked_in_portions() {
    // MON-1
    const WATCHES: usize = 5000;
    let mut world = star(2000, &["b", "c"]);
    let told = log();
    with(&mut world, 0, |context| context.named_port("p", |_, _| Ok(())).map(drop).expect("the name is free"));
    with(&mut world, 1, |context| {
        (0..WATCHES).for_each(|_| context.send(&port("a"), &("mon1", "p")).expect("small"));
    });
    with(&mut world, 2, |context| drop(context.watch(&port("a#p"), noting_reasons(&told))));
    while world.node(0).watched() < WATCHES + 1 {
        world.step();
    }
    let before = (world.node(0).work(), world.carried);
    with(&mut world, 0, |context| context.end(&port("a#p"), Reasons::new(["because"])));
    let first = world.node(0).work() - before.0;
    assert!(first < 3000, "{first} units of work within one call");
    assert!(world.node(0).has_work(), "the others are told later");
    world.step();
    assert_eq!(heard(&told), [], "b has asked for too many to be told in one turn");
    // Meanwhile the node hears others.
    with(&mut world, 2, |context| context.send(&port("a#p"), &1).expect("small"));
    while world.node(0).has_work() {
        world.step();
    }
    world.settle();
    assert_eq!(heard(&told), [values(["because"])]);
    assert_eq!(world.node(0).watched(), 0);
    let least = WATCHES * b"\x84\x60dkil0apgbecause".len();
    assert!(world.carried - before.1 > least, "{} octets for {WATCHES} watches", world.carried - before.1);
}

#[test]
fn a_peer_that_is_lost_while_it_is_told_of_ends_is_told_no_more_and_nobody_else_is_in_its_place() {
    // MON-9
    let mut world = star(2000, &["b"]);
    let make = |world: &mut World| {
        with(world, 0, |context| context.named_port("p", |_, _| Ok(())).map(drop).expect("the name is free"));
    };
    let ask = |world: &mut World, host: usize, times: usize| {
        with(world, host, |context| (0..times).for_each(|_| context.send(&port("a"), &("mon1", "p")).expect("small")));
        (0..200).for_each(|_| world.step());
    };
    make(&mut world);
    ask(&mut world, 1, 500);
    assert_eq!(world.node(0).watched(), 500);
    with(&mut world, 0, |context| context.end(&port("a#p"), Reasons::normal()));
    world.crash(1, false);
    world.settle();
    assert_eq!((world.node(0).watched(), world.node(0).up_nodes().count()), (0, 0));
    // The node comes back, and asks for what is there now.
    make(&mut world);
    world.start(1);
    world.dial(1, 0);
    world.settle();
    ask(&mut world, 1, 2);
    assert_eq!(world.node(0).watched(), 2);
    // A loss forgets what was watched over that connection, and not what is watched over the next one.
    world.crash(1, false);
    world.start(1);
    world.dial(1, 0);
    world.settle();
    ask(&mut world, 1, 3);
    assert_eq!(world.node(0).watched(), 3);
    let before = world.carried;
    with(&mut world, 0, |context| context.end(&port("a#p"), Reasons::normal()));
    (0..50).for_each(|_| world.step());
    assert_eq!(world.carried - before, 3 * b"\x83\x60dkil0ap".len(), "one `kil0` for each `mon1`");
}

#[test]
fn what_a_lost_peer_has_watched_is_forgotten_in_portions() {
    // MON-9
    let mut world = star(2000, &["b"]);
    with(&mut world, 0, |context| {
        (0..1000).for_each(|number| drop(context.named_port(&number.to_string(), |_, _| Ok(())).expect("free")));
    });
    with(&mut world, 1, |context| {
        (0..1000).for_each(|number| context.send(&port("a"), &("mon1", number.to_string())).expect("small"));
    });
    while world.node(0).watched() < 1000 {
        world.step();
    }
    world.crash(1, false);
    let before = world.node(0).work();
    world.step();
    world.step();
    let work = world.node(0).work() - before;
    assert!(work < 6000, "{work} units of work in two turns");
    assert!(world.node(0).has_work());
    assert_eq!(world.node(0).watched(), 0, "they count no more at once");
    (0..50).for_each(|_| world.step());
    assert!(!world.node(0).has_work());
}

#[test]
fn reasons_are_looked_at_only_for_ports_that_exist() {
    // KILL-2, MON-5: what a value costs beside its octets is not counted, so this counts that it is not even written
    // anywhere.
    let mut world = star(100_000, &["b"]);
    let large = vec![Value::from(1u64); 50_000];
    for request in ["kil1", "kil0"] {
        let work = work_of(&mut world, |world| {
            with(world, 1, |context| context.send(&port("a"), &(request, "none", &large)).expect("it fits"));
        });
        assert!(work <= 2 * 50_000 + 1000, "{request}: {work}");
    }
    assert_eq!(world.node(0).up_nodes().count(), 1);
}

#[test]
fn what_comes_another_time_in_storable_is_counted_as_often_as_it_comes() {
    // STORABLE-11
    let octets = doubled(7);
    let packet = Packet::parse(Framing::Storable, &octets, &Limits::default()).expect("within the limits");
    let mut relayed = Vec::new();
    packet.relay(Framing::Storable, &Limits::default(), &mut relayed).expect("it is small");
    assert!(packet.weight() >= relayed.len() / 2, "{} for {} octets", packet.weight(), relayed.len());
}

#[test]
fn names_have_at_most_256_octets() {
    // GREET-24, GREET-25, LIMIT-9, LIMIT-10
    let (longest, longer) = ("x".repeat(256), "x".repeat(257));
    assert!(NodeId::new(&longest).is_ok());
    let error = NodeId::new(&longer).expect_err("it is too long");
    assert!(error.to_string().contains("[GREET-24]"), "{error}");
    assert!(format!("a#{longest}").parse::<PortId>().is_ok());
    let error = format!("a#{longer}").parse::<PortId>().expect_err("it is too long");
    assert!(error.to_string().contains("[LIMIT-9]"), "{error}");

    let mut world = star(100_000, &["b"]);
    let (noted, fired) = (log(), log());
    with(&mut world, 0, |context| {
        assert!(context.named_port(&longer, |_, _| Ok(())).is_none());
        context.named_port(&longest, noting(&noted)).expect("it is short enough");
        let id = context.node().port(&longer);
        assert!(context.send(&id, &1).expect_err("no port has such a name").to_string().contains("[LIMIT-9]"));
        let there = NodeId::new("b").expect("a node ID");
        assert!(context.spawn(&there, &longer, &()).is_err());
        context.watch(&there.port(&longer), noting_reasons(&fired));
    });
    world.settle();
    assert!(format!("{:?}", heard(&fired)).contains("no_such_port"), "whoever watches it knows at once");
    let carried = world.carried;
    with(&mut world, 1, |context| {
        context.send(&port(&format!("a#{longest}")), &"heard").expect("small");
        for request in ["mon1", "mon0", "kil0", "kil1"] {
            context.send(&port("a"), &(request, &longer)).expect("small");
        }
        for request in ["snd", "time", "can", "eval"] {
            context.send(&port("a"), &(request, &longer, &longer)).expect("small");
            context.send(&port("a"), &(request, format!("b#{longer}"), &longer)).expect("small");
        }
    });
    world.settle();
    assert_eq!(heard(&noted), [values(["heard"])]);
    let tables = world.node(0).tables();
    assert_eq!((tables.peers, tables.watched), (1, 0), "nothing is kept for a longer name");
    assert!(world.carried - carried < 10_000, "and nothing is answered");
    assert_eq!(world.node(0).up_nodes().count(), 1, "LIMIT-10: the connection goes on");
}

#[test]
fn nodes_that_are_only_named_leave_nothing_behind() {
    let mut world = star(100_000, &["b"]);
    world.hosts[0].hasty = true;
    let name = |world: &mut World, from: usize| {
        with(world, 1, |context| {
            for number in from..from + 5000 {
                let to = format!("{}{number}#p", "x".repeat(240));
                context.send(&port("a"), &("snd", to, 1)).expect("small");
            }
        });
        world.run_for(Duration::from_secs(5));
    };
    name(&mut world, 0);
    let first = world.node(0).tables();
    assert_eq!(first.connecting, 0, "they were given up");
    for round in 1..4 {
        name(&mut world, 5000 * round);
        let then = world.node(0).tables();
        assert!(then.peers <= first.peers + 10, "places are used again: {} then {}", first.peers, then.peers);
    }
}
