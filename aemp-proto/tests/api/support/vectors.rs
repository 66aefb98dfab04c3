//! Reading `spec/vectors/`, whose README describes the notations.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aemp_proto::value::{Integer, Value};
use serde::Deserialize;
use serde_json::Value as Json;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

#[derive(Deserialize)]
struct File<T> {
    cases: Vec<T>,
}

/// The fields that every case has.
#[derive(Deserialize, Debug)]
pub struct Case<T> {
    pub id: String,
    pub verdict: Verdict,
    pub error: Option<String>,
    #[serde(default)]
    also: Vec<String>,
    #[serde(flatten)]
    pub with: T,
}

#[derive(Deserialize, Debug, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Valid,
    Invalid,
    Either,
}

impl<T> Case<T> {
    /// Compares an outcome, or the requirement that was reported instead of it, with what the case wants.
    #[track_caller]
    pub fn check<V: PartialEq + std::fmt::Debug>(&self, got: &Result<V, String>, right: impl FnOnce() -> V) {
        let id = &self.id;
        match (self.verdict, got) {
            (Verdict::Valid | Verdict::Either, Ok(got)) => assert_eq!(*got, right(), "{id}"),
            (Verdict::Valid, Err(error)) => panic!("{id} is valid, but broke {error}"),
            (Verdict::Invalid, Ok(got)) => panic!("{id} is invalid, but gave {got:?}"),
            (Verdict::Invalid | Verdict::Either, Err(error)) => assert!(
                self.error.iter().chain(&self.also).any(|right| right == error),
                "{id} must break {:?}, not {error}",
                self.error
            ),
        }
    }
}

pub fn cases<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<Case<T>> {
    let cases = read::<File<Case<T>>>(&folder().join(name)).cases;
    assert!(!cases.is_empty());
    cases
}

pub fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "{digits:?} is not hexadecimal");
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(octet).collect()
}

/// Octets in any of their notations.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(from = "OctetsNotation")]
pub struct Octets(pub Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OctetsNotation {
    Text { text: String },
    Hex { hex: String },
    Repeat { repeat: String, times: usize, then: Option<Then> },
    Parts { parts: Vec<Octets> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Then {
    Hex(String),
    Octets(Octets),
}

impl From<OctetsNotation> for Octets {
    fn from(notation: OctetsNotation) -> Self {
        Octets(match notation {
            OctetsNotation::Text { text } => text.into_bytes(),
            OctetsNotation::Hex { hex: digits } => hex(&digits),
            OctetsNotation::Repeat { repeat, times, then } => {
                let mut octets = hex(&repeat).repeat(times);
                octets.extend(match then {
                    Some(Then::Hex(digits)) => hex(&digits),
                    Some(Then::Octets(then)) => then.0,
                    None => Vec::new(),
                });
                octets
            }
            OctetsNotation::Parts { parts } => parts.into_iter().flat_map(|part| part.0).collect(),
        })
    }
}

/// A value in its notation.
pub fn value(notation: &Json) -> Value {
    match notation {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(elements) => Value::Array(elements.iter().flat_map(elements_of).collect()),
        Json::Object(object) => tagged(object),
        Json::Number(number) => panic!("a bare number, {number}"),
    }
}

fn elements_of(notation: &Json) -> Vec<Value> {
    match notation.get("repeated") {
        Some(element) => vec![value(element); times(&notation["times"])],
        None => vec![value(notation)],
    }
}

fn times(times: &Json) -> usize {
    times.as_u64().expect("a number of times") as usize
}

fn tagged(object: &serde_json::Map<String, Json>) -> Value {
    let text = |key: &str| object.get(key).and_then(Json::as_str);
    if let Some(digits) = text("integer") {
        let number: i128 = digits.parse().expect("an integer");
        return Value::Integer(Integer::try_from(number).expect("an integer in range"));
    }
    if let Some(digits) = text("float") {
        return Value::Float(digits.parse().expect("a float"));
    }
    if let Some(digits) = text("bytes") {
        return Value::Bytes(hex(digits));
    }
    if let Some(text) = text("text") {
        return Value::Text(text.repeat(times(&object["times"])));
    }
    if let Some(Json::Object(members)) = object.get("map") {
        return Value::Map(members.iter().map(|(key, member)| (key.clone(), value(member))).collect());
    }
    if let Some(depth) = object.get("nested") {
        let keys = object.get("keys").and_then(Json::as_array).cloned().unwrap_or_else(|| vec![Json::Null]);
        return nested(depth.as_u64().expect("a depth") as usize, &keys);
    }
    panic!("no value is written so: {object:?}")
}

fn nested(depth: usize, keys: &[Json]) -> Value {
    let container = |level: usize, member: Option<Value>| match &keys[level % keys.len()] {
        Json::String(key) => Value::Map(member.map(|member| (key.clone(), member)).into_iter().collect()),
        _ => Value::Array(member.into_iter().collect()),
    };
    (0..depth).rev().fold(None, |member, level| Some(container(level, member))).expect("a depth above 0")
}

/// The same value, where floats are equal if their bits are and any NaN equals any other.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|((key, left), (other, right))| key == other && same(left, right))
        }
        _ => left == right,
    }
}

/// A value that is equal if it is the [`same`].
#[derive(Debug, Clone)]
pub struct Exactly(pub Value);

impl PartialEq for Exactly {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

/// A recorded connection.
#[derive(Deserialize)]
pub struct Recording {
    pub secret_hex: String,
    pub tls: bool,
    pub connections: Vec<Connection>,
}

#[derive(Deserialize)]
pub struct Connection {
    pub opener: Side,
    pub acceptor: Side,
    pub events: Vec<Event>,
}

#[derive(Deserialize)]
pub struct Side {
    pub node: String,
    pub greeting: [String; 2],
    pub auth: Option<String>,
    pub framing: Option<String>,
}

#[derive(Deserialize)]
pub struct Event {
    pub from: String,
    #[serde(flatten)]
    pub what: BTreeMap<String, Json>,
}

impl Connection {
    /// All octets that a side sent.
    pub fn sent(&self, side: &str) -> Vec<u8> {
        let from_side = self.events.iter().filter(|event| event.from == side);
        let octets = from_side.flat_map(|event| match (event.what.get("text"), event.what.get("hex")) {
            (Some(Json::String(text)), _) => text.clone().into_bytes(),
            (_, Some(Json::String(digits))) => hex(digits),
            _ => Vec::new(),
        });
        octets.collect()
    }
}

pub fn recordings() -> Vec<(String, Recording)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder().join("recordings")).expect("recordings").flatten().map(|e| e.path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), read(path))).collect()
}

/// A storable packet of an array that holds the same thing twice, which holds the same thing twice, and so on: a packet of
/// some octets that stands for two to the power of `levels` texts.
pub fn doubled(levels: u32) -> Vec<u8> {
    let mut image = b"\x05\x0B\x02\0\0\0\x01".to_vec();
    (0..levels).for_each(|_| image.extend_from_slice(b"\x04\x02\0\0\0\x02"));
    image.extend_from_slice(b"\x0A\x04aaaa");
    for level in (0..levels).rev() {
        image.push(0);
        // The reference in the next level, or the text.
        image.extend_from_slice(&(2 * level + 3).to_be_bytes());
    }
    let mut packet = Vec::new();
    if image.len() > 127 {
        packet.push(0x80 | (image.len() >> 7) as u8);
    }
    packet.push((image.len() & 0x7F) as u8);
    packet.extend_from_slice(&image);
    packet
}
