//! Finding packets in a stream of octets.

use super::{Framing, Limits, cbor, json, storable};
use crate::error::Error;

/// Finds where packets begin and end, and settles in the same walk that they are well-formed.
///
/// A scanner remembers how far it came in an incomplete packet, so a large packet in small pieces costs no more than at
/// once.
///
/// ```
/// use aemp_proto::framing::{Framing, Limits, Scan, Scanner};
/// let mut scanner = Scanner::new(Framing::Json, Limits::default());
/// assert_eq!(scanner.scan(br#" ["a","#).unwrap(), Scan::Partial { start: 1 });
/// // The octets from `start` on stay; more are added behind them.
/// assert_eq!(scanner.scan(br#"["a",1]["b"]"#).unwrap(), Scan::Packet { start: 0, end: 7 });
/// assert_eq!(scanner.scan(br#"["b"]"#).unwrap(), Scan::Packet { start: 0, end: 5 });
/// ```
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    walk: Walk,
}

#[derive(Debug)]
enum Walk {
    Json(json::Scanner),
    Cbor(cbor::Scanner),
    Storable(storable::Scanner),
}

/// What a scanner found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// A whole packet: the octets from `start` to before `end`. Those before `start` mean nothing.
    Packet {
        /// Where the packet begins.
        start: usize,
        /// Where it ends.
        end: usize,
    },
    /// No whole packet yet. The octets before `start` mean nothing; give those from there on again, with more behind them.
    Partial {
        /// Where the packet begins.
        start: usize,
    },
}

impl Scanner {
    /// A scanner at the beginning of a stream.
    pub fn new(framing: Framing, limits: Limits) -> Self {
        let walk = match framing {
            Framing::Json => Walk::Json(json::Scanner::default()),
            Framing::Cbor => Walk::Cbor(cbor::Scanner::default()),
            Framing::Storable => Walk::Storable(storable::Scanner::default()),
        };
        Scanner { limits: limits.within(framing), walk }
    }

    /// The framing of the packets.
    pub fn framing(&self) -> Framing {
        match self.walk {
            Walk::Json(_) => Framing::Json,
            Walk::Cbor(_) => Framing::Cbor,
            Walk::Storable(_) => Framing::Storable,
        }
    }

    /// Looks for the end of the first packet in `octets`, which begin where the last packet ended or, after
    /// [`Scan::Partial`], at its `start`.
    ///
    /// # Errors
    ///
    /// When no octets that could follow would make a well-formed packet within the limits of this. The scanner is of no use
    /// then.
    #[inline]
    pub fn scan(&mut self, octets: &[u8]) -> Result<Scan, Error> {
        match &mut self.walk {
            Walk::Json(scanner) => scanner.scan(octets, &self.limits),
            Walk::Cbor(scanner) => scanner.scan(octets, &self.limits),
            Walk::Storable(scanner) => scanner.scan(octets, &self.limits),
        }
    }

    /// The octets that came another time in the packet that was found last: only a storable packet stands for more octets
    /// than it has.
    #[inline]
    pub(crate) fn copied(&self) -> usize {
        match &self.walk {
            Walk::Json(_) | Walk::Cbor(_) => 0,
            Walk::Storable(scanner) => scanner.last_copied(),
        }
    }

    /// Whether a packet has begun and not ended.
    pub fn within_packet(&self) -> bool {
        match &self.walk {
            Walk::Json(scanner) => scanner.within_packet(),
            Walk::Cbor(scanner) => scanner.within_packet(),
            Walk::Storable(scanner) => scanner.within_packet(),
        }
    }
}
