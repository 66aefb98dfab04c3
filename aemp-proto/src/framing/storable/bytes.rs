//! The bytes of an image, one after another, and why they cannot be read.

use crate::error::{Error, PeerMisbehaved};

/// Why no value can be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// The octets end within it.
    Partial,
    Fault(Fault),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Layout(&'static str),
    Forbidden {
        tag: u8,
        what: &'static str,
    },
    Malformed(&'static str),
    /// Stands where it cannot.
    Misplaced(&'static str),
    /// Refers to an object or a class that was not there before.
    Unknown,
    NotUtf8,
    Cycle,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl Fault {
    /// The fault at that octet of the packet.
    pub(super) fn at(self, at: usize) -> Error {
        match self {
            Fault::Layout(what) => PeerMisbehaved::StorableLayout { what, at },
            Fault::Forbidden { tag, what } => PeerMisbehaved::StorableNotPlain { tag, what, at },
            Fault::Malformed(what) => PeerMisbehaved::MalformedStorable { what, at },
            Fault::Misplaced(what) => PeerMisbehaved::StorableMisplaced { what, at },
            Fault::Unknown => PeerMisbehaved::StorableUnknownObject { at },
            Fault::NotUtf8 => PeerMisbehaved::StorableNotUtf8 { at },
            Fault::Cycle => PeerMisbehaved::StorableCycle { at },
        }
        .into()
    }
}

/// Octets that are read one after another.
#[derive(Debug)]
pub(super) struct Octets<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> Octets<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Octets { rest: octets, taken: 0 }
    }

    /// How many have been read.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    #[inline]
    pub(super) fn octet(&mut self) -> Result<u8, Stop> {
        self.octets::<1>().map(|[octet]| octet)
    }

    #[inline]
    pub(super) fn octets<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let (octets, rest) = self.rest.split_first_chunk().ok_or(Stop::Partial)?;
        self.rest = rest;
        self.taken += N;
        Ok(*octets)
    }

    /// Octets that must be these.
    pub(super) fn expect(&mut self, expected: &[u8], fault: Fault) -> Result<(), Stop> {
        for &expected in expected {
            if self.octet()? != expected {
                return Err(fault.into());
            }
        }
        Ok(())
    }
}
