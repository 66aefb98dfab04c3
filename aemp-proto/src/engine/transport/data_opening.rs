//! Opening data connections from whichever side can, and giving them to the owner.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::super::event::Action;
use super::super::host::Host;
use super::super::state::{ARBITER, Engine, GLOBAL};
use super::super::tables::data_connections::{DataConnection, DataTaker, ID, Opening, Purpose, Search, WORD};
use super::super::tables::keys::{ConnectionId, DataKey, Dial, DialId};
use super::super::tables::reasons::Reasons;
use super::super::tables::refusal::Refusal;
use crate::error::{ApiMisuse, Error};
use crate::line::Protocol;
use crate::link::{Accepted, OwnGreeting};
use crate::names::NodeId;

impl Engine {
    /// Takes a data connection, after [`Action::HandOver`] and once its output is written; `None` if nobody waits for it any
    /// more: close it then. The node knows nothing of it from here on.
    pub fn hand_over(&mut self, host: &mut impl Host, now: Duration, id: ConnectionId) -> Option<DataConnection> {
        self.core.now = now;
        let connection = self.connections.get_mut(&id)?;
        let key = connection.data.take()?;
        let early = connection.link.hand_over();
        self.unfinished -= self.connections.remove(&id).map_or(0, |connection| connection.unfinished);
        let (peer, _) = &key;
        let peer = peer.clone();
        let taken = early.ok().and_then(|early| Some((early, self.core.data_taken(&key)?)));
        let taken = taken.map(|(early, wanted)| {
            let taker = match wanted.purpose {
                Purpose::Function { name, arguments } => DataTaker::Function { name, arguments },
                Purpose::Asked { .. } => {
                    self.core.kill(&wanted.port, &Reasons::default());
                    DataTaker::Asked(wanted.port)
                }
            };
            DataConnection { peer, early, taker }
        });
        self.settle(host);
        taken
    }

    /// Whether a connection is to become a data connection, once its other side has said so.
    pub fn is_data(&self, id: ConnectionId) -> bool {
        let protocol = self.connections.get(&id).and_then(|connection| connection.link.protocol());
        matches!(protocol, Some(Protocol::Other(_)))
    }

    /// What an opener says first.
    pub(in crate::engine) fn data_greeting(
        &self,
        dial: u64,
        random: [u8; 32],
        peer_address: Option<&str>,
    ) -> Result<OwnGreeting, Error> {
        let (_, id) = self.core.data.dialled(dial).ok_or(ApiMisuse::Unwanted)?;
        let mut keys: BTreeMap<_, _> = self.link_config.keys.clone();
        // It speaks none of these there.
        for key in ["mproto", ARBITER, GLOBAL] {
            keys.remove(key);
        }
        keys.insert(ID.into(), id.to_string());
        OwnGreeting::of_protocol(WORD, keys, &self.link_config, random, peer_address)
    }

    /// The other side of a data connection has greeted.
    pub(in crate::engine) fn data_greeted(&mut self, host: &mut impl Host, id: ConnectionId, node: &NodeId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(DialId(Dial::Data(dial))) = connection.dial {
            match self.core.data.dialled(dial) {
                Some((wanted, _)) if wanted == node => {}
                Some(_) => {
                    return self.gone(
                        id,
                        Refusal::Incompatible,
                        "that is another node than the one that is wanted [DATA-24]",
                    );
                }
                None => return self.gone(id, Refusal::Unwanted, "nobody waits for it any more"),
            }
        }
        connection.accepted = true;
        self.writable.push_back(id);
        match connection.link.accept() {
            Ok(Accepted::Authenticating) => self.pump(host, id, &[]),
            Ok(Accepted::StartTls(tls)) => self.actions.push_back(Action::StartTls { connection: id, tls }),
            Err(error) => self.failed(id, &error),
        }
    }

    /// The other side of a data connection is authenticated: whose is it? An acceptor has not sent its own line yet
    /// (`DATA-3`).
    pub(in crate::engine) fn data_up(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let key = match connection.dial {
            Some(DialId(Dial::Data(dial))) => self.core.data.dialled(dial).cloned(),
            _ => connection.link.peer().and_then(|peer| Some((peer.node.clone(), peer.keys.get(ID)?.as_str().into()))),
        };
        let wanted = key.and_then(|key| Some((self.core.data.get(&key)?, key)));
        let Some((wanted, key)) = wanted.filter(|(wanted, _)| wanted.claimed.is_none()) else {
            return self.gone(id, Refusal::Unwanted, "no data connection of that ID is expected from it [DATA-3]");
        };
        wanted.claimed = Some(id);
        let opening = wanted.opening.take();
        if let Some(dial) = opening.and_then(|opening| opening.current) {
            self.core.data.end_dial(dial);
        }
        (connection.data, connection.dial) = (Some(key), None);
        self.ends_handshake(id);
        self.writable.push_back(id);
        self.actions.push_back(Action::HandOver(id));
    }

    // --- opening ---

    /// Begins to open what is to be opened; false if there was nothing.
    pub(in crate::engine) fn data_open(&mut self) -> bool {
        let Some(key) = self.core.data.to_open.pop() else { return false };
        // The address at which the node was reached before is the best guess.
        let peer = self.core.known_peer(&key.0).and_then(|index| Some(self.core.peers[index].up()?.connection));
        let reached = peer.and_then(|connection| self.connections.get(&connection)?.address.clone());
        let now = self.core.now;
        if let Some(wanted) = self.core.data.get(&key).filter(|wanted| wanted.claimed.is_none()) {
            let addresses = reached.into_iter().collect();
            let (search, current) = (Search::NotBegun, None);
            wanted.opening = Some(Opening { addresses, search, current, until: now, error: None });
            self.data_go_on(&key);
        }
        true
    }

    /// Takes the next step to open a data connection.
    fn data_go_on(&mut self, key: &DataKey) {
        let (now, patience) = (self.core.now, self.core.config.connect_timeout);
        let can_search = self.core.global.is_global() || self.core.global.master().is_some();
        let Some(opening) = self.core.data.get(key).and_then(|wanted| wanted.opening.as_mut()) else { return };
        if opening.current.is_some() {
            return;
        }
        let until = now.saturating_add(patience);
        if let Some(address) = opening.addresses.pop_front() {
            if let Some(dial) = self.core.data.dial(key, &address, until) {
                self.actions.push_back(Action::Dial { dial: DialId(Dial::Data(dial)), address });
            }
            return;
        }
        match opening.search {
            Search::NotBegun if can_search => {
                (opening.search, opening.until) = (Search::Waits, until);
                if !self.core.tell_global(|global| global.find(&key.0)) {
                    self.data_found(&key.0, None);
                }
            }
            Search::Waits => {}
            Search::NotBegun | Search::Over => self.data_nowhere(key),
        }
    }

    /// The addresses of a node are known.
    pub(in crate::engine) fn data_found(&mut self, node: &NodeId, addresses: Option<&[String]>) {
        /// Addresses of one node that are tried: anyone can say that there are many.
        const TRIED: usize = 16;
        let of_node: Vec<_> = self.core.data.of_node(node).cloned().collect();
        for key in of_node {
            if let Some(opening) = self.core.data.get(&key).and_then(|wanted| wanted.opening.as_mut())
                && opening.search == Search::Waits
            {
                opening.search = Search::Over;
                opening.addresses = addresses.unwrap_or_default().iter().take(TRIED).cloned().collect::<VecDeque<_>>();
                self.data_go_on(&key);
            }
        }
    }

    /// The other node cannot be reached from here: it may reach this one (`DATA-21`).
    fn data_nowhere(&mut self, key: &DataKey) {
        let listens = !self.core.config.addresses.is_empty();
        let Some(wanted) = self.core.data.get(key) else { return };
        let error = wanted.opening.take().and_then(|opening| opening.error);
        let node = &key.0;
        let why =
            error.map_or_else(|| alloc::format!("{node} does not listen"), |error| alloc::format!("{node} at {error}"));
        match wanted.purpose {
            Purpose::Asked { .. } if listens => self.core.data_reverse(key),
            Purpose::Asked { .. } => self.core.data_failed(key, &alloc::format!("{why}, and this node does not listen")),
            Purpose::Function { .. } => self.core.data_failed(key, &why),
        }
    }

    /// An address could not be reached, or the handshake there has failed. Gives the address.
    pub(in crate::engine) fn data_dial_ended(&mut self, dial: u64, text: &str) -> Option<String> {
        let (key, address) = self.core.data.end_dial(dial)?;
        if let Some(opening) = self.core.data.get(&key).and_then(|wanted| wanted.opening.as_mut()) {
            opening.error = Some(alloc::format!("{address}: {text}"));
            self.data_go_on(&key);
        }
        Some(address)
    }

    /// Goes on where a step takes too long, and closes what nobody waits for any more.
    pub(in crate::engine) fn data_hurry(&mut self) {
        let now = self.core.now;
        for key in self.core.data.late(now) {
            let Some(opening) = self.core.data.get(&key).and_then(|wanted| wanted.opening.as_mut()) else { continue };
            match opening.current {
                Some(dial) => drop(self.data_dial_ended(dial, "no answer in time")),
                None => {
                    opening.search = Search::Over;
                    self.data_go_on(&key);
                }
            }
        }
        let unwanted = |id: &ConnectionId| match self.connections.get(id).map(|connection| connection.dial) {
            Some(Some(DialId(Dial::Data(dial)))) => self.core.data.dialled(dial).is_none(),
            _ => false,
        };
        let unwanted: Vec<_> = self.handshakes.iter().copied().filter(unwanted).collect();
        for id in unwanted {
            self.gone(id, Refusal::Unwanted, "nobody waits for it any more");
        }
    }
}
