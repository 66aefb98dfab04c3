//! Nodes that do not listen, and the programs that ask all nodes of a network.

use std::collections::BTreeMap;

use crate::support::{Running, aemp, output, seed, text};

/// A node that does not listen, and is connected with these.
fn hidden(seeds: &[&str]) -> Running {
    let mut command = aemp(&["run", "--offer-logs", "info", "--node-id", "hidden"]);
    for seed in seeds {
        command.args(["--seed", seed]);
    }
    let mut running = Running::start(&mut command);
    assert_eq!(running.line(), "ready hidden ");
    running
}

/// A global node that listens, and its address.
fn global(id: &str, seeds: &[&str]) -> (Running, String) {
    let mut command = aemp(&["run", "--global", "--node-id", id, "--listen", "127.0.0.1:0"]);
    for seed in seeds {
        command.args(["--seed", seed]);
    }
    let mut running = Running::start(&mut command);
    let ready = running.line();
    let address = ready.strip_prefix(&format!("ready {id} ")).expect("it is ready").to_owned();
    (running, address)
}

type Topology = BTreeMap<String, BTreeMap<String, serde_json::Value>>;

fn trace(seed: &str, more: &[&str]) -> Topology {
    let got = output(&mut aemp(&[&["trace", "--json", "--seed", seed], more].concat()));
    assert!(got.status.success(), "{}", text(&got.stderr));
    serde_json::from_slice(&got.stdout).expect("an object")
}

/// Traces until the seed is connected with as many nodes.
fn trace_all(seed: &str, nodes: usize, more: &[&str]) -> Topology {
    for _ in 0..100 {
        let topology = trace(seed, more);
        if topology["seed"]["connected"].as_array().expect("a list").len() == nodes {
            return topology;
        }
    }
    panic!("they do not find each other");
}

#[test]
fn the_connections_of_a_node_that_does_not_listen_are_shown_and_who_listens_can_ask_it() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let _hidden = hidden(&[&address]);
    let (_other, _) = global("other", &[&address]);
    let topology = trace_all(&address, 2, &[]);
    assert_eq!(topology["other"]["connected"], serde_json::json!(["seed"]));
    assert_eq!(topology["hidden"]["connected"], serde_json::json!(["seed"]), "its other end has told of it");
    assert_eq!(topology["hidden"]["error"], "it does not listen");
    // NODE-12
    let topology = trace(&address, &["--listen", "127.0.0.1:*"]);
    assert_eq!(topology["hidden"], BTreeMap::from([("connected".to_owned(), serde_json::json!(["seed"]))]));
    assert_eq!(topology.len(), 3);
}

/// What a node has said, as `aemp log` shows it, when it has said this.
fn said(shown: &mut Running, node: &str, what: &str) -> String {
    loop {
        let record: serde_json::Value = serde_json::from_str(&shown.line()).expect("an object");
        let text = record["text"].as_str().expect("a text");
        if record["node"] == node && text.contains(what) {
            return text.to_owned();
        }
    }
}

#[test]
fn the_records_of_a_node_that_does_not_listen_are_shown_to_who_listens_also_when_another_global_knows_it() {
    let (_near, near) = global("near", &[]);
    let (_far, far) = global("far", &[&near]);
    let (lost, lost_address) = global("lost", &[&far]);
    let _hidden = hidden(&[&far, &lost_address]);
    let mut deaf = Running::start(&mut aemp(&["log", "--json", "--seed", &near]));
    let mut shown = Running::start(&mut aemp(&["log", "--json", "--seed", &near, "--listen", "127.0.0.1:*"]));
    let why = said(&mut deaf, "hidden", "it cannot be asked for its records");
    assert!(why.ends_with(": it does not listen; it could connect if this node listened"), "{why}");
    said(&mut shown, "hidden", "it was asked for its records");
    drop(lost);
    // NODE-12, LOG-13: nobody else could say so.
    said(&mut shown, "hidden", "peer=lost");
}

#[test]
fn help_says_how_nodes_that_do_not_listen_are_asked() {
    for program in ["trace", "log"] {
        insta::assert_snapshot!(format!("help_{program}"), text(&output(&mut aemp(&[program, "--help"])).stdout));
    }
}
