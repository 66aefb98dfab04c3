//! Arrays and maps, element by element.

use serde::ser::{self, Serialize};

use super::EncodeError;
use super::encoder::Encoder;
use super::key::KeyWriter;
use crate::error::{Error, LimitExceeded};
use crate::framing::Limits;
use crate::framing::write::Writer;

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
