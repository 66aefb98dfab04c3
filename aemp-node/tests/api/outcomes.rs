//! Every way to authenticate and to write with every other one: the table of chapter 3.

use std::collections::BTreeMap;

use crate::support::certificates::{Authority, shared};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::{Method, Secret};
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{Certificates, Config, Events, Node};

const FRAMINGS: [Framing; 3] = [Framing::Json, Framing::Cbor, Framing::Storable];

/// A table of chapter 3: the names of its rows and of its columns, and what stands where they meet.
struct Table {
    rows: Vec<String>,
    columns: Vec<String>,
    cells: BTreeMap<(String, String), String>,
}

/// The tables of chapter 3, in their order: what becomes of two ways to authenticate, and in what each side sends.
fn tables() -> [Table; 2] {
    let spec = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/03-tls.md")).expect("chapter 3");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let lines: Vec<_> = spec.lines().collect();
    let tables = lines.chunk_by(|one, other| one.starts_with('|') == other.starts_with('|'));
    let tables = tables.filter(|lines| lines[0].starts_with('|')).map(|lines| {
        let mut table = Table { rows: Vec::new(), columns: cells(lines[0]).split_off(1), cells: BTreeMap::new() };
        for row in lines[2..].iter().map(|line| cells(line)) {
            for (column, cell) in table.columns.iter().zip(&row[1..]) {
                table.cells.insert((row[0].clone(), column.clone()), cell.clone());
            }
            table.rows.push(row[0].clone());
        }
        assert_eq!(table.cells.len(), table.rows.len() * table.columns.len());
        table
    });
    tables.collect::<Vec<_>>().try_into().ok().expect("two tables")
}

fn framings(list: &str) -> Vec<Framing> {
    list.split(", ").map(|name| Framing::from_name(name).expect("a framing")).collect()
}

struct Network {
    shared: String,
    authority: Authority,
}

impl Network {
    fn node(&self, id: &str, way: &str, sends: &[Framing], offers: &[Framing]) -> Config {
        let mut config = Config::new(NodeId::new(id).expect("a node ID"));
        let link = &mut config.node.link;
        (link.framings, link.send_framings) = (offers.into(), Some(sends.into()));
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

/// Two nodes that have met, and what each says of that: first the one that opened the connection.
async fn meet(mut opener: Config, mut acceptor: Config) -> ([Node; 2], [Result<(), String>; 2]) {
    acceptor.listen = vec!["127.0.0.1:0".into()];
    let acceptor = Node::start(acceptor).await.expect("it listens");
    opener.seeds = vec![acceptor.addresses()[0].to_string()];
    let opener = Node::start(opener).await.expect("it starts");
    let outcomes = [outcome(&mut opener.events()).await, outcome(&mut acceptor.events()).await];
    ([opener, acceptor], outcomes)
}

fn assert_refused(outcomes: &[Result<(), String>; 2], expected: &str, what: &str) {
    assert!(outcomes.iter().all(Result::is_err), "{what}: {outcomes:?}; expected: {expected}");
    let says = |outcome: &Result<(), String>| outcome.as_ref().is_err_and(|error| error.contains(expected));
    assert!(outcomes.iter().any(says), "{what}: {outcomes:?}; expected: {expected}");
}

/// Values of every kind, and what they are when they have come in a framing: no two framings change the same ones.
fn values(framing: Framing) -> Vec<(Value, Value)> {
    let text = |text: &str| Value::from(text);
    let same = |value: Value| (value.clone(), value);
    let storable = framing == Framing::Storable;
    let number = |value: Value, in_storable: Value| (value.clone(), if storable { in_storable } else { value });
    let mut values = vec![
        same(Value::Null),
        same(Value::from(true)),
        same(Value::from(false)),
        same(Value::from(0_u64)),
        same(Value::from(i64::from(i32::MIN))),
        number(Value::from(u64::MAX), text("18446744073709551615")),
        number(Value::from(i64::MIN), text("-9223372036854775808")),
        number(Value::from(2.0), Value::from(2_u64)),
        number(Value::from(-0.0), text("-0.0")),
        number(Value::from(0.1), text("0.1")),
        number(Value::from(f64::MAX), text("1.7976931348623157e+308")),
        same(text("")),
        same(text("ä\u{0}\u{1F600}\"\\")),
        same(Value::Array(vec![Value::Array(Vec::new()), Value::from(1_u64)])),
        same(Value::Map([("k".to_owned(), Value::Null), (String::new(), text("v"))].into())),
    ];
    for (float, name) in [(f64::INFINITY, "Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN")] {
        values.push((Value::from(float), if framing == Framing::Cbor { Value::from(float) } else { text(name) }));
    }
    let octets = Value::Bytes(vec![0, 0x41, 0xe4, 0xff]);
    values.push((octets.clone(), if framing == Framing::Json { text("\u{0}Aäÿ") } else { octets }));
    values
}

/// Sends the values one way; that they have come as the framing has it shows that it was this one.
async fn send_values(from: &Node, to: &Node, framing: Framing) {
    let mut mailbox = to.mailbox().await.expect("it runs");
    let (sent, expected): (Vec<_>, Vec<_>) = values(framing).into_iter().unzip();
    from.send(mailbox.id(), &sent).expect("small");
    let message = mailbox.recv().await.expect("it arrives");
    assert_eq!(message.source(), Some(from.id()));
    let got: Vec<Value> = message.decode().expect("values");
    // As text: NaN is not equal to itself, and -0.0 is equal to 0.0.
    assert_eq!(format!("{got:?}"), format!("{expected:?}"), "VALUE-1: {framing}");
}

#[tokio::test]
async fn every_pair_of_ways_to_authenticate_connects_and_exchanges_values_or_is_refused_as_the_table_says() {
    let [table, _] = tables();
    assert_eq!(table.rows, table.columns);
    let network = Network { shared: shared(), authority: Authority::new() };
    let (mut connected, mut refused) = (0, BTreeMap::<&str, usize>::new());
    for (opens, accepts) in table.cells.keys() {
        for (opens_in, accepts_in) in FRAMINGS.iter().flat_map(|one| FRAMINGS.map(|other| (*one, other))) {
            let expected = table.cells[&(opens.clone(), accepts.clone())].as_str();
            let opener = network.node("opener", opens, &FRAMINGS, &[accepts_in]);
            let acceptor = network.node("acceptor", accepts, &FRAMINGS, &[opens_in]);
            let ([opener, acceptor], outcomes) = meet(opener, acceptor).await;
            let what = format!("{opens}, sends {opens_in} to {accepts}, sends {accepts_in}");
            if expected == "connects" {
                assert_eq!(outcomes, [Ok(()), Ok(())], "{what}");
                send_values(&opener, &acceptor, opens_in).await;
                send_values(&acceptor, &opener, accepts_in).await;
                connected += 1;
            } else {
                assert_refused(&outcomes, expected, &what);
                *refused.entry(expected).or_default() += 1;
            }
        }
    }
    println!("{connected} connected, refused: {refused:?}");
    assert_eq!(connected + refused.values().sum::<usize>(), 225);
}

#[tokio::test]
async fn each_side_sends_in_the_framing_that_the_table_names_or_there_is_no_connection() {
    // AUTH-7, AUTH-9, STORABLE-15
    let [_, table] = tables();
    let network = Network { shared: shared(), authority: Authority::new() };
    let (mut connected, mut refused) = (0, 0);
    let sides: Vec<_> = table.cells.keys().collect();
    for (opener_sends, opener_offers) in &sides {
        for (acceptor_sends, acceptor_offers) in &sides {
            let config = |id, sends, offers| network.node(id, "hmac_sha3_512", &framings(sends), &framings(offers));
            let opener = config("opener", opener_sends, opener_offers);
            let acceptor = config("acceptor", acceptor_sends, acceptor_offers);
            let ([opener, acceptor], outcomes) = meet(opener, acceptor).await;
            let what = format!("{opener_sends} of {opener_offers} to {acceptor_sends} of {acceptor_offers}");
            let named = [(opener_sends, acceptor_offers), (acceptor_sends, opener_offers)];
            let named = named.map(|(sends, offers)| &table.cells[&(sends.clone(), offers.clone())]);
            if named.iter().any(|name| *name == "[AUTH-9]") {
                assert_refused(&outcomes, "[AUTH-9]", &what);
                refused += 1;
                continue;
            }
            assert_eq!(outcomes, [Ok(()), Ok(())], "{what}");
            let [there, back] = named.map(|name| Framing::from_name(name).expect("a framing"));
            send_values(&opener, &acceptor, there).await;
            send_values(&acceptor, &opener, back).await;
            connected += 1;
        }
    }
    println!("{connected} connected, {refused} refused");
    assert!(connected > 100 && refused > 100, "{connected} connected, {refused} refused");
}
