//! Log catching: the records of a node for those who ask, and those of a network for us.
//!
//! It is a program of its own: these tests see all that the nodes of their process log.

#[path = "api/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{CAUGHT, CaughtLogs, Config, LogLayer, LogLevel, Node};
use serde_json::json;
use support::attacker::Attacker;
use support::{SECRET, free_address};
use tracing::Metadata;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, registry};

const CONNECT: &str = "AnyEvent::MP::LogCatcher::connect";

/// The layer of one test: it sees the events under the test's target. They all share this process and so its subscriber.
fn logs(test: &str) -> LogLayer {
    static LAYERS: OnceLock<BTreeMap<&str, LogLayer>> = OnceLock::new();
    let layers = LAYERS.get_or_init(|| {
        let tests = ["asking", "limit", "secure", "stopped", "idle", "circle"];
        let layers: BTreeMap<_, _> = tests.map(|test| (test, LogLayer::new().up_to(LogLevel::TRACE))).into();
        let sees = |test: &'static str| {
            // One wants to see what the nodes themselves log, too.
            move |metadata: &Metadata<'_>| metadata.target() == test || test == "circle" && metadata.target() != "stopped"
        };
        let filtered = layers.iter().map(|(test, layer)| layer.clone().with_filter(filter_fn(sees(test))));
        registry().with(filtered.collect::<Vec<_>>()).init();
        layers
    });
    layers[test].clone()
}

fn config(id: &str) -> Config {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.listen = vec!["127.0.0.1:*".into()];
    config.node.link.secret = Some(Secret::new(SECRET.as_bytes()).expect("a secret"));
    config
}

/// A node that offers its records, and its address.
async fn offering(config: Config, logs: &LogLayer) -> (Node, String) {
    let node = Node::start(config).await.expect("it listens");
    node.offer_logs(logs).await.expect("it runs");
    let address = node.addresses()[0].to_string();
    (node, address)
}

/// Waits until a node has done all that it was given before, its records included.
async fn settled(node: &Node) {
    for _ in 0..10 {
        node.call(&node.id().port(""), &"snd", None).await.expect("it answers");
    }
}

fn is(message: &[Value], elements: &[&str]) -> bool {
    message.len() == elements.len() && message.iter().zip(elements).all(|(a, b)| a.text().as_deref() == Some(*b))
}

/// The records for a port among messages: level and text.
fn records(messages: &[Vec<Value>], port: &str) -> Vec<(u64, String)> {
    let record = |message: &Vec<Value>| match &message[..] {
        [Value::Text(to), Value::Float(time), Value::Text(context), Value::Integer(level), Value::Text(text)]
            if to == port =>
        {
            assert!(*time > 1_600_000_000.0 && !context.is_empty(), "LOG-2: {message:?}");
            Some((level.as_u64().expect("from 1 to 9"), text.clone()))
        }
        _ => None,
    };
    messages.iter().filter_map(record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_gets_the_records_of_a_level_until_its_port_ends() {
    let (node, address) = offering(config("offers"), &logs("asking")).await;
    let mut peer = Attacker::connect(&address, "asks", Framing::Json);
    let say_all = async || {
        tracing::error!(target: "asking", "an error");
        tracing::warn!(target: "asking", disk = "a", "full");
        tracing::info!(target: "asking", "news");
        tracing::debug!(target: "asking", "a detail");
        tracing::trace!(target: "asking", "a trace");
        settled(&node).await;
    };
    let texts = [(4, "an error"), (5, r#"full disk="a""#), (7, "news"), (8, "a detail"), (9, "a trace")];
    let up_to = |level| texts.iter().filter(|(of, _)| *of <= level).map(|(of, text)| (*of, (*text).to_owned())).collect();
    let level_9: Vec<(u64, String)> = up_to(9);

    say_all().await;
    peer.send(&json!(["", CONNECT, 0, "asks#log", 5]));
    assert!(peer.heard("offers").iter().any(|message| is(message, &["", "mon1", "log"])), "LOG-3");
    say_all().await;
    assert_eq!(records(&peer.heard("offers"), "log"), up_to(5), "LOG-1, LOG-2: in order, and none from before");

    // More than there is, from a port that has asked before; and numbers may be texts.
    peer.send(&json!(["", CONNECT, 0, "asks#log", "1000"]));
    peer.heard("offers");
    say_all().await;
    assert_eq!(records(&peer.heard("offers"), "log"), level_9, "LOG-4, LOG-6");
    peer.send(&json!(["", CONNECT, 0, "asks#log", 4]));
    peer.send(&json!(["", CONNECT, 0, "asks#other", 9]));
    // All of these are nothing.
    for catcher in ["asks", "offers", "offers#", "third", ";", ""] {
        peer.send(&json!(["", CONNECT, 0, catcher, 9]));
    }
    for level in [json!(0), json!(-3), json!("much"), json!(null)] {
        peer.send(&json!(["", CONNECT, 0, "asks#other", level]));
        peer.send(&json!(["", CONNECT, 0, "asks#third", level]));
    }
    peer.send(&json!(["", CONNECT, 0]));
    let messages = peer.heard("offers");
    assert!(!messages.iter().any(|message| is(message, &["", "mon1", "third"])), "LOG-6");
    say_all().await;
    let messages = peer.heard("offers");
    assert_eq!(records(&messages, "log"), up_to(4), "LOG-4");
    assert_eq!(records(&messages, "other"), level_9, "LOG-6");
    assert_eq!(records(&messages, ""), [], "LOG-5");

    peer.send(&json!(["", "kil0", "log"]));
    peer.heard("offers");
    say_all().await;
    let messages = peer.heard("offers");
    assert_eq!((records(&messages, "log"), records(&messages, "other")), (vec![], level_9), "LOG-3");

    // The node is lost, and has to ask again.
    drop(peer);
    let mut events = node.events();
    while !matches!(events.recv().await.expect("it runs"), NodeEvent::Down(..)) {}
    let mut peer = Attacker::connect(&address, "asks", Framing::Json);
    say_all().await;
    assert_eq!(peer.heard("offers").len(), 0, "LOG-3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_an_end_to_the_number_of_catchers() {
    let (node, address) = offering(config("limited"), &logs("limit")).await;
    let mut peer = Attacker::connect(&address, "many", Framing::Json);
    for port in 0..150 {
        peer.send(&json!(["", CONNECT, 0, format!("many#{port}"), 7]));
    }
    let watched = peer.heard("limited").into_iter().filter(|message| message.get(1) == Some(&"mon1".into())).count();
    assert_eq!(watched, 100, "LOG-10");
    tracing::info!(target: "limit", "one");
    settled(&node).await;
    let messages = peer.heard("limited");
    assert_eq!(messages.len(), 100, "LOG-10");
    // One that ends makes room.
    peer.send(&json!(["", "kil0", "7"]));
    peer.send(&json!(["", CONNECT, 0, "many#149", 7]));
    assert!(peer.heard("limited").iter().any(|message| is(message, &["", "mon1", "149"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_secure_mode_nobody_gets_records() {
    let mut config = config("secure");
    config.node.secure = true;
    let (node, address) = offering(config, &logs("secure")).await;
    let mut peer = Attacker::connect(&address, "asks", Framing::Json);
    peer.send(&json!(["", CONNECT, 0, "asks#log", 9]));
    peer.heard("secure");
    tracing::error!(target: "secure", "a secret");
    settled(&node).await;
    assert_eq!(peer.heard("secure").len(), 0, "NODE-9");
}

/// The records of a test among all, by their number, and how many were told to be lost in between.
#[derive(Default)]
struct Count {
    seen: u64,
    lost: u64,
    last: Option<u64>,
    times_told: u64,
}

impl Count {
    /// Takes the next one. What is missing since the one before must have been told as lost just now.
    fn take(&mut self, text: &str) {
        if let Some((lost, _)) = text.split_once(" record") {
            self.lost += lost.parse::<u64>().expect("a number");
            self.times_told += 1;
        } else if let Some((_, number)) = text.split_once("number=") {
            let number = number.trim_end_matches(|character: char| !character.is_ascii_digit()).parse().expect("a number");
            assert!(self.last.is_none_or(|last| last < number), "{number} is out of order: LOG-1");
            self.seen += 1;
            self.last = Some(number);
            assert_eq!(self.seen + self.lost, number + 1, "what was lost is told where it would have stood: LOG-9");
        }
    }
}

/// So many records, each some kilooctets, are more than sockets hold.
const MANY: u64 = 4000;

async fn say_much(node: &Node, target: &str) {
    let padding = "x".repeat(8 << 10);
    for number in 0..MANY {
        match target {
            "stopped" => tracing::error!(target: "stopped", padding, number),
            _ => tracing::error!(target: "idle", padding, number),
        }
        if number % 100 == 0 {
            // So that what waits for the node is not what is too much.
            settled(node).await;
        }
    }
    settled(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catcher_that_stops_reading_loses_records_is_told_how_many_and_holds_nothing_up() {
    let (node, address) = offering(config("busy"), &logs("stopped")).await;
    let mut peer = Attacker::connect(&address, "idle", Framing::Json);
    let mut other = Attacker::connect(&address, "reader", Framing::Json);
    peer.send(&json!(["", CONNECT, 0, "idle#log", 4]));
    peer.heard("busy");
    say_much(&node, "stopped").await;
    // The node goes on.
    other.heard("busy");
    assert!(node.waiting().await.expect("it runs") < 2 << 20, "LOG-8: what waits is bounded");
    let mut count = Count::default();
    while count.seen + count.lost < MANY {
        for (level, text) in records(&peer.heard("busy"), "log") {
            assert_eq!(level, 4, "LOG-9: as asked for");
            count.take(&text);
        }
    }
    assert_eq!(count.seen + count.lost, MANY, "LOG-9");
    assert!(count.lost > 0 && count.seen > 0 && count.times_told > 0, "LOG-8: {} {}", count.seen, count.lost);
    println!("{} records seen, {} lost, told {} times", count.seen, count.lost, count.times_told);
    // And so do records.
    tracing::error!(target: "stopped", "the last one");
    settled(&node).await;
    assert_eq!(records(&peer.heard("busy"), "log"), [(4, "the last one".to_owned())]);
}

/// A node that catches, and is connected to that of the address.
async fn catching(id: &str, address: &str, level: LogLevel) -> (Node, CaughtLogs) {
    let mut config = config(id);
    config.seeds = vec![address.to_owned()];
    let node = Node::start(config).await.expect("it listens");
    let caught = node.catch_logs(level).await.expect("it runs");
    (node, caught)
}

/// Waits until a node was asked.
async fn asked(caught: &mut CaughtLogs, node: &str) {
    loop {
        let record = caught.next().await.expect("it runs");
        if record.node.as_str() == node && record.text == "it was asked for its records" {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_not_taken_from_the_stream_are_counted() {
    let mut config = config("told");
    // It drops nothing itself.
    config.node.ready = config.node.queue;
    let (node, address) = offering(config, &logs("idle")).await;
    let (catcher, mut caught) = catching("teller", &address, LogLevel::INFO).await;
    asked(&mut caught, "told").await;
    say_much(&node, "idle").await;
    catcher.call(&node.id().port(""), &"snd", None).await.expect("it answers");
    let mut count = Count::default();
    while count.seen + count.lost < MANY {
        count.take(&caught.next().await.expect("it runs").text);
    }
    assert!(count.lost > 0 && count.seen > 1000, "LOG-8: {} {}", count.seen, count.lost);
    assert_eq!(count.seen + count.lost, MANY, "LOG-9");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_catch_each_others_records_and_write_them_to_their_own_log_make_no_circle() {
    let layer = logs("circle");
    let (one, address) = offering(config("circle-1"), &layer).await;
    let (two, mut of_one) = catching("circle-2", &address, LogLevel::TRACE).await;
    two.offer_logs(&layer).await.expect("it runs");
    let mut of_two = one.catch_logs(LogLevel::TRACE).await.expect("it runs");
    asked(&mut of_one, "circle-1").await;
    asked(&mut of_two, "circle-2").await;
    let mut handles = Vec::new();
    for (mut caught, from) in [(of_one, "circle-1"), (of_two, "circle-2")] {
        handles.push(tokio::spawn(async move {
            let (mut marks, mut own, mut ends) = (0, 0, 0);
            while ends < 5 {
                let record = caught.next().await.expect("it runs");
                assert_eq!(record.node.as_str(), from);
                tracing::info!(target: CAUGHT, node = %record.node, "{}", record.text);
                marks += u64::from(record.text.contains("mark"));
                ends += u64::from(record.text.contains("end"));
                own += u64::from(record.text.contains("circle-"));
            }
            (marks, own)
        }));
    }
    for _ in 0..100 {
        tracing::info!(target: "circle", "mark");
    }
    for _ in 0..5 {
        // What goes round once has come back by then, and what comes round again comes before the next one.
        for _ in 0..5 {
            settled(&one).await;
            settled(&two).await;
        }
        tracing::info!(target: "circle", "end");
    }
    for handle in handles {
        let (marks, own) = handle.await.expect("no panic");
        assert_eq!(marks, 100, "LOG-7");
        assert!(own < 20, "LOG-7: the nodes made {own} records of what they did");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_like_the_reference_is_asked_and_what_it_says_is_shown_and_what_is_no_record_is_not() {
    let mut global = config("viewer");
    global.node.global = true;
    let viewer = Node::start(global).await.expect("it listens");
    let address = viewer.addresses()[0].to_string();
    let mut perl = Attacker::connect(&address, "perl", Framing::Json);
    let mut caught = viewer.catch_logs(LogLevel::FATAL).await.expect("it runs");
    perl.send(&json!(["", "g_slave", {"'l": {"perl": []}}]));
    let request = loop {
        let request = perl.heard("viewer").into_iter().find(|message| message.get(1) == Some(&CONNECT.into()));
        if let Some(request) = request {
            break request;
        }
    };
    let [_, _, zero, Value::Text(catcher), level] = &request[..] else { panic!("{request:?}") };
    assert_eq!((zero, level), (&0u64.into(), &2u64.into()), "LOG-11");
    let port = catcher.strip_prefix("viewer#").expect("a port of its");
    perl.send(&json!(["", "mon1", port]));
    perl.send(&json!([port, 1_795_367_485.18, "main", 6, "hello"]));
    for wrong in [json!([port]), json!([port, "x"]), json!([port, 1, "main", 0, "x"]), json!([port, {}, [], "y", null])] {
        perl.send(&wrong);
    }
    perl.send(&json!([port, 1_795_367_486, "main", "9", "two\nlines"]));
    let got = [caught.next().await.expect("it runs"), caught.next().await.expect("it runs")];
    let shown = got.map(|record| (record.node.to_string(), record.time, record.context, record.level, record.text));
    let expected = [(1_795_367_485.18, LogLevel::NOTE, "hello"), (1_795_367_486.0, LogLevel::TRACE, "two\nlines")];
    let expected = expected.map(|(time, level, text)| ("perl".to_owned(), time, "main".to_owned(), level, text.to_owned()));
    assert_eq!(shown, expected, "LOG-12");
    // Whoever catches no more says so by the end of its port.
    drop(caught);
    loop {
        if perl.heard("viewer").iter().any(|message| is(message, &["", "kil0", port])) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_be_reached_is_told_of_and_asked_when_it_can() {
    let mut global = config("viewer");
    global.node.global = true;
    let viewer = Node::start(global).await.expect("it listens");
    let address = viewer.addresses()[0].to_string();
    let away = free_address();
    // Somebody says of a node where it is; it is not there yet.
    let mut perl = Attacker::connect(&address, "perl", Framing::Json);
    perl.send(&json!(["", "g_slave", {"'l": {"late": [away]}}]));
    perl.heard("viewer");
    let mut caught = viewer.catch_logs(LogLevel::INFO).await.expect("it runs");
    let told = caught.next().await.expect("it runs");
    assert_eq!((told.node.as_str(), told.level), ("late", LogLevel::WARN));
    assert!(told.text.starts_with("it cannot be asked for its records: "), "{}", told.text);
    let mut late = config("late");
    late.listen = vec![away];
    let late = Node::start(late).await.expect("it listens");
    tokio::time::timeout(Duration::from_secs(30), asked(&mut caught, "late")).await.expect("LOG-13: it is asked again");
    drop(late);
    let lost = caught.next().await.expect("it runs");
    assert!(lost.text.starts_with("it is lost, perhaps with records: "), "{}", lost.text);
}
