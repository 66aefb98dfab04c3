//! The database that connected nodes share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::support::globals::{
    Told, added, entries, family, listening, master, set, taken, two_globals, up, watch, watch_node, with_seed,
};
use crate::support::ports::{heard, log, port, with};
use crate::support::world::World;
use aemp_proto::actor::{Context, NodeConfig, NodeEvent, Reasons};
use aemp_proto::global::{Changes, DbError, Family, Limits, Shard};
use aemp_proto::value::Value;

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
fn a_port_that_is_registered_again_and_again_is_watched_once_and_its_entry_goes_unless_it_was_set_otherwise() {
    let mut world = with_seed(1);
    let port = with(&mut world, 1, |context| context.port(|_, _| Ok(())));
    let other = with(&mut world, 1, |context| context.port(|_, _| Ok(())));
    let first = with(&mut world, 1, |context| context.db_reg(&port, "worker", &0).expect("allowed"));
    // Each time is told of to the other node, where the port is watched, if at all.
    let at_the_seed = port.clone();
    let mut last = None;
    for number in 1..=1000 {
        last = with(&mut world, 0, |context| Some(context.db_reg(&at_the_seed, "worker", &number).expect("allowed")));
        with(&mut world, 1, |context| drop(context.db_reg(&port, "worker", &number).expect("allowed")));
    }
    let carried = world.carried;
    world.settle();
    with(&mut world, 1, |context| assert!(!context.db_remove(&first), "it is not the first one's any more"));
    with(&mut world, 0, |context| assert!(context.db_remove(&last.expect("it was set"))));
    assert!(world.carried - carried > 1000, "what is set was told");
    with(&mut world, 1, |context| {
        context.db_reg(&other, "worker", "idle").expect("allowed");
        context.db_set("worker", &other.to_string(), "busy").expect("allowed");
        context.db_set("worker", &port.to_string(), "idle").expect("allowed");
        context.db_reg(&port, "worker", "busy").expect("allowed");
        context.end(&port, Reasons::normal());
        context.end(&other, Reasons::normal());
    });
    world.settle();
    assert_eq!(family(&mut world, 0, "worker"), Some(entries([(&other.to_string(), "busy")])));
}

#[test]
fn questions_of_ports_that_have_ended_give_their_places_back() {
    let mut world = World::new(1);
    world.add(NodeConfig { database: Limits { questions: 3, ..Limits::default() }, ..listening("a", 0) });
    let heard_by_ended = log();
    for _ in 0..5 {
        let note = heard_by_ended.clone();
        let port = with(&mut world, 0, |context| {
            context.port(move |context, _| {
                let (note, late) = (note.clone(), note.clone());
                context.db_keys("fam", move |_, _| note.borrow_mut().push("answered".into()));
                let own = context.own_port().expect("it runs");
                context.end(&own, Reasons::normal());
                context.db_keys("fam", move |_, _| late.borrow_mut().push("answered".into()));
                Ok(())
            })
        });
        with(&mut world, 0, |context| context.send(&port, &()).expect("small"));
        world.settle();
    }
    let answered = log();
    let note = answered.clone();
    with(&mut world, 0, |context| {
        context.db_keys("fam", move |_, keys| note.borrow_mut().push(keys.expect("FIND-9").len().to_string().into()));
    });
    world.settle();
    assert_eq!(heard(&answered), [], "it waits for a master");
    world.node(0);
    world.add(listening("s", 1));
    world.dial(0, 1);
    world.settle();
    assert_eq!((heard(&answered), heard(&heard_by_ended)), (vec!["0".into()], vec![]));
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
fn a_family_that_comes_in_parts_from_a_new_master_is_no_difference_if_it_is_the_same() {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "a", "b"].iter().enumerate() {
        world.add(listening(name, host));
    }
    for (from, to) in [(0, 1), (1, 0), (2, 0), (2, 1), (3, 1)] {
        world.dial(from, to);
        world.settle();
    }
    for key in 0..40 {
        set(&mut world, 3, "fam", &format!("k{key:02}"), &"v".repeat(20_000));
    }
    set(&mut world, 0, "fam", "of-s", "1");
    world.run_for(Duration::from_secs(1));
    let told = watch(&mut world, 2, "fam");
    world.run_for(Duration::from_secs(1));
    let parts: Vec<_> = taken(&told).iter().map(|changes| changes.added.len()).collect();
    assert!(parts.len() > 1 && parts.iter().sum::<usize>() == 41, "DB-27: {parts:?}");
    world.crash(0, false);
    world.run_for(Duration::from_secs(1));
    assert_eq!(master(&mut world, 2), Some("t".into()));
    assert_eq!(taken(&told), [Changes { deleted: vec!["of-s".into()], ..Changes::default() }], "DB-21, DB-32");
    // It goes on with the new one, and another watch begins with the whole.
    set(&mut world, 3, "fam", "new", "2");
    world.run_for(Duration::from_secs(1));
    assert_eq!(taken(&told), [added([("new", "2")])], "DB-32");
    let other = watch(&mut world, 2, "fam");
    world.settle();
    assert_eq!(taken(&other).iter().map(|changes| changes.added.len()).collect::<Vec<_>>(), [41]);
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
fn a_database_that_is_larger_than_a_packet_arrives_in_parts_and_so_does_an_answer() {
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
    let watchers = world.node(1).tables().global.watchers;
    // No packet takes all values; only `b` watches the family already.
    for (host, watched) in [(2, 0), (3, 0)] {
        let counts = counts(&mut world, host, "fam");
        assert_eq!(counts, [Ok(40_000), Ok(40_000), Ok(40_000)], "DB-26, DB-38, host {host}");
        assert_eq!(world.node(1).tables().global.watchers, watchers + watched, "DB-15: no watch stays");
        assert_eq!(world.node(host).tables().global.questions, 0);
    }
    assert_eq!(up(&mut world, 3), ["t"]);
}

/// How many of something an answer has.
type Count = Result<usize, DbError>;

/// How many entries, keys and values of a family the answers to three queries have.
fn counts(world: &mut World, host: usize, name: &str) -> [Count; 3] {
    let answers = Rc::new(RefCell::new([const { None::<Count> }; 3]));
    let [entries, keys, values] = [(); 3].map(|()| answers.clone());
    with(world, host, |context| {
        context.db_family(name, move |_, got| entries.borrow_mut()[0] = Some(got.map(|got| got.len())));
        context.db_keys(name, move |_, got| keys.borrow_mut()[1] = Some(got.map(|got| got.len())));
        context.db_values(name, move |_, got| values.borrow_mut()[2] = Some(got.map(|got| got.len())));
    });
    world.run_for(Duration::from_secs(2));
    answers.take().map(|answer| answer.expect("it was answered"))
}

#[test]
fn a_family_that_is_fetched_is_answered_as_it_is_and_from_the_next_master_if_the_first_is_lost() {
    let mut world = two_globals();
    // Both globals are seeds of `a`.
    world.dial(2, 1);
    world.run_for(Duration::from_secs(3));
    with(&mut world, 3, |context| {
        for key in 0..3 {
            context.db_set("fam", &key.to_string(), &"x".repeat(500_000)).expect("allowed");
        }
    });
    world.run_for(Duration::from_secs(1));
    let answer = Rc::new(RefCell::new(None));
    let note = answer.clone();
    with(&mut world, 2, |context| {
        context.db_keys("fam", |_, keys| assert_eq!(keys.expect("they fit").len(), 3));
        context.db_family("fam", move |_, got| *note.borrow_mut() = Some(got.expect("it is fetched")));
    });
    // Whenever that is lost, on the way to the answer.
    world.step();
    world.step();
    world.crash(0, false);
    world.run_for(Duration::from_secs(5));
    assert_eq!(master(&mut world, 2), Some("t".into()));
    assert_eq!(answer.take().map(|family| family.len()), Some(3), "DB-38, GLOBAL-12");
    assert_eq!(world.node(1).tables().global.watchers, 0, "DB-15");
}

#[test]
fn a_family_that_is_larger_than_views_may_be_is_not_fetched() {
    let mut world = with_seed(2);
    world.hosts[2].config.database.global = Shard { entries: 2, octets: 1 << 30 };
    world.crash(2, false);
    world.start(2);
    world.dial(2, 0);
    world.settle();
    with(&mut world, 1, |context| {
        for key in 0..3 {
            context.db_set("fam", &key.to_string(), &"x".repeat(500_000)).expect("allowed");
        }
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(counts(&mut world, 2, "fam"), [Err(DbError::TooLarge), Ok(3), Err(DbError::TooLarge)], "DB-38");
    insta::assert_snapshot!(
        DbError::TooLarge.to_string(),
        @"the family is larger than this node takes: raise the limit of what a watched family may hold [DB-38]"
    );
    assert_eq!((master(&mut world, 2), world.node(0).tables().global.watchers), (Some("s".into()), 0));
}

#[test]
fn a_master_that_tells_too_much_of_a_watched_family_is_given_up() {
    let limits = Limits { global: Shard { entries: 100, octets: 1 << 20 }, ..Limits::default() };
    let mut world = World::new(1);
    for (host, name) in ["s", "a"].iter().enumerate() {
        world.add(listening(name, host));
    }
    world.hosts[1].config.database = limits;
    world.start(1);
    world.dial(1, 0);
    let told = watch(&mut world, 1, "fam");
    world.settle();
    for key in 0..101 {
        set(&mut world, 0, "fam", &key.to_string(), "v");
        world.step();
    }
    world.settle();
    assert!(world.hosts[1].events.iter().any(|event| matches!(event, NodeEvent::Down(..))));
    assert_eq!(taken(&told).iter().map(|changes| changes.added.len()).sum::<usize>(), 101);
}
