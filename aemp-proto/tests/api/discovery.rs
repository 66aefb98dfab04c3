//! How nodes find each other: seeds, globals, connections on demand.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::globals::{entries, family, id, listening, master, set, two_globals, up, watch_node, with_seed};
use crate::support::ports::{heard, log, noting, port, values, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{NodeConfig, NodeEvent};
use aemp_proto::global::Limits;
use aemp_proto::link::Role;
use aemp_proto::value::Value;

#[test]
fn a_seed_becomes_global_when_it_is_asked_and_is_the_master_of_whoever_asked() {
    let mut world = with_seed(2);
    assert!(world.node(0).is_global() && !world.node(1).is_global(), "GLOBAL-7, GLOBAL-8");
    assert_eq!((master(&mut world, 0), master(&mut world, 1)), (None, Some("s".into())), "GLOBAL-9");
    assert!(world.hosts[0].events.contains(&NodeEvent::BecameGlobal));
    assert!(world.hosts[1].events.contains(&NodeEvent::Master(Some(id("s")))));
}

#[test]
fn a_seed_that_is_the_node_itself_makes_it_global_and_is_dropped() {
    let mut world = World::new(1);
    world.add(listening("s", 0));
    world.dial(0, 0);
    world.settle();
    assert!(world.node(0).is_global(), "GLOBAL-6");
    let dialled = world.wires.len();
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.wires.len(), dialled, "GLOBAL-6: never again");
}

#[test]
fn a_node_can_be_global_by_configuration() {
    let mut world = World::new(1);
    world.add(NodeConfig { global: true, ..listening("s", 0) });
    assert!(world.node(0).is_global());
    set(&mut world, 0, "fam", "k", "v");
    assert_eq!(family(&mut world, 0, "fam"), Some(entries([("k", "v")])), "GLOBAL-14");
}

#[test]
fn a_node_is_found_by_its_name_and_messages_to_it_wait_for_the_connection() {
    let mut world = two_globals();
    let got = log();
    with(&mut world, 3, |context| context.named_port("p", noting(&got)).expect("free"));
    with(&mut world, 2, |context| {
        context.send(&port("b#p"), &"first").expect("small");
        context.send(&port("b#p"), &"second").expect("small");
    });
    world.run_for(Duration::from_millis(100));
    assert_eq!(heard(&got), [values(["first"]), values(["second"])], "FIND-1, FIND-2, FIND-4");
    assert_eq!(up(&mut world, 2), ["b", "s"]);
    // A global looks it up itself.
    with(&mut world, 0, |context| context.send(&port("b#p"), &"third").expect("small"));
    world.run_for(Duration::from_millis(100));
    assert_eq!(heard(&got), [values(["third"])]);
}

#[test]
fn a_node_that_nobody_knows_is_given_up_at_once() {
    let mut world = two_globals();
    for host in [0, 2] {
        let fired = watch_node(&mut world, host, "nowhere");
        world.settle();
        assert_eq!(
            heard(&fired),
            [values(["transport_error", "nowhere", "no known address"])],
            "FIND-6, FIND-7, host {host}"
        );
    }
}

#[test]
fn without_a_master_a_node_is_searched_until_the_time_is_up() {
    let mut world = World::new(1);
    world.add(listening("a", 0));
    world.add(listening("s", 1));
    world.add(listening("b", 2));
    world.dial(2, 1);
    let fired = watch_node(&mut world, 0, "nowhere");
    world.run_for(Duration::from_millis(1900));
    assert_eq!(heard(&fired), []);
    world.run_for(Duration::from_millis(300));
    assert_eq!(heard(&fired), [values(["transport_error", "nowhere", "connect timeout"])], "FIND-5");
    // A master that comes in time is asked.
    let fired = watch_node(&mut world, 0, "b");
    world.dial(0, 1);
    world.run_for(Duration::from_secs(3));
    assert_eq!((heard(&fired), up(&mut world, 0)), (vec![], vec!["b".into(), "s".into()]), "GLOBAL-11, FIND-5");
}

#[test]
fn two_nodes_that_do_not_listen_are_told_so_at_once_and_reach_all_that_do() {
    let mut world = with_seed(1);
    for name in ["private", "other"] {
        let host = world.add(node_config(name));
        world.dial(host, 0);
    }
    world.settle();
    let fired = watch_node(&mut world, 2, "other");
    world.settle();
    assert_eq!(heard(&fired), [values(["transport_error", "other", "it does not listen"])], "FIND-7");
    let fired = watch_node(&mut world, 2, "a");
    world.run_for(Duration::from_secs(3));
    assert_eq!((heard(&fired), up(&mut world, 2)), (vec![], vec!["a".into(), "s".into()]));
    // Whoever listens waits: the other one might come.
    let fired = watch_node(&mut world, 1, "other");
    world.settle();
    assert_eq!(heard(&fired), []);
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired), [values(["transport_error", "other", "connect timeout"])], "FIND-5");
}

#[test]
fn addresses_are_tried_in_turn_and_one_where_another_node_greets_is_no_answer() {
    let mut world = with_seed(2);
    // Nobody listens at 9; at 1 there is another node; 10 never answers.
    let empty = world.add(node_config("empty"));
    world.hosts[empty].node = None;
    let silent = world.add(node_config("silent"));
    let far = world.add(NodeConfig {
        addresses: [empty, 1, silent, silent + 1].map(|host| host.to_string()).to_vec(),
        ..node_config("far")
    });
    world.dial(far, 0);
    world.cut.push((2, silent));
    world.settle();
    let fired = watch_node(&mut world, 2, "far");
    world.run_for(Duration::from_secs(2));
    assert_eq!((heard(&fired), up(&mut world, 2)), (vec![], vec!["a".into(), "far".into(), "s".into()]), "FIND-4, FIND-8");
}

#[test]
fn globals_that_have_never_heard_of_each_other_connect_because_a_third_lists_them() {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "u"].iter().enumerate() {
        world.add(NodeConfig { global: true, ..listening(name, host) });
    }
    world.dial(1, 0);
    world.dial(2, 0);
    world.run_for(Duration::from_secs(3));
    assert_eq!(up(&mut world, 2), ["s", "t"], "GLOBAL-18");
    assert_eq!(world.wires_between(1, 2).len(), 1);
    // Lost for a while, it comes back.
    world.crash(1, true);
    world.start(1);
    world.run_for(Duration::from_secs(1));
    world.dial(1, 0);
    world.run_for(Duration::from_secs(6));
    assert_eq!(up(&mut world, 1), ["s", "u"], "GLOBAL-18, GLOBAL-19");
    let expected: BTreeMap<_, _> = ["s", "t", "u"].map(|name| (name.to_string(), Value::Null)).into();
    for host in 0..3 {
        assert_eq!(family(&mut world, host, "'g"), Some(expected.clone()), "DB-13, host {host}");
        assert_eq!(family(&mut world, host, "'l").map(|family| family.len()), Some(3), "DB-14");
    }
}

#[test]
fn addresses_that_are_known_only_later_are_told_to_all() {
    let mut world = with_seed(1);
    let now = world.now;
    world.node(1).set_addresses(now, vec!["10.0.0.1:4040".into()]);
    world.settle();
    let expected = Value::Array(vec!["10.0.0.1:4040".into()]);
    assert_eq!(family(&mut world, 0, "'l").and_then(|mut family| family.remove("a")), Some(expected), "DB-4");
}

#[test]
fn the_connected_nodes_are_told_to_whoever_asks_as_the_reference_does() {
    let mut world = with_seed(2);
    let got = log();
    with(&mut world, 1, |context| {
        let me = context.port(noting(&got));
        context.send(&port("s"), &("eval", "AnyEvent::MP::Kernel::up_nodes", &me, "s")).expect("small");
    });
    world.settle();
    assert_eq!(heard(&got), [values(["s", "", "a", "b"])], "NODE-11");
}

#[test]
fn a_node_says_in_its_greeting_that_it_speaks_the_protocol() {
    let mut world = World::new(1);
    world.add(node_config("a"));
    let now = world.now;
    let connection = world.node(0).open(now, Role::Acceptor, [1; 32], None, None).expect("a connection");
    let greeting = String::from_utf8_lossy(world.node(0).output(connection)).into_owned();
    assert!(
        greeting.lines().next().is_some_and(|line| line.split(';').any(|key| key == "gproto=1")),
        "GLOBAL-1: {greeting}"
    );
}

#[test]
fn a_seed_is_tried_until_it_is_there_ever_more_rarely() {
    let mut world = World::new(1);
    for (host, name) in ["a", "s"].iter().enumerate() {
        world.add(listening(name, host));
    }
    world.hosts[1].node = None;
    world.dial(0, 1);
    world.run_for(Duration::from_secs(100));
    let tries = world.hosts[0].events.iter().filter(|event| matches!(event, NodeEvent::Refused { .. })).count();
    // At once, then at most after 1.2, 2.4, 4.8, 9.6, 19.2, 30, 30 seconds; at least after twice that.
    assert!((5..=8).contains(&tries), "GLOBAL-4, GLOBAL-5: {tries} tries");
    world.start(1);
    world.run_for(Duration::from_secs(61));
    assert_eq!(master(&mut world, 0), Some("s".into()), "GLOBAL-4");
}

#[test]
fn a_lost_global_is_tried_at_once_and_then_ever_more_rarely() {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "u"].iter().enumerate() {
        world.add(NodeConfig { global: true, ..listening(name, host) });
    }
    world.dial(1, 0);
    world.dial(2, 0);
    world.run_for(Duration::from_secs(3));
    // One direction of one connection is cut, so that `s` still lists `t` for `u`.
    let wire = world.wires_between(1, 2)[0];
    world.cut.push((1, 2));
    let tries =
        |world: &World| world.hosts[2].events.iter().filter(|event| matches!(event, NodeEvent::Refused { .. })).count();
    let before = tries(&world);
    world.break_wire(wire);
    world.run_for(Duration::from_secs(20));
    assert_eq!(up(&mut world, 2), ["s"]);
    world.cut.clear();
    world.run_for(Duration::from_secs(62));
    assert_eq!(up(&mut world, 2), ["s", "t"], "GLOBAL-18, GLOBAL-19: {} tries", tries(&world) - before);
}

#[test]
fn more_nodes_than_may_be_searched_at_once_and_more_questions_than_may_wait_fail_at_once() {
    let limits = Limits { searched: 3, questions: 2, ..Limits::default() };
    let mut world = World::new(1);
    world.add(NodeConfig { database: limits, ..listening("a", 0) });
    let fired: Vec<_> = ["v", "w", "x", "y", "z"].map(|node| watch_node(&mut world, 0, node)).into();
    world.settle();
    let text = "too many nodes are searched already";
    let failed: usize = fired.iter().map(|fired| fired.borrow().len()).sum();
    assert_eq!((failed, heard(&fired[0])), (2, vec![]), "FIND-9");
    assert_eq!(heard(&fired[4]), [values(["transport_error", "z", text])], "FIND-9");
    let answers = log();
    for _ in 0..3 {
        let note = answers.clone();
        with(&mut world, 0, |context| {
            context.db_keys("fam", move |_, keys| note.borrow_mut().push(keys.expect_err("no master").to_string().into()));
        });
    }
    world.settle();
    assert_eq!(heard(&answers), ["2 questions wait for an answer already [FIND-9]".into()], "FIND-9");
}

#[test]
fn a_thousand_addresses_of_one_node_are_not_all_tried() {
    let mut world = with_seed(1);
    let empty = world.add(node_config("empty"));
    world.hosts[empty].node = None;
    let bad = world.add(NodeConfig { addresses: vec![empty.to_string(); 1000], ..node_config("bad") });
    world.dial(bad, 0);
    world.settle();
    let fired = watch_node(&mut world, 1, "bad");
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired), [values(["transport_error", "bad", "connect timeout"])], "FIND-5");
    let tries = world.hosts[1].events.iter().filter(|event| matches!(event, NodeEvent::Refused { .. })).count();
    assert_eq!(tries, 16);
}

#[test]
fn a_thousand_messages_to_a_node_that_nobody_knows_are_one_piece_of_news() {
    let mut world = with_seed(1);
    for _ in 0..1000 {
        with(&mut world, 0, |context| context.send(&port("nowhere#p"), &1).expect("small"));
        world.step();
    }
    let told = world.hosts[0].events.iter().filter(|event| matches!(event, NodeEvent::Unreachable(..))).count();
    assert_eq!(told, 1);
}

#[test]
fn globals_that_are_listed_and_taken_back_again_are_not_searched_any_more() {
    let mut world = World::new(1);
    world.add(NodeConfig { global: true, ..listening("s", 0) });
    world.add(node_config("a"));
    let silent = world.add(node_config("silent"));
    world.cut.push((0, silent));
    world.dial(1, 0);
    world.settle();
    let node = port("s");
    with(&mut world, 1, |context| context.send(&node, &("g_global",)).expect("small"));
    for round in 0..20 {
        let names: Vec<_> = (0..50).map(|name| format!("x{round}-{name}")).collect();
        let globals: BTreeMap<_, _> = names.iter().map(|name| (name, ())).collect();
        let addresses: BTreeMap<_, _> = names.iter().map(|name| (name, [silent.to_string()])).collect();
        with(&mut world, 1, |context| {
            context.send(&node, &("g_upd", "'l", &addresses)).expect("small");
            context.send(&node, &("g_upd", "'g", &globals)).expect("small");
        });
        world.settle();
        assert!(world.node(0).tables().searches >= 50, "GLOBAL-18");
        with(&mut world, 1, |context| {
            context.send(&node, &("g_upd", "'g", (), &names)).expect("small");
            context.send(&node, &("g_upd", "'l", (), &names)).expect("small");
        });
        world.settle();
    }
    let searches = world.node(0).tables().searches;
    assert_eq!(searches, 0, "FIND-9");
}
