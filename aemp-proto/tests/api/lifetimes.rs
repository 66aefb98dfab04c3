//! What goes with a port, and what its code may do to others: nothing, not even by a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::support::ports::{heard, log, noting, noting_reasons, port, two, values, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Conduct, Memory, NodeConfig, NodeEvent, Outcome, Reasons, Supervisor};
use aemp_proto::value::Value;

/// Catches panics, and finds code slow that says so.
struct Watchful;

impl Supervisor for Watchful {
    fn run(&self, code: &mut dyn FnMut()) -> Conduct {
        let panic = catch_unwind(AssertUnwindSafe(code)).err();
        let text = |payload: Box<dyn std::any::Any + Send>| *payload.downcast::<String>().expect("a text");
        let panic = panic.map(text);
        let slow = panic.as_deref().filter(|text| *text == "slow").map(|_| Duration::from_secs(3));
        Conduct { panic, slow }
    }
}

fn panics(text: &str) -> Outcome {
    panic!("{text}")
}

#[test]
fn a_panic_in_the_code_of_a_port_ends_that_port_and_nothing_else() {
    let (mut world, a, b) = two();
    world.node(b).supervise(Rc::new(Watchful));
    let (fired, other) = (log(), log());
    let (panics, calm) = with(&mut world, b, |context| {
        let panics = context.port(|_, elements| match elements.rest::<u64>()? {
            0 => panics("zero is too little"),
            _ => Ok(()),
        });
        (panics, context.port(noting(&other)))
    });
    with(&mut world, a, |context| {
        context.watch(&panics, noting_reasons(&fired));
        for number in [1, 0] {
            context.send(&panics, &number).expect("small");
        }
        context.send(&calm, &"still here").expect("small");
    });
    world.settle();
    // PORT-2
    assert_eq!(heard(&fired), [values(["die", "zero is too little"])]);
    assert_eq!(heard(&other), [values(["still here"])]);
}

#[test]
fn a_panic_in_what_runs_in_a_ports_name_ends_the_port() {
    let (mut world, a, _) = two();
    world.node(a).supervise(Rc::new(Watchful));
    let fired = log();
    with(&mut world, a, |context| {
        let ports: Vec<_> = (0..4).map(|_| context.port(|_, _| Ok(()))).collect();
        for id in &ports {
            context.watch(id, noting_reasons(&fired));
        }
        context.run_in(&ports[0], |_| panics("run"));
        context.run_in(&ports[1], |context| {
            context.after(Duration::from_secs(1), |_| panics("timer"));
        });
        context.run_in(&ports[2], |context| drop(context.watch(&port("a#none"), |_, _| panics("watch"))));
        context.run_in(&ports[3], |_| Err("failed".into()));
        context.later(|_| panics("nobody"));
    });
    world.run_for(Duration::from_secs(2));
    let mut reasons = heard(&fired);
    reasons.sort_by_key(|reasons| format!("{reasons:?}"));
    let expected = ["failed", "run", "timer", "watch"].map(|text| values(["die", text]));
    assert_eq!(reasons, expected);
    assert!(world.hosts[a].events.contains(&NodeEvent::TaskFailed("nobody".into())), "{:?}", world.hosts[a].events);
}

#[test]
fn a_panic_while_a_message_is_written_leaves_no_half_message_behind() {
    struct Panics;
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut sequence = serializer.serialize_seq(None)?;
            serde::ser::SerializeSeq::serialize_element(&mut sequence, "half a mess")?;
            panic!("{}", String::from("cannot go on"));
        }
    }
    let (mut world, a, b) = two();
    let got = log();
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    world.node(a).supervise(Rc::new(Watchful));
    with(&mut world, a, |context| {
        let id = context.port_without_code();
        context.run_in(&id, |context| drop(context.send(&port("b#p"), &Panics)));
        context.later(|context| context.send(&port("b#p"), &"whole").expect("small"));
    });
    world.settle();
    assert_eq!(heard(&got), [values(["whole"])]);
    assert_eq!(world.node(a).up_nodes().count(), 1);
}

#[test]
fn code_that_holds_up_the_node_is_told_with_its_port() {
    let (mut world, a, _) = two();
    world.node(a).supervise(Rc::new(Watchful));
    let id = with(&mut world, a, |context| {
        let id = context.named_port("sloth", |_, _| panics("slow")).expect("free");
        context.send(&id, &()).expect("small");
        id
    });
    world.settle();
    let slow = NodeEvent::Slow { port: id, time: Duration::from_secs(3) };
    assert!(world.hosts[a].events.contains(&slow), "{:?}", world.hosts[a].events);
}

#[test]
fn the_watches_of_a_port_go_with_it() {
    let (mut world, a, b) = two();
    let fired = log();
    let target = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    let watching = with(&mut world, a, |context| {
        let id = context.port_without_code();
        let (target, fired) = (target.clone(), fired.clone());
        context.run_in(&id, move |context| {
            context.watch(&target, noting_reasons(&fired));
            context.link(&target);
        });
        id
    });
    world.settle();
    assert_eq!(world.node(b).watched(), 1);
    with(&mut world, a, |context| context.end(&watching, Reasons::normal()));
    world.settle();
    // MON-6, MON-12
    assert_eq!(world.node(b).watched(), 0, "the other node was told with mon0");
    with(&mut world, b, |context| context.end(&target, Reasons::new(["late"])));
    world.settle();
    assert_eq!(heard(&fired), []);
}

#[test]
fn the_timers_of_a_port_go_with_it_and_can_be_given_up() {
    let (mut world, a, _) = two();
    let got = log();
    let (quick, slow) = with(&mut world, a, |context| {
        let to = context.port(noting(&got));
        let ports = [context.port_without_code(), context.port_without_code()];
        for id in &ports {
            let to = to.clone();
            context.run_in(id, move |context| {
                context.send_after(Duration::from_secs(1), &to, &("first", 1)).expect("small");
                context.send_after(Duration::from_secs(10), &to, &"second").expect("small");
                let third = context.send_after(Duration::from_secs(1), &to, &"third").expect("small");
                assert!(context.cancel(&third) && !context.cancel(&third));
            });
        }
        let [quick, slow] = ports;
        (quick, slow)
    });
    world.run_for(Duration::from_secs(2));
    assert_eq!(heard(&got), vec![Value::Array(vec!["first".into(), 1u64.into()]); 2]);
    with(&mut world, a, |context| context.end(&quick, Reasons::normal()));
    world.run_for(Duration::from_secs(10));
    assert_eq!(heard(&got), [values(["second"])]);
    with(&mut world, a, |context| context.end(&slow, Reasons::normal()));
}

#[test]
fn a_watch_on_the_own_port_runs_when_that_has_ended() {
    let (mut world, a, _) = two();
    let fired = log();
    let id = with(&mut world, a, |context| {
        let id = context.port_without_code();
        let (own, fired) = (id.clone(), fired.clone());
        context.run_in(&id, move |context| drop(context.watch(&own, noting_reasons(&fired))));
        id
    });
    world.settle();
    with(&mut world, a, |context| context.end(&id, Reasons::new(["enough"])));
    world.settle();
    assert_eq!(heard(&fired), [values(["enough"])]);
}

#[test]
fn who_waits_for_a_peer_to_be_ready_goes_on_when_it_is_or_is_lost() {
    let (mut world, a, b) = two();
    let told = log();
    let wire = world.wires_between(a, b)[0];
    for lost in [false, true] {
        world.wires[wire].stuck = [true; 2];
        let told = told.clone();
        with(&mut world, a, |context| {
            let node = port("b#p").node().clone();
            let big = "x".repeat(900_000);
            while context.is_ready(&node) {
                context.send(&port("b#p"), &big).expect("within the limits");
            }
            context.when_ready(&node, move |_| told.borrow_mut().push("ready".into()));
        });
        world.run_for(Duration::from_millis(300));
        assert_eq!(heard(&log()), []);
        if lost {
            world.crash(b, false);
        } else {
            world.wires[wire].stuck = [false; 2];
        }
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(heard(&told), ["ready".into(), "ready".into()]);
}

#[test]
fn too_many_nodes_that_are_wanted_at_once_are_unreachable_at_once() {
    let mut world = World::new(1);
    let a = world.add(NodeConfig { connecting: 10, ..node_config("a") });
    let fired = log();
    with(&mut world, a, |context| {
        for number in 0..15 {
            let id = port(&format!("unknown{number}#p"));
            context.send(&id, &1).expect("small");
            context.watch(&id, noting_reasons(&fired));
        }
    });
    world.settle();
    // MON-10
    assert_eq!(heard(&fired).len(), 5);
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired).len(), 10, "the others within the time for connecting");
    with(&mut world, a, |context| drop(context.watch(&port("later#p"), noting_reasons(&fired))));
    world.settle();
    assert_eq!(heard(&fired), [], "there is room again");
}

#[test]
fn when_too_much_waits_for_all_peers_together_the_one_with_most_is_given_up() {
    let mut world = World::new(1);
    let a = world.add(NodeConfig { memory: Memory { queues: 1_000_000, ..Memory::default() }, ..node_config("a") });
    let others: Vec<_> = ["b", "c"].map(|name| world.add(node_config(name))).to_vec();
    others.iter().for_each(|&other| world.dial(a, other));
    world.settle();
    let fired = log();
    for &other in &others {
        let wire = world.wires_between(a, other)[0];
        world.wires[wire].stuck = [true; 2];
    }
    with(&mut world, a, |context| {
        for (name, octets) in [("b#p", 800_000), ("c#p", 500_000)] {
            context.watch(&port(name), noting_reasons(&fired));
            context.send(&port(name), &"x".repeat(octets)).expect("within the limits");
        }
    });
    world.run_for(Duration::from_secs(1));
    let text = "too much waits for all nodes together, and most of it for this one [SEC-13]";
    assert_eq!(heard(&fired), [values(["transport_error", "b", text])]);
}
