//! Taking a cbor packet apart.

use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::head::{self, Head, INDEFINITE, Read, major, simple};
use crate::framing::convert;
use crate::framing::deserialize::DecodeError;
use crate::framing::read::{self, Item, Members, Scalar};
use crate::value::Integer;

#[derive(Debug, Clone)]
pub(in crate::framing) struct Reader<'de> {
    rest: &'de [u8],
}

impl<'de> Reader<'de> {
    /// Reads a packet that a scanner has found well-formed.
    #[inline]
    pub(in crate::framing) fn new(packet: &'de [u8]) -> Self {
        Reader { rest: packet }
    }

    /// What was not read.
    pub(in crate::framing) fn rest(&self) -> &'de [u8] {
        self.rest
    }

    /// The next head, without the tags in front of it (`CBOR-5`, `CBOR-7`), and what stands behind it.
    #[inline]
    fn peek(&self) -> Result<(Head, &'de [u8]), DecodeError> {
        let mut rest = self.rest;
        loop {
            let Read::Head(head) = head::read(rest) else {
                return Err(DecodeError::unscanned());
            };
            rest = &rest[head.length..];
            if head.major != major::TAG {
                return Ok((head, rest));
            }
        }
    }

    #[inline]
    fn head(&mut self) -> Result<Head, DecodeError> {
        let (head, rest) = self.peek()?;
        self.rest = rest;
        Ok(head)
    }

    /// The octets of a string, its chunks joined.
    #[inline]
    fn octets(&mut self, head: Head) -> Result<Cow<'de, [u8]>, DecodeError> {
        if head.info != INDEFINITE {
            return self.chunk(head).map(Cow::Borrowed);
        }
        let mut joined = Vec::new();
        loop {
            let chunk = self.head()?;
            if chunk.info == INDEFINITE {
                return Ok(Cow::Owned(joined));
            }
            joined.extend_from_slice(self.chunk(chunk)?);
        }
    }

    #[inline]
    fn chunk(&mut self, head: Head) -> Result<&'de [u8], DecodeError> {
        let split = usize::try_from(head.argument).ok().and_then(|length| self.rest.split_at_checked(length));
        let (chunk, rest) = split.ok_or_else(DecodeError::unscanned)?;
        self.rest = rest;
        Ok(chunk)
    }

    #[inline]
    fn text(&mut self, head: Head) -> Result<Cow<'de, str>, DecodeError> {
        Ok(match self.octets(head)? {
            Cow::Borrowed(octets) => Cow::Borrowed(core::str::from_utf8(octets).map_err(|_| DecodeError::unscanned())?),
            Cow::Owned(octets) => {
                Cow::Owned(alloc::string::String::from_utf8(octets).map_err(|_| DecodeError::unscanned())?)
            }
        })
    }
}

impl<'de> read::Reader<'de> for Reader<'de> {
    #[inline]
    fn item(&mut self) -> Result<Item<'de>, DecodeError> {
        let head = self.head()?;
        let left = (head.info != INDEFINITE).then_some(head.argument);
        Ok(Item::Scalar(match head.major {
            major::UNSIGNED => Scalar::Integer(head.argument.into()),
            major::NEGATIVE => negative(head.argument),
            major::BYTES => Scalar::Bytes(self.octets(head)?),
            major::TEXT => Scalar::Text(self.text(head)?),
            major::ARRAY => return Ok(Item::Array(Members::new(false, left))),
            major::MAP => return Ok(Item::Map(Members::new(true, left))),
            _ => simple_value(head)?,
        }))
    }

    #[inline]
    fn more(&mut self, members: &mut Members) -> Result<bool, DecodeError> {
        members.first = false;
        match &mut members.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => {
                let (head, rest) = self.peek()?;
                let ends = head.major == major::SIMPLE && head.info == INDEFINITE;
                if ends {
                    self.rest = rest;
                }
                Ok(!ends)
            }
        }
    }

    #[inline]
    fn key(&mut self) -> Result<Cow<'de, str>, DecodeError> {
        match self.item()? {
            Item::Scalar(scalar) => Ok(convert::key(scalar)),
            Item::Array(_) | Item::Map(_) => Err(DecodeError::unscanned()),
        }
    }

    #[inline]
    fn array(&mut self) -> Option<Members> {
        match head::read(self.rest) {
            Read::Head(head) if head.major == major::ARRAY && head.info != INDEFINITE => {
                self.rest = &self.rest[head.length..];
                Some(Members::new(false, Some(head.argument)))
            }
            _ => None,
        }
    }

    #[inline]
    fn borrowed_text(&mut self) -> Option<&'de str> {
        let Read::Head(head) = head::read(self.rest) else {
            return None;
        };
        if !matches!(head.major, major::TEXT | major::BYTES) || head.info == INDEFINITE {
            return None;
        }
        let end = head.length.checked_add(usize::try_from(head.argument).ok()?)?;
        let octets = self.rest.get(head.length..end)?;
        // Bytes are text too (`VALUE-7`): the same octets, if they are ASCII.
        if head.major == major::BYTES && !octets.is_ascii() {
            return None;
        }
        let text = core::str::from_utf8(octets).ok()?;
        self.rest = &self.rest[end..];
        Some(text)
    }

    #[inline]
    fn unsigned(&mut self) -> Option<u64> {
        match head::read(self.rest) {
            Read::Head(head) if head.major == major::UNSIGNED => {
                self.rest = &self.rest[head.length..];
                Some(head.argument)
            }
            _ => None,
        }
    }

    #[inline]
    fn null(&mut self) -> Result<bool, DecodeError> {
        let (head, rest) = self.peek()?;
        let null = head.major == major::SIMPLE && matches!(head.info, simple::NULL | simple::UNDEFINED);
        if null {
            self.rest = rest;
        }
        Ok(null)
    }
}

/// The number -1 - argument; as text if it lies below the integers (`VALUE-2`).
fn negative(argument: u64) -> Scalar<'static> {
    let number = -1 - i128::from(argument);
    match Integer::try_from(number) {
        Ok(integer) => Scalar::Integer(integer),
        Err(_) => Scalar::Text(number.to_string().into()),
    }
}

fn simple_value(head: Head) -> Result<Scalar<'static>, DecodeError> {
    Ok(match head.info {
        simple::FALSE => Scalar::Bool(false),
        simple::TRUE => Scalar::Bool(true),
        simple::NULL | simple::UNDEFINED => Scalar::Null,
        simple::FLOAT_16 => Scalar::Float(float_16(head.argument)),
        simple::FLOAT_32 => Scalar::Float(f32::from_bits(head.argument as u32).into()),
        simple::FLOAT_64 => Scalar::Float(f64::from_bits(head.argument)),
        _ => return Err(DecodeError::unscanned()),
    })
}

/// The value of an IEEE 754 binary16 number.
fn float_16(bits: u64) -> f64 {
    let exponent = (bits >> 10) & 0x1F;
    let fraction = bits & 0x3FF;
    let magnitude = match exponent {
        // The smallest subnormal number is 2^-24.
        0 => fraction as f64 / 16_777_216.0,
        0x1F if fraction == 0 => f64::INFINITY,
        0x1F => f64::NAN,
        // The same number in binary64: another bias, more digits.
        _ => f64::from_bits(((exponent + 1023 - 15) << 52) | (fraction << 42)),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}
