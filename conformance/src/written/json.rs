//! What is looked for in json.

use super::{Breach, shown};

/// The octets outside of texts, each with its place.
fn outside_of_texts(octets: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let (mut within, mut escaped) = (false, false);
    octets.iter().copied().enumerate().filter(move |(_, octet)| {
        let begins = !within && *octet == b'"';
        let outside = !within && !begins;
        match (within, *octet) {
            (true, b'"') if !escaped => within = false,
            (false, b'"') => within = true,
            _ => {}
        }
        escaped = within && !begins && *octet == b'\\' && !escaped;
        outside
    })
}

/// Whether there is something like `NaN` or `Infinity` where a number should be.
pub(super) fn has_odd_number(octets: &[u8]) -> bool {
    let outside: Vec<u8> = outside_of_texts(octets).map(|(_, octet)| octet.to_ascii_lowercase()).collect();
    [&b"nan"[..], b"inf"].iter().any(|name| outside.windows(name.len()).any(|window| window == *name))
}

pub(super) fn breaches(octets: &[u8]) -> Vec<Breach> {
    // An LF behind a packet is allowed.
    let packet = octets.strip_suffix(b"\n").unwrap_or(octets);
    let space = outside_of_texts(packet).find(|(_, octet)| b" \t\r\n".contains(octet));
    let space = space.map(|(at, _)| {
        Breach::new(
            "JSON-3",
            "no white space outside of texts, but for an LF behind",
            format!("octet {at} of {}", shown(octets)),
        )
    });
    let minus_zero =
        has_bare_minus_zero(packet).then(|| Breach::new("VALUE-11", "-0.0", format!("-0 in {}", shown(octets))));
    space.into_iter().chain(minus_zero).collect()
}

fn has_bare_minus_zero(packet: &[u8]) -> bool {
    let outside: Vec<_> = outside_of_texts(packet).collect();
    outside.windows(3).any(|window| {
        let [(_, b'-'), (_, b'0'), (_, behind)] = window else { return false };
        b",]} \n\r\t".contains(behind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(packet: &str) -> Vec<&'static str> {
        breaches(packet.as_bytes()).into_iter().map(|breach| breach.requirement).collect()
    }

    #[test]
    fn white_space_counts_only_outside_of_texts() {
        assert!(broken(r#"["a b",{"\"\\ c":" "}]"#).is_empty());
        assert!(broken("[1]\n").is_empty());
        assert_eq!(broken("[1, 2]"), ["JSON-3"]);
        assert_eq!(broken("[1]\n\n"), ["JSON-3"]);
        assert_eq!(broken(r#"["\\" ,1]"#), ["JSON-3"]);
    }

    #[test]
    fn a_minus_zero_without_a_fraction_is_found() {
        assert_eq!(broken("[-0]"), ["VALUE-11"]);
        assert!(broken(r#"[-0.0,"-0,",-0e0]"#).is_empty());
    }

    #[test]
    fn odd_numbers_are_found_outside_of_texts() {
        assert!(has_odd_number(b"[NaN]") && has_odd_number(b"[-Infinity]") && !has_odd_number(br#"["NaN"]"#));
    }
}
