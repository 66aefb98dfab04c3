//! Writing a json packet.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::text::{float_text, plain_length};
use crate::framing::{convert, write};
use crate::value::{Integer, Repr};

#[derive(Debug)]
pub(in crate::framing) struct Writer<'b> {
    out: &'b mut Vec<u8>,
    /// The next item is not the first of its array or map.
    comma: bool,
}

impl<'b> Writer<'b> {
    pub(in crate::framing) fn new(out: &'b mut Vec<u8>) -> Self {
        Writer { out, comma: false }
    }

    #[inline]
    fn item(&mut self, octets: &[u8]) {
        self.separate();
        self.out.extend_from_slice(octets);
    }

    #[inline]
    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    fn quoted(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        self.out.reserve(rest.len() + 2);
        self.out.push(b'"');
        loop {
            let plain = plain_length(rest);
            let (before, special) = rest.split_at(plain);
            self.out.extend_from_slice(before);
            let Some((&octet, after)) = special.split_first() else {
                break;
            };
            match octet {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                0..0x20 => {
                    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
                    self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(octet >> 4), digit(octet & 15)]);
                }
                _ => self.out.push(octet),
            }
            rest = after;
        }
        self.out.push(b'"');
    }
}

impl write::Writer for Writer<'_> {
    #[inline]
    fn null(&mut self) {
        self.item(b"null");
    }

    #[inline]
    fn bool(&mut self, value: bool) {
        self.item(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn integer(&mut self, value: Integer) {
        let mut buffer = itoa::Buffer::new();
        self.item(match value.repr() {
            Repr::Unsigned(n) => buffer.format(n).as_bytes(),
            Repr::Negative(n) => buffer.format(n).as_bytes(),
        });
    }

    fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.item(zmij::Buffer::new().format_finite(value).as_bytes());
        } else {
            self.text(&float_text(value));
        }
    }

    #[inline]
    fn text(&mut self, value: &str) {
        self.separate();
        self.quoted(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.text(&convert::bytes_to_text(Cow::Borrowed(value)));
    }

    #[inline]
    fn begin_array(&mut self, _: Option<usize>) {
        self.item(b"[");
        self.comma = false;
    }

    #[inline]
    fn end_array(&mut self, _: Option<usize>) {
        self.out.push(b']');
        self.comma = true;
    }

    fn begin_map(&mut self, _: Option<usize>) {
        self.item(b"{");
        self.comma = false;
    }

    fn key(&mut self, key: &str) {
        self.text(key);
        self.out.push(b':');
        self.comma = false;
    }

    fn end_map(&mut self, _: Option<usize>) {
        self.out.push(b'}');
        self.comma = true;
    }

    #[inline]
    fn octets(&self) -> usize {
        self.out.len()
    }
}
