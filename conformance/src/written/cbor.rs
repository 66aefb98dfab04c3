//! What is looked for in cbor.

use super::Breach;
use crate::hex::hex;

/// The items of a packet that is known to be well-formed, one after another.
struct Items<'a> {
    octets: &'a [u8],
    at: usize,
    /// The containers that have not ended: whether it is a map, how many items are still to come, and how many have.
    open: Vec<(bool, Option<u64>, u64)>,
}

struct Item {
    at: usize,
    major: u8,
    info: u8,
    argument: u64,
    is_key: bool,
}

impl Iterator for Items<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let at = self.at;
        let initial = *self.octets.get(at)?;
        let (major, info) = (initial >> 5, initial & 31);
        let length = match info {
            24..=27 => 1 << (info - 24),
            _ => 0,
        };
        let following = self.octets.get(at + 1..at + 1 + length)?;
        let argument = match length {
            0 => u64::from(info),
            _ => following.iter().fold(0, |argument, octet| argument << 8 | u64::from(*octet)),
        };
        self.at += 1 + length;
        let is_key = self.open.last().is_some_and(|(map, _, come)| *map && come % 2 == 0) && initial != 0xff;
        match (major, info) {
            (7, 31) => {
                self.open.pop();
                self.ended();
            }
            (4 | 5, 31) => self.open.push((major == 5, None, 0)),
            (2 | 3, 31) => self.open.push((false, None, 0)),
            (4 | 5, _) => {
                self.open.push((major == 5, Some(argument.saturating_mul(if major == 5 { 2 } else { 1 })), 0));
                self.close_what_is_full();
            }
            (2 | 3, _) => {
                self.at = self.at.saturating_add(usize::try_from(argument).unwrap_or(usize::MAX));
                self.ended();
            }
            // What it tags follows.
            (6, _) => {}
            _ => self.ended(),
        }
        Some(Item { at, major, info, argument, is_key })
    }
}

impl Items<'_> {
    /// An item has ended.
    fn ended(&mut self) {
        if let Some((_, left, come)) = self.open.last_mut() {
            *left = left.map(|left| left.saturating_sub(1));
            *come += 1;
        }
        self.close_what_is_full();
    }

    fn close_what_is_full(&mut self) {
        if self.open.pop_if(|(_, left, _)| *left == Some(0)).is_some() {
            self.ended();
        }
    }
}

pub(super) fn breaches(octets: &[u8]) -> Vec<Breach> {
    let items = Items { octets, at: 0, open: Vec::new() };
    items
        .filter_map(|item| {
            breach(&item).map(|(id, what)| {
                let end = (item.at + 9).min(octets.len());
                Breach::new(id, what, format!("octet {}: {}", item.at, hex(&octets[item.at..end])))
            })
        })
        .collect()
}

fn breach(item: &Item) -> Option<(&'static str, &'static str)> {
    /// The tag that says no more than that this is CBOR.
    const SELF_DESCRIBED: u64 = 55799;
    match (item.major, item.info) {
        (6, _) if item.argument != SELF_DESCRIBED => Some(("CBOR-6", "no tag but 55799")),
        (7, 23) => Some(("CBOR-6", "null, not undefined")),
        (7, ..20 | 24) => Some(("CBOR-6", "no unassigned simple value")),
        (7, 25) => Some(("CBOR-11", "a float of 32 bits, not of 16")),
        (7, 26) if f32_of(item.argument).is_nan() && item.argument != 0x7fc0_0000 => {
            Some(("VALUE-11", "NaN as fa 7fc00000"))
        }
        (7, 27) if fits_32_bits(f64::from_bits(item.argument)) => {
            Some(("CBOR-11", "a float of 32 bits where that loses nothing"))
        }
        (2, _) if item.is_key => Some(("CBOR-10", "a key as a text string")),
        (0 | 1 | 7, _) if item.is_key => Some(("VALUE-11", "a key as a text string")),
        _ => None,
    }
}

fn f32_of(argument: u64) -> f32 {
    f32::from_bits(u32::try_from(argument).unwrap_or(0))
}

fn fits_32_bits(float: f64) -> bool {
    float.is_nan() || f64::from(float as f32).to_bits() == float.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::notation::unhex;

    fn broken(digits: &str) -> Vec<&'static str> {
        breaches(&unhex(digits).expect("hexadecimal digits")).into_iter().map(|breach| breach.requirement).collect()
    }

    #[test]
    fn what_may_be_sent_is_not_found() {
        // [0, -1, "a", h'c0', {"a": [1.5, 0.1]}, true, null, NaN], and the same behind its tag.
        assert!(
            broken("8800206161 41c0 a1616182fa3fc00000fb3fb999999999999a f5f6fa7fc00000".replace(' ', "").as_str())
                .is_empty()
        );
        assert!(broken("d9d9f78101").is_empty());
        assert!(broken("9fbf6161017f6162ff02ff41c0ff").is_empty());
    }

    #[test]
    fn tags_simple_values_and_widths_are_found() {
        assert_eq!(broken("81c101"), ["CBOR-6"]);
        assert_eq!(broken("81f7"), ["CBOR-6"]);
        assert_eq!(broken("81f820"), ["CBOR-6"]);
        assert_eq!(broken("81f93e00"), ["CBOR-11"]);
        assert_eq!(broken("81fb3ff8000000000000"), ["CBOR-11"]);
        assert_eq!(broken("81fa7fc00001"), ["VALUE-11"]);
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        assert_eq!(broken("82a26161a041624100a10102"), ["CBOR-10", "VALUE-11"]);
        assert_eq!(broken("82a1616101a10102"), ["VALUE-11"]);
        assert_eq!(broken("81bf6161800102ff"), ["VALUE-11"]);
        assert_eq!(broken("81a1c16161a0"), ["CBOR-6"]);
    }
}
