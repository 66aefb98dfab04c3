//! The two octets or more with which an image begins: how its numbers are laid out (`STORABLE-3`, `STORABLE-4`).

use super::bytes::{Fault, Octets, Stop};

/// The major version, and below it whether numbers are in network order.
const NETWORK: u8 = 2 << 1 | 1;
const NATIVE: u8 = 2 << 1;
/// The minor version that is written.
const MINOR: u8 = 11;

/// What a writer begins an image with.
pub(super) const WRITTEN: [u8; 2] = [NETWORK, MINOR];

/// How the numbers of an image are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The same for all machines.
    Network,
    /// As on the machine that wrote it.
    Native(Native),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Native {
    /// The least significant octet comes first.
    pub(super) little: bool,
    /// Integers have 64 bits, not 32.
    pub(super) wide: bool,
}

impl Layout {
    /// Reads the header of an image.
    pub(super) fn read(octets: &mut Octets<'_>) -> Result<Layout, Stop> {
        let version = octets.octet()?;
        if version != NETWORK && version != NATIVE {
            return Err(Fault::Layout("another major version than 2").into());
        }
        // A later minor version adds tags, and changes none.
        octets.octet()?;
        if version == NETWORK {
            return Ok(Layout::Network);
        }
        let wide = match octets.octet()? {
            4 => false,
            8 => true,
            _ => return Err(Fault::Layout("integers of neither 32 nor 64 bits").into()),
        };
        let order: [&[u8]; 2] = if wide { [b"12345678", b"87654321"] } else { [b"1234", b"4321"] };
        let first = octets.octet()?;
        let little = first == b'1';
        let rest = &order[usize::from(!little)];
        if first != rest[0] {
            return Err(Fault::Layout("an unknown order of octets").into());
        }
        octets.expect(&rest[1..], Fault::Layout("an unknown order of octets"))?;
        // The sizes of C's int, long and pointers, and of a float. Longs and pointers do not occur.
        for (sizes, what) in [
            (&[4][..], "an int that has not 32 bits"),
            (&[4, 8], "a long of neither 32 nor 64 bits"),
            (&[4, 8], "pointers of neither 32 nor 64 bits"),
            (&[8], "floats that have not 64 bits"),
        ] {
            if !sizes.contains(&octets.octet()?) {
                return Err(Fault::Layout(what).into());
            }
        }
        Ok(Layout::Native(Native { little, wide }))
    }

    /// A length, of 32 bits.
    pub(super) fn length(self, octets: [u8; 4]) -> Option<usize> {
        let length = match self {
            Layout::Native(Native { little: true, .. }) => i32::from_le_bytes(octets),
            _ => i32::from_be_bytes(octets),
        };
        usize::try_from(length).ok()
    }
}

impl Native {
    /// A number of 64 bits.
    pub(super) fn bits_64(self, octets: [u8; 8]) -> u64 {
        if self.little { u64::from_le_bytes(octets) } else { u64::from_be_bytes(octets) }
    }

    /// A number of 32 bits.
    pub(super) fn bits_32(self, octets: [u8; 4]) -> u32 {
        if self.little { u32::from_le_bytes(octets) } else { u32::from_be_bytes(octets) }
    }
}
