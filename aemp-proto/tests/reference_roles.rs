//! The reference of the simulated networks says what the recorded one said: the recording, from the side of each of its globals.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use aemp_proto::names::NodeId;
use aemp_proto::value::Value;
use serde::Deserialize;
use serde_json::Value as Json;
use support::globals::id;
use support::reference::Roles;
use support::vectors::{cases, same, value};

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
        let name = request[0].as_text().expect("a name");
        roles.receive(&id(peer), name, &request[1..]);
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
    let name = request[0].as_text().unwrap_or_default();
    let internal = request.get(1).and_then(Value::as_text).is_some_and(|family| family.starts_with('\''));
    let only_sets = request.get(3).is_none_or(|deleted| *deleted == Value::Array(vec![]));
    match name {
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
