//! The octet with which each value of an image begins, and what it means.

pub(super) const AGAIN: u8 = 0x00;
pub(super) const LONG_BYTES: u8 = 0x01;
pub(super) const ARRAY: u8 = 0x02;
pub(super) const MAP: u8 = 0x03;
pub(super) const REFERENCE: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const INTEGER: u8 = 0x06;
pub(super) const DOUBLE: u8 = 0x07;
pub(super) const SMALL_INTEGER: u8 = 0x08;
pub(super) const INTEGER_32: u8 = 0x09;
pub(super) const SHORT_BYTES: u8 = 0x0A;
pub(super) const HOLE: u8 = 0x0E;
pub(super) const YES: u8 = 0x0F;
pub(super) const NO: u8 = 0x10;
pub(super) const OF_CLASS: u8 = 0x11;
pub(super) const OF_KNOWN_CLASS: u8 = 0x12;
pub(super) const OVERLOADED: u8 = 0x14;
pub(super) const SHORT_TEXT: u8 = 0x17;
pub(super) const LONG_TEXT: u8 = 0x18;
pub(super) const FLAGGED_MAP: u8 = 0x19;
pub(super) const NULL_ELEMENT: u8 = 0x1F;
pub(super) const TRUE: u8 = 0x22;
pub(super) const FALSE: u8 = 0x23;

/// The class whose objects are the bools.
pub(super) const BOOLEAN: &[u8; 17] = b"JSON::PP::Boolean";

/// What a tag means that is never plain data (`STORABLE-9`).
pub(super) fn forbidden(tag: u8) -> &'static str {
    match tag {
        0x0B => "a tied array",
        0x0C => "a tied hash",
        0x0D => "a tied scalar",
        0x13 => "an object that a hook of its class has stored",
        0x15 => "an element of a tied hash",
        0x16 => "an element of a tied array",
        0x1A => "code",
        0x1B | 0x1C => "a weak reference",
        0x1D | 0x1E => "a version string",
        0x20 => "a regular expression",
        0x21 => "an object of more than 2 GiB",
        _ => "not known",
    }
}

/// Flags of a key in a map with flags.
pub(super) mod key {
    /// The key is UTF-8.
    pub(in super::super) const TEXT: u8 = 1;
    /// The key is bytes, and was UTF-8.
    pub(in super::super) const WAS_TEXT: u8 = 2;
}
