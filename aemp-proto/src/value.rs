//! What is said: the kinds of values that every framing can carry.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::de::{MapAccess, SeqAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole number from -2^63 to 2^64-1, which is what a message can carry as a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integer(Repr);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Repr {
    Unsigned(u64),
    /// Always below zero, so that each number has one representation.
    Negative(i64),
}

impl Integer {
    pub(crate) fn repr(self) -> Repr {
        self.0
    }

    /// The number, if it is not above `i64::MAX`.
    pub fn as_i64(self) -> Option<i64> {
        match self.0 {
            Repr::Unsigned(n) => n.try_into().ok(),
            Repr::Negative(n) => Some(n),
        }
    }

    /// The number, if it is not below zero.
    pub fn as_u64(self) -> Option<u64> {
        match self.0 {
            Repr::Unsigned(n) => Some(n),
            Repr::Negative(_) => None,
        }
    }
}

impl Value {
    /// The text, if the value is text or octets: octets are the characters U+0000 to U+00FF (`VALUE-7`).
    ///
    /// Peers write text either way, so code that reads what a peer sent takes texts with this, and does not match on
    /// [`Value::Text`].
    ///
    /// ```
    /// use aemp_proto::value::Value;
    /// assert_eq!(Value::from("ä").text().as_deref(), Some("ä"));
    /// assert_eq!(Value::Bytes(vec![0xe4]).text().as_deref(), Some("ä"));
    /// assert_eq!(Value::from(7u64).text(), None);
    /// ```
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Bytes(octets) => Some(match core::str::from_utf8(octets) {
                Ok(text) if text.is_ascii() => Cow::Borrowed(text),
                _ => Cow::Owned(octets.iter().map(|&octet| char::from(octet)).collect()),
            }),
            _ => None,
        }
    }

    /// The text of this value as [`text`](Self::text) gives it, without a copy where there is one already.
    pub fn into_text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            other => other.text().map(Cow::into_owned),
        }
    }
}

impl From<u64> for Integer {
    fn from(n: u64) -> Self {
        Integer(Repr::Unsigned(n))
    }
}

impl From<i64> for Integer {
    fn from(n: i64) -> Self {
        Integer(u64::try_from(n).map_or(Repr::Negative(n), Repr::Unsigned))
    }
}

impl From<Integer> for i128 {
    fn from(integer: Integer) -> i128 {
        match integer.0 {
            Repr::Unsigned(n) => n.into(),
            Repr::Negative(n) => n.into(),
        }
    }
}

/// The number lies outside of -2^63 to 2^64-1.
impl TryFrom<i128> for Integer {
    type Error = core::num::TryFromIntError;

    fn try_from(n: i128) -> Result<Self, Self::Error> {
        if n < 0 { i64::try_from(n).map(Integer::from) } else { u64::try_from(n).map(Integer::from) }
    }
}

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Unsigned(n) => n.fmt(f),
            Repr::Negative(n) => n.fmt(f),
        }
    }
}

impl fmt::Debug for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Any value that a message can carry, as a tree, for those who do not know beforehand what comes.
///
/// A message decodes faster, and with the conversions between languages, into types of your own.
///
/// ```
/// use aemp_proto::value::Value;
/// let value = Value::from(vec![Value::from("ping"), Value::from(1u64)]);
/// assert_eq!(value, Value::Array(vec!["ping".into(), 1u64.into()]));
/// ```
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(Integer),
    /// An IEEE 754 binary64 number, which may be infinite or NaN.
    Float(f64),
    /// Unicode text.
    Text(String),
    /// Octets.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<Value>),
    /// Values by key, in no order.
    Map(BTreeMap<String, Value>),
}

macro_rules! value_from {
    ($($type:ty => $value:ident $expression:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $expression
            }
        })*
    };
}

value_from! {
    bool => value Value::Bool(value);
    Integer => value Value::Integer(value);
    u64 => value Value::Integer(value.into());
    i64 => value Value::Integer(value.into());
    u32 => value Value::Integer(u64::from(value).into());
    i32 => value Value::Integer(i64::from(value).into());
    f64 => value Value::Float(value);
    &str => value Value::Text(value.to_string());
    String => value Value::Text(value);
    Vec<Value> => value Value::Array(value);
    BTreeMap<String, Value> => value Value::Map(value);
}

/// Under this name a value says that it is one: as a whole message it is an array, and nothing else.
pub(crate) const VALUE: &str = "aemp::Value";

impl Serialize for Value {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Kind<'v>(&'v Value);
        impl Serialize for Kind<'_> {
            #[inline]
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.0 {
                    Value::Null => serializer.serialize_unit(),
                    Value::Bool(value) => serializer.serialize_bool(*value),
                    Value::Integer(value) => value.serialize(serializer),
                    Value::Float(value) => serializer.serialize_f64(*value),
                    Value::Text(value) => serializer.serialize_str(value),
                    Value::Bytes(value) => serializer.serialize_bytes(value),
                    Value::Array(values) => serializer.collect_seq(values),
                    Value::Map(members) => serializer.collect_map(members),
                }
            }
        }
        serializer.serialize_newtype_struct(VALUE, &Kind(self))
    }
}

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Repr::Unsigned(n) => serializer.serialize_u64(n),
            Repr::Negative(n) => serializer.serialize_i64(n),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_string<E>(self, value: String) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
                Ok(Value::Bytes(value.into()))
            }

            fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Value, E> {
                Ok(Value::Bytes(value))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = elements.next_element()? {
                    values.push(value);
                }
                Ok(Value::Array(values))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = members.next_entry()? {
                    map.insert(key, value);
                }
                Ok(Value::Map(map))
            }
        }
        deserializer.deserialize_newtype_struct(VALUE, Visitor)
    }
}
