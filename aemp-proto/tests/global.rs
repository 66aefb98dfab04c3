//! The global protocol, over nodes that are connected: finding each other, and the database that they share.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::global::{Changes, DbError, Family, Limits, Shard};
use aemp_proto::link::Role;
use aemp_proto::names::NodeId;
use aemp_proto::node::{Context, NodeConfig, NodeEvent, Reasons};
use aemp_proto::value::Value;
use support::ports::{heard, log, noting, noting_reasons, port, values, with};
use support::world::{World, node_config};

/// The configuration of a node that listens on the host of this number.
fn listening(name: &str, host: usize) -> NodeConfig {
    NodeConfig { addresses: vec![host.to_string()], ..node_config(name) }
}

/// A global seed `s`, and nodes `a`, `b`, … that have it for a seed; all listen.
fn with_seed(others: usize) -> World {
    let mut world = World::new(1);
    world.add(listening("s", 0));
    for (place, name) in ["a", "b", "c", "d"].iter().take(others).enumerate() {
        let host = world.add(listening(name, place + 1));
        world.dial(host, 0);
    }
    world.settle();
    world
}

/// Two globals `s` and `t` that know each other, and slaves: `a` of `s`, `b` of `t`.
fn two_globals() -> World {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "a", "b"].iter().enumerate() {
        world.add(listening(name, host));
    }
    for (from, to) in [(1, 0), (0, 1), (2, 0), (3, 1)] {
        world.dial(from, to);
    }
    world.settle();
    world
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).expect("a node ID")
}

fn master(world: &mut World, host: usize) -> Option<String> {
    world.node(host).master().map(ToString::to_string)
}

fn up(world: &mut World, host: usize) -> Vec<String> {
    let mut nodes: Vec<_> = world.node(host).up_nodes().map(ToString::to_string).collect();
    nodes.sort();
    nodes
}

fn set(world: &mut World, host: usize, family: &str, key: &str, value: &str) {
    with(world, host, |context| context.db_set(family, key, value).map(drop)).expect("it is allowed");
}

/// What a watch was told.
type Told = Rc<RefCell<Vec<Changes>>>;

fn watch(world: &mut World, host: usize, family: &str) -> Told {
    let told = Told::default();
    let note = told.clone();
    with(world, host, |context| context.db_watch(family, move |_, changes| note.borrow_mut().push(changes)));
    told
}

fn taken(told: &Told) -> Vec<Changes> {
    std::mem::take(&mut told.borrow_mut())
}

fn entries<const N: usize>(entries: [(&str, &str); N]) -> Family {
    entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

fn added<const N: usize>(new: [(&str, &str); N]) -> Changes {
    Changes { added: entries(new), ..Changes::default() }
}

/// The contents of a family, as a node gets them when it asks.
fn family(world: &mut World, host: usize, family: &str) -> Option<Family> {
    let answer = Rc::new(RefCell::new(None));
    let note = answer.clone();
    with(world, host, |context| {
        context.db_family(family, move |_, answer| *note.borrow_mut() = Some(answer.expect("it fits")));
    });
    world.settle();
    answer.take()
}

/// Notes why watches on these nodes fire.
fn watch_node(world: &mut World, host: usize, node: &str) -> support::ports::Log {
    let fired = log();
    with(world, host, |context| drop(context.watch(&port(node), noting_reasons(&fired))));
    fired
}

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
fn what_a_node_sets_is_seen_by_all_as_long_as_the_node_is_there() {
    let mut world = two_globals();
    let told: Vec<_> = (0..4).map(|host| watch(&mut world, host, "fam")).collect();
    world.settle();
    for told in &told {
        assert_eq!(taken(told), [Changes::default()], "DB-20: complete, and empty");
    }
    set(&mut world, 2, "fam", "k", "v");
    world.settle();
    for (host, told) in told.iter().enumerate() {
        assert_eq!(taken(told), [added([("k", "v")])], "DB-5, DB-10, DB-17: host {host}");
        assert_eq!(family(&mut world, host, "fam"), Some(entries([("k", "v")])), "DB-12, DB-22: host {host}");
    }
    set(&mut world, 2, "fam", "k", "v");
    set(&mut world, 2, "fam", "k", "w");
    world.settle();
    for told in &told {
        assert_eq!(taken(told), [Changes { changed: entries([("k", "w")]), ..Changes::default() }], "DB-5");
    }
    world.crash(2, false);
    world.settle();
    for host in [0, 1, 3] {
        assert_eq!(taken(&told[host]), [Changes { deleted: vec!["k".into()], ..Changes::default() }], "DB-9, host {host}");
        assert_eq!(family(&mut world, host, "fam"), Some(Family::new()));
    }
}

#[test]
fn a_port_in_a_family_goes_when_it_ends() {
    let mut world = with_seed(2);
    let told = watch(&mut world, 2, "worker");
    world.settle();
    let worker = with(&mut world, 1, |context| {
        let worker = context.port(|_, _| Ok(()));
        context.db_reg(&worker, "worker", "idle").expect("allowed");
        worker
    });
    world.settle();
    assert_eq!(taken(&told), [Changes::default(), added([(&worker.to_string(), "idle")])]);
    with(&mut world, 1, |context| context.end(&worker, Reasons::normal()));
    world.settle();
    assert_eq!(taken(&told), [Changes { deleted: vec![worker.to_string()], ..Changes::default() }]);
}

#[test]
fn an_entry_belongs_to_whoever_set_it_last() {
    let mut world = with_seed(0);
    with(&mut world, 0, |context| {
        let first = context.db_set("fam", "k", &1).expect("allowed");
        let second = context.db_set("fam", "k", &2).expect("allowed");
        assert!(!context.db_remove(&first), "it is not the first one's any more");
        assert!(context.db_remove(&second) && !context.db_remove(&second));
        context.db_set("fam", "k", &3).expect("allowed");
        context.db_del("fam", ["k", "never"]);
        assert!(matches!(context.db_set("'l", "k", &1), Err(DbError::Family(_))), "DB-3");
        assert!(matches!(context.db_set("a-b", "k", &1), Err(DbError::Family(_))), "DB-2");
        assert!(matches!(context.db_set("fam", "", &1), Err(DbError::EmptyKey)), "DB-2");
        let huge = "x".repeat(1 << 20);
        assert!(matches!(context.db_set("fam", "k", &huge), Err(DbError::Value(_))), "LIMIT-5");
    });
}

#[test]
fn questions_wait_for_a_master_and_are_answered_in_order_of_keys() {
    let mut world = World::new(1);
    world.add(listening("s", 0));
    world.add(listening("a", 1));
    let (keys, all, unknown) = (log(), log(), log());
    with(&mut world, 1, |context| {
        for (key, value) in [("y", 2u64), ("x", 1)] {
            context.db_set("fam", key, &value).expect("allowed");
        }
        let note = keys.clone();
        context.db_keys("fam", move |_, keys| note.borrow_mut().extend(keys.expect("small").into_iter().map(Value::from)));
        let note = all.clone();
        context.db_values("fam", move |_, values| note.borrow_mut().extend(values.expect("small")));
        let note = unknown.clone();
        context.db_values("nothing", move |_, values| note.borrow_mut().push(Value::Array(values.expect("small"))));
    });
    world.settle();
    assert_eq!(heard(&keys), []);
    world.dial(1, 0);
    world.settle();
    assert_eq!(
        (heard(&keys), heard(&all)),
        (vec!["x".into(), "y".into()], vec![1u64.into(), 2u64.into()]),
        "GLOBAL-11, DB-23"
    );
    assert_eq!(heard(&unknown), [Value::Array(vec![])], "DB-22");
}

#[test]
fn a_key_that_two_set_has_one_value_everywhere_and_falls_to_the_other_when_the_first_goes() {
    // Slaves of the lower global win, and among them the lower one; a slave wins over its own global.
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let mut world = two_globals();
        let told = watch(&mut world, 3, "fam");
        world.settle();
        for host in order {
            let name = world.id(host).to_string();
            set(&mut world, host, "fam", "k", &name);
            world.settle();
        }
        let mut view = Family::new();
        let apply = |view: &mut Family| {
            for changes in taken(&told) {
                assert!(changes.added.keys().all(|key| !view.contains_key(key)), "DB-20");
                assert!(changes.changed.keys().chain(&changes.deleted).all(|key| view.contains_key(key)), "DB-20");
                changes.deleted.iter().for_each(|key| drop(view.remove(key)));
                view.extend(changes.added.into_iter().chain(changes.changed));
            }
            view.get("k").cloned()
        };
        for (gone, winner) in [(None, Some("a")), (Some(2), Some("s")), (Some(0), Some("b")), (Some(3), Some("t"))] {
            if let Some(gone) = gone {
                with(&mut world, gone, |context| context.db_del("fam", ["k"]));
                world.settle();
            }
            let expected = winner.map(Value::from);
            assert_eq!(apply(&mut view), expected, "DB-12, order {order:?}");
            for host in 0..4 {
                assert_eq!(family(&mut world, host, "fam").unwrap().get("k").cloned(), expected, "DB-12, host {host}");
            }
        }
    }
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
fn when_the_master_goes_another_seed_takes_its_place_and_watches_go_on_with_the_difference() {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "a", "b"].iter().enumerate() {
        world.add(listening(name, host));
    }
    for (from, to) in [(0, 1), (1, 0), (2, 0), (2, 1), (3, 1)] {
        world.dial(from, to);
        world.settle();
    }
    assert_eq!(master(&mut world, 2), Some("s".into()), "GLOBAL-9");
    set(&mut world, 0, "fam", "of-s", "1");
    set(&mut world, 2, "fam", "of-a", "2");
    set(&mut world, 3, "fam", "of-b", "3");
    world.settle();
    let told = watch(&mut world, 2, "fam");
    world.settle();
    assert_eq!(taken(&told), [added([("of-s", "1"), ("of-a", "2"), ("of-b", "3")])]);
    world.crash(0, false);
    world.settle();
    assert_eq!(master(&mut world, 2), Some("t".into()), "GLOBAL-12");
    assert_eq!(taken(&told), [Changes { deleted: vec!["of-s".into()], ..Changes::default() }], "DB-21");
    assert_eq!(family(&mut world, 3, "fam"), Some(entries([("of-a", "2"), ("of-b", "3")])), "GLOBAL-11");
    // And again: the first one is back, and the second one goes.
    world.start(0);
    world.dial(0, 1);
    world.run_for(Duration::from_secs(5));
    world.crash(1, false);
    world.run_for(Duration::from_secs(1));
    assert_eq!(master(&mut world, 2), Some("s".into()), "GLOBAL-12");
    set(&mut world, 0, "fam", "new", "4");
    world.settle();
    assert_eq!(
        taken(&told),
        [Changes { deleted: vec!["of-b".into()], ..Changes::default() }, added([("new", "4")])],
        "DB-15, DB-21"
    );
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
fn a_watch_ends_with_its_port_and_when_it_is_given_up() {
    let mut world = with_seed(1);
    let told = Told::default();
    let note = told.clone();
    let owner = with(&mut world, 1, |context| {
        context.port(move |context, _| {
            let note = note.clone();
            context.db_watch("fam", move |_, changes| note.borrow_mut().push(changes));
            Ok(())
        })
    });
    with(&mut world, 1, |context| context.send(&owner, &()).expect("small"));
    world.settle();
    assert_eq!(taken(&told), [Changes::default()]);
    with(&mut world, 1, |context| context.end(&owner, Reasons::normal()));
    world.settle();
    let other = Told::default();
    let note = other.clone();
    let handle = with(&mut world, 1, |context| {
        context.db_watch("fam", move |_: &mut Context<'_>, changes| note.borrow_mut().push(changes))
    });
    with(&mut world, 1, |context| context.db_unwatch(handle));
    set(&mut world, 0, "fam", "k", "v");
    world.settle();
    assert_eq!((taken(&told), taken(&other)), (vec![], vec![]));
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
fn a_node_that_sets_or_watches_too_much_is_given_up_and_nobody_else_is_disturbed() {
    let limits = Limits { slave: Shard { entries: 1000, octets: 1 << 20 }, watched: 10, ..Limits::default() };
    let mut world = World::new(1);
    world.add(NodeConfig { database: limits, global: true, ..listening("s", 0) });
    for (host, name) in [(1, "a"), (2, "bad"), (3, "worse"), (4, "worst")] {
        world.add(listening(name, host));
        world.dial(host, 0);
    }
    world.settle();
    set(&mut world, 1, "fam", "k", "v");
    with(&mut world, 2, |context| {
        for start in (0..100_000).step_by(20_000) {
            let database: BTreeMap<_, _> =
                (start..start + 20_000).map(|n| (format!("f{n}"), BTreeMap::from([("k", n)]))).collect();
            context.send(&port("s"), &("g_slave", &database)).expect("it fits");
        }
    });
    with(&mut world, 3, |context| {
        for n in 0..20 {
            context.send(&port("s"), &("g_mon1", format!("f{n}"))).expect("small");
        }
    });
    with(&mut world, 4, |context| {
        for key in ["x", "y", "z"] {
            let large = BTreeMap::from([(key, key.repeat(500_000))]);
            context.send(&port("s"), &("g_upd", "fam", &large)).expect("it fits");
        }
    });
    world.run_for(Duration::from_millis(500));
    let down: Vec<_> = world.hosts[0]
        .events
        .iter()
        .filter_map(|event| if let NodeEvent::Down(node, _) = event { Some(node.to_string()) } else { None })
        .collect();
    assert_eq!(down.len(), 3, "DB-28, DB-29: {down:?}");
    assert!(["bad", "worse", "worst"].iter().all(|bad| down.contains(&(*bad).to_string())), "{down:?}");
    assert_eq!(family(&mut world, 1, "fam"), Some(entries([("k", "v")])), "DB-9");
    assert_eq!(up(&mut world, 0).first().map(|node| &node[..]), Some("a"), "nobody else was given up");
}

#[test]
fn forged_answers_and_forbidden_entries_change_nothing() {
    let mut world = with_seed(2);
    let (told, answered) = (watch(&mut world, 1, "fam"), log());
    let note = answered.clone();
    with(&mut world, 1, |context| {
        context.db_keys("fam", move |_, keys| note.borrow_mut().push(keys.expect("small").len().to_string().into()));
    });
    // From one who is no master, and no global.
    let fired = watch_node(&mut world, 2, "a");
    world.run_for(Duration::from_millis(100));
    assert_eq!((taken(&told), heard(&answered), heard(&fired)), (vec![Changes::default()], vec!["0".into()], vec![]));
    with(&mut world, 2, |context| {
        let forged = BTreeMap::from([("k", "forged")]);
        let database = BTreeMap::from([("fam", &forged)]);
        context.send(&port("a"), &("g_chg1", "fam", &forged)).expect("small");
        context.send(&port("a"), &("g_chg2", "fam", &forged, [(); 0])).expect("small");
        context.send(&port("a"), &("g_reply", "b", ["x"])).expect("small");
        context.send(&port("a"), &("g_found", "b", ["1"])).expect("small");
        context.send(&port("a"), &("g_upd", "fam", &forged)).expect("small");
        context.send(&port("s"), &("g_set", &database)).expect("small");
        context.send(&port("s"), &("g_upd", "no-family", &forged)).expect("small");
        context.send(&port("s"), &("g_upd", "fam", BTreeMap::from([("", 1)]))).expect("small");
        context.send(&port("s"), &("g_upd", "fam", (), ["not", "there"])).expect("small");
        context.send(&port("s"), &("g_upd", "fam", 17)).expect("small");
        context.send(&port("s"), &("g_slave", BTreeMap::from([("fam", 1)]))).expect("small");
        context.send(&port("s"), &("g_find",)).expect("small");
        context.send(&port("a"), &("g_slave", [1])).expect("small");
    });
    world.settle();
    assert_eq!(family(&mut world, 1, "fam"), Some(Family::new()), "GLOBAL-3, GLOBAL-13, DB-1, DB-2, DB-8");
    assert_eq!(family(&mut world, 1, "no-family"), Some(Family::new()), "DB-2");
    assert_eq!(taken(&told), [], "GLOBAL-13");
    assert!(!world.node(1).is_global(), "DB-1");
    assert_eq!(up(&mut world, 0), ["a", "b"], "nobody was given up");
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
fn a_database_that_is_larger_than_a_packet_arrives_in_parts_and_too_large_an_answer_is_an_error() {
    let mut world = two_globals();
    let told = watch(&mut world, 3, "fam");
    world.settle();
    taken(&told);
    with(&mut world, 2, |context| {
        for key in 0..40_000u64 {
            context.db_set("fam", &format!("{key:05}"), &vec![key; 2]).expect("allowed");
        }
    });
    world.run_for(Duration::from_secs(1));
    let count: usize = taken(&told).iter().map(|changes| changes.added.len()).sum();
    assert_eq!(count, 40_000);
    // The whole of it, to a new master and a new global.
    world.crash(0, false);
    world.run_for(Duration::from_secs(1));
    world.dial(2, 1);
    world.run_for(Duration::from_secs(1));
    assert_eq!(master(&mut world, 2), Some("t".into()));
    world.start(0);
    world.dial(0, 1);
    world.run_for(Duration::from_secs(2));
    let fresh = watch(&mut world, 0, "fam");
    let other = watch(&mut world, 2, "fam");
    world.run_for(Duration::from_secs(1));
    for told in [fresh, other] {
        let count: usize = taken(&told).iter().map(|changes| changes.added.len()).sum();
        assert_eq!(count, 40_000, "DB-27");
    }
    let answered = log();
    let note = answered.clone();
    with(&mut world, 3, |context| {
        context.db_family("fam", move |_, family| note.borrow_mut().push(family.expect_err("too large").to_string().into()));
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(heard(&answered), ["the answer is too large for a packet [DB-26]".into()], "DB-26");
    assert_eq!(up(&mut world, 3), ["t"]);
}
