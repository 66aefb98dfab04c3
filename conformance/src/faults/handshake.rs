//! The lines that pass through the front. What a fault changes in them is hidden from both sides: the front knows the
//! secret, so it can prove to each side what that side wants to see proven.

use aemp_proto::auth::{Method, Secret, Transcript};
use aemp_proto::line::{Authentication, MAX_LINE};

use super::{Between, Fault, Lines, Proof, Reads, Way};

/// The lines of one direction, as far as they have come.
#[derive(Default)]
pub(super) struct Handshake {
    held: Vec<u8>,
    /// How many lines have passed.
    pub(super) passed: usize,
    /// The framing of the packets behind the lines.
    pub(super) framing: Option<aemp_proto::framing::Framing>,
}

/// What comes of octets.
pub(super) struct Passed {
    /// What is to be sent on.
    pub(super) forward: Vec<u8>,
    /// Octets behind the last line: packets, or TLS.
    pub(super) behind: Vec<u8>,
    /// No more lines come in this direction.
    pub(super) done: bool,
}

impl Handshake {
    /// Takes octets that passed in one direction.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        way: Way,
        between: &mut Between,
        fault: &mut Fault,
        secret: Option<&Secret>,
    ) -> Passed {
        self.held.extend_from_slice(octets);
        let mut forward = Vec::new();
        match fault.reads {
            Reads::OneOfEachRead if way == Way::In => {
                let end = self.held.iter().position(|octet| *octet == b'\n');
                self.held.truncate(end.map_or(self.held.len(), |end| end + 1));
            }
            Reads::EachReadAsOne if way == Way::In && !self.held.ends_with(b"\n") => self.held.push(b'\n'),
            _ => {}
        }
        loop {
            let secured = self.passed == 2 && wants_tls(&between.node) && wants_tls(&between.other);
            if self.passed == 3 || secured {
                return Passed { forward, behind: std::mem::take(&mut self.held), done: true };
            }
            let Some(end) = self.held.iter().position(|octet| *octet == b'\n') else {
                // What is no line has to be seen as it is.
                if self.held.len() > MAX_LINE && !(way == Way::In && fault.reads == Reads::Endless) {
                    forward.append(&mut self.held);
                }
                return Passed { forward, behind: Vec::new(), done: false };
            };
            let ended: Vec<u8> = self.held.drain(..=end).collect();
            let length = ended.len() - 1 - usize::from(ended.len() > 1 && ended[ended.len() - 2] == b'\r');
            let (line, line_end) = ended.split_at(length);
            let line = self.line(line, way, between, fault, secret);
            forward.extend_from_slice(&line);
            forward.extend_from_slice(line_end);
            self.passed += 1;
        }
    }

    fn line(&mut self, line: &[u8], way: Way, between: &mut Between, fault: &mut Fault, secret: Option<&Secret>) -> Vec<u8> {
        if self.passed < 2 {
            let mut seen = line.to_vec();
            let change = if way == Way::Out { &mut fault.line_out } else { &mut fault.line_in };
            if let Some(change) = change {
                change(between, self.passed, &mut seen);
            }
            if way == Way::In && self.passed == 0 {
                between.peer = String::from_utf8_lossy(line).split(';').nth(2).unwrap_or_default().to_owned();
            }
            let lines = if way == Way::Out { &mut between.node } else { &mut between.other };
            lines.sent.push(line.to_vec());
            lines.seen.push(seen.clone());
            return seen;
        }
        let mut line = self.prove_again(line, way, between, fault, secret);
        if way == Way::Out
            && let Some(change) = &mut fault.line_out
        {
            change(between, 2, &mut line);
        }
        line
    }

    /// An authentication line that is as right to whoever receives it as it was for whoever sent it.
    fn prove_again(
        &mut self,
        line: &[u8],
        way: Way,
        between: &Between,
        fault: &mut Fault,
        secret: Option<&Secret>,
    ) -> Vec<u8> {
        let Ok(read) = Authentication::parse(line) else { return line.to_vec() };
        self.framing = aemp_proto::framing::Framing::from_name(read.framing);
        let proof = match (way, &mut fault.proof) {
            (Way::In, Some(decide)) => decide(between, &String::from_utf8_lossy(line)),
            _ => Proof::AsItIs,
        };
        let unchanged = between.node.sent == between.node.seen && between.other.sent == between.other.seen;
        if proof == Proof::AsItIs && unchanged {
            return line.to_vec();
        }
        let (sender, receiver) =
            if way == Way::Out { (&between.node, &between.other) } else { (&between.other, &between.node) };
        let Some(method) = Method::from_name(read.method) else { return line.to_vec() };
        // The sender knows its own lines as it sent them, and those of the other side as it has seen them.
        let was_right = match (lines(&sender.sent), lines(&receiver.seen)) {
            (Some(own), Some(other)) => method.verify(read.token, &Transcript { own, other }, secret),
            _ => false,
        };
        let (Some(own), Some(other)) = (lines(&sender.seen), lines(&receiver.sent)) else { return line.to_vec() };
        let right = proof == Proof::Right || proof == Proof::AsItIs && was_right;
        // Whatever method was used, the node has to take what it is made to take.
        let method =
            if right && method.requires_secret() && method == Method::Cleartext { Method::HmacSha2_256 } else { method };
        let token = method.token(&Transcript { own, other }, secret).unwrap_or_default();
        let token = if right { token.to_string() } else { "0".repeat(token.len()) };
        format!("{method};{token};{}", read.framing).into_bytes()
    }
}

/// Whether a side asks for TLS: of values of the key that come twice, the last one holds.
fn wants_tls(lines: &Lines) -> bool {
    let first = lines.seen.first().map(|line| String::from_utf8_lossy(line));
    let asks = |line: &str| {
        line.split(';')
            .skip(5)
            .filter_map(|key| key.strip_prefix("tls="))
            .last()
            .is_some_and(|value| value.starts_with("1."))
    };
    first.is_some_and(|line| asks(&line))
}

/// The two lines of a greeting, when both have come.
pub(super) fn lines(lines: &[Vec<u8>]) -> Option<[&[u8]; 2]> {
    Some([lines.first()?, lines.get(1)?])
}
