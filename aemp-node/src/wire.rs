//! Shows what passes on the wire, for people: lines as they are, packets as JSON, secrets and tokens shortened.

use std::fmt;
use std::sync::Arc;

use aemp_proto::framing::{Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::line::{Greeting, Protocol};

use crate::escape::Escaped;

/// A callback for each line and each message on the wire. It runs on the node's thread and must not block.
///
/// ```
/// use aemp_node::{Config, Tap};
/// # use aemp_node::proto::names::NodeId;
/// let mut config = Config::new(NodeId::new("worker").unwrap());
/// config.tap = Some(Tap::new(|passed| eprintln!("{passed}")));
/// ```
#[derive(Clone)]
pub struct Tap(Arc<dyn Fn(&Passed<'_>) + Send + Sync>);

impl Tap {
    /// Creates a tap that calls `show` for each line and message.
    pub fn new(show: impl Fn(&Passed<'_>) + Send + Sync + 'static) -> Self {
        Tap(Arc::new(show))
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

/// A line or a message that has passed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Passed<'a> {
    /// The node that the tap belongs to.
    pub node: &'a str,
    /// Who is at the other end: an address, and the node ID once it is known.
    pub peer: &'a str,
    /// `true` if the node has sent it, `false` if the node has received it.
    pub sent: bool,
    /// The line or message as text, without secrets and with at most the beginning of a token.
    pub text: &'a str,
}

/// `worker > seed  …` for what was sent, `worker < seed  …` for what was received.
impl fmt::Display for Passed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}  {}", self.node, if self.sent { '>' } else { '<' }, self.peer, self.text)
    }
}

/// What a tap knows of one connection.
pub(crate) struct Tapped {
    tap: Tap,
    node: String,
    peer: String,
    sent: Stream,
    received: Stream,
    /// What follows the handshake is no packets, and not shown.
    is_data: bool,
}

/// One direction of a connection.
struct Stream {
    octets: Vec<u8>,
    place: Place,
}

enum Place {
    /// So many lines have passed.
    Lines(usize),
    Packets(Scanner),
    /// What passes is not known.
    Lost,
}

/// Characters of a message that are shown.
const SHOWN: usize = 1000;

impl Tapped {
    pub(crate) fn new(tap: Tap, node: &str, address: &str) -> Self {
        let stream = || Stream { octets: Vec::new(), place: Place::Lines(0) };
        Tapped { tap, node: node.to_owned(), peer: address.to_owned(), sent: stream(), received: stream(), is_data: false }
    }

    pub(crate) fn pass(&mut self, sent: bool, octets: &[u8]) {
        let stream = if sent { &mut self.sent } else { &mut self.received };
        stream.octets.extend_from_slice(octets);
        while let Some((text, greeting)) = stream.next() {
            if let Some(greeting) = greeting {
                self.is_data |= matches!(greeting.protocol, Protocol::Other(_));
                if !sent {
                    self.peer = greeting.node.to_string();
                }
            }
            if self.is_data && matches!(stream.place, Place::Packets(_)) {
                stream.place = Place::Lost;
            }
            (self.tap.0)(&Passed { node: &self.node, peer: &self.peer, sent, text: &Escaped(&text).to_string() });
        }
    }
}

impl Stream {
    /// Takes what has passed whole: as it is shown, and what it says if that is the first line of a greeting.
    fn next(&mut self) -> Option<(String, Option<Greeting>)> {
        match &mut self.place {
            Place::Lines(passed) => {
                let number = *passed;
                let end = self.octets.iter().position(|&octet| octet == b'\n')?;
                let line: Vec<u8> = self.octets.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end_matches(['\n', '\r']);
                *passed += 1;
                match number {
                    0 => Some((line.to_owned(), Greeting::parse(line.as_bytes()).ok())),
                    1 => Some((shorten(line, 16), None)),
                    _ => Some((self.authentication(line), None)),
                }
            }
            Place::Packets(scanner) => match scanner.scan(&self.octets) {
                Ok(Scan::Packet { start, end }) => {
                    let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
                    let packet = Packet::parse(scanner.framing(), &self.octets[start..end], &unlimited);
                    let text = packet.map_or_else(|error| error.to_string(), |packet| format!("{packet:?}"));
                    self.octets.drain(..end);
                    Some((shorten(&text, SHOWN), None))
                }
                Ok(Scan::Partial { .. }) => None,
                Err(error) => {
                    self.place = Place::Lost;
                    Some((format!("no packet: {error}"), None))
                }
            },
            Place::Lost => {
                self.octets.clear();
                None
            }
        }
    }

    /// An authentication line without what it must not show. What comes behind it is in the framing that it names.
    fn authentication(&mut self, line: &str) -> String {
        let mut fields = line.splitn(3, ';');
        let (method, data, rest) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let framing = Framing::from_name(rest.split(';').next().unwrap_or(""));
        self.place = framing.map_or(Place::Lost, |framing| Place::Packets(Scanner::new(framing, Limits::default())));
        // A token is of use to whoever wants to try secrets; what is no token may be one.
        let data = if method.starts_with("hmac_") || method.starts_with("tls_") { shorten(data, 8) } else { "…".into() };
        format!("{method};{data};{rest}")
    }
}

fn shorten(text: &str, shown: usize) -> String {
    match text.char_indices().nth(shown) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
