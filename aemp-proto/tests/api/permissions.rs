//! The table of permissions: what it says, and that a node keeps to it.

use std::rc::Rc;
use std::time::Duration;

use crate::support::globals::{family, listening, set};
use crate::support::ports::{heard, log, noting, noting_reasons, port, values, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Access, Context, Denied, NodeConfig, NodeEvent, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::names::NodeId;
use aemp_proto::permissions::{PatternError, Permissions, Right, Row};
use serde_json::json;

fn node(text: &str) -> NodeId {
    NodeId::new(text).expect("a node ID")
}

fn row(nodes: &str) -> Row {
    Row::new([nodes]).expect("patterns")
}

/// What a host has denied.
fn denied(world: &mut World, host: usize) -> Vec<(String, Denied, String)> {
    let denied = |event| match event {
        NodeEvent::Denied { source, what, name } => Some((source.to_string(), what, name)),
        _ => None,
    };
    std::mem::take(&mut world.hosts[host].events).into_iter().filter_map(denied).collect()
}

/// The node `node` with this table, and `guest` and `friend`, which are connected to it.
fn world_with(permissions: Permissions) -> (World, usize, usize, usize) {
    let mut world = World::new(1);
    let hosts = [NodeConfig { permissions, ..node_config("node") }, node_config("guest"), node_config("friend")];
    let [node, guest, friend] = hosts.map(|config| world.add(config));
    world.dial(guest, node);
    world.dial(friend, node);
    world.settle();
    (world, node, guest, friend)
}

#[test]
fn the_first_row_that_fits_and_says_something_decides_about_each_right() {
    let table = Permissions::new([
        row("worker/*").allow(Right::Call, ["db_*"]).expect("patterns"),
        Row::new(["!worker/root", "worker/*"])
            .and_then(|row| row.allow(Right::Call, ["*"]))
            .and_then(|row| row.allow(Right::Send, ["!log", "*"]))
            .expect("patterns"),
        row("*").allow(Right::Spawn, ["Counter::*"]).expect("patterns").deny_others(),
    ]);
    let may = |who: &str, right, name: &str| table.of(&node(who)).may(right, name);
    assert!(may("worker/1", Right::Call, "db_set") && !may("worker/1", Right::Call, "other"), "the first row decides");
    assert!(may("worker/1", Right::Send, "echo") && !may("worker/1", Right::Send, "log"), "the second row decides");
    assert!(!may("worker/root", Right::Send, "echo"), "it is left out of the second row, so the last one decides");
    assert!(may("x", Right::Spawn, "Counter::start") && !may("x", Right::Spawn, "Other::start"));
    assert!(!may("worker/1", Right::Set, "jobs") && !may("x", Right::Stream, "Files::get"), "what no list allows");
    assert!(Permissions::default().of(&node("x")).are_all());
    assert!(Permissions::new([row("a")]).of(&node("b")).are_all(), "no row is about it");
}

#[test]
fn it_is_read_from_text() {
    let read = |text: serde_json::Value| serde_json::from_value::<Permissions>(text).map_err(|error| error.to_string());
    let table = read(json!({"node": [
        {"id": "worker/*", "call": ["db_*"], "send": ["!log", "*"]},
        {"id": ["guest-*", "visitor"], "send": "echo", "unnamed": false, "deny_others": true},
    ]}));
    let same = Permissions::new([
        row("worker/*")
            .allow(Right::Call, ["db_*"])
            .and_then(|row| row.allow(Right::Send, ["!log", "*"]))
            .expect("patterns"),
        Row::new(["guest-*", "visitor"])
            .and_then(|row| row.allow(Right::Send, ["echo"]))
            .expect("patterns")
            .unnamed(false)
            .deny_others(),
    ]);
    assert_eq!(table.as_ref(), Ok(&same));
    assert_eq!(read(json!({})), Ok(Permissions::default()));
    insta::assert_debug_snapshot!(table.expect("it is right"), @r#"
    [
        Row {
            id: [
                "worker/*",
            ],
            call: [
                "db_*",
            ],
            send: [
                "!log",
                "*",
            ],
            deny_others: false,
        },
        Row {
            id: [
                "guest-*",
                "visitor",
            ],
            send: [
                "echo",
            ],
            unnamed: false,
            deny_others: true,
        },
    ]
    "#);
    let wrong = [
        json!({"nodes": []}),
        json!({"node": [{"call": "x"}]}),
        json!({"node": [{"id": "x", "cal": "x"}]}),
        json!({"node": [{"id": "x", "call": 5}]}),
        json!({"node": [{"id": "x", "call": [["x"], "y", 7]}]}),
        json!({"node": [{"id": "x", "call": [""]}]}),
        json!({"node": [{"id": "x", "call": ["!"]}]}),
        json!({"node": [{"id": "a\nb"}]}),
        json!({"node": [{"id": "*a*b*c*d*e"}]}),
        json!({"node": [{"id": "x", "deny_others": "yes"}]}),
    ];
    let errors: Vec<_> = wrong.map(|text| read(text).expect_err("it is wrong")).into();
    insta::assert_snapshot!(errors.join("\n"));
    assert_eq!(Row::new(["x".repeat(514)]).map(drop), Err(PatternError::TooLong(514)));
}

#[test]
fn a_node_keeps_to_the_table_and_tells_what_it_denies() {
    let restricted = row("guest")
        .allow(Right::Call, ["may"])
        .and_then(|row| row.allow(Right::Spawn, ["may"]))
        .and_then(|row| row.allow(Right::Send, ["open", "friend#open"]))
        .and_then(|row| row.allow(Right::Stream, ["may"]))
        .expect("patterns");
    let (mut world, node, guest, friend) = world_with(Permissions::new([restricted]));
    let (got, ran, fired) = (log(), log(), log());
    with(&mut world, node, |context| {
        for name in ["open", "closed"] {
            context.named_port(name, noting(&got)).expect("free");
        }
        for name in ["may", "never"] {
            let (ran, got) = (ran.clone(), got.clone());
            let function = move |context: &mut Context<'_>, _: Elements<'_>| {
                ran.borrow_mut().push(name.into());
                if let Some(own) = context.own_port() {
                    context.receive(&own, noting(&got));
                }
                Ok(())
            };
            context.register(name, Access::BOTH, Rc::new(function));
            assert!(context.data_accept(name));
        }
    });
    for host in [guest, friend] {
        let to = port("node");
        with(&mut world, host, |context| {
            context.named_port("open", noting(&got)).expect("free");
            for name in ["open", "closed"] {
                let target = port("node").node().port(name);
                context.send(&target, &"direct").expect("small");
                context.send(&to, &("snd", &target, "passed on")).expect("small");
                context.send(&to, &("can", "may", &target)).expect("small");
                context.watch(&target, noting_reasons(&fired));
            }
            for name in ["may", "never"] {
                context.send(&to, &name).expect("small");
                let spawned = context.spawn(to.node(), name, &()).expect("small");
                context.send(&spawned, &"mine").expect("small");
            }
        });
        world.settle();
        let (direct, passed, can) = (|| values(["direct"]), || values(["passed on"]), || values(["1"]));
        if host == friend {
            assert_eq!(heard(&got).len(), 8, "SEC-12: it may do everything");
            assert_eq!((heard(&ran).len(), heard(&fired)), (4, vec![]));
            assert_eq!(denied(&mut world, node), []);
            continue;
        }
        assert_eq!(heard(&got), [direct(), values(["mine"]), passed(), can()], "SEC-12");
        assert_eq!(heard(&ran), ["may".into(), "may".into()], "SEC-12");
        // As if there were no such port.
        let reasons = heard(&fired);
        assert!(reasons.len() == 1 && format!("{reasons:?}").contains("no_such_port"), "MON-2: {reasons:?}");
        let denials: Vec<_> = denied(&mut world, node).into_iter().map(|(_, what, name)| (what, name)).collect();
        let expected =
            [(Denied::Send, "closed"), (Denied::Watch, "closed"), (Denied::Call, "never"), (Denied::Spawn, "never")];
        assert_eq!(denials, expected.map(|(what, name)| (what, name.to_owned())));
    }
    // It may not end what it may not reach, and a port of its own it may.
    let own = with(&mut world, guest, |context| context.spawn(port("node").node(), "may", &()).expect("small"));
    world.settle();
    with(&mut world, node, |context| drop(context.watch(&port("node#closed"), noting_reasons(&fired))));
    with(&mut world, node, |context| drop(context.watch(&own, noting_reasons(&fired))));
    world.settle();
    with(&mut world, guest, |context| {
        context.end(&port("node#closed"), Reasons::new(["over"]));
        context.end(&own, Reasons::new(["mine"]));
    });
    world.settle();
    assert_eq!(heard(&fired), [values(["mine"])], "SEC-12");
    // What is passed on to other nodes is looked at under NODE#PORT.
    heard(&got);
    with(&mut world, guest, |context| {
        context.send(&port("node"), &("snd", "friend#open", "by way of node")).expect("small");
        context.send(&port("node"), &("snd", "friend#secret", "by way of node")).expect("small");
    });
    world.settle();
    assert_eq!(heard(&got), [values(["by way of node"])], "SEC-12");
    let what: Vec<_> = denied(&mut world, node).into_iter().map(|(_, what, name)| (what, name)).collect();
    assert_eq!(what, [(Denied::End, "closed".to_owned()), (Denied::Send, "friend#secret".to_owned())]);
}

#[test]
fn answers_come_to_those_who_asked_unless_ports_without_a_name_are_denied() {
    for unnamed in [true, false] {
        let table = Permissions::new([row("guest").unnamed(unnamed).deny_others()]);
        let (mut world, node, guest, _) = world_with(table);
        with(&mut world, guest, |context| {
            let echo = |context: &mut Context<'_>, elements: Elements<'_>| {
                let (to,): (aemp_proto::names::PortId,) = elements.rest()?;
                Ok(context.send(&to, &"answer")?)
            };
            context.named_port("echo", echo).expect("free");
        });
        let answers = log();
        let noted = answers.clone();
        with(&mut world, node, |context| {
            let timeout = Some(Duration::from_secs(1));
            context
                .call(&port("guest#echo"), &[(); 0], timeout, move |_, answer| {
                    noted.borrow_mut().push(if answer.is_ok() { "answered" } else { "not answered" }.into());
                })
                .expect("small");
        });
        world.run_for(Duration::from_secs(2));
        assert_eq!(heard(&answers), [if unnamed { "answered" } else { "not answered" }.into()], "SEC-12");
    }
}

#[test]
fn a_table_that_changes_counts_at_once() {
    let (mut world, node, guest, _) = world_with(Permissions::default());
    let got = log();
    with(&mut world, node, |context| drop(context.named_port("open", noting(&got)).expect("free")));
    let send = |world: &mut World| {
        with(world, guest, |context| context.send(&port("node#open"), &"x").expect("small"));
        world.settle();
    };
    send(&mut world);
    world.node(node).set_permissions(Permissions::new([row("guest").deny_others()]));
    send(&mut world);
    send(&mut world);
    assert_eq!(heard(&got).len(), 1, "SEC-12");
    assert_eq!(denied(&mut world, node).len(), 1);
    world.node(node).set_permissions(Permissions::default());
    send(&mut world);
    assert_eq!(heard(&got).len(), 1);
}

#[test]
fn a_node_sets_only_families_that_it_may_set_and_can_always_be_found() {
    let table = Permissions::new([row("a").allow(Right::Set, ["jobs"]).expect("patterns")]);
    let mut world = World::new(1);
    world.add(NodeConfig { global: true, permissions: table, ..listening("s", 0) });
    let (a, b) = (world.add(listening("a", 1)), world.add(listening("b", 2)));
    for host in [a, b] {
        world.dial(host, 0);
    }
    world.settle();
    for host in [a, b] {
        for name in ["jobs", "other"] {
            let key = format!("of-{host}");
            set(&mut world, host, name, &key, "1");
        }
    }
    // Where others are to be found is not its to say.
    let forged = std::collections::BTreeMap::from([("b", ["9"])]);
    with(&mut world, a, |context| context.send(&port("s"), &("g_upd", "'l", forged)).expect("small"));
    world.run_for(Duration::from_secs(3));
    let keys = |world: &mut World, name: &str| -> Vec<String> {
        family(world, 0, name).into_iter().flatten().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(&mut world, "jobs"), ["of-1", "of-2"]);
    // SEC-12, DB-2
    assert_eq!(keys(&mut world, "other"), ["of-2"]);
    let told: Vec<_> = denied(&mut world, 0);
    assert_eq!(told, ["other", "'l"].map(|name| ("a".to_owned(), Denied::Set, name.to_owned())));
    // It is found all the same, and so is b.
    let got = log();
    for host in [a, b] {
        with(&mut world, host, |context| drop(context.named_port("in", noting(&got)).expect("free")));
    }
    with(&mut world, b, |context| context.send(&port("a#in"), &"found").expect("small"));
    with(&mut world, 0, |context| context.send(&port("b#in"), &"found").expect("small"));
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&got).len(), 2);
}
