//! The node protocol: what nodes do for each other's ports.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::framing::{Elements, Framing};
use aemp_proto::link::{Link, OwnGreeting, Role};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::node::{Context, Node, NodeConfig, NodeEvent, Outcome, Reasons};
use aemp_proto::value::Value;
use support::pair::{Told, config, give, link, take};
use support::vectors::{cases, recordings, same, value};
use support::world::{World, node_config};

type Log = Rc<RefCell<Vec<Value>>>;

fn log() -> Log {
    Rc::default()
}

fn heard(log: &Log) -> Vec<Value> {
    std::mem::take(&mut log.borrow_mut())
}

/// A handler that notes what it gets.
fn noting(log: &Log) -> impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static {
    let log = log.clone();
    move |_, elements| {
        log.borrow_mut().push(elements.rest()?);
        Ok(())
    }
}

/// A callback that notes the reasons for which it fires.
fn noting_reasons(log: &Log) -> impl FnOnce(&mut Context<'_>, Reasons) + 'static {
    let log = log.clone();
    move |_, reasons| log.borrow_mut().push(Value::Array(reasons.values().to_vec()))
}

fn values<const N: usize>(values: [&str; N]) -> Value {
    Value::Array(values.map(Value::from).to_vec())
}

/// Two nodes that are connected.
fn two() -> (World, usize, usize) {
    let mut world = World::new(1);
    let (a, b) = (world.add(node_config("a")), world.add(node_config("b")));
    world.dial(a, b);
    world.settle();
    assert_eq!(world.node(a).up_nodes().count(), 1);
    (world, a, b)
}

fn with<R>(world: &mut World, host: usize, code: impl FnOnce(&mut Context<'_>) -> R) -> R {
    let now = world.now;
    world.node(host).with(now, code)
}

fn port(text: &str) -> PortId {
    text.parse().expect("a port ID")
}

#[test]
fn messages_reach_ports_here_and_elsewhere_by_tag_and_default() {
    let (mut world, a, b) = two();
    let (tagged, default) = (log(), log());
    with(&mut world, b, |context| {
        let id = context.named_port("p", noting(&default)).expect("the name is free");
        context.receive_tag(&id, "tick", noting(&tagged));
    });
    for host in [a, b] {
        with(&mut world, host, |context| {
            context.send(&port("b#p"), &("tick", 1)).expect("small");
            context.send(&port("b#p"), &("other", true)).expect("small");
            context.send(&port("b#none"), &"dropped").expect("small");
        });
        world.settle();
        assert_eq!(heard(&tagged), [Value::Array(vec![1u64.into()])]);
        assert_eq!(heard(&default), [Value::Array(vec!["other".into(), true.into()])]);
    }
}

#[test]
fn a_message_to_an_own_port_is_handled_after_what_goes_on_now() {
    let (mut world, a, _) = two();
    let order = log();
    with(&mut world, a, |context| {
        let inner = context.port(noting(&order));
        let note = order.clone();
        let outer = context.port(move |context, _| {
            context.send(&inner, &"inner")?;
            note.borrow_mut().push("outer".into());
            Ok(())
        });
        context.send(&outer, &()).expect("small");
    });
    assert!(heard(&order).is_empty(), "PORT-4");
    world.settle();
    assert_eq!(heard(&order), ["outer".into(), values(["inner"])], "PORT-4");
}

#[test]
fn a_port_that_fails_ends_with_die_and_its_watches_fire_once() {
    let (mut world, a, b) = two();
    let fired = log();
    let id = with(&mut world, b, |context| context.port(|_, _| Err("oops".into())));
    for host in [a, b] {
        with(&mut world, host, |context| drop(context.watch(&id, noting_reasons(&fired))));
    }
    world.settle();
    with(&mut world, a, |context| context.send(&id, &1).expect("small"));
    with(&mut world, a, |context| context.send(&id, &2).expect("small"));
    world.settle();
    // PORT-1, PORT-2, MON-1, MON-4, MON-7
    assert_eq!(heard(&fired), vec![values(["die", "oops"]); 2]);
}

#[test]
fn a_message_of_another_shape_ends_the_port_and_says_what_came() {
    let (mut world, a, b) = two();
    let fired = log();
    let id = with(&mut world, b, |context| {
        context.port(|_, elements| elements.rest::<(String, u64)>().map(drop).map_err(Into::into))
    });
    with(&mut world, a, |context| {
        context.watch(&id, noting_reasons(&fired));
        context.send(&id, &("x", "y")).expect("small");
    });
    world.settle();
    let text = r#"at [1]: invalid type: string "y", expected u64"#;
    assert_eq!(heard(&fired), [values(["die", text])]);
}

#[test]
fn a_port_without_code_for_a_message_ends_unless_it_was_made_by_name() {
    let (mut world, a, b) = two();
    let fired = log();
    let (nameless, named) = with(&mut world, b, |context| {
        let named = context.named_port("n", |_, _| Ok(())).expect("free");
        context.set_default(&named, None);
        (context.port_without_code(), named)
    });
    with(&mut world, a, |context| {
        for id in [&nameless, &named] {
            context.watch(id, noting_reasons(&fired));
            context.send(id, &("f☺o\u{1}", 1)).expect("small");
        }
    });
    world.settle();
    // PORT-3
    assert_eq!(heard(&fired), [values(["unhandled_message", "no callback found for message 'f.o.'"])]);
}

#[test]
fn watches_fire_for_ports_that_never_were_and_for_nodes_that_are_lost_or_unknown() {
    let (mut world, a, b) = two();
    let fired = log();
    let there = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    with(&mut world, a, |context| {
        context.watch(&port("b#never"), noting_reasons(&fired));
        context.watch(&port("a#never"), noting_reasons(&fired));
    });
    world.settle();
    let never = |id| values(["no_such_port", "cannot monitor nonexistent port", id]);
    let mut got = heard(&fired);
    got.sort_by_key(|value| format!("{value:?}"));
    assert_eq!(got, [never("a#never"), never("b#never")], "MON-2");
    with(&mut world, a, |context| {
        context.watch(&there, noting_reasons(&fired));
        context.watch(&port("b"), noting_reasons(&fired));
        context.watch(&port("nowhere#p"), noting_reasons(&fired));
    });
    world.settle();
    assert_eq!(heard(&fired), []);
    world.crash(b, false);
    world.settle();
    let lost = values(["transport_error", "b", "Unexpected end-of-file"]);
    assert_eq!(heard(&fired), [lost.clone(), lost], "MON-8");
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired), [values(["transport_error", "nowhere", "no known address"])], "MON-10");
}

#[test]
fn a_watch_that_was_given_up_does_not_fire() {
    let (mut world, a, b) = two();
    let fired = log();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    let watches = with(&mut world, a, |context| [0; 3].map(|_| context.watch(&id, noting_reasons(&fired))));
    with(&mut world, a, |context| assert!(context.unwatch(&watches[0]) && !context.unwatch(&watches[0])));
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::normal()));
    world.settle();
    assert_eq!(heard(&fired), [values([]), values([])], "MON-3, MON-6, MON-7, MON-12");
}

#[test]
fn a_linked_port_ends_with_the_reasons_of_the_other_but_not_with_a_normal_end() {
    let (mut world, a, b) = two();
    let fired = log();
    let ids = with(&mut world, b, |context| [context.port(|_, _| Ok(())), context.port(|_, _| Ok(()))]);
    let mut linked = Vec::new();
    for id in &ids {
        let id = id.clone();
        let own = with(&mut world, a, |context| {
            context.port(move |context, _| {
                context.link(&id);
                Ok(())
            })
        });
        with(&mut world, a, |context| {
            context.send(&own, &()).expect("small");
            context.watch(&own, noting_reasons(&fired));
        });
        linked.push(own);
    }
    world.settle();
    with(&mut world, a, |context| {
        context.end(&ids[0], Reasons::normal());
        context.end(&ids[1], Reasons::new(["because", "of this"]));
    });
    world.settle();
    // KILL-1
    assert_eq!(heard(&fired), [values(["because", "of this"])]);
    with(&mut world, a, |context| assert!(context.watch(&linked[0], |_, _| {}) != context.watch(&linked[1], |_, _| {})));
}

#[test]
fn a_watch_can_send_a_message_with_the_reasons_behind_it() {
    let (mut world, a, b) = two();
    let got = log();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    with(&mut world, a, |context| {
        let to = context.port(noting(&got));
        context.watch_with_message(&id, &to, vec!["ended".into(), 7u64.into()]);
        context.end(&id, Reasons::new(["x"]));
    });
    world.settle();
    assert_eq!(heard(&got), [Value::Array(vec!["ended".into(), 7u64.into(), "x".into()])]);
}

#[test]
fn no_message_comes_to_a_port_after_its_end() {
    let (mut world, a, b) = two();
    let got = log();
    let id = with(&mut world, b, |context| context.port(noting(&got)));
    with(&mut world, a, |context| {
        context.send(&id, &1).expect("small");
        context.end(&id, Reasons::normal());
        context.send(&id, &2).expect("small");
    });
    with(&mut world, b, |context| {
        context.send(&id, &3).expect("small");
        context.end(&id, Reasons::normal());
    });
    world.settle();
    // PORT-1: what was queued here is not handled any more, and the end from here came first.
    assert_eq!(heard(&got), []);
}

#[test]
fn code_can_be_changed_from_within_itself() {
    let (mut world, a, _) = two();
    let got = log();
    with(&mut world, a, |context| {
        let later = got.clone();
        let id = context.port_without_code();
        let own = id.clone();
        context.receive(&id, move |context, _| {
            context.receive(&own, noting(&later));
            context.receive_tag(&own, "x", |_, _| Ok(()));
            Ok(())
        });
        for n in 0..3u64 {
            context.send(&id, &n).expect("small");
        }
        context.send(&id, &("x", 1)).expect("small");
    });
    world.settle();
    assert_eq!(heard(&got), [1u64, 2].map(|n| Value::Array(vec![n.into()])));
}

#[test]
fn spawning_makes_a_port_of_a_registered_function_and_of_nothing_else() {
    let (mut world, a, b) = two();
    let (fired, got) = (log(), log());
    for host in [a, b] {
        let got = got.clone();
        with(&mut world, host, |context| {
            let init = move |context: &mut Context<'_>, elements: Elements<'_>| {
                let (text,): (String,) = elements.rest()?;
                if text == "fail" {
                    return Err("no".into());
                }
                let own = context.own_port().expect("it runs in the name of the port");
                got.borrow_mut().push(text.into());
                context.receive(&own, noting(&got));
                Ok(())
            };
            context.register("Worker::start", Rc::new(init));
        });
    }
    for host in [a, b] {
        let node = NodeId::new("b").expect("a node ID");
        with(&mut world, host, |context| {
            let mut spawn = |function: &str, argument: &str| {
                let id = context.spawn(&node, function, &argument).expect("small");
                context.watch(&id, noting_reasons(&fired));
                context.send(&id, &"hello").expect("small");
                id
            };
            spawn("Worker::start", "good");
            spawn("Worker::start", "fail");
            spawn("No::such", "x");
        });
        assert_eq!(heard(&got), [], "no visible effect before it returns");
        world.settle();
        assert_eq!(heard(&got), ["good".into(), values(["hello"])], "SPAWN-2");
        let fired: Vec<_> = heard(&fired).iter().map(|reasons| format!("{reasons:?}")).collect();
        if host == a {
            // The port has come and gone before the watch arrives.
            assert!(fired.len() == 2 && fired.iter().all(|reasons| reasons.contains("no_such_port")), "SPAWN-3: {fired:?}");
            continue;
        }
        assert!(fired.len() == 2 && fired.iter().any(|reasons| reasons.contains("\"no\"")), "SPAWN-3, SPAWN-4: {fired:?}");
        assert!(fired.iter().any(|reasons| reasons.contains("no_such_port")), "SPAWN-3: {fired:?}");
    }
}

#[test]
fn the_node_port_answers_requests_and_ignores_what_it_does_not_know() {
    let (mut world, a, _) = two();
    let got = log();
    let me = with(&mut world, a, |context| context.port(noting(&got)));
    with(&mut world, a, |context| {
        let node = port("b");
        context.send(&node, &("snd", &me, "echo", 1)).expect("small");
        context.send(&node, &("can", "mon1", &me, "tag")).expect("small");
        context.send(&node, &("can", "nope", &me)).expect("small");
        context.send(&node, &("eval", "1+1", &me, "tag")).expect("small");
        context.send(&node, &("eval", "1+1")).expect("small");
        context.send(&node, &("time", &me)).expect("small");
        for nonsense in [values(["nosuch"]), values(["snd"]), values(["snd", ";"]), values(["mon1"]), values(["kil1", ""])] {
            context.send(&node, &nonsense).expect("small");
        }
        context.send(&node, &("kil1", (), "x")).expect("small");
        context.send(&node, &("snd", &me, "still there")).expect("small");
    });
    world.settle();
    let mut answers = heard(&got);
    let Value::Array(time) = answers.remove(4) else { panic!("{answers:?}") };
    assert!(matches!(time[..], [Value::Float(time)] if time >= 1_795_000_000.0), "NODE-5: {time:?}");
    let expected = [
        Value::Array(vec!["echo".into(), 1u64.into()]),
        values(["tag", "1"]),
        values([""]),
        values(["tag", "this node runs no code"]),
        values(["still there"]),
    ];
    // NODE-1, NODE-2, NODE-3, NODE-4, NODE-6, NODE-8, KILL-2
    assert_eq!(answers, expected);
}

#[test]
fn secure_mode_refuses_what_acts_for_others_and_answers_eval_all_the_same() {
    let mut world = World::new(1);
    let a = world.add(node_config("a"));
    let b = world.add(NodeConfig { secure: true, ..node_config("b") });
    world.dial(a, b);
    world.settle();
    let (got, fired) = (log(), log());
    with(&mut world, b, |context| {
        context.register("f", Rc::new(|_: &mut Context<'_>, _: Elements<'_>| Err("called".into())));
    });
    with(&mut world, a, |context| {
        let me = context.port(noting(&got));
        context.send(&port("b"), &("snd", &me, "relayed")).expect("small");
        context.send(&port("b"), &("eval", "1", &me)).expect("small");
        context.send(&port("b"), &("f", 1)).expect("small");
        let spawned = context.spawn(port("b").node(), "f", &()).expect("small");
        context.watch(&spawned, noting_reasons(&fired));
    });
    world.settle();
    // Back to whoever asked is no acting for others.
    assert_eq!(heard(&got), [values(["relayed"]), values(["this node runs no code"])], "NODE-9");
    assert_eq!(heard(&fired).len(), 1, "NODE-9, SPAWN-3");
    assert!(!world.hosts[b].events.iter().any(|event| matches!(event, NodeEvent::CallFailed { .. })), "NODE-7, NODE-9");
}

#[test]
fn a_peer_that_watches_too_much_is_given_up() {
    let mut world = World::new(1);
    let a = world.add(node_config("a"));
    let b = world.add(NodeConfig { watches: 10, ..node_config("b") });
    world.dial(a, b);
    world.settle();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    with(&mut world, a, |context| {
        for _ in 0..11 {
            context.send(&port("b"), &("mon1", id.port())).expect("small");
        }
    });
    world.settle();
    assert!(world.hosts[b].events.iter().any(|event| matches!(event, NodeEvent::Down(..))), "MON-9, MON-11");
}

/// Plays the acceptor of the recording of the node protocol: the ports that it had, and what they did.
fn node_of_the_recording() -> Node {
    let mut node = Node::new(NodeConfig::new(config("seed")), 1, Duration::ZERO, Duration::from_secs(1_795_365_192));
    node.with(Duration::ZERO, |context| {
        for name in ["mona", "monb", "monc", "mond", "wellknown", "tagonly"] {
            context.named_port(name, |_, _| Ok(())).expect("the name is free");
        }
        context.named_port("selfdie", |_, _| Err("selfdie reason".into())).expect("the name is free");
        let mk = |context: &mut Context<'_>, elements: Elements<'_>| {
            let (to, rest): (Option<PortId>, Vec<Value>) = match elements.rest::<Vec<Value>>()?.split_first() {
                Some((Value::Text(to), rest)) => (to.parse().ok(), rest.to_vec()),
                _ => (None, Vec::new()),
            };
            let own = context.own_port().expect("the spawned port");
            if let Some(to) = to {
                let mut message = vec!["spawned".into(), own.to_string().into()];
                message.extend(rest);
                context.send(&to, &message)?;
            }
            let id = own.to_string();
            context.receive_tag(&own, "ping", move |context, elements| {
                let (to,): (PortId,) = elements.rest()?;
                Ok(context.send(&to, &("pong", "from spawned", &id))?)
            });
            context.receive_tag(&own, "die", |_, _| Err("oops".into()));
            context.receive_tag(&own, "boom", |_, _| {
                let members = [("ref".to_owned(), Value::Array(vec![1u64.into(), 2u64.into()]))];
                Err(aemp_proto::node::Failure(Value::Map(members.into())))
            });
            Ok(())
        };
        context.register("::mk", Rc::new(mk));
        let callme = |context: &mut Context<'_>, elements: Elements<'_>| {
            let mut elements: Vec<Value> = elements.rest()?;
            let Value::Text(to) = elements.remove(0) else { return Err("no port".into()) };
            elements.insert(0, "called".into());
            Ok(context.send(&to.parse().map_err(|_| "no port ID")?, &elements)?)
        };
        context.register("main::callme", Rc::new(callme));
        // The reference speaks the global protocol.
        context.register("g_slave", Rc::new(|_: &mut Context<'_>, _: Elements<'_>| Ok(())));
    });
    node
}

/// The same value to Perl, which does not tell a number from its digits.
fn as_perl_sees(value: &Value) -> Value {
    match value {
        Value::Integer(integer) => Value::Text(integer.to_string()),
        Value::Array(elements) => Value::Array(elements.iter().map(as_perl_sees).collect()),
        other => other.clone(),
    }
}

#[test]
fn the_recorded_node_protocol_is_answered_with_the_recorded_messages() {
    let (_, recording) = recordings().into_iter().find(|(name, _)| name == "g_nodeproto").expect("the recording");
    let connection = &recording.connections[0];
    // The packets that each side sent, step by step: a step begins with a devnull message of the opener.
    let mut steps: Vec<(Vec<String>, Vec<String>)> = vec![Default::default()];
    for event in &connection.events {
        let Some(serde_json::Value::String(text)) = event.what.get("text") else { continue };
        if !text.starts_with('[') {
            continue;
        }
        if text.contains("### STEP") {
            steps.push(Default::default());
        }
        let (sent, answered) = steps.last_mut().expect("a step");
        if event.from == "opener" { sent.push(text.clone()) } else { answered.push(text.clone()) }
    }
    assert!(steps.len() > 30);

    let mut node = node_of_the_recording();
    let id = node.open(Duration::ZERO, Role::Acceptor, [9; 32], None, None).expect("a connection");
    let mut worker_config = config("worker");
    worker_config.framings = vec![Framing::Json];
    let own = OwnGreeting::new(&worker_config, [8; 32], None).expect("a greeting");
    let mut worker = Link::new(worker_config.into(), Role::Opener, own, Duration::ZERO);
    let mut exchange = |worker: &mut Link, octets: &[u8]| {
        let mut told = Vec::new();
        node.receive(Duration::ZERO, id, octets);
        loop {
            node.run(Duration::ZERO);
            let output = node.output(id).to_vec();
            node.advance_output(id, output.len());
            if output.is_empty() && !node.has_work() {
                return told;
            }
            give(worker, &output, &mut told).expect("the node behaves");
            let answer = take(worker);
            node.receive(Duration::ZERO, id, &answer);
        }
    };
    let hello = take(&mut worker);
    exchange(&mut worker, &hello);
    assert!(worker.is_up());

    // What only a node that runs Perl, or is global, can answer.
    let skipped = ["eval ok/err", "local port linked: seed kills", "without callback", "seed monitors our port"];
    let mut compared = 0;
    for (sent, answered) in &steps[1..] {
        if skipped.iter().any(|skipped| sent[0].contains(skipped)) {
            continue;
        }
        let got: Vec<Value> = exchange(&mut worker, sent.concat().as_bytes())
            .into_iter()
            .filter_map(|told| if let Told::Packet(packet) = told { Some(packet) } else { None })
            .collect();
        let mut expected: Vec<Value> = answered
            .iter()
            .map(|text| {
                let packet = aemp_proto::framing::Packet::parse(Framing::Json, text.as_bytes(), &Default::default());
                packet.expect("a recorded packet").decode().expect("any value")
            })
            .collect();
        for (got, expected) in got.iter().zip(&mut expected) {
            // Times differ.
            if let (Value::Array(got), Value::Array(expected)) = (got, expected)
                && let (Some(Value::Float(time)), Some(Value::Float(recorded))) = (got.last(), expected.last_mut())
            {
                *recorded = *time;
            }
        }
        assert_eq!(as_perl_sees(&Value::Array(got)), as_perl_sees(&Value::Array(expected)), "{}", sent[0]);
        compared += 1;
    }
    assert!(compared >= 30, "{compared} steps");
}

#[test]
fn simultaneous_connections_end_as_one_and_lose_nothing() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.latency = Duration::from_millis(20);
        let (a, b) = (world.add(node_config("a")), world.add(node_config("b")));
        let (got, fired) = (log(), log());
        for (host, other) in [(a, "b#p"), (b, "a#p")] {
            with(&mut world, host, |context| {
                context.named_port("p", noting(&got)).expect("free");
                context.watch(&port(other), noting_reasons(&fired));
                for n in 0..10u64 {
                    context.send(&port(other), &(other, n)).expect("small");
                }
            });
        }
        world.dial(a, b);
        world.dial(b, a);
        world.run_for(Duration::from_millis(1500));
        for other in ["a#p", "b#p"] {
            let from_other: Vec<_> =
                got.borrow().iter().filter(|value| format!("{value:?}").contains(other)).cloned().collect();
            let right: Vec<_> = (0..10u64).map(|n| Value::Array(vec![other.into(), n.into()])).collect();
            assert_eq!(from_other, right, "seed {seed}");
        }
        assert_eq!(heard(&fired), [], "seed {seed}");
        assert_eq!(world.wires_between(a, b).len(), 1, "seed {seed}: PEER-5, PEER-7");
    }
}

#[test]
fn an_end_that_nobody_asked_about_is_ignored() {
    let (mut world, a, b) = two();
    let fired = log();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    with(&mut world, a, |context| drop(context.watch(&id, noting_reasons(&fired))));
    with(&mut world, b, |context| {
        context.send(&port("a"), &("kil0", "something", "else")).expect("small");
        context.send(&port("a"), &("kil0", "")).expect("small");
        context.send(&port("a"), &"kil0").expect("small");
    });
    world.settle();
    assert_eq!(heard(&fired), [], "MON-5");
    assert_eq!(world.node(a).up_nodes().count(), 1, "MON-5");
}

#[test]
fn spawned_names_never_repeat_nor_meet_those_of_ports() {
    let (mut world, a, _) = two();
    let (node, mut names) = (NodeId::new("b").expect("a node ID"), std::collections::BTreeSet::new());
    with(&mut world, a, |context| {
        for _ in 0..1000 {
            assert!(names.insert(context.spawn(&node, "f", &()).expect("small").port().to_owned()), "SPAWN-1");
            assert!(names.insert(context.port(|_, _| Ok(())).port().to_owned()), "MSG-11");
        }
    });
}

#[test]
fn strangers_cannot_fill_a_node_with_handshakes() {
    let mut node = Node::new(NodeConfig { handshakes: 3, ..node_config("a") }, 1, Duration::ZERO, Duration::ZERO);
    let mut open = |role| node.open(Duration::ZERO, role, [1; 32], None, None);
    for _ in 0..3 {
        open(Role::Acceptor).expect("below the limit");
    }
    let error = open(Role::Acceptor).expect_err("SEC-5");
    insta::assert_snapshot!(error, @"over a limit: 3 connections are in their handshake already [SEC-5]");
    open(Role::Opener).expect("our own do not count");
}

#[test]
fn a_node_that_comes_back_under_its_name_is_let_in_within_two_seconds() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    // The machine is gone without a word, and comes back.
    world.crash(b, true);
    world.start(b);
    world.dial(b, a);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.node(b).up_nodes().count(), 1, "PEER-9");
    assert_eq!(
        heard(&fired),
        [values(["transport_error", "b", "the node has come back, and this connection is dead"])],
        "PEER-9"
    );
}

#[test]
fn a_node_that_claims_a_name_in_use_is_refused_while_the_connection_lives() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    let impostor = world.add(node_config("b"));
    world.dial(impostor, a);
    world.run_for(Duration::from_secs(1));
    assert_eq!((heard(&fired), world.node(impostor).up_nodes().count()), (vec![], 0), "PEER-5, PEER-9");
    assert_eq!(world.wires_between(a, b).len(), 1);
}

#[test]
fn a_peer_that_says_nothing_is_asked_and_then_given_up() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    // Silence alone is no death: the question is answered.
    world.run_for(Duration::from_secs(150));
    assert_eq!(heard(&fired), []);
    for wire in world.wires_between(a, b) {
        world.wires[wire].stuck = [true; 2];
    }
    world.run_for(Duration::from_secs(121));
    assert_eq!(heard(&fired), [values(["transport_error", "b", "no sign of life"])], "PEER-10");
}

#[test]
fn a_reader_that_stops_costs_no_more_than_the_queue_and_loses_nothing_in_silence() {
    let mut world = World::new(1);
    let a = world.add(NodeConfig { queue: 100_000, ready: 10_000, ..node_config("a") });
    let b = world.add(node_config("b"));
    world.dial(a, b);
    world.settle();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b#p"), noting_reasons(&fired))));
    for wire in world.wires_between(a, b) {
        world.wires[wire].stuck = [true; 2];
    }
    let mut was_ready = Vec::new();
    for _ in 0..400 {
        with(&mut world, a, |context| {
            was_ready.push(context.is_ready(port("b").node()));
            context.send(&port("b#p"), &"x".repeat(1000)).expect("small");
        });
        assert!(world.node(a).waiting() <= 101_100, "PEER-3");
        world.step();
    }
    assert!(was_ready[0] && was_ready.contains(&false), "whoever asks can wait");
    assert_eq!(heard(&fired), [values(["transport_error", "b", "too much waits for it"])], "PEER-3, PEER-4");
}

#[derive(serde::Deserialize)]
struct NodeCase {
    ports: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    secure: bool,
    steps: Vec<Step>,
}

#[derive(serde::Deserialize)]
struct Step {
    receives: serde_json::Value,
    sends: Vec<serde_json::Value>,
}

/// Whether a value is the one of the notation, or of the kind that it stands for.
fn fits(got: &Value, notation: &serde_json::Value) -> bool {
    match (got, notation, notation.get("anything").and_then(serde_json::Value::as_str)) {
        (Value::Text(_), _, Some("text")) | (Value::Integer(_) | Value::Float(_), _, Some("number")) => true,
        (Value::Array(got), serde_json::Value::Array(notation), None) => {
            got.len() == notation.len() && got.iter().zip(notation).all(|(got, notation)| fits(got, notation))
        }
        (_, _, None) => same(got, &value(notation)),
        _ => false,
    }
}

#[test]
fn a_node_answers_as_the_vectors_say() {
    for case in cases::<NodeCase>("node.json") {
        let mut node =
            Node::new(NodeConfig { secure: case.with.secure, ..node_config("node") }, 1, Duration::ZERO, Duration::ZERO);
        node.with(Duration::ZERO, |context| {
            for (name, kind) in &case.with.ports {
                let fails = kind == "failing";
                let handler = move |_: &mut Context<'_>, _: Elements<'_>| if fails { Err("oops".into()) } else { Ok(()) };
                context.named_port(name, handler).expect("the name is free");
            }
        });
        let id = node.open(Duration::ZERO, Role::Acceptor, [9; 32], None, None).expect("a connection");
        let mut peer = link(config("peer"), Role::Opener);
        let mut exchange = |peer: &mut Link| {
            let mut told = Vec::new();
            loop {
                let octets = take(peer);
                node.receive(Duration::ZERO, id, &octets);
                while node.has_work() {
                    node.run(Duration::ZERO);
                }
                let output = node.output(id).to_vec();
                node.advance_output(id, output.len());
                if output.is_empty() {
                    return told;
                }
                give(peer, &output, &mut told).expect("the node behaves");
            }
        };
        exchange(&mut peer);
        for (number, step) in case.with.steps.iter().enumerate() {
            peer.send(&value(&step.receives)).expect("it is up");
            let packets: Vec<_> = exchange(&mut peer)
                .into_iter()
                .filter_map(|told| if let Told::Packet(packet) = told { Some(packet) } else { None })
                .collect();
            let right =
                packets.len() == step.sends.len() && packets.iter().zip(&step.sends).all(|(got, right)| fits(got, right));
            assert!(right, "{}, step {number}: {packets:?}", case.id);
        }
    }
}

#[test]
fn against_a_peer_that_authenticates_at_once_only_one_connection_can_complete() {
    // The reference sends its line on every connection as soon as it has read the greeting, and knows no arbiter. It would switch to
    // whichever comes up last, so only one may.
    for first in [0, 1] {
        let mut node = Node::new(node_config("node"), 1, Duration::ZERO, Duration::ZERO);
        let ids = [Role::Opener, Role::Acceptor]
            .map(|role| node.open(Duration::ZERO, role, [role as u8; 32], None, None).expect("a connection"));
        let mut reference = [1, 2].map(|nonce| {
            let config = config("reference");
            let own = OwnGreeting::new(&config, [nonce; 32], None).expect("a greeting");
            Link::new(config.into(), Role::Opener, own, Duration::ZERO)
        });
        let mut told = [Vec::new(), Vec::new()];
        let mut closed = Vec::new();
        for round in 0..6 {
            for place in if first == 0 { [0, 1] } else { [1, 0] } {
                if closed.contains(&ids[place]) {
                    continue;
                }
                let output = node.output(ids[place]).to_vec();
                node.advance_output(ids[place], output.len());
                give(&mut reference[place], &output, &mut told[place]).expect("the node behaves");
                let octets = take(&mut reference[place]);
                node.receive(Duration::ZERO, ids[place], &octets);
                while let Some(action) = node.poll_action() {
                    if let aemp_proto::node::Action::Close(id) = action {
                        closed.push(id);
                    }
                }
            }
            assert!(reference.iter().filter(|link| link.is_up()).count() <= 1, "PEER-7, round {round}");
        }
        assert_eq!(node.up_nodes().count(), 1);
        assert_eq!(closed, [ids[1 - first]], "the other one is closed");
        assert!(reference[first].is_up() && !reference[1 - first].is_up(), "PEER-7");
    }
}

#[test]
fn when_the_chosen_connection_fails_another_one_is_taken() {
    let mut node = Node::new(node_config("b"), 1, Duration::ZERO, Duration::ZERO);
    let mut open = |nonce| {
        let id = node.open(Duration::ZERO, Role::Acceptor, [nonce; 32], None, None).expect("a connection");
        let config = config("reference");
        let own = OwnGreeting::new(&config, [nonce + 1; 32], None).expect("a greeting");
        (id, Link::new(config.into(), Role::Opener, own, Duration::ZERO))
    };
    let ((first, mut dying), (second, mut living)) = (open(1), open(5));
    let mut told = Vec::new();
    for (id, link) in [(first, &mut dying), (second, &mut living)] {
        let output = node.output(id).to_vec();
        node.advance_output(id, output.len());
        // The greeting alone: nobody has authenticated yet.
        let greeting = take(link);
        give(link, &output, &mut told).expect("the node behaves");
        node.receive(Duration::ZERO, id, &greeting);
    }
    let line = take(&mut living);
    node.receive(Duration::ZERO, second, &line);
    assert_eq!(node.up_nodes().count(), 0, "the first one was chosen");
    node.closed(Duration::ZERO, first, None);
    assert_eq!(node.up_nodes().count(), 1, "PEER-7: the second one is taken");
}

/// A connection of a stranger who greets under a name, and has no secret.
fn stranger(node: &mut Node, now: Duration, name: &str, methods: &str) -> aemp_proto::node::ConnectionId {
    let id = node.open(now, Role::Acceptor, [77; 32], None, None).expect("a connection");
    node.receive(now, id, format!("aemp;1;{name};{methods};json\nnonce\n").as_bytes());
    id
}

#[test]
fn a_stranger_who_greets_in_the_name_of_a_quiet_peer_does_it_no_harm() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    for wire in world.wires_between(a, b) {
        world.wires[wire].stuck = [true; 2];
    }
    for hangs_up in [true, false] {
        let now = world.now;
        let id = stranger(world.node(a), now, "b", "hmac_sha3_512");
        if hangs_up {
            world.node(a).closed(now, id, None);
        }
        world.run_for(Duration::from_secs(3));
        assert_eq!(heard(&fired), [], "PEER-5, GREET-20");
    }
}

#[test]
fn a_stranger_who_says_nothing_more_does_not_keep_a_node_out() {
    let mut world = World::new(1);
    let (a, b) = (world.add(node_config("a")), world.add(node_config("b")));
    let now = world.now;
    stranger(world.node(a), now, "b", "hmac_sha3_512");
    world.dial(b, a);
    world.run_for(Duration::from_secs(4));
    assert_eq!(world.node(a).up_nodes().count(), 1, "PEER-7");
}

#[test]
fn a_thousand_strangers_of_one_name_cost_no_stack() {
    let mut node = Node::new(NodeConfig { handshakes: 2000, ..node_config("a") }, 1, Duration::ZERO, Duration::ZERO);
    let first = stranger(&mut node, Duration::ZERO, "b", "hmac_sha3_512");
    for _ in 0..1000 {
        stranger(&mut node, Duration::ZERO, "b", "nonsense");
    }
    node.closed(Duration::ZERO, first, None);
    let mut closed = 0;
    while node.poll_action().is_some() {
        closed += 1;
    }
    assert_eq!(closed, 1001);
}

#[test]
fn an_end_is_heard_of_even_if_its_reasons_are_too_large_to_send() {
    let (mut world, a, b) = two();
    let fired = log();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    with(&mut world, a, |context| drop(context.watch(&id, noting_reasons(&fired))));
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::new(["x".repeat(2 << 20)])));
    world.settle();
    assert_eq!(heard(&fired), [values(["die", "the reasons are too large to send"])], "MON-1");
}

#[test]
fn a_peer_that_is_lost_by_what_it_is_told_is_told_no_more() {
    let mut world = World::new(1);
    let a = world.add(node_config("a"));
    let b = world.add(NodeConfig { queue: 2000, ..node_config("b") });
    world.dial(a, b);
    world.settle();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    for _ in 0..50 {
        with(&mut world, a, |context| context.send(&port("b"), &("mon1", id.port())).expect("small"));
    }
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::new(["x".repeat(1000)])));
    world.settle();
    assert!(world.hosts[b].events.iter().any(|event| matches!(event, NodeEvent::Down(..))), "PEER-3");
    world.run_for(Duration::from_secs(4));
    // The next connection begins with nothing on its account.
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&id, noting_reasons(&fired))));
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::new(["again"])));
    world.settle();
    assert_eq!(heard(&fired), [values(["again"])]);
}

#[test]
fn a_watch_on_a_node_that_cannot_be_reached_fires() {
    let (mut world, a, _) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("nowhere"), noting_reasons(&fired))));
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired), [values(["transport_error", "nowhere", "no known address"])], "MON-10");
}

#[test]
fn a_watch_that_was_given_up_after_the_end_but_before_it_fires_does_not_fire() {
    let (mut world, a, _) = two();
    let fired = log();
    let given_up = with(&mut world, a, |context| {
        let id = context.port(|_, _| Ok(()));
        let watch = context.watch(&id, noting_reasons(&fired));
        context.end(&id, Reasons::normal());
        context.unwatch(&watch)
    });
    world.settle();
    assert_eq!((given_up, heard(&fired)), (true, vec![]), "MON-12");
}

#[test]
fn what_is_sent_and_watched_between_a_loss_and_its_watches_is_of_the_run_that_has_ended() {
    let (mut world, a, b) = two();
    let (fired, got) = (log(), log());
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    let later = with(&mut world, a, |context| context.port(|context, _| Ok(context.send(&port("b#p"), &"second")?)));
    world.crash(b, false);
    let connection = world.wires_between(a, b);
    assert!(connection.is_empty());
    // The loss is known, and nothing has fired yet.
    for wire in 0..world.wires.len() {
        world.deliver(wire, 0);
        world.deliver(wire, 1);
    }
    with(&mut world, a, |context| {
        context.send(&later, &()).expect("small");
        context.watch(&port("b#p"), noting_reasons(&fired));
        context.send(&port("b#p"), &"first").expect("small");
    });
    world.start(b);
    with(&mut world, b, |context| context.named_port("p", noting(&got)).expect("free"));
    world.dial(b, a);
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired).len(), 1, "PEER-4");
    assert_eq!(heard(&got), [], "PEER-4: the second one may not arrive without the first");
}

#[test]
fn a_node_that_was_asleep_asks_before_it_gives_anyone_up() {
    let (mut world, a, b) = two();
    let fired = log();
    with(&mut world, a, |context| drop(context.watch(&port("b"), noting_reasons(&fired))));
    world.now += Duration::from_secs(300);
    world.run_for(Duration::from_secs(5));
    assert_eq!((heard(&fired), world.node(b).up_nodes().count()), (vec![], 1), "PEER-10");
}

#[test]
fn a_name_of_the_generated_form_cannot_be_taken() {
    let (mut world, a, _) = two();
    with(&mut world, a, |context| {
        let id = context.port(|_, _| Ok(()));
        let (prefix, _) = id.port().split_at(8);
        let next = format!("{prefix}zz");
        assert_eq!(context.named_port(&next, |_, _| Ok(())), None, "SPAWN-3");
    });
}
