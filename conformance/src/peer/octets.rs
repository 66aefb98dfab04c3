//! Text as nodes of the reference write it in cbor: as byte strings, keys of maps included.

/// A packet in cbor with each text string written as the byte string that stands for it: one octet for a character
/// (`VALUE-5`).
///
/// Text with characters above U+00FF has no such byte string and stays as it is, as in the reference. `packet` must be
/// well-formed and without indefinite lengths, as [`Framing::encode`](aemp_proto::framing::Framing::encode) writes it; what
/// stands behind anything else is copied.
pub(super) fn with_octets(packet: &[u8]) -> Vec<u8> {
    const BYTES: u8 = 2;
    const TEXT: u8 = 3;
    let (mut written, mut rest) = (Vec::with_capacity(packet.len()), packet);
    while let Some((major, argument, head)) = head(rest) {
        let length = if matches!(major, BYTES | TEXT) { usize::try_from(argument).unwrap_or(usize::MAX) } else { 0 };
        let Some(payload) = rest.get(head..head.saturating_add(length)) else { break };
        match octets(payload).filter(|_| major == TEXT) {
            Some(octets) => {
                written.extend(byte_string_head(octets.len()));
                written.extend(octets);
            }
            None => written.extend(&rest[..head + length]),
        }
        rest = &rest[head + length..];
    }
    written.extend(rest);
    written
}

/// The major type, the argument, and the length of what says so.
fn head(octets: &[u8]) -> Option<(u8, u64, usize)> {
    let initial = *octets.first()?;
    let (major, info) = (initial >> 5, initial & 31);
    let following = match info {
        ..24 => return Some((major, info.into(), 1)),
        24..=27 => 1 << (info - 24),
        _ => return None,
    };
    let argument = octets.get(1..=following)?.iter().fold(0, |argument, octet| argument << 8 | u64::from(*octet));
    Some((major, argument, 1 + following))
}

fn byte_string_head(length: usize) -> Vec<u8> {
    match u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes() {
        [0, 0, 0, 0, 0, 0, 0, short @ ..24] => vec![0x40 | short],
        [0, 0, 0, 0, 0, 0, 0, one] => vec![0x58, one],
        [0, 0, 0, 0, 0, 0, two @ ..] => [&[0x59][..], &two].concat(),
        [0, 0, 0, 0, four @ ..] => [&[0x5a][..], &four].concat(),
        eight => [&[0x5b][..], &eight].concat(),
    }
}

/// The octets that stand for a text, if there are such.
fn octets(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use aemp_proto::framing::{Framing, Limits, Packet};
    use aemp_proto::value::Value;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_text_that_can_be_is_a_byte_string_and_all_else_is_as_it_was() {
        let (wide, long) = ("y".repeat(300), "z".repeat(70_000));
        let packet =
            json!(["", "a\u{fc}", 7, -1, 1.5, null, true, {"k": ["v", {}]}, "\u{263a}", "x".repeat(24), wide, long]);
        let mut written = Vec::new();
        Framing::Cbor.encode(&packet, &Limits::default(), &mut written).expect("it can be written");
        let octets = with_octets(&written);
        let read = Packet::parse(Framing::Cbor, &octets, &Limits::default()).expect("it is well-formed");
        let values: Vec<Value> = read.decode().expect("values");
        assert_eq!(values[1], Value::Bytes(vec![b'a', 0xfc]));
        assert_eq!(values[8], Value::Text("\u{263a}".into()));
        let shown: Vec<_> = values.iter().map(super::super::json).collect();
        assert_eq!(serde_json::Value::from(shown), packet);
        // The key is one, too.
        assert!(octets.windows(2).any(|two| two == b"\x41k") && !octets.windows(2).any(|two| two == b"\x61k"));
    }
}
