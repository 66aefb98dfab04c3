//! Messages from and to the types of those who use them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aemp_proto::framing::{DecodeError, EncodeError, Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::value::Value;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, SerializeTuple};
use serde::{Deserialize, Serialize, Serializer};

fn encode<T: Serialize + ?Sized>(framing: Framing, elements: &T) -> Result<Vec<u8>, EncodeError> {
    let mut octets = Vec::new();
    framing.encode_message("p", elements, &Limits::default(), &mut octets).map(|()| octets)
}

fn rest<T: DeserializeOwned>(framing: Framing, octets: &[u8]) -> Result<T, DecodeError> {
    let packet = Packet::parse(framing, octets, &Limits::default()).expect("a packet");
    let mut elements = packet.elements();
    assert_eq!(elements.name().as_deref(), Some("p"));
    elements.rest()
}

#[track_caller]
fn survives<T: Serialize + DeserializeOwned + PartialEq + Debug>(elements: &T) {
    for framing in Framing::ALL {
        let octets = encode(framing, elements).expect("it can be written");
        assert_eq!(rest::<T>(framing, &octets).as_ref(), Ok(elements), "{framing}");
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Wrapped(u64);

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Named {
    a: u8,
    b: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Holder {
    a: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Request {
    Stop,
    Wrap(String),
    List(Vec<u64>),
    Two(u64, Option<char>),
    Fields { x: i8, y: Vec<Unit> },
}

#[test]
fn whatever_is_sent_to_a_port_is_taken_as_the_same_type() {
    survives(&());
    survives(&Unit);
    survives(&5u64);
    survives(&-5i8);
    survives(&1.5f32);
    survives(&true);
    survives(&'ä');
    survives(&"text".to_owned());
    survives(&serde_bytes::ByteBuf::from([0xE4, 0]));
    survives(&Wrapped(7));
    survives(&Some(7u64));
    survives(&None::<u64>);
    survives(&(1u8, "two".to_owned(), [3i64; 2], None::<bool>));
    survives(&vec!["a".to_owned(), "\u{0}\n☺".to_owned()]);
    survives(&Named { a: 1, b: None });
    survives(&Holder { a: BTreeMap::from([("a".to_owned(), Value::from(1u64))]) });
    survives(&BTreeMap::from([(-1i32, 1.5f64), (2, -0.0)]));
    survives(&Request::Stop);
    survives(&Request::Wrap("x".into()));
    survives(&Request::List(vec![1, 2]));
    survives(&Request::Two(u64::MAX, Some('☺')));
    survives(&Request::Fields { x: -128, y: vec![Unit, Unit] });
    // Beyond the integers of the wire: their digits, as text.
    survives(&(i128::MIN, i128::MAX, u128::MAX));
}

#[test]
fn an_error_says_what_came_what_was_expected_and_where_and_no_more_than_that() {
    let error =
        |octets: &str| rest::<(u64, Named)>(Framing::Json, octets.as_bytes()).expect_err("another shape").to_string();
    let huge = format!(r#"["p","{}"]"#, "\u{7f}".repeat(1_000_000));
    let long_key = format!(r#"["p",1,{{"{}":1}}]"#, "k".repeat(1_000_000));
    let errors = [
        error(r#"["p"]"#),
        error(r#"["p",1]"#),
        error(r#"["p",1,{"a":1},3,4]"#),
        error(r#"["p",-1,{"a":1}]"#),
        error(r#"["p",1,{"a":256}]"#),
        error(r#"["p",1,{"a":[]}]"#),
        error(r#"["p",1,{"b":"x"}]"#),
        error(r#"["p",1,[1,2]]"#),
        error(&long_key),
    ];
    insta::assert_snapshot!(errors.join("\n"), @r#"
    invalid length 0, expected a tuple of size 2
    invalid length 1, expected a tuple of size 2
    4 elements came, expected 2
    at [0]: invalid value: integer `-1`, expected u64
    at [1]["a"]: invalid value: integer `256`, expected u8
    at [1]["a"]: invalid type: sequence, expected u8
    at [1]: missing field `a`
    at [1]: invalid type: sequence, expected struct Named
    at [1]: missing field `a`
    "#);
    assert!(error(&huge).len() < 500, "{}", error(&huge).len());

    #[derive(Deserialize, Debug)]
    struct Tree(#[allow(dead_code, reason = "it is only decoded")] BTreeMap<String, Tree>);
    let depth = 500;
    let key = "k".repeat(1000);
    let deep = format!(r#"["p",{}1{}]"#, format!(r#"{{"{key}":"#).repeat(depth), "}".repeat(depth));
    let deep = rest::<Tree>(Framing::Json, deep.as_bytes()).expect_err("another shape").to_string();
    assert!(deep.len() < 3000, "{}", deep.len());
}

#[test]
fn a_type_that_panics_or_fails_while_it_is_written_leaves_nothing_behind() {
    struct Broken(bool);
    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut tuple = serializer.serialize_tuple(2)?;
            tuple.serialize_element(&1)?;
            if self.0 { panic!("a type that panics") } else { Err(serde::ser::Error::custom("a type that fails")) }
        }
    }
    for framing in Framing::ALL {
        let mut out = b"before".to_vec();
        for panics in [true, false] {
            let write =
                || framing.encode_message("p", &Broken(panics), &Limits::default(), &mut out).expect_err("it is broken");
            assert_eq!(catch_unwind(AssertUnwindSafe(write)).is_err(), panics);
            assert_eq!(out, b"before", "FRAME-1");
        }
    }
}

#[test]
fn keys_and_values_of_a_map_come_in_turn() {
    struct Odd(&'static [bool]);
    impl Serialize for Odd {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for is_key in self.0 {
                if *is_key { map.serialize_key("k")? } else { map.serialize_value(&1)? }
            }
            map.end()
        }
    }
    for framing in Framing::ALL {
        for odd in [&[true, true, false][..], &[false], &[true]] {
            assert_eq!(encode(framing, &Odd(odd)), Err(EncodeError::KeyAlone), "FRAME-1");
        }
        assert!(encode(framing, &Odd(&[true, false])).is_ok());
    }
}

#[test]
fn what_must_not_be_sent_is_not_relayed_either() {
    // An undefined and a tag, which a receiver takes, and a sender must not write.
    let octets = b"\x84\x61a\xF7\xC1\x01\xBF\x61k\xF9\x3C\x00\xFF";
    let packet = Packet::parse(Framing::Cbor, octets, &Limits::default()).expect("a packet");
    let mut out = Vec::new();
    packet.relay(Framing::Cbor, &Limits::default(), &mut out).expect("small");
    assert_eq!(out, b"\x84\x61a\xF6\x01\xBF\x61k\xFA\x3F\x80\x00\x00\xFF", "CBOR-6");
}

#[test]
fn a_relay_keeps_to_the_limits_and_leaves_nothing_behind_where_it_cannot() {
    let octets = br#"["p",[[["x"]]],{"a":1,"b":2}]"#;
    let packet = Packet::parse(Framing::Json, octets, &Limits::default()).expect("a packet");
    for (limits, fits) in [
        (Limits { depth: 3, ..Limits::LEAST }, false),
        (Limits { depth: 4, ..Limits::LEAST }, true),
        (Limits { values: 10, ..Limits::LEAST }, false),
        (Limits { values: 11, ..Limits::LEAST }, true),
        (Limits { octets: 10, ..Limits::LEAST }, false),
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(packet.relay(Framing::Cbor, &limits, &mut out).is_ok(), fits, "LIMIT-5: {limits:?}");
        assert_eq!(out == b"before", !fits);
    }
}

#[test]
fn a_scanner_that_is_given_less_than_before_asks_for_more() {
    for (framing, octets) in [(Framing::Cbor, &b"\x82\x61a"[..]), (Framing::Json, b"[\"a\""), (Framing::Cbor, b"\x81\x65ab")]
    {
        let mut scanner = Scanner::new(framing, Limits::default());
        assert_eq!(scanner.scan(octets), Ok(Scan::Partial { start: 0 }));
        assert_eq!(scanner.scan(b""), Ok(Scan::Partial { start: 0 }));
    }
}

#[test]
fn what_is_not_exactly_one_packet_is_not_taken_as_one() {
    let refused = |octets: &[u8]| Packet::parse(Framing::Json, octets, &Limits::default()).expect_err("not one").to_string();
    insta::assert_snapshot!([refused(b"[1"), refused(b"[1][2]"), refused(b"{}")].join("\n"), @"
    misuse: not one packet: it is not complete
    misuse: not one packet: more follows
    the peer broke the protocol: a packet must be an array, not a map [FRAME-5]
    ");
    assert!(Packet::parse(Framing::Json, b" [1] \n", &Limits::default()).is_ok());
}

#[test]
fn a_type_that_passes_over_an_error_in_one_of_its_parts_writes_nothing() {
    use serde::ser::{Error as _, SerializeSeq as _};
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_seq(Some(2))?;
            Err(S::Error::custom("no more"))
        }
    }
    struct PassesOver;
    impl Serialize for PassesOver {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut sequence = serializer.serialize_seq(Some(1))?;
            let _passed_over = sequence.serialize_element(&Fails);
            sequence.end()
        }
    }
    for framing in Framing::ALL {
        let mut out = b"before".to_vec();
        let written = framing.encode_message("p", &PassesOver, &Limits::default(), &mut out);
        assert!(written.is_err(), "{framing}");
        assert_eq!(out, b"before");
    }
}
