//! What stands at one place of an image: a value without what is in it.

use super::bytes::{Fault, Octets, Stop};
use super::layout::Layout;
use super::tag;
use crate::value::Integer;

/// A value, or its beginning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Head {
    Null,
    /// A null that only an array can have.
    NullElement,
    Bool(bool),
    Integer(Integer),
    Float(f64),
    /// So many octets follow.
    String {
        text: bool,
        length: usize,
    },
    /// So many elements follow.
    Array {
        length: usize,
    },
    /// So many pairs of a value and a key follow.
    Map {
        flagged: bool,
        length: usize,
    },
    /// What it refers to follows.
    Reference {
        overloaded: bool,
    },
    /// The object of this number, another time.
    Again {
        object: usize,
    },
    /// An object that is a bool, and the number of its class, if that is not given by its name.
    BoolObject {
        value: bool,
        class: Option<u8>,
    },
}

impl Octets<'_> {
    pub(super) fn length(&mut self, layout: Layout) -> Result<usize, Stop> {
        layout.length(self.octets()?).ok_or(Fault::Malformed("a negative length").into())
    }
}

/// Reads the head at the beginning of `octets`, and how many octets it has.
#[inline]
pub(super) fn read(octets: &[u8], layout: Layout) -> Result<(Head, usize), Stop> {
    let mut octets = Octets::new(octets);
    let head = read_head(&mut octets, layout)?;
    Ok((head, octets.taken()))
}

fn read_head(octets: &mut Octets<'_>, layout: Layout) -> Result<Head, Stop> {
    let tag = octets.octet()?;
    Ok(match tag {
        tag::AGAIN => Head::Again { object: u32::from_be_bytes(octets.octets()?) as usize },
        tag::LONG_BYTES | tag::LONG_TEXT => Head::String { text: tag == tag::LONG_TEXT, length: octets.length(layout)? },
        tag::SHORT_BYTES | tag::SHORT_TEXT => Head::String { text: tag == tag::SHORT_TEXT, length: octets.octet()?.into() },
        tag::ARRAY => Head::Array { length: octets.length(layout)? },
        tag::MAP => Head::Map { flagged: false, length: octets.length(layout)? },
        tag::FLAGGED_MAP => {
            if octets.octet()? != 0 {
                return Err(Fault::Forbidden { tag, what: "a restricted hash" }.into());
            }
            Head::Map { flagged: true, length: octets.length(layout)? }
        }
        tag::REFERENCE | tag::OVERLOADED => Head::Reference { overloaded: tag == tag::OVERLOADED },
        tag::NULL | tag::HOLE => Head::Null,
        tag::NULL_ELEMENT => Head::NullElement,
        tag::YES | tag::TRUE => Head::Bool(true),
        tag::NO | tag::FALSE => Head::Bool(false),
        tag::SMALL_INTEGER => Head::Integer((i64::from(octets.octet()?) - 128).into()),
        // In network order whatever the layout.
        tag::INTEGER_32 => Head::Integer(i64::from(i32::from_be_bytes(octets.octets()?)).into()),
        tag::INTEGER | tag::DOUBLE => native_number(tag, octets, layout)?,
        tag::OF_CLASS => {
            let other = Fault::Forbidden { tag, what: "an object of another class than JSON::PP::Boolean" };
            octets.expect(&[tag::BOOLEAN.len() as u8], other)?;
            octets.expect(tag::BOOLEAN, other)?;
            Head::BoolObject { value: bool_object(tag, octets)?, class: None }
        }
        tag::OF_KNOWN_CLASS => {
            let class = octets.octet()?;
            if class >= 0x80 {
                return Err(Fault::Unknown.into());
            }
            Head::BoolObject { value: bool_object(tag, octets)?, class: Some(class) }
        }
        _ => {
            return Err(Fault::Forbidden { tag, what: tag::forbidden(tag) }.into());
        }
    })
}

fn native_number(tag: u8, octets: &mut Octets<'_>, layout: Layout) -> Result<Head, Stop> {
    let Layout::Native(native) = layout else {
        return Err(Fault::Malformed("a native number in an image in network order").into());
    };
    Ok(if tag == tag::DOUBLE {
        Head::Float(f64::from_bits(native.bits_64(octets.octets()?)))
    } else if native.wide {
        Head::Integer((native.bits_64(octets.octets()?) as i64).into())
    } else {
        Head::Integer(i64::from(native.bits_32(octets.octets()?) as i32).into())
    })
}

/// What an object of the class of the bools holds: the integer 0 or 1.
fn bool_object(tag: u8, octets: &mut Octets<'_>) -> Result<bool, Stop> {
    let other = Fault::Forbidden { tag, what: "a JSON::PP::Boolean that holds neither 0 nor 1" };
    octets.expect(&[tag::SMALL_INTEGER], other)?;
    match octets.octet()? {
        0x80 => Ok(false),
        0x81 => Ok(true),
        _ => Err(other.into()),
    }
}

/// What stands in front of the octets of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) text: bool,
    pub(super) length: usize,
}

/// Reads what stands in front of the octets of a key, and how many octets that has.
pub(super) fn read_key(octets: &[u8], flagged: bool, layout: Layout) -> Result<(Key, usize), Stop> {
    let mut octets = Octets::new(octets);
    let text = flagged
        && match octets.octet()? {
            0 | tag::key::WAS_TEXT => false,
            tag::key::TEXT => true,
            _ => return Err(Fault::Forbidden { tag: tag::FLAGGED_MAP, what: "a hash with a locked key" }.into()),
        };
    let length = octets.length(layout)?;
    Ok((Key { text, length }, octets.taken()))
}
