//! Globals that have lost each other, when nobody else lists them and their seeds are gone for good.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::globals::{entries, family, id, listening, set, up, watch_node};
use crate::support::ports::heard;
use crate::support::world::World;
use aemp_proto::actor::{NodeConfig, NodeEvent};
use aemp_proto::global::{Change, Global, Limits, Output, Request};
use aemp_proto::value::Value;

/// A global that remembers lost ones for two minutes.
fn global(name: &str, host: usize) -> NodeConfig {
    let database = Limits { lost_for: Duration::from_secs(120), ..Limits::default() };
    NodeConfig { global: true, database, ..listening(name, host) }
}

/// Globals `t`, `u`, … on the hosts 1, 2, …, which have met by a seed `s` on host 0 that is gone for good.
fn without_seed(others: &[&str]) -> World {
    let mut world = World::new(1);
    world.add(global("s", 0));
    for (place, name) in others.iter().enumerate() {
        world.add(global(name, place + 1));
        world.dial(place + 1, 0);
    }
    world.run_for(Duration::from_secs(3));
    world.crash(0, false);
    world.settle();
    // Longer than the seed is remembered.
    world.run_for(Duration::from_secs(130));
    world
}

/// The connection of two hosts is lost, and none can be made.
fn cut(world: &mut World, a: usize, b: usize) {
    world.cut.push((a, b));
    world.wires_between(a, b).into_iter().for_each(|wire| world.break_wire(wire));
    world.settle();
}

/// How often an address was dialled in vain.
fn tries(world: &World, host: usize, to: usize) -> usize {
    let is_try = |event: &&NodeEvent| matches!(event, NodeEvent::Refused { address: Some(address), .. } if *address == to.to_string());
    world.hosts[host].events.iter().filter(is_try).count()
}

#[test]
fn two_globals_that_nobody_lists_and_whose_seed_is_gone_find_each_other_again() {
    let mut world = without_seed(&["t", "u"]);
    assert_eq!(up(&mut world, 1), ["u"]);
    set(&mut world, 2, "fam", "k", "v");
    for seconds in [0, 100, 100] {
        cut(&mut world, 1, 2);
        assert_eq!(up(&mut world, 1), Vec::<String>::new());
        let listed = family(&mut world, 1, "'g").map(|globals| globals.into_keys().collect::<Vec<_>>());
        assert_eq!(listed, Some(vec!["t".into()]), "DB-13: nobody lists it");
        world.run_for(Duration::from_secs(seconds));
        world.cut.clear();
        world.run_for(Duration::from_secs(62));
        assert_eq!(up(&mut world, 1), ["u"], "GLOBAL-20, GLOBAL-19, after {seconds} seconds");
        assert_eq!(world.wires_between(1, 2).len(), 1);
        assert_eq!(family(&mut world, 1, "fam"), Some(entries([("k", "v")])));
    }
}

#[test]
fn a_network_without_seeds_that_was_cut_in_two_heals() {
    let mut world = without_seed(&["t", "u", "v", "w"]);
    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        cut(&mut world, a, b);
    }
    world.run_for(Duration::from_secs(60));
    assert_eq!((up(&mut world, 1), up(&mut world, 3)), (vec!["u".into()], vec!["w".into()]));
    world.cut.clear();
    world.run_for(Duration::from_secs(62));
    let globals = ["t", "u", "v", "w"].map(|name| (name.to_string(), Value::Null));
    for host in 1..5 {
        assert_eq!(up(&mut world, host).len(), 3, "GLOBAL-20, host {host}");
        assert_eq!(family(&mut world, host, "'g"), Some(globals.clone().into()));
    }
}

#[test]
fn a_global_that_was_shut_down_is_tried_for_a_time_and_then_no_more() {
    let mut world = without_seed(&["t", "u"]);
    world.crash(2, false);
    world.run_for(Duration::from_secs(2));
    let soon = tries(&world, 1, 2);
    assert!(soon >= 2, "GLOBAL-19: at once, and after 0.6 to 1.2 seconds: {soon} tries");
    // It may come back there, or by itself, so what is sent to it does not fail at once.
    let fired = watch_node(&mut world, 1, "u");
    world.run_for(Duration::from_millis(2200));
    let [Value::Array(reasons)] = &heard(&fired)[..] else { panic!("FIND-6") };
    let text = reasons[2].text().expect("a text");
    assert!(text.starts_with("connect timeout"), "FIND-5: {text}");
    world.run_for(Duration::from_secs(115));
    let all = tries(&world, 1, 2);
    assert!((soon + 4..soon + 14).contains(&all), "GLOBAL-19, GLOBAL-20: {all} tries");
    world.run_for(Duration::from_secs(300));
    assert!(tries(&world, 1, 2) <= all + 1, "GLOBAL-21: it is tried for ever");
    let fired = watch_node(&mut world, 1, "u");
    world.settle();
    let [Value::Array(reasons)] = &heard(&fired)[..] else { panic!("FIND-7") };
    let text = reasons[2].text().expect("a text");
    assert!(text.starts_with("no known address"), "GLOBAL-21: {text}");
}

#[test]
fn a_lost_global_that_comes_back_as_an_ordinary_node_is_forgotten() {
    for by_itself in [false, true] {
        let mut world = World::new(1);
        for (host, name) in ["s", "t", "u"].iter().enumerate() {
            world.add(global(name, host));
        }
        world.dial(1, 0);
        world.dial(2, 0);
        world.run_for(Duration::from_secs(3));
        world.crash(2, false);
        world.settle();
        assert!(world.node(1).tables().global.lost == 1, "GLOBAL-20");
        world.hosts[2].config.global = false;
        world.cut.push((1, 2));
        world.start(2);
        // It has another master, or this one.
        world.dial(2, if by_itself { 1 } else { 0 });
        world.run_for(Duration::from_secs(4));
        world.cut.clear();
        world.run_for(Duration::from_secs(4));
        assert_eq!(world.node(2).master(), Some(&id(if by_itself { "t" } else { "s" })));
        assert_eq!((world.node(0).tables().global.lost, world.node(1).tables().global.lost), (0, 0), "GLOBAL-21");
        world.crash(2, false);
        world.settle();
        let before = (tries(&world, 0, 2), tries(&world, 1, 2));
        world.run_for(Duration::from_secs(100));
        assert_eq!((tries(&world, 0, 2), tries(&world, 1, 2)), before, "GLOBAL-21: by itself {by_itself}");
    }
}

#[test]
fn those_lost_first_are_forgotten_first() {
    let mut world = World::new(1);
    world.add(NodeConfig { database: Limits { lost: 2, ..Limits::default() }, ..global("s", 0) });
    for (place, name) in ["t", "u", "v"].iter().enumerate() {
        world.add(global(name, place + 1));
        world.dial(place + 1, 0);
    }
    world.run_for(Duration::from_secs(3));
    for host in 1..4 {
        world.crash(host, false);
        world.settle();
    }
    assert_eq!(world.node(0).tables().global.lost, 2, "GLOBAL-22");
    (1..4).for_each(|host| world.start(host));
    world.run_for(Duration::from_secs(5));
    // They do not know each other any more, but for what the first one lists.
    assert_eq!(up(&mut world, 0), ["u", "v"], "GLOBAL-20, GLOBAL-22");
}

#[test]
fn of_the_addresses_of_a_lost_global_sixteen_are_kept_that_can_be_any() {
    let mut node = Global::new(id("m"), vec![], Limits::default());
    node.become_global();
    for (name, addresses) in [("many", vec!["9".repeat(400); 100]), ("none", vec!["9".repeat(400)])] {
        let mut addresses: Vec<Value> = addresses.into_iter().map(Value::from).collect();
        if name == "many" {
            addresses.extend((0..1000).map(|host| format!("10.0.0.1:{host}").into()));
        }
        let shard = [("'l".to_string(), [(name.to_string(), Value::Array(addresses))].into())];
        node.up(&id(name), true);
        node.receive(&id(name), Request::Global);
        node.receive(&id(name), Request::Set(shard.into_iter().map(Change::from).collect()));
        node.down(&id(name), Duration::ZERO);
        node.find(&id(name));
    }
    let found: BTreeMap<_, _> = std::iter::from_fn(|| node.poll())
        .filter_map(|output| if let Output::Found(node, found) = output { Some((node.to_string(), found)) } else { None })
        .collect();
    let kept: Vec<_> = (0..16).map(|host| format!("10.0.0.1:{host}")).collect();
    assert_eq!(found, [("many".into(), Some(kept)), ("none".into(), None)].into(), "GLOBAL-22");
}
