//! Ports that note what they get, and worlds of two nodes.

use std::cell::RefCell;
use std::rc::Rc;

use aemp_proto::actor::{Context, Outcome, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

use super::world::{World, node_config};

pub type Log = Rc<RefCell<Vec<Value>>>;

pub fn log() -> Log {
    Rc::default()
}

pub fn heard(log: &Log) -> Vec<Value> {
    std::mem::take(&mut log.borrow_mut())
}

/// A handler that notes what it gets.
pub fn noting(log: &Log) -> impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static {
    let log = log.clone();
    move |_, elements| {
        log.borrow_mut().push(elements.rest()?);
        Ok(())
    }
}

/// A callback that notes the reasons for which it fires.
pub fn noting_reasons(log: &Log) -> impl FnOnce(&mut Context<'_>, Reasons) + 'static {
    let log = log.clone();
    move |_, reasons| log.borrow_mut().push(Value::Array(reasons.values().to_vec()))
}

pub fn values<const N: usize>(values: [&str; N]) -> Value {
    Value::Array(values.map(Value::from).to_vec())
}

/// Two nodes that are connected.
pub fn two() -> (World, usize, usize) {
    let mut world = World::new(1);
    let (a, b) = (world.add(node_config("a")), world.add(node_config("b")));
    world.dial(a, b);
    world.settle();
    assert_eq!(world.node(a).up_nodes().count(), 1);
    (world, a, b)
}

pub fn with<R>(world: &mut World, host: usize, code: impl FnOnce(&mut Context<'_>) -> R) -> R {
    let now = world.now;
    world.node(host).with(now, code)
}

pub fn port(text: &str) -> PortId {
    text.parse().expect("a port ID")
}
