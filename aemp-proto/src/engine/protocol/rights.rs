//! What each peer may do, by the table of permissions.

use alloc::boxed::Box;

use super::super::state::Core;
use super::super::tables::denials::Denied;
use super::super::tables::keys::PortKey;
use super::super::tables::peers::Restricted;
use crate::names::{NodeId, PortId};
use crate::permissions::Right;

impl Core {
    /// Finds out what a peer may do.
    pub(in crate::engine) fn resolve_rights(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let rights = self.config.permissions.of(&peer.node);
        peer.restricted = (!rights.are_all()).then(|| Box::new(Restricted { rights, known: Default::default() }));
    }

    /// Whether a peer has a right for a name; if not, the operator hears of it. We ourselves, who are no peer, may do
    /// everything.
    pub(in crate::engine) fn may(&mut self, peer: Option<usize>, right: Right, denied: Denied, name: &str) -> bool {
        let Some(peer) = peer.map(|index| &self.peers[index]) else { return true };
        let may = peer.restricted.as_ref().is_none_or(|restricted| restricted.rights.may(right, name));
        if !may {
            let node = peer.node.clone();
            self.denied(&node, denied, name);
        }
        may
    }

    /// Whether a peer may reach a port of this node: send to it, watch it, end it. If not, the operator hears of it.
    #[inline]
    pub(in crate::engine) fn may_reach(&mut self, index: usize, port: PortKey, name: &str, denied: Denied) -> bool {
        self.peers[index].restricted.is_none() || self.restricted_may_reach(index, port, name, denied)
    }

    fn restricted_may_reach(&mut self, index: usize, port: PortKey, name: &str, denied: Denied) -> bool {
        let peer = &self.peers[index];
        let Some(restricted) = &peer.restricted else { return true };
        let place = port.slot() % Restricted::KNOWN;
        let may = match restricted.known[place] {
            Some((known, may)) if known == port => may,
            _ => {
                let rights = &restricted.rights;
                let may = match self.ports.get(port) {
                    // It was made by the node: who knows its name was told it, or has guessed.
                    Some(port) if !port.is_named() => rights.may_reach_unnamed(),
                    Some(port) => port.is_spawned_by(&peer.node) || rights.may(Right::Send, name),
                    None => return true,
                };
                self.peers[index].restricted.iter_mut().for_each(|restricted| restricted.known[place] = Some((port, may)));
                may
            }
        };
        if !may {
            let node = self.peers[index].node.clone();
            self.denied(&node, denied, name);
        }
        may
    }

    /// Whether a peer may have this node send something there.
    pub(in crate::engine) fn may_have_sent(&mut self, index: usize, to: &PortId) -> bool {
        let peer = &self.peers[index];
        if peer.restricted.is_none() || *to.node() == peer.node {
            return true;
        }
        if *to.node() != self.id {
            return self.may(Some(index), Right::Send, Denied::Send, &alloc::format!("{}#{}", to.node(), to.port()));
        }
        match self.ports.find(to.port()) {
            Some(port) => self.may_reach(index, port, to.port(), Denied::Send),
            // Nobody hears it.
            None => true,
        }
    }

    /// Tells the operator that a peer may not set entries of a family.
    pub(in crate::engine) fn denied_family(&mut self, node: &NodeId, family: &str) {
        self.denied(node, Denied::Set, family);
    }
}
