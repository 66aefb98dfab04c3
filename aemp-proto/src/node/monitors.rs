//! Watches that have not fired, by what they are on: setting, giving up and firing one of many costs no look at the others.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::watch::{Watch, WatchId};

/// The watches of this node on one port: a list while they are few, a map when they are many.
pub(super) enum Watches {
    Few(Vec<Watch>),
    Many(BTreeMap<WatchId, Watch>),
}

impl Default for Watches {
    fn default() -> Self {
        Watches::Few(Vec::new())
    }
}

impl Watches {
    /// How many a list has at most.
    const FEW: usize = 16;

    pub(super) fn len(&self) -> usize {
        match self {
            Watches::Few(few) => few.len(),
            Watches::Many(many) => many.len(),
        }
    }

    pub(super) fn insert(&mut self, watch: Watch) {
        match self {
            Watches::Few(few) if few.len() < Self::FEW => few.push(watch),
            Watches::Few(few) => {
                let all = core::mem::take(few).into_iter().chain([watch]);
                *self = Watches::Many(all.map(|watch| (watch.id, watch)).collect());
            }
            Watches::Many(many) => drop(many.insert(watch.id, watch)),
        }
    }

    pub(super) fn remove(&mut self, id: WatchId) -> Option<Watch> {
        match self {
            Watches::Few(few) => few.iter().position(|watch| watch.id == id).map(|place| few.remove(place)),
            Watches::Many(many) => many.remove(&id),
        }
    }

    /// All of them, in the order in which they were set.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Watch> {
        let (few, many) = match self {
            Watches::Few(few) => (few, BTreeMap::new()),
            Watches::Many(many) => (Vec::new(), many),
        };
        few.into_iter().chain(many.into_values())
    }
}

/// Who is told when a port of this node ends.
#[derive(Default)]
pub(super) struct Monitors {
    pub(super) own: Watches,
    /// By the places of the peers.
    pub(super) peers: BTreeMap<usize, Asked>,
}

/// How often a peer has asked to be told of the end of a port.
pub(super) struct Asked {
    /// Over which connection: what was asked over an earlier one, or by another node that had the place, is forgotten (`MON-9`).
    pub(super) run: u64,
    pub(super) times: usize,
}

impl Monitors {
    /// A peer asks once more (`MON-1`).
    pub(super) fn ask(&mut self, peer: usize, run: u64) {
        let asked = self.peers.entry(peer).or_insert(Asked { run, times: 0 });
        if asked.run != run {
            *asked = Asked { run, times: 0 };
        }
        asked.times += 1;
    }

    /// A peer takes back one question (`MON-3`); how many are left of it, if it has asked.
    pub(super) fn take_back(&mut self, peer: usize, run: u64) -> Option<usize> {
        let asked = self.peers.get_mut(&peer).filter(|asked| asked.run == run)?;
        asked.times -= 1;
        let left = asked.times;
        if left == 0 {
            self.peers.remove(&peer);
        }
        Some(left)
    }

    /// Forgets what was asked over a connection that is lost.
    pub(super) fn forget(&mut self, peer: usize, run: u64) {
        if self.peers.get(&peer).is_some_and(|asked| asked.run == run) {
            self.peers.remove(&peer);
        }
    }
}
