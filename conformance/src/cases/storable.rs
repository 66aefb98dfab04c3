//! Chapter 5, section 5.4: storable.

use aemp_proto::framing::Framing;
use serde_json::json;

use super::echo::{accepted, comes_back, encoded_comes_back, image, refused};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::subject::Feature::{Limits, Listen, Storable};
use crate::test::Test;
use crate::vectors::{self, notation};

/// The cases of storable.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "storable/writes",
        &["STORABLE-1", "STORABLE-12", "STORABLE-13", "STORABLE-14", "VALUE-1"],
        "What a node sends in storable is an image of plain data in network order, behind its length.",
        writes,
    )
    .needs(&[Storable]),
    Case::new("storable/reads", &["STORABLE-17", "STORABLE-7"], "Values and keys of all tags are read.", reads)
        .needs(&[Storable]),
    Case::new(
        "storable/accepts",
        &["STORABLE-3", "STORABLE-7", "STORABLE-17"],
        "All that is right is taken: both orders, any minor version, what comes another time.",
        accepts,
    )
    .needs(&[Storable])
    .stays(),
    Case::new(
        "storable/long-lengths",
        &["STORABLE-2"],
        "A length of more octets than necessary closes the connection.",
        lengths,
    )
    .needs(&[Storable]),
    Case::new("storable/other-headers", &["STORABLE-4"], "Another header closes the connection.", headers)
        .needs(&[Storable]),
    Case::new(
        "storable/malformed",
        &["STORABLE-5", "FRAME-4"],
        "What does not match the grammar closes the connection.",
        malformed,
    )
    .needs(&[Storable]),
    Case::new("storable/misplaced", &["STORABLE-6"], "What stands where it cannot closes the connection.", misplaced)
        .needs(&[Storable]),
    Case::new(
        "storable/again",
        &["STORABLE-7", "STORABLE-8"],
        "What refers to something that has not been there, or not ended, closes the connection.",
        again,
    )
    .needs(&[Storable]),
    Case::new("storable/not-plain", &["STORABLE-9"], "What is not plain data closes the connection.", not_plain)
        .needs(&[Storable]),
    Case::new("storable/not-utf8", &["STORABLE-10"], "A text that is not UTF-8 closes the connection.", not_utf8)
        .needs(&[Storable]),
    Case::new(
        "storable/blown-up",
        &["STORABLE-11"],
        "What comes another time counts each time: a few octets that stand for very many values close the connection.",
        blown_up,
    )
    .needs(&[Storable, Limits]),
    Case::new(
        "storable/last-choice",
        &["STORABLE-15"],
        "A node should not send in storable to one that takes something else.",
        last_choice,
    )
    .needs(&[Storable, Listen]),
    Case::new("storable/listed-last", &["STORABLE-16"], "A node should list storable behind all else.", listed_last)
        .needs(&[Storable, Listen]),
];

fn writes(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Storable;
    let mut peer = t.up()?;
    comes_back(
        t,
        &mut peer,
        &vectors::values(&["nulls", "bools", "integers", "floats-", "texts", "bytes", "arrays", "maps", "map-", "many"]),
    )
}

fn reads(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Storable;
    let mut peer = t.up()?;
    let octets = b"\x05\x0e\x0f\x23\x08\x00\x09\x80\0\0\0\x0a\x02a\xe4\x01\0\0\0\x01b\x17\x02\xc3\xa4\x18\0\0\0\x01c\x04\x03\0\0\0\x01\x08\x81\0\0\0\x01k\x04\x0a\x01d";
    let right = json!([
        null, null, true, false, {"integer": "-128"}, {"integer": "-2147483648"}, {"bytes": "61e4"}, {"bytes": "62"}, "ä", "c",
        {"map": {"k": {"integer": "1"}}}, {"bytes": "64"}
    ]);
    let values = notation::value(&right).map_err(Failure::Suite)?;
    let aemp_proto::value::Value::Array(values) = values else { return Err(Failure::Suite("no array".into())) };
    encoded_comes_back(t, &mut peer, octets, &values)
}

fn accepts(t: &mut Test<'_>) -> Step {
    let peer = accepted(t, Framing::Storable)?;
    t.ends(peer);
    Ok(())
}

fn lengths(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-2"])
}

fn headers(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-4"])
}

fn malformed(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-5", "FRAME-5"])
}

fn misplaced(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-6"])
}

fn again(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-7", "STORABLE-8"])
}

fn not_plain(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-9"])
}

fn not_utf8(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Storable, &["STORABLE-10"])
}

fn blown_up(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Storable;
    let subject = t.subject(|start| start.limits.values = Some(100_000))?;
    let mut peer = t.up_at(&subject)?;
    peer.probe()?;
    // Arrays, each of ten times the one before it: more than 10^8 values.
    let mut elements = vec![[&b"\x04\x02\0\0\0\x01"[..], b"\x05"].concat()];
    // The number of the last array, and that of the next object.
    let (mut array, mut next) = (2_u32, 4_u32);
    for _ in 0..8 {
        let again = [&[0x04, 0x00][..], &array.to_be_bytes()].concat();
        elements.push([&b"\x04\x02\0\0\0\x0a"[..], &again.repeat(10)].concat());
        // A reference, the array, and ten references in it.
        (array, next) = (next + 1, next + 12);
    }
    let count = u32::try_from(elements.len()).unwrap_or(0).to_be_bytes();
    let octets = image(&[&[0x05, 0x0b, 0x02], &count[..], &elements.concat()].concat());
    peer.send_octets(&octets, "a few octets that stand for very many values");
    peer.expect_end().breaks("STORABLE-11")
}

fn last_choice(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Json;
    let mut peer = t.connect()?;
    peer.greets.framings = vec!["storable".into(), "json".into()];
    peer.handshake()?;
    t.should("STORABLE-15", peer.receives == Some(Framing::Json), "json", format!("{:?}", peer.receives));
    Ok(())
}

fn listed_last(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    let framings = peer.read_greeting()?.framings;
    check(framings.iter().any(|name| name == "storable"), "storable in the list, as the node says", framings.join(","))
        .breaks("GREET-11")?;
    t.should(
        "STORABLE-16",
        framings.last().is_some_and(|name| name == "storable"),
        "storable at the end",
        framings.join(","),
    );
    Ok(())
}
