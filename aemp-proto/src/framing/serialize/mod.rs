//! From the sender's own types straight into the output buffer: serde over any writer.

mod compound;
mod encoder;
mod key;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::ser::{self, Serialize};
use thiserror::Error;

use self::encoder::Encoder;
use super::deserialize::DecodeError;
use super::write::Uncommitted;
use super::{Framing, Limits, cbor, json, storable};
use crate::error::Error;

impl From<DecodeError> for EncodeError {
    fn from(error: DecodeError) -> Self {
        EncodeError::Type(error.to_string())
    }
}

/// Why something could not be written as a message. The buffer is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The packet would exceed the sender's own limits (`LIMIT-5`).
    #[error("the message is too large to send: {0}")]
    Limit(Error),
    /// A packet must be an array, so its type must be a sequence, a tuple, or an enum with content (`FRAME-2`).
    #[error("a packet must be an array, such as a tuple [FRAME-2]")]
    NotAnArray,
    /// The key of a map is not a text, number or bool. (A null would be read as the empty text.)
    #[error("a map key must be a text, a number or a bool")]
    CompositeKey,
    /// `Some` of something that is written as null, or as a message without elements: `Some(())`, `Some(None)`, or a whole message
    /// that is `Some` of an empty sequence.
    #[error("`Some` of nothing, such as `Some(())` or `Some(None)`, is written as `None` is, and would be taken as that")]
    EmptyOption,
    /// A [`Value`](crate::value::Value) as a whole message that is no array: it would be taken as an array with that value in it.
    #[error("a Value that is a whole message must be an array: send the tuple `(value,)`, or a `Vec<Value>`")]
    BareValue,
    /// A type announced another number of elements than it wrote.
    #[error("an array or a map has another length than its type said")]
    Length,
    /// A type wrote a key without a value, or a value without a key.
    #[error("a map has a key without a value, or a value without a key")]
    KeyAlone,
    /// The type itself refused.
    #[error("{0}")]
    Type(String),
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        EncodeError::Type(what.to_string())
    }
}

impl Framing {
    /// Appends a packet to `out`: an array, so `message` is a tuple, a sequence, or an enum that holds something. An enum is
    /// written as its variant's name and what the variant holds behind it.
    ///
    /// # Errors
    ///
    /// When `message` is not an array, exceeds the limits or cannot be written; `out` is as before then.
    ///
    /// ```
    /// use aemp_proto::framing::{Framing, Limits};
    /// let mut out = Vec::new();
    /// Framing::Json.encode(&("greeter", "hello", 1), &Limits::default(), &mut out).unwrap();
    /// assert_eq!(out, br#"["greeter","hello",1]"#);
    /// ```
    pub fn encode<T: Serialize + ?Sized>(self, message: &T, limits: &Limits, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_packet(None, false, message, limits, out)
    }

    /// Appends the packet that carries `elements` to `port`, as the [table of shapes](super#one-rule-for-every-shape) says.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Framing::encode).
    ///
    /// ```
    /// use aemp_proto::framing::{Framing, Limits};
    /// let mut out = Vec::new();
    /// Framing::Json.encode_message("greeter", &("hello", 1), &Limits::default(), &mut out).unwrap();
    /// Framing::Json.encode_message("greeter", &"stop", &Limits::default(), &mut out).unwrap();
    /// assert_eq!(out, br#"["greeter","hello",1]["greeter","stop"]"#);
    /// ```
    pub fn encode_message<T: Serialize + ?Sized>(
        self,
        port: &str,
        elements: &T,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.encode_packet(Some(port), true, elements, limits, out)
    }

    /// Appends elements without a port as a packet of its own, to be relayed later ([`Elements::relay`](super::Elements::relay)).
    ///
    /// # Errors
    ///
    /// As [`encode_message`](Self::encode_message).
    pub fn encode_elements<T: Serialize + ?Sized>(
        self,
        elements: &T,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.encode_packet(None, true, elements, limits, out)
    }

    fn encode_packet<T: Serialize + ?Sized>(
        self,
        port: Option<&str>,
        wrap: bool,
        elements: &T,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let limits = &limits.within(self);
        let mut out = Uncommitted::new(out);
        match self {
            Framing::Json => Encoder::new(json::Writer::new(out.buffer()), limits, port, wrap).packet(elements)?,
            Framing::Cbor => Encoder::new(cbor::Writer::new(out.buffer()), limits, port, wrap).packet(elements)?,
            Framing::Storable => Encoder::new(storable::Writer::new(out.buffer()), limits, port, wrap).packet(elements)?,
        }
        out.commit();
        Ok(())
    }
}
