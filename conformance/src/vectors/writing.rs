//! Packets to be written, which the suite reads.

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::{Value as Json, json};

use super::case::{Case, Question, Right, Verdict};
use super::files::belongs_to;
use super::notation::value;
use crate::subject::Level;

/// A name, what it is about, the packet, and the requirements that it shows beside those of the framing.
type Packet = (&'static str, &'static str, Json, &'static [&'static str]);

/// What is written, and which requirements it shows beside those of the framing.
fn packets() -> Vec<Packet> {
    let integers = |numbers: &[&str]| numbers.iter().map(|number| json!({"integer": number})).collect::<Json>();
    let floats = |numbers: &[&str]| numbers.iter().map(|number| json!({"float": number})).collect::<Json>();
    let long = "long text ".repeat(40);
    vec![
        ("message", "a message", json!(["greeter", "hello", "alice#me"]), &["MSG-1"]),
        ("keepalive", "an empty packet", json!([]), &[]),
        ("nulls", "nulls", json!([null, [null], null]), &[]),
        ("bools", "more than one true and false", json!([true, false, [true], {"map": {"a": false}}]), &[]),
        (
            "integers-small",
            "integers of all small sizes",
            integers(&["0", "-1", "23", "24", "-24", "-25", "127", "-128", "128", "-129", "255", "256"]),
            &[],
        ),
        ("integers-32-bits", "integers up to 32 bits", integers(&["65535", "65536", "2147483647", "-2147483648"]), &[]),
        (
            "integers-large",
            "integers beyond 32 bits",
            integers(&["2147483648", "-2147483649", "4294967296", "9007199254740993"]),
            &[],
        ),
        (
            "integers-largest",
            "the largest integers",
            integers(&["18446744073709551615", "9223372036854775808", "9223372036854775807", "-9223372036854775808"]),
            &[],
        ),
        ("floats-short", "floats of 32 bits", floats(&["1.5", "-0.25", "3.4028234663852886e38", "1e-45"]), &[]),
        (
            "floats-long",
            "floats of 64 bits",
            floats(&["0.1", "-1.1", "1e100", "5e-324", "1.7976931348623157e308", "123456789.12345679"]),
            &[],
        ),
        (
            "floats-whole",
            "whole floats: they are no integers",
            floats(&["0.0", "2.0", "-3.0", "1e15", "4294967296.0", "1e22"]),
            &[],
        ),
        ("float-minus-zero", "-0.0", floats(&["-0.0"]), &[]),
        ("floats-odd", "NaN and the infinities", floats(&["NaN", "Inf", "-Inf"]), &["JSON-7"]),
        (
            "texts",
            "texts of all lengths and planes",
            json!(["", "é", "☺", "😀", "a\u{0}b", "\u{7f}\u{80}\u{2028}", long]),
            &[],
        ),
        ("texts-to-escape", "characters that json escapes", json!(["\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}", "</script>"]), &[]),
        (
            "texts-like-numbers",
            "texts that look like something else",
            json!(["1", "-0", "1.5", "true", "null", "NaN", ""]),
            &[],
        ),
        (
            "bytes",
            "octets",
            json!([{"bytes": ""}, {"bytes": "00"}, {"bytes": "61"}, {"bytes": "c3a4e4ff80"}, {"bytes": "ab".repeat(300)}]),
            &[],
        ),
        ("arrays", "arrays within arrays", json!([[], [[]], [[], ["a", ["b"]]]]), &[]),
        ("maps", "maps", json!([{"map": {}}, {"map": {"a": {"integer": "1"}, "b": {"map": {"c": []}}}}]), &["VALUE-3"]),
        (
            "map-keys",
            "keys that are empty, long or not ASCII",
            json!([{"map": {"": null, "é": true, "☺": "x", "1": "y", "a b": [], long.clone(): ""}}]),
            &["VALUE-3"],
        ),
        (
            "map-keys-alike",
            "keys that differ in little",
            json!([{"map": {"a": "1", "A": "2", "a ": "3", "\u{e9}": "4", "e\u{301}": "5", "1": "6", "01": "7", "1.0": "8"}}]),
            &["VALUE-3"],
        ),
        ("many", "more elements than a short length has", Json::from(vec![json!({"integer": "7"}); 300]), &[]),
        ("deep", "sixty levels", (0..60).fold(json!([]), |inner, _| json!([inner])), &[]),
    ]
}

/// The elements of the packets whose names begin with one of these.
pub(super) fn elements(names: &[&str]) -> Vec<Value> {
    let wanted = packets().into_iter().filter(|(id, ..)| names.iter().any(|name| id.starts_with(name)));
    let values = wanted.flat_map(|(_, _, packet, _)| match value(&packet) {
        Ok(Value::Array(elements)) => elements,
        _ => Vec::new(),
    });
    values.collect()
}

/// All of them, in each framing.
pub(super) fn all() -> Vec<Case> {
    let framings = [Framing::Json, Framing::Cbor, Framing::Storable];
    framings.into_iter().flat_map(|framing| packets().into_iter().map(move |packet| case(framing, packet))).collect()
}

fn case(framing: Framing, (id, about, packet, shows): Packet) -> Case {
    let of_framing: &[&str] = match framing {
        Framing::Cbor => &["VALUE-1", "CBOR-1", "CBOR-6", "CBOR-10", "CBOR-11", "VALUE-11"],
        Framing::Storable => &["VALUE-1", "STORABLE-1", "STORABLE-12", "STORABLE-13", "STORABLE-14", "VALUE-11"],
        _ => &["VALUE-1", "JSON-1", "JSON-3", "VALUE-11"],
    };
    let shows = shows.iter().filter(|id| framing == Framing::Json || **id != "JSON-7");
    let mut case = Case {
        name: format!("write/{id}"),
        about: about.into(),
        framing: Some(framing),
        requirements: of_framing
            .iter()
            .chain(["FRAME-1", "FRAME-2"].iter())
            .chain(shows)
            .map(|id| (*id).to_owned())
            .collect(),
        level: Level::Simple,
        needs: Vec::new(),
        verdict: Verdict::Valid,
        errors: Vec::new(),
        order_is_free: false,
        questions: Vec::new(),
    };
    belongs_to(framing, &mut case);
    let right = value(&packet).expect("a value in the notation of the vectors");
    let request = json!({"operation": "write", "framing": framing.name(), "packet": packet});
    case.questions.push(Question::new(request, Right::Written(framing, right)));
    case
}
