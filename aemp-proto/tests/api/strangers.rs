//! What others may say or do to a network that must not cut it, starve it, or speak in another node's name.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::globals::{family, listening, set, two_globals, up, with_seed};
use crate::support::pair::{Told, config, give, link, take};
use crate::support::ports::{log, noting, noting_reasons, port, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Action, ConnectionId, Node, NodeConfig};
use aemp_proto::auth::Secret;
use aemp_proto::global::{Limits, Shard};
use aemp_proto::link::{Link, Role};

#[test]
fn nobody_can_have_a_global_speak_for_him_to_another_one() {
    // s and t are global, a is a slave of s.
    let mut world = two_globals();
    set(&mut world, 0, "fam", "of-s", "1");
    set(&mut world, 2, "fam", "of-a", "2");
    world.settle();
    let before = family(&mut world, 1, "fam");
    with(&mut world, 2, |context| {
        let forged = BTreeMap::from([("ghost", 1u64)]);
        context.send(&port("s"), &("snd", "t", "g_upd", "fam", forged)).expect("small");
        context.send(&port("s"), &("snd", "t", "g_global")).expect("small");
        context.send(&port("s"), &("can", "mon1", "t", "g_global")).expect("small");
        context.send(&port("s"), &("time", "t", "g_global")).expect("small");
        // Nor when it is to be passed on twice, or to be something else than that.
        let forged = BTreeMap::from([("ghost", 1u64)]);
        context.send(&port("s"), &("snd", "t", "snd", "t", "g_upd", "fam", &forged)).expect("small");
        context.send(&port("s"), &("snd", "t", "snd", "s", "g_upd", "fam", &forged)).expect("small");
        context.send(&port("s"), &("snd", "t", "time", "t#x")).expect("small");
        context.send(&port("s"), &("snd", "t", "snd")).expect("small");
    });
    world.run_for(Duration::from_secs(5));
    // NODE-10
    assert_eq!(family(&mut world, 1, "fam"), before);
    assert_eq!(family(&mut world, 0, "fam"), before);
}

#[test]
fn a_node_that_does_not_listen_connects_to_whoever_has_its_master_ask_it_to_send_something() {
    let mut world = with_seed(1);
    let hidden = world.add(node_config("hidden"));
    world.dial(hidden, 0);
    world.settle();
    let told = log();
    // a, which cannot reach it.
    with(&mut world, 1, |context| context.watch(&port("hidden"), noting_reasons(&told)));
    world.run_for(Duration::from_secs(5));
    assert_eq!(told.borrow().len(), 1, "MON-10");
    let came = log();
    let own = with(&mut world, 1, |context| context.port(noting(&came)));
    with(&mut world, 1, |context| context.send(&port("s"), &("snd", "hidden", "snd", &own, "hello")).expect("small"));
    world.run_for(Duration::from_secs(5));
    // NODE-12
    assert_eq!(up(&mut world, 1), ["hidden", "s"]);
    assert_eq!(came.borrow().len(), 1);
}

#[test]
fn a_global_that_is_lost_while_many_nodes_are_searched_is_found_again() {
    let mut world = World::new(1);
    for (host, name) in ["s", "t"].iter().enumerate() {
        world.add(NodeConfig { global: true, ..listening(name, host) });
    }
    // It listens nowhere, so that only it can mend the connection; and it may search three nodes at once.
    let database = Limits { searched: 3, ..Limits::default() };
    let u = world.add(NodeConfig { global: true, database, ..node_config("u") });
    world.dial(1, 0);
    world.dial(u, 0);
    world.run_for(Duration::from_secs(3));
    assert_eq!(up(&mut world, u), ["s", "t"]);
    let a = world.add(listening("a", 3));
    world.cut.push((u, a));
    world.dial(a, 0);
    world.settle();
    let nowhere = BTreeMap::from([("v1", ["3"]), ("v2", ["3"]), ("v3", ["3"])]);
    with(&mut world, a, |context| context.send(&port("s"), &("g_upd", "'l", nowhere)).expect("small"));
    world.run_for(Duration::from_secs(1));
    with(&mut world, u, |context| {
        for name in ["v1", "v2", "v3"] {
            context.watch(&port(name), noting_reasons(&log()));
        }
    });
    world.run_for(Duration::from_millis(50));
    let wire = world.wires_between(1, u)[0];
    world.break_wire(wire);
    world.cut.push((1, u));
    world.run_for(Duration::from_secs(3));
    world.cut.retain(|cut| *cut != (1, u));
    world.run_for(Duration::from_secs(120));
    // GLOBAL-18
    assert_eq!(up(&mut world, u), ["s", "t"]);
}

#[test]
fn globals_that_cannot_stay_connected_try_again_more_and_more_seldom() {
    let mut world = World::new(1);
    let shard = Shard { entries: 10, octets: 1 << 20 };
    let database = Limits { slave: shard, global: shard, ..Limits::default() };
    for (host, name) in ["s", "t", "u"].iter().enumerate() {
        let database = if host == 2 { database.clone() } else { Limits::default() };
        world.add(NodeConfig { global: true, database, ..listening(name, host) });
    }
    world.dial(1, 0);
    world.dial(2, 1);
    world.run_for(Duration::from_secs(3));
    for number in 0..20 {
        set(&mut world, 0, "fam", &format!("k{number}"), "more than u may hold of a global");
    }
    let before = world.wires.len();
    world.run_for(Duration::from_secs(30));
    let tried = world.wires.len() - before;
    // GLOBAL-19
    assert!((1..60).contains(&tried), "{tried} connections in half a minute");
}

/// Carries octets between a node and a link that someone else owns.
fn turn(node: &mut Node, peer: &mut Link, id: ConnectionId, now: Duration, told: &mut Vec<Told>) {
    for _ in 0..10 {
        let octets = take(peer);
        if !octets.is_empty() {
            node.receive(now, id, &octets);
        }
        node.run(now);
        let octets = node.output(id).to_vec();
        node.advance_output(id, octets.len());
        give(peer, &octets, told).expect("what a node sends is right");
    }
}

#[test]
fn a_stranger_who_answers_for_a_seed_does_not_keep_it_from_being_dialled() {
    let mut now = Duration::from_secs(1000);
    let own = NodeConfig { addresses: vec!["m:1".into()], ..node_config("m") };
    let mut node = Node::new(own, 1, now, now);
    let with_gproto = |secret: &[u8]| {
        let mut settings = config("x");
        settings.keys.insert("gproto".into(), "1".into());
        settings.secret = Some(Secret::new(secret).expect("a secret"));
        settings
    };
    // x is up, and no seed.
    let id = node.open(now, Role::Acceptor, [9; 32], None, None).expect("there is room");
    let (mut peer, mut told) = (link(with_gproto(b"swordfish"), Role::Opener), Vec::new());
    turn(&mut node, &mut peer, id, now, &mut told);
    // At the seed's address someone says that he is x, and cannot prove it.
    node.add_seed(now, "seed:1");
    node.run(now);
    let dial = loop {
        if let Action::Dial { dial, .. } = node.poll_action().expect("it dials") {
            break dial;
        }
    };
    let stranger = node.open(now, Role::Opener, [8; 32], None, Some(dial)).expect("there is room");
    let mut liar = link(with_gproto(b"another secret"), Role::Acceptor);
    let octets = take(&mut liar);
    node.receive(now, stranger, &octets);
    turn(&mut node, &mut peer, id, now, &mut told);
    node.closed(now, stranger, None);
    let mut dials = 0;
    for _ in 0..6000 {
        now += Duration::from_millis(100);
        turn(&mut node, &mut peer, id, now, &mut told);
        peer.send(&[(); 0]).expect("it is up");
        while let Some(action) = node.poll_action() {
            dials += usize::from(matches!(action, Action::Dial { .. }));
        }
    }
    // GLOBAL-4
    assert!((1..10).contains(&dials), "{dials} dials in ten minutes");
}

#[test]
fn whoever_has_us_search_many_nodes_that_never_greet_keeps_nobody_out() {
    let mut world = World::new(1);
    world.add(NodeConfig { global: true, ..listening("s", 0) });
    let a = world.add(listening("a", 1));
    let mut tar = node_config("tar");
    (tar.handshakes, tar.link.handshake_timeout) = (1_000_000, Duration::from_secs(3600));
    let tar = world.add(tar);
    world.dial(a, 0);
    world.settle();
    for batch in 0..3 {
        let nodes = || (0..500).map(move |number| format!("n{batch}-{number:05}"));
        let list: BTreeMap<_, _> = nodes().map(|node| (node, vec![tar.to_string()])).collect();
        with(&mut world, a, |context| {
            context.send(&port("s"), &("g_upd", "'l", list)).expect("small");
            for node in nodes() {
                context.send(&port("s"), &("snd", format!("{node}#p"), 1u64)).expect("small");
            }
        });
    }
    let stick = |world: &mut World| {
        for wire in world.wires_between(0, tar) {
            world.wires[wire].stuck = [true, true];
        }
    };
    for _ in 0..20 {
        world.step();
        stick(&mut world);
    }
    let now = world.now;
    let friend = world.node(0).open(now, Role::Acceptor, [3; 32], None, None);
    // SEC-5
    assert!(friend.is_ok(), "{friend:?} with {} connections", world.node(0).connections());
    for _ in 0..1000 {
        world.now += Duration::from_millis(10);
        world.step();
        stick(&mut world);
    }
    // FIND-5
    assert!(world.node(0).connections() < 10, "{} connections stay", world.node(0).connections());
}

#[test]
fn a_part_of_the_database_that_is_larger_than_what_may_wait_for_a_peer_still_gets_across() {
    let mut world = World::new(1);
    for (host, name) in ["s", "t", "u", "a", "b"].iter().enumerate() {
        world.add(NodeConfig { global: host < 3, queue: 200_000, ..listening(name, host) });
    }
    for host in 1..5 {
        world.dial(host, 0);
    }
    world.run_for(Duration::from_secs(2));
    for host in [3, 4] {
        for number in 0..20 {
            set(&mut world, host, "fam", &format!("k{host}-{number}"), &"v".repeat(20_000));
            world.run_for(Duration::from_millis(50));
        }
    }
    world.run_for(Duration::from_secs(5));
    let wire = world.wires_between(0, 1)[0];
    world.break_wire(wire);
    let wires = world.wires.len();
    world.run_for(Duration::from_secs(60));
    assert!(up(&mut world, 0).contains(&"t".to_owned()), "{:?}", up(&mut world, 0));
    assert!(world.wires.len() - wires < 10, "{} connections", world.wires.len() - wires);
    let all = family(&mut world, 1, "fam");
    assert_eq!(all.map(|entries| entries.len()), Some(40));
}
