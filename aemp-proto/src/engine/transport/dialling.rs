//! How a node gets its connections: seeds, nodes that are searched because something is to be sent to them, and global
//! nodes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::event::Action;
use super::super::host::Host;
use super::super::state::Engine;
use super::super::tables::keys::{ConnectionId, Dial, DialId};
use super::super::tables::peers::PeerState;
use super::super::tables::refusal::Refusal;
use crate::error::{Error, PeerIncompatible};
use crate::global::{Global, Output};
use crate::names::NodeId;

impl Engine {
    /// Whether this node is global.
    pub fn is_global(&self) -> bool {
        self.core.global.is_global()
    }

    /// The master of this node. A global node has none.
    pub fn master(&self) -> Option<&NodeId> {
        self.core.global.master()
    }

    /// How many entries of the database this node holds: those of all nodes, if it is global, else its own. One that several
    /// nodes have set counts for each of them.
    pub fn entries(&self) -> usize {
        self.core.global.entries()
    }

    /// Sets the addresses under which others can reach this node, for owners that know them only once they listen (`DB-4`).
    pub fn set_addresses(&mut self, host: &mut impl Host, now: Duration, addresses: Vec<String>) {
        self.core.now = now;
        self.core.config.addresses.clone_from(&addresses);
        self.core.tell_global(|global| global.set_addresses(addresses));
        self.settle(host);
    }

    /// Makes the node global, which it is as long as it runs.
    pub fn become_global(&mut self, host: &mut impl Host, now: Duration) {
        self.core.now = now;
        self.core.tell_global(Global::become_global);
        self.settle(host);
    }

    // --- what is dialled ---

    /// A node has greeted where we dialled.
    pub(in crate::engine) fn greeted(&mut self, dial: DialId, node: &NodeId) {
        match dial.0 {
            Dial::Search(number) => {
                self.searches.greeted(number, node, self.core.now);
                self.hurries = true;
            }
            Dial::Data(_) => {}
            Dial::Seed(place) => {
                self.seeds.found(place, node);
                // If it is up already, this is how we learn that it is a seed node.
                self.core.global.seed(node);
            }
        }
    }

    /// The connection to a node is up.
    pub(in crate::engine) fn reached(&mut self, dial: Option<DialId>, node: &NodeId, speaks: bool) {
        match dial {
            Some(DialId(Dial::Seed(place))) => self.seeds.reached(place),
            Some(DialId(Dial::Search(number))) => self.searches.reached(number),
            Some(DialId(Dial::Data(_))) | None => {}
        }
        self.searches.up(node, self.core.now);
        self.core.global.forget(node);
        self.core.global.up(node, speaks);
        if self.seeds.knows(node) {
            self.core.global.seed(node);
        }
        self.core.carry_out();
    }

    /// An address could not be reached, or the connection has ended. Gives the address.
    pub(in crate::engine) fn dial_ended(&mut self, dial: DialId, text: &str) -> Option<String> {
        let now = self.core.now;
        match dial.0 {
            Dial::Data(number) => self.data_dial_ended(number, text),
            Dial::Seed(place) => {
                let address = self.seeds.failed(place, now, self.core.config.backoff)?;
                self.core.refused = Some(format!("{address}: {text}"));
                Some(address)
            }
            Dial::Search(number) => {
                self.hurries = true;
                self.searches.ended(number, now)
            }
        }
    }

    /// The address that is dialled.
    pub(in crate::engine) fn dialled_address(&self, dial: DialId) -> Option<String> {
        match dial.0 {
            Dial::Seed(place) => self.seeds.address(place),
            Dial::Search(number) => self.searches.address(number),
            Dial::Data(_) => None,
        }
    }

    /// A connection has failed: perhaps because we have reached ourselves (`GLOBAL-6`).
    pub(in crate::engine) fn is_it_us(&mut self, dial: Option<DialId>, error: &Error) {
        if let Some(DialId(Dial::Seed(place))) = dial
            && matches!(error, Error::Incompatible(PeerIncompatible::OwnNodeId))
        {
            self.seeds.is_own(place);
            self.core.global.become_global();
        }
    }

    // --- searches ---

    /// Searches a node to which a connection is wanted (`FIND-1`).
    pub(in crate::engine) fn search(&mut self, node: &NodeId, caused: bool) {
        if self.searches.len() >= self.core.config.database.searched && !self.searches.is_searched(node) {
            return self.give_up(node, "too many nodes are searched already");
        }
        self.search_now(node, caused);
    }

    /// Searches a node, also if there are many others: of global nodes only some are searched at once.
    fn search_now(&mut self, node: &NodeId, caused: bool) {
        self.searches.begin(node, self.core.now, self.core.config.connect_timeout, caused);
        if !self.core.tell_global(|global| global.find(node)) {
            self.give_up(node, "too many nodes are searched already");
        }
    }

    /// Takes up what has been found out; false if there was nothing.
    pub(in crate::engine) fn discover(&mut self) -> bool {
        let Some(output) = self.core.discovered.pop_front() else { return false };
        self.hurries = true;
        match output {
            Output::Found(node, addresses) => {
                self.data_found(&node, addresses.as_deref());
                self.found(&node, addresses);
            }
            // It may have come meanwhile.
            Output::Keep(node) if self.core.is_up(&node) => {}
            Output::Keep(node) => self.searches.keep(node, self.core.now),
            Output::LetGo(node) => {
                self.searches.let_go(&node);
                // Or anyone could have it search ever more, by listing globals for a moment (`FIND-9`).
                if !self.core.is_connecting_to(&node) {
                    self.searches.end(&node, self.core.now);
                }
            }
            _ => {}
        }
        true
    }

    fn found(&mut self, node: &NodeId, addresses: Option<Vec<String>>) {
        if !self.searches.is_searched(node) {
            return;
        }
        let comes = self.seeds.knows(node) || self.connections_of(node).any(|(_, connection)| connection.peer.is_none());
        match addresses {
            Some(addresses) if !addresses.is_empty() => self.searches.found(node, addresses, self.core.now),
            _ if comes => {}
            None => self.give_up(node, "no known address"),
            // If we listen, it may still come to us.
            Some(_) if self.core.config.addresses.is_empty() => self.give_up(node, "it does not listen"),
            Some(_) => {}
        }
    }

    /// Gives a search up at once (`FIND-6`, `FIND-7`).
    fn give_up(&mut self, node: &NodeId, text: &str) {
        self.searches.end(node, self.core.now);
        self.core.global.forget(node);
        if let Some(index) = self.core.known_peer(node)
            && let PeerState::Connecting { .. } = self.core.peers[index].state
        {
            self.core.lose_peer(index, text);
        }
    }

    /// Ends the searches whose time is over.
    pub(in crate::engine) fn end_searches(&mut self) {
        let now = self.core.now;
        for node in self.searches.late(now) {
            self.searches.end(&node, now);
            self.core.global.forget(&node);
        }
        // What was dialled for a search that is over is of no use, and keeps others from being dialled.
        let unwanted = |id: &ConnectionId| match self.connections.get(id).and_then(|connection| connection.dial) {
            Some(DialId(Dial::Search(number))) => !self.searches.is_wanted(number),
            _ => false,
        };
        let unwanted: Vec<_> = self.handshakes.iter().copied().filter(unwanted).collect();
        for id in unwanted {
            self.gone(id, Refusal::Unwanted, "nobody waits for that node any more");
        }
    }

    /// Dials all that is to be dialled now. What this costs does not depend on how many peers there are.
    pub(in crate::engine) fn dial(&mut self) {
        let now = self.core.now;
        let core = &self.core;
        while let Some((dial, address)) = self.seeds.next_due(now, |node| core.is_up(node)) {
            self.actions.push_back(Action::Dial { dial, address });
        }
        for node in self.searches.take_due(now, self.core.config.backoff) {
            self.search_now(&node, false);
        }
        while self.discover() {}
        while let Some((dial, address)) = self.searches.next_due(now) {
            self.actions.push_back(Action::Dial { dial, address });
        }
        self.hurries = false;
    }
}
