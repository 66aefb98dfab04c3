//! From one framing into another, without a tree of values in between and without recursion.

use alloc::vec::Vec;

use super::Limits;
use super::deserialize::DecodeError;
use super::read::{Item, Members, Reader, Scalar};
use super::serialize::EncodeError;
use super::write::Writer;

/// A value that is added behind the elements of a message that is sent on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tail<'a> {
    /// A text.
    Text(&'a str),
    /// A float.
    Float(f64),
}

/// Writes what is left of an array as a packet of its own, behind `head` and before `tail`.
pub(super) fn rest<'de, R: Reader<'de>, W: Writer>(
    reader: &mut R,
    members: &mut Members,
    head: &[&str],
    tail: &[Tail<'_>],
    limits: &Limits,
    writer: &mut W,
) -> Result<(), EncodeError> {
    let mut values = 1 + head.len() + tail.len();
    let start = writer.octets();
    let length = match members.left {
        Some(left) => usize::try_from(left).ok().map(|left| left + head.len() + tail.len()),
        None => None,
    };
    writer.begin_array(length);
    for text in head {
        writer.text(text);
    }
    let mut open = Vec::new();
    loop {
        let (innermost, ends) = match open.last_mut() {
            Some((innermost, length)) => (innermost, *length),
            None => (&mut *members, length),
        };
        if reader.more(innermost)? {
            values += 1 + usize::from(innermost.keyed);
            limits.check_values(values).map_err(EncodeError::Limit)?;
            limits.check_octets(writer.octets() - start).map_err(EncodeError::Limit)?;
            if innermost.keyed {
                writer.key(&reader.key()?);
            }
            if let Some(begun) = item(reader, writer)? {
                open.push(begun);
                limits.check_depth(1 + open.len()).map_err(EncodeError::Limit)?;
            }
        } else if innermost.keyed {
            writer.end_map(ends);
            open.pop();
        } else {
            if open.is_empty() {
                for value in tail {
                    match *value {
                        Tail::Text(text) => writer.text(text),
                        Tail::Float(float) => writer.float(float),
                    }
                }
            }
            writer.end_array(ends);
            if open.pop().is_none() {
                return Ok(());
            }
        }
    }
}

/// Writes the next item; of an array or a map only its beginning.
fn item<'de, R: Reader<'de>, W: Writer>(
    reader: &mut R,
    writer: &mut W,
) -> Result<Option<(Members, Option<usize>)>, DecodeError> {
    Ok(match reader.item()? {
        Item::Scalar(scalar) => {
            match scalar {
                Scalar::Null => writer.null(),
                Scalar::Bool(value) => writer.bool(value),
                Scalar::Integer(value) => writer.integer(value),
                Scalar::Float(value) => writer.float(value),
                Scalar::Text(value) => writer.text(&value),
                Scalar::Bytes(value) => writer.bytes(&value),
            }
            None
        }
        Item::Array(members) => {
            let length = members.left.and_then(|left| usize::try_from(left).ok());
            writer.begin_array(length);
            Some((members, length))
        }
        Item::Map(members) => {
            let length = members.left.and_then(|left| usize::try_from(left).ok());
            writer.begin_map(length);
            Some((members, length))
        }
    })
}
