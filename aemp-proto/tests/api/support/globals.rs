//! Nodes of the global protocol, and what they see of the database.

use std::cell::RefCell;
use std::rc::Rc;

use aemp_proto::actor::NodeConfig;
use aemp_proto::global::{Changes, Family};
use aemp_proto::names::NodeId;

use super::ports::{Log, log, noting_reasons, port, with};
use super::world::{World, node_config};

/// The configuration of a node that listens on the host of this number.
pub fn listening(name: &str, host: usize) -> NodeConfig {
    NodeConfig { addresses: vec![host.to_string()], ..node_config(name) }
}

/// A global seed `s`, and nodes `a`, `b`, … that have it for a seed; all listen.
pub fn with_seed(others: usize) -> World {
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
pub fn two_globals() -> World {
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

pub fn id(name: &str) -> NodeId {
    NodeId::new(name).expect("a node ID")
}

pub fn master(world: &mut World, host: usize) -> Option<String> {
    world.node(host).master().map(ToString::to_string)
}

pub fn up(world: &mut World, host: usize) -> Vec<String> {
    let mut nodes: Vec<_> = world.node(host).up_nodes().map(ToString::to_string).collect();
    nodes.sort();
    nodes
}

pub fn set(world: &mut World, host: usize, family: &str, key: &str, value: &str) {
    with(world, host, |context| context.db_set(family, key, value).map(drop)).expect("it is allowed");
}

/// What a watch was told.
pub type Told = Rc<RefCell<Vec<Changes>>>;

pub fn watch(world: &mut World, host: usize, family: &str) -> Told {
    let told = Told::default();
    let note = told.clone();
    with(world, host, |context| context.db_watch(family, move |_, changes| note.borrow_mut().push(changes)));
    told
}

pub fn taken(told: &Told) -> Vec<Changes> {
    std::mem::take(&mut told.borrow_mut())
}

pub fn entries<const N: usize>(entries: [(&str, &str); N]) -> Family {
    entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

pub fn added<const N: usize>(new: [(&str, &str); N]) -> Changes {
    Changes { added: entries(new), ..Changes::default() }
}

/// The contents of a family, as a node gets them when it asks.
pub fn family(world: &mut World, host: usize, family: &str) -> Option<Family> {
    let answer = Rc::new(RefCell::new(None));
    let note = answer.clone();
    with(world, host, |context| {
        context.db_family(family, move |_, answer| *note.borrow_mut() = Some(answer.expect("it fits")));
    });
    world.settle();
    answer.take()
}

/// Notes why watches on these nodes fire.
pub fn watch_node(world: &mut World, host: usize, node: &str) -> Log {
    let fired = log();
    with(world, host, |context| drop(context.watch(&port(node), noting_reasons(&fired))));
    fired
}
