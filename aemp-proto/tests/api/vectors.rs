//! Runs `spec/vectors/`.

use crate::support::vectors::{Exactly, Octets, Verdict, cases, hex, value};
use aemp_proto::auth::{Method, Secret, Transcript};
use aemp_proto::error::Error;
use aemp_proto::framing::{DecodeError, Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::line::{self, Authentication, Greeting};
use aemp_proto::names::PortId;
use aemp_proto::value::{Integer, Value};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;

fn requirement(error: &Error) -> String {
    error.requirement().unwrap_or_else(|| panic!("{error} names no requirement")).id().into()
}

#[derive(Deserialize, Debug)]
struct GreetingLine {
    line: Octets,
    #[serde(flatten)]
    fields: Option<GreetingFields>,
}

#[derive(Deserialize, Debug, PartialEq, Clone)]
struct GreetingFields {
    protocol: String,
    node: String,
    methods: Vec<String>,
    framings: Vec<String>,
    keys: BTreeMap<String, String>,
}

#[test]
fn greeting_lines_are_read() {
    for case in cases::<GreetingLine>("greeting-lines.json") {
        let read = Greeting::parse(&case.with.line.0).map(|greeting| GreetingFields {
            protocol: greeting.protocol.to_string(),
            node: greeting.node.as_str().into(),
            methods: greeting.methods,
            framings: greeting.framings,
            keys: greeting.keys,
        });
        case.check(&read.map_err(|error| requirement(&error)), || case.with.fields.clone().expect("the fields"));
    }
}

#[test]
fn greeting_lines_are_written_so_that_they_read_back() {
    for case in cases::<GreetingLine>("greeting-lines.json") {
        if let Ok(greeting) = Greeting::parse(&case.with.line.0) {
            assert_eq!(Greeting::parse(greeting.to_string().as_bytes()), Ok(greeting), "{}", case.id);
        }
    }
}

#[test]
fn escapes_are_read_and_written() {
    #[derive(Deserialize)]
    struct Escape {
        encoded: String,
        decoded: String,
        canonical: bool,
    }
    for case in cases::<Escape>("escapes.json") {
        let Escape { encoded, decoded, canonical } = &case.with;
        assert_eq!(line::unescape(encoded), *decoded, "{}", case.id);
        assert_eq!(line::escape(decoded) == *encoded, *canonical, "{}", case.id);
    }
}

#[derive(Deserialize)]
struct Lines {
    stream: Octets,
    take: Option<usize>,
    lines: Vec<Octets>,
    rest: Option<Octets>,
}

#[test]
fn lines_are_cut_off() {
    for case in cases::<Lines>("lines.json") {
        let mut rest = &case.with.stream.0[..];
        let mut lines = Vec::new();
        let cut = loop {
            if case.with.take == Some(lines.len()) {
                break Ok(());
            }
            match line::split(rest) {
                Ok(Some(line)) => {
                    lines.push(Octets(line.text.into()));
                    rest = &rest[line.length..];
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(requirement(&error)),
            }
        };
        assert_eq!(lines, case.with.lines, "{}", case.id);
        case.check(&cut.map(|()| rest.to_vec()), || case.with.rest.clone().expect("what is left").0);
    }
}

#[test]
fn authentication_lines_are_read() {
    #[derive(Deserialize)]
    struct Line {
        line: Octets,
        method: Option<String>,
        token: Option<String>,
        framing: Option<String>,
    }
    for case in cases::<Line>("auth-lines.json") {
        let Line { line, method, token, framing } = &case.with;
        let read = Authentication::parse(&line.0).map_err(|error| requirement(&error));
        case.check(&read.map(|read| [read.method, read.token, read.framing].map(|part| Some(part.to_owned()))), || {
            [method, token, framing].map(Clone::clone)
        });
    }
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the names of the specification")]
struct Token {
    method: String,
    secret_hex: Option<String>,
    secret_text: Option<String>,
    L1: Octets,
    L2: Octets,
    R1: Octets,
    R2: Octets,
    token: Option<String>,
}

#[test]
fn tokens_are_computed() {
    let mut computed = 0;
    for case in cases::<Token>("tokens.json") {
        let Token { method, secret_hex, secret_text, L1, L2, R1, R2, token } = &case.with;
        let secret = secret_hex.as_ref().and_then(|digits| Secret::new(&hex(digits)).ok());
        let transcript = Transcript { own: [&L1.0, &L2.0], other: [&R1.0, &R2.0] };
        let (Verdict::Valid, Some(method)) = (case.verdict, Method::from_name(method)) else {
            continue;
        };
        let token = token.as_ref().expect("a valid case has its token");
        let got = method.token(&transcript, secret.as_ref()).expect("there is a secret where one is needed");
        assert_eq!(*got, *token, "{}", case.id);
        assert!(method.verify(token, &transcript, secret.as_ref()), "{}", case.id);
        if let Some(text) = secret_text {
            let from_text = Secret::from_text(text).expect("the text of a secret");
            assert!(method.verify(token, &transcript, Some(&from_text)), "{}", case.id);
        }
        computed += 1;
    }
    assert!(computed > 60, "only {computed} tokens");
}

#[derive(Deserialize)]
struct Stream {
    stream: Octets,
    packets: Vec<Json>,
    #[serde(default)]
    incomplete: bool,
    #[serde(default)]
    big: bool,
    #[serde(default)]
    limits: CaseLimits,
}

#[derive(Deserialize, Default)]
struct CaseLimits {
    octets: Option<usize>,
    depth: Option<usize>,
    values: Option<usize>,
}

/// Scans a stream that arrives in pieces: its packets, and whether it ended within one, or what was wrong.
fn scan(framing: Framing, limits: Limits, pieces: &[&[u8]]) -> (Vec<Exactly>, Result<bool, String>) {
    let mut scanner = Scanner::new(framing, limits);
    let mut held = Vec::new();
    let mut packets = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        let mut done = 0;
        loop {
            match scanner.scan(&held[done..]) {
                Ok(Scan::Packet { start, end }) => {
                    let octets = &held[done + start..done + end];
                    let packet = Packet::parse(framing, octets, &limits).expect("what the scanner has found is a packet");
                    packets.push(Exactly(packet.decode().expect("any value")));
                    done += end;
                }
                Ok(Scan::Partial { start }) => {
                    done += start;
                    break;
                }
                Err(error) => return (packets, Err(requirement(&error))),
            }
        }
        held.drain(..done);
    }
    assert_eq!(scanner.within_packet(), !held.is_empty());
    (packets, Ok(scanner.within_packet()))
}

fn streams(framing: Framing, name: &str) {
    for case in cases::<Stream>(name) {
        let Stream { stream, packets, incomplete, big, limits } = &case.with;
        let defaults = Limits::default();
        let limits = Limits {
            octets: limits.octets.unwrap_or(defaults.octets),
            depth: limits.depth.unwrap_or(defaults.depth),
            values: limits.values.unwrap_or(defaults.values),
        };
        let packets: Vec<_> = packets.iter().map(|packet| Exactly(value(packet))).collect();
        let octets = &stream.0[..];
        let check = |pieces: &[&[u8]]| {
            let (got, end) = scan(framing, limits, pieces);
            assert!(case.verdict != Verdict::Valid || end.is_ok(), "{} is valid, but broke {end:?}", case.id);
            if case.verdict != Verdict::Either || end.is_ok() {
                assert_eq!(got, packets, "{}", case.id);
            }
            case.check(&end, || *incomplete);
        };
        check(&[octets]);
        check(&octets.chunks(1).collect::<Vec<_>>());
        let step = if *big { octets.len() / 7 + 1 } else { 1 };
        for cut in (1..octets.len()).step_by(step) {
            let (before, behind) = octets.split_at(cut);
            check(&[before, behind]);
        }
    }
}

#[test]
fn json_streams_are_cut_into_packets_however_they_arrive() {
    streams(Framing::Json, "json-streams.json");
}

#[test]
fn cbor_streams_are_cut_into_packets_however_they_arrive() {
    streams(Framing::Cbor, "cbor-streams.json");
}

#[test]
fn storable_streams_are_cut_into_packets_however_they_arrive() {
    streams(Framing::Storable, "storable-streams.json");
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ValueCase {
    Conversion { wanted: String, came: Json, value: Option<Json> },
    Relay { from: String, to: String, packet: Octets, packets: Vec<Json> },
}

/// Reads the only element of a packet as the kind that is wanted.
fn wanted(wanted: &str, packet: &Packet<'_>) -> Result<Value, DecodeError> {
    Ok(match wanted {
        "bool" => packet.decode::<(bool,)>()?.0.into(),
        "integer" => Value::Integer(Integer::try_from(packet.decode::<(i128,)>()?.0).map_err(serde::de::Error::custom)?),
        "u8" => u64::from(packet.decode::<(u8,)>()?.0).into(),
        "u16" => u64::from(packet.decode::<(u16,)>()?.0).into(),
        "u32" => u64::from(packet.decode::<(u32,)>()?.0).into(),
        "u64" => packet.decode::<(u64,)>()?.0.into(),
        "i8" => i64::from(packet.decode::<(i8,)>()?.0).into(),
        "i16" => i64::from(packet.decode::<(i16,)>()?.0).into(),
        "i32" => i64::from(packet.decode::<(i32,)>()?.0).into(),
        "i64" => packet.decode::<(i64,)>()?.0.into(),
        "float" | "f64" => packet.decode::<(f64,)>()?.0.into(),
        "text" => packet.decode::<(String,)>()?.0.into(),
        "bytes" => Value::Bytes(packet.decode::<(serde_bytes::ByteBuf,)>()?.0.into_vec()),
        other => panic!("no kind is called {other}"),
    })
}

/// What a framing cannot tell from something else, so that a conversion of it is not that of the case.
fn changes(framing: Framing, value: &Value) -> bool {
    let json = framing == Framing::Json;
    match value {
        Value::Bytes(_) => json,
        Value::Float(float) => !json || !float.is_finite(),
        Value::Integer(integer) => !json && i32::try_from(i128::from(*integer)).is_err(),
        Value::Array(elements) => elements.iter().any(|element| changes(framing, element)),
        Value::Map(members) => members.values().any(|member| changes(framing, member)),
        _ => false,
    }
}

#[test]
fn values_are_converted_to_what_is_wanted_and_survive_a_relay() {
    for case in cases::<ValueCase>("values.json") {
        match &case.with {
            ValueCase::Conversion { wanted: kind, came, value: right } => {
                let came = value(came);
                for framing in Framing::ALL {
                    if framing != Framing::Cbor && changes(framing, &came) {
                        continue;
                    }
                    let mut octets = Vec::new();
                    framing.encode(&(&came,), &Limits::default(), &mut octets).expect("a packet");
                    let packet = Packet::parse(framing, &octets, &Limits::default()).expect("a packet");
                    match (case.verdict, wanted(kind, &packet)) {
                        (Verdict::Invalid, got) => assert!(got.is_err(), "{} gave {got:?}", case.id),
                        // More than one result is right.
                        (Verdict::Either, got) => assert!(got.is_ok(), "{}", case.id),
                        (Verdict::Valid, got) => {
                            let right = Exactly(value(right.as_ref().expect("a result")));
                            assert_eq!(got.map(Exactly), Ok(right), "{}", case.id);
                        }
                    }
                }
            }
            ValueCase::Relay { from, to, packet, packets } => {
                let framing = |name: &str| Framing::from_name(name).expect("a framing");
                let packet = Packet::parse(framing(from), &packet.0, &Limits::default()).expect("a packet");
                let mut out = Vec::new();
                packet.relay(framing(to), &Limits::default(), &mut out).expect("a small packet");
                let arrived = Packet::parse(framing(to), &out, &Limits::default()).expect("a packet again");
                let right = packets.iter().map(value).collect::<Vec<_>>();
                if case.verdict == Verdict::Valid {
                    assert_eq!(
                        vec![Exactly(arrived.decode().expect("any value"))],
                        right.into_iter().map(Exactly).collect::<Vec<_>>(),
                        "{}",
                        case.id
                    );
                }
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum MessageCase {
    Packet { packet: Json, port: Option<String>, tag: Option<String> },
    PortId { port_id: String, node: String, port: String },
}

#[test]
fn messages_find_their_port() {
    for case in cases::<MessageCase>("messages.json") {
        match &case.with {
            MessageCase::Packet { packet, port, tag } => {
                for framing in Framing::ALL {
                    let mut octets = Vec::new();
                    framing.encode(&value(packet), &Limits::default(), &mut octets).expect("a packet");
                    let packet = Packet::parse(framing, &octets, &Limits::default()).expect("a packet");
                    let mut elements = packet.elements();
                    let name = elements.name();
                    if let Some(port) = port {
                        assert_eq!(name.as_deref(), Some(&port[..]), "{}", case.id);
                    }
                    if let Some(tag) = tag {
                        assert_eq!(elements.name().as_deref(), Some(&tag[..]), "{}", case.id);
                    }
                }
            }
            MessageCase::PortId { port_id, node, port } => match (case.verdict, port_id.parse::<PortId>()) {
                (Verdict::Valid, id) => {
                    let id = id.unwrap_or_else(|error| panic!("{}: {error}", case.id));
                    assert_eq!((id.node().as_str(), id.port()), (&node[..], &port[..]), "{}", case.id);
                }
                (_, id) => assert!(id.is_err(), "{}", case.id),
            },
        }
    }
}
