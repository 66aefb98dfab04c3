//! The AEMP protocol without I/O: bytes and times in, bytes and events out.
//!
//! AEMP is the message protocol of AnyEvent::MP: two greeting lines, a challenge and a response, then packets in JSON or
//! CBOR. This crate is the protocol as state machines, to link into a transport of your own. It has no sockets, no clock, no
//! threads, no unsafe code, and needs only `alloc`.
//!
//! # The contract of a link
//!
//! A [`Link`](link::Link) is one side of one connection. Whoever owns it does this, whatever the transport:
//!
//! 1. Make an [`OwnGreeting`](link::OwnGreeting) from fresh randomness, and a link from that.
//! 2. Whenever the link has [`output`](link::Link::output), hand it to the transport, and
//!    [take it off](link::Link::advance_output) as far as the transport took it.
//! 3. Whenever octets arrive, give them to [`receive`](link::Link::receive). It hands packets to your visitor. *As long as
//!    it returns an event, answer the event and call it again without new octets*: this is the one invariant. Where one peer
//!    may not hold up others, [`receive_while`](link::Link::receive_while) lets your visitor break off behind a packet.
//! 4. At [`Event::Greeted`](link::Event::Greeted) decide about the peer: [`accept`](link::Link::accept) it, or drop the link
//!    and close. Octets that arrive before you decided are kept, within limits; better leave them with the transport
//!    ([`wants_input`](link::Link::wants_input)).
//! 5. If `accept` asks for TLS, write the output as it is, then run TLS on the transport, beginning with the octets that it
//!    hands over, and call [`tls_established`](link::Link::tls_established). From then on the link sees what is inside TLS.
//! 6. From [`Event::Up`](link::Event::Up) on, [`send`](link::Link::send) as you like. After
//!    [`Event::Stream`](link::Event::Stream), which comes only on connections of other protocols, write the output and [take
//!    the connection over](link::Link::hand_over).
//! 7. When the [`deadline`](link::Link::deadline) comes, call [`handle_timeout`](link::Link::handle_timeout); when the
//!    transport ends, [`end_of_input`](link::Link::end_of_input).
//! 8. After any error of these calls but [`SendError`](link::SendError) and [`ApiMisuse`](error::ApiMisuse), close.
//!
//! Here are the two sides of a connection, with a pair of buffers for a transport:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use aemp_proto::{auth::Secret, framing::Packet, names::NodeId};
//! use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role};
//!
//! fn link(node: &str, role: Role, random: [u8; 32]) -> Link {
//!     let mut config = Config::new(NodeId::new(node).unwrap());
//!     config.secret = Some(Secret::new(b"swordfish").unwrap());
//!     let greeting = OwnGreeting::new(&config, random, None).unwrap();
//!     Link::new(Arc::new(config), role, greeting, Duration::ZERO)
//! }
//!
//! /// Carries what `from` sends to `to`.
//! fn carry(from: &mut Link, to: &mut Link, mut visit: impl FnMut(Packet<'_>)) {
//!     let octets = from.output().to_vec();
//!     from.advance_output(octets.len());
//!     let mut input = &octets[..];
//!     while let Some(event) = to.receive(std::mem::take(&mut input), &mut visit).unwrap() {
//!         match event {
//!             Event::Greeted => assert_eq!(to.accept(), Ok(Accepted::Authenticating), "no TLS was configured"),
//!             Event::Up => to.send_to("greeter", &("hello", 1)).unwrap(),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! let mut alice = link("alice", Role::Opener, [1; 32]);
//! let mut bob = link("bob", Role::Acceptor, [2; 32]);
//! let mut heard = Vec::new();
//! for _ in 0..3 {
//!     carry(&mut alice, &mut bob, |packet| heard.push(packet.decode::<(String, String, u64)>().unwrap()));
//!     carry(&mut bob, &mut alice, |packet| heard.push(packet.decode().unwrap()));
//! }
//! assert_eq!(heard, vec![("greeter".into(), "hello".into(), 1); 2]);
//! ```
//!
//! # The floors
//!
//! Each module knows only those above it in this list.
//!
//! | module | |
//! |---|---|
//! | [`error`] | what can go wrong, and which requirement of the specification it breaks |
//! | [`names`] | what things are called: nodes, ports |
//! | [`permissions`] | who may do what |
//! | [`value`] | what is said |
//! | [`line`](mod@line) | greeting and authentication lines |
//! | [`auth`] | methods, tokens, the secret |
//! | [`framing`] | packets in json, cbor and storable |
//! | [`link`] | one connection |
//! | [`global`] | a node's part in discovery and the distributed database |
//! | [`engine`] | a whole node as a protocol machine, which runs nobody's code |
//! | [`actor`] | ports with closures on top of it, and their verbs |
//!
//! IDs such as `GREET-7` in this documentation and in error texts are those of the requirements in `spec/`.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

pub mod actor;
pub mod auth;
pub mod engine;
pub mod error;
pub mod framing;
pub mod global;
pub mod line;
pub mod link;
pub mod names;
mod output;
pub mod permissions;
mod requirement;
pub mod value;

pub use requirement::Requirement;
