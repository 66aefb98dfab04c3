//! A value that stays encoded: as small as its octets, and shared.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::cbor;
use super::deserialize::DecodeError;
use super::place::{Place, Visit};
use super::read::{Item, Reader as _, Scalar};
use super::write::Writer as _;
use crate::value::Value;

/// A value in cbor, in one form only: keys in order, definite lengths, the shortest heads. So two values are the same
/// exactly if their octets are. Cheap to clone.
///
/// ```
/// use aemp_proto::framing::Encoded;
/// use aemp_proto::value::Value;
/// let encoded = Encoded::from(&Value::from("a"));
/// assert_eq!(encoded.octets(), b"\x61a");
/// assert_eq!(encoded.value(), Value::from("a"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Arc<[u8]>);

impl Encoded {
    /// Takes a value out of a packet.
    pub(crate) fn take(place: &Place<'_>) -> Result<Self, DecodeError> {
        let Some(counts) = counts(place)? else {
            // A tree puts its keys in order.
            return place.decode().map(|value: Value| Encoded::from(&value));
        };
        let mut octets = Vec::new();
        let (mut writer, mut counts) = (cbor::Writer::new(&mut octets), counts.into_iter());
        place.clone().walk(|visit| match visit {
            Visit::Null => writer.null(),
            Visit::Bool(value) => writer.bool(value),
            Visit::Integer(value) => writer.integer(value),
            Visit::Float(value) => writer.float(value),
            Visit::Text(value) => writer.text(value),
            Visit::Bytes(value) => writer.bytes(value),
            Visit::Array => writer.begin_array(counts.next()),
            Visit::Map => writer.begin_map(counts.next()),
            Visit::Key(key) => writer.key(key),
            Visit::End => {}
        })?;
        Ok(Encoded(octets.into()))
    }

    /// The octets, in cbor.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The value, as a tree.
    pub fn value(&self) -> Value {
        self.place().decode().unwrap_or_default()
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place::cbor(&self.0)
    }

    /// Whether both are one and the same place in memory.
    pub(crate) fn is_shared_with(&self, other: &Encoded) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How many members each array and each map of a value has, in the order in which they begin. `None` if the keys of a map
/// are not in order.
fn counts(place: &Place<'_>) -> Result<Option<Vec<usize>>, DecodeError> {
    /// An array or a map that has not ended.
    struct Open {
        /// Its place among the counts.
        place: usize,
        keyed: bool,
        /// Where its last key begins.
        key: usize,
    }
    let (mut counts, mut open, mut keys) = (Vec::new(), Vec::<Open>::new(), String::new());
    let mut in_order = true;
    place.clone().walk(|visit| {
        if let Visit::End = visit {
            keys.truncate(open.pop().map_or(0, |ended| ended.key));
            return;
        }
        if let Some(innermost) = open.last_mut() {
            if let Visit::Key(key) = visit {
                in_order &= counts[innermost.place] == 0 || keys[innermost.key..] < *key;
                keys.truncate(innermost.key);
                keys.push_str(key);
                counts[innermost.place] += 1;
            } else if !innermost.keyed {
                counts[innermost.place] += 1;
            }
        }
        if let Visit::Array | Visit::Map = visit {
            open.push(Open { place: counts.len(), keyed: matches!(visit, Visit::Map), key: keys.len() });
            counts.push(0);
        }
    })?;
    Ok(in_order.then_some(counts))
}

impl From<&Value> for Encoded {
    fn from(value: &Value) -> Self {
        let mut octets = Vec::new();
        write(value, &mut cbor::Writer::new(&mut octets));
        Encoded(octets.into())
    }
}

impl From<Value> for Encoded {
    fn from(value: Value) -> Self {
        Encoded::from(&value)
    }
}

fn write(value: &Value, writer: &mut cbor::Writer<'_>) {
    match value {
        Value::Null => writer.null(),
        Value::Bool(value) => writer.bool(*value),
        Value::Integer(value) => writer.integer(*value),
        Value::Float(value) => writer.float(*value),
        Value::Text(value) => writer.text(value),
        Value::Bytes(value) => writer.bytes(value),
        Value::Array(values) => {
            writer.begin_array(Some(values.len()));
            values.iter().for_each(|value| write(value, writer));
        }
        Value::Map(members) => {
            writer.begin_map(Some(members.len()));
            for (key, value) in members {
                writer.key(key);
                write(value, writer);
            }
        }
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.value(), f)
    }
}

/// Goes from one framing into another, without a tree in between.
impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Inner(RefCell::new(&mut cbor::Reader::new(&self.0))).serialize(serializer)
    }
}

/// The next value of a reader.
struct Inner<'r, 'a>(RefCell<&'r mut cbor::Reader<'a>>);

impl Serialize for Inner<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reader = &mut **self.0.borrow_mut();
        let length = |left: Option<u64>| left.and_then(|left| usize::try_from(left).ok());
        match reader.item().map_err(S::Error::custom)? {
            Item::Scalar(Scalar::Null) => serializer.serialize_unit(),
            Item::Scalar(Scalar::Bool(value)) => serializer.serialize_bool(value),
            Item::Scalar(Scalar::Integer(value)) => value.serialize(serializer),
            Item::Scalar(Scalar::Float(value)) => serializer.serialize_f64(value),
            Item::Scalar(Scalar::Text(value)) => serializer.serialize_str(&value),
            Item::Scalar(Scalar::Bytes(value)) => serializer.serialize_bytes(&value),
            Item::Array(mut members) => {
                let mut array = serializer.serialize_seq(length(members.left))?;
                while reader.more(&mut members).map_err(S::Error::custom)? {
                    array.serialize_element(&Inner(RefCell::new(&mut *reader)))?;
                }
                array.end()
            }
            Item::Map(mut members) => {
                let mut map = serializer.serialize_map(length(members.left))?;
                while reader.more(&mut members).map_err(S::Error::custom)? {
                    let key = reader.key().map_err(S::Error::custom)?;
                    map.serialize_entry(&*key, &Inner(RefCell::new(&mut *reader)))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn what_is_taken_out_of_a_packet_is_encoded_as_its_value_is() {
        let images: [&[u8]; 9] = [
            b"\xA2\x61a\x01\x61b\x02",
            // Keys that are not in order, and one that comes twice.
            b"\xA2\x61b\x01\x61a\x02",
            b"\xA2\x61a\x01\x61a\x02",
            b"\xA3\x60\x01\x61a\x02\x60\x03",
            // Lengths that are not written.
            b"\xBF\x61a\x9F\x01\xFF\x61b\xBF\xFF\xFF",
            // Keys inside of others have an order of their own.
            b"\x82\xA2\x61c\xA1\x61a\x80\x61d\xF6\xA2\x61a\xA1\x61z\x01\x61b\x01",
            b"\xA2\x61b\xA2\x61a\x01\x61b\x02\x61a\x80",
            // Heads that are longer than they need be.
            b"\x98\x02\x18\x01\x78\x01x",
            b"\x84\xF4\xFB\x3F\xF8\x00\x00\x00\x00\x00\x00\x41\x00\x3A\x00\x00\x00\x00",
        ];
        for octets in images {
            let place = Place::cbor(octets);
            let value: Value = place.decode().expect("it is cbor");
            let taken = Encoded::take(&place).expect("it is cbor");
            assert_eq!(taken, Encoded::from(&value), "{octets:02x?}");
            assert_eq!(format!("{:?}", taken.value()), format!("{value:?}"));
        }
    }
}
