//! Monitors: what happens when a port ends. Setting, taking back and firing one of many costs no look at the others.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::keys::{DataKey, MonitorId, PortKey, Token};
use crate::global::FamilyWatch;
use crate::names::PortId;
use crate::value::Value;

/// What a monitor of a host does when it fires.
#[derive(Debug, Clone, PartialEq)]
pub enum MonitorAction {
    /// Kills the port, for the same reasons, unless the end was a normal one. The monitor goes with the port.
    Kill(PortKey),
    /// Sends the elements to the port, with the reasons behind them.
    Send(PortId, Vec<Value>),
    /// Hands the token to [`Host::fired`](crate::engine::Host::fired). The monitor goes with the port, if there is one.
    Notify(Option<PortKey>, Token),
}

/// What happens when a monitor fires.
pub(in crate::engine) enum OnEnd {
    /// What a host has asked for.
    Asked(MonitorAction),
    /// The database entry of this family and key is removed.
    RemoveEntry(String, String),
    /// The view of a family is closed.
    CloseView(FamilyWatch),
    /// The port that waits for a data connection has ended.
    DataEnded(Box<DataEnded>),
}

/// The port that waits for a data connection, and who has asked for that.
pub(in crate::engine) struct DataEnded {
    pub(in crate::engine) key: DataKey,
    pub(in crate::engine) owner: Option<PortKey>,
    pub(in crate::engine) waits: PortKey,
}

/// A monitor that has not fired.
pub(in crate::engine) struct Monitor {
    pub(in crate::engine) id: MonitorId,
    pub(in crate::engine) action: OnEnd,
}

impl Monitor {
    /// Returns the port that the monitor goes with: when that ends, the monitor is taken back.
    pub(in crate::engine) fn owner(&self) -> Option<PortKey> {
        match self.action {
            OnEnd::Asked(MonitorAction::Kill(port)) => Some(port),
            OnEnd::Asked(MonitorAction::Notify(port, _)) => port,
            _ => None,
        }
    }

    /// Returns the work of the host that runs when the monitor fires.
    pub(in crate::engine) fn token(&self) -> Option<Token> {
        match self.action {
            OnEnd::Asked(MonitorAction::Notify(_, token)) => Some(token),
            _ => None,
        }
    }
}

/// The monitors of this node on one port: a list while they are few, a map when they are many.
pub(in crate::engine) enum MonitorList {
    Few(Vec<Monitor>),
    Many(BTreeMap<MonitorId, Monitor>),
}

impl Default for MonitorList {
    fn default() -> Self {
        MonitorList::Few(Vec::new())
    }
}

impl MonitorList {
    /// How many a list has at most.
    const FEW: usize = 16;

    pub(in crate::engine) fn len(&self) -> usize {
        match self {
            MonitorList::Few(few) => few.len(),
            MonitorList::Many(many) => many.len(),
        }
    }

    pub(in crate::engine) fn insert(&mut self, monitor: Monitor) {
        match self {
            MonitorList::Few(few) if few.len() < Self::FEW => few.push(monitor),
            MonitorList::Few(few) => {
                let all = core::mem::take(few).into_iter().chain([monitor]);
                *self = MonitorList::Many(all.map(|monitor| (monitor.id, monitor)).collect());
            }
            MonitorList::Many(many) => drop(many.insert(monitor.id, monitor)),
        }
    }

    pub(in crate::engine) fn remove(&mut self, id: MonitorId) -> Option<Monitor> {
        match self {
            MonitorList::Few(few) => few.iter().position(|monitor| monitor.id == id).map(|place| few.remove(place)),
            MonitorList::Many(many) => many.remove(&id),
        }
    }

    /// All of them, in the order in which they were set.
    pub(in crate::engine) fn into_iter(self) -> impl Iterator<Item = Monitor> {
        let (few, many) = match self {
            MonitorList::Few(few) => (few, BTreeMap::new()),
            MonitorList::Many(many) => (Vec::new(), many),
        };
        few.into_iter().chain(many.into_values())
    }
}

/// Who is told when a port of this node ends.
#[derive(Default)]
pub(in crate::engine) struct Observers {
    pub(in crate::engine) own: MonitorList,
    /// By the places of the peers.
    pub(in crate::engine) peers: BTreeMap<usize, Asked>,
}

/// How often a peer has asked to be told of the end of a port.
pub(in crate::engine) struct Asked {
    /// Over which connection: what was asked over an earlier one, or by another node that had the place, is forgotten
    /// (`MON-9`).
    pub(in crate::engine) run: u64,
    pub(in crate::engine) times: usize,
}

impl Observers {
    /// A peer asks once more (`MON-1`).
    pub(in crate::engine) fn ask(&mut self, peer: usize, run: u64) {
        let asked = self.peers.entry(peer).or_insert(Asked { run, times: 0 });
        if asked.run != run {
            *asked = Asked { run, times: 0 };
        }
        asked.times += 1;
    }

    /// A peer takes back one question (`MON-3`); how many are left of it, if it has asked.
    pub(in crate::engine) fn take_back(&mut self, peer: usize, run: u64) -> Option<usize> {
        let asked = self.peers.get_mut(&peer).filter(|asked| asked.run == run)?;
        asked.times -= 1;
        let left = asked.times;
        if left == 0 {
            self.peers.remove(&peer);
        }
        Some(left)
    }

    /// Forgets what was asked over a connection that is lost.
    pub(in crate::engine) fn forget(&mut self, peer: usize, run: u64) {
        if self.peers.get(&peer).is_some_and(|asked| asked.run == run) {
            self.peers.remove(&peer);
        }
    }
}
