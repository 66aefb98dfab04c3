//! What a value is for someone who wants a certain kind [VALUE-5].

use aemp_proto::framing::{DecodeError, Framing, Limits, Packet};
use aemp_proto::value::{Integer, Value};
use serde_json::Value as Json;

use super::Refusal;
use crate::vectors::notation::{notation, value};

/// A value as the kind that is wanted, both in their notations.
pub(super) fn convert(kind: &str, came: &Json) -> Result<Json, Refusal> {
    let came = value(came).map_err(Refusal::Request)?;
    let mut octets = Vec::new();
    // Cbor has all kinds of values.
    let written = Framing::Cbor.encode(&[came], &Limits::default(), &mut octets);
    written.map_err(|error| Refusal::Error(error.to_string()))?;
    let packet = Packet::parse(Framing::Cbor, &octets, &Limits::default())?;
    let read = read(kind, &packet).map_err(|error| Refusal::Error(format!("VALUE-9: {error}")))?;
    read.as_ref().map(notation).ok_or(Refusal::Unimplemented)
}

/// Reads the only element of a packet; nothing, if there is no such kind.
fn read(kind: &str, packet: &Packet<'_>) -> Result<Option<Value>, DecodeError> {
    let unsigned = |number: u64| Value::from(number);
    let signed = |number: i64| Value::from(number);
    Ok(Some(match kind {
        "bool" => packet.decode::<(bool,)>()?.0.into(),
        "integer" => {
            let number = packet.decode::<(i128,)>()?.0;
            Value::Integer(Integer::try_from(number).map_err(serde::de::Error::custom)?)
        }
        "u8" => unsigned(packet.decode::<(u8,)>()?.0.into()),
        "u16" => unsigned(packet.decode::<(u16,)>()?.0.into()),
        "u32" => unsigned(packet.decode::<(u32,)>()?.0.into()),
        "u64" => unsigned(packet.decode::<(u64,)>()?.0),
        "i8" => signed(packet.decode::<(i8,)>()?.0.into()),
        "i16" => signed(packet.decode::<(i16,)>()?.0.into()),
        "i32" => signed(packet.decode::<(i32,)>()?.0.into()),
        "i64" => signed(packet.decode::<(i64,)>()?.0),
        "float" | "f64" => packet.decode::<(f64,)>()?.0.into(),
        "text" => packet.decode::<(String,)>()?.0.into(),
        "bytes" => Value::Bytes(packet.decode::<(Octets,)>()?.0.0),
        _ => return Ok(None),
    }))
}

/// Bytes, for serde, which takes a list of numbers otherwise.
struct Octets(Vec<u8>);

impl<'de> serde::Deserialize<'de> for Octets {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Octets;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, octets: &[u8]) -> Result<Octets, E> {
                Ok(Octets(octets.into()))
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}
