//! Chapter 5, section 5.2: json.

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::json;

use super::echo::{Question, accepted, encoded_comes_back, refused};
use crate::case::Case;
use crate::failure::{Failure, Step};
use crate::subject::Feature::{Cbor, Listen};
use crate::subject::Level::Simple;
use crate::test::Test;
use crate::vectors::{self, notation};

/// The cases of json.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "json/writes",
        &["JSON-1", "JSON-3", "VALUE-1"],
        "What a node sends in json matches the grammar, without white space.",
        writes,
    )
    .level(Simple),
    Case::new(
        "json/writes-what-came-in-cbor",
        &["JSON-7", "VALUE-1"],
        "Where the two directions have different framings, what json does not have is sent as text: NaN, infinities, octets.",
        writes_what_came_in_cbor,
    )
    .needs(&[Cbor, Listen]),
    Case::new(
        "json/white-space",
        &["JSON-2"],
        "White space within packets and any amount of it between them mean nothing.",
        white_space,
    )
    .level(Simple)
    .stays(),
    Case::new("json/texts", &["JSON-1"], "All escapes of json are read.", texts).level(Simple),
    Case::new(
        "json/numbers",
        &["JSON-8", "JSON-9"],
        "Numbers are integers without a fraction and an exponent, and floats otherwise, however they are written.",
        numbers,
    ),
    Case::new("json/large-integers", &["VALUE-2"], "Integers beyond the range are texts of their digits.", large_integers),
    Case::new("json/accepts", &["JSON-2", "JSON-4"], "All that is right is taken.", accepts).stays(),
    Case::new("json/malformed", &["JSON-4", "FRAME-4"], "What does not match the grammar closes the connection.", malformed),
    Case::new("json/not-utf8", &["JSON-5"], "What is not UTF-8 closes the connection.", not_utf8),
    Case::new("json/lone-surrogates", &["JSON-6"], "Half a surrogate pair closes the connection.", lone_surrogates),
];

/// Values in the notation of the vectors.
fn values(notation: &serde_json::Value) -> Step<Vec<Value>> {
    match notation::value(notation).map_err(Failure::Suite)? {
        Value::Array(values) => Ok(values),
        other => Ok(vec![other]),
    }
}

fn comes_back_as(t: &mut Test<'_>, text: &str, right: &serde_json::Value) -> Step {
    t.framing = Framing::Json;
    let mut peer = t.up()?;
    encoded_comes_back(t, &mut peer, text.as_bytes(), &values(right)?)
}

fn writes(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Json;
    let mut peer = t.up()?;
    super::echo::comes_back(
        t,
        &mut peer,
        &vectors::values(&["nulls", "bools", "integers-s", "integers-3", "floats-short", "texts", "arrays", "maps"]),
    )?;
    super::echo::comes_back(t, &mut peer, &["NaN".into(), "Infinity".into()])
}

fn writes_what_came_in_cbor(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Json;
    let mut peer = t.connect()?;
    peer.sends = Framing::Cbor;
    peer.handshake()?;
    super::echo::comes_back(t, &mut peer, &vectors::values(&["float", "bytes", "integers", "texts", "map"]))
}

fn white_space(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Json;
    let mut peer = t.up()?;
    let questions = (0..4).map(|number| Question::new(&peer, &[Value::from(number)])).collect::<Step<Vec<_>>>()?;
    let mut octets = Vec::new();
    for (question, space) in questions.iter().zip(["", "\n", " \t\r\n", "\n\n\n        \n"]) {
        octets.extend_from_slice(space.as_bytes());
        let text = String::from_utf8_lossy(&question.octets).replace(',', " ,\n\t").replace('[', "[\r\n ");
        octets.extend_from_slice(text.as_bytes());
    }
    peer.send_octets(&octets, "four messages with white space");
    for question in &questions {
        question.answer(&mut peer)?;
    }
    peer.send_octets(&b" \n".repeat(5000), "white space");
    t.ends(peer);
    Ok(())
}

fn texts(t: &mut Test<'_>) -> Step {
    let text = r#""\"\\\/\b\f\n\r\t","\u00e9\u00E9é","\ud83d\ude00😀\uD83D\uDE00","\u0000","\u2028","",{"\u0061":"\u0062"}"#;
    comes_back_as(t, text, &json!(["\"\\/\u{8}\u{c}\n\r\t", "ééé", "😀😀😀", "\u{0}", "\u{2028}", "", {"map": {"a": "b"}}]))
}

fn numbers(t: &mut Test<'_>) -> Step {
    let text = "0,-1,1e2,1E+2,100.0,-0.5,0.1,5e-324,1.7976931348623157e308,1e-400,-0,-0.0,9007199254740991,0.1000000000000000055511151231257827";
    let right = json!([
        {"integer": "0"}, {"integer": "-1"}, {"float": "100.0"}, {"float": "100.0"}, {"float": "100.0"}, {"float": "-0.5"}, {"float": "0.1"},
        {"float": "5e-324"}, {"float": "1.7976931348623157e308"}, {"float": "0.0"}, {"float": "-0.0"}, {"float": "-0.0"},
        {"integer": "9007199254740991"}, {"float": "0.1"}
    ]);
    comes_back_as(t, text, &right)
}

fn large_integers(t: &mut Test<'_>) -> Step {
    let text = "18446744073709551616,-9223372036854775809,100000000000000000000000000000000000000000";
    let right = json!(["18446744073709551616", "-9223372036854775809", "100000000000000000000000000000000000000000"]);
    comes_back_as(t, text, &right)
}

fn accepts(t: &mut Test<'_>) -> Step {
    let peer = accepted(t, Framing::Json)?;
    t.ends(peer);
    Ok(())
}

fn malformed(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Json, &["JSON-4", "FRAME-5"])
}

fn not_utf8(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Json, &["JSON-5"])
}

fn lone_surrogates(t: &mut Test<'_>) -> Step {
    refused(t, Framing::Json, &["JSON-6"])
}
