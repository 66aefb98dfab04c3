//! The reference of the simulated networks says what the recorded one said: the recording, from the side of each of its
//! globals.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::globals::id;
use crate::support::reference::Roles;
use crate::support::vectors::{cases, same, value};
use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::global::{self, Global, Output, Request};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
struct RecordedCase {
    node: String,
    addresses: Vec<String>,
    seeds: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    up: Option<String>,
    down: Option<String>,
    seed: Option<String>,
    from: Option<String>,
    receives: Option<Json>,
    does: Option<Vec<Json>>,
    #[serde(default)]
    sends: BTreeMap<String, Vec<Json>>,
}

/// A request, without the name of the node port.
fn request(packet: &Json) -> Vec<Value> {
    let Value::Array(elements) = value(packet) else { panic!("{packet}") };
    elements[1..].to_vec()
}

fn happen(roles: &mut Roles, step: &Step) {
    if let Some(peer) = &step.up {
        roles.up(&id(peer));
    } else if let Some(peer) = &step.down {
        roles.down(&id(peer));
    } else if let Some(peer) = &step.seed {
        roles.seed(&id(peer));
    } else if let (Some(peer), Some(packet)) = (&step.from, &step.receives) {
        let request = request(packet);
        let name = request[0].text().expect("a name");
        roles.receive(&id(peer), &name, &request[1..]);
    } else if let Some(does) = &step.does {
        let text = |place: usize| does[place].as_str().expect("a text");
        match text(0) {
            "db_set" => roles.set(text(1), text(2), value(&does[3])),
            "db_del" => {
                let keys = does[2].as_array().expect("keys");
                keys.iter().filter_map(Json::as_str).for_each(|key| roles.delete(text(1), key));
            }
            // It does not show what a program of its own sees.
            _ => {}
        }
    }
}

/// What the vectors leave out: repeats, and what a `g_set` behind it has.
fn is_shown(request: &[Value]) -> bool {
    let name = request[0].text().unwrap_or_default();
    let internal = request.get(1).and_then(Value::text).is_some_and(|family| family.starts_with('\''));
    let only_sets = request.get(3).is_none_or(|deleted| *deleted == Value::Array(vec![]));
    match &*name {
        "g_slave" => request.len() > 1,
        "g_upd" => !(internal && only_sets),
        _ => name != "g_find",
    }
}

/// Requests, with the deleted keys in order.
fn in_order(mut requests: Vec<Vec<Value>>) -> Vec<Value> {
    for request in &mut requests {
        if let Some(Value::Array(keys)) = request.get_mut(3) {
            keys.sort_by_key(|key| format!("{key:?}"));
        }
    }
    requests.sort_by_key(|request| format!("{request:?}"));
    requests.into_iter().map(Value::Array).collect()
}

/// A request as a peer reads it.
fn received(request: &Request) -> Vec<Value> {
    let mut octets = Vec::new();
    Framing::Json.encode_elements(request, &Limits::LEAST, &mut octets).expect("it fits");
    Packet::parse(Framing::Json, &octets, &Limits::LEAST).expect("a packet").decode().expect("values")
}

#[test]
fn a_reference_global_keeps_the_addresses_of_a_global_however_large_its_database_is() {
    // DB-27, DB-35: on each `g_set` it copies what that has in `'l` of its sender.
    for entries in [1, 20_000] {
        let addresses = vec!["10.0.0.9:4040".to_owned()];
        let mut ours = Global::new(id("m"), addresses, global::Limits::default());
        ours.become_global();
        for number in 0..entries {
            ours.set("fam", &number.to_string(), &"x".repeat(50).into()).expect("allowed");
        }
        let mut roles = Roles::new(id("r"), Value::Array(vec![]), &[], BTreeSet::new());
        roles.become_global();
        roles.up(&id("m"));
        ours.up(&id("r"), true);
        ours.receive(&id("r"), Request::Global);
        let mut parts = 0;
        loop {
            let Some(output) = ours.poll() else { if ours.run(|_| true) { continue } else { break } };
            if let Output::Send(_, request) = output {
                parts += usize::from(matches!(*request, Request::Set(_)));
                let request = received(&request);
                let name = request[0].text().expect("a name");
                roles.receive(&id("m"), &name, &request[1..]);
            }
        }
        assert_eq!(parts > 1, entries > 1, "{entries} entries come in {parts} parts");
        assert_eq!(roles.addresses(&id("m")), Some(&Value::Array(vec!["10.0.0.9:4040".into()])), "{entries} entries");
    }
}

#[test]
fn of_too_many_addresses_the_first_ones_are_set() {
    // DB-36
    let addresses: Vec<_> = (0..30_000).map(|port| format!("10.0.0.9:{port}")).collect();
    let mut ours = Global::new(id("m"), addresses.clone(), global::Limits::default());
    ours.become_global();
    let kept = ours.addresses(&id("m")).expect("it listens");
    assert!(kept.len() > 100 && kept.iter().map(|address| 32 + address.len()).sum::<usize>() < 65_536, "{}", kept.len());
    assert_eq!(kept, addresses[..kept.len()]);
}

#[test]
fn the_simulated_reference_says_what_the_recorded_one_said() {
    let mut compared = 0;
    for case in cases::<RecordedCase>("global.json") {
        if !["global-recorded-s1", "global-recorded-s2"].contains(&&case.id[..]) {
            continue;
        }
        let RecordedCase { node, addresses, seeds, steps } = case.with;
        let addresses = Value::Array(addresses.into_iter().map(Value::from).collect());
        let seeds: BTreeSet<NodeId> = seeds.iter().map(|seed| id(seed)).collect();
        let mut roles = Roles::new(id(&node), addresses, &[], seeds);
        for (number, step) in steps.iter().enumerate() {
            happen(&mut roles, step);
            let mut sent: BTreeMap<String, Vec<Vec<Value>>> = BTreeMap::new();
            for (peer, request) in std::mem::take(&mut roles.sends).into_iter().filter(|(_, request)| is_shown(request)) {
                sent.entry(peer.to_string()).or_default().push(request);
            }
            for peer in ["s1", "s2", "w"] {
                let recorded = step.sends.get(peer).into_iter().flatten().map(request);
                let recorded = in_order(recorded.filter(|request| is_shown(request)).collect());
                let said = in_order(sent.remove(peer).unwrap_or_default());
                compared += recorded.len();
                let right = said.len() == recorded.len() && said.iter().zip(&recorded).all(|(a, b)| same(a, b));
                assert!(right, "{}, step {number}: to {peer} went\n{said:?}\nand not\n{recorded:?}", case.id);
            }
        }
    }
    assert!(compared > 40, "{compared}");
}
