//! What must hold for any octets. The fuzz targets look for octets for which it does not, and the tests of `aemp-proto`
//! replay the corpora with the same checks.

#![allow(unreachable_pub, reason = "it is a module of two kinds of programs")]

#[path = "checks/heap.rs"]
pub mod heap;
#[path = "checks/node.rs"]
mod node_checks;
#[path = "checks/requests.rs"]
mod requests;

use std::sync::Arc;
use std::time::Duration;

#[allow(unused_imports, reason = "not every program replays this one")]
pub use node_checks::node;

use aemp_proto::auth::{Method, Secret};
use aemp_proto::error::{ApiMisuse, Error};
use aemp_proto::framing::{Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::line::{self, Authentication, Greeting};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role, Tls};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

/// Small, so that inputs find them.
const LIMITS: Limits = Limits { octets: 2000, depth: 40, values: 300 };

/// A first line reads back as it is written, and the lines of a stream are those of its pieces.
pub fn greeting_line(octets: &[u8]) {
    if let Ok(Some(line)) = line::split(octets) {
        assert!(line.length <= line::MAX_LINE && !line.text.contains(&b'\n'));
        greeting_text(line.text);
    }
    greeting_text(octets);
}

fn greeting_text(text: &[u8]) {
    match Greeting::parse(text) {
        Ok(greeting) => assert_eq!(Greeting::parse(greeting.to_string().as_bytes()), Ok(greeting)),
        Err(error) => assert!(names_its_requirement(&error)),
    }
}

/// An authentication line reads back as it is written.
pub fn authentication_line(octets: &[u8]) {
    match Authentication::parse(octets) {
        Ok(line) => {
            let text = line.to_string();
            assert_eq!(Authentication::parse(text.as_bytes()), Ok(line));
        }
        Err(error) => assert!(names_its_requirement(&error)),
    }
}

/// Packets of json.
pub fn json(octets: &[u8]) {
    packets(Framing::Json, octets);
}

/// Packets of cbor.
pub fn cbor(octets: &[u8]) {
    packets(Framing::Cbor, octets);
}

/// Packets of storable.
pub fn storable(octets: &[u8]) {
    packets(Framing::Storable, octets);
}

/// The same packets are found however the octets arrive, and each can be read, written and relayed.
fn packets(framing: Framing, octets: &[u8]) {
    let (found, error) = scan(framing, std::iter::once(octets));
    assert_eq!(scan(framing, octets.chunks(1)), (found.clone(), error.clone()));
    assert_eq!(scan(framing, octets.chunks(7)), (found.clone(), error));
    for packet in found {
        let value = decode(framing, &packet);
        let mut again = Vec::new();
        framing.encode(&value, &Limits::default(), &mut again).expect("it was a packet");
        // What a framing makes of a value, it makes of it again.
        let settled = decode(framing, &again);
        let mut once_more = Vec::new();
        framing.encode(&settled, &Limits::default(), &mut once_more).expect("it was a packet");
        assert_eq!(again, once_more);
        for to in Framing::ALL {
            let mut relayed = Vec::new();
            let packet = Packet::parse(framing, &packet, &LIMITS).expect("it was found");
            packet.relay(to, &Limits::default(), &mut relayed).expect("it is small");
            decode(to, &relayed);
            let mut elements = packet.elements();
            while elements.name().is_some() || elements.next_as::<Value>().is_some() {}
            assert!(elements.is_empty());
        }
    }
}

fn decode(framing: Framing, octets: &[u8]) -> Value {
    Packet::parse(framing, octets, &Limits::default()).expect("a packet").decode().expect("any value")
}

/// The packets of a stream that arrives in pieces, and what was wrong with it.
pub fn scan<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<String>) {
    let mut scanner = Scanner::new(framing, LIMITS);
    let mut held = Vec::new();
    let mut packets = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        loop {
            match scanner.scan(&held) {
                Ok(Scan::Packet { start, end }) => {
                    packets.push(held[start..end].to_vec());
                    held.drain(..end);
                }
                Ok(Scan::Partial { start }) => {
                    held.drain(..start);
                    assert!(held.len() <= LIMITS.octets);
                    break;
                }
                Err(error) => {
                    assert!(names_its_requirement(&error));
                    return (packets, Some(error.to_string()));
                }
            }
        }
    }
    assert_eq!(scanner.within_packet(), !held.is_empty());
    (packets, None)
}

fn names_its_requirement(error: &Error) -> bool {
    error.requirement().is_some_and(|requirement| error.to_string().contains(requirement.id()))
}

/// A whole link says the same however the octets arrive, bounds what it keeps, and is silent once it has ended. The first
/// octet chooses the side and the configuration; it accepts `cleartext` and `tls_anon`, since nobody finds a hash by trying.
pub fn link(octets: &[u8]) {
    let Some((&choice, octets)) = octets.split_first() else { return };
    let told = drive(choice, octets, octets.len().max(1));
    assert_eq!(drive(choice, octets, 1), told);
    assert_eq!(drive(choice, octets, 13), told);
}

fn drive(choice: u8, octets: &[u8], size: usize) -> Vec<String> {
    let mut config = Config::new(NodeId::new("link").expect("a node ID"));
    config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    config.accept.extend([Method::TlsAnon, Method::Cleartext]);
    config.tls = [Tls::Off, Tls::Wanted, Tls::Required, Tls::Off][usize::from(choice >> 1 & 3)];
    config.limits = LIMITS;
    config.protocols = vec!["dataconn".into()];
    let role = if choice & 1 == 0 { Role::Acceptor } else { Role::Opener };
    let own = if choice & 9 == 9 {
        OwnGreeting::of_protocol("dataconn", [("dataconn_id".into(), "x".into())].into(), &config, [7; 32], None)
    } else {
        OwnGreeting::new(&config, [7; 32], None)
    };
    let mut link = Link::new(Arc::new(config), role, own.expect("a greeting"), Duration::ZERO);
    let (mut told, mut stream) = (Vec::new(), None);
    for piece in octets.chunks(size) {
        if let Some(stream) = &mut stream {
            // It is not the link's any more, whatever it looks like.
            Vec::extend(stream, piece);
            continue;
        }
        if let Err(error) = give(&mut link, piece, &mut told, &mut stream) {
            assert!(names_its_requirement(&error), "{error}");
            assert_eq!(link.receive(b"[]", |_| {}), Err(ApiMisuse::Ended.into()));
            assert!(link.output().is_empty() && link.deadline().is_none());
            told.push(error.to_string());
            return told;
        }
        assert!(link.output().len() < 10_000);
    }
    if let Some(stream) = stream {
        told.push(format!("stream {stream:?}"));
        return told;
    }
    told.push(format!("sent {}", String::from_utf8_lossy(link.output())));
    told.push(format!("ended {:?}", link.end_of_input()));
    told
}

fn give(link: &mut Link, mut octets: &[u8], told: &mut Vec<String>, stream: &mut Option<Vec<u8>>) -> Result<(), Error> {
    loop {
        let mut visit = |packet: Packet<'_>| told.push(format!("{packet:?}"));
        let Some(event) = link.receive(std::mem::take(&mut octets), &mut visit)? else {
            return Ok(());
        };
        told.push(format!("{event:?}"));
        if event == Event::Up {
            link.send_to("port", &("hello", 1)).expect("it is up");
        }
        if event == Event::Stream {
            assert!(!link.wants_input() && link.send_to("port", &1).is_err());
            told.push(format!("sent {}", String::from_utf8_lossy(link.output())));
            link.advance_output(link.output().len());
            *stream = Some(link.hand_over().expect("all is sent"));
            return Ok(());
        }
        if event == Event::Greeted
            && let Accepted::StartTls(tls) = link.accept()?
        {
            told.push(format!("{:?}", tls.side));
            link.advance_output(link.output().len());
            link.tls_established()?;
            // Nothing is encrypted here.
            give(link, &tls.early, told, stream)?;
            if stream.is_some() {
                return Ok(());
            }
        }
    }
}
