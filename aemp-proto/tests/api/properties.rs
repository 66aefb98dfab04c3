//! What holds for all values, all splits and all octets.

use std::collections::BTreeMap;

use crate::checks;
use crate::support::pair::{Told, config, give, link, run, take};
use crate::support::values::any_message;
use crate::support::vectors::{Exactly, Octets, cases};
use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::line::{self, Authentication, Greeting};
use aemp_proto::link::{Event, Role};
use aemp_proto::names::{NodeId, PortNames};
use aemp_proto::value::Value;
use proptest::prelude::*;

fn any_framing() -> impl Strategy<Value = Framing> {
    prop::sample::select(Framing::ALL.to_vec())
}

/// What the table of section 5.5 makes of a value on its way through a framing.
fn through(framing: Framing, value: &Value) -> Value {
    let (json, storable) = (framing == Framing::Json, framing == Framing::Storable);
    match value {
        Value::Integer(integer) if storable && i32::try_from(i128::from(*integer)).is_err() => integer.to_string().into(),
        Value::Float(float) if storable && f64::from(*float as i32).to_bits() == float.to_bits() => {
            Value::from(i64::from(*float as i32))
        }
        Value::Float(float) if storable && float.is_finite() => {
            let mut digits = Vec::new();
            Framing::Json.encode(&(float,), &Limits::default(), &mut digits).expect("a packet");
            String::from_utf8_lossy(&digits[1..digits.len() - 1]).into_owned().into()
        }
        Value::Bytes(bytes) if json => Value::Text(bytes.iter().map(|&octet| char::from(octet)).collect()),
        Value::Float(float) if (json || storable) && float.is_nan() => "NaN".into(),
        Value::Float(float) if (json || storable) && float.is_infinite() => if *float > 0.0 { "Inf" } else { "-Inf" }.into(),
        Value::Array(elements) => Value::Array(elements.iter().map(|element| through(framing, element)).collect()),
        Value::Map(members) => {
            Value::Map(members.iter().map(|(key, member)| (key.clone(), through(framing, member))).collect())
        }
        other => other.clone(),
    }
}

fn encode(framing: Framing, value: &Value) -> Vec<u8> {
    let mut octets = Vec::new();
    framing.encode(value, &Limits::default(), &mut octets).expect("an array");
    octets
}

fn decode(framing: Framing, octets: &[u8]) -> Value {
    Packet::parse(framing, octets, &Limits::default()).expect("a packet").decode().expect("any value")
}

fn scan(framing: Framing, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<String>) {
    checks::scan(framing, pieces.iter().copied())
}

fn split<'a>(mut octets: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if octets.is_empty() {
            break;
        }
        let (piece, rest) = octets.split_at(octets.len().min(*size));
        pieces.push(piece);
        octets = rest;
    }
    pieces
}

/// Octets that are nearly a stream of packets: a vector, changed a little.
fn nearly_packets(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Stream {
        stream: Octets,
    }
    let streams: Vec<Vec<u8>> =
        cases::<Stream>(name).into_iter().map(|case| case.with.stream.0).filter(|octets| octets.len() < 500).collect();
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3);
    (prop::sample::select(streams), prop::collection::vec(change, 0..4)).prop_map(|(mut octets, changes)| {
        for (at, octet, kind) in changes {
            let at = at.index(octets.len() + 1);
            match kind {
                0 => octets.insert(at, octet),
                1 if at < octets.len() => octets[at] = octet,
                _ => octets.truncate(at),
            }
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_survives_encoding_and_decoding_as_the_table_says(message in any_message(), framing in any_framing()) {
        // VALUE-1, FRAME-1, FRAME-2
        let octets = encode(framing, &message);
        prop_assert_eq!(Exactly(decode(framing, &octets)), Exactly(through(framing, &message)));
    }

    #[test]
    fn what_is_sent_in_json_is_json_for_others(message in any_message()) {
        // JSON-1, JSON-3, JSON-7, VALUE-3
        let octets = encode(Framing::Json, &message);
        let other: serde_json::Value = serde_json::from_slice(&octets).expect("serde_json reads it");
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&other.to_string()).expect("json"), other);
    }

    #[test]
    fn what_is_sent_in_cbor_is_cbor_for_others(message in any_message()) {
        // CBOR-1
        let octets = encode(Framing::Cbor, &message);
        let mut other = minicbor::Decoder::new(&octets);
        other.skip().expect("minicbor reads it");
        prop_assert_eq!(other.position(), octets.len());
    }

    #[test]
    fn a_relay_loses_nothing_beyond_the_table(message in any_message(), from in any_framing(), to in any_framing()) {
        let octets = encode(from, &message);
        let mut relayed = Vec::new();
        let packet = Packet::parse(from, &octets, &Limits::default()).expect("a packet");
        packet.relay(to, &Limits::default(), &mut relayed).expect("a small packet");
        prop_assert_eq!(Exactly(decode(to, &relayed)), Exactly(through(to, &through(from, &message))));
    }

    #[test]
    fn json_that_serde_json_takes_is_taken_and_no_other(octets in nearly_packets("json-streams.json")) {
        let theirs = serde_json::from_slice::<Vec<serde_json::Value>>(&octets);
        // It has no infinity, so it refuses 1e400.
        prop_assume!(!theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")));
        let limits = Limits { octets: 10_000, depth: 127, values: 10_000 };
        let ours = Packet::parse(Framing::Json, &octets, &limits);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} and {:?}", ours, theirs);
    }

    #[test]
    fn no_split_changes_what_is_found_in_json(
        octets in nearly_packets("json-streams.json"), sizes in prop::collection::vec(1..9usize, 1..5)
    ) {
        // FRAME-6
        prop_assert_eq!(scan(Framing::Json, &split(&octets, &sizes)), scan(Framing::Json, &[&octets]));
    }

    #[test]
    fn no_split_changes_what_is_found_in_cbor(
        octets in nearly_packets("cbor-streams.json"), sizes in prop::collection::vec(1..9usize, 1..5)
    ) {
        // FRAME-6
        prop_assert_eq!(scan(Framing::Cbor, &split(&octets, &sizes)), scan(Framing::Cbor, &[&octets]));
    }

    #[test]
    fn no_split_changes_what_is_found_in_storable(
        octets in nearly_packets("storable-streams.json"), sizes in prop::collection::vec(1..9usize, 1..5)
    ) {
        // FRAME-6
        prop_assert_eq!(scan(Framing::Storable, &split(&octets, &sizes)), scan(Framing::Storable, &[&octets]));
    }

    #[test]
    fn what_is_found_well_formed_can_be_read_and_written_again(
        octets in prop_oneof![
            nearly_packets("json-streams.json").prop_map(|octets| (Framing::Json, octets)),
            nearly_packets("cbor-streams.json").prop_map(|octets| (Framing::Cbor, octets)),
            nearly_packets("storable-streams.json").prop_map(|octets| (Framing::Storable, octets)),
        ]
    ) {
        let (framing, octets) = octets;
        for packet in scan(framing, &[&octets]).0 {
            let value = decode(framing, &packet);
            let again = encode(framing, &value);
            prop_assert_eq!(Exactly(decode(framing, &again)), Exactly(through(framing, &value)));
        }
    }

    #[test]
    fn no_octets_make_anything_panic(octets in prop::collection::vec(any::<u8>(), 0..300), sizes in prop::collection::vec(1..50usize, 1..4)) {
        for framing in Framing::ALL {
            let (packets, _) = scan(framing, &split(&octets, &sizes));
            packets.iter().for_each(|packet| drop(decode(framing, packet)));
        }
        let _ = (line::split(&octets), Greeting::parse(&octets), Authentication::parse(&octets));
        let mut told = Vec::new();
        let mut link = link(config("a"), Role::Acceptor);
        for piece in split(&octets, &sizes) {
            if give(&mut link, piece, &mut told).is_err() {
                break;
            }
        }
    }

    #[test]
    fn octets_that_are_no_handshake_never_bring_a_link_up(octets in "[ -~\\n]{0,400}") {
        let mut link = link(config("a"), Role::Acceptor);
        let greeting = b"aemp;1;b;hmac_sha3_512,cleartext,tls_anon;json,cbor\nnonce\n";
        let mut told = Vec::new();
        give(&mut link, greeting, &mut told).expect("a greeting");
        let _ = give(&mut link, octets.as_bytes(), &mut told);
        prop_assert!(!told.contains(&Told::Event(Event::Up)));
    }

    #[test]
    fn what_is_sent_arrives_in_order_however_it_is_cut(
        messages in prop::collection::vec(any_message(), 1..20), to in any_framing(), from in any_framing(),
        sizes in prop::collection::vec(1..40usize, 1..6)
    ) {
        // MSG-7
        let side = |node, framing| aemp_proto::link::Config { framings: vec![framing], ..config(node) };
        let two = |receive, send: Framing| {
            let mut config = side("a", receive);
            config.framings.push(send);
            config
        };
        let mut opener = link(two(from, to), Role::Opener);
        let mut config = two(to, from);
        config.node = NodeId::new("b").expect("a node ID");
        let mut acceptor = link(config, Role::Acceptor);
        run(&mut opener, &mut acceptor, &sizes).expect("the two fit");
        for message in &messages {
            opener.send(message).expect("it is up");
        }
        let octets = take(&mut opener);
        let mut told = Vec::new();
        for piece in split(&octets, &sizes) {
            give(&mut acceptor, piece, &mut told).expect("well-formed");
        }
        let sends = opener.sends().expect("it is up");
        prop_assert_eq!(told.len(), messages.len());
        for (told, message) in told.into_iter().zip(messages) {
            let Told::Packet(value) = told else { return Err(TestCaseError::fail("an event")) };
            prop_assert_eq!(Exactly(value), Exactly(through(sends, &message)));
        }
    }

    #[test]
    fn a_port_name_stands_for_one_number_and_for_no_other_generator(random in any::<u64>(), number in any::<u64>(), other in any::<u64>()) {
        // MSG-11
        let names = PortNames::new(random);
        let name = names.name(number);
        prop_assert_eq!(names.number(&name), Some(number));
        prop_assert!(names.name(other) != name || other == number);
        let elsewhere = PortNames::new(other);
        prop_assert!(elsewhere.number(&name).is_none() || elsewhere.name(0) == names.name(0));
    }

    #[test]
    fn a_name_that_is_no_generated_one_has_no_number(name in "[0-9A-Za-z]{0,22}", random in any::<u64>()) {
        let names = PortNames::new(random);
        for name in [name.clone(), names.name(0).trim_end_matches('0').to_owned() + &name] {
            if let Some(number) = names.number(&name) {
                prop_assert_eq!(names.name(number), name);
            }
        }
    }

    #[test]
    fn a_greeting_reads_back_as_it_was_written(
        node in "[ -\"$-:<-~é☺]{1,20}", keys in prop::collection::btree_map("[a-z0-9_]{1,8}", "[ -~é;%=]{0,12}", 0..4),
        methods in prop::collection::vec("[a-z0-9_]{1,12}", 0..4), framings in prop::collection::vec("[a-z]{1,8}", 0..3),
    ) {
        // GREET-14, GREET-15
        let greeting = Greeting {
            protocol: line::Protocol::Aemp,
            node: NodeId::new(&node).expect("a node ID"),
            methods,
            framings,
            keys: BTreeMap::from_iter(keys),
        };
        prop_assert_eq!(Greeting::parse(greeting.to_string().as_bytes()), Ok(greeting));
    }
}
