//! Values across languages: what stands for a value of another kind (section 5.6 of the specification, `VALUE-5`).

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::json::float_text;
use super::read::Scalar;
use crate::value::Integer;

/// The bool that a scalar stands for.
pub(super) fn to_bool(scalar: &Scalar<'_>) -> Option<bool> {
    match scalar {
        Scalar::Bool(value) => Some(*value),
        Scalar::Null => Some(false),
        Scalar::Integer(integer) => match integer.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Scalar::Text(_) | Scalar::Bytes(_) => match octets(scalar)? {
            b"" | b"0" => Some(false),
            b"1" => Some(true),
            _ => None,
        },
        Scalar::Float(_) => None,
    }
}

/// The whole number that a scalar stands for.
#[inline]
pub(super) fn to_integer(scalar: &Scalar<'_>) -> Option<i128> {
    match scalar {
        Scalar::Integer(integer) => Some((*integer).into()),
        Scalar::Float(float) => whole(*float),
        Scalar::Text(_) | Scalar::Bytes(_) => decimal_integer(octets(scalar)?),
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

/// The whole number above those of [`to_integer`] for which a text stands.
pub(super) fn to_large_integer(scalar: &Scalar<'_>) -> Option<u128> {
    let n: u128 = core::str::from_utf8(octets(scalar)?).ok()?.parse().ok()?;
    (n > i128::MAX as u128).then_some(n)
}

/// The float that a scalar stands for.
pub(super) fn to_float(scalar: &Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Float(float) => Some(*float),
        Scalar::Integer(integer) => Some(i128::from(*integer) as f64),
        // `f64` parses exactly `decimal-number`.
        Scalar::Text(_) | Scalar::Bytes(_) => core::str::from_utf8(octets(scalar)?).ok()?.parse().ok(),
        Scalar::Null | Scalar::Bool(_) => None,
    }
}

/// The text that a scalar stands for.
#[inline]
pub(super) fn to_text(scalar: Scalar<'_>) -> Result<Cow<'_, str>, Scalar<'_>> {
    Ok(match scalar {
        Scalar::Text(text) => text,
        Scalar::Bytes(bytes) => bytes_to_text(bytes),
        Scalar::Integer(integer) => Cow::Owned(integer.to_string()),
        Scalar::Float(float) => Cow::Owned(float_text(float)),
        Scalar::Bool(true) => Cow::Borrowed("1"),
        Scalar::Bool(false) => Cow::Borrowed(""),
        Scalar::Null => return Err(scalar),
    })
}

/// The bytes that a scalar stands for.
pub(super) fn to_bytes(scalar: Scalar<'_>) -> Result<Cow<'_, [u8]>, Scalar<'_>> {
    match scalar {
        Scalar::Bytes(bytes) => Ok(bytes),
        Scalar::Null => Err(scalar),
        scalar => {
            let text = to_text(scalar)?;
            match text_to_bytes(&text) {
                // ASCII is the same in both.
                Some(bytes) if bytes.len() == text.len() => Ok(match text {
                    Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                    Cow::Owned(text) => Cow::Owned(text.into_bytes()),
                }),
                Some(bytes) => Ok(Cow::Owned(bytes)),
                None => Err(Scalar::Text(text)),
            }
        }
    }
}

/// The text that stands for a scalar as the key of a map (`CBOR-12`).
#[inline]
pub(super) fn key(scalar: Scalar<'_>) -> Cow<'_, str> {
    to_text(scalar).unwrap_or(Cow::Borrowed(""))
}

/// Bytes as text: the character U+00XX for each octet XX.
#[inline]
pub(super) fn bytes_to_text(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    if !bytes.is_ascii() {
        return Cow::Owned(bytes.iter().map(|&octet| char::from(octet)).collect());
    }
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(core::str::from_utf8(bytes).unwrap_or_default()),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).unwrap_or_default()),
    }
}

/// Text as bytes, the reverse of [`bytes_to_text`]; `None` if it has characters above U+00FF.
pub(super) fn text_to_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

fn octets<'a>(scalar: &'a Scalar<'_>) -> Option<&'a [u8]> {
    match scalar {
        Scalar::Text(text) => Some(text.as_bytes()),
        Scalar::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// The float as a whole number in the range of the integers.
fn whole(float: f64) -> Option<i128> {
    // Saturating, so a float out of range does not come back the same, except at the edges, which `Integer` refuses.
    let integer = float as i128;
    (integer as f64 == float && Integer::try_from(integer).is_ok()).then_some(integer)
}

/// ```abnf
/// decimal-integer = [ "-" / "+" ] 1*DIGIT
/// ```
fn decimal_integer(text: &[u8]) -> Option<i128> {
    core::str::from_utf8(text).ok()?.parse().ok()
}
