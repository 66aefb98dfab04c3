//! Two links that are wired together in memory.

use std::sync::Arc;
use std::time::Duration;

use aemp_proto::auth::Secret;
use aemp_proto::error::Error;
use aemp_proto::framing::Packet;
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

pub fn config(node: &str) -> Config {
    let mut config = Config::new(NodeId::new(node).expect("a node ID"));
    config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    config
}

pub fn link(config: Config, role: Role) -> Link {
    // Another one for each node, and the same in each run.
    let random = [config.node.as_str().as_bytes()[0]; 32];
    let greeting = OwnGreeting::new(&config, random, None).expect("a greeting");
    Link::new(Arc::new(config), role, greeting, Duration::ZERO)
}

/// What a link told its owner, packets included, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Event(Event),
    /// TLS began, with this part for the link.
    Tls(aemp_proto::link::TlsSide),
    Packet(Value),
}

/// Gives octets to a link and answers its events: every peer is accepted, and TLS stands at once.
pub fn give(link: &mut Link, octets: &[u8], told: &mut Vec<Told>) -> Result<(), Error> {
    let mut input = octets;
    loop {
        let mut visit = |packet: Packet<'_>| told.push(Told::Packet(packet.decode().expect("any value")));
        let Some(event) = link.receive(std::mem::take(&mut input), &mut visit)? else {
            return Ok(());
        };
        told.push(Told::Event(event));
        if event == Event::Greeted
            && let Accepted::StartTls(tls) = link.accept()?
        {
            told.push(Told::Tls(tls.side));
            take(link);
            link.tls_established_with(&[7; 32])?;
            // Nothing is encrypted here, so what came early is what is inside.
            give(link, &tls.early, told)?;
        }
    }
}

/// Takes all that a link wants to send.
pub fn take(link: &mut Link) -> Vec<u8> {
    let octets = link.output().to_vec();
    link.advance_output(octets.len());
    octets
}

/// Carries octets to and fro in pieces of the given sizes, repeated, until nothing is left to carry.
pub fn run(opener: &mut Link, acceptor: &mut Link, sizes: &[usize]) -> Result<[Vec<Told>; 2], Error> {
    let mut told = [Vec::new(), Vec::new()];
    let mut sizes = sizes.iter().cycle();
    loop {
        let (from_opener, from_acceptor) = (take(opener), take(acceptor));
        if from_opener.is_empty() && from_acceptor.is_empty() {
            return Ok(told);
        }
        let [opener_told, acceptor_told] = &mut told;
        for (link, octets, told) in
            [(&mut *acceptor, &from_opener, acceptor_told), (&mut *opener, &from_acceptor, opener_told)]
        {
            let mut rest = &octets[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().expect("it is a cycle")));
                give(link, piece, told)?;
                rest = behind;
            }
        }
    }
}
