//! Packets: sending them, and finding among those that came the one that a case waits for.

use std::time::Instant;

use aemp_proto::framing::{Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::value::{Integer, Value};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::octets::with_octets;
use super::{Ending, Peer};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::wire::{Direction, readable};

/// A packet that came.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its elements, the name of the port first, as they came.
    pub values: Vec<Value>,
    /// The same as JSON, where bytes are text, for comparing where the kinds do not matter.
    pub elements: Vec<Json>,
    /// Its octets.
    pub octets: Vec<u8>,
}

/// A value as JSON: bytes as the text that stands for them, floats that JSON does not have as texts.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Integer(integer) => number(*integer),
        Value::Float(float) if float.is_finite() => json!(float),
        Value::Float(float) => json!(float.to_string()),
        Value::Text(text) => json!(text),
        Value::Bytes(octets) => json!(octets.iter().map(|octet| char::from(*octet)).collect::<String>()),
        Value::Array(values) => values.iter().map(json).collect(),
        Value::Map(map) => map.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}

fn number(integer: Integer) -> Json {
    integer.as_u64().map_or_else(|| json!(integer.as_i64()), |number| json!(number))
}

impl Message {
    fn read(framing: Framing, octets: Vec<u8>) -> Step<Self> {
        let wrong = |error: &dyn std::fmt::Display| Failure::wrong("a packet", format!("{}: {error}", readable(&octets)));
        let packet = Packet::parse(framing, &octets, &Limits::default()).map_err(|error| wrong(&error))?;
        let values: Vec<Value> = packet.decode().map_err(|error| wrong(&error))?;
        Ok(Message { elements: values.iter().map(json).collect(), values, octets })
    }

    /// The name of the port that it is for; the node port is the empty text.
    pub fn port(&self) -> &str {
        self.elements.first().and_then(Json::as_str).unwrap_or_default()
    }

    /// The tag, or the name of the request.
    pub fn tag(&self) -> &str {
        self.elements.get(1).and_then(Json::as_str).unwrap_or_default()
    }

    /// It as JSON.
    pub fn shown(&self) -> String {
        Json::from(self.elements.clone()).to_string()
    }
}

impl Peer {
    /// Sends a packet in the framing of this side.
    pub fn send(&mut self, packet: &Json) -> Step {
        let octets = self.written(packet)?;
        self.log.add(self.number, Direction::Sent, &octets, readable(packet.to_string().as_bytes()));
        self.write(&octets);
        Ok(())
    }

    /// The octets of a packet in the framing of this side.
    pub fn encode(&self, packet: &Json) -> Step<Vec<u8>> {
        self.written(packet)
    }

    /// The octets of a packet as this side writes them.
    pub(super) fn written<T: Serialize + ?Sized>(&self, packet: &T) -> Step<Vec<u8>> {
        let mut octets = Vec::new();
        let encoded = self.sends.encode(packet, &Limits::default(), &mut octets);
        encoded.map_err(|error| Failure::Suite(format!("a packet that cannot be written: {error}")))?;
        Ok(if self.octets && self.sends == Framing::Cbor { with_octets(&octets) } else { octets })
    }

    /// The next packet that has come whole, if there is one.
    pub(super) fn scan(&mut self) -> Step<Option<Message>> {
        let receives = self.receives.ok_or_else(|| Failure::Suite("packets before authentication".into()))?;
        let scanner = self.scanner.get_or_insert_with(|| Scanner::new(receives, Limits::default()));
        let found = scanner.scan(&self.input).map_err(|error| {
            let octets = readable(&self.input[..self.input.len().min(400)]);
            Failure::wrong("a well-formed packet", format!("{octets}: {error}")).breaks("FRAME-1")
        })?;
        match found {
            Scan::Packet { start, end } => {
                let octets: Vec<u8> = self.input.drain(..end).skip(start).collect();
                let message = Message::read(receives, octets)?;
                self.log.add(self.number, Direction::Received, &message.octets, readable(message.shown().as_bytes()));
                Ok(Some(message))
            }
            Scan::Partial { start } => {
                self.input.drain(..start);
                Ok(None)
            }
        }
    }

    /// The first packet that fits, among those that came before and those that come; the others are kept. `what` describes
    /// it.
    pub fn find(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> Step<Message> {
        self.find_before(Instant::now() + self.patience, what, fits)
    }

    /// The same, with an end to the waiting.
    pub fn find_before(&mut self, until: Instant, what: &str, fits: impl Fn(&Message) -> bool) -> Step<Message> {
        if let Some(message) = self.inbox.iter().position(&fits).and_then(|at| self.inbox.remove(at)) {
            return Ok(message);
        }
        loop {
            while let Some(message) = self.scan()? {
                if fits(&message) {
                    return Ok(message);
                }
                self.answer_sign_of_life(&message)?;
                self.inbox.push_back(message);
            }
            if !self.read_some(until)? {
                let others: Vec<_> = self.inbox.iter().map(Message::shown).collect();
                let others =
                    if others.is_empty() { String::new() } else { format!("; other packets: {}", others.join(" ")) };
                return Err(Failure::wrong(what, self.nothing_more() + &others));
            }
        }
    }

    /// A node may ask whether this side lives [PEER-10], by an echo to itself; it should not be given up for that.
    fn answer_sign_of_life(&mut self, message: &Message) -> Step {
        if !message.port().is_empty() || message.tag() != "snd" {
            return Ok(());
        }
        let Some(to) = message.elements.get(2).and_then(Json::as_str) else { return Ok(()) };
        let (node, port) = to.split_once('#').unwrap_or((to, ""));
        if self.greeting.as_ref().is_some_and(|greeting| greeting.node.as_str() == node) {
            let echo = std::iter::once(json!(port)).chain(message.elements[3..].iter().cloned()).collect();
            self.send(&echo)?;
        }
        Ok(())
    }

    /// The elements of the next message to this side's port `name`.
    pub fn message(&mut self, name: &str) -> Step<Vec<Json>> {
        let found = self.find(&format!("a message to the suite's port {name:?}"), |message| message.port() == name)?;
        Ok(found.elements[1..].to_vec())
    }

    /// The next message to this side's port `name` has exactly these elements.
    pub fn expect(&mut self, name: &str, elements: &Json) -> Step {
        let what = format!("{elements} to the suite's port {name:?}");
        let found = self.find(&what, |message| message.port() == name)?;
        check(Json::from(found.elements[1..].to_vec()) == *elements, what, found.shown())
    }

    /// The next request of this name that fits, among those to this side's node port: its arguments.
    pub fn request(&mut self, tag: &str, fits: impl Fn(&[Json]) -> bool) -> Step<Vec<Json>> {
        let what = format!("[\"\", {tag:?}, …]");
        let found =
            self.find(&what, |message| message.port().is_empty() && message.tag() == tag && fits(&message.elements[2..]))?;
        Ok(found.elements[2..].to_vec())
    }

    /// Takes all packets that came before an echo out of the inbox: what a node sends because of what was sent to it, up to
    /// now.
    pub fn until_echo(&mut self) -> Step<Vec<Message>> {
        self.probe()?;
        Ok(self.inbox.drain(..).collect())
    }

    /// Proves by an echo of the contract's port that the connection stands, and that all that was sent before has arrived.
    pub fn probe(&mut self) -> Step {
        self.probes += 1;
        let (name, number) = ("suite-probe", self.probes);
        self.send(&json!(["echo", number, self.port(name)]))?;
        let what = format!("an answer to [\"echo\",{number},{:?}]", self.port(name));
        let found = self.find(&what, |message| message.port() == name)?;
        let right = [json!(number), json!(number.to_string())].contains(found.elements.get(1).unwrap_or(&Json::Null));
        check(right && found.elements.len() == 2, what, found.shown())
    }

    /// The other side must close, at once and without a word: nothing may come before the end.
    pub fn expect_end(&mut self) -> Step {
        match self.ended()? {
            Some(Ending::Closed | Ending::Reset) => {
                let said = readable(&self.input[..self.input.len().min(400)]);
                check(self.input.is_empty(), "the end of the connection, without a word", format!("{said:?}, then the end"))
                    .breaks("ERR-1")
            }
            None => Err(Failure::wrong("the end of the connection", self.nothing_more())),
        }
    }
}
