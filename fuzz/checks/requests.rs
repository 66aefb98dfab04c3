//! Requests, often with arguments that are of interest, read from octets.

use std::collections::BTreeMap;

use aemp_proto::value::Value;

/// Octets that are read one after another.
#[derive(Clone)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(octets: &'a [u8]) -> Self {
        Input(octets)
    }

    pub fn octet(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// So many octets, or what there is.
    pub fn octets(&mut self, length: usize) -> &'a [u8] {
        let (octets, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        octets
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.octet().unwrap_or_default()) % end
    }
}

/// The requests, in the order of their numbers.
pub const KINDS: [&str; 28] = [
    "mon1",
    "mon0",
    "kil0",
    "kil1",
    "snd",
    "can",
    "time",
    "eval",
    "devnull",
    "AnyEvent::MP::_spawn",
    "AnyEvent::MP::DataConn::_expect",
    "AnyEvent::MP::DataConn::_connect",
    "work",
    "g_slave",
    "g_global",
    "g_set",
    "g_upd",
    "g_find",
    "g_found",
    "g_db_family",
    "g_db_keys",
    "g_db_values",
    "g_reply",
    "g_mon1",
    "g_mon0",
    "g_chg1",
    "g_chg2",
    "message",
];

/// A request of this kind from a peer; `number` tells those apart that are sent one after another.
pub fn request(input: &mut Input<'_>, kind: u8, peer: usize, number: usize) -> Vec<Value> {
    // In one of eight the arguments are anything.
    let name = KINDS[usize::from(kind) % KINDS.len()];
    let mut elements: Vec<Value> = vec!["".into(), name.into()];
    if usize::from(kind) / KINDS.len() == 8 {
        elements.extend((0..input.below(5)).map(|_| value(input, 3, number)));
        return elements;
    }
    match name {
        "mon1" | "mon0" => elements.push(port(input, number).into()),
        "kil0" | "kil1" => {
            elements.push(port(input, number).into());
            elements.extend((0..input.below(4)).map(|_| value(input, 3, number)));
        }
        "snd" => {
            elements.push(port_id(input, peer, number).into());
            elements.extend((0..input.below(4)).map(|_| value(input, 2, number)));
        }
        "can" | "eval" => {
            elements.push(text(input, number).into());
            elements.push(port_id(input, peer, number).into());
        }
        "time" => elements.push(port_id(input, peer, number).into()),
        "AnyEvent::MP::_spawn" => {
            elements.extend([format!("{}/{number}", text(input, number)).into(), "work".into()]);
            elements.extend((0..input.below(3)).map(|_| value(input, 2, number)));
        }
        "AnyEvent::MP::DataConn::_expect" => {
            elements.push(
                format!("id{}{}", input.below(8), if input.below(2) == 1 { text(input, number) } else { String::new() })
                    .into(),
            );
            elements.extend([format!("peer{peer}#n{number}").into(), 10.into(), "data".into(), value(input, 2, number)]);
        }
        "AnyEvent::MP::DataConn::_connect" => {
            elements.extend([format!("id{}", input.below(8)).into(), format!("peer{peer}").into()]);
        }
        "g_slave" | "g_set" => elements.push(Value::Map(BTreeMap::from([(family(input, number), entries(input, number))]))),
        "g_upd" | "g_chg2" => {
            elements.extend([family(input, number).into(), entries(input, number)]);
            if input.below(4) == 3 {
                elements.push(
                    (0..input.below(20)).map(|key| Value::from(format!("k{number}-{key}"))).collect::<Vec<_>>().into(),
                );
            }
        }
        "g_chg1" => elements.extend([family(input, number).into(), entries(input, number)]),
        "g_find" => elements.push(node(input, number).into()),
        "g_found" => {
            elements.push(node(input, number).into());
            elements.push((0..input.below(20)).map(|_| Value::from(text(input, number))).collect::<Vec<_>>().into());
        }
        "g_db_family" | "g_db_keys" | "g_db_values" => {
            elements.extend([family(input, number).into(), format!("q{number}").into()]);
        }
        "g_reply" => elements.extend([text(input, number).into(), value(input, 3, number)]),
        "g_mon1" | "g_mon0" => elements.push(family(input, number).into()),
        "message" => {
            elements = vec![port(input, number).into()];
            elements.extend((0..input.below(4)).map(|_| value(input, 3, number)));
            if input.below(2) == 1 {
                elements.push(format!("peer{peer}#x").into());
            }
        }
        _ => elements.extend((0..input.below(3)).map(|_| value(input, 3, number))),
    }
    elements
}

fn port(input: &mut Input<'_>, number: usize) -> String {
    match input.below(8) {
        0..4 => "port".into(),
        4 => String::new(),
        5 => format!("none{number}"),
        6 => format!("{}/{number}", text(input, number)),
        _ => text(input, number),
    }
}

fn node(input: &mut Input<'_>, number: usize) -> String {
    match input.below(8) {
        0 => "node".into(),
        choice @ 1..4 => format!("peer{choice}"),
        4 => format!("nobody{number}"),
        5 => format!("nobody{}", input.below(256)),
        _ => format!("{number}{}", text(input, number)),
    }
}

fn port_id(input: &mut Input<'_>, peer: usize, number: usize) -> String {
    match input.below(4) {
        0 => format!("peer{peer}#{}", port(input, number)),
        1 => node(input, number),
        _ => format!("{}#{}", node(input, number), port(input, number)),
    }
}

fn family(input: &mut Input<'_>, number: usize) -> String {
    match input.below(8) {
        0..4 => "f".into(),
        4 => "'l".into(),
        5 => "'g".into(),
        6 => format!("f{number}"),
        _ => text(input, number),
    }
}

fn text(input: &mut Input<'_>, number: usize) -> String {
    match input.below(12) {
        0 => String::new(),
        1 => "in\n\u{0}\u{1b}#é".into(),
        2 => format!("{number}"),
        3..6 => format!("t{number}-{}", "x".repeat(input.below(256))),
        6 => format!("t{number}-{}", "x".repeat(1 << (input.below(16)))),
        choice => ["m", "peer1", "node#port", "::work", "main::work"][choice - 7].into(),
    }
}

/// Entries of a family: of addresses, of text, of anything.
fn entries(input: &mut Input<'_>, number: usize) -> Value {
    let (kind, count) = (input.below(6), input.below(40));
    let one = value(input, 3, number);
    let count = count.min(LARGEST / weight(&one));
    let entry = |key: usize| -> (String, Value) {
        let own = format!("k{number}-{key}");
        match kind {
            0 => (format!("nobody{key}"), vec![Value::from(format!("a{number}:{key}")), one.clone()].into()),
            1 => (own, "x".repeat(100).into()),
            2 => (own, "x".repeat(1000).into()),
            3 => (own, vec![Value::Map(BTreeMap::from([("a".into(), Value::Null)])); 64].into()),
            _ => (own, one.clone()),
        }
    };
    match kind {
        5 => one,
        _ => Value::Map((0..count).map(entry).collect()),
    }
}

/// What one value takes in memory, at most, in octets: more cannot be written into a packet here.
const LARGEST: usize = 300_000;

/// What a value takes in memory, about, in octets.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(octets) => octets.len(),
            Value::Array(values) => values.iter().map(weight).sum(),
            Value::Map(members) => members.iter().map(|(key, member)| 100 + key.len() + weight(member)).sum(),
            _ => 0,
        }
}

/// Some value, often of the wrong kind.
pub fn value(input: &mut Input<'_>, depth: usize, number: usize) -> Value {
    match input.below(14) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => Value::Integer((number as u64).into()),
        3 => Value::Float([-0.0, f64::NAN, 1e300][input.below(3)]),
        4 => Value::Bytes(input.octets(8).to_vec()),
        5 if depth > 0 => (0..input.below(6)).map(|_| value(input, depth - 1, number)).collect::<Vec<_>>().into(),
        6 if depth > 0 => {
            Value::Map((0..input.below(6)).map(|_| (text(input, number), value(input, depth - 1, number))).collect())
        }
        7 if depth > 0 => {
            let one = value(input, depth - 1, number);
            let times = input.below(256).min(LARGEST / weight(&one));
            vec![one; times].into()
        }
        8 => (0..input.below(60)).fold(Value::Null, |inner, _| vec![inner].into()),
        9 => vec![Value::Map(BTreeMap::from([("a".into(), Value::Null)])); input.below(256)].into(),
        _ => text(input, number).into(),
    }
}
