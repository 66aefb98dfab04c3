//! Addresses of nodes that are wanted, tried one after the other, and global nodes to which a connection is kept.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::keys::{Dial, DialId};
use super::seeds::Jitter;
use crate::names::NodeId;

pub(in crate::engine) struct Searches {
    searches: BTreeMap<NodeId, Search>,
    /// Those that have an address left, by when that is tried: those of this node's own, and those that peers have caused.
    ready: [BTreeSet<(Duration, NodeId)>; 2],
    kept: BTreeMap<NodeId, Kept>,
    /// Which node is expected where an address is dialled.
    dials: BTreeMap<u64, Dialled>,
    /// How many of those peers have caused.
    caused_dials: usize,
    last_dial: u64,
    jitter: Jitter,
}

/// An address that is dialled.
struct Dialled {
    node: NodeId,
    address: String,
    caused: bool,
}

/// A node that is searched.
struct Search {
    /// A peer has caused it, and not this node's own programs.
    caused: bool,
    /// Addresses that were not tried yet.
    addresses: VecDeque<String>,
    /// The dialling that goes on.
    current: Option<u64>,
    /// When the next address is tried, even if nothing has come of the last one.
    next: Duration,
    /// How long an address is given before the next one is tried, too.
    patience: Duration,
    until: Duration,
}

/// A global node that is tried until it is up.
struct Kept {
    /// When it is searched next; none while that goes on, or a connection stands.
    next: Option<Duration>,
    wait: Duration,
    /// Since when a connection stands.
    up: Option<Duration>,
}

/// How long a connection must have stood for its loss to be news: after less, the time to the next try goes on growing.
const LONG: Duration = Duration::from_secs(30);

/// Addresses that are dialled at once for searches: anyone can have us search many nodes.
const DIALS: usize = 1000;

/// How many of them peers may cause: the rest is for this node's own (`FIND-11`).
const CAUSED_DIALS: usize = DIALS * 3 / 4;

/// How long to wait after the first failure to reach a global, before jitter (`GLOBAL-19`).
const FIRST_WAIT: Duration = Duration::from_millis(600);

impl Searches {
    pub(in crate::engine) fn new(random: u64) -> Self {
        Searches {
            searches: BTreeMap::new(),
            ready: Default::default(),
            kept: BTreeMap::new(),
            dials: BTreeMap::new(),
            caused_dials: 0,
            last_dial: 0,
            jitter: Jitter(random),
        }
    }

    pub(in crate::engine) fn is_waiting(&self) -> bool {
        !self.searches.is_empty() || self.kept.values().any(|kept| kept.up.is_none())
    }

    /// How many nodes are searched at once.
    pub(in crate::engine) fn len(&self) -> usize {
        self.searches.len()
    }

    /// How many addresses are dialled at once.
    pub(in crate::engine) fn dials(&self) -> usize {
        self.dials.len()
    }

    /// How many global nodes are tried, or are up and would be.
    pub(in crate::engine) fn kept(&self) -> usize {
        self.kept.len()
    }

    pub(in crate::engine) fn is_searched(&self, node: &NodeId) -> bool {
        self.searches.contains_key(node)
    }

    /// Begins to search a node, or goes on.
    pub(in crate::engine) fn begin(&mut self, node: &NodeId, now: Duration, time: Duration, caused: bool) {
        let search = self.searches.entry(node.clone()).or_insert_with(|| Search {
            caused,
            addresses: VecDeque::new(),
            current: None,
            next: now,
            patience: time,
            until: now,
        });
        search.until = now.saturating_add(time);
    }

    /// The addresses of a node that is searched are known.
    pub(in crate::engine) fn found(&mut self, node: &NodeId, addresses: Vec<String>, now: Duration) {
        /// Addresses of one node that are tried: anyone can say that there are many.
        const TRIED: usize = 16;
        let addresses: VecDeque<_> = addresses.into_iter().take(TRIED).collect();
        let count = addresses.len().max(1) as u32;
        self.change(node, |search| {
            search.patience = search.until.saturating_sub(now) / count;
            (search.addresses, search.next) = (addresses, now);
        });
    }

    /// Changes when a search tries which address.
    fn change<R>(&mut self, node: &NodeId, change: impl FnOnce(&mut Search) -> R) -> Option<R> {
        let search = self.searches.get_mut(node)?;
        let ready = &mut self.ready[usize::from(search.caused)];
        if !search.addresses.is_empty() {
            ready.remove(&(search.next, node.clone()));
        }
        let result = change(search);
        if !search.addresses.is_empty() {
            ready.insert((search.next, node.clone()));
        }
        Some(result)
    }

    fn remove(&mut self, node: &NodeId) -> bool {
        let Some(search) = self.searches.remove(node) else { return false };
        self.ready[usize::from(search.caused)].remove(&(search.next, node.clone()));
        true
    }

    /// Takes an address that is to be dialled now.
    pub(in crate::engine) fn next_due(&mut self, now: Duration) -> Option<(DialId, String)> {
        if self.dials.len() >= DIALS {
            return None;
        }
        let due = |ready: &BTreeSet<(Duration, NodeId)>| {
            ready.first().filter(|(next, _)| *next <= now).map(|(_, node)| node.clone())
        };
        let [own, caused] = &self.ready;
        let node = due(own).or_else(|| due(caused).filter(|_| self.caused_dials < CAUSED_DIALS))?;
        self.last_dial += 1;
        let number = self.last_dial;
        let (address, caused) = self.change(&node, |search| {
            (search.current, search.next) = (Some(number), now.saturating_add(search.patience));
            Some((search.addresses.pop_front()?, search.caused))
        })??;
        self.caused_dials += usize::from(caused);
        self.dials.insert(number, Dialled { node, address: address.clone(), caused });
        Some((DialId(Dial::Search(number)), address))
    }

    /// A node has greeted at an address: if it is another one, the next address is tried (`FIND-8`).
    pub(in crate::engine) fn greeted(&mut self, dial: u64, node: &NodeId, now: Duration) {
        if self.dials.get(&dial).is_some_and(|dialled| dialled.node != *node) {
            self.go_on(dial, now);
        }
    }

    /// A dialling has failed, or its connection has ended.
    pub(in crate::engine) fn ended(&mut self, dial: u64, now: Duration) -> Option<String> {
        self.go_on(dial, now);
        self.forget(dial).map(|dialled| dialled.address)
    }

    fn forget(&mut self, dial: u64) -> Option<Dialled> {
        let dialled = self.dials.remove(&dial)?;
        self.caused_dials -= usize::from(dialled.caused);
        Some(dialled)
    }

    pub(in crate::engine) fn address(&self, dial: u64) -> Option<String> {
        self.dials.get(&dial).map(|dialled| dialled.address.clone())
    }

    /// The connection of a dialling is up.
    pub(in crate::engine) fn reached(&mut self, dial: u64) {
        self.forget(dial);
    }

    /// Whether anyone still waits for what comes of a dialling.
    pub(in crate::engine) fn is_wanted(&self, dial: u64) -> bool {
        self.dials.get(&dial).is_some_and(|dialled| self.searches.contains_key(&dialled.node))
    }

    fn go_on(&mut self, dial: u64, now: Duration) {
        let Some(node) = self.dials.get(&dial).map(|dialled| dialled.node.clone()) else { return };
        if self.searches.get(&node).is_none_or(|search| search.current != Some(dial)) {
            return;
        }
        let is_last = self.change(&node, |search| {
            (search.current, search.next) = (None, now);
            search.addresses.is_empty()
        });
        if is_last == Some(true) {
            self.failed(&node, now);
        }
    }

    /// Nothing came of a search: if it is for a global node, there is another one later.
    fn failed(&mut self, node: &NodeId, now: Duration) {
        if let Some(kept) = self.kept.get_mut(node).filter(|kept| kept.next.is_none() && kept.up.is_none()) {
            kept.next = Some(now.saturating_add(self.jitter.of(kept.wait)));
            kept.wait = kept.wait.saturating_mul(2);
        }
    }

    /// A search is over, or could not begin.
    pub(in crate::engine) fn end(&mut self, node: &NodeId, now: Duration) {
        self.remove(node);
        self.failed(node, now);
    }

    /// The connection to a node is up.
    pub(in crate::engine) fn up(&mut self, node: &NodeId, now: Duration) {
        self.remove(node);
        if let Some(kept) = self.kept.get_mut(node) {
            (kept.next, kept.up) = (None, Some(now));
        }
    }

    /// The searches whose time is over.
    pub(in crate::engine) fn late(&self, now: Duration) -> Vec<NodeId> {
        self.searches.iter().filter(|(_, search)| search.until <= now).map(|(node, _)| node.clone()).collect()
    }

    /// Tries a global node until it is up, beginning now; or after a while, if it was up for a short time only.
    pub(in crate::engine) fn keep(&mut self, node: NodeId, now: Duration) {
        let wait = match self.kept.get(&node) {
            Some(Kept { up: Some(since), wait, .. }) if now.saturating_sub(*since) < LONG => Some(*wait),
            _ => None,
        };
        let kept = match wait {
            Some(wait) => {
                Kept { next: Some(now.saturating_add(self.jitter.of(wait))), wait: wait.saturating_mul(2), up: None }
            }
            None => Kept { next: Some(now), wait: FIRST_WAIT, up: None },
        };
        self.kept.insert(node, kept);
    }

    pub(in crate::engine) fn let_go(&mut self, node: &NodeId) {
        self.kept.remove(node);
    }

    /// The global nodes that are to be tried now.
    pub(in crate::engine) fn take_due(&mut self, now: Duration, backoff: Duration) -> Vec<NodeId> {
        /// How many global nodes are tried at once: anyone can say that there are many.
        const AT_ONCE: usize = 100;
        let tried = self.kept.values().filter(|kept| kept.next.is_none() && kept.up.is_none()).count();
        let due = self.kept.iter().filter_map(|(node, kept)| Some((kept.next.filter(|next| *next <= now)?, node.clone())));
        let mut due: Vec<_> = due.collect();
        // Whoever has waited longest comes first, so that nobody is kept out by many who do not answer.
        due.sort_unstable();
        due.truncate(AT_ONCE.saturating_sub(tried));
        for (_, node) in &due {
            if let Some(kept) = self.kept.get_mut(node) {
                (kept.next, kept.wait) = (None, kept.wait.min(backoff));
            }
        }
        due.into_iter().map(|(_, node)| node).collect()
    }
}
