//! Everything that a peer can do wrong, done to a live node, while the traffic of another peer goes on undisturbed.

use std::time::Duration;

use crate::recordings::{Octets, Verdict, cases};
use crate::support::attacker::{Attacker, hang_up, is_closed_after, raw};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::proto::value::Value;
use aemp_node::{Capacity, Config, Events, Mailbox, Node};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;

fn config(id: &str) -> Config {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    config.node.link.framings = Framing::ALL.into();
    config
}

/// A node under attack, and an honest peer that sends it numbers all the while.
struct Stage {
    victim: Node,
    address: String,
    events: Events,
    numbers: Mailbox,
    honest: Node,
    traffic: JoinHandle<u64>,
    end: tokio::sync::oneshot::Sender<()>,
}

impl Stage {
    async fn set(change: impl FnOnce(&mut Config)) -> Self {
        let mut settings = config("victim");
        settings.listen = vec!["127.0.0.1:0".into()];
        change(&mut settings);
        let victim = Node::start(settings).await.expect("it listens");
        let address = victim.addresses()[0].to_string();
        let mut capacity = Capacity::default();
        capacity.messages = usize::MAX;
        let numbers = victim.mailbox_with(capacity).await.expect("it runs");
        let mut settings = config("honest");
        settings.seeds = vec![address.clone()];
        let honest = Node::start(settings).await.expect("it starts");
        let mut up = honest.events();
        while !matches!(up.recv().await, Some(NodeEvent::Up(_))) {}
        let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
        let (node, to) = (honest.clone(), numbers.id().clone());
        let traffic = tokio::spawn(async move {
            let mut watch = node.watch(&to).await.expect("it runs");
            let mut number = 0;
            while ended.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                node.send(&to, &number).expect("small");
                number += 1;
                tokio::select! {
                    fired = &mut watch => panic!("the honest peer was disturbed: {fired:?}"),
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
            node.call(&to.node().port(""), &"snd", None).await.expect("the connection lives");
            number
        });
        Stage { events: victim.events(), victim, address, numbers, honest, traffic, end }
    }

    /// The traffic has gone on, in order and without a gap.
    async fn undisturbed(mut self) {
        self.end.send(()).expect("the traffic goes on");
        let sent = self.traffic.await.expect("the traffic was not disturbed");
        assert!(sent > 10, "only {sent} messages: nothing was shown");
        for expected in 0..sent {
            let got: u64 = self.numbers.recv().await.expect("it arrived").decode().expect("a number");
            assert_eq!(got, expected);
        }
        drop(self.honest);
    }

    /// Waits for an event, and checks that the honest peer is not in one.
    async fn event(&mut self, mut is: impl FnMut(&NodeEvent) -> bool) {
        loop {
            let event = self.events.recv().await.expect("it runs");
            assert!(!matches!(&event, NodeEvent::Down(node, _) if node.as_str() == "honest"), "{event:?}");
            if is(&event) {
                return;
            }
        }
    }
}

#[derive(Deserialize)]
struct Line {
    line: Octets,
}

#[derive(Deserialize)]
struct Stream {
    stream: Octets,
    #[serde(default)]
    limits: Option<serde_json::Value>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_lines_and_packets_close_their_connection_and_no_other() {
    let stage = Stage::set(|_| {}).await;
    let address = stage.address.clone();
    let tried = tokio::task::spawn_blocking(move || {
        let mut tried = 0;
        let mut closes = |what: &str, closed: bool| {
            assert!(closed, "{what}: it is still open");
            tried += 1;
        };
        for case in cases::<Line>("greeting-lines.json").iter().filter(|case| case.verdict == Verdict::Invalid) {
            let octets = [&case.with.line.0[..], b"\nnonce\n"].concat();
            closes(&case.id, is_closed_after(&mut raw(&address), &octets));
        }
        for case in cases::<Line>("auth-lines.json").iter().filter(|case| case.verdict == Verdict::Invalid) {
            let octets = [b"aemp;1;liar;hmac_sha3_512;json\nnonce\n", &case.with.line.0[..], b"\n"].concat();
            closes(&case.id, is_closed_after(&mut raw(&address), &octets));
        }
        let wrong = format!("hmac_sha3_512;{};json\n", "0".repeat(128));
        for (what, octets) in [
            ("a wrong token", ["aemp;1;liar;hmac_sha3_512;json\nnonce\n", &wrong].concat()),
            ("a method that was not offered", "aemp;1;liar;hmac_sha3_512;json\n\ncleartext;00;json\n".into()),
            ("no line end", "x".repeat(4097)),
            ("another protocol", "GET / HTTP/1.1\r\nHost: victim\r\n\r\n".into()),
        ] {
            closes(what, is_closed_after(&mut raw(&address), octets.as_bytes()));
        }
        closes("nothing at all", hang_up(&mut raw(&address)));
        let streams = [
            (Framing::Json, "json-streams.json"),
            (Framing::Cbor, "cbor-streams.json"),
            (Framing::Storable, "storable-streams.json"),
        ];
        for (framing, name) in streams {
            for (number, case) in cases::<Stream>(name).iter().enumerate() {
                if case.verdict == Verdict::Invalid && case.with.limits.is_none() {
                    let mut attacker = Attacker::connect(&address, &format!("{framing}-{number}"), framing);
                    closes(&case.id, is_closed_after(&mut attacker.stream, &case.with.stream.0));
                }
            }
        }
        tried
    });
    let tried = tried.await.expect("the attacks were made");
    println!("{tried} ways");
    assert!(tried > 300, "only {tried} ways");
    stage.undisturbed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wild_requests_harm_nobody_but_who_makes_them() {
    let mut stage = Stage::set(|_| {}).await;
    let victim = stage.victim.clone();
    let adder = |_: &mut aemp_node::Context<'_>, elements: aemp_node::proto::framing::Elements<'_>| {
        elements.rest::<(u64, u64)>().map(drop).map_err(Into::into)
    };
    victim.register("add", aemp_node::Access::CALL, adder).await.expect("it runs");
    let typed = victim.port(|_, elements| elements.rest::<(String, u64)>().map(drop).map_err(Into::into));
    let typed: PortId = typed.await.expect("it runs");
    victim.with(|context| context.named_port("taken", |_, _| Ok(()))).await.expect("it runs").expect("it is free");
    let (address, port) = (stage.address.clone(), typed.port().to_owned());
    let attack = tokio::task::spawn_blocking(move || {
        let mut attacker = Attacker::connect(&address, "attacker", Framing::Json);
        // 100,000 names, in batches, since who does not read is lost.
        for batch in 0..100 {
            (0..1000).for_each(|number| attacker.send(&json!(["", "mon1", format!("none{batch}-{number}")])));
            let answers = attacker.heard("mon1");
            let no_such_port = |answer: &Vec<Value>| answer[3] == "no_such_port".into();
            assert_eq!((answers.len(), answers.iter().all(no_such_port)), (1000, true));
        }
        for wild in [
            json!(["", "kil1", "", "die"]),
            json!(["", "kil1", null]),
            json!(["", "kil1"]),
            json!(["", "mon1", {"a": 1}]),
            json!(["", "mon0", "none"]),
            json!(["", "kil0", "none", "x"]),
            json!(["", "no::such::function", 1, 2, 3]),
            json!(["", "AnyEvent::MP::_spawn", "taken", "add", 1, 2]),
            json!(["", "AnyEvent::MP::_spawn", "", "add", 1, 2]),
            json!(["", "AnyEvent::MP::_spawn", "new", "no::such::function"]),
            json!(["", "AnyEvent::MP::_spawn"]),
            json!(["", "add", "one", {"two": 2}]),
            json!(["", "snd", "victim", "snd", "victim", "snd", "victim", "snd", "attacker#x"]),
            json!(["", "snd", "victim#", "kil1", "taken"]),
            json!(["", "snd", "not a port id"]),
            json!(["", "eval", "exit", "attacker#x"]),
            json!(["", "can", [], "attacker#x"]),
            json!(["", "time"]),
            json!([port, "text", "no number"]),
            json!(["none", "nobody"]),
            json!([[], {}, 1.5]),
            json!([]),
        ] {
            attacker.send(&wild);
        }
        let heard = attacker.heard("wild requests");
        let answers: Vec<_> = heard.iter().filter(|message| message[0] == "x".into()).collect();
        assert_eq!(answers, [&vec!["x".into(), "this node runs no code".into()]], "{heard:?}");
        for (name, reason) in [(port.as_str(), "no_such_port"), ("new", "no_such_port")] {
            attacker.send(&json!(["", "mon1", name]));
            let heard = attacker.heard(name);
            assert_eq!(heard[0][3], reason.into(), "{heard:?}");
        }
        attacker.send(&json!(["", "mon1", "taken"]));
        assert!(attacker.heard("taken").is_empty(), "it lives");
    });
    attack.await.expect("all went as it should");
    stage.event(|event| matches!(event, NodeEvent::CallFailed { source, .. } if source.as_str() == "attacker")).await;
    stage.undisturbed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_for_a_reader_that_has_stopped_is_one_lost_peer() {
    const QUEUE: usize = 16 << 20;
    let mut stage = Stage::set(|config| config.node.queue = QUEUE).await;
    let (victim, address) = (stage.victim.clone(), stage.address.clone());
    let attacker = tokio::task::spawn_blocking(move || {
        let mut attacker = Attacker::connect(&address, "stopped", Framing::Cbor);
        attacker.heard("before");
        attacker
    });
    let attacker = attacker.await.expect("it connects");
    let to: PortId = "stopped#p".parse().expect("a port ID");
    let watch = victim.watch(&to).await.expect("it runs");
    let text = "x".repeat(1 << 19);
    let (sender, whom) = (victim.clone(), to.clone());
    let most = tokio::spawn(async move {
        let mut most = 0;
        for _ in 0..2048 {
            let (text, to) = (text.clone(), whom.clone());
            sender.with(move |context| context.send(&to, &text)).await.expect("it runs").expect("within the limits");
            most = most.max(sender.waiting().await.expect("it runs"));
        }
        most
    });
    let reasons = watch.await.expect("it runs");
    stage.event(|event| matches!(event, NodeEvent::Down(node, _) if node.as_str() == "stopped")).await;
    let most = most.await.expect("all was sent");
    assert_eq!(reasons.values()[..2], ["transport_error".into(), "stopped".into()], "{reasons:?}");
    assert!(most <= QUEUE + (2 << 20), "{most} octets waited");
    assert!(most > QUEUE / 2, "it was never full: {most} octets");
    drop(attacker);
    stage.undisturbed().await;
}
