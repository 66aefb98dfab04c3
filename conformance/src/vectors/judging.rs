//! Comparing an answer with what is right.

use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::value::Value;
use serde_json::Value as Json;

use super::case::{Case, Packets, Question, Right, Verdict};
use super::notation::{alike, notation, same, unhex, value};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::requirement;
use crate::written;

/// What is said about an answer that is as good as the right one.
const ANOTHER: &str = "another result than the recommended one";

/// Judges the answer to a question. A text says what is worth knowing about a right one.
pub(super) fn judge(case: &Case, question: &Question, answer: &Json) -> Step<Option<&'static str>> {
    if answer["unimplemented"] == true {
        return Err(Failure::Unimplemented("the program answers so".into()));
    }
    let accepted = match &question.right {
        // `"goes_on": false` and the like are a refusal, too.
        Right::Fields(right, _) => right
            .as_object()
            .into_iter()
            .flatten()
            .all(|(key, right)| *right != Json::Bool(true) || answer[key] != Json::Bool(false)),
        _ => true,
    };
    let broken = question.breaks.or_else(|| weakest(case));
    match answer.get("error") {
        None if accepted => result(case, question, answer).map_err(|failure| broken_by_default(failure, broken)),
        error => {
            rest_is_right(case, question, answer).map_err(|failure| broken_by_default(failure, broken))?;
            refused(case, error.unwrap_or(&Json::Null)).map(|()| None)
        }
    }
}

fn broken_by_default(failure: Failure, id: Option<&'static str>) -> Failure {
    match failure {
        Failure::Wrong { requirement: None, expected, actual } => Failure::Wrong { requirement: id, expected, actual },
        other => other,
    }
}

fn known(id: &str) -> Option<&'static str> {
    requirement::find(id).map(|requirement| requirement.id.as_str())
}

/// What a wrong result breaks, where the case says no more: where the input may be refused as well, the weakest requirement.
fn weakest(case: &Case) -> Option<&'static str> {
    let ids = case.requirements.iter();
    let found = ids.filter_map(|id| requirement::find(id));
    let found = match case.verdict {
        Verdict::Either => found.max_by_key(|requirement| requirement.strength),
        _ => found.min_by_key(|requirement| requirement.strength),
    };
    found.map(|requirement| requirement.id.as_str())
}

/// The program refuses the input.
fn refused(case: &Case, error: &Json) -> Step {
    let said = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
    let wanted = || case.errors.join(", or ");
    match (case.verdict, case.errors.first()) {
        (Verdict::Valid, _) => Err(Failure::wrong("the input to be accepted", format!("the error {said:?}"))),
        (Verdict::Either, None) => Err(Failure::wrong("the input to be accepted", format!("the error {said:?}")))
            .map_err(|failure| broken_by_default(failure, weakest(case))),
        (_, best) => {
            let Some(id) = reported(&said) else { return Ok(()) };
            if case.errors.iter().any(|right| right == id) {
                return Ok(());
            }
            let broken = if case.order_is_free { Some("ERR-2") } else { best.and_then(|best| known(best)) };
            let failure =
                Failure::wrong(format!("the error {}, or one without a requirement", wanted()), format!("{said:?}"));
            Err(broken_by_default(failure, broken))
        }
    }
}

/// The requirement with whose ID an error begins.
fn reported(error: &str) -> Option<&str> {
    let id = error.split(|char: char| !char.is_ascii_alphanumeric() && char != '-').next()?;
    known(id).map(|_| id)
}

/// What stands beside an error.
fn rest_is_right(case: &Case, question: &Question, answer: &Json) -> Step {
    if case.verdict == Verdict::Valid {
        return Ok(());
    }
    match &question.right {
        Right::Fields(right, kept) => kept.iter().try_for_each(|key| equal(key, &right[*key], &answer[*key])),
        Right::Packets(packets) => delivered(packets, answer).breaks("FRAME-10"),
        _ => Ok(()),
    }
}

fn equal(key: &str, right: &Json, answer: &Json) -> Step {
    check(right == answer, format!("{key:?}: {right}"), format!("{key:?}: {answer}"))
}

/// The program accepts the input.
fn result(case: &Case, question: &Question, answer: &Json) -> Step<Option<&'static str>> {
    let open = case.verdict == Verdict::Either;
    if case.verdict == Verdict::Invalid {
        if let Right::Packets(packets) = &question.right {
            delivered(packets, answer).breaks("FRAME-10")?;
            if packets.early && answer["incomplete"] == true {
                return Err(Failure::wrong(
                    "an error, since nothing can follow that makes it right",
                    "\"incomplete\": true",
                ))
                .breaks("FRAME-9");
            }
        }
        let broken = case.errors.first().and_then(|id| known(id));
        let failure =
            Failure::wrong(format!("the error {}, or one without a requirement", case.errors.join(", or ")), shown(answer));
        return Err(broken_by_default(failure, broken));
    }
    match &question.right {
        Right::Fields(right, _) => {
            // A program need not tell the tag.
            let told = |key: &str| key != "tag" || answer.get(key).is_some();
            let mut fields = right.as_object().into_iter().flatten().filter(|(key, _)| told(key));
            fields.try_for_each(|(key, right)| equal(key, right, &answer[key]))?;
            Ok(None)
        }
        Right::Any(rights) => {
            let fits = |right: &Json| right.as_object().into_iter().flatten().all(|(key, right)| answer[key] == *right);
            let all: Vec<_> = rights.iter().map(Json::to_string).collect();
            check(rights.iter().any(fits), all.join(", or "), shown(answer)).map(|()| None)
        }
        Right::Packets(packets) => {
            let remark = if open { delivered_alike(packets, answer)? } else { delivered(packets, answer).map(|()| None)? };
            let (right, said) = (packets.incomplete, &answer["incomplete"]);
            check(*said == right, format!("\"incomplete\": {right}"), format!("\"incomplete\": {said}"))
                .breaks("FRAME-7")?;
            Ok(remark)
        }
        Right::Value(right) => {
            let came = read(&answer["value"])?;
            compared(open, same(right, &came), alike(right, &came), right, &came)
        }
        Right::Relayed(framing, right) => {
            let came = packet(*framing, &answer["octets"])?;
            // A relay may pass octets on, so that what stands for a float stays one.
            compared(open, same(right, &came), open, right, &came)
        }
        Right::Written(framing, right) => {
            let octets = octets(&answer["octets"])?;
            let mut breaches = written::breaches_saying(*framing, &octets, right);
            // What must be, before what should be.
            breaches.sort_by_key(|breach| requirement::find(breach.requirement).map(|requirement| requirement.strength));
            breaches.into_iter().next().map_or(Ok(None), |breach| Err(breach.into()))
        }
    }
}

fn compared(open: bool, same: bool, alike: bool, right: &Value, came: &Value) -> Step<Option<&'static str>> {
    match same {
        true => Ok(None),
        false if open && alike => Ok(Some(ANOTHER)),
        false => Err(Failure::wrong(notation(right), notation(came))),
    }
}

fn read(notation: &Json) -> Step<Value> {
    value(notation).map_err(|what| Failure::wrong("a value as in PROTOCOL.md", what))
}

fn octets(digits: &Json) -> Step<Vec<u8>> {
    let octets = digits.as_str().ok_or_else(|| format!("{digits}")).and_then(unhex);
    octets.map_err(|what| Failure::wrong("\"octets\" in hexadecimal", what))
}

fn packet(framing: Framing, digits: &Json) -> Step<Value> {
    let octets = octets(digits)?;
    let wrong =
        |error: &dyn std::fmt::Display| Failure::wrong(format!("a packet in {framing}"), format!("{digits}: {error}"));
    let packet = Packet::parse(framing, &octets, &Limits::default()).map_err(|error| wrong(&error))?;
    packet.decode().map_err(|error| wrong(&error))
}

/// The right packets came. Those that may be missing may be.
fn delivered(right: &Packets, answer: &Json) -> Step {
    if right.count {
        let missing = right.optional.len();
        let all = right.packets.len();
        let fits = answer["count"].as_u64().and_then(|count| usize::try_from(count).ok());
        let fits = fits.is_some_and(|count| (all - missing..=all).contains(&count));
        return check(fits, format!("\"count\": {all}"), format!("\"count\": {}", answer["count"]));
    }
    let came = packets(answer)?;
    let mut left = came.iter().peekable();
    for (place, packet) in right.packets.iter().enumerate() {
        let optional = right.optional.contains(&place);
        if left.next_if(|came| same(packet, came)).is_some() {
            continue;
        }
        let expected = format!("packet {place}: {}", notation(packet));
        let actual = left.peek().map_or_else(|| format!("{} packets", came.len()), |came| notation(came).to_string());
        match left.peek() {
            // It is there, and another one than it should be.
            Some(_) if optional && right.packets.len() == came.len() => {
                return Err(Failure::wrong(expected, actual)).breaks("VALUE-4");
            }
            _ if optional => {}
            _ => return Err(Failure::wrong(expected, actual)),
        }
    }
    let more = left.next();
    check(
        more.is_none(),
        format!("{} packets", right.packets.len()),
        more.map_or(String::new(), |more| notation(more).to_string()),
    )
}

/// The same, where the specification leaves something open.
fn delivered_alike(right: &Packets, answer: &Json) -> Step<Option<&'static str>> {
    let exactly = delivered(right, answer);
    if exactly.is_ok() || right.count {
        return exactly.map(|()| None);
    }
    let came = packets(answer)?;
    let fits = came.len() == right.packets.len() && came.iter().zip(&right.packets).all(|(came, right)| alike(right, came));
    if fits { Ok(Some(ANOTHER)) } else { exactly.map(|()| None) }
}

fn packets(answer: &Json) -> Step<Vec<Value>> {
    let packets = answer["packets"].as_array().ok_or_else(|| Failure::wrong("\"packets\"", shown(answer)))?;
    packets.iter().map(read).collect()
}

fn shown(answer: &Json) -> String {
    let text = answer.to_string();
    text.char_indices().nth(1000).map_or(text.clone(), |(end, _)| format!("{}…", &text[..end]))
}
