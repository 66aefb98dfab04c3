//! What other nodes say does nothing to the operator: neither to the node, through its log, nor to the terminal.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Running, SECRET, aemp, free_address, output, text};
use aemp_node::proto::actor::Reasons;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::{Config, LogLayer, Node};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A node of this process that is connected with the seed.
async fn joined(id: &str, seed: &str, change: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.node.link.secret = Some(Secret::new(SECRET.as_bytes()).expect("a secret"));
    config.seeds = vec![seed.to_owned()];
    change(&mut config);
    let node = Node::start(config).await.expect("it starts");
    node.db_keys("any").await.expect("it has a master");
    node
}

fn port(id: &str) -> PortId {
    id.parse().expect("a port ID")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_nobody_reads_goes_on_and_ends_in_order() {
    let arguments = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "echo", "--wire", "-vv"];
    let mut running = Running::start(aemp(&arguments).stderr(Stdio::piped()));
    let ready = running.line();
    let address = ready.strip_prefix("ready seed ").expect("it is ready");
    let node = joined("talker", address, |_| ()).await;
    // Far more than a pipe takes: each message and each answer is a line of some thousand octets.
    let long = "x".repeat(2000);
    for _ in 0..5000 {
        let answer = node.call(&port("seed#echo"), &long, Some(Duration::from_secs(60))).await;
        answer.expect("LOG-17: the node does not wait for its log");
    }
    running.signal("TERM");
    assert_eq!(running.ends(), Some(0), "nor does it when it ends");
    let mut log = String::new();
    running.process.stderr.take().expect("its log").read_to_string(&mut log).expect("text");
    assert!(log.contains("seed < talker  [\"echo\""), "what was read in time is there: {log:.1000}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_failures_is_some_lines_of_the_log_and_their_number() {
    let arguments = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "database"];
    let mut running = Running::start(aemp(&arguments).stderr(Stdio::piped()));
    let ready = running.line();
    let node = joined("caller", ready.strip_prefix("ready seed ").expect("it is ready"), |_| ()).await;
    for _ in 0..2000 {
        node.send(&port("seed"), &("db_set", "too little")).expect("there is room");
    }
    node.call(&port("seed"), &"snd", None).await.expect("it answers");
    let mut lines = Vec::new();
    loop {
        let line = running.error_line();
        let (_, rest) = line.split_once(" more like this").map_or((line.as_str(), None), |(_, rest)| (rest, Some(())));
        let is_count = rest.is_some();
        lines.push(line);
        if is_count {
            break;
        }
    }
    let counted = |line: &str| -> u64 {
        let number = line.split_once("and ").expect("a number").1;
        number.split_once(' ').expect("a number").0.parse().expect("a number")
    };
    let failures = lines.iter().filter(|line| line.contains("a function failed node=")).count();
    assert!((10..20).contains(&failures), "LOG-18: {lines:?}");
    assert!(counted(lines.last().expect("it is there")) > 500, "LOG-18: {lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_another_node_says_reaches_the_terminal_as_it_is() {
    /// Each must be seen, and neither clear the screen, nor begin a line, nor turn the rest around.
    const HARM: &str = "\x1b[2J\r\nforged\u{9b}31m\u{202e}\u{2066}";
    let logs = LogLayer::new();
    tracing_subscriber::registry().with(logs.clone()).init();
    let mut arguments = vec!["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "-vv", "--service", "database"];
    arguments.extend(["--service", "log"]);
    let mut running = Running::start(aemp(&arguments).stderr(Stdio::piped()));
    let ready = running.line();
    let address = ready.strip_prefix("ready seed ").expect("it is ready").to_owned();
    let mut errors = running.process.stderr.take().expect("its log");
    let log = std::thread::spawn(move || {
        let mut log = Vec::new();
        errors.read_to_end(&mut log).expect("a log");
        log
    });

    // A node ID has no control characters, but it can turn a text around.
    let id = "evil\u{202e}\u{2066}";
    let evil = joined(id, &address, |config| {
        let own = free_address();
        config.advertise = vec![own.clone(), format!("127.0.0.1:1{HARM}")];
        config.listen = vec![own];
        config.node.link.framings = vec![Framing::Json];
    })
    .await;
    evil.offer_logs(&logs).await.expect("it runs");
    let _other = evil.db_set("fam", &format!("key{HARM}"), &format!("value{HARM}")).await.expect("it is set");
    // This fails, with a text of ours.
    evil.send(&port("seed"), &("db_set", HARM, "key", "value")).expect("there is room");
    evil.send(&port("seed#log"), &(HARM, HARM)).expect("there is room");
    evil.db_keys("fam").await.expect("the seed has all of that");

    let mut printed = vec![("the service log", running.line().into_bytes())];
    let mut ask = |what: &'static str, arguments: &[&str]| {
        let got = output(&mut aemp(&[arguments, &["--seed", &address]].concat()));
        assert!(!got.stdout.is_empty() || !got.status.success(), "{what}: {}", text(&got.stderr));
        printed.push((what, [got.stdout, got.stderr].concat()));
    };
    ask("nodes", &["nodes"]);
    ask("nodes, JSON", &["nodes", "--json"]);
    ask("keys", &["db", "keys", "fam"]);
    ask("values", &["db", "values", "fam"]);
    ask("get", &["db", "get", "fam"]);
    ask("get of another", &["db", "get", "fam", HARM]);
    ask("trace", &["trace"]);
    ask("trace, dot", &["trace", "--dot"]);
    ask("trace, JSON", &["trace", "--json"]);
    ask("call", &["cal", "--timeout", "0.1", HARM, HARM]);

    let mailbox = evil.port(|_, _| Ok(())).await.expect("it runs");
    let watched = format!("{id}#{}", mailbox.port());
    let mut mon = Running::start(aemp(&["mon", "--seed", &address, &watched]).stderr(Stdio::piped()));
    printed.push(("watching", mon.error_line().into_bytes()));
    let mut shown = Running::start(&mut aemp(&["log", "--seed", &address, "--listen", "127.0.0.1:*"]));
    while !shown.line().contains("was asked for its records") {}
    // It is the seed that was asked, or it is the other one: until both were, the record comes again.
    let record = loop {
        tracing::warn!("a record {HARM}");
        evil.call(&port("seed"), &"snd", None).await.expect("it answers");
        let line = shown.line();
        if line.contains("a record") {
            break line + "\n" + &shown.line();
        }
    };
    printed.push(("log", record.into_bytes()));
    evil.end(&mailbox, Reasons::new([HARM, "reason"]));
    printed.push(("mon", mon.line().into_bytes()));
    running.signal("TERM");
    assert_eq!(running.ends(), Some(0));
    let log = log.join().expect("no panic");
    assert!(text(&log).contains(r"peer=evil\u{202e}\u{2066}") && text(&log).contains("forged"), "{}", text(&log));
    printed.push(("the log", log));

    for (what, octets) in printed {
        let text = String::from_utf8(octets).unwrap_or_else(|error| panic!("LOG-16: {what}: {error}"));
        let harm = |character: char| character != '\n' && character.is_control() || "\u{202e}\u{2066}".contains(character);
        assert!(!text.contains(harm), "LOG-16: {what}: {text:?}");
        assert!(
            text.lines().all(|line| !line.trim_start().starts_with("forged") || what == "log"),
            "LOG-16: {what}: {text}"
        );
    }
}
