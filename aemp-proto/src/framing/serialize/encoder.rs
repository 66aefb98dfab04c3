//! The serde serializer over a writer.

use alloc::string::ToString;
use core::fmt;

use serde::ser::{self, Serialize, Serializer};

use super::error::EncodeError;
use super::key::KeyWriter;
use crate::error::{Error, LimitExceeded};
use crate::framing::Limits;
use crate::framing::write::Writer;
use crate::value::{Integer, VALUE};

/// Serializes into a writer, within limits. At depth 0 it makes a packet of what it is given.
pub(super) struct Encoder<'l, W> {
    pub(super) writer: W,
    pub(super) limits: &'l Limits,
    /// The name that goes in front of the packet's elements.
    port: Option<&'l str>,
    /// What is no array at depth 0 becomes the only element of one.
    wrap: bool,
    start: usize,
    pub(super) depth: usize,
    values: usize,
    /// Nulls among them.
    nulls: usize,
    /// Something was not written: there is no packet, also if whoever serializes goes on.
    failed: bool,
}

impl<'l, W: Writer> Encoder<'l, W> {
    pub(super) fn new(writer: W, limits: &'l Limits, port: Option<&'l str>, wrap: bool) -> Self {
        Encoder { start: writer.octets(), writer, limits, port, wrap, depth: 0, values: 0, nulls: 0, failed: false }
    }

    pub(super) fn packet<T: Serialize + ?Sized>(&mut self, elements: &T) -> Result<(), EncodeError> {
        elements.serialize(&mut *self)?;
        if self.failed || self.depth != 0 {
            return Err(ser::Error::custom("its type has passed over an error in one of its parts"));
        }
        self.check_octets()
    }

    fn check_octets(&self) -> Result<(), EncodeError> {
        self.limits.check_octets(self.writer.octets() - self.start).map_err(EncodeError::Limit)
    }

    #[inline]
    pub(super) fn count(&mut self) -> Result<(), EncodeError> {
        self.values += 1;
        self.limits.check_values(self.values).map_err(EncodeError::Limit).inspect_err(|_| self.failed = true)
    }

    #[inline]
    fn open(&mut self) -> Result<(), EncodeError> {
        self.count()?;
        self.depth += 1;
        // Also of use against endless sequences.
        self.check_octets()?;
        self.limits.check_depth(self.depth).map_err(EncodeError::Limit)
    }

    /// Begins an array; an enum's has the variant's name, its tag, in front.
    #[inline]
    fn array<'e>(&'e mut self, tag: Option<&str>, length: Option<usize>) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.open()?;
        let port = self.port.take();
        let length = length.map(|length| length + usize::from(port.is_some()) + usize::from(tag.is_some()));
        self.writer.begin_array(length);
        let mut array = Compound::new(self, Shape::Array, length);
        for text in port.into_iter().chain(tag) {
            array.element(text)?;
        }
        Ok(array)
    }

    /// Begins an array of which the element to come is the last one.
    fn enclose(&mut self, tag: Option<&str>) -> Result<(), EncodeError> {
        if self.depth == 0 && !self.wrap && tag.is_none() {
            return Err(EncodeError::NotAnArray);
        }
        self.array(tag, Some(1)).map(drop)
    }

    fn map<'e>(&'e mut self, tag: Option<&str>, length: Option<usize>) -> Result<Compound<'e, 'l, W>, EncodeError> {
        let shape = if self.depth == 0 || tag.is_some() { Shape::MapInArray } else { Shape::Map };
        if shape == Shape::MapInArray {
            self.enclose(tag)?;
        }
        self.open()?;
        self.writer.begin_map(length);
        Ok(Compound::new(self, shape, length))
    }

    #[inline]
    fn scalar(&mut self, write: impl FnOnce(&mut W)) -> Result<(), EncodeError> {
        let alone = self.depth == 0;
        if alone {
            self.enclose(None)?;
        }
        self.count()?;
        write(&mut self.writer);
        if alone {
            self.depth -= 1;
            self.writer.end_array(Some(1));
        }
        Ok(())
    }

    /// A whole number of any size: beyond the integers its digits, as text (`VALUE-1`).
    fn wide_integer(&mut self, integer: Option<i128>, digits: &dyn fmt::Display) -> Result<(), EncodeError> {
        match integer.and_then(|n| Integer::try_from(n).ok()) {
            Some(integer) => self.scalar(|writer| writer.integer(integer)),
            None => self.scalar(|writer| writer.text(&digits.to_string())),
        }
    }
}

macro_rules! integers {
    ($($method:ident $type:ty as $wide:ty;)*) => {
        $(#[inline]
        fn $method(self, value: $type) -> Result<(), EncodeError> {
            self.scalar(|writer| writer.integer(<$wide>::from(value).into()))
        })*
    };
}

impl<'e, 'l, W: Writer> Serializer for &'e mut Encoder<'l, W> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Compound<'e, 'l, W>;
    type SerializeTuple = Compound<'e, 'l, W>;
    type SerializeTupleStruct = Compound<'e, 'l, W>;
    type SerializeTupleVariant = Compound<'e, 'l, W>;
    type SerializeMap = Compound<'e, 'l, W>;
    type SerializeStruct = Compound<'e, 'l, W>;
    type SerializeStructVariant = Compound<'e, 'l, W>;

    integers! {
        serialize_i8 i8 as i64;
        serialize_i16 i16 as i64;
        serialize_i32 i32 as i64;
        serialize_i64 i64 as i64;
        serialize_u8 u8 as u64;
        serialize_u16 u16 as u64;
        serialize_u32 u32 as u64;
        serialize_u64 u64 as u64;
    }

    fn serialize_i128(self, value: i128) -> Result<(), EncodeError> {
        self.wide_integer(Some(value), &value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), EncodeError> {
        self.wide_integer(value.try_into().ok(), &value)
    }

    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.scalar(|writer| writer.bool(value))
    }

    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.serialize_f64(value.into())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        self.scalar(|writer| writer.float(value))
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.scalar(|writer| writer.text(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        self.scalar(|writer| writer.bytes(value))
    }

    fn serialize_none(self) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    /// What stands for no value must not be written for one.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        let (values, nulls, port) = (self.values, self.nulls, usize::from(self.port.is_some()));
        let whole = self.depth == 0;
        value.serialize(&mut *self)?;
        let (written, nulls) = (self.values - values, self.nulls - nulls);
        // A message without elements is its array, and the port in it.
        if if whole { written == 1 + port } else { written == 1 && nulls == 1 } {
            self.failed = true;
            return Err(EncodeError::EmptyOption);
        }
        Ok(())
    }

    /// Null, or a message without elements.
    fn serialize_unit(self) -> Result<(), EncodeError> {
        self.nulls += 1;
        if self.depth == 0 && self.wrap { self.array(None, Some(0))?.finish() } else { self.scalar(Writer::null) }
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), EncodeError> {
        if self.depth == 0 { self.array(Some(variant), Some(0))?.finish() } else { self.serialize_str(variant) }
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), EncodeError> {
        if self.depth == 0 && self.wrap && name == VALUE {
            // It is not put into an array, so it has to be one.
            self.wrap = false;
            return value.serialize(self).map_err(|error| match error {
                EncodeError::NotAnArray => EncodeError::BareValue,
                error => error,
            });
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        let mut array = self.array(Some(variant), Some(1))?;
        array.element(value)?;
        array.finish()
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.array(None, length)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.array(None, Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.array(None, Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.array(Some(variant), Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.map(None, length)
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.map(None, Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Compound<'e, 'l, W>, EncodeError> {
        self.map(Some(variant), Some(length))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.serialize_str(&value.to_string())
    }
}

// --- arrays and maps, element by element ---

/// An array or a map that is being written.
pub(super) struct Compound<'e, 'l, W> {
    encoder: &'e mut Encoder<'l, W>,
    shape: Shape,
    length: Option<usize>,
    written: usize,
    /// A key waits for its value.
    keyed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Array,
    Map,
    /// A map that is the last element of an array, which ends with it.
    MapInArray,
}

impl<'e, 'l, W: Writer> Compound<'e, 'l, W> {
    /// One that has begun.
    #[inline]
    pub(super) fn new(encoder: &'e mut Encoder<'l, W>, shape: Shape, length: Option<usize>) -> Self {
        Compound { encoder, shape, length, written: 0, keyed: false }
    }

    #[inline]
    pub(super) fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.written += 1;
        value.serialize(&mut *self.encoder)
    }

    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        self.encoder.count()?;
        self.encoder.writer.key(key);
        Ok(())
    }

    /// Keys and values come in turn.
    fn turn(&mut self, value: bool) -> Result<(), EncodeError> {
        if self.keyed == value {
            self.keyed = !value;
            return Ok(());
        }
        Err(EncodeError::KeyAlone)
    }

    #[inline]
    pub(super) fn finish(self) -> Result<(), EncodeError> {
        if self.length.is_some_and(|length| length != self.written) {
            return Err(EncodeError::Length);
        }
        self.encoder.depth -= 1;
        match self.shape {
            Shape::Array => self.encoder.writer.end_array(self.length),
            Shape::Map => self.encoder.writer.end_map(self.length),
            Shape::MapInArray => {
                self.encoder.depth -= 1;
                self.encoder.writer.end_map(self.length);
                self.encoder.writer.end_array(Some(1));
            }
        }
        Ok(())
    }
}

macro_rules! elements {
    ($($trait:ident $method:ident;)*) => {
        $(impl<W: Writer> ser::$trait for Compound<'_, '_, W> {
            type Ok = ();
            type Error = EncodeError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
                self.element(value)
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                self.finish()
            }
        })*
    };
}

elements! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl<W: Writer> ser::SerializeMap for Compound<'_, '_, W> {
    type Ok = ();
    type Error = EncodeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        let limits = Limits { depth: 1, ..*self.encoder.limits };
        let mut encoder = Encoder::new(KeyWriter::default(), &limits, None, false);
        encoder.depth = 1;
        key.serialize(&mut encoder).map_err(|error| match error {
            EncodeError::Limit(Error::Limit(LimitExceeded::PacketDepth { .. })) => EncodeError::CompositeKey,
            error => error,
        })?;
        let key = encoder.writer.0.ok_or(EncodeError::CompositeKey)?;
        self.key(&key)?;
        self.turn(false)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.turn(true)?;
        self.element(value)
    }

    fn end(self) -> Result<(), EncodeError> {
        if self.keyed {
            return Err(EncodeError::KeyAlone);
        }
        self.finish()
    }
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(impl<W: Writer> ser::$trait for Compound<'_, '_, W> {
            type Ok = ();
            type Error = EncodeError;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), EncodeError> {
                self.key(key)?;
                self.element(value)
            }

            fn skip_field(&mut self, _: &'static str) -> Result<(), EncodeError> {
                Ok(())
            }

            fn end(self) -> Result<(), EncodeError> {
                self.finish()
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }
