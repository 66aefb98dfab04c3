//! The node protocol: what nodes do for each other's ports.

use std::rc::Rc;
use std::time::Duration;

use crate::support::ports::{heard, log, noting, noting_reasons, port, two, values, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::{Access, Context, NodeConfig, NodeEvent, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

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
    // Its master does not know it either (`FIND-7`).
    assert_eq!(heard(&fired), [values(["transport_error", "nowhere", "no known address"])], "MON-10");
    world.crash(b, false);
    world.settle();
    let lost = values(["transport_error", "b", "Unexpected end-of-file"]);
    assert_eq!(heard(&fired), [lost.clone(), lost], "MON-8");
    world.run_for(Duration::from_secs(3));
    assert_eq!(heard(&fired), []);
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
            context.register("Worker::start", Access::SPAWN, Rc::new(init));
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
        context.register("f", Access::BOTH, Rc::new(|_: &mut Context<'_>, _: Elements<'_>| Err("called".into())));
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
fn an_end_is_heard_of_even_if_its_reasons_are_too_large_to_send() {
    let (mut world, a, b) = two();
    let fired = log();
    let id = with(&mut world, b, |context| context.port(|_, _| Ok(())));
    with(&mut world, a, |context| drop(context.watch(&id, noting_reasons(&fired))));
    world.settle();
    with(&mut world, b, |context| context.end(&id, Reasons::new(["x".repeat(65 << 20)])));
    world.settle();
    assert_eq!(heard(&fired), [values(["die", "the reasons are too large to send"])], "MON-1");
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
fn a_name_of_the_generated_form_cannot_be_taken() {
    let (mut world, a, _) = two();
    with(&mut world, a, |context| {
        let id = context.port(|_, _| Ok(()));
        let (prefix, _) = id.port().split_at(8);
        let next = format!("{prefix}zz");
        assert_eq!(context.named_port(&next, |_, _| Ok(())), None, "SPAWN-3");
    });
}

#[test]
fn the_time_of_a_node_follows_the_clock_of_its_system() {
    let (mut world, a, b) = two();
    let ask = |world: &mut World| {
        let answers = log();
        with(world, a, |context| {
            let reply = context.port(noting(&answers));
            context.send(&port("b"), &("time", reply)).expect("small");
        });
        world.settle();
        match &heard(&answers)[..] {
            [Value::Array(answer)] => answer.last().cloned(),
            other => panic!("{other:?}"),
        }
    };
    for unix in [5_000_000, 1_000] {
        let now = world.now;
        world.node(b).set_unix_time(now, Duration::from_secs(unix));
        let Some(Value::Float(time)) = ask(&mut world) else { panic!("NODE-5: no time") };
        assert!((time - unix as f64).abs() < 60.0, "NODE-20: {time} is not {unix}");
    }
}
