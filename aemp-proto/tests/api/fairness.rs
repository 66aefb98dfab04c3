//! No peer uses up what other peers, or the node's own programs, need.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::globals::listening;
use crate::support::ports::{heard, log, noting, noting_reasons, port, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Denied, NodeConfig, NodeEvent};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

/// Members `m0`, `m1`, … that are connected to `node`, with this configuration.
fn with_members(config: NodeConfig, count: usize) -> (World, usize, Vec<usize>) {
    let mut world = World::new(1);
    let node = world.add(config);
    let members: Vec<_> = (0..count).map(|number| world.add(node_config(&format!("m{number}")))).collect();
    for member in &members {
        world.dial(*member, node);
    }
    world.settle();
    (world, node, members)
}

/// Has a node expect a data connection; the reasons for which the port that waits ends go to the log.
fn expect(world: &mut World, member: usize, id: &str, log: &crate::support::ports::Log) {
    with(world, member, |context| {
        let waits = context.port_without_code();
        context.watch(&waits, noting_reasons(log));
        let request = ("AnyEvent::MP::DataConn::_expect", id, &waits, 1e9, "take");
        context.send(&port("node"), &request).expect("small");
    });
}

#[test]
fn a_member_that_names_unknown_nodes_keeps_neither_others_nor_own_programs_from_finding_theirs() {
    let config = NodeConfig { connecting: 400, connecting_of_peer: 100, ..listening("node", 0) };
    let (mut world, node, members) = with_members(config, 5);
    // They are in the database as nodes that do not listen, so the node waits for them.
    let mut unknown: Vec<_> = ["friend", "unknown-again"].map(String::from).into();
    unknown.extend(members.iter().flat_map(|m| (0..200).map(move |number| format!("unknown-{m}-{number}"))));
    unknown.extend((0..200).map(|number| format!("more-{number}")));
    let list: BTreeMap<_, _> = unknown.iter().map(|node| (node, [(); 0])).collect();
    with(&mut world, members[4], |context| context.send(&port("node"), &("g_upd", "'l", list)).expect("small"));
    world.settle();
    for member in &members[..4] {
        with(&mut world, *member, |context| {
            for number in 0..200 {
                context.send(&port("node"), &("snd", format!("unknown-{member}-{number}#p"), 1)).expect("small");
            }
        });
    }
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.node(node).tables().connecting, 300, "FIND-10, FIND-11");
    let of = |event: &NodeEvent| match event {
        NodeEvent::Denied { source, what: Denied::Search, .. } => Some(source.to_string()),
        _ => None,
    };
    let mut denied = BTreeMap::<String, usize>::new();
    world.hosts[node].events.iter().filter_map(of).for_each(|source| *denied.entry(source).or_default() += 1);
    assert_eq!(denied.keys().collect::<Vec<_>>(), ["m0", "m1", "m2", "m3"], "the operator hears who it is");
    // What a port sends because of a member counts for that.
    let answering = with(&mut world, node, |context| {
        let answer = |context: &mut aemp_proto::actor::Context<'_>, elements: aemp_proto::framing::Elements<'_>| {
            let (to,): (aemp_proto::names::PortId,) = elements.rest()?;
            Ok(context.send(&to, &"answer")?)
        };
        context.named_port("answering", answer).expect("free")
    });
    with(&mut world, members[0], |context| {
        context.send(&answering, &"unknown-again#p").expect("small");
    });
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.node(node).tables().connecting, 300, "FIND-10");
    // The node's own programs have the rest, and whom they want is found.
    let got = log();
    let friend = world.add(node_config("friend"));
    with(&mut world, friend, |context| drop(context.named_port("p", noting(&got))));
    with(&mut world, node, |context| context.send(&port("friend#p"), &"found").expect("small"));
    world.dial(friend, node);
    world.run_for(Duration::from_millis(500));
    assert_eq!(heard(&got).len(), 1, "FIND-11");
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.node(node).tables().connecting, 0, "nothing of it stays");
    with(&mut world, members[0], |context| {
        for number in 0..200 {
            context.send(&port("node"), &("snd", format!("more-{number}#p"), 1)).expect("small");
        }
    });
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.node(node).tables().connecting, 100, "FIND-10");
}

#[test]
fn addresses_that_members_have_dialled_leave_room_for_what_own_programs_want() {
    // The tar pit takes connections, and says nothing.
    let mut world = World::new(1);
    world.add(NodeConfig { global: true, connecting_of_peer: 10_000, ..listening("s", 0) });
    let a = world.add(listening("a", 1));
    let mut tar = node_config("tar");
    (tar.handshakes, tar.greeting_timeout) = (1_000_000, Duration::from_secs(3600));
    let tar = world.add(tar);
    world.dial(a, 0);
    world.settle();
    let names: Vec<_> = (0..1500).map(|number| format!("n{number:05}")).collect();
    for names in names.chunks(500) {
        let list: BTreeMap<_, _> = names.iter().map(|node| (node, vec![tar.to_string()])).collect();
        with(&mut world, a, |context| {
            context.send(&port("s"), &("g_upd", "'l", list)).expect("small");
            for node in names {
                context.send(&port("s"), &("snd", format!("{node}#p"), 1u64)).expect("small");
            }
        });
    }
    for _ in 0..20 {
        world.step();
        for wire in world.wires_between(0, tar) {
            world.wires[wire].stuck = [true, true];
        }
    }
    assert_eq!(world.node(0).tables().dials, 750, "FIND-11");
    let b = world.add(listening("b", 3));
    with(&mut world, a, |context| {
        context.send(&port("s"), &("g_upd", "'l", BTreeMap::from([("b", vec![b.to_string()])]))).expect("small");
    });
    for _ in 0..5 {
        world.step();
    }
    with(&mut world, 0, |context| context.send(&port("b"), &"devnull").expect("small"));
    world.run_for(Duration::from_secs(1));
    assert!(world.node(0).up_nodes().any(|node| node.as_str() == "b"), "FIND-11");
}

#[test]
fn few_nodes_cannot_keep_others_from_data_connections_nor_the_node_itself() {
    let config = NodeConfig { data_expected: 20, data_expected_of_peer: 10, data_asked: 2, ..node_config("node") };
    let (mut world, node, members) = with_members(config, 4);
    with(&mut world, node, |context| assert!(context.data_accept("take")));
    let logs: Vec<_> = members.iter().map(|_| log()).collect();
    for member in 0..2 {
        (0..11).for_each(|number| expect(&mut world, members[member], &format!("{number}"), &logs[member]));
    }
    world.settle();
    assert_eq!(logs.iter().map(|log| heard(log).len()).collect::<Vec<_>>(), [1, 1, 0, 0], "DATA-18");
    // The table is full. Others get their share of it all the same.
    (0..8).for_each(|number| expect(&mut world, members[2], &format!("{number}"), &logs[2]));
    world.settle();
    let ended: Vec<_> = logs.iter().map(heard).collect();
    // 10, 10, 0 become 7, 7, 6: a seventh would take from those that have as few.
    assert_eq!(ended.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 2, 0], "DATA-29");
    assert!(format!("{:?}", ended[0][0]).contains("[DATA-29]"), "{:?}", ended[0][0]);
    assert_eq!(world.node(node).data_under_way(), 20);
    // The node's own requests are not concerned, and have a bound of their own.
    let failed = log();
    for number in 0..3u8 {
        let (target, failed) = (NodeId::new("m3").expect("a node ID"), failed.clone());
        with(&mut world, node, |context| {
            let on_failure = move |_: &mut aemp_proto::actor::Context<'_>, reasons: aemp_proto::actor::Reasons| {
                failed.borrow_mut().push(Value::Array(reasons.values().to_vec()));
            };
            context.data_connect([number; 16], &target, "take", &(), Duration::from_secs(60), on_failure).expect("small");
        });
    }
    let now = world.now;
    while world.node(node).has_work() {
        world.node(node).run(now);
    }
    let told = heard(&failed);
    assert!(told.len() == 1 && format!("{told:?}").contains("has asked for too many"), "DATA-30: {told:?}");
    assert_eq!(world.node(node).data_under_way(), 22, "DATA-30");
}

#[test]
fn what_names_a_data_connection_has_a_length() {
    let (mut world, node, members) = with_members(node_config("node"), 1);
    with(&mut world, node, |context| assert!(context.data_accept("take")));
    let ended = log();
    for length in [256, 257, 100_000] {
        expect(&mut world, members[0], &"i".repeat(length), &ended);
    }
    // The port that waits has a name, too, and no port has a longer one (`LIMIT-9`).
    with(&mut world, members[0], |context| {
        assert!(context.named_port(&"p".repeat(257), |_, _| Ok(())).is_none());
        let waits = context.named_port(&"p".repeat(256), |_, _| Ok(())).expect("free");
        context.watch(&waits, noting_reasons(&ended));
        let request = ("AnyEvent::MP::DataConn::_expect", "port", &waits, 60, "take");
        context.send(&port("node"), &request).expect("small");
    });
    world.settle();
    assert_eq!(world.node(node).data_under_way(), 2, "DATA-28");
    assert_eq!(heard(&ended).len(), 2, "DATA-14, DATA-28");
}
