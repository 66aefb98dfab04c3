//! Who may do what on a node: how functions may be used, what is protected, what is denied.

use std::rc::Rc;
use std::time::Duration;

use crate::support::ports::{heard, log, noting, noting_reasons, port, two, values, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Access, Context, Denied, NodeConfig, NodeEvent, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::names::{NodeId, PortId};

/// What a host has denied.
fn denied(world: &World, host: usize) -> Vec<(&str, Denied, &str)> {
    let denied = |event| match event {
        &NodeEvent::Denied { ref source, what, ref name } => Some((source.as_str(), what, name.as_str())),
        _ => None,
    };
    world.hosts[host].events.iter().filter_map(denied).collect()
}

fn spawn(world: &mut World, host: usize, on: &str, function: &str) -> PortId {
    let node = NodeId::new(on).expect("a node ID");
    with(world, host, |context| context.spawn(&node, function, &()).expect("small"))
}

#[test]
fn a_function_is_used_only_as_it_was_registered() {
    let (mut world, a, b) = two();
    let ran = log();
    with(&mut world, b, |context| {
        for (name, access) in [("calls", Access::CALL), ("spawns", Access::SPAWN), ("both", Access::BOTH)] {
            let ran = ran.clone();
            let function = move |context: &mut Context<'_>, _: Elements<'_>| {
                let way = if context.own_port().is_some() { "spawned" } else { "called" };
                ran.borrow_mut().push(values([name, way]));
                Ok(())
            };
            context.register(name, access, Rc::new(function));
        }
    });
    for host in [a, b] {
        let fired = log();
        for name in ["calls", "spawns", "both"] {
            with(&mut world, host, |context| context.send(&port("b"), &name).expect("small"));
            let spawned = spawn(&mut world, host, "b", name);
            with(&mut world, host, |context| drop(context.watch(&spawned, noting_reasons(&fired))));
        }
        world.settle();
        let ways = [["calls", "called"], ["spawns", "spawned"], ["both", "called"], ["both", "spawned"]].map(values);
        assert_eq!(heard(&ran), ways, "NODE-16, from {host}");
        // It is as if there were no such function.
        assert_eq!(heard(&fired).len(), 1, "SPAWN-3, from {host}");
    }
    let told = log();
    with(&mut world, a, |context| {
        let me = context.port(noting(&told));
        context.send(&port("b"), &("can", "spawns", &me)).expect("small");
        context.send(&port("b"), &("can", "calls", &me)).expect("small");
    });
    world.settle();
    assert_eq!(heard(&told), [values(["1"]), values(["1"])], "NODE-4");
}

#[test]
fn a_protected_port_is_ended_by_its_own_node_alone() {
    let (mut world, a, b) = two();
    let (got, fired) = (log(), log());
    with(&mut world, b, |context| {
        let service = context.named_port("echo", noting(&got)).expect("free");
        context.protect(&service);
    });
    with(&mut world, a, |context| drop(context.watch(&port("b#echo"), noting_reasons(&fired))));
    for _ in 0..3 {
        with(&mut world, a, |context| {
            context.end(&port("b#echo"), Reasons::new(["gone"]));
            context.send(&port("b#echo"), &"still there").expect("small");
        });
        world.settle();
    }
    // KILL-4
    assert_eq!((heard(&got).len(), heard(&fired)), (3, vec![]));
    assert_eq!(denied(&world, b), [("a", Denied::End, "echo")], "it is told once");
    assert_eq!(world.node(b).denied(), 3);
    with(&mut world, b, |context| context.end(&port("b#echo"), Reasons::new(["over"])));
    world.settle();
    assert_eq!(heard(&fired), [values(["over"])], "MON-1");
}

#[test]
fn a_peer_spawns_as_many_ports_as_it_may_and_more_when_some_have_ended() {
    let mut world = World::new(1);
    let config = NodeConfig { spawned: 8, spawned_by_peer: 5, ..node_config("node") };
    let (node, a, b) = (world.add(config), world.add(node_config("a")), world.add(node_config("b")));
    world.dial(a, node);
    world.dial(b, node);
    world.settle();
    with(&mut world, node, |context| context.register("make", Access::SPAWN, Rc::new(|_, _| Ok(()))));
    let before = world.node(node).tables().ports;
    let spawned: Vec<_> = (0..7).map(|_| spawn(&mut world, a, "node", "make")).collect();
    let fired = log();
    with(&mut world, a, |context| spawned.iter().for_each(|port| drop(context.watch(port, noting_reasons(&fired)))));
    world.settle();
    // SPAWN-5
    assert_eq!(world.node(node).tables().ports, before + 5);
    assert_eq!(heard(&fired).len(), 2, "SPAWN-3");
    assert!(denied(&world, node).iter().all(|(source, what, _)| (*source, *what) == ("a", Denied::TooManySpawned)));
    assert_eq!(denied(&world, node).len(), 2);
    // Others are not kept out by that, and all together have a bound, too.
    (0..5).for_each(|_| drop(spawn(&mut world, b, "node", "make")));
    world.settle();
    assert_eq!(world.node(node).tables().ports, before + 8);
    // The node's own programs are.
    (0..5).for_each(|_| drop(spawn(&mut world, node, "node", "make")));
    world.settle();
    assert_eq!(world.node(node).tables().ports, before + 13);
    // They stay when the peer goes, and count until they end.
    world.crash(a, false);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.node(node).tables().ports, before + 13);
    with(&mut world, node, |context| spawned.iter().for_each(|port| context.end(port, Reasons::normal())));
    world.settle();
    (0..9).for_each(|_| drop(spawn(&mut world, b, "node", "make")));
    world.settle();
    assert_eq!(world.node(node).tables().ports, before + 10, "b has five");
}

#[test]
fn what_is_told_of_denials_has_a_bound_and_all_are_counted() {
    let mut world = World::new(1);
    let (a, b) = (world.add(node_config("a")), world.add(NodeConfig { spawned: 0, ..node_config("b") }));
    world.dial(a, b);
    world.settle();
    with(&mut world, b, |context| context.register("make", Access::SPAWN, Rc::new(|_, _| Ok(()))));
    (0..1000).for_each(|_| drop(spawn(&mut world, a, "b", "make")));
    world.settle();
    assert_eq!((denied(&world, b).len(), world.node(b).denied()), (16, 1000));
    world.run_for(Duration::from_secs(3601));
    drop(spawn(&mut world, a, "b", "make"));
    world.settle();
    assert_eq!(denied(&world, b).len(), 17, "it is told again after an hour");
}
