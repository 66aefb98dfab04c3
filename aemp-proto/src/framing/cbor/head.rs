//! The octets with which each data item begins (RFC 8949, section 3).

/// The major types.
pub(super) mod major {
    pub(in super::super) const UNSIGNED: u8 = 0;
    pub(in super::super) const NEGATIVE: u8 = 1;
    pub(in super::super) const BYTES: u8 = 2;
    pub(in super::super) const TEXT: u8 = 3;
    pub(in super::super) const ARRAY: u8 = 4;
    pub(in super::super) const MAP: u8 = 5;
    pub(in super::super) const TAG: u8 = 6;
    pub(in super::super) const SIMPLE: u8 = 7;
}

/// The additional information in the initial octet of major type 7.
pub(super) mod simple {
    pub(in super::super) const FALSE: u8 = 20;
    pub(in super::super) const TRUE: u8 = 21;
    pub(in super::super) const NULL: u8 = 22;
    pub(in super::super) const UNDEFINED: u8 = 23;
    pub(in super::super) const FLOAT_16: u8 = 25;
    pub(in super::super) const FLOAT_32: u8 = 26;
    pub(in super::super) const FLOAT_64: u8 = 27;
}

/// Tags whose content is not the value (`CBOR-14`).
pub(super) mod tag {
    pub(in super::super) const BIGNUM: u64 = 2;
    pub(in super::super) const NEGATIVE_BIGNUM: u64 = 3;
    pub(in super::super) const STRING_REFERENCE: u64 = 25;
    pub(in super::super) const SHARED_REFERENCE: u64 = 29;
}

/// The additional information for an indefinite length, and for "break".
pub(super) const INDEFINITE: u8 = 31;

/// What begins a data item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// The major type, 0 to 7.
    pub(super) major: u8,
    /// The additional information, 0 to 27 or 31.
    pub(super) info: u8,
    /// The argument; 0 for additional information 31.
    pub(super) argument: u64,
    /// How many octets the head has.
    pub(super) length: usize,
}

/// What stands at the beginning of some octets.
pub(super) enum Read {
    Head(Head),
    Partial,
    /// Additional information 28 to 30.
    Reserved,
}

/// Reads the head at the beginning of `octets`.
#[inline]
pub(super) fn read(octets: &[u8]) -> Read {
    let Some((&initial, rest)) = octets.split_first() else {
        return Read::Partial;
    };
    let (major, info) = (initial >> 5, initial & 31);
    let argument = match info {
        0..=23 => Some((u64::from(info), 0)),
        24 => rest.first().map(|&octet| (u64::from(octet), 1)),
        25 => rest.first_chunk().map(|&octets| (u64::from(u16::from_be_bytes(octets)), 2)),
        26 => rest.first_chunk().map(|&octets| (u64::from(u32::from_be_bytes(octets)), 4)),
        27 => rest.first_chunk().map(|&octets| (u64::from_be_bytes(octets), 8)),
        INDEFINITE => Some((0, 0)),
        _ => return Read::Reserved,
    };
    argument.map_or(Read::Partial, |(argument, more)| Read::Head(Head { major, info, argument, length: 1 + more }))
}
