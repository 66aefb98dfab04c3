//! Chapter 5, section 5.3: cbor.

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::json;

use super::echo::{Question, accepted, comes_back, encoded_comes_back, refused};
use crate::case::Case;
use crate::failure::{Failure, Step};
use crate::subject::Feature::Cbor;
use crate::test::Test;
use crate::vectors::{self, notation};

/// The cases of cbor.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "cbor/writes",
        &["CBOR-1", "CBOR-6", "CBOR-10", "CBOR-11", "VALUE-1", "VALUE-11"],
        "What a node sends in cbor is well-formed, without tags, and in the form that it should have.",
        writes,
    )
    .needs(&[Cbor]),
    Case::new(
        "cbor/lengths",
        &["CBOR-2"],
        "Indefinite lengths, and arguments that are longer than necessary, are read.",
        lengths,
    )
    .needs(&[Cbor]),
    Case::new("cbor/floats", &["CBOR-2"], "Floats of 16, 32 and 64 bits are read.", floats).needs(&[Cbor]),
    Case::new("cbor/self-described", &["CBOR-5"], "Tag 55799 means nothing, wherever it stands.", self_described)
        .needs(&[Cbor]),
    Case::new("cbor/undefined", &["CBOR-8"], "Undefined is null.", undefined).needs(&[Cbor]),
    Case::new("cbor/keys", &["CBOR-12"], "Keys of other kinds are the texts that stand for them.", keys).needs(&[Cbor]),
    Case::new("cbor/large-integers", &["VALUE-2"], "Integers beyond the range are texts of their digits.", large_integers)
        .needs(&[Cbor]),
    Case::new("cbor/other-tags", &["CBOR-7"], "Other tags should be ignored.", other_tags).needs(&[Cbor]),
    Case::new("cbor/accepts", &["CBOR-2", "CBOR-5", "CBOR-8", "CBOR-12"], "All that is right is taken.", accepts)
        .needs(&[Cbor])
        .stays(),
    Case::new("cbor/malformed", &["CBOR-3", "FRAME-4"], "What is not well-formed closes the connection.", malformed)
        .needs(&[Cbor]),
    Case::new("cbor/not-utf8", &["CBOR-4"], "A text that is not UTF-8 closes the connection.", not_utf8).needs(&[Cbor]),
    Case::new("cbor/simple-values", &["CBOR-9"], "Simple values without a meaning close the connection.", simple_values)
        .needs(&[Cbor]),
    Case::new("cbor/composite-keys", &["CBOR-13"], "An array or a map as a key closes the connection.", composite_keys)
        .needs(&[Cbor]),
    Case::new("cbor/refused-tags", &["CBOR-14"], "Tags whose content is not the value close the connection.", refused_tags)
        .needs(&[Cbor]),
];

fn writes(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Cbor;
    let mut peer = t.up()?;
    comes_back(
        t,
        &mut peer,
        &vectors::values(&[
            "nulls",
            "bools",
            "integers-s",
            "integers-3",
            "floats-s",
            "floats-l",
            "floats-o",
            "float-",
            "texts",
            "bytes",
            "arrays",
            "maps",
            "map-",
            "many",
        ]),
    )
}

fn comes_back_as(t: &mut Test<'_>, octets: &[u8], right: &serde_json::Value) -> Step {
    t.framing = Framing::Cbor;
    let mut peer = t.up()?;
    match notation::value(right).map_err(Failure::Suite)? {
        Value::Array(values) => encoded_comes_back(t, &mut peer, octets, &values),
        other => encoded_comes_back(t, &mut peer, octets, &[other]),
    }
}

fn lengths(t: &mut Test<'_>) -> Step {
    let octets = b"\x18\x05\x1b\0\0\0\0\0\0\0\x05\x39\0\x02\x7f\x61a\x78\x01b\xff\x5f\x41\xc0\xff\x9f\x01\xff\xbf\x61a\x01\xff\x9b\0\0\0\0\0\0\0\x01\xf6\x79\0\x01x";
    let right = json!([
        {"integer": "5"}, {"integer": "5"}, {"integer": "-3"}, "ab", {"bytes": "c0"}, [{"integer": "1"}],
        {"map": {"a": {"integer": "1"}}}, [null], "x"
    ]);
    comes_back_as(t, octets, &right)
}

fn floats(t: &mut Test<'_>) -> Step {
    let octets = b"\xf9\x3e\x00\xf9\x00\x01\xf9\x7c\x00\xf9\xfc\x00\xfa\x3f\xc0\0\0\xfb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xfb\x3f\xf8\0\0\0\0\0\0\xf9\x80\x00";
    let right = json!([
        {"float": "1.5"}, {"float": "5.960464477539063e-8"}, {"float": "Inf"}, {"float": "-Inf"}, {"float": "1.5"}, {"float": "0.1"},
        {"float": "1.5"}, {"float": "-0.0"}
    ]);
    comes_back_as(t, octets, &right)
}

fn self_described(t: &mut Test<'_>) -> Step {
    let octets = b"\xd9\xd9\xf7\x01\xd9\xd9\xf7\xd9\xd9\xf7\x61a\xa1\xd9\xd9\xf7\x61a\xd9\xd9\xf7\x81\xd9\xd9\xf7\xf5";
    comes_back_as(t, octets, &json!([{"integer": "1"}, "a", {"map": {"a": [true]}}]))?;
    let mut peer = t.up()?;
    let question = Question::new(&peer, &[Value::from(1)])?;
    peer.send_octets(&[b"\xd9\xd9\xf7", &question.octets[..]].concat(), "a message to the port echo with a tag in front");
    question.answer(&mut peer).map(drop)
}

fn undefined(t: &mut Test<'_>) -> Step {
    comes_back_as(t, b"\xf7\x82\xf7\xf6", &json!([null, [null, null]]))
}

fn keys(t: &mut Test<'_>) -> Step {
    let octets = b"\xa1\x05\x01\xa1\x38\x63\x01\xa1\x41\xe4\x01\xa1\xf5\x01\xa1\xf4\x01\xa1\xf6\x01\xa1\xfa\x3f\xc0\0\0\x01";
    let one = |key: &str| json!({"map": {key: {"integer": "1"}}});
    comes_back_as(t, octets, &json!([one("5"), one("-100"), one("ä"), one("1"), one(""), one(""), one("1.5")]))
}

fn large_integers(t: &mut Test<'_>) -> Step {
    let octets = b"\x3b\x80\0\0\0\0\0\0\0\x3b\xff\xff\xff\xff\xff\xff\xff\xff";
    comes_back_as(t, octets, &json!(["-9223372036854775809", "-18446744073709551616"]))
}

fn other_tags(t: &mut Test<'_>) -> Step {
    comes_back_as(t, b"\xc1\x05\xd8\x20\x61a\xd9\x01\x02\x81\x01", &json!([{"integer": "5"}, "a", [{"integer": "1"}]]))
}

fn accepts(t: &mut Test<'_>) -> Step {
    let peer = accepted(t, Framing::Cbor)?;
    t.ends(peer);
    Ok(())
}

fn malformed(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Cbor, &["CBOR-3", "FRAME-5"])
}

fn not_utf8(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Cbor, &["CBOR-4"])
}

fn simple_values(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Cbor, &["CBOR-9"])
}

fn composite_keys(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Cbor, &["CBOR-13"])
}

fn refused_tags(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Cbor, &["CBOR-14"])
}
