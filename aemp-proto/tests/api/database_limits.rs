//! What is too large for the database, and what is just not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::globals::{entries, family, listening, master, set, taken, up, watch};
use crate::support::ports::{port, with};
use crate::support::world::World;
use aemp_proto::actor::{NodeConfig, NodeEvent};
use aemp_proto::framing::{Framing, Limits as PacketLimits};
use aemp_proto::global::DbError;
use aemp_proto::value::Value;

/// Three globals `s`, `t` and `u`, and `a`, a slave of `s` that sends what it likes.
fn three_globals_and_one_that_sends_too_much() -> World {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "u", "a"].iter().enumerate() {
        let mut config = NodeConfig { global: host < 3, ..listening(name, host) };
        if *name == "a" {
            config.link.send_limits = PacketLimits::default();
        }
        world.add(config);
    }
    for host in 1..4 {
        world.dial(host, 0);
    }
    world.run_for(Duration::from_secs(3));
    world
}

fn downs(world: &World) -> usize {
    let is_down = |event: &&NodeEvent| matches!(event, NodeEvent::Down(..));
    world.hosts.iter().map(|host| host.events.iter().filter(is_down).count()).sum()
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |value, _| Value::Array(vec![value]))
}

#[test]
fn what_could_not_be_sent_on_is_not_taken_and_nobody_loses_a_connection_over_it() {
    let mut world = three_globals_and_one_that_sends_too_much();
    set(&mut world, 3, "fam", "large", "was small");
    world.settle();
    let sent = |name: &str, key: &str, value: Value| {
        (name.to_owned(), BTreeMap::from([(key.to_owned(), value), ("good".to_owned(), name.into())]))
    };
    let controls = Value::Text("\u{1}".repeat(100_000));
    let requests = [
        sent("fam", "large", Value::Text("x".repeat(2 << 20))),
        sent("deep", "k", nested(500)),
        sent("escaped", "k", controls.clone()),
        sent("bytes", "k", Value::Bytes(vec![1; 100_000])),
        sent("number", "k", Value::Array(vec![Value::Null; 20_000])),
        sent("key", &"k".repeat(600_000), Value::Null),
        sent(&"f".repeat(257), "k", Value::Null),
    ];
    with(&mut world, 3, |context| {
        for (name, set) in &requests {
            context.send(&port("s"), &("g_upd", name, set)).expect("it may be sent");
        }
    });
    world.run_for(Duration::from_secs(1));
    // Each global gets the whole of it from another one again.
    let before = downs(&world);
    assert_eq!(before, 0);
    let wire = world.wires_between(0, 1)[0];
    world.break_wire(wire);
    world.run_for(Duration::from_secs(5));
    assert_eq!(downs(&world), 2, "that of the wire that was broken, at its two ends");
    for host in 0..3 {
        for name in ["fam", "deep", "escaped", "bytes", "number", "key"] {
            assert_eq!(family(&mut world, host, name), Some(entries([("good", name)])), "DB-31, host {host}");
        }
        assert_eq!(family(&mut world, host, &"f".repeat(257)), Some(entries([])), "DB-2, host {host}");
    }
    assert_eq!(up(&mut world, 0), ["a", "t", "u"]);
}

#[test]
fn what_is_too_large_is_refused_with_the_reason() {
    let mut world = World::new(1);
    for (host, name) in ["s", "a"].iter().enumerate() {
        world.add(listening(name, host));
    }
    world.dial(1, 0);
    world.settle();
    with(&mut world, 1, |context| {
        let set = |context: &mut aemp_proto::actor::Context<'_>, family: &str, key: &str, value: &Value| {
            context.db_set(family, key, value).map(drop)
        };
        let refused = set(context, &"f".repeat(50_000), "k", &Value::Null).expect_err("DB-2");
        assert!(refused.to_string().len() < 400, "its name is told in short");
        let large = set(context, "fam", "k", &Value::Text("\u{1}".repeat(300_000)));
        assert_eq!(large, Err(DbError::Entry { octets: 1_800_065 }), "DB-30");
        assert!(matches!(set(context, "fam", &"k".repeat(2 << 20), &Value::Null), Err(DbError::Entry { .. })), "DB-30");
        let deep = set(context, "fam", "k", &nested(257)).expect_err("DB-30");
        insta::assert_snapshot!(
            deep.to_string(),
            @"a key and its value come to 524288 octets and 256 levels at most, these to 8289 octets [DB-30]"
        );
        assert_eq!(set(context, "fam", "k", &nested(256)), Ok(()));
    });
    world.run_for(Duration::from_secs(5));
    assert_eq!((master(&mut world, 1), downs(&world)), (Some("s".into()), 0));
    assert_eq!(family(&mut world, 0, "fam").map(|family| family.len()), Some(1));
}

#[test]
fn the_largest_entries_and_the_longest_names_arrive_everywhere_in_every_framing() {
    for framing in [Framing::Json, Framing::Cbor] {
        let mut world = World::new(1);
        for (host, name) in ["s", "t", "a", "b"].iter().enumerate() {
            let mut config = listening(name, host);
            config.link.framings = vec![framing];
            world.add(config);
        }
        for (from, to) in [(0, 1), (1, 0), (2, 0), (2, 1), (3, 1)] {
            world.dial(from, to);
            world.settle();
        }
        let longest = "f".repeat(256);
        let told = watch(&mut world, 3, &longest);
        world.settle();
        let most = (1 << 19) - 65;
        let largest = [
            ("\u{1}", Value::Text("\u{1}".repeat((most - 5) / 6))),
            ("\"", Value::Bytes(vec![200; (most - 2) / 2])),
            ("k", Value::Text("x".repeat(most))),
            ("m", Value::Array(vec![Value::Float(-1.234_567_890_123_456_7e-300); most / 32])),
        ];
        with(&mut world, 2, |context| {
            for (key, value) in &largest {
                context.db_set(&longest, key, value).expect("DB-30");
                context.db_set(&format!("g{}", "f".repeat(255)), key, value).expect("DB-30");
            }
            assert!(context.db_set(&longest, "kk", &largest[2].1).is_err(), "DB-30");
            // Names, too, are counted when a database is split.
            for number in 0..5000 {
                context.db_set(&format!("{number:z>256}"), "k", &number).expect("allowed");
            }
        });
        world.run_for(Duration::from_secs(1));
        assert_eq!(taken(&told).iter().map(|changes| changes.added.len()).sum::<usize>(), 4, "{framing}");
        // A new master, another watch, and all globals once more.
        world.crash(0, false);
        world.run_for(Duration::from_secs(1));
        assert_eq!(master(&mut world, 2), Some("t".into()), "{framing}");
        world.start(0);
        world.dial(0, 1);
        world.run_for(Duration::from_secs(3));
        let fresh = watch(&mut world, 3, &format!("g{}", "f".repeat(255)));
        world.run_for(Duration::from_secs(1));
        assert_eq!(taken(&fresh).iter().map(|changes| changes.added.len()).sum::<usize>(), 4, "{framing}");
        let here = watch(&mut world, 0, &longest);
        let last = watch(&mut world, 0, &format!("{:z>256}", 4999));
        world.run_for(Duration::from_secs(1));
        let count = |told| taken(told).iter().map(|changes| changes.added.len()).sum::<usize>();
        assert_eq!((count(&here), count(&last)), (4, 1), "{framing}");
        with(&mut world, 2, |context| context.db_del(&longest, largest.iter().map(|(key, _)| *key)));
        world.run_for(Duration::from_secs(1));
        assert_eq!(taken(&here).iter().map(|changes| changes.deleted.len()).sum::<usize>(), 4, "{framing}");
        let at_crash = world.hosts[3].events.iter().filter(|event| matches!(event, NodeEvent::Down(..))).count();
        assert_eq!(at_crash, 0, "{framing}");
    }
}

#[test]
fn a_watch_on_what_can_be_no_family_is_answered_and_costs_nothing() {
    let mut world = World::new(1);
    for (host, name) in ["s", "a"].iter().enumerate() {
        let mut config = listening(name, host);
        config.database.watched = 2;
        world.add(config);
    }
    world.dial(1, 0);
    world.settle();
    // Names as others may send them.
    with(&mut world, 1, |context| {
        for number in 0..10 {
            context.send(&port("s"), &("g_mon1", format!("{number}-"))).expect("small");
            context.send(&port("s"), &("g_mon1", format!("{number}{}", "x".repeat(1_000_000)))).expect("it fits");
            context.send(&port("s"), &("g_mon1", "\u{80}".repeat(500_000))).expect("it fits");
        }
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(downs(&world), 0, "DB-33, DB-29");
    // And as programs may use them.
    let told: Vec<_> = ["a-b".to_owned(), "x".repeat(2 << 20)].iter().map(|name| watch(&mut world, 1, name)).collect();
    assert_eq!(family(&mut world, 1, &"x".repeat(2 << 20)), Some(entries([])), "DB-22");
    world.run_for(Duration::from_secs(1));
    for told in told {
        assert_eq!(taken(&told), [aemp_proto::global::Changes::default()], "DB-20");
    }
    assert_eq!((downs(&world), master(&mut world, 1)), (0, Some("s".into())));
    world.crash(0, false);
    world.start(0);
    world.run_for(Duration::from_secs(5));
    assert_eq!(master(&mut world, 1), Some("s".into()), "the watches do not disturb the next master either");
    let real = watch(&mut world, 1, "fam");
    world.settle();
    assert_eq!(taken(&real).len(), 1);
}

#[test]
fn a_node_that_says_again_and_again_that_it_is_global_gets_one_part() {
    let mut world = three_globals_and_one_that_sends_too_much();
    for key in 0..20 {
        set(&mut world, 0, "fam", &key.to_string(), &"v".repeat(100_000));
    }
    world.run_for(Duration::from_secs(1));
    with(&mut world, 3, |context| {
        for _ in 0..1000 {
            context.send(&port("s"), &("g_global",)).expect("small");
        }
    });
    let carried = world.carried;
    world.run_for(Duration::from_secs(2));
    assert!(world.carried - carried < 4_000_000, "DB-34: {}", world.carried - carried);
    assert_eq!(up(&mut world, 0), ["a", "t", "u"], "nobody is lost over it");
}

#[test]
fn a_slave_that_asks_for_a_family_again_and_again_and_does_not_read_costs_no_more_than_its_queue() {
    const QUEUE: usize = 1 << 20;
    let mut world = World::new(1);
    world.add(NodeConfig { global: true, queue: QUEUE, ..listening("s", 0) });
    world.add(listening("a", 1));
    world.dial(1, 0);
    world.settle();
    let value = "x".repeat(100_000);
    for key in ["k", "l", "m"] {
        set(&mut world, 0, "fam", key, &value);
    }
    // Whoever reads gets all of it each time: it may have lost track.
    let before = world.carried;
    for _ in 0..10 {
        with(&mut world, 1, |context| context.send(&port("s"), &("g_mon1", "fam")).expect("small"));
        world.settle();
    }
    assert!(world.carried - before > 10 * 300_000, "DB-16");
    assert_eq!(downs(&world), 0);
    let wire = world.wires_between(0, 1)[0];
    let end = usize::from(world.opener(wire) == 0);
    world.wires[wire].stuck[end] = true;
    with(&mut world, 1, |context| {
        (0..130).for_each(|_| context.send(&port("s"), &("g_mon1", "fam")).expect("small"));
    });
    for _ in 0..20 {
        world.step();
        let waiting = world.node(0).tables().waiting;
        assert!(waiting <= QUEUE + 400_000, "PEER-3: {waiting} octets wait");
    }
    world.run_for(Duration::from_secs(1));
    let waiting = world.node(0).tables().waiting;
    assert!(waiting <= QUEUE + 400_000, "PEER-3: {waiting} octets wait");
    // Nothing more is taken from it until it reads.
    assert!(world.node(0).tables().global.jobs <= 102, "DB-42: {:?}", world.node(0).tables().global);
    world.wires[wire].stuck[end] = false;
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.node(0).tables().global.jobs, 0, "it gets all that it has asked for");
    assert_eq!(downs(&world), 0);
}
