//! Packets on the wire: finding where one ends, reading it, writing it.
//!
//! Each framing supplies three small parts: a *scanner*, which walks over the octets once, finds the end of a packet and
//! settles that it is well-formed; a *reader*, which takes a well-formed packet apart item by item; and a *writer*. What
//! lies above them is written once for all framings: the serde deserializer with the conversions between languages, the
//! serde serializer, and the relay from one framing into another.
//!
//! # One rule for every shape
//!
//! A message is a list of elements. Whatever has an order is spread over them, anything else is the only element. So what is
//! sent as a `T` is taken as a `T`, with [`Elements::rest`]; and as a request, which has a port for the answer behind it,
//! with [`Elements::request`].
//!
//! | sent | elements | taken as the same type |
//! |---|---|---|
//! | a number, bool, char, text, octets | itself | yes |
//! | `()`, a unit struct, `None` | none | yes |
//! | `Some(x)` | those of `x` | yes; the sender refuses `Some` of what is sent as nothing |
//! | a tuple, array or tuple struct, also `T(x, y)` | each of its parts | yes |
//! | a newtype `T(x)` | those of `x` | yes |
//! | a `Vec`, a set | each of its members | yes |
//! | a struct, a map | one map | yes; the keys of maps are texts, numbers, bools, chars or variants that hold nothing |
//! | an enum, also `Result` | the name of the variant, then what it holds: nothing, `x`, `x` and `y`, or one map | yes |
//! | an enum with `#[serde(tag)]`, with or without `content` | one map | yes |
//! | a struct with `#[serde(flatten)]` | one map | yes |
//! | an enum with `#[serde(untagged)]` | those of what it holds | yes, but a sequence of fewer than two elements is taken as its only element, or as nothing |
//! | a [`Value`](crate::value::Value) | each of its members; the sender refuses any but an array | yes |
//!
//! In a tuple of one, `(x,)`, everything is itself, untagged enums and single values too. Two things cannot be told from
//! others wherever they stand, and the sender refuses them: `Some` of null, such as `Some(None)`, and null as the key of a
//! map.
//!
//! Enums that are `untagged` or have a `tag`, and parts that are `flatten`ed, are read by serde through a buffer of its own,
//! which knows no conversions. What a framing has no form for arrives there as another kind, and that is a [`DecodeError`]:
//! octets in json; floats, and integers beyond 32 bits, in storable.
//!
//! ```
//! use aemp_proto::framing::{Framing, Limits, Packet};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! enum Request {
//!     Stop,
//!     Put { key: String },
//! }
//!
//! let mut out = Vec::new();
//! Framing::Json.encode_message("store", &Request::Put { key: "sky".into() }, &Limits::default(), &mut out).unwrap();
//! assert_eq!(out, br#"["store","Put",{"key":"sky"}]"#);
//! let mut elements = Packet::parse(Framing::Json, &out, &Limits::default()).unwrap().elements();
//! elements.name();
//! assert_eq!(elements.rest::<Request>().unwrap(), Request::Put { key: "sky".into() });
//! ```

mod cbor;
mod convert;
mod deserialize;
mod encoded;
mod json;
mod kept;
mod limits;
mod packet;
mod place;
mod read;
mod relay;
mod scan;
mod serialize;
mod storable;
mod write;

pub use deserialize::DecodeError;
pub use encoded::Encoded;
pub(crate) use kept::{Kept, Mark};
pub use limits::Limits;
pub use packet::{Elements, Packet};
pub(crate) use place::{Inside, Place, Visit};
pub use relay::Tail;
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
    /// The framings that are offered and sent unless the owner says otherwise, best first. Storable is not among them: an
    /// owner whose peers take nothing else names it.
    pub const DEFAULT: [Framing; 2] = [Framing::Cbor, Framing::Json];

    /// All framings, best first.
    pub const ALL: [Framing; 3] = [Framing::Cbor, Framing::Json, Framing::Storable];

    /// Finds a framing by its name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Framing::ALL.into_iter().find(|framing| framing.name() == name)
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
