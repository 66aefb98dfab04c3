//! The node protocol as the vectors and the recording have it.

use std::rc::Rc;
use std::time::Duration;

use crate::support::pair::{Told, config, give, link, take};
use crate::support::vectors::{cases, recordings, same, value};
use crate::support::world::node_config;
use aemp_proto::actor::{Access, Context, Node, NodeConfig};
use aemp_proto::framing::{Elements, Framing};
use aemp_proto::link::{Link, OwnGreeting, Role};
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

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
                Err(aemp_proto::actor::Failure(Value::Map(members.into())))
            });
            Ok(())
        };
        context.register("::mk", Access::SPAWN, Rc::new(mk));
        let callme = |context: &mut Context<'_>, elements: Elements<'_>| {
            let mut elements: Vec<Value> = elements.rest()?;
            let Value::Text(to) = elements.remove(0) else { return Err("no port".into()) };
            elements.insert(0, "called".into());
            Ok(context.send(&to.parse().map_err(|_| "no port ID")?, &elements)?)
        };
        context.register("main::callme", Access::CALL, Rc::new(callme));
        // The reference speaks the global protocol.
        context.register("g_slave", Access::CALL, Rc::new(|_: &mut Context<'_>, _: Elements<'_>| Ok(())));
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
