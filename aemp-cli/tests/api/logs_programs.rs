//! The program `aemp log`, and what the nodes of a network have logged.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use crate::support::attacker::{is_closed_after, raw};
use crate::support::{Running, SECRET, aemp, free_address, seed};

/// Says that it is some node, and does not know the secret.
fn knock(address: &str, name: &str) {
    let lines = format!("aemp;1;{name};hmac_sha3_512;json\n{name}-nonce\ncleartext;00;json\n");
    assert!(is_closed_after(&mut raw(address), lines.as_bytes()), "it is no member");
}

/// What `aemp log --json` prints, each record as it comes.
struct Shown(Running);

impl Shown {
    fn next(&mut self) -> (String, String) {
        let record: serde_json::Value = serde_json::from_str(&self.0.line()).expect("an object");
        let member = |name| record[name].as_str().expect("a text").to_owned();
        (member("node"), member("text"))
    }

    /// Waits until each of these nodes was asked.
    fn asked(&mut self, nodes: &[&str]) {
        let mut missing = nodes.to_vec();
        while !missing.is_empty() {
            let (from, text) = self.next();
            if text == "it was asked for its records" {
                missing.retain(|node| *node != from);
            }
        }
    }

    /// The names under which strangers knocked, by the node that told of them, until there are so many.
    fn strangers(&mut self, how_many: usize) -> BTreeMap<String, Vec<String>> {
        let mut strangers = BTreeMap::<_, Vec<_>>::new();
        for _ in 0..how_many {
            let (node, stranger) = loop {
                let (node, text) = self.next();
                let name = text.split_once("peer=\"stranger-").and_then(|(_, rest)| rest.split_once('"'));
                if let Some((name, _)) = name {
                    break (node, name.to_owned());
                }
            };
            strangers.entry(node).or_default().push(stranger);
        }
        strangers
    }
}

#[test]
fn the_records_of_three_nodes_are_shown_in_the_order_of_each_also_when_one_is_restarted() {
    const KNOCKS: usize = 30;
    let addresses = ["seed", "w1", "w2"].map(|node| (node, free_address()));
    let start = |node: &str, address: &str| {
        let mut running = Running::start(&mut aemp(&[
            "run",
            "--offer-logs",
            "debug",
            "--node-id",
            node,
            "--listen",
            address,
            "--seed",
            &addresses[0].1,
        ]));
        assert_eq!(running.line(), format!("ready {node} {address}"));
        running
    };
    let mut running: BTreeMap<_, _> = addresses.iter().map(|(node, address)| (*node, start(node, address))).collect();
    let mut shown = Shown(Running::start(&mut aemp(&["log", "--json", "--level", "debug", "--seed", &addresses[0].1])));
    shown.asked(&["seed", "w1", "w2"]);
    let knock_everywhere = |shown: &mut Shown, round: &str| {
        for number in 0..KNOCKS {
            addresses.iter().for_each(|(node, address)| knock(address, &format!("stranger-{node}-{round}-{number}")));
        }
        let strangers = shown.strangers(3 * KNOCKS);
        for (node, _) in &addresses {
            let expected: Vec<_> = (0..KNOCKS).map(|number| format!("{node}-{round}-{number}")).collect();
            assert_eq!(strangers[*node], expected, "LOG-1, LOG-13");
        }
    };
    knock_everywhere(&mut shown, "before");
    // It is killed when it is dropped.
    drop(running.remove("w1").expect("it runs"));
    running.insert("w1", start("w1", &addresses[1].1));
    shown.asked(&["w1"]);
    knock_everywhere(&mut shown, "after");
}

#[test]
fn a_node_that_offers_nothing_shows_nothing() {
    let (_seed, address) = seed("127.0.0.1:0", &["--offer-logs", "debug"]);
    let quiet = free_address();
    let mut running =
        Running::start(&mut aemp(&["run", "--no-logs", "--node-id", "quiet", "--listen", &quiet, "--seed", &address]));
    running.line();
    let mut shown = Shown(Running::start(&mut aemp(&["log", "--json", "--level", "9", "--seed", &address])));
    shown.asked(&["seed", "quiet"]);
    for number in 0..10 {
        knock(&quiet, &format!("stranger-{number}"));
        knock(&address, &format!("stranger-{number}"));
    }
    let strangers = shown.strangers(10);
    assert_eq!(strangers.keys().collect::<Vec<_>>(), ["seed"]);
}

#[test]
fn a_line_has_the_time_the_node_the_level_and_the_text() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let mut shown = Running::start(&mut aemp(&["log", "--level", "trace", "--seed", &address]));
    assert!(shown.line().ends_with("Z seed info it was asked for its records"));
    // That somebody looks and leaves is no warning, and the operator has asked for warnings only (LOG-15).
    drop(raw(&address));
    knock(&address, "stranger");
    let line = shown.line();
    let fields: Vec<_> = line.splitn(4, ' ').collect();
    assert_eq!((fields[0].len(), &fields[1..3]), ("2026-11-22T17:11:25.180Z".len(), &["seed", "warn"][..]), "{line}");
    let beginning = "a connection was refused node=\"seed\" peer=\"stranger\" from=\"127.0.0.1:";
    assert!(fields[3].starts_with(beginning), "{line}");
    assert!(fields[3].contains("[AUTH-14]"), "{line}");
    let wrong = crate::support::output(&mut aemp(&["log", "--level", "loud", "--seed", &address]));
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        crate::support::text(&wrong.stderr).contains("is no level: a number from 1 to 9"),
        "{}",
        crate::support::text(&wrong.stderr)
    );
}

#[test]
fn no_record_has_a_secret_in_it() {
    let methods = ["--accept", "hmac_sha3_512,cleartext", "--verbose", "--verbose"];
    let arguments = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0"];
    let mut running = Running::start(aemp(&[&arguments[..], &methods].concat()).stderr(Stdio::piped()));
    let ready = running.line();
    let address = ready.strip_prefix("ready seed ").expect("it is ready");
    let mut shown = Shown(Running::start(&mut aemp(&["log", "--json", "--level", "trace", "--seed", address])));
    shown.asked(&["seed"]);
    let hex = |secret: &str| secret.bytes().map(|octet| format!("{octet:02x}")).collect::<String>();
    let (own, guess) = (hex(SECRET), hex("hunter2-of-another-network"));
    let greeting = "aemp;1;guest-N;hmac_sha3_512,cleartext;json";
    let mut talks = Vec::new();
    for secret in [&own, &guess, SECRET] {
        // In every place of the authentication line, the wrong ones too.
        for line in [
            format!("cleartext;{secret};json"),
            format!("cleartext;{secret};json;{secret}={secret}"),
            format!("cleartext;{secret};xml"),
            format!("cleartext;{secret}"),
            format!("cleartext;{secret}{secret};json"),
            format!("hmac_sha3_512;{secret};json"),
            format!("plain;{secret};json"),
            format!("{secret};{secret};json"),
            format!("{secret};;json"),
            format!("cleartext;{own};{secret}"),
            format!("cleartext;json;{secret}"),
            format!("{secret};cleartext;json"),
            format!(";{secret};json"),
            format!("{secret}\r;json"),
            secret.to_owned(),
        ] {
            talks.push(format!("{greeting}\n\n{line}\n"));
        }
        // By who is out of step: where a greeting should be.
        talks.push(format!("cleartext;{secret};json\n"));
        talks.push(format!("{secret}\n"));
        talks.push(format!("aemp;{secret};guest-N;hmac_sha3_512;json\n"));
        talks.push(format!("{greeting}\n{secret}\ncleartext;{secret};json\n"));
    }
    for (number, talk) in talks.iter().enumerate() {
        let mut stream = raw(address);
        // It may be refused before it has said all.
        let _refused = stream.write_all(talk.replace("guest-N", &format!("guest-{number}")).as_bytes());
        // The right ones stay open until this ends.
        crate::support::attacker::hang_up(&mut stream);
    }
    knock(address, "last");
    let secrets = [SECRET, &own, "hunter2-of-another-network", &guess];
    let mut guests = 0;
    loop {
        let (_, text) = shown.next();
        let leaked = secrets.iter().find(|secret| text.contains(**secret));
        assert_eq!(leaked, None, "ERR-3: {text}");
        guests += usize::from(text.contains("guest-"));
        if text.contains("peer=\"last\"") {
            break;
        }
    }
    assert!(guests >= 45, "each was told of: {guests}");
}
