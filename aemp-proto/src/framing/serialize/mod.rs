//! From the sender's own types straight into the output buffer: serde over any writer.

mod encoder;
mod error;
mod key;

pub use error::EncodeError;

use alloc::vec::Vec;

use serde::ser::Serialize;

use self::encoder::Encoder;
use super::write::Uncommitted;
use super::{Framing, Limits, cbor, json, storable};

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

    /// Appends elements without a port as a packet of its own, to be relayed later
    /// ([`Elements::relay`](super::Elements::relay)).
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
