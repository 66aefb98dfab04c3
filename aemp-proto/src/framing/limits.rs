//! What bounds a packet.

use core::fmt;

use super::{Framing, storable};
use crate::error::{Error, LimitExceeded};

/// What one packet may cost, received or sent (section 11.1 of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one packet, 64 MiB by default (`LIMIT-2`). Bounds what a link keeps of an incomplete packet.
    pub octets: usize,
    /// Levels of arrays and maps, the packet itself included, 512 by default (`LIMIT-3`). Bounds the stack that decoding
    /// needs.
    pub depth: usize,
    /// Values in one packet, arrays, maps and keys included, 1,000,000 by default (`LIMIT-4`). Bounds the memory that a
    /// [`Value`](crate::value::Value) takes beside its texts: 32 octets each, and some 650 for each map that is not empty.
    /// The scanner of a storable packet holds 16 octets for each value and each reference until the packet is complete.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { octets: 64 << 20, depth: 512, values: 1_000_000 }
    }
}

/// As they are announced in a greeting: octets, depth, values.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.octets, self.depth, self.values)
    }
}

impl Limits {
    /// What every receiver takes: 1 MiB, 512 levels, 100,000 values (`LIMIT-5`).
    pub const LEAST: Limits = Limits { octets: 1 << 20, depth: 512, values: 100_000 };

    /// Reads what a peer announces in its greeting: `OCTETS,DEPTH,VALUES`. `None` if it is malformed, or less than every
    /// receiver takes (`GREET-27`).
    ///
    /// ```
    /// use aemp_proto::framing::Limits;
    /// let limits = Limits { octets: 2 << 20, ..Limits::LEAST };
    /// assert_eq!(Limits::announced("2097152,512,100000"), Some(limits));
    /// assert_eq!(limits.to_string(), "2097152,512,100000");
    /// assert_eq!(Limits::announced("1048575,512,100000"), None);
    /// ```
    pub fn announced(text: &str) -> Option<Limits> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
        let mut parts = text.split(',').map(|part| part.parse().ok().filter(|_| is_number(part)));
        let limits = Limits { octets: parts.next()??, depth: parts.next()??, values: parts.next()?? };
        (parts.next().is_none() && limits == limits.at_least(&Limits::LEAST)).then_some(limits)
    }

    /// Of each limit the higher one.
    #[must_use]
    pub fn at_least(&self, other: &Limits) -> Limits {
        Limits {
            octets: self.octets.max(other.octets),
            depth: self.depth.max(other.depth),
            values: self.values.max(other.values),
        }
    }

    /// Of each limit the lower one.
    #[must_use]
    pub fn at_most(&self, other: &Limits) -> Limits {
        Limits {
            octets: self.octets.min(other.octets),
            depth: self.depth.min(other.depth),
            values: self.values.min(other.values),
        }
    }

    /// These limits, and what the framing itself cannot exceed.
    pub(super) fn within(self, framing: Framing) -> Limits {
        match framing {
            Framing::Storable => Limits { octets: self.octets.min(storable::LONGEST), ..self },
            Framing::Json | Framing::Cbor => self,
        }
    }

    pub(super) fn check_octets(&self, octets: usize) -> Result<(), Error> {
        if octets > self.octets { Err(LimitExceeded::PacketOctets { limit: self.octets }.into()) } else { Ok(()) }
    }

    /// As many octets of a packet as are within the limit: what lies beyond must not be looked at, or the result would
    /// depend on how much has arrived (`FRAME-6`).
    pub(super) fn window<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        &packet[..packet.len().min(self.octets)]
    }

    pub(super) fn check_depth(&self, depth: usize) -> Result<(), Error> {
        if depth > self.depth { Err(LimitExceeded::PacketDepth { limit: self.depth }.into()) } else { Ok(()) }
    }

    pub(super) fn check_values(&self, values: usize) -> Result<(), Error> {
        if values > self.values { Err(LimitExceeded::PacketValues { limit: self.values }.into()) } else { Ok(()) }
    }
}
