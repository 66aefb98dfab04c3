//! One connection: greeting, TLS, authentication, packets. A state machine.
//!
//! A [`Link`] is given octets as they arrive and times, and gives octets to send, events and packets. It knows no socket and
//! no clock, so it works over anything that carries octets in order. The crate's documentation shows how to drive it.

mod authentication;
mod config;
mod event;
mod greeting;

pub use config::{Config, Tls};
pub use event::{Accepted, Event, Role, SendError, StartTls, TlsSide};
pub use greeting::OwnGreeting;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;
use core::time::Duration;

use serde::Serialize;
use zeroize::Zeroize;

use crate::auth::{Exporter, Method};
use crate::error::{ApiMisuse, Error, LimitExceeded, Lost, PeerIncompatible, PeerMisbehaved, Phase};
use crate::framing::{Framing, Limits, Packet, Scan, Scanner};
use crate::line::{self, Greeting, MAX_LINE, Protocol};
use crate::output::Output;
use greeting::PeerGreeting;

/// One side of a connection.
pub struct Link {
    config: Arc<Config>,
    role: Role,
    own: OwnGreeting,
    peer: PeerGreeting,
    state: State,
    tls: bool,
    /// What binds the tokens to TLS, if both sides want that.
    exporter: Option<Exporter>,
    /// Which of the secrets the peer has.
    proven: usize,
    /// Octets that have arrived and are not done with, behind those that are.
    held: Vec<u8>,
    /// How many octets of `held` are done with.
    done: usize,
    /// The visitor has stopped: there may be whole packets among the octets that are held.
    stopped: bool,
    output: Output,
    deadline: Duration,
    /// Our token, which may be the secret itself, is in the output.
    token_in_output: bool,
    /// The visitor runs. If that is so when a call begins, it has panicked, and part of the stream is gone.
    visiting: bool,
}

#[derive(Debug)]
enum State {
    Greeting,
    Greeted,
    Securing,
    Authenticating {
        send: Framing,
        authenticated: bool,
    },
    Up {
        send: Framing,
        scanner: Scanner,
        method: Method,
    },
    /// Authenticated, and no longer ours.
    Stream {
        method: Method,
    },
    Ended,
}

impl Link {
    /// How much more room for input than needed is kept, in octets, behind a large packet.
    const KEPT_INPUT: usize = 64 << 10;

    /// A link at the beginning of a connection. The greeting waits in [`output`](Link::output) at once (`CONN-1`).
    ///
    /// `now` is any monotonic time; it counts for [`deadline`](Link::deadline).
    pub fn new(config: Arc<Config>, role: Role, own: OwnGreeting, now: Duration) -> Self {
        let mut output = Output::default();
        for line in own.lines() {
            output.buffer().extend_from_slice(line);
            output.buffer().push(b'\n');
        }
        let deadline = now.saturating_add(config.handshake_timeout);
        Link {
            config,
            role,
            own,
            peer: PeerGreeting::default(),
            state: State::Greeting,
            tls: false,
            exporter: None,
            proven: 0,
            held: Vec::new(),
            done: 0,
            stopped: false,
            output,
            deadline,
            token_in_output: false,
            visiting: false,
        }
    }

    /// Which side this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What the peer's first line says, as soon as it has arrived.
    pub fn peer(&self) -> Option<&Greeting> {
        self.peer.greeting.as_ref()
    }

    /// What is spoken: once the peer's first line has arrived, or from the beginning where we have opened a connection of
    /// another protocol.
    pub fn protocol(&self) -> Option<&Protocol> {
        match &self.own.greeting.protocol {
            Protocol::Aemp => self.peer().map(|peer| &peer.protocol),
            other @ Protocol::Other(_) => Some(other),
        }
    }

    /// Whether packets can be sent.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// The framing in which we send, once that is known.
    pub fn sends(&self) -> Option<Framing> {
        match self.state {
            State::Authenticating { send, .. } | State::Up { send, .. } => Some(send),
            _ => None,
        }
    }

    /// The framing in which the peer sends, once it is up.
    pub fn receives(&self) -> Option<Framing> {
        match &self.state {
            State::Up { scanner, .. } => Some(scanner.framing()),
            _ => None,
        }
    }

    /// The method by which the peer authenticated, once it is up.
    pub fn method(&self) -> Option<Method> {
        match self.state {
            State::Up { method, .. } | State::Stream { method } => Some(method),
            _ => None,
        }
    }

    /// Which of the secrets that are accepted the peer has, once it is up by a method that needs one: 0 is our own, then
    /// come the [further](Config::further_secrets) ones.
    pub fn secret(&self) -> Option<usize> {
        self.method().filter(|method| method.requires_secret()).map(|_| self.proven)
    }

    /// Whether the peer has greeted, wants TLS, and we do not.
    fn misses_tls(&self) -> bool {
        self.peer().is_some_and(Greeting::wants_tls) && !self.own.greeting.wants_tls()
    }

    /// Whether more octets would be of use now. While it waits for [`accept`](Link::accept), a link only keeps what it is
    /// given, so an owner that takes its time to decide should leave the octets with the transport (`LIMIT-7`). The same
    /// holds while it [has input](Link::has_input) to be looked at first.
    pub fn wants_input(&self) -> bool {
        !self.stopped && !matches!(self.state, State::Greeted | State::Securing | State::Stream { .. } | State::Ended)
    }

    /// How far the connection has come.
    fn phase(&self) -> Phase {
        match &self.state {
            State::Greeting => Phase::Greeting,
            State::Ended => Phase::Ended,
            State::Greeted => Phase::Deciding,
            State::Securing => Phase::Securing,
            State::Authenticating { .. } => Phase::Authenticating,
            State::Up { scanner, .. } if scanner.within_packet() => Phase::Packet,
            State::Up { .. } | State::Stream { .. } => Phase::Up,
        }
    }

    /// Octets to send, which stay until [`advance_output`](Link::advance_output) takes them.
    #[inline]
    pub fn output(&self) -> &[u8] {
        self.output.pending()
    }

    /// Takes octets off the [`output`](Link::output) that were handed to the transport.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    #[inline]
    pub fn advance_output(&mut self, octets: usize) {
        self.output.advance(octets);
        if self.output.pending().is_empty() && core::mem::take(&mut self.token_in_output) {
            self.output.wipe();
            // Nothing as large comes any more: a node keeps what it sends elsewhere.
            self.output = Output::default();
        }
    }

    /// The octets of memory that are taken by what has arrived and is not done with: a packet that is not whole, and what is
    /// behind it.
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// About what it takes beside that and beside its own size, in octets.
    pub(crate) fn cost(&self) -> usize {
        self.output.capacity() + self.own.cost() + self.peer.cost()
    }

    /// When the handshake must have ended; `None` when it has.
    pub fn deadline(&self) -> Option<Duration> {
        if matches!(self.state, State::Up { .. } | State::Stream { .. } | State::Ended) { None } else { Some(self.deadline) }
    }

    /// Tells the time, at least when the [`deadline`](Link::deadline) has come.
    ///
    /// # Errors
    ///
    /// When the handshake should have ended (`LIMIT-1`). The link has ended then.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), Error> {
        match self.deadline() {
            Some(deadline) if now >= deadline => {
                let error = LimitExceeded::HandshakeTime { phase: self.phase(), limit: self.config.handshake_timeout };
                self.end();
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// Takes octets that have arrived, in pieces of any size, and hands whole packets to `visit`, borrowed.
    ///
    /// When it returns an event, not all octets may have been looked at. The link keeps them: answer the event, then call
    /// again, with no octets if there are no new ones, until it returns `None`. A visitor that panics ends the link.
    ///
    /// # Errors
    ///
    /// When the peer did what makes the connection end, or with [`ApiMisuse::Ended`] after that. Packets before that have
    /// been visited. Close the connection, without sending what is in `output`.
    #[inline]
    pub fn receive(&mut self, octets: &[u8], mut visit: impl FnMut(Packet<'_>)) -> Result<Option<Event>, Error> {
        self.receive_while(octets, |packet| {
            visit(packet);
            ControlFlow::Continue(())
        })
    }

    /// Takes octets as [`receive`](Link::receive) does, until `visit` breaks off: the packet that it was given then counts
    /// as visited, and the link keeps the octets behind it.
    ///
    /// As long as the link [has input](Link::has_input), call this again, with no octets, when there is time. Each octet is
    /// copied twice at most because of that, however often the visitor breaks off.
    ///
    /// # Errors
    ///
    /// As [`receive`](Link::receive). What is wrong behind the packet at which the visitor broke off is an error of a later
    /// call.
    ///
    /// ```
    /// # use std::{ops::ControlFlow, sync::Arc, time::Duration};
    /// # use aemp_proto::{auth::Secret, link::{Config, Event, Link, OwnGreeting, Role}, names::NodeId};
    /// # let link = |node: &str, role| {
    /// #     let mut config = Config::new(NodeId::new(node).unwrap());
    /// #     config.secret = Some(Secret::new(b"swordfish").unwrap());
    /// #     let greeting = OwnGreeting::new(&config, [node.len() as u8; 32], None).unwrap();
    /// #     Link::new(Arc::new(config), role, greeting, Duration::ZERO)
    /// # };
    /// # let (mut alice, mut robert) = (link("alice", Role::Opener), link("robert", Role::Acceptor));
    /// # for _ in 0..2 {
    /// #     for turn in 0..2 {
    /// #         let (from, to) = if turn == 0 { (&mut alice, &mut robert) } else { (&mut robert, &mut alice) };
    /// #         let octets = from.output().to_vec();
    /// #         from.advance_output(octets.len());
    /// #         let mut input = &octets[..];
    /// #         while let Some(event) = to.receive(std::mem::take(&mut input), |_| {}).unwrap() {
    /// #             if event == Event::Greeted { to.accept().unwrap(); }
    /// #         }
    /// #     }
    /// # }
    /// for number in 0..3 {
    ///     alice.send_to("counter", &number).unwrap();
    /// }
    /// let mut heard = Vec::new();
    /// let mut one = |packet: aemp_proto::framing::Packet<'_>| {
    ///     heard.push(packet.decode::<(String, u64)>().unwrap().1);
    ///     ControlFlow::Break(())
    /// };
    /// robert.receive_while(alice.output(), &mut one).unwrap();
    /// while robert.has_input() {
    ///     // Here others have their turn.
    ///     robert.receive_while(&[], &mut one).unwrap();
    /// }
    /// assert_eq!(heard, [0, 1, 2]);
    /// ```
    #[inline]
    pub fn receive_while(
        &mut self,
        octets: &[u8],
        mut visit: impl FnMut(Packet<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Event>, Error> {
        if matches!(self.state, State::Securing) && !octets.is_empty() {
            // They are TLS's, not ours: taken for what is inside, they would be a way around it.
            return Err(ApiMisuse::OutOfTurn("receive").into());
        }
        if core::mem::replace(&mut self.visiting, true) {
            self.end();
        }
        let result = if self.held.is_empty() {
            self.process(octets, &mut visit).map(|(done, event)| {
                self.hold(&octets[done..]);
                event
            })
        } else {
            self.hold(octets);
            let was_up = self.is_up();
            let (mut held, before) = (core::mem::take(&mut self.held), core::mem::take(&mut self.done));
            let result = self.process(&held[before..], &mut visit);
            let done = before + result.as_ref().map_or(held.len() - before, |(done, _)| *done);
            if was_up {
                self.put_back(held, done);
            } else {
                self.hold(&held[done..]);
                held.zeroize();
            }
            result.map(|(_, event)| event)
        };
        self.visiting = false;
        if result.is_err() {
            self.end();
        }
        result
    }

    /// Whether whole packets may be among the octets that the link keeps, because a visitor broke off.
    #[inline]
    pub fn has_input(&self) -> bool {
        self.stopped
    }

    /// Keeps octets for a later call of [`receive_while`](Link::receive_while), without looking at them. Only for a link
    /// that is up.
    pub(crate) fn postpone(&mut self, octets: &[u8]) {
        if self.is_up() && !octets.is_empty() {
            self.hold(octets);
            self.stopped = true;
        }
    }

    /// Keeps octets. Before the peer is authenticated its token may be among them, so no copy is left behind by growing.
    fn hold(&mut self, octets: &[u8]) {
        let length = self.held.len() + octets.len();
        if !self.is_up() && length > self.held.capacity() {
            let mut larger = Vec::with_capacity(length.max(MAX_LINE) * 2);
            larger.extend_from_slice(&self.held);
            self.held.zeroize();
            self.held = larger;
        }
        /// From so many octets on, the room grows by a quarter, and not to twice as much: a large packet costs little more
        /// than itself.
        const LARGE: usize = 1 << 20;
        if length > self.held.capacity() && length >= LARGE {
            self.held.reserve_exact(octets.len() + length / 4);
        }
        self.held.extend_from_slice(octets);
    }

    /// Keeps what is held of a link that is up, as far as it is not done with. Octets are moved only when more are done with
    /// than are moved, so that many calls for one read cost no more than one.
    fn put_back(&mut self, mut held: Vec<u8>, done: usize) {
        if done == held.len() {
            return;
        }
        if done > held.len() / 2 {
            held.drain(..done);
            held.shrink_to(2 * held.len() + Self::KEPT_INPUT);
        } else {
            self.done = done;
        }
        self.held = held;
    }

    /// Tells that the peer has ended the transport connection. Call [`receive_while`](Link::receive_while) first until the
    /// link [has no input](Link::has_input): what arrived whole before the end counts (`CONN-10`).
    ///
    /// # Errors
    ///
    /// When that was in the middle of the handshake, or of a packet (`FRAME-7`).
    pub fn end_of_input(&mut self) -> Result<(), Error> {
        let phase = self.phase();
        let hint = match (&self.state, self.role) {
            (State::Ended, _) => return Err(ApiMisuse::Ended.into()),
            (State::Greeting, _) if self.peer.greeting.is_none() && self.held.is_empty() => ": is that an AEMP node?",
            (State::Authenticating { authenticated: true, .. }, _) if self.misses_tls() => {
                ", after ours: the peer wants TLS, and this side has no certificate for that; or the secret is wrong"
            }
            (State::Authenticating { authenticated: true, .. }, _) => {
                ", after ours: the secret is wrong, or the peer does not want this node"
            }
            _ => "",
        };
        self.end();
        if phase == Phase::Up { Ok(()) } else { Err(Lost { phase, hint }.into()) }
    }

    /// Goes on with a peer after [`Event::Greeted`], now or later. If TLS begins: send what is in [`output`](Link::output)
    /// as it is, run the TLS handshake, then call [`tls_established`](Link::tls_established).
    ///
    /// # Errors
    ///
    /// When the two sides have too little in common; the link has ended then. Or when it was not asked.
    pub fn accept(&mut self) -> Result<Accepted, Error> {
        let (State::Greeted, Some(peer)) = (&self.state, &self.peer.greeting) else {
            return Err(ApiMisuse::OutOfTurn("accept").into());
        };
        if self.own.greeting.wants_tls() && peer.wants_tls() {
            self.state = State::Securing;
            let side = if self.own.second < self.peer.second { TlsSide::Client } else { TlsSide::Server };
            return Ok(Accepted::StartTls(StartTls { side, early: core::mem::take(&mut self.held) }));
        }
        let begun = match self.config.tls {
            Tls::Required => Err(match peer.keys.get("tls") {
                None => PeerIncompatible::TlsRequired.into(),
                Some(version) => PeerIncompatible::TlsVersion { version: version.as_str().into() }.into(),
            }),
            _ => self.begin_authentication(),
        };
        if begun.is_err() {
            self.end();
        }
        begun.map(|()| Accepted::Authenticating)
    }

    /// Tells that TLS stands, with a certificate of the peer's that is trusted (`TLS-5`). From here on all octets of this
    /// link are those inside TLS.
    ///
    /// # Errors
    ///
    /// When the two sides have too little in common; the link has ended then. Or when TLS was not begun, or the greeting is
    /// still in the output: it would go out inside TLS.
    pub fn tls_established(&mut self) -> Result<(), Error> {
        if self.binds_to_tls() {
            return Err(ApiMisuse::OutOfTurn("tls_established").into());
        }
        self.within_tls(None)
    }

    /// The same, with the channel binding `tls-exporter` of that TLS connection: the octets that it exports under the label
    /// `EXPORTER-Channel-Binding` with an empty context (RFC 9266). If both sides have announced [it](Config::exporter), the
    /// tokens are bound to it (`AUTH-27`).
    ///
    /// # Errors
    ///
    /// As for [`tls_established`](Self::tls_established), which is for links that do not announce it.
    pub fn tls_established_with(&mut self, exporter: &Exporter) -> Result<(), Error> {
        let exporter = self.binds_to_tls().then_some(*exporter);
        self.within_tls(exporter)
    }

    /// Whether both sides have said that they bind their tokens to TLS.
    fn binds_to_tls(&self) -> bool {
        let binds = |greeting: &Greeting| greeting.keys.get("exporter").is_some_and(|value| value == "1");
        binds(&self.own.greeting) && self.peer().is_some_and(binds)
    }

    fn within_tls(&mut self, exporter: Option<Exporter>) -> Result<(), Error> {
        if !matches!(self.state, State::Securing) || !self.output().is_empty() {
            return Err(ApiMisuse::OutOfTurn("tls_established").into());
        }
        (self.tls, self.exporter) = (true, exporter);
        let begun = self.begin_authentication();
        if begun.is_err() {
            self.end();
        }
        begun
    }

    /// Sends a packet: an array whose first element is the name of a port.
    ///
    /// # Errors
    ///
    /// When the link is not up, or the packet cannot be written. The link goes on as before.
    #[inline]
    pub fn send<T: Serialize + ?Sized>(&mut self, packet: &T) -> Result<(), SendError> {
        let State::Up { send, .. } = self.state else {
            return Err(SendError::NotUp);
        };
        Ok(send.encode(packet, &self.config.send_limits, self.output.buffer())?)
    }

    /// Sends a message to a port of the peer: a tuple, a sequence, an enum, or a single element.
    ///
    /// # Errors
    ///
    /// As for [`send`](Link::send).
    #[inline]
    pub fn send_to<T: Serialize + ?Sized>(&mut self, port: &str, elements: &T) -> Result<(), SendError> {
        let State::Up { send, .. } = self.state else {
            return Err(SendError::NotUp);
        };
        Ok(send.encode_message(port, elements, &self.config.send_limits, self.output.buffer())?)
    }

    /// Sends a packet on that arrived over another link, in this link's framing.
    ///
    /// # Errors
    ///
    /// As for [`send`](Link::send).
    pub fn relay(&mut self, packet: &Packet<'_>) -> Result<(), SendError> {
        let State::Up { send, .. } = self.state else {
            return Err(SendError::NotUp);
        };
        Ok(packet.relay(send, &self.config.send_limits, self.output.buffer())?)
    }

    /// Gives the connection to whoever speaks its protocol, after [`Event::Stream`] and once the output is written: the
    /// octets that have arrived behind the handshake (`DATA-4`). The link has ended then.
    ///
    /// # Errors
    ///
    /// When it is not up in another protocol, or its own line is still in the output.
    pub fn hand_over(&mut self) -> Result<Vec<u8>, ApiMisuse> {
        if !matches!(self.state, State::Stream { .. }) || !self.output().is_empty() {
            return Err(ApiMisuse::OutOfTurn("hand_over"));
        }
        let octets = core::mem::take(&mut self.held);
        self.end();
        Ok(octets)
    }

    fn end(&mut self) {
        if !self.is_up() {
            self.held.zeroize();
        }
        if core::mem::take(&mut self.token_in_output) {
            self.output.wipe();
        }
        (self.held, self.output) = (Vec::new(), Output::default());
        (self.done, self.stopped) = (0, false);
        self.state = State::Ended;
    }

    /// Works through octets up to the next event; says how many are done with.
    #[inline]
    fn process(
        &mut self,
        octets: &[u8],
        visit: &mut impl FnMut(Packet<'_>) -> ControlFlow<()>,
    ) -> Result<(usize, Option<Event>), Error> {
        let mut done = 0;
        self.stopped = false;
        loop {
            match &mut self.state {
                State::Up { scanner, .. } => {
                    done += visit_packets(scanner, &octets[done..], visit, &mut self.stopped)?;
                    return Ok((done, None));
                }
                State::Greeting => {
                    let Some(line) = line::split(&octets[done..])? else {
                        return Ok((done, None));
                    };
                    done += line.length;
                    if self.peer.take(line)? {
                        self.check_greeting()?;
                        self.state = State::Greeted;
                        return Ok((done, Some(Event::Greeted)));
                    }
                }
                State::Authenticating { .. } => {
                    let Some(line) = line::split(&octets[done..])? else {
                        return Ok((done, None));
                    };
                    done += line.length;
                    return self.verify(line.text).map(|event| (done, Some(event)));
                }
                State::Securing | State::Stream { .. } => return Ok((done, None)),
                State::Greeted => {
                    // The authentication line, and packets behind it, wait for the owner's decision.
                    let limit = MAX_LINE + self.config.limits.octets.min(Limits::LEAST.octets);
                    if octets.len() - done > limit {
                        return Err(LimitExceeded::Unauthenticated { limit }.into());
                    }
                    return Ok((done, None));
                }
                State::Ended => return Err(ApiMisuse::Ended.into()),
            }
        }
    }

    fn check_greeting(&self) -> Result<(), Error> {
        let Some(peer) = &self.peer.greeting else {
            return Ok(());
        };
        if self.own.lines() == self.peer.lines() {
            return Err(PeerMisbehaved::ReflectedGreeting.into());
        }
        let is_spoken = match (&peer.protocol, &self.own.greeting.protocol) {
            (Protocol::Aemp, _) => true,
            (other, own @ Protocol::Other(_)) => other == own,
            // Only an opener may choose (`GREET-3`).
            (Protocol::Other(word), Protocol::Aemp) => self.role == Role::Acceptor && self.config.protocols.contains(word),
        };
        if !is_spoken {
            return Err(PeerIncompatible::Protocol { protocol: alloc::format!("{}", peer.protocol).as_str().into() }.into());
        }
        if peer.node == self.own.greeting.node {
            return Err(PeerIncompatible::OwnNodeId.into());
        }
        if self.own.second == self.peer.second {
            return Err(PeerMisbehaved::EqualNonces.into());
        }
        Ok(())
    }
}

/// Hands whole packets to `visit` until it breaks off; says how many octets are done with.
#[inline]
fn visit_packets(
    scanner: &mut Scanner,
    octets: &[u8],
    visit: &mut impl FnMut(Packet<'_>) -> ControlFlow<()>,
    stopped: &mut bool,
) -> Result<usize, Error> {
    let (framing, all) = (scanner.framing(), octets.len());
    let mut done = 0;
    loop {
        match scanner.scan(&octets[done..])? {
            Scan::Packet { start, end } => {
                let octets = &octets[done + start..done + end];
                let visited = visit(Packet::with_copied(framing, octets, scanner.copied()));
                done += end;
                if visited.is_break() {
                    *stopped = done < all;
                    return Ok(done);
                }
            }
            Scan::Partial { start } => return Ok(done + start),
        }
    }
}

/// Wipes what may contain a secret.
impl Drop for Link {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("role", &self.role)
            .field("node", &self.own.greeting.node)
            .field("peer", &self.peer().map(|peer| &peer.node))
            .field("phase", &self.phase())
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
