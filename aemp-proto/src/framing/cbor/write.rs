//! Writing a cbor packet.

use alloc::vec::Vec;

use super::head::{INDEFINITE, major, simple};
use crate::framing::write;
use crate::value::{Integer, Repr};

#[derive(Debug)]
pub(in crate::framing) struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    pub(in crate::framing) fn new(out: &'b mut Vec<u8>) -> Self {
        Writer { out }
    }

    #[inline]
    fn head(&mut self, major: u8, argument: u64) {
        let initial = major << 5;
        match argument {
            0..24 => self.out.push(initial | argument as u8),
            24..0x100 => self.out.extend_from_slice(&[initial | 24, argument as u8]),
            0x100..0x1_0000 => self.long_head(initial | 25, &(argument as u16).to_be_bytes()),
            0x1_0000..0x1_0000_0000 => self.long_head(initial | 26, &(argument as u32).to_be_bytes()),
            _ => self.long_head(initial | 27, &argument.to_be_bytes()),
        }
    }

    fn long_head(&mut self, initial: u8, argument: &[u8]) {
        self.out.push(initial);
        self.out.extend_from_slice(argument);
    }

    #[inline]
    fn begin(&mut self, major: u8, length: Option<usize>) {
        match length {
            Some(length) => self.head(major, length as u64),
            None => self.out.push(major << 5 | INDEFINITE),
        }
    }

    #[inline]
    fn end(&mut self, length: Option<usize>) {
        if length.is_none() {
            self.out.push(major::SIMPLE << 5 | INDEFINITE);
        }
    }
}

impl write::Writer for Writer<'_> {
    fn null(&mut self) {
        self.out.push(major::SIMPLE << 5 | simple::NULL);
    }

    fn bool(&mut self, value: bool) {
        self.out.push(major::SIMPLE << 5 | if value { simple::TRUE } else { simple::FALSE });
    }

    #[inline]
    fn integer(&mut self, value: Integer) {
        match value.repr() {
            Repr::Unsigned(n) => self.head(major::UNSIGNED, n),
            // -1 - n, which is the complement.
            Repr::Negative(n) => self.head(major::NEGATIVE, !n as u64),
        }
    }

    fn float(&mut self, value: f64) {
        let short = value as f32;
        if f64::from(short) == value {
            self.long_head(major::SIMPLE << 5 | simple::FLOAT_32, &short.to_be_bytes());
        } else if value.is_nan() {
            self.long_head(major::SIMPLE << 5 | simple::FLOAT_32, &0x7FC0_0000u32.to_be_bytes());
        } else {
            self.long_head(major::SIMPLE << 5 | simple::FLOAT_64, &value.to_be_bytes());
        }
    }

    #[inline]
    fn text(&mut self, value: &str) {
        self.head(major::TEXT, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.head(major::BYTES, value.len() as u64);
        self.out.extend_from_slice(value);
    }

    #[inline]
    fn begin_array(&mut self, length: Option<usize>) {
        self.begin(major::ARRAY, length);
    }

    #[inline]
    fn end_array(&mut self, length: Option<usize>) {
        self.end(length);
    }

    fn begin_map(&mut self, length: Option<usize>) {
        self.begin(major::MAP, length);
    }

    fn key(&mut self, key: &str) {
        self.text(key);
    }

    fn end_map(&mut self, length: Option<usize>) {
        self.end(length);
    }

    #[inline]
    fn octets(&self) -> usize {
        self.out.len()
    }
}
