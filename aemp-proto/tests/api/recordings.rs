//! Replays what nodes of the Perl reference said to each other, with a link in the place of each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::pair::{Told, give, take};
use crate::support::vectors::{Connection, Exactly, Recording, Side, hex, recordings};
use aemp_proto::Requirement;
use aemp_proto::auth::{Method, Secret};
use aemp_proto::error::Error;
use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role, Tls, TlsSide};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

/// A link that says and offers exactly what the node of the recording did.
fn link_in_place_of(side: &Side, role: Role, recording: &Recording) -> Link {
    let [first, second] = &side.greeting;
    let own = OwnGreeting::exact(first.as_bytes(), second.as_bytes()).expect("a recorded greeting");
    let names = |part: usize| first.split(';').nth(part).expect("a list").split(',');
    let mut config = Config::new(NodeId::new(&side.node).expect("a recorded node ID"));
    config.secret = Secret::new(&hex(&recording.secret_hex)).ok();
    config.accept = names(3).filter_map(Method::from_name).collect();
    config.framings = names(4).filter_map(Framing::from_name).collect();
    if recording.tls {
        config.tls = Tls::Wanted;
    }
    if let Some(method) = side.auth.as_ref().and_then(|line| Method::from_name(line.split(';').next()?)) {
        config.send = vec![method];
    }
    Link::new(Arc::new(config), role, own, Duration::ZERO)
}

/// Feeds a link with octets in the given pieces; what it told, what it would have sent, and how it ended.
fn replay(mut link: Link, octets: &[u8], sizes: &[usize]) -> (Vec<Told>, Vec<u8>, Result<(), Error>) {
    let mut told = Vec::new();
    let mut rest = octets;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().expect("it is a cycle")));
        if let Err(error) = give(&mut link, piece, &mut told) {
            return (told, take(&mut link), Err(error));
        }
        rest = behind;
    }
    (told, take(&mut link), Ok(()))
}

/// Ways to cut a stream: at once, octet by octet, and in pieces of sizes that vary without a pattern.
fn ways_to_cut() -> Vec<Vec<usize>> {
    let mut ways = vec![vec![usize::MAX], vec![1]];
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15;
    for greatest in [3, 20, 200, 2000] {
        let sizes = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            1 + (random >> 33) as usize % greatest
        });
        ways.push(sizes.take(997).collect());
    }
    ways
}

/// Both sides of a connection: the name of the side, what it is, and the octets that it received.
fn sides(connection: &Connection) -> [(&Side, Role, Vec<u8>); 2] {
    [
        (&connection.opener, Role::Opener, connection.sent("acceptor")),
        (&connection.acceptor, Role::Acceptor, connection.sent("opener")),
    ]
}

#[test]
fn every_recorded_handshake_comes_up_and_answers_with_the_recorded_octets_however_it_is_cut() {
    let mut came_up = 0;
    for (name, recording) in recordings() {
        for connection in &recording.connections {
            let [(opener, ..), (acceptor, ..)] = sides(connection);
            let (Some(opened), Some(accepted)) = (&opener.auth, &acceptor.auth) else { continue };
            for ((side, role, received), auth) in sides(connection).into_iter().zip([opened, accepted]) {
                let link = || link_in_place_of(side, role, &recording);
                let (told, sent, ended) = replay(link(), &received, &[usize::MAX]);
                assert_eq!(ended, Ok(()), "{name}, in place of {}", side.node);
                assert_eq!(told[..2], [Told::Event(Event::Greeted), Told::Event(Event::Up)], "{name}");
                let [first, second] = &side.greeting;
                assert_eq!(String::from_utf8_lossy(&sent), format!("{first}\n{second}\n{auth}\n"), "{name}");
                for sizes in ways_to_cut() {
                    assert_eq!(replay(link(), &received, &sizes), (told.clone(), sent.clone(), Ok(())), "{name}");
                }
                came_up += 1;
            }
        }
    }
    assert_eq!(came_up, 30, "the recordings have so many sides that came up");
}

#[test]
fn every_recorded_packet_survives_decoding_and_encoding() {
    let mut packets = BTreeMap::<_, usize>::new();
    let limits = Limits::default();
    for (name, recording) in recordings() {
        for connection in &recording.connections {
            for ((receiver, role, received), sender) in
                sides(connection).iter().zip([&connection.acceptor, &connection.opener])
            {
                let Some(framing) = sender.framing.as_deref().and_then(Framing::from_name) else { continue };
                if receiver.auth.is_none() {
                    continue;
                }
                let mut link = link_in_place_of(receiver, *role, &recording);
                let mut input = &received[..];
                let mut visit = |packet: Packet<'_>| {
                    let value: Value = packet.decode().expect("any value");
                    let mut again = Vec::new();
                    framing.encode(&value, &limits, &mut again).expect("it was a packet");
                    let packet = Packet::parse(framing, &again, &limits).expect("it was a packet");
                    assert_eq!(Exactly(packet.decode().expect("any value")), Exactly(value), "{name}");
                    *packets.entry(framing.name()).or_default() += 1;
                };
                while let Some(event) = link.receive(std::mem::take(&mut input), &mut visit).expect("a recorded peer") {
                    if event == Event::Greeted {
                        assert_eq!(link.accept(), Ok(Accepted::Authenticating));
                    }
                }
            }
        }
    }
    println!("{packets:?}");
    assert!(packets.keys().eq(&["cbor", "json", "storable"]), "{packets:?}");
    assert!(packets.values().all(|packets| *packets >= 10), "{packets:?}");
}

#[test]
fn recorded_refusals_are_refused_for_the_same_reason() {
    let expected = [("i2_self_seed", "GREET-9"), ("i4_same_nodeid_pair", "GREET-9"), ("i6_no_secret_pair", "AUTH-8")];
    for (name, recording) in recordings() {
        let Some((_, requirement)) = expected.iter().find(|(refused, _)| *refused == name) else { continue };
        for (side, role, received) in sides(&recording.connections[0]) {
            let (_, _, ended) = replay(link_in_place_of(side, role, &recording), &received, &[usize::MAX]);
            let error = ended.expect_err("the reference refused this");
            assert_eq!(error.requirement().map(Requirement::id), Some(*requirement), "{name}");
        }
    }
}

#[test]
fn the_recorded_tls_handshake_begins_with_the_right_side_and_gets_its_first_octets() {
    let (_, recording) = recordings().into_iter().find(|(name, _)| name == "f_tls").expect("the recording");
    for ((side, role, received), right) in
        sides(&recording.connections[0]).into_iter().zip([TlsSide::Server, TlsSide::Client])
    {
        for cut in [received.len(), 10, 200, 225, 226, 400] {
            let mut link = link_in_place_of(side, role, &recording);
            let (before, behind) = received.split_at(cut.min(received.len()));
            let mut tls = None;
            let mut early = Vec::new();
            for piece in [before, behind] {
                // Once TLS has begun, octets go to it.
                if tls.is_some() {
                    early.extend_from_slice(piece);
                    continue;
                }
                if let Some(event) = link.receive(piece, |_| {}).expect("a recorded peer") {
                    assert_eq!(event, Event::Greeted);
                    let Ok(Accepted::StartTls(start)) = link.accept() else { panic!("both want TLS") };
                    early.extend_from_slice(&start.early);
                    tls = Some(start.side);
                }
            }
            assert_eq!(tls, Some(right), "in place of {}", side.node);
            // A handshake record of TLS 1.0 to 1.3, and nothing lost.
            assert_eq!(early[..2], [0x16, 0x03]);
            assert!(received.ends_with(&early));
        }
    }
}
