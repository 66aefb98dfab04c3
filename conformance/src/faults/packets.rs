//! The packets that pass through the front.

use aemp_proto::framing::{Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::value::Value;

use super::{Between, Fate, Fault, Way};

/// What is larger passes as it is: nodes have limits, too, and the front is not to be what falls over.
const LIMITS: Limits = Limits { octets: usize::MAX, depth: 4096, values: 1 << 20 };

/// The packets of one direction.
pub(super) struct Packets {
    framing: Framing,
    scanner: Scanner,
    held: Vec<u8>,
    /// Something malformed has passed: all behind it passes as it is.
    malformed: bool,
    address: Option<[String; 2]>,
}

/// What comes of octets.
#[derive(Default)]
pub(super) struct Passed {
    /// What is to be sent on.
    pub(super) forward: Vec<u8>,
    /// What is to be sent back.
    pub(super) back: Vec<Vec<Value>>,
    /// The connection is to be closed.
    pub(super) close: bool,
}

impl Packets {
    /// `address` has the address of the node, and the one that others have to be told instead.
    pub(super) fn new(framing: Framing, address: Option<[String; 2]>) -> Self {
        Packets { framing, scanner: Scanner::new(framing, LIMITS), held: Vec::new(), malformed: false, address }
    }

    /// Takes octets that passed in one direction. Whole packets only are sent on, unless no packet is looked at.
    pub(super) fn take(&mut self, octets: &[u8], way: Way, between: &Between, fault: &mut Fault) -> Passed {
        let mut passed = Passed::default();
        let mut octets = octets.to_vec();
        if way == Way::In
            && let Some(change) = &mut fault.octets_in
        {
            change(between, &mut octets);
        }
        let looks = match way {
            Way::In => fault.packet_in.is_some() || fault.deaf,
            Way::Out => true,
        };
        if !looks || self.malformed {
            if !(self.malformed && fault.deaf) {
                passed.forward = octets;
            }
            return passed;
        }
        self.held.append(&mut octets);
        loop {
            match self.scanner.scan(&self.held) {
                Ok(Scan::Packet { start, end }) => {
                    let octets: Vec<u8> = self.held.drain(..end).skip(start).collect();
                    self.packet(octets, way, between, fault, &mut passed);
                    if passed.close {
                        return passed;
                    }
                }
                Ok(Scan::Partial { start }) => {
                    self.held.drain(..start);
                    return passed;
                }
                Err(_) => {
                    self.malformed = true;
                    let held = std::mem::take(&mut self.held);
                    if !(way == Way::In && fault.deaf) {
                        passed.forward.extend(held);
                    }
                    return passed;
                }
            }
        }
    }

    fn packet(&self, mut octets: Vec<u8>, way: Way, between: &Between, fault: &mut Fault, passed: &mut Passed) {
        let mut message =
            Packet::parse(self.framing, &octets, &LIMITS).ok().and_then(|packet| packet.decode::<Vec<Value>>().ok());
        if let (Way::Out, Some(message), Some(address)) = (way, &mut message, &self.address)
            && message.iter_mut().fold(false, |was, value| stand_for(value, address) | was)
            && let Some(changed) = encode(self.framing, message)
        {
            octets = changed;
        }
        let decide = if way == Way::In { &mut fault.packet_in } else { &mut fault.packet_out };
        let fate = match (&message, decide) {
            (Some(message), Some(decide)) => decide(between, message),
            _ => Fate::Pass,
        };
        match fate {
            Fate::Pass => forward(octets, way, between, fault, passed),
            Fate::Drop => {}
            Fate::Replace(messages) => {
                for octets in messages.iter().filter_map(|message| encode(self.framing, message)) {
                    forward(octets, way, between, fault, passed);
                }
            }
            Fate::Answer(messages) => passed.back.extend(messages),
            Fate::Close => passed.close = true,
        }
    }

    /// What was held back, when nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// A message in a framing.
pub(super) fn encode(framing: Framing, message: &[Value]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    framing.encode(message, &LIMITS, &mut octets).ok()?;
    Some(octets)
}

/// Sends octets of a packet on.
fn forward(mut octets: Vec<u8>, way: Way, between: &Between, fault: &mut Fault, passed: &mut Passed) {
    if way == Way::Out
        && let Some(change) = &mut fault.octets_out
    {
        change(between, &mut octets);
    }
    passed.forward.extend(octets);
}

/// Puts the address of the front in the place of that of the node; says whether it was there.
fn stand_for(value: &mut Value, address: &[String; 2]) -> bool {
    let [node, front] = address;
    match value {
        Value::Text(text) if text == node => {
            text.clone_from(front);
            true
        }
        Value::Bytes(octets) if octets == node.as_bytes() => {
            *octets = front.clone().into_bytes();
            true
        }
        Value::Array(values) => values.iter_mut().fold(false, |was, value| stand_for(value, address) | was),
        Value::Map(map) => map.values_mut().fold(false, |was, value| stand_for(value, address) | was),
        _ => false,
    }
}
