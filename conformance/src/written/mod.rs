//! What a sender must and must not do, looked for in the octets of a packet that it wrote.

mod cbor;
mod json;
mod storable;

use std::fmt;

use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::value::Value;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::failure::Failure;
use crate::wire::readable;

/// A requirement that octets break.
#[derive(Debug, Clone)]
pub struct Breach {
    /// Which one.
    pub requirement: &'static str,
    /// What should have been written.
    pub expected: String,
    /// What was written.
    pub actual: String,
}

impl Breach {
    fn new(requirement: &'static str, expected: impl Into<String>, actual: impl Into<String>) -> Self {
        Breach { requirement, expected: expected.into(), actual: actual.into() }
    }
}

impl From<Breach> for Failure {
    fn from(breach: Breach) -> Self {
        Failure::wrong(breach.expected, breach.actual).breaks(breach.requirement)
    }
}

/// All that is wrong with the octets of a packet, whatever it was to say.
pub fn breaches(framing: Framing, octets: &[u8]) -> Vec<Breach> {
    let packet = match parse(framing, octets) {
        Ok(packet) => packet,
        Err(breach) => return vec![breach],
    };
    let mut found = match framing {
        Framing::Cbor => cbor::breaches(octets),
        Framing::Storable => storable::breaches(octets),
        _ => json::breaches(octets),
    };
    match packet.decode::<Tree>() {
        Ok(tree) => found.extend(tree.doubled_key().map(|key| {
            Breach::new("VALUE-3", "each key once in a map", format!("the key {key:?} twice, in {}", shown(octets)))
        })),
        Err(error) => found.push(Breach::new("VALUE-1", "a packet that can be read", error.to_string())),
    }
    found
}

/// All that is wrong with octets that were to say `value`.
pub fn breaches_saying(framing: Framing, octets: &[u8], value: &Value) -> Vec<Breach> {
    let mut found = breaches(framing, octets);
    if let Ok(Ok(read)) = parse(framing, octets).map(|packet| packet.decode::<Value>()) {
        found.extend(differs(framing, value, &read));
    }
    found
}

fn parse(framing: Framing, octets: &[u8]) -> Result<Packet<'_>, Breach> {
    Packet::parse(framing, octets, &Limits::default()).map_err(|error| {
        let requirement = match framing {
            Framing::Cbor => "CBOR-1",
            Framing::Storable => "STORABLE-1",
            _ if json::has_odd_number(octets) => "JSON-7",
            _ => "JSON-1",
        };
        Breach::new(requirement, format!("one packet in {framing}"), format!("{}: {error}", shown(octets)))
    })
}

fn shown(octets: &[u8]) -> String {
    readable(&octets[..octets.len().min(200)])
}

/// Where what was read is not what the table in section 5.5 makes of a value.
fn differs(framing: Framing, sent: &Value, read: &Value) -> Option<Breach> {
    let wrong = |requirement, expected: &dyn fmt::Debug| {
        Some(Breach::new(requirement, format!("{expected:?}"), format!("{read:?}")))
    };
    let as_text = |octets: &[u8]| octets.iter().map(|octet| char::from(*octet)).collect::<String>();
    match (sent, read) {
        (Value::Array(sent), Value::Array(read)) if sent.len() == read.len() => {
            sent.iter().zip(read).find_map(|(sent, read)| differs(framing, sent, read))
        }
        (Value::Map(sent), Value::Map(read)) if sent.keys().eq(read.keys()) => {
            sent.values().zip(read.values()).find_map(|(sent, read)| differs(framing, sent, read))
        }
        (Value::Bytes(octets), Value::Text(text)) if as_text(octets) == *text => match framing {
            Framing::Cbor => wrong("CBOR-10", sent),
            Framing::Storable => wrong("STORABLE-12", sent),
            _ => None,
        },
        (Value::Text(text), Value::Bytes(octets)) if as_text(octets) == *text => match framing {
            Framing::Cbor => wrong("CBOR-10", sent),
            _ => wrong("STORABLE-12", sent),
        },
        (Value::Integer(integer), _) if framing == Framing::Storable && i32::try_from(i128::from(*integer)).is_err() => {
            let right = Value::Text(integer.to_string());
            if *read == right { None } else { wrong("VALUE-1", &right) }
        }
        (Value::Float(float), _) => float_differs(framing, *float, read),
        _ if sent == read => None,
        _ => wrong("VALUE-1", sent),
    }
}

fn float_differs(framing: Framing, sent: f64, read: &Value) -> Option<Breach> {
    let same = |read: f64| read.to_bits() == sent.to_bits() || (read.is_nan() && sent.is_nan());
    let in_text = framing == Framing::Storable || (framing == Framing::Json && !sent.is_finite());
    let whole = sent as i32;
    let (right, form) = match read {
        _ if framing == Framing::Storable && same(f64::from(whole)) => (*read == Value::from(whole), format!("{whole}")),
        Value::Text(text) if in_text => {
            let named = sent.is_finite() || ["NaN", "Inf", "-Inf"].contains(&text.as_str());
            (named && text.parse().is_ok_and(same), format!("a text that stands for {sent:?}"))
        }
        Value::Float(read) if !in_text => (same(*read), format!("{sent:?}")),
        _ if in_text => (false, format!("a text that stands for {sent:?}")),
        _ => (false, format!("the float {sent:?}")),
    };
    (!right).then(|| Breach::new("VALUE-1", form, format!("{read:?}")))
}

/// A value in which keys that came twice are kept.
enum Tree {
    Scalar,
    Array(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn doubled_key(&self) -> Option<&str> {
        match self {
            Tree::Scalar => None,
            Tree::Array(elements) => elements.iter().find_map(Tree::doubled_key),
            Tree::Map(members) => {
                let mut keys: Vec<_> = members.iter().map(|(key, _)| key.as_str()).collect();
                keys.sort_unstable();
                let doubled = keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
                doubled.or_else(|| members.iter().find_map(|(_, member)| member.doubled_key()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        macro_rules! scalars {
            ($($visit:ident $type:ty),*) => {
                $(fn $visit<E>(self, _: $type) -> Result<Tree, E> {
                    Ok(Tree::Scalar)
                })*
            };
        }
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            scalars!(visit_bool bool, visit_u64 u64, visit_i64 i64, visit_f64 f64, visit_str &str, visit_bytes &[u8]);

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Scalar)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = from.next_element()? {
                    elements.push(element);
                }
                Ok(Tree::Array(elements))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = from.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Map(members))
            }
        }
        from.deserialize_any(Any)
    }
}
