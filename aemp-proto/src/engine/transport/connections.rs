//! The transport connections of a node: opened, fed, read from, ended.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::ops::ControlFlow;
use core::time::Duration;

use super::super::event::{Action, NodeEvent};
use super::super::host::Host;
use super::super::state::{Connection, Engine};
use super::super::tables::keys::{ConnectionId, Dial, DialId};
use super::super::tables::peers::PeerState;
use super::super::tables::refusal::Refusal;
use crate::auth::{Exporter, Method};
use crate::error::Error;
use crate::line::Protocol;
use crate::link::{Event, Link, OwnGreeting, Role};
use crate::names::NodeId;

impl Engine {
    /// Tells of a transport connection that stands. `random` must be new for each (`NONCE-1`).
    ///
    /// # Errors
    ///
    /// When too many connections are in their handshake and none of them gives way (`SEC-5`, `SEC-8`, `SEC-10`), or the
    /// node's own greeting is too long.
    pub fn open(
        &mut self,
        now: Duration,
        role: Role,
        random: [u8; 32],
        peer_address: Option<&str>,
        dial: Option<DialId>,
    ) -> Result<ConnectionId, Error> {
        self.core.now = now;
        let own = match dial {
            Some(DialId(Dial::Data(dial))) => self.data_greeting(dial, random, peer_address)?,
            _ => OwnGreeting::new(&self.link_config, random, peer_address)?,
        };
        let address = dial.and_then(|dial| self.dialled_address(dial));
        let link = Link::new(self.link_config.clone(), role, own, now);
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        let from = peer_address.filter(|_| role == Role::Acceptor).map(String::from);
        if role == Role::Acceptor
            && let Err(error) = self.admit(id, from.as_deref())
        {
            self.refused(None, None, from, Refusal::of(&error), &error.to_string());
            return Err(error);
        }
        let connection = Connection {
            link,
            dial,
            node: None,
            accepted: false,
            accepted_at: None,
            peer: None,
            address,
            from,
            data: None,
            queued: false,
            ended: None,
            unfinished: 0,
        };
        self.connections.insert(id, Box::new(connection));
        self.handshakes.insert(id);
        self.writable.push_back(id);
        Ok(id)
    }

    /// Tells the time of day, which may have been set since (`NODE-20`): it counts for what the node says of it from then
    /// on.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use aemp_proto::{link, names::NodeId, engine::{Engine, NodeConfig}};
    /// # let config = NodeConfig::new(link::Config::new(NodeId::new("a").unwrap()));
    /// let second = Duration::from_secs(1);
    /// let mut engine = Engine::new(config, 0, second, 1_000 * second);
    /// engine.set_unix_time(5 * second, 2_000 * second);
    /// ```
    pub fn set_unix_time(&mut self, now: Duration, unix: Duration) {
        self.core.unix = unix.saturating_sub(now);
    }

    /// Tells that an address could not be reached.
    pub fn dial_failed<H: Host>(&mut self, host: &mut H, now: Duration, dial: DialId, error: &str) {
        self.core.now = now;
        let address = self.dial_ended(dial, error);
        self.refused(None, address, None, Refusal::Unreachable, error);
        self.settle(host);
    }

    /// Gives octets that have arrived. What they cause is done until the connection's
    /// [budget](crate::engine::NodeConfig::turn_budget) is spent; the node keeps the rest, and [`run`](Engine::run) goes on
    /// with it.
    #[inline]
    pub fn receive<H: Host>(&mut self, host: &mut H, now: Duration, id: ConnectionId, octets: &[u8]) {
        self.core.now = now;
        self.heard(id);
        self.core.work += octets.len() as u64;
        self.begin_turn();
        self.pump(host, id, octets);
        self.settle(host);
    }

    /// Tells that TLS stands on a connection, with a certificate of the peer's that is trusted (`TLS-5`), and what it
    /// [exports](crate::link::Link::tls_established_with), if the configuration says that tokens are bound to that.
    pub fn tls_established<H: Host>(&mut self, host: &mut H, now: Duration, id: ConnectionId, exporter: Option<&Exporter>) {
        self.core.now = now;
        if let Some(connection) = self.connections.get_mut(&id) {
            let link = &mut connection.link;
            let established = match exporter {
                Some(exporter) => link.tls_established_with(exporter),
                None => link.tls_established(),
            };
            match established {
                Ok(()) => {
                    self.writable.push_back(id);
                    self.begin_turn();
                    self.pump(host, id, &[]);
                }
                Err(error) => self.failed(id, &error),
            }
        }
        self.settle(host);
    }

    /// The node that the other side of a connection says it is, once it has greeted. Before the connection is up nothing
    /// proves that.
    pub fn greeted_as(&self, id: ConnectionId) -> Option<&NodeId> {
        self.connections.get(&id)?.node.as_ref()
    }

    /// How a node has authenticated to which there is a connection: by which method, and with which of the secrets, if that
    /// needs one: 0 is our own, then come the [further](crate::link::Config::further_secrets) ones.
    pub fn authenticated(&self, node: &NodeId) -> Option<(Method, Option<usize>)> {
        self.connections_of(node).find_map(|(_, connection)| {
            let link = &connection.link;
            Some((link.method().filter(|_| link.is_up())?, link.secret()))
        })
    }

    /// Whether octets of a connection would be of use now; if not, better leave them with the transport. The answer changes
    /// from no to yes only when [`poll_writable`](Engine::poll_writable) names the connection.
    pub fn wants_input(&self, id: ConnectionId) -> bool {
        let serves = |connection: &Connection| connection.link.wants_input() && !self.is_paused(connection);
        self.connections.get(&id).is_some_and(|connection| serves(connection)) && !self.admission.is_held(id)
    }

    /// Tells that a transport connection has ended, and how, if not in order. What has arrived whole before is handled first
    /// (`CONN-10`).
    pub fn closed<H: Host>(&mut self, host: &mut H, now: Duration, id: ConnectionId, error: Option<&str>) {
        self.core.now = now;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.ended.get_or_insert(error.map(Into::into));
            if !connection.link.has_input() {
                self.end(id);
            }
        }
        self.settle(host);
    }

    /// A connection is over that has ended, and of which everything is handled.
    fn end(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let ended = connection.link.end_of_input();
        let text: String = match (connection.ended.take().flatten(), ended) {
            // What the system says is less than what is known of the handshake.
            (Some(error), Err(Error::Lost(lost))) => alloc::format!("{error}{}", lost.hint),
            (Some(error), _) => error,
            (None, Err(error)) => error.to_string(),
            (None, Ok(())) => String::from("Unexpected end-of-file"),
        };
        self.gone(id, Refusal::Ended, &text);
    }

    /// What is to be written to a connection.
    #[inline]
    pub fn output(&self, id: ConnectionId) -> &[u8] {
        let Some(connection) = self.connections.get(&id) else { return &[] };
        let handshake = connection.link.output();
        if !handshake.is_empty() && self.admission.is_held(id) {
            return &[];
        }
        match connection.peer.map(|index| &self.core.peers[index].state) {
            Some(PeerState::Up(up)) if handshake.is_empty() && up.connection == id => up.output.pending(),
            _ => handshake,
        }
    }

    /// Takes octets off the [`output`](Engine::output) that were written.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    #[inline]
    pub fn advance_output(&mut self, id: ConnectionId, octets: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.link.output().is_empty() {
            connection.link.advance_output(octets);
        } else if let Some(index) = connection.peer
            && let Some(up) = self.core.peers[index].up()
        {
            up.output.advance(octets);
            up.told = up.output.len() > 0;
            up.part = up.part.min(up.output.len());
            self.core.database_waits = false;
            self.core.tell_ready(index);
        }
        if !self.output(id).is_empty() {
            self.writable.push_back(id);
        }
    }

    /// Gives the connection that is served now a budget of its own.
    fn begin_turn(&mut self) {
        self.core.turn_end = self.core.work.saturating_add(self.core.config.turn_budget);
    }

    /// Serves the connection that has waited for its turn for longest.
    pub(in crate::engine) fn next_turn(&mut self, host: &mut impl Host) {
        let Some(id) = self.turns.pop_front() else { return };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.queued = false;
        self.begin_turn();
        self.pump(host, id, &[]);
        if self.connections.get(&id).is_some_and(|connection| !connection.link.has_input()) {
            // It may read again.
            self.writable.push_back(id);
        }
    }

    /// Whether nothing of the other side of a connection is to be handled at the moment.
    fn is_paused(&self, connection: &Connection) -> bool {
        connection.peer.is_some_and(|index| self.core.peers[index].is_paused())
    }

    /// A connection's turn is over: another one comes if not everything is handled.
    pub(in crate::engine) fn turn_ends(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (has_input, has_ended) = (connection.link.has_input(), connection.ended.is_some());
        if has_input && !connection.queued && !self.is_paused(connection) {
            self.turns.push_back(id);
            self.connections.get_mut(&id).into_iter().for_each(|connection| connection.queued = true);
        } else if !has_input && has_ended {
            self.end(id);
        }
    }

    /// Gives octets to a link and does what it tells, until the turn is over.
    pub(in crate::engine) fn pump(&mut self, host: &mut impl Host, id: ConnectionId, octets: &[u8]) {
        let mut input = octets;
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let core = &mut self.core;
            // The name is looked up once for all packets that have arrived.
            let peer = connection.peer.map(|index| (index, core.peers[index].node.clone()));
            if peer.as_ref().is_some_and(|(index, _)| core.peers[*index].is_paused()) {
                connection.link.postpone(input);
                self.note_unfinished(id);
                return self.turn_ends(id);
            }
            if peer.is_none() && !input.is_empty() {
                self.admission.speaks(id);
            }
            let told = connection.link.receive_while(core::mem::take(&mut input), |packet| {
                if let Some((index, node)) = &peer {
                    core.packet(host, *index, node, id, &packet);
                }
                if core.work < core.turn_end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if !connection.link.output().is_empty() {
                self.writable.push_back(id);
            }
            match told {
                Ok(None) => {
                    self.note_unfinished(id);
                    return self.turn_ends(id);
                }
                Ok(Some(Event::Greeted)) => {
                    let node = connection.link.peer().map(|greeting| greeting.node.clone());
                    connection.node.clone_from(&node);
                    self.admission.greeted(id);
                    if let Some(Protocol::Other(_)) = connection.link.protocol() {
                        if let Some(node) = node {
                            self.data_greeted(host, id, &node);
                        }
                    } else if let Some(node) = node {
                        self.of_nodes.insert((node.clone(), id));
                        if let Some(dial) = connection.dial {
                            self.greeted(dial, &node);
                        }
                        self.decide(host, &node);
                    }
                }
                Ok(Some(Event::Up)) => self.up(host, id),
                Ok(Some(Event::Stream)) => return self.data_up(id),
                Err(error) => {
                    let dial = connection.dial;
                    self.is_it_us(dial, &error);
                    return self.failed(id, &error);
                }
            }
        }
    }

    /// A connection has failed.
    pub(in crate::engine) fn failed(&mut self, id: ConnectionId, error: &Error) {
        let reason = Refusal::of(error);
        self.entry_failed(id, reason);
        self.gone(id, reason, &error.to_string());
    }

    /// Tells that a connection did not come up.
    fn refused(
        &mut self,
        node: Option<NodeId>,
        address: Option<String>,
        from: Option<String>,
        reason: Refusal,
        error: &str,
    ) {
        self.core.events.push_back(NodeEvent::Refused { node, address, from, reason, error: error.into() });
    }

    /// A connection is over, for whatever reason.
    pub(in crate::engine) fn gone(&mut self, id: ConnectionId, reason: Refusal, text: &str) {
        let Some(connection) = self.forget_connection(id) else { return };
        let address = connection.dial.and_then(|dial| self.dial_ended(dial, text));
        match connection.peer {
            Some(index) => {
                if self.core.peers[index].up().is_some_and(|up| up.connection == id) {
                    self.core.lose_peer(index, text);
                }
            }
            None => {
                if let Some(key) = &connection.data {
                    self.core.data_failed(key, text);
                }
                self.refused(connection.node.clone(), address, connection.from.clone(), reason, text);
            }
        }
        // Another connection of that node may have waited for this one, or a probe was for this one.
        self.undecided.extend(connection.node);
    }

    /// A connection is up, or over.
    pub(in crate::engine) fn ends_handshake(&mut self, id: ConnectionId) {
        if self.handshakes.remove(&id) {
            self.admission.remove(id);
        }
    }

    /// Takes a connection out of all tables, and has it closed.
    pub(in crate::engine) fn forget_connection(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.ends_handshake(id);
        let connection = self.connections.remove(&id)?;
        self.unfinished -= connection.unfinished;
        if let Some(node) = &connection.node {
            self.of_nodes.remove(&(node.clone(), id));
        }
        self.actions.push_back(Action::Close(id));
        Some(connection)
    }

    /// The connections of a node that have greeted.
    pub(in crate::engine) fn connections_of(&self, node: &NodeId) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        let bound = |id| (node.clone(), ConnectionId(id));
        let ids = self.of_nodes.range(bound(0)..=bound(u64::MAX)).map(|(_, id)| *id);
        ids.filter_map(|id| Some((id, &**self.connections.get(&id)?)))
    }
}
