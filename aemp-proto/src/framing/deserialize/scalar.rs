//! Scalars to the types that want them, with the conversions between languages.

use alloc::borrow::Cow;

use serde::de::{DeserializeSeed, EnumAccess, Error as _, Expected, Unexpected, VariantAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::DecodeError;
use crate::error::Excerpt;
use crate::framing::convert;
use crate::framing::read::Scalar;
use crate::value::Repr;

impl<'de> Scalar<'de> {
    /// Hands the value over as it is.
    #[inline]
    pub(super) fn visit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
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
    pub(super) fn mismatch<T>(&self, expected: &dyn Expected) -> Result<T, DecodeError> {
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

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self {
            Scalar::Null => visitor.visit_unit(),
            scalar => scalar.mismatch(&visitor).map_err(DecodeError::wants_members),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_unit(visitor)
    }

    /// A text is a variant that holds nothing.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match convert::to_text(self) {
            Ok(tag) => visitor.visit_enum(Alone(tag)),
            Err(_) => Err(DecodeError::custom("null came where a tag was expected")),
        }
    }

    forward_to_deserialize_any! { seq tuple tuple_struct map struct ignored_any }
}

/// A variant's name with nothing behind it.
struct Alone<'de>(Cow<'de, str>);

impl Alone<'_> {
    #[cold]
    fn holds_nothing<T>(self) -> Result<T, DecodeError> {
        let tag = Excerpt::quoted(&self.0);
        let tag = tag.as_str();
        Err(DecodeError::custom(format_args!("the tag {tag} came alone, expected an array of it and what it holds"))
            .wants_members())
    }
}

impl<'de> EnumAccess<'de> for Alone<'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), DecodeError> {
        Ok((seed.deserialize(Scalar::Text(self.0.clone()))?, self))
    }
}

impl<'de> VariantAccess<'de> for Alone<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, DecodeError> {
        self.holds_nothing()
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DecodeError> {
        self.holds_nothing()
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, DecodeError> {
        self.holds_nothing()
    }
}
