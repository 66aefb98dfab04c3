//! Packets on the wire: finding where one ends, reading it, writing it.
//!
//! Each framing supplies three small parts: a *scanner*, which walks over the octets once, finds the end of a packet and
//! settles that it is well-formed; a *reader*, which takes a well-formed packet apart item by item; and a *writer*. What lies
//! above them is written once for all framings: the serde deserializer with the conversions between languages, the serde
//! serializer, and the relay from one framing into another.

mod cbor;
mod convert;
mod deserialize;
mod json;
mod limits;
mod packet;
mod read;
mod relay;
mod scan;
mod serialize;
mod storable;
mod write;

pub use deserialize::DecodeError;
pub use limits::Limits;
pub use packet::{Elements, Packet};
pub use scan::{Scan, Scanner};
pub use serialize::EncodeError;

use core::fmt;

/// How packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// JSON (RFC 8259): readable, and slower.
    Json,
    /// CBOR (RFC 8949): smaller and faster.
    Cbor,
    /// Perl's Storable, plain data only: for peers that take nothing else.
    Storable,
}

impl Framing {
    /// The framings that are offered and sent unless the owner says otherwise, best first.
    pub const DEFAULT: [Framing; 3] = [Framing::Cbor, Framing::Json, Framing::Storable];

    /// Finds a framing by its name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Framing::Json, Framing::Cbor, Framing::Storable].into_iter().find(|framing| framing.name() == name)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Framing::Json => "json",
            Framing::Cbor => "cbor",
            Framing::Storable => "storable",
        }
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
