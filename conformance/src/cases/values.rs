//! Chapter 5, sections 5.5 and 5.6: values across framings and languages.

use std::time::{Duration, Instant};

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::json;

use super::echo::{Question, comes_back, judge, packet};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Cbor;
use crate::subject::Level::{Node, Simple};
use crate::test::{Test, unique};
use crate::vectors;

/// The cases of values.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "values/nulls-and-bools",
        &["VALUE-1", "VALUE-11"],
        "Nulls and bools come back as they were.",
        nulls_and_bools,
    )
    .level(Simple)
    .in_each_framing(),
    Case::new("values/integers", &["VALUE-1", "VALUE-11"], "Integers of all sizes come back as they were.", integers)
        .level(Simple)
        .in_each_framing(),
    Case::new("values/floats", &["VALUE-1", "VALUE-11"], "Floats come back as the framing can carry them.", floats)
        .level(Simple)
        .in_each_framing(),
    Case::new("values/texts", &["VALUE-1", "VALUE-11"], "Texts of all characters come back as they were.", texts)
        .level(Simple)
        .in_each_framing(),
    Case::new("values/bytes", &["VALUE-1", "VALUE-11"], "Octets come back as they were; in json, as text.", bytes)
        .in_each_framing(),
    Case::new(
        "values/arrays-and-maps",
        &["VALUE-1", "VALUE-3", "VALUE-11"],
        "Arrays and maps come back as they were, with each key once.",
        arrays_and_maps,
    )
    .level(Simple)
    .in_each_framing(),
    Case::new(
        "values/doubled-key",
        &["VALUE-10", "VALUE-4"],
        "A key that comes twice does not close the connection; its last value should count.",
        doubled_key,
    )
    .allows(&["the last value", "the message is refused", "both are passed on"])
    .stays(),
    Case::new("values/names-as-bytes", &["VALUE-7"], "The name of a port may come as bytes.", names_as_bytes).needs(&[Cbor]),
    Case::new(
        "values/of-other-kinds",
        &["VALUE-6", "MSG-6"],
        "Values of other kinds than the port wants do not close the connection.",
        of_other_kinds,
    )
    .in_each_framing()
    .stays(),
    Case::new(
        "values/converted",
        &["VALUE-5"],
        "Who wants an integer takes a whole float, and a text or bytes of decimal digits.",
        converted,
    )
    .level(Node),
    Case::new(
        "values/not-converted",
        &["VALUE-9", "VALUE-6"],
        "Who wants an integer takes nothing that does not stand for one.",
        not_converted,
    )
    .level(Node)
    .stays(),
    Case::new(
        "values/relayed-between-framings",
        &["VALUE-1"],
        "What is passed on into another framing changes only as the table says.",
        relayed_between_framings,
    )
    .level(Node)
    .once(),
];

fn come_back(t: &mut Test<'_>, names: &[&str]) -> Step {
    let mut peer = t.up()?;
    comes_back(t, &mut peer, &vectors::values(names))
}

fn nulls_and_bools(t: &mut Test<'_>) -> Step {
    come_back(t, &["nulls", "bools"])
}

fn integers(t: &mut Test<'_>) -> Step {
    come_back(t, &["integers"])
}

fn floats(t: &mut Test<'_>) -> Step {
    come_back(t, &["float"])
}

fn texts(t: &mut Test<'_>) -> Step {
    come_back(t, &["texts"])
}

fn bytes(t: &mut Test<'_>) -> Step {
    come_back(t, &["bytes"])
}

fn arrays_and_maps(t: &mut Test<'_>) -> Step {
    come_back(t, &["arrays", "map", "many", "deep"])
}

fn doubled_key(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Json;
    let mut peer = t.up()?;
    let question = Question::encoded(&peer, br#"{"a":1,"b":2,"a":3}"#, 1)?;
    peer.send_octets(&question.octets, "a message to the port echo with a key twice");
    peer.probe().breaks("VALUE-10")?;
    // A node may handle them one after the other, and the probe went the same way.
    if !question.is_answered(&peer) {
        t.outcome("the message is refused");
    } else {
        let answer = question.answer(&mut peer)?;
        let text = String::from_utf8_lossy(&answer.octets).into_owned();
        let last = answer.elements.get(1).is_some_and(|map| map["a"] == 3 || map["a"] == "3");
        t.should("VALUE-4", last, "the last value of the key", &text);
        t.outcome(if text.matches("\"a\"").count() > 1 { "both are passed on" } else { "the last value" });
    }
    t.ends(peer);
    Ok(())
}

fn names_as_bytes(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Cbor;
    let mut peer = t.up()?;
    let port = unique("echo")?;
    let to = Value::Bytes(peer.port(&port).into_bytes());
    let octets = packet(Framing::Cbor, &[Value::Bytes(b"echo".to_vec()), Value::from(7), to])?;
    peer.send_octets(&octets, "a message to the port echo, its name and where to answer as bytes");
    peer.find("an answer of the port echo", |message| message.port() == port).map(drop)
}

fn of_other_kinds(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for to in [json!(null), json!(true), json!(5), json!(1.5), json!([]), json!(["a#b"]), json!({"a": "b"}), json!("")] {
        peer.send(&json!(["echo", 1, to]))?;
    }
    peer.send(&json!(["echo"]))?;
    t.ends(peer);
    Ok(())
}

/// What stands for an integer of 2, by framing.
fn twos(framing: Framing) -> Vec<Value> {
    let mut twos = vec![Value::from(2), Value::from(2.0), "2".into(), "+2".into(), "002".into()];
    if framing == Framing::Cbor {
        twos.push(Value::Bytes(b"2".to_vec()));
    }
    twos
}

fn flood(peer: &mut Peer, port: &str, count: Value) -> Step {
    let to = peer.port(port);
    let octets = packet(peer.sends, &["control".into(), "flood".into(), to.into(), count, Value::from(1)])?;
    peer.send_octets(&octets, "flood, as many times as the value says");
    Ok(())
}

fn converted(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for two in twos(t.framing) {
        let port = unique("two")?;
        let what = format!("two messages, for {two:?}");
        flood(&mut peer, &port, two)?;
        for _ in 0..2 {
            peer.find(&what, |message| message.port() == port)?;
        }
        peer.nothing_for(&port)?;
    }
    Ok(())
}

fn not_converted(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("none")?;
    let odd = [
        Value::Null,
        "2x".into(),
        " 2".into(),
        "2.5".into(),
        "".into(),
        "0x2".into(),
        Value::from(2.5),
        Value::Array(vec![Value::from(2)]),
    ];
    for value in odd {
        flood(&mut peer, &port, value)?;
    }
    peer.nothing_for(&port).breaks("VALUE-9")?;
    t.ends(peer);
    Ok(())
}

/// A connection in this framing, in both directions.
fn up_in(t: &mut Test<'_>, framing: Framing) -> Step<Peer> {
    t.framing = framing;
    t.up()
}

fn relayed_between_framings(t: &mut Test<'_>) -> Step {
    let offered = t.up()?.greeting.map(|greeting| greeting.framings).unwrap_or_default();
    let framings: Vec<_> = offered.iter().filter_map(|name| Framing::from_name(name)).collect();
    // Each value that the first framing can carry as it is.
    let names = ["nulls", "bools", "integers", "float", "texts", "arrays", "map", "many"];
    for from in &framings {
        for to in &framings {
            let mut values = vectors::values(&names);
            match from {
                Framing::Cbor => values.extend(vectors::values(&["bytes"])),
                Framing::Storable => {
                    values = vectors::values(&["nulls", "bools", "integers-s", "integers-3", "texts", "bytes", "arrays"]);
                }
                _ => values.retain(|value| !matches!(value, Value::Float(float) if !float.is_finite())),
            }
            let (mut sender, mut receiver) = (up_in(t, *from)?, up_in(t, *to)?);
            let port = unique("relayed")?;
            let mut message: Vec<Value> = vec!["".into(), "snd".into(), receiver.port(&port).into()];
            message.extend_from_slice(&values);
            let octets = packet(*from, &message)?;
            sender.send_octets(&octets, &format!("values to be passed on from {from} to {to}"));
            let until = Instant::now() + t.patience.max(Duration::from_secs(1));
            let found = receiver
                .find_before(until, &format!("values passed on from {from} to {to}"), |message| message.port() == port);
            let found = found.breaks("NODE-3")?;
            check(found.values.len() == values.len() + 1, format!("{} values", values.len()), found.values.len() - 1)?;
            judge(t, &receiver, &port, &values, &found)?;
        }
    }
    Ok(())
}
