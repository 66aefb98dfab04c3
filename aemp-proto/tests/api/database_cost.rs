//! What the database costs: octets that are held, and work that is done, beside what a peer pays for it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::checks::heap;
use crate::support::globals::id;
use aemp_proto::framing::{Framing, Limits as PacketLimits, Packet};
use aemp_proto::global::{Global, Limits, Output, Reply, Request, Shard};
use aemp_proto::value::Value;
use serde::Serialize;

const NOW: Duration = Duration::ZERO;

/// A global with a slave `x` that has said nothing yet.
fn global(limits: Limits) -> Global {
    let mut global = Global::new(id("m"), vec!["10.0.0.9:4040".into()], limits);
    global.become_global();
    global.up(&id("x"), true);
    outputs(&mut global);
    global
}

fn outputs(global: &mut Global) -> Vec<Output> {
    std::iter::from_fn(|| global.poll()).collect()
}

/// Gives a request as it arrives; how many octets that were.
fn receive<T: Serialize>(global: &mut Global, from: &str, request: &T) -> usize {
    let unlimited = PacketLimits { octets: usize::MAX, depth: 512, values: usize::MAX };
    let mut octets = Vec::new();
    Framing::Cbor.encode_elements(request, &unlimited, &mut octets).expect("it can be written");
    let packet = Packet::parse(Framing::Cbor, &octets, &unlimited).expect("a packet");
    let mut elements = packet.elements();
    let name = elements.name().expect("a name");
    global.receive(&id(from), Request::decode(&name, elements).expect("it can be used"));
    octets.len()
}

fn update(global: &mut Global, family: &str, entries: BTreeMap<String, Value>) -> usize {
    receive(global, "x", &("g_upd", family, entries))
}

/// Does all that is to be done in later turns; how much work was most in one of them.
fn run(global: &mut Global) -> u64 {
    let mut most = 0;
    while global.has_work() {
        let before = global.work();
        assert!(global.run(|_| true), "it goes on");
        most = most.max(global.work() - before);
    }
    most
}

fn large(limits: Limits) -> Limits {
    let shard = Shard { entries: 10_000_000, octets: 1 << 30 };
    Limits { slave: shard, global: shard, all: 1 << 30, ..limits }
}

#[test]
fn what_is_counted_of_the_database_is_what_is_held_within_half_of_it() {
    // DB-40
    let nested = |_: usize| (0..200).fold(Value::Null, |inner, _| Value::Map([("k".to_owned(), inner)].into()));
    type Make = Box<dyn Fn(usize) -> (String, String, Value)>;
    let cases: [(&str, usize, Make); 7] = [
        ("small entries", 100_000, Box::new(|n| ("fam".into(), n.to_string(), "v".into()))),
        ("small entries in no order", 100_000, Box::new(|n| ("fam".into(), (n * 7919 % 100_003).to_string(), Value::Null))),
        ("large entries", 100, Box::new(|n| ("fam".into(), n.to_string(), Value::Bytes(vec![200; 200_000])))),
        ("nested maps", 5_000, Box::new(move |n| ("fam".into(), n.to_string(), nested(n)))),
        (
            "arrays of small values",
            1_000,
            Box::new(|n| ("fam".into(), n.to_string(), Value::Array(vec![1u64.into(); 10_000]))),
        ),
        ("many families", 30_000, Box::new(|n| (format!("f{n}"), "k".into(), n.to_string().into()))),
        ("long keys", 10_000, Box::new(|n| ("fam".into(), format!("{n}{}", "k".repeat(3_000)), Value::Null))),
    ];
    for (about, entries, make) in cases {
        let mut global = global(large(Limits::default()));
        let (before, counted) = (heap::held(), global.held());
        for number in 0..entries {
            let (family, key, value) = make(number);
            update(&mut global, &family, [(key, value)].into());
        }
        drop(outputs(&mut global));
        assert_eq!(global.entries(), entries + 2, "{about}: with `'g` and `'l`");
        let held = heap::held() - before;
        let counted = global.held() - counted;
        let factor = held as f64 / counted as f64;
        println!("{about}: {held} octets are held, {counted} counted: {factor:.2}");
        assert!((0.66..1.5).contains(&factor), "{about}: {held} octets are held, {counted} counted");
        global.down(&id("x"), NOW);
        run(&mut global);
        drop(outputs(&mut global));
        let left = heap::held() - before;
        assert!(left < 32_768, "{about}: {left} octets are left of a node that is gone");
    }
}

#[test]
fn a_query_whose_answer_does_not_fit_costs_no_more_than_one_of_an_empty_family() {
    // DB-26, DB-42
    let mut global = global(large(Limits::default()));
    for number in 0..200 {
        update(&mut global, "fam", [(number.to_string(), Value::Bytes(vec![200; 200_000]))].into());
    }
    outputs(&mut global);
    for question in ["g_db_family", "g_db_values"] {
        let before = global.work();
        let octets = receive(&mut global, "x", &(question, "fam", "q"));
        let work = global.work() - before;
        assert!(work <= 10 * octets as u64, "{work} units of work for {octets} octets");
        let [Output::Send(_, request)] = &outputs(&mut global)[..] else { panic!("one answer") };
        assert_eq!(**request, Request::Reply("q".into(), Reply::Null));
    }
    let octets = receive(&mut global, "x", &("g_db_keys", "fam", "q"));
    assert!(
        matches!(&outputs(&mut global)[..], [Output::Send(_, request)] if **request != Request::Reply("q".into(), Reply::Null))
    );
    assert!(octets > 0);
}

#[test]
fn what_is_much_is_sent_and_forgotten_in_portions_that_are_all_small() {
    // DB-42, DB-27, DB-32
    const ENTRIES: usize = 100_000;
    let mut global = global(large(Limits::default()));
    for number in 0..ENTRIES {
        update(&mut global, "fam", [(number.to_string(), "value".into())].into());
    }
    outputs(&mut global);
    global.up(&id("y"), true);
    outputs(&mut global);
    let before = global.work();
    receive(&mut global, "y", &("g_mon1", "fam"));
    receive(&mut global, "y", &("g_db_keys", "none", "mark"));
    let first = global.work() - before;
    let most = run(&mut global);
    let portion = Limits::default().portion as u64;
    println!("contents of {ENTRIES} entries: {first} units of work at first, and up to {most} in a turn");
    assert!(first.max(most) < 2 * portion, "{first} {most}");
    let sent = outputs(&mut global);
    let mut entries = 0;
    for (place, output) in sent.iter().enumerate() {
        let Output::Send(_, request) = output else { panic!("{output:?}") };
        match &**request {
            Request::Contents(change) => {
                assert_eq!(place, 0, "DB-16");
                entries += change.set.len();
            }
            Request::Change(change) => entries += change.set.len(),
            Request::Reply(..) => assert_eq!(place, sent.len() - 1, "DB-32: it stands behind all parts"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(entries, ENTRIES);
    // It is lost, and the node that watches hears of each entry.
    let before = global.work();
    global.down(&id("x"), NOW);
    let first = global.work() - before;
    let most = run(&mut global);
    println!("forgetting {ENTRIES} entries: {first} units of work at first, and up to {most} in a turn");
    assert!(first.max(most) < 3 * portion, "{first} {most}");
    let deleted = outputs(&mut global).into_iter().map(|output| match output {
        Output::Send(_, request) => match &*request {
            Request::Change(change) => change.deleted.len(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    });
    assert_eq!(deleted.sum::<usize>(), ENTRIES);
    assert_eq!(global.entries(), 2);
}

#[test]
fn what_changes_while_contents_are_sent_arrives_once_and_right() {
    // DB-16, DB-17, DB-27
    let mut global = global(Limits { portion: 100, ..large(Limits::default()) });
    let entries = |from: usize| -> BTreeMap<String, Value> {
        (from..100).step_by(2).map(|number| (format!("{number:03}"), "old".into())).collect()
    };
    update(&mut global, "fam", entries(0));
    run(&mut global);
    outputs(&mut global);
    global.up(&id("y"), true);
    receive(&mut global, "y", &("g_mon1", "fam"));
    let mut view: BTreeMap<String, Value> = BTreeMap::new();
    let mut turns = 0;
    let mut take = |global: &mut Global| {
        for output in outputs(global) {
            let Output::Send(to, request) = output else { continue };
            let (Request::Contents(change) | Request::Change(change)) = &*request else { continue };
            assert_eq!(to, id("y"));
            change.deleted.iter().for_each(|key| drop(view.remove(&**key)));
            view.extend(change.set.iter().map(|(key, value)| (key.to_string(), value.value())));
        }
        view.clone()
    };
    let mut right = entries(0);
    while global.has_work() {
        take(&mut global);
        turns += 1;
        // Before and behind the cursor.
        for key in [format!("{:03}", turns * 3 % 100), format!("{:03}", 99 - turns % 100)] {
            let value: Value = format!("new {turns}").into();
            right.insert(key.clone(), value.clone());
            update(&mut global, "fam", [(key, value)].into());
        }
        let gone = format!("{:03}", turns * 2 % 100);
        right.remove(&gone);
        receive(&mut global, "x", &("g_upd", "fam", (), [gone]));
        global.run(|_| true);
    }
    assert!(turns > 5, "{turns}");
    assert_eq!(take(&mut global), right);
}

#[test]
fn a_peer_that_asks_again_and_again_waits_and_others_do_not() {
    // DB-42
    let mut global = global(Limits { portion: 400, jobs: 10, ..large(Limits::default()) });
    update(&mut global, "fam", (0..100).map(|number| (format!("{number:03}"), "v".into())).collect());
    outputs(&mut global);
    global.up(&id("y"), true);
    outputs(&mut global);
    let octets: usize = (0..1_000).map(|_| receive(&mut global, "x", &("g_mon1", "fam"))).sum();
    assert!(octets > 0);
    assert!(outputs(&mut global).iter().any(|output| matches!(output, Output::Pause(node) if *node == id("x"))));
    let before = global.work();
    receive(&mut global, "y", &("g_db_family", "other", "q"));
    let is_answer = |output: &Output| matches!(output, Output::Send(to, _) if *to == id("y"));
    assert!(outputs(&mut global).iter().any(is_answer), "y has its answer at once");
    assert!(global.work() - before < 1_000);
    // When x has got what it asked for, it may go on.
    run(&mut global);
    assert!(outputs(&mut global).iter().any(|output| matches!(output, Output::Resume(node) if *node == id("x"))));
}

#[test]
fn of_all_that_hold_too_much_together_the_one_that_holds_most_is_given_up() {
    // DB-40
    let mut global = global(Limits { all: 1 << 20, ..Limits::default() });
    for name in ["a", "b", "c"] {
        global.up(&id(name), true);
    }
    let value = |octets: usize| BTreeMap::from([("k", "x".repeat(octets))]);
    receive(&mut global, "a", &("g_upd", "fam", value(400_000)));
    receive(&mut global, "b", &("g_upd", "fam", value(500_000)));
    assert!(!outputs(&mut global).iter().any(|output| matches!(output, Output::Broken(..))));
    receive(&mut global, "c", &("g_upd", "fam", value(300_000)));
    let broken: Vec<_> = outputs(&mut global)
        .into_iter()
        .filter_map(|output| if let Output::Broken(node, _) = output { Some(node) } else { None })
        .collect();
    assert_eq!(broken, [id("b")]);
    global.down(&id("b"), NOW);
    run(&mut global);
    assert!(global.held() < 1 << 20);
}

#[test]
fn saying_that_it_is_global_gives_a_node_no_more_unless_the_operator_has_chosen_it() {
    // DB-39
    let limits = Limits {
        slave: Shard { entries: 10, octets: 1 << 20 },
        global: Shard { entries: 1_000, octets: 1 << 20 },
        ..Limits::default()
    };
    let listed = Limits { globals: vec!["other".into(), "a/*".into()], ..limits.clone() };
    for (limits, name, is_seed, is_kept) in [
        (&limits, "a/1", false, false),
        (&limits, "a/1", true, true),
        (&listed, "a/1", false, true),
        (&listed, "b", true, false),
    ] {
        let mut global = global(limits.clone());
        global.up(&id(name), true);
        if is_seed {
            global.seed(&id(name));
        }
        receive(&mut global, name, &("g_global",));
        let entries: BTreeMap<String, u64> = (0..100).map(|number| (number.to_string(), number)).collect();
        receive(&mut global, name, &("g_set", BTreeMap::from([("fam", entries)])));
        let broken = outputs(&mut global).iter().any(|output| matches!(output, Output::Broken(..)));
        assert_eq!(broken, !is_kept, "{name}, seed {is_seed}");
    }
}

#[test]
fn an_entry_that_is_too_large_is_told_once_with_its_size() {
    // DB-31, DB-41
    let mut global = global(Limits::default());
    for _ in 0..3 {
        receive(&mut global, "x", &("g_upd", "fam", BTreeMap::from([("k", "x".repeat(700_000)), ("l", "y".into())])));
    }
    receive(&mut global, "x", &("g_upd", "fam", BTreeMap::from([("m", "x".repeat(600_000))])));
    let refused: Vec<_> = outputs(&mut global)
        .into_iter()
        .filter_map(|output| match output {
            Output::Refused { node, family, key, octets } => Some((node.to_string(), family, key, octets)),
            _ => None,
        })
        .collect();
    let told = |key: &str, octets| ("x".to_owned(), "fam".to_owned(), key.to_owned(), octets);
    assert_eq!(refused, [told("k", 700_065), told("m", 600_065)]);
    // What is remembered of that is bounded.
    for number in 0..2_000 {
        let key = format!("{number}{}", "k".repeat(600_000));
        receive(&mut global, "x", &("g_upd", "fam", BTreeMap::from([(key, 1)])));
        assert!(matches!(&outputs(&mut global)[..], [Output::Refused { key, .. }] if key.chars().count() == 256));
    }
    assert_eq!(global.tables().refused, 1_000);
}
