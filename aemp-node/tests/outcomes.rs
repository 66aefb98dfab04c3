//! Every way to authenticate and to write with every other one: the table of chapter 3.

#[path = "support/certificates.rs"]
mod certificates;

use std::collections::{BTreeMap, BTreeSet};

use aemp_node::proto::auth::{Method, Secret};
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::node::NodeEvent;
use aemp_node::proto::value::Value;
use aemp_node::{Certificates, Config, Events, Node};
use certificates::{Authority, shared};

const FRAMINGS: [Framing; 2] = [Framing::Json, Framing::Cbor];

/// What stands in the table for two ways to authenticate: the one of a row and the one of a column.
fn table() -> (Vec<String>, BTreeMap<(String, String), String>) {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/3-tls.md")).expect("chapter 3");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut lines = spec.lines().filter(|line| line.starts_with('|')).map(cells);
    let ways = lines.next().expect("a table").split_off(1);
    let mut outcomes = BTreeMap::new();
    for row in lines.skip(1) {
        for (way, outcome) in ways.iter().zip(&row[1..]) {
            outcomes.insert((row[0].clone(), way.clone()), outcome.clone());
        }
    }
    assert_eq!(outcomes.len(), ways.len() * ways.len());
    (ways, outcomes)
}

struct Network {
    shared: String,
    authority: Authority,
}

impl Network {
    fn node(&self, id: &str, way: &str, framing: Framing) -> Config {
        let mut config = Config::new(NodeId::new(id).expect("a node ID"));
        let link = &mut config.node.link;
        link.framings = vec![framing];
        match way {
            "shared certificate" => {
                config.certificates = Some(Certificates::shared(self.shared.as_bytes()).expect("all there"));
            }
            "authority" => {
                let own = self.authority.issue(id);
                let issued = Certificates::issued(own.as_bytes(), self.authority.pem.as_bytes()).expect("all there");
                config.certificates = Some(issued.bound_to_node_ids());
            }
            method => {
                let method = Method::from_name(method).expect("a method");
                link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
                (link.send, link.accept) = (vec![method], vec![method]);
            }
        }
        config
    }
}

async fn outcome(events: &mut Events) -> Result<(), String> {
    loop {
        match events.recv().await.expect("it runs") {
            NodeEvent::Up(_) => return Ok(()),
            NodeEvent::Refused { error, .. } => return Err(error),
            _ => {}
        }
    }
}

/// Values of every kind, and what they are when they come back.
fn values(framing: Framing) -> Vec<(Value, Value)> {
    let text = |text: &str| Value::from(text);
    let json = framing == Framing::Json;
    let mut values: Vec<(Value, Value)> = [
        Value::Null,
        Value::from(true),
        Value::from(false),
        Value::from(0_u64),
        Value::from(u64::MAX),
        Value::from(i64::MIN),
        Value::from(2.0),
        Value::from(-0.0),
        Value::from(0.1),
        Value::from(f64::MAX),
        text(""),
        text("ä\u{0}\u{1F600}\"\\"),
        Value::Array(vec![Value::Array(Vec::new()), Value::from(1_u64)]),
        Value::Map([("k".to_owned(), Value::Null), (String::new(), text("v"))].into()),
    ]
    .into_iter()
    .map(|value| (value.clone(), value))
    .collect();
    for (float, name) in [(f64::INFINITY, "Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN")] {
        values.push((Value::from(float), if json { text(name) } else { Value::from(float) }));
    }
    let octets = Value::Bytes(vec![0, 0x41, 0xe4, 0xff]);
    values.push((octets.clone(), if json { text("\u{0}Aäÿ") } else { octets }));
    values
}

async fn exchange(from: &Node, to: &Node, framing: Framing) {
    let echo = to.port(aemp_node::echo).await.expect("it runs");
    let (sent, expected): (Vec<_>, Vec<_>) = values(framing).into_iter().unzip();
    let got: Vec<Value> = from.call(&echo, &sent, None).await.expect("an answer").decode().expect("values");
    // As text: NaN is not equal to itself, and -0.0 is equal to 0.0.
    assert_eq!(format!("{got:?}"), format!("{expected:?}"));
}

#[tokio::test]
async fn every_pair_of_sides_connects_and_exchanges_values_or_is_refused_as_the_table_says() {
    let (ways, table) = table();
    let network = Network { shared: shared(), authority: Authority::new() };
    let (mut connected, mut refused) = (0, BTreeMap::<String, usize>::new());
    let mut seen = BTreeSet::new();
    for opens in &ways {
        for accepts in &ways {
            for opens_in in FRAMINGS {
                for accepts_in in FRAMINGS {
                    let mut expected = table[&(opens.clone(), accepts.clone())].as_str();
                    if expected == "connects" && opens_in != accepts_in {
                        expected = "[AUTH-9]";
                    }
                    let mut acceptor = network.node("acceptor", accepts, accepts_in);
                    acceptor.binds = vec!["127.0.0.1:0".into()];
                    let acceptor = Node::start(acceptor).await.expect("it listens");
                    let mut opener = network.node("opener", opens, opens_in);
                    opener.seeds = vec![acceptor.addresses()[0].to_string()];
                    let opener = Node::start(opener).await.expect("it starts");
                    let outcomes = [outcome(&mut opener.events()).await, outcome(&mut acceptor.events()).await];
                    let what = format!("{opens}, {opens_in:?} to {accepts}, {accepts_in:?}: {outcomes:?}");
                    if expected == "connects" {
                        assert_eq!(outcomes, [Ok(()), Ok(())], "{what}");
                        exchange(&opener, &acceptor, opens_in).await;
                        exchange(&acceptor, &opener, opens_in).await;
                        connected += 1;
                    } else {
                        assert!(outcomes.iter().all(Result::is_err), "{what}; expected: {expected}");
                        let says =
                            |outcome: &Result<(), String>| outcome.as_ref().is_err_and(|error| error.contains(expected));
                        assert!(outcomes.iter().any(says), "{what}; expected: {expected}");
                        *refused.entry(expected.to_owned()).or_default() += 1;
                    }
                    seen.insert((opens, opens_in.name(), accepts, accepts_in.name()));
                }
            }
        }
    }
    assert_eq!(seen.len(), 100);
    println!("{connected} connected, refused: {refused:?}");
}
