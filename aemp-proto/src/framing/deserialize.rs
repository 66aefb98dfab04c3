//! From a packet straight into the receiver's own types: serde over any reader.
//!
//! Where a type wants another kind of value than came, the conversions of the specification apply (`VALUE-5`), and no others
//! (`VALUE-9`).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use serde::de::value::CowStrDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};

use super::convert;
use super::read::{Item, Members, Reader, Scalar};
use crate::error::Excerpt;
use crate::value::Repr;

/// A message of another shape than the receiver takes.
///
/// Says what came, what was expected, and where: the path through arrays and maps, elements counted from 0.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Mismatch>);

#[derive(Clone, PartialEq, Eq)]
struct Mismatch {
    /// From the inside out.
    path: Vec<Excerpt>,
    what: String,
}

/// How many arrays and maps around the mismatch its error names.
const NAMED: usize = 16;
/// How many octets an error says about what came: a peer must not be able to choose the size of our errors.
const SAID: usize = 300;

impl DecodeError {
    /// Reading octets that no scanner has found well-formed; cannot happen.
    #[cold]
    pub(super) fn unscanned() -> Self {
        DecodeError::custom("the packet is not well-formed")
    }

    /// The same error, seen from the array or map that the value is in.
    #[cold]
    fn within(mut self, member: impl FnOnce() -> Excerpt) -> Self {
        if self.0.path.len() < NAMED {
            self.0.path.push(member());
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { path, what } = &*self.0;
        if path.is_empty() {
            return f.write_str(what);
        }
        f.write_str(if path.len() < NAMED { "at " } else { "at …" })?;
        path.iter().rev().try_for_each(|member| write!(f, "[{}]", member.as_str()))?;
        write!(f, ": {what}")
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl core::error::Error for DecodeError {}

impl de::Error for DecodeError {
    #[cold]
    fn custom<T: fmt::Display>(what: T) -> Self {
        let mut said = Said(String::new());
        // It stops where enough has been said.
        let _enough = write!(said, "{what}");
        DecodeError(Box::new(Mismatch { path: Vec::new(), what: said.0 }))
    }
}

/// Takes text until there is enough of it.
struct Said(String);

impl fmt::Write for Said {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SAID.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// Deserializes the next item of a reader.
pub(super) struct Next<'r, R>(pub(super) &'r mut R);

/// Deserializes the members that are left of an array as if they were an array of their own.
pub(super) struct Rest<'r, R> {
    pub(super) reader: &'r mut R,
    pub(super) members: &'r mut Members,
}

/// `scalar.$method`, for types that want something without members.
///
/// A method with a short cut tries that first: what comes is mostly what is wanted.
macro_rules! scalar_methods {
    ($($method:ident $(or $short_cut:ident $visit:ident)?),* $(,)?) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            $(if let Some(value) = self.0.$short_cut() {
                return visitor.$visit(value);
            })?
            self.slowly(visitor, |scalar, visitor| scalar.$method(visitor))
        })*
    };
}

impl<'de, R: Reader<'de>> Next<'_, R> {
    #[inline(never)]
    fn slowly<V: Visitor<'de>>(
        self,
        visitor: V,
        visit: impl FnOnce(Scalar<'de>, V) -> Result<V::Value, DecodeError>,
    ) -> Result<V::Value, DecodeError> {
        match self.0.item()? {
            Item::Scalar(scalar) => visit(scalar, visitor),
            Item::Array(_) => Err(DecodeError::invalid_type(Unexpected::Seq, &visitor)),
            Item::Map(_) => Err(DecodeError::invalid_type(Unexpected::Map, &visitor)),
        }
    }
}

impl<'de, R: Reader<'de>> Deserializer<'de> for Next<'_, R> {
    type Error = DecodeError;

    scalar_methods! {
        deserialize_bool, deserialize_f32, deserialize_f64, deserialize_char, deserialize_bytes, deserialize_byte_buf,
        deserialize_unit, deserialize_i128, deserialize_u128,
        deserialize_i8 or unsigned visit_u64,
        deserialize_i16 or unsigned visit_u64,
        deserialize_i32 or unsigned visit_u64,
        deserialize_i64 or unsigned visit_u64,
        deserialize_u8 or unsigned visit_u64,
        deserialize_u16 or unsigned visit_u64,
        deserialize_u32 or unsigned visit_u64,
        deserialize_u64 or unsigned visit_u64,
        deserialize_str or borrowed_text visit_borrowed_str,
        deserialize_string or borrowed_text visit_borrowed_str,
        deserialize_identifier or borrowed_text visit_borrowed_str,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.item()? {
            Item::Scalar(scalar) => scalar.visit(visitor),
            Item::Array(mut members) => array(self.0, &mut members, visitor),
            Item::Map(members) => map(self.0, members, visitor),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.item()? {
            Item::Scalar(scalar) => scalar.mismatch(&visitor),
            Item::Array(mut members) => array(self.0, &mut members, visitor),
            Item::Map(_) => Err(DecodeError::invalid_type(Unexpected::Map, &visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.item()? {
            Item::Scalar(scalar) => scalar.mismatch(&visitor),
            Item::Array(_) => Err(DecodeError::invalid_type(Unexpected::Seq, &visitor)),
            Item::Map(members) => map(self.0, members, visitor),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.0.null()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0.item()? {
            Item::Scalar(scalar) => scalar.deserialize_enum(name, variants, visitor),
            Item::Array(mut members) => {
                Rest { reader: self.0, members: &mut members }.deserialize_enum(name, variants, visitor)
            }
            Item::Map(_) => Err(DecodeError::invalid_type(Unexpected::Map, &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.0.skip()?;
        visitor.visit_unit()
    }
}

impl<'de, R: Reader<'de>> Rest<'_, R> {
    fn is_empty(&self) -> Result<bool, DecodeError> {
        Ok(!self.reader.clone().more(&mut self.members.clone())?)
    }

    /// What is no sequence is sent as the only element of a message, and taken as that.
    fn only<T>(self, take: impl FnOnce(Next<'_, R>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let mut access = Elements { reader: self.reader, members: self.members, taken: 0, ended: false };
        if !access.more()? {
            return Err(DecodeError::custom("no element came, expected one"));
        }
        access.taken = 1;
        let value = take(Next(access.reader)).map_err(|error| error.within(|| Excerpt::from("0")))?;
        access.end()?;
        Ok(value)
    }
}

macro_rules! only_methods {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.only(|next| next.$method(visitor))
        })*
    };
}

impl<'de, R: Reader<'de>> Deserializer<'de> for Rest<'_, R> {
    type Error = DecodeError;

    only_methods! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_map deserialize_identifier
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.only(|next| next.deserialize_map(visitor))
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        array(self.reader, self.members, visitor)
    }

    /// No elements are nothing.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_empty()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// No elements are the unit.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_empty()? { visitor.visit_unit() } else { self.only(|next| next.deserialize_unit(visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    /// An enum is its variant's name and, behind it, what the variant holds: `["tag", field…]`.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_enum(Variant { reader: self.reader, members: self.members })
    }

    forward_to_deserialize_any! { seq tuple tuple_struct ignored_any }
}

#[inline]
fn array<'de, R: Reader<'de>, V: Visitor<'de>>(
    reader: &mut R,
    members: &mut Members,
    visitor: V,
) -> Result<V::Value, DecodeError> {
    let mut access = Elements { reader, members, taken: 0, ended: false };
    let value = visitor.visit_seq(&mut access)?;
    access.end()?;
    Ok(value)
}

fn map<'de, R: Reader<'de>, V: Visitor<'de>>(reader: &mut R, members: Members, visitor: V) -> Result<V::Value, DecodeError> {
    let mut access = Entries { reader, members, key: Cow::Borrowed(""), ended: false };
    let value = visitor.visit_map(&mut access)?;
    if access.more()? {
        return Err(DecodeError::custom("a map with more members than expected"));
    }
    Ok(value)
}

struct Elements<'r, R> {
    reader: &'r mut R,
    members: &'r mut Members,
    taken: usize,
    ended: bool,
}

impl<'de, R: Reader<'de>> Elements<'_, R> {
    /// Whether there is another element; may be asked again after the end.
    #[inline]
    fn more(&mut self) -> Result<bool, DecodeError> {
        self.ended = self.ended || !self.reader.more(self.members)?;
        Ok(!self.ended)
    }

    /// Everything must have been taken: a type that wants fewer elements does not take this message.
    #[inline]
    fn end(&mut self) -> Result<(), DecodeError> {
        let taken = self.taken;
        while self.more()? {
            self.reader.skip()?;
            self.taken += 1;
        }
        let came = self.taken;
        if came == taken {
            return Ok(());
        }
        Err(DecodeError::custom(format_args!("{came} elements came, expected {taken}")))
    }
}

impl<'de, R: Reader<'de>> SeqAccess<'de> for &mut Elements<'_, R> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        if !self.more()? {
            return Ok(None);
        }
        let element = self.taken;
        self.taken += 1;
        seed.deserialize(Next(self.reader))
            .map(Some)
            .map_err(|error| error.within(|| Excerpt::from(&*alloc::format!("{element}"))))
    }

    fn size_hint(&self) -> Option<usize> {
        self.members.size_hint()
    }
}

struct Entries<'r, 'de, R> {
    reader: &'r mut R,
    members: Members,
    key: Cow<'de, str>,
    ended: bool,
}

impl<'de, R: Reader<'de>> Entries<'_, 'de, R> {
    /// Whether there is another entry; may be asked again after the end.
    fn more(&mut self) -> Result<bool, DecodeError> {
        self.ended = self.ended || !self.reader.more(&mut self.members)?;
        Ok(!self.ended)
    }
}

impl<'de, R: Reader<'de>> MapAccess<'de> for &mut Entries<'_, 'de, R> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        if !self.more()? {
            return Ok(None);
        }
        self.key = self.reader.key()?;
        let key = Scalar::Text(self.key.clone());
        seed.deserialize(key).map(Some).map_err(|error| error.within(|| Excerpt::quoted(&self.key)))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(Next(self.reader)).map_err(|error| error.within(|| Excerpt::quoted(&self.key)))
    }

    fn size_hint(&self) -> Option<usize> {
        self.members.size_hint()
    }
}

/// An enum in an array, at its variant's name.
struct Variant<'r, R> {
    reader: &'r mut R,
    members: &'r mut Members,
}

impl<'de, R: Reader<'de>> EnumAccess<'de> for Variant<'_, R> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        if !self.reader.more(self.members)? {
            return Err(DecodeError::custom("an empty array where a tag was expected"));
        }
        let tag = seed.deserialize(Next(self.reader)).map_err(|error| error.within(|| Excerpt::from("0")))?;
        Ok((tag, self))
    }
}

impl<'de, R: Reader<'de>> VariantAccess<'de> for Variant<'_, R> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Elements { reader: self.reader, members: self.members, taken: 1, ended: false }.end()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        let mut access = Elements { reader: self.reader, members: self.members, taken: 1, ended: false };
        let Some(value) = (&mut access).next_element_seed(seed)? else {
            return Err(DecodeError::custom("an element is missing behind the tag"));
        };
        access.end()?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let mut access = Elements { reader: self.reader, members: self.members, taken: 1, ended: false };
        let value = visitor.visit_seq(&mut access)?;
        access.end()?;
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, DecodeError> {
        struct Fields<V>(&'static [&'static str], V);
        impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Fields<V> {
            type Value = V::Value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
                deserializer.deserialize_struct("", self.0, self.1)
            }
        }
        self.newtype_variant_seed(Fields(fields, visitor))
    }
}

impl<'de> Scalar<'de> {
    /// Hands the value over as it is.
    #[inline]
    fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Scalar::Null => visitor.visit_unit(),
            Scalar::Bool(value) => visitor.visit_bool(value),
            Scalar::Integer(integer) => match integer.repr() {
                Repr::Unsigned(n) => visitor.visit_u64(n),
                Repr::Negative(n) => visitor.visit_i64(n),
            },
            Scalar::Float(value) => visitor.visit_f64(value),
            Scalar::Text(text) => visit_text(text, visitor),
            Scalar::Bytes(Cow::Borrowed(bytes)) => visitor.visit_borrowed_bytes(bytes),
            Scalar::Bytes(Cow::Owned(bytes)) => visitor.visit_byte_buf(bytes),
        }
    }

    /// Nothing else stands for what is wanted (`VALUE-9`).
    #[cold]
    fn mismatch<T>(&self, expected: &dyn Expected) -> Result<T, DecodeError> {
        let came = match self {
            Scalar::Null => Unexpected::Other("null"),
            Scalar::Bool(value) => Unexpected::Bool(*value),
            Scalar::Integer(integer) => match integer.repr() {
                Repr::Unsigned(n) => Unexpected::Unsigned(n),
                Repr::Negative(n) => Unexpected::Signed(n),
            },
            Scalar::Float(value) => Unexpected::Float(*value),
            Scalar::Text(text) => Unexpected::Str(text),
            Scalar::Bytes(bytes) => Unexpected::Bytes(bytes),
        };
        Err(DecodeError::invalid_type(came, expected))
    }

    #[inline]
    fn visit_integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Scalar::Integer(_) = self {
            return self.visit(visitor);
        }
        match convert::to_integer(&self) {
            Some(n) => match (u64::try_from(n), i64::try_from(n)) {
                (Ok(n), _) => visitor.visit_u64(n),
                (_, Ok(n)) => visitor.visit_i64(n),
                _ => visitor.visit_i128(n),
            },
            None => self.mismatch(&visitor),
        }
    }
}

#[inline]
fn visit_text<'de, V: Visitor<'de>>(text: Cow<'de, str>, visitor: V) -> Result<V::Value, DecodeError> {
    match text {
        Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
        Cow::Owned(text) => visitor.visit_string(text),
    }
}

macro_rules! integer_methods {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            self.visit_integer(visitor)
        })*
    };
}

macro_rules! text_methods {
    ($($method:ident)*) => {
        $(#[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match convert::to_text(self) {
                Ok(text) => visit_text(text, visitor),
                Err(scalar) => scalar.mismatch(&visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Scalar<'de> {
    type Error = DecodeError;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match convert::to_bool(&self) {
            Some(value) => visitor.visit_bool(value),
            None => self.mismatch(&visitor),
        }
    }

    integer_methods! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match convert::to_large_integer(&self) {
            Some(n) => visitor.visit_u128(n),
            None => self.visit_integer(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_f64(visitor)
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match convert::to_float(&self) {
            Some(value) => visitor.visit_f64(value),
            None => self.mismatch(&visitor),
        }
    }

    text_methods! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match convert::to_bytes(self) {
            Ok(bytes) => Scalar::Bytes(bytes).visit(visitor),
            Err(scalar) => scalar.mismatch(&visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Scalar::Null => visitor.visit_none(),
            scalar => visitor.visit_some(scalar),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A text is a variant that holds nothing.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match convert::to_text(self) {
            Ok(text) => visitor.visit_enum(CowStrDeserializer::new(text)),
            Err(_) => Err(DecodeError::custom("null came where a tag was expected")),
        }
    }

    forward_to_deserialize_any! { unit unit_struct seq tuple tuple_struct map struct ignored_any }
}
