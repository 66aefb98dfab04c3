//! What stands between quotation marks.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::error::{Error, PeerMisbehaved};

/// How many octets at the beginning stand for themselves: printable ASCII but `"` and `\`.
#[inline]
pub(super) fn plain_length(octets: &[u8]) -> usize {
    const WORD: usize = 8;
    const BLOCK: usize = 32;
    let mut length = 0;
    // Most texts are short: two words at a time find their end without a loop over octets.
    while let Some(word) = octets[length..].first_chunk::<WORD>() {
        let special = special_octets(u64::from_le_bytes(*word));
        if special != 0 {
            return length + special.trailing_zeros() as usize / 8;
        }
        length += WORD;
        if length == 2 * WORD {
            // Long ones go by blocks without a branch within, which the compiler turns into vector instructions.
            while let Some(block) = octets[length..].first_chunk::<BLOCK>() {
                if block.iter().fold(false, |special, &octet| special | is_special(octet)) {
                    break;
                }
                length += BLOCK;
            }
        }
    }
    octets[length..].iter().position(|&octet| is_special(octet)).map_or(octets.len(), |more| length + more)
}

fn is_special(octet: u8) -> bool {
    !(0x20..0x80).contains(&octet) || octet == b'"' || octet == b'\\'
}

/// The highest bit of each special octet in a word; also of octets behind the first such octet, which may be anything.
#[inline]
fn special_octets(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let equal = |octet: u8| below(word ^ (ONES * u64::from(octet)), 1);
    (below(word, 0x20) | equal(b'"') | equal(b'\\') | word) & HIGH
}

/// How a walk over a text ended.
pub(super) enum Walk {
    /// Behind the closing quotation mark.
    Closed(usize),
    /// Before the first character or escape that is not complete.
    Partial(usize),
    /// Before what cannot be in a text; [`fault`] says why.
    Fault(usize),
}

/// Walks over a text from `position`, which lies between two of its characters.
#[inline]
pub(super) fn walk(octets: &[u8], mut position: usize) -> Walk {
    loop {
        position += plain_length(&octets[position..]);
        let Some(&octet) = octets.get(position) else {
            return Walk::Partial(position);
        };
        if octet == b'"' {
            return Walk::Closed(position + 1);
        }
        match character_length(octets, position) {
            Ok(Some(length)) => position += length,
            Ok(None) => return Walk::Partial(position),
            Err(_) => return Walk::Fault(position),
        }
    }
}

/// Why what stands at `at` cannot be in a text.
#[cold]
pub(super) fn fault(octets: &[u8], at: usize) -> Error {
    match character_length(octets, at) {
        Err(error) => error,
        Ok(_) => PeerMisbehaved::MalformedJson { what: "no text goes on so", at }.into(),
    }
}

/// The length of the escape, or of the character that is no ASCII, at `at`; `None` if it is not complete.
#[inline(never)]
fn character_length(octets: &[u8], at: usize) -> Result<Option<usize>, Error> {
    match octets[at] {
        b'\\' => escape_length(octets, at),
        0x80.. => utf8_length(&octets[at..]).map_err(|()| PeerMisbehaved::JsonNotUtf8 { at }.into()),
        _ => Err(PeerMisbehaved::MalformedJson { what: "a control character in a text", at }.into()),
    }
}

/// The length of the escape at `at`; `None` if it is not complete.
fn escape_length(octets: &[u8], at: usize) -> Result<Option<usize>, Error> {
    let malformed = || Error::from(PeerMisbehaved::MalformedJson { what: "no escape begins so", at });
    let lone_surrogate = || Error::from(PeerMisbehaved::LoneSurrogate { at });
    match octets.get(at + 1) {
        None => return Ok(None),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return Ok(Some(2)),
        Some(b'u') => {}
        Some(_) => return Err(malformed()),
    }
    let unit = |from: usize| -> Result<Option<u16>, Error> {
        let digits = &octets[from.min(octets.len())..(from + 4).min(octets.len())];
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(malformed());
        }
        Ok(if digits.len() == 4 { Some(hex_unit(digits)) } else { None })
    };
    match unit(at + 2)? {
        None => Ok(None),
        Some(0xD800..=0xDBFF) => match (octets.get(at + 6), octets.get(at + 7)) {
            (None, _) | (Some(b'\\'), None) => Ok(None),
            (Some(b'\\'), Some(b'u')) => {
                // The first two digits decide already.
                if octets.get(at + 8).is_some_and(|digit| !matches!(digit, b'd' | b'D') && digit.is_ascii_hexdigit()) {
                    return Err(lone_surrogate());
                }
                match unit(at + 8)? {
                    None => Ok(None),
                    Some(0xDC00..=0xDFFF) => Ok(Some(12)),
                    Some(_) => Err(lone_surrogate()),
                }
            }
            _ => Err(lone_surrogate()),
        },
        Some(0xDC00..=0xDFFF) => Err(lone_surrogate()),
        Some(_) => Ok(Some(6)),
    }
}

fn hex_unit(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |unit, &digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
        };
        (unit << 4) | u16::from(value)
    })
}

/// The length of the UTF-8 sequence at the beginning (RFC 3629); `None` if it is not complete.
fn utf8_length(octets: &[u8]) -> Result<Option<usize>, ()> {
    let (length, second) = match octets[0] {
        0xC2..=0xDF => (2, 0x80..=0xBF),
        0xE0 => (3, 0xA0..=0xBF),
        0xE1..=0xEC | 0xEE..=0xEF => (3, 0x80..=0xBF),
        0xED => (3, 0x80..=0x9F),
        0xF0 => (4, 0x90..=0xBF),
        0xF1..=0xF3 => (4, 0x80..=0xBF),
        0xF4 => (4, 0x80..=0x8F),
        _ => return Err(()),
    };
    let sequence = &octets[..octets.len().min(length)];
    let right = sequence.get(1).is_none_or(|octet| second.contains(octet))
        && sequence.iter().skip(2).all(|octet| (0x80..=0xBF).contains(octet));
    match right {
        true if sequence.len() == length => Ok(Some(length)),
        true => Ok(None),
        false => Err(()),
    }
}

/// Reads the text of a well-formed packet that begins behind the quotation mark at the beginning of `text`; also says how
/// long it is with its closing quotation mark. `None` if it is not well-formed after all.
#[inline]
pub(super) fn read(text: &str) -> Option<(Cow<'_, str>, usize)> {
    let octets = text.as_bytes();
    let mut end = 0;
    let mut escaped = String::new();
    let mut copied = 0;
    loop {
        end += plain_length(&octets[end..]);
        match octets.get(end)? {
            b'"' => break,
            b'\\' => {
                escaped.push_str(&text[copied..end]);
                let (character, length) = unescape(&octets[end + 1..])?;
                escaped.push(character);
                end += 1 + length;
                copied = end;
            }
            // Any part of a character that is no ASCII: a scalar value is never cut, since `"` and `\` are ASCII.
            _ => end += 1,
        }
    }
    let rest = &text[copied..end];
    if copied == 0 {
        return Some((Cow::Borrowed(rest), end + 1));
    }
    escaped.push_str(rest);
    Some((Cow::Owned(escaped), end + 1))
}

/// The character for which an escape stands, and the length of the escape, both without the backslash.
fn unescape(escape: &[u8]) -> Option<(char, usize)> {
    let simple = match escape.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => {
            let unit = u32::from(hex_unit(escape.get(1..5)?));
            if !(0xD800..0xE000).contains(&unit) {
                return Some((char::from_u32(unit)?, 5));
            }
            let low = u32::from(hex_unit(escape.get(7..11)?));
            return Some((char::from_u32(0x10000 + ((unit & 0x3FF) << 10) + (low & 0x3FF))?, 11));
        }
    };
    Some((simple, 1))
}

/// The text that stands for a float: as json writes it, and `Inf`, `-Inf` and `NaN`.
pub(in crate::framing) fn float_text(value: f64) -> String {
    if value.is_finite() {
        zmij::Buffer::new().format_finite(value).into()
    } else if value.is_nan() {
        "NaN".into()
    } else if value > 0.0 {
        "Inf".into()
    } else {
        "-Inf".into()
    }
}
