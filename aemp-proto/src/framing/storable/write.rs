//! Writing a storable packet.

use alloc::string::String;
use alloc::vec::Vec;

use super::layout;
use super::tag;
use crate::framing::{json, write};
use crate::value::Integer;

#[derive(Debug)]
pub(in crate::framing) struct Writer<'b> {
    out: &'b mut Vec<u8>,
    /// Where the packet begins.
    start: usize,
    /// The arrays and maps that are open, the packet itself outermost.
    open: Vec<Open>,
    /// The keys of the values that are being written, one after another: each is written behind its value.
    keys: String,
    /// The class of the bools has been named.
    bools: bool,
}

#[derive(Debug)]
struct Open {
    map: bool,
    /// Where its number of members stands.
    count: usize,
    members: u32,
    /// Where in `keys` the key of the value begins that was written last.
    key: Option<usize>,
}

impl<'b> Writer<'b> {
    pub(in crate::framing) fn new(out: &'b mut Vec<u8>) -> Self {
        Writer { start: out.len(), out, open: Vec::new(), keys: String::new(), bools: false }
    }

    /// Counts an element of an array. The entries of a map are counted by their keys.
    fn member(&mut self) {
        if let Some(Open { map: false, members, .. }) = self.open.last_mut() {
            *members = members.wrapping_add(1);
        }
    }

    fn string(&mut self, short: u8, long: u8, octets: &[u8]) {
        self.member();
        match u8::try_from(octets.len()) {
            Ok(length) => self.out.extend_from_slice(&[short, length]),
            Err(_) => {
                self.out.push(long);
                self.length(octets.len());
            }
        }
        self.out.extend_from_slice(octets);
    }

    /// A length: the limit for octets keeps it within 31 bits, or what is written now is taken back.
    fn length(&mut self, length: usize) {
        self.out.extend_from_slice(&(length as u32).to_be_bytes());
    }

    fn begin(&mut self, map: bool) {
        self.member();
        if self.open.is_empty() {
            self.start = self.out.len();
            self.out.extend_from_slice(&layout::WRITTEN);
        } else {
            self.out.push(tag::REFERENCE);
        }
        self.out.extend_from_slice(if map { &[tag::FLAGGED_MAP, 0] } else { &[tag::ARRAY] });
        self.open.push(Open { map, count: self.out.len(), members: 0, key: None });
        self.length(0);
    }

    fn end(&mut self) {
        self.write_key();
        if let Some(Open { count, members, .. }) = self.open.pop() {
            self.out[count..count + 4].copy_from_slice(&members.to_be_bytes());
        }
        if self.open.is_empty() {
            self.write_packet_length();
        }
    }

    /// Writes the key of the value that was written last.
    fn write_key(&mut self) {
        let Some(start) = self.open.last_mut().and_then(|open| open.key.take()) else {
            return;
        };
        let key = &self.keys[start..];
        self.out.push(if key.is_ascii() { 0 } else { tag::key::TEXT });
        self.out.extend_from_slice(&(key.len() as u32).to_be_bytes());
        self.out.extend_from_slice(key.as_bytes());
        self.keys.truncate(start);
    }

    /// Puts the length of the packet in front of it: seven bits an octet, all but the last with the high bit.
    fn write_packet_length(&mut self) {
        let mut length = self.out.len() - self.start;
        let mut octets = [0; 10];
        let mut first = octets.len() - 1;
        octets[first] = (length & 0x7F) as u8;
        length >>= 7;
        while length > 0 {
            first -= 1;
            octets[first] = (length & 0x7F) as u8 | 0x80;
            length >>= 7;
        }
        self.out.splice(self.start..self.start, octets[first..].iter().copied());
    }
}

impl write::Writer for Writer<'_> {
    fn null(&mut self) {
        self.member();
        self.out.push(tag::NULL);
    }

    fn bool(&mut self, value: bool) {
        self.member();
        self.out.push(tag::OVERLOADED);
        if self.bools {
            self.out.extend_from_slice(&[tag::OF_KNOWN_CLASS, 0]);
        } else {
            self.out.extend_from_slice(&[tag::OF_CLASS, tag::BOOLEAN.len() as u8]);
            self.out.extend_from_slice(tag::BOOLEAN);
            self.bools = true;
        }
        self.out.extend_from_slice(&[tag::SMALL_INTEGER, 0x80 | u8::from(value)]);
    }

    fn integer(&mut self, value: Integer) {
        match i32::try_from(i128::from(value)) {
            Ok(value @ -128..=127) => {
                self.member();
                self.out.extend_from_slice(&[tag::SMALL_INTEGER, (value + 128) as u8]);
            }
            Ok(value) => {
                self.member();
                self.out.push(tag::INTEGER_32);
                self.out.extend_from_slice(&value.to_be_bytes());
            }
            Err(_) => self.text(&alloc::format!("{value}")),
        }
    }

    fn float(&mut self, value: f64) {
        // What is no whole number of 32 bits comes back as another one, but for -0.0.
        let whole = value as i32;
        if f64::from(whole).to_bits() == value.to_bits() {
            self.integer(i64::from(whole).into());
        } else {
            self.text(&json::float_text(value));
        }
    }

    fn text(&mut self, value: &str) {
        self.string(tag::SHORT_TEXT, tag::LONG_TEXT, value.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.string(tag::SHORT_BYTES, tag::LONG_BYTES, value);
    }

    fn begin_array(&mut self, _: Option<usize>) {
        self.begin(false);
    }

    fn end_array(&mut self, _: Option<usize>) {
        self.end();
    }

    fn begin_map(&mut self, _: Option<usize>) {
        self.begin(true);
    }

    fn key(&mut self, key: &str) {
        self.write_key();
        let start = self.keys.len();
        self.keys.push_str(key);
        if let Some(open) = self.open.last_mut() {
            open.key = Some(start);
            open.members = open.members.wrapping_add(1);
        }
    }

    fn end_map(&mut self, _: Option<usize>) {
        self.end();
    }

    fn octets(&self) -> usize {
        self.out.len()
    }
}
