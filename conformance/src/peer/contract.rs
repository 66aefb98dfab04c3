//! The ports that a node under test offers (`CONTRACT.md`), as this side uses them; and proofs that nothing more comes.

use aemp_proto::value::Value;
use serde_json::{Value as Json, json};

use super::{Message, Peer, json};
use crate::failure::{Failure, Step, check};
use crate::wire::{Direction, readable};

/// Whether this is that text, or a number with those digits: languages that do not tell them apart may send either.
pub fn same(value: &Json, text: &str) -> bool {
    match value {
        Json::String(own) => own == text,
        Json::Number(number) => number.to_string() == text,
        _ => false,
    }
}

/// Where the answers come that prove that something was handled.
const SETTLED: &str = "suite-settled";

impl Peer {
    /// The ID with which the node under test has greeted.
    pub fn subject(&self) -> Step<String> {
        let greeting = self.greeting.as_ref().ok_or_else(|| Failure::Suite("no greeting was read".into()))?;
        Ok(greeting.node.as_str().to_owned())
    }

    /// The ID of a port of the node under test.
    pub fn their(&self, name: &str) -> Step<String> {
        Ok(format!("{}#{name}", self.subject()?))
    }

    /// Sends a message to the port `control`.
    pub fn control(&mut self, elements: &Json) -> Step {
        self.send(&to_port("control", elements))
    }

    /// Sends packets so that they can arrive in one read.
    pub fn send_together(&mut self, packets: &[Json]) -> Step {
        let mut all = Vec::new();
        for packet in packets {
            let octets = self.encode(packet)?;
            self.log.add(self.number, Direction::Sent, &octets, readable(packet.to_string().as_bytes()));
            all.extend(octets);
        }
        self.write(&all);
        Ok(())
    }

    /// Sends a packet of values that JSON does not have.
    pub fn send_values(&mut self, packet: &[Value]) -> Step {
        let octets = self.written(packet)?;
        self.send_octets(&octets, &Json::from_iter(packet.iter().map(json)).to_string());
        Ok(())
    }

    /// Has the node make a port that was not made by name or by spawning: its name.
    pub fn new_port(&mut self, kind: &str) -> Step<String> {
        self.control(&json!(["new", kind, self.port("suite-new")]))?;
        let answer = self.message("suite-new")?;
        let name = match answer.as_slice() {
            [Json::String(id)] => id.split_once('#').filter(|(node, _)| self.subject().is_ok_and(|own| own == *node)),
            _ => None,
        };
        let name = name.map(|(_, name)| name.to_owned()).filter(|name| !name.is_empty());
        name.ok_or_else(|| Failure::wrong("the ID of a new port (CONTRACT.md)", Json::from(answer)))
    }

    /// Proves that the node has handled what was sent before: its node port, its port `control` and its port `echo` have
    /// all answered something that came behind it, one after the other.
    pub fn settle(&mut self) -> Step {
        for by in [json!(["", "snd"]), json!(["control", "send"])] {
            self.probes += 1;
            let (name, text) = (SETTLED, format!("settled {}", self.probes));
            let mut packet = by;
            packet.as_array_mut().into_iter().for_each(|packet| packet.extend([json!(self.port(name)), json!(text)]));
            self.send(&packet)?;
            let what = format!("an answer to {packet}");
            let found = self.find(&what, |message| message.port() == name)?;
            check(found.elements[1..] == [json!(text)], what, found.shown())?;
        }
        self.probe()
    }

    /// Takes all packets that came up to now and fit.
    pub fn take(&mut self, fits: impl Fn(&Message) -> bool) -> Vec<Message> {
        let (taken, kept) = self.inbox.drain(..).partition(fits);
        self.inbox = Vec::into(kept);
        taken
    }

    /// Whether something that fits has come, up to now.
    pub fn has(&self, fits: impl Fn(&Message) -> bool) -> bool {
        self.inbox.iter().any(fits)
    }

    /// Takes apart what was read, as far as there are whole packets.
    pub fn gather(&mut self) -> Step {
        while let Some(message) = self.scan()? {
            self.inbox.push_back(message);
        }
        Ok(())
    }

    /// Takes what came to this side's port `name` up to now, after the node has settled: the elements of each message.
    pub fn all_messages(&mut self, name: &str) -> Step<Vec<Json>> {
        self.settle()?;
        let taken = self.take(|message| message.port() == name);
        Ok(taken.iter().map(|message| message.elements[1..].iter().cloned().collect()).collect())
    }

    /// Nothing has come to this side's port `name` when the node has settled.
    pub fn nothing_for(&mut self, name: &str) -> Step {
        let came = self.all_messages(name)?;
        check(came.is_empty(), format!("nothing for the suite's port {name:?}"), Json::from(came))
    }

    /// The reasons for which the port `port` of the node has ended, as it tells them next.
    pub fn ended_port(&mut self, port: &str) -> Step<Vec<Json>> {
        let told = self.request("kil0", |arguments| arguments.first().is_some_and(|name| same(name, port)))?;
        Ok(told[1..].to_vec())
    }

    /// How often the node has told that its port `port` has ended, when it has settled.
    pub fn all_ends(&mut self, port: &str) -> Step<Vec<Json>> {
        self.settle()?;
        let told = self.take(|message| {
            message.port().is_empty()
                && message.tag() == "kil0"
                && message.elements.get(2).is_some_and(|name| same(name, port))
        });
        Ok(told.iter().map(|message| message.elements[3..].iter().cloned().collect()).collect())
    }
}

/// The packet with these elements for a port.
pub fn to_port(name: &str, elements: &Json) -> Json {
    let elements = elements.as_array().cloned().unwrap_or_default();
    std::iter::once(json!(name)).chain(elements).collect()
}
