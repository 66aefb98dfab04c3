//! What the cases of chapters 5 and 6 have in common: values that come back from the port `echo`, and octets that must be
//! refused.

use aemp_proto::framing::{Framing, Limits};
use aemp_proto::value::Value;

use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, Peer};
use crate::requirement::{self, Strength};
use crate::test::{Test, unique};
use crate::vectors::{self, Stream};
use crate::written;

/// The octets of a packet.
pub(super) fn packet(framing: Framing, values: &[Value]) -> Step<Vec<u8>> {
    let mut octets = Vec::new();
    let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
    let written = framing.encode(values, &unlimited, &mut octets);
    written.map_err(|error| Failure::Suite(format!("a packet that cannot be written: {error}")))?;
    Ok(octets)
}

/// A message to `echo`, to be answered at a port of this side that nothing else comes to.
pub(super) struct Question {
    /// The port of this side.
    pub(super) port: String,
    /// The message.
    pub(super) octets: Vec<u8>,
}

impl Question {
    /// Has these elements sent back.
    pub(super) fn new(peer: &Peer, elements: &[Value]) -> Step<Self> {
        let port = unique("echo")?;
        let name = |text: &str| if peer.octets { Value::Bytes(text.bytes().collect()) } else { text.into() };
        let mut values = vec![name("echo")];
        values.extend_from_slice(elements);
        values.push(name(&peer.port(&port)));
        Ok(Question { octets: packet(peer.sends, &values)?, port })
    }

    /// The same, of elements that are encoded already, `count` of them.
    pub(super) fn encoded(peer: &Peer, elements: &[u8], count: usize) -> Step<Self> {
        let port = unique("echo")?;
        let to = peer.port(&port);
        let octets = match peer.sends {
            // An indefinite length.
            Framing::Cbor => {
                let text = |text: &str| [&[0x78, u8::try_from(text.len()).unwrap_or(u8::MAX)], text.as_bytes()].concat();
                [&[0x9f], &text("echo")[..], elements, &text(&to), &[0xff]].concat()
            }
            Framing::Storable => {
                let text = |text: &str| [&[0x17, u8::try_from(text.len()).unwrap_or(u8::MAX)], text.as_bytes()].concat();
                let count = u32::try_from(count + 2).unwrap_or(u32::MAX).to_be_bytes();
                image(&[&[0x05, 0x0b, 0x02], &count[..], &text("echo"), elements, &text(&to)].concat())
            }
            _ => [br#"["echo","#, elements, br#",""#, to.as_bytes(), br#""]"#].concat(),
        };
        Ok(Question { port, octets })
    }

    /// Waits for the answer.
    pub(super) fn answer(&self, peer: &mut Peer) -> Step<Message> {
        peer.find(&format!("an answer of the port echo to {:?}", self.port), |message| message.port() == self.port)
    }

    /// Whether an answer has come, up to now.
    pub(super) fn is_answered(&self, peer: &Peer) -> bool {
        peer.has(|message| message.port() == self.port)
    }
}

/// An image of storable, behind its length.
pub(super) fn image(octets: &[u8]) -> Vec<u8> {
    let mut length = vec![u8::try_from(octets.len() & 0x7f).unwrap_or(0)];
    let mut left = octets.len() >> 7;
    while left > 0 {
        length.insert(0, 0x80 | u8::try_from(left & 0x7f).unwrap_or(0));
        left >>= 7;
    }
    [length, octets.to_vec()].concat()
}

/// Has the port `echo` send elements back, and judges what came.
pub(super) fn comes_back(t: &mut Test<'_>, peer: &mut Peer, elements: &[Value]) -> Step {
    let question = Question::new(peer, elements)?;
    peer.send_octets(&question.octets, "values for the port echo");
    let answer = question.answer(peer)?;
    judge(t, peer, &question.port, elements, &answer)
}

/// Has the port `echo` send back elements that are encoded already, and judges what came.
pub(super) fn encoded_comes_back(t: &mut Test<'_>, peer: &mut Peer, octets: &[u8], elements: &[Value]) -> Step {
    let question = Question::encoded(peer, octets, elements.len())?;
    peer.send_octets(&question.octets, "encoded values for the port echo");
    let answer = question.answer(peer)?;
    judge(t, peer, &question.port, elements, &answer)
}

/// Whether a packet says what it has to, by the table in section 5.5, and is written as a sender has to.
pub(super) fn judge(t: &mut Test<'_>, peer: &Peer, port: &str, elements: &[Value], message: &Message) -> Step {
    let mut right = vec![Value::from(port)];
    right.extend_from_slice(elements);
    let framing = peer.receives.unwrap_or(Framing::Json);
    for breach in written::breaches_saying(framing, &message.octets, &Value::Array(right.clone())) {
        let strength = requirement::find(breach.requirement).map(|requirement| requirement.strength);
        match strength {
            Some(Strength::Must) if breach.requirement == "VALUE-1" => {
                // A language that does not tell some kinds apart sends what stands for the value.
                let stands = right.len() == message.values.len()
                    && right.iter().zip(&message.values).all(|(right, came)| stands_for(right, came));
                check(stands, format!("{right:?}"), message.shown()).breaks("VALUE-1")?;
                t.should("VALUE-11", false, breach.expected, breach.actual);
            }
            Some(Strength::Must) => return Err(breach.into()),
            _ => t.should(breach.requirement, false, breach.expected, breach.actual),
        }
    }
    Ok(())
}

/// Whether a value is the same, or one that stands for it in a language that does not tell them apart (section 5.6).
fn stands_for(right: &Value, came: &Value) -> bool {
    match (right, came) {
        (Value::Array(right), Value::Array(came)) => {
            right.len() == came.len() && right.iter().zip(came).all(|(right, came)| stands_for(right, came))
        }
        (Value::Map(right), Value::Map(came)) => {
            right.keys().eq(came.keys()) && right.values().zip(came.values()).all(|(right, came)| stands_for(right, came))
        }
        _ => {
            let (right, came) = (text(right), text(came));
            let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<f64>().ok());
            // Some languages have 15 digits of a float, and integers up to 2^53.
            let near = |left: f64, right: f64| left == right || (left - right).abs() <= left.abs() * 1e-14;
            right == came
                || number(&right)
                    .zip(number(&came))
                    .is_some_and(|(one, other)| near(one, other) || one.is_nan() && other.is_nan())
        }
    }
}

/// The text that stands for a value, if one does.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Bytes(octets) => Some(octets.iter().map(|octet| char::from(*octet)).collect()),
        Value::Integer(integer) => Some(integer.to_string()),
        Value::Float(float) => Some(float.to_string()),
        Value::Bool(true) => Some("1".into()),
        // What stands for it is `0`, or the empty text.
        Value::Bool(false) => Some(String::new()),
        _ => None,
    }
}

/// At most so many streams that break one requirement are tried: each needs a connection.
const STREAMS: usize = 40;

/// Streams that break `id`, evenly spread over those of the vectors.
pub(super) fn breaking(framing: Framing, id: &str) -> Vec<Stream> {
    let all: Vec<_> = vectors::streams(framing).into_iter().filter(|stream| stream.breaks == Some(id)).collect();
    let step = all.len().div_ceil(STREAMS).max(1);
    all.into_iter().step_by(step).collect()
}

/// Each of the streams that break one of these requirements must be refused by closing, without a word, on a connection that
/// worked.
pub(super) fn refused(t: &mut Test<'_>, framing: Framing, ids: &[&'static str]) -> Step {
    t.framing = framing;
    for id in ids {
        let streams = breaking(framing, id);
        if streams.is_empty() {
            return Err(Failure::Suite(format!("no vector breaks {id}")));
        }
        for stream in streams {
            refuses(t, &stream.octets, &format!("{}: {}", stream.name, stream.about), id)?;
        }
    }
    Ok(())
}

/// These octets must be refused.
pub(super) fn refuses(t: &mut Test<'_>, octets: &[u8], about: &str, id: &'static str) -> Step {
    let mut peer = t.up()?;
    peer.probe()?;
    peer.send_octets(octets, about);
    peer.expect_end().map_err(|failure| match failure {
        Failure::Wrong { requirement: None, expected, actual } => {
            Failure::Wrong { requirement: Some(id), expected: format!("{expected}, behind {about}"), actual }
        }
        other => other,
    })
}

/// Each of the streams of the vectors that are right must be taken, on one connection.
pub(super) fn accepted(t: &mut Test<'_>, framing: Framing) -> Step<Peer> {
    t.framing = framing;
    let mut peer = t.up()?;
    for stream in vectors::streams(framing).into_iter().filter(|stream| stream.breaks.is_none()) {
        peer.send_octets(&stream.octets, &format!("{}: {}", stream.name, stream.about));
        peer.probe().map_err(|failure| match failure {
            Failure::Wrong { requirement, expected, actual } => Failure::Wrong {
                requirement,
                expected: format!("{expected}, behind {}: {}", stream.name, stream.about),
                actual,
            },
            other => other,
        })?;
    }
    Ok(peer)
}
