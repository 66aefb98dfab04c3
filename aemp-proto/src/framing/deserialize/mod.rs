//! From a packet straight into the receiver's own types: serde over any reader.
//!
//! Where a type wants another kind of value than came, the conversions of the specification apply (`VALUE-5`), and no others
//! (`VALUE-9`).

mod error;
mod scalar;

pub use error::DecodeError;

use alloc::borrow::Cow;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor};

use super::read::{Item, Members, Reader, Scalar};
use crate::error::Excerpt;
use crate::value::VALUE;

/// Deserializes the next item of a reader.
pub(super) struct Next<'r, R>(pub(super) &'r mut R);

/// Deserializes the members that are left of an array as if they were an array of their own.
pub(super) struct Rest<'r, R> {
    pub(super) reader: &'r mut R,
    pub(super) members: &'r mut Members,
    /// How many of them belong to what is read; those behind are not touched.
    pub(super) limit: usize,
    /// They are the elements of a message, and not the members of an array in it.
    pub(super) whole: bool,
}

/// All that are left.
pub(super) const ALL: usize = usize::MAX;

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
            Item::Array(members) => array(self.0, members, visitor),
            Item::Map(members) => map(self.0, members, visitor),
        }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.0.item()? {
            Item::Scalar(scalar) => scalar.mismatch(&visitor).map_err(DecodeError::wants_members),
            Item::Array(members) => array(self.0, members, visitor),
            Item::Map(_) => Err(DecodeError::invalid_type(Unexpected::Map, &visitor).wants_members()),
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
                let rest = Rest { reader: self.0, members: &mut members, limit: ALL, whole: false };
                rest.deserialize_enum(name, variants, visitor)
            }
            Item::Map(_) => Err(DecodeError::invalid_type(Unexpected::Map, &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.0.skip()?;
        visitor.visit_unit()
    }
}

impl<'r, 'de, R: Reader<'de>> Rest<'r, R> {
    fn is_empty(&self) -> Result<bool, DecodeError> {
        Ok(self.limit == 0 || !self.reader.clone().more(&mut self.members.clone())?)
    }

    #[inline]
    fn elements(self, taken: usize) -> Elements<'r, R> {
        let Rest { reader, members, limit, whole } = self;
        Elements { reader, members, taken, limit, whole, ended: false }
    }

    #[inline]
    fn sequence<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut access = self.elements(0);
        let value = visitor.visit_seq(&mut access)?;
        access.end()?;
        Ok(value)
    }

    /// What is no sequence is sent as the only element of a message, and taken as that.
    fn only<T>(self, take: impl FnOnce(Next<'_, R>) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let mut access = self.elements(0);
        if !access.more()? {
            return Err(DecodeError::custom("no element came, expected one"));
        }
        access.taken = 1;
        let value = take(Next(access.reader)).map_err(|error| error.within(|| Excerpt::from("0")))?;
        access.end()?;
        Ok(value)
    }

    /// Whether exactly one element is left, and that is no array: only what is no sequence is sent so, and sequences of one
    /// such element.
    fn is_single(&self) -> Result<bool, DecodeError> {
        let (mut ahead, mut members) = (self.reader.clone(), self.members.clone());
        if self.limit == 0 || !ahead.more(&mut members)? || matches!(ahead.clone().item()?, Item::Array(_)) {
            return Ok(false);
        }
        ahead.skip()?;
        Ok(self.limit == 1 || !ahead.more(&mut members)?)
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

    /// For types that do not say what they want, as serde makes them of `untagged` and `tag`: nothing tells a value that was
    /// sent whole from a sequence of this value alone, so they get the value.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_empty()? {
            visitor.visit_unit()
        } else if self.is_single()? {
            self.only(|next| next.deserialize_any(visitor))
        } else {
            self.sequence(visitor)
        }
    }

    /// No elements are nothing.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_empty()? { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        // All that a `Value` can be is sent as an array, so it is taken as one.
        if name == VALUE { self.sequence(visitor) } else { visitor.visit_newtype_struct(self) }
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.sequence(visitor)
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
        visitor.visit_enum(Variant(self))
    }
}

#[inline]
fn array<'de, R: Reader<'de>, V: Visitor<'de>>(
    reader: &mut R,
    mut members: Members,
    visitor: V,
) -> Result<V::Value, DecodeError> {
    Rest { reader, members: &mut members, limit: ALL, whole: false }.sequence(visitor)
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
    limit: usize,
    whole: bool,
    ended: bool,
}

impl<'de, R: Reader<'de>> Elements<'_, R> {
    /// Whether there is another element; may be asked again after the end.
    #[inline]
    fn more(&mut self) -> Result<bool, DecodeError> {
        self.ended = self.ended || self.taken == self.limit || !self.reader.more(self.members)?;
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
        let (element, whole) = (self.taken, self.whole);
        self.taken += 1;
        seed.deserialize(Next(self.reader)).map(Some).map_err(|error| error.of_element(element, whole))
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
struct Variant<'r, R>(Rest<'r, R>);

impl<'de, R: Reader<'de>> EnumAccess<'de> for Variant<'_, R> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        if self.0.limit == 0 || !self.0.reader.more(self.0.members)? {
            return Err(DecodeError::custom("an empty array where a tag was expected"));
        }
        let tag = seed.deserialize(Next(self.0.reader)).map_err(|error| error.within(|| Excerpt::from("0")))?;
        Ok((tag, self))
    }
}

impl<'de, R: Reader<'de>> VariantAccess<'de> for Variant<'_, R> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        self.0.elements(1).end()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        let mut access = self.0.elements(1);
        let Some(value) = (&mut access).next_element_seed(seed)? else {
            return Err(DecodeError::custom("an element is missing behind the tag"));
        };
        access.end()?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        let mut access = self.0.elements(1);
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
