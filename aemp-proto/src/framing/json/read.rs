//! Taking a json packet apart.

use alloc::borrow::Cow;

use super::text;
use crate::framing::deserialize::DecodeError;
use crate::framing::read::{self, Item, Members, Scalar};
use crate::value::Integer;

#[derive(Debug, Clone)]
pub(in crate::framing) struct Reader<'de> {
    rest: &'de str,
}

impl<'de> Reader<'de> {
    /// Reads a packet that a scanner has found well-formed.
    #[inline]
    pub(in crate::framing) fn new(packet: &'de [u8]) -> Self {
        // Not UTF-8 cannot happen; reading nothing then is an error for whoever reads.
        Reader { rest: core::str::from_utf8(packet).unwrap_or_default() }
    }

    /// Reads what is known to be the rest of such a packet.
    pub(in crate::framing) fn of(rest: &'de str) -> Self {
        Reader { rest }
    }

    /// What was not read.
    pub(in crate::framing) fn rest(&self) -> &'de str {
        self.rest
    }

    /// The next octet that is not white space.
    #[inline]
    fn peek(&mut self) -> Result<u8, DecodeError> {
        loop {
            match self.rest.as_bytes().first() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.rest = &self.rest[1..],
                Some(&octet) => return Ok(octet),
                None => return Err(DecodeError::unscanned()),
            }
        }
    }

    #[inline]
    fn advance(&mut self, octets: usize) -> Result<(), DecodeError> {
        self.rest = self.rest.get(octets..).ok_or_else(DecodeError::unscanned)?;
        Ok(())
    }

    #[inline]
    fn text(&mut self) -> Result<Cow<'de, str>, DecodeError> {
        self.advance(1)?;
        let (text, length) = text::read(self.rest).ok_or_else(DecodeError::unscanned)?;
        self.advance(length)?;
        Ok(text)
    }

    /// A number: an integer without fraction and exponent (`JSON-8`), or a float (`JSON-9`).
    #[inline]
    fn number(&mut self) -> Result<Scalar<'de>, DecodeError> {
        let octets = self.rest.as_bytes();
        let negative = octets.first() == Some(&b'-');
        let mut end = usize::from(negative);
        let mut magnitude = Some(0u64);
        while let Some(digit @ b'0'..=b'9') = octets.get(end) {
            let digit = u64::from(digit - b'0');
            magnitude = magnitude.and_then(|n| n.checked_mul(10)?.checked_add(digit));
            end += 1;
        }
        if matches!(octets.get(end), Some(b'.' | b'e' | b'E')) {
            while matches!(octets.get(end), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
                end += 1;
            }
            let number = self.rest[..end].parse().map_err(|_| DecodeError::unscanned())?;
            self.advance(end)?;
            return Ok(Scalar::Float(number));
        }
        let digits = &self.rest[..end];
        self.advance(end)?;
        let integer = match magnitude {
            Some(0) if negative => return Ok(Scalar::Float(-0.0)),
            Some(magnitude) if negative => 0i64.checked_sub_unsigned(magnitude).map(Integer::from),
            magnitude => magnitude.map(Integer::from),
        };
        // Beyond the integers: its digits, as text (`VALUE-2`).
        Ok(integer.map_or(Scalar::Text(Cow::Borrowed(digits)), Scalar::Integer))
    }
}

impl<'de> read::Reader<'de> for Reader<'de> {
    #[inline]
    fn item(&mut self) -> Result<Item<'de>, DecodeError> {
        let (item, length) = match self.peek()? {
            b'"' => return Ok(Item::Scalar(Scalar::Text(self.text()?))),
            b'-' | b'0'..=b'9' => return Ok(Item::Scalar(self.number()?)),
            b'[' => (Item::Array(Members::new(false, None)), 1),
            b'{' => (Item::Map(Members::new(true, None)), 1),
            b't' => (Item::Scalar(Scalar::Bool(true)), 4),
            b'f' => (Item::Scalar(Scalar::Bool(false)), 5),
            b'n' => (Item::Scalar(Scalar::Null), 4),
            _ => return Err(DecodeError::unscanned()),
        };
        self.advance(length)?;
        Ok(item)
    }

    #[inline]
    fn more(&mut self, members: &mut Members) -> Result<bool, DecodeError> {
        let first = core::mem::replace(&mut members.first, false);
        match self.peek()? {
            b']' | b'}' => {
                self.advance(1)?;
                Ok(false)
            }
            b',' => {
                self.advance(1)?;
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(DecodeError::unscanned()),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<Cow<'de, str>, DecodeError> {
        self.peek()?;
        let key = self.text()?;
        self.peek()?;
        self.advance(1)?;
        Ok(key)
    }

    #[inline]
    fn array(&mut self) -> Option<Members> {
        self.rest = self.rest.strip_prefix('[')?;
        Some(Members::new(false, None))
    }

    #[inline]
    fn borrowed_text(&mut self) -> Option<&'de str> {
        let inner = self.rest.strip_prefix('"')?;
        let length = text::plain_length(inner.as_bytes());
        let (text, rest) = inner.split_at_checked(length)?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    #[inline]
    fn unsigned(&mut self) -> Option<u64> {
        /// Digits that cannot overflow.
        const SAFE: usize = 19;
        let mut value = 0;
        for (position, &octet) in self.rest.as_bytes().iter().enumerate() {
            match octet {
                b'0'..=b'9' if position < SAFE => value = value * 10 + u64::from(octet - b'0'),
                b',' | b']' if position > 0 => {
                    self.rest = self.rest.get(position..)?;
                    return Some(value);
                }
                _ => return None,
            }
        }
        None
    }

    #[inline]
    fn null(&mut self) -> Result<bool, DecodeError> {
        let null = self.peek()? == b'n';
        if null {
            self.advance(4)?;
        }
        Ok(null)
    }
}
