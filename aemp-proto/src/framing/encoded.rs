//! A value that stays encoded: as small as its octets, and shared.

use alloc::rc::Rc;
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

/// A value in cbor, in one form only: keys in order, definite lengths, the shortest heads. So two values are the same exactly if their octets
/// are. Cheap to clone.
///
/// ```
/// use aemp_proto::framing::Encoded;
/// use aemp_proto::value::Value;
/// let encoded = Encoded::from(&Value::from("a"));
/// assert_eq!(encoded.octets(), b"\x61a");
/// assert_eq!(encoded.value(), Value::from("a"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded(Rc<[u8]>);

impl Encoded {
    /// Takes a value out of a packet.
    pub(crate) fn take(place: &Place<'_>) -> Result<Self, DecodeError> {
        let mut octets = Vec::new();
        let mut is_scalar = true;
        if place.map().is_some() || place.array().is_some() {
            is_scalar = false;
        } else {
            let mut writer = cbor::Writer::new(&mut octets);
            place.clone().walk(|visit| match visit {
                Visit::Null => writer.null(),
                Visit::Bool(value) => writer.bool(value),
                Visit::Integer(value) => writer.integer(value),
                Visit::Float(value) => writer.float(value),
                Visit::Text(value) => writer.text(value),
                Visit::Bytes(value) => writer.bytes(value),
                Visit::Array | Visit::Map | Visit::Key(_) | Visit::End => {}
            })?;
        }
        if is_scalar { Ok(Encoded(octets.into())) } else { place.decode().map(|value: Value| Encoded::from(&value)) }
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
        Rc::ptr_eq(&self.0, &other.0)
    }
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
