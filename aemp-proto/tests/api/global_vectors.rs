//! The global protocol as the vectors have it, among them the recording from the side of each of its nodes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::support::pair::{Told, config, give, link, take};
use crate::support::ports::port;
use crate::support::vectors::{cases, same, value};
use aemp_proto::actor::{Action, ConnectionId, Context, DialId, Node, NodeConfig};
use aemp_proto::global::{Changes, Shard};
use aemp_proto::link::{Link, Role};
use aemp_proto::value::Value;
use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
struct GlobalCase {
    node: String,
    global: bool,
    addresses: Vec<String>,
    seeds: Vec<String>,
    #[serde(default)]
    plain: Vec<String>,
    #[serde(default)]
    limits: BTreeMap<String, usize>,
    steps: Vec<Step>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Step {
    up: Option<String>,
    down: Option<String>,
    seed: Option<String>,
    from: Option<String>,
    receives: Option<Json>,
    does: Option<Vec<Json>>,
    #[serde(default)]
    sends: BTreeMap<String, Vec<Json>>,
    #[serde(default)]
    tells: Vec<Tell>,
    #[serde(default)]
    answers: Vec<(String, Json)>,
    #[serde(default)]
    dials: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    fails: BTreeMap<String, String>,
    #[serde(default)]
    closes: Vec<String>,
    #[serde(default)]
    refused: bool,
}

#[derive(Deserialize, Debug)]
struct Tell {
    watch: String,
    added: BTreeMap<String, Json>,
    changed: BTreeMap<String, Json>,
    deleted: Vec<String>,
}

/// What the programs of the node hear.
#[derive(Default)]
struct Heard {
    told: Vec<(String, Changes)>,
    answers: Vec<(String, Value)>,
    failed: BTreeMap<String, String>,
}

/// What was seen of one step.
#[derive(Default, Debug)]
struct Seen {
    packets: BTreeMap<String, Vec<Value>>,
    dials: BTreeSet<String>,
    closes: Vec<String>,
}

const NOW: Duration = Duration::from_secs(1000);

struct Bench {
    node: Node,
    peers: BTreeMap<String, (ConnectionId, Link)>,
    seeds: BTreeMap<String, DialId>,
    heard: Rc<RefCell<Heard>>,
    watches: BTreeMap<String, aemp_proto::global::FamilyWatch>,
    /// The names that the node chose for queries, by the names in the vectors.
    queries: BTreeMap<String, Value>,
    seen: Seen,
}

impl Bench {
    fn new(case: &GlobalCase) -> Self {
        let mut node_config =
            NodeConfig { global: case.global, addresses: case.addresses.clone(), ..NodeConfig::new(config(&case.node)) };
        if let Some(&entries) = case.limits.get("entries") {
            let shard = Shard { entries, octets: 1 << 20 };
            (node_config.database.slave, node_config.database.global) = (shard, shard);
        }
        if let Some(&watched) = case.limits.get("watched") {
            node_config.database.watched = watched;
        }
        Bench {
            node: Node::new(node_config, 1, NOW, NOW),
            peers: BTreeMap::new(),
            seeds: BTreeMap::new(),
            heard: Rc::default(),
            watches: BTreeMap::new(),
            queries: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    /// Has the node dial a peer as a seed.
    fn dial(&mut self, peer: &str) -> DialId {
        let address = format!("seed:{peer}");
        self.node.add_seed(NOW, &address);
        self.node.run(NOW);
        loop {
            match self.node.poll_action().expect("it dials the seed") {
                Action::Dial { dial, address: dialled } if dialled == address => return dial,
                action => self.act(action),
            }
        }
    }

    fn connect(&mut self, peer: &str, plain: bool, seed: bool) -> (ConnectionId, Link) {
        let dial = seed.then(|| self.seeds.get(peer).copied().unwrap_or_else(|| self.dial(peer)));
        let (own, other) = if seed { (Role::Opener, Role::Acceptor) } else { (Role::Acceptor, Role::Opener) };
        let id = self.node.open(NOW, own, [9; 32], None, dial).expect("a connection");
        let mut config = config(peer);
        if !plain {
            config.keys.insert("gproto".into(), "1".into());
        }
        if let Some(dial) = dial {
            self.seeds.insert(peer.into(), dial);
        }
        (id, link(config, other))
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { dial, address } => {
                self.seen.dials.insert(address);
                // So that it goes on to the next one.
                self.node.dial_failed(NOW, dial, "nobody is there");
            }
            Action::Close(connection) => {
                let closed = self.peers.iter().find(|(_, (id, _))| *id == connection).map(|(peer, _)| peer.clone());
                if let Some(peer) = closed {
                    self.peers.remove(&peer);
                    self.seen.closes.push(peer);
                }
            }
            _ => {}
        }
    }

    /// Carries octets to and fro until there are none.
    fn exchange(&mut self) {
        for _ in 0..50 {
            self.node.run(NOW);
            while let Some(action) = self.node.poll_action() {
                self.act(action);
            }
            for (peer, (id, link)) in &mut self.peers {
                let octets = take(link);
                if !octets.is_empty() {
                    self.node.receive(NOW, *id, &octets);
                }
                let output = self.node.output(*id).to_vec();
                self.node.advance_output(*id, output.len());
                let mut told = Vec::new();
                give(link, &output, &mut told).expect("the node behaves");
                let packets =
                    told.into_iter().filter_map(|told| if let Told::Packet(packet) = told { Some(packet) } else { None });
                self.seen.packets.entry(peer.clone()).or_default().extend(packets);
            }
        }
    }

    fn event(&mut self, step: &Step, case: &GlobalCase) -> bool {
        if let Some(peer) = &step.up {
            let plain = case.plain.contains(peer);
            let seed = case.seeds.contains(peer) || self.seeds.contains_key(peer);
            let connection = self.connect(peer, plain, seed);
            self.peers.insert(peer.clone(), connection);
        } else if let Some(peer) = &step.down {
            let (id, _) = self.peers.remove(peer).expect("it is up");
            self.node.closed(NOW, id, None);
        } else if let Some(peer) = &step.seed {
            // Another connection, which is refused once it is known where it leads.
            let (id, mut second) = self.connect(peer, case.plain.contains(peer), true);
            let greeting = take(&mut second);
            self.node.receive(NOW, id, &greeting);
            self.node.closed(NOW, id, None);
        } else if let (Some(peer), Some(packet)) = (&step.from, &step.receives) {
            let packet = self.with_query_names(packet_of(packet));
            self.peers.get_mut(peer).expect("it is up").1.send(&packet).expect("it is up");
        } else if let Some(does) = &step.does {
            return self.does(does);
        }
        true
    }

    fn with_query_names(&self, mut packet: Value) -> Value {
        if let Value::Array(elements) = &mut packet {
            for element in elements {
                if let Value::Map(members) = element
                    && let Some(Value::Text(name)) = members.get("a query's name")
                {
                    *element = self.queries[name].clone();
                }
            }
        }
        packet
    }

    /// Does what a program does; false if it is refused.
    fn does(&mut self, does: &[Json]) -> bool {
        let text = |place: usize| does[place].as_str().expect("a text").to_owned();
        let texts = |place: usize| -> Vec<String> { serde_json::from_value(does[place].clone()).expect("texts") };
        let heard = self.heard.clone();
        let name = text(0);
        if name == "become_global" {
            self.node.become_global(NOW);
        } else if name == "set_addresses" {
            self.node.set_addresses(NOW, texts(1));
        } else if name == "db_unwatch" {
            let watch = self.watches.remove(&text(1)).expect("it watches");
            self.node.with(NOW, |context| context.db_unwatch(watch));
        } else if name == "db_watch" {
            let label = text(2);
            let watch = self.node.with(NOW, |context| {
                context.db_watch(&text(1), move |_, changes| heard.borrow_mut().told.push((label.clone(), changes)))
            });
            self.watches.insert(text(2), watch);
        } else if name == "send" {
            let to = text(1);
            self.node.with(NOW, |context| {
                let node = to.clone();
                context.watch(&port(&to), move |_, reasons| {
                    let [_, _, Value::Text(text)] = reasons.values() else { panic!("{reasons:?}") };
                    heard.borrow_mut().failed.insert(node, text.clone());
                });
                context.send(&port(&to).node().port("nobody"), &"something").expect("small");
            });
        } else {
            return self.node.with(NOW, |context| database_verb(context, &name, does, &heard));
        }
        true
    }
}

fn database_verb(context: &mut Context<'_>, name: &str, does: &[Json], heard: &Rc<RefCell<Heard>>) -> bool {
    let family = does[1].as_str().expect("a family");
    let (heard, label) = (heard.clone(), does[2].as_str().unwrap_or_default().to_owned());
    let answer = move |answer: Value| heard.borrow_mut().answers.push((label, answer));
    match name {
        "db_set" => return context.db_set(family, does[2].as_str().expect("a key"), &value(&does[3])).is_ok(),
        "db_del" => {
            let keys = does[2].as_array().expect("keys");
            context.db_del(family, keys.iter().filter_map(Json::as_str));
        }
        "db_family" => context.db_family(family, |_, found| answer(found.map_or(Value::Null, Value::from))),
        "db_keys" => context.db_keys(family, |_, found| {
            answer(found.map_or(Value::Null, |keys| Value::Array(keys.into_iter().map(Value::from).collect())));
        }),
        "db_values" => context.db_values(family, |_, found| answer(found.map_or(Value::Null, Value::from))),
        _ => panic!("{name}?"),
    }
    true
}

/// A notation in which `{"id": name}` is a query's name.
fn packet_of(notation: &Json) -> Value {
    let Json::Array(elements) = notation else { panic!("{notation}") };
    Value::Array(
        elements
            .iter()
            .map(|element| match element.get("id") {
                Some(Json::String(name)) => Value::Map([("a query's name".to_owned(), name.as_str().into())].into()),
                _ => value(element),
            })
            .collect(),
    )
}

/// A `g_set` and the one behind it as one, which has the entries of both; but the sender's own addresses only if both have
/// them (`DB-35`).
fn as_one(first: &Value, second: &Value, node: &str) -> Option<Value> {
    let [(first_head, first), (second_head, second)] = [first, second].map(|packet| match packet {
        Value::Array(elements) => match &elements[..] {
            [head @ .., Value::Map(part)] if head == ["".into(), "g_set".into()] => (Some(head), Some(part)),
            _ => (None, None),
        },
        _ => (None, None),
    });
    let (Some(_), Some(head), Some(first), Some(second)) = (first_head, second_head, first, second) else { return None };
    let own = |part: &BTreeMap<String, Value>| match part.get("'l") {
        Some(Value::Map(addresses)) => addresses.contains_key(node),
        _ => false,
    };
    let has_own = own(first) && own(second);
    let mut both = first.clone();
    for (family, entries) in second {
        match (both.get_mut(family), entries) {
            (Some(Value::Map(both)), Value::Map(entries)) => both.extend(entries.clone()),
            _ => drop(both.insert(family.clone(), entries.clone())),
        }
    }
    if let (false, Some(Value::Map(addresses))) = (has_own, both.get_mut("'l")) {
        addresses.remove(node);
    }
    Some(Value::Array(head.iter().cloned().chain([Value::Map(both)]).collect()))
}

/// Packets whose order is free stand in the order of what they are about.
fn in_order(packets: &mut [Value]) {
    // Only neighbours of one kind may be exchanged.
    let kind = |packet: &Value| match packet {
        Value::Array(elements) => format!("{:?}", elements.get(1)),
        _ => String::new(),
    };
    let asks = |packet: &Value| ["g_db_family", "g_db_keys", "g_db_values"].iter().any(|ask| kind(packet).contains(ask));
    packets.chunk_by_mut(|a, b| kind(a) == kind(b) || (asks(a) && asks(b))).for_each(|packets| {
        packets.sort_by_key(|packet| format!("{packet:?}"));
    });
}

impl Bench {
    fn check(&mut self, step: &Step, node: &str, about: &str) {
        let seen = std::mem::take(&mut self.seen);
        let heard = std::mem::take(&mut *self.heard.borrow_mut());
        for (peer, mut packets) in seen.packets {
            // What programs send, and what the node asks on its own, is not shown.
            packets.retain(|packet| {
                let Value::Array(elements) = packet else { return false };
                elements.first() != Some(&"nobody".into()) && elements.get(1) != Some(&"snd".into())
            });
            let mut merged: Vec<Value> = Vec::new();
            for packet in packets {
                match merged.last().and_then(|last| as_one(last, &packet, node)) {
                    Some(both) => *merged.last_mut().expect("there is one") = both,
                    None => merged.push(packet),
                }
            }
            let mut packets = merged;
            let mut expected: Vec<_> = step.sends.get(&peer).into_iter().flatten().map(packet_of).collect();
            self.learn_names(&packets, &mut expected);
            in_order(&mut packets);
            in_order(&mut expected);
            let right = packets.len() == expected.len() && packets.iter().zip(&expected).all(|(a, b)| same(a, b));
            assert!(right, "{about}: to {peer} went\n{packets:?}\nand not\n{expected:?}");
        }
        let mut told = heard.told;
        told.sort_by(|(a, _), (b, _)| a.cmp(b));
        let family =
            |entries: &BTreeMap<String, Json>| entries.iter().map(|(key, entry)| (key.clone(), value(entry))).collect();
        let mut expected: Vec<_> = step
            .tells
            .iter()
            .map(|tell| {
                let (added, changed) = (family(&tell.added), family(&tell.changed));
                (tell.watch.clone(), Changes { added, changed, deleted: tell.deleted.clone() })
            })
            .collect();
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(told, expected, "{about}: watches");
        let mut answers = heard.answers;
        answers.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut expected: Vec<_> = step.answers.iter().map(|(name, result)| (name.clone(), value(result))).collect();
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(answers, expected, "{about}: answers");
        assert_eq!(seen.dials, step.dials.values().flatten().cloned().collect(), "{about}: dials");
        assert_eq!(heard.failed.keys().collect::<Vec<_>>(), step.fails.keys().collect::<Vec<_>>(), "{about}: fails");
        for (node, text) in &step.fails {
            assert_eq!(heard.failed[node], *text, "{about}");
        }
        assert_eq!(seen.closes, step.closes, "{about}: closes");
    }

    /// Finds out which name the node chose for which query.
    fn learn_names(&mut self, packets: &[Value], expected: &mut [Value]) {
        for packet in expected.iter_mut() {
            let Value::Array(right) = packet else { continue };
            let Some(Value::Map(name)) = right.get(3).cloned() else { continue };
            let Some(Value::Text(name)) = name.get("a query's name") else { continue };
            let chosen = self.queries.get(name).cloned().or_else(|| {
                packets.iter().find_map(|packet| match packet {
                    Value::Array(got) if got.len() == 4 && got[..3] == right[..3] => {
                        Some(got[3].clone()).filter(|chosen| !self.queries.values().any(|other| other == chosen))
                    }
                    _ => None,
                })
            });
            let Some(chosen) = chosen else { continue };
            right[3] = chosen.clone();
            self.queries.insert(name.clone(), chosen);
        }
    }
}

#[test]
fn a_node_does_as_the_vectors_say() {
    let mut failed = Vec::new();
    for case in cases::<GlobalCase>("global.json") {
        let run = std::panic::catch_unwind(|| {
            let mut bench = Bench::new(&case.with);
            for (number, step) in case.with.steps.iter().enumerate() {
                let about = format!("{}, step {number}", case.id);
                let allowed = bench.event(step, &case.with);
                assert_eq!(!allowed, step.refused, "{about}");
                bench.exchange();
                bench.check(step, &case.with.node, &about);
            }
        });
        if run.is_err() {
            failed.push(case.id);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
