//! Addresses that are dialled until a node is reached there.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::keys::{Dial, DialId};
use crate::names::NodeId;

pub(in crate::engine) struct Seeds {
    seeds: Vec<Seed>,
    jitter: Jitter,
}

/// A generator that is good enough to keep nodes out of step (SplitMix64).
pub(in crate::engine) struct Jitter(pub(in crate::engine) u64);

impl Jitter {
    /// A time from `wait` to twice that.
    pub(in crate::engine) fn of(&mut self, wait: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        wait + wait.mul_f64((mixed >> 40) as f64 / f64::from(1u32 << 24))
    }
}

struct Seed {
    address: String,
    /// The node that was reached there.
    node: Option<NodeId>,
    /// When it is dialled next; none while that goes on, or a connection stands.
    next: Option<Duration>,
    /// How long to wait after a failure.
    wait: Duration,
    /// A connection that was dialled here has come up: who answers is who it says it is.
    proven: bool,
    /// When it was dialled last.
    dialled: Option<Duration>,
    /// It is this node itself, so it is not dialled any more (`GLOBAL-6`).
    own: bool,
}

/// How long to wait after the first failure, before jitter.
const FIRST_WAIT: Duration = Duration::from_millis(1200);

/// How often an address is dialled where a node has greeted that is up by another connection: nothing proves that it was
/// that one.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

impl Seeds {
    pub(in crate::engine) fn new(random: u64) -> Self {
        Seeds { seeds: Vec::new(), jitter: Jitter(random) }
    }

    pub(in crate::engine) fn add(&mut self, address: &str, now: Duration) {
        self.seeds.push(Seed {
            address: address.to_string(),
            node: None,
            next: Some(now),
            wait: FIRST_WAIT,
            proven: false,
            dialled: None,
            own: false,
        });
    }

    pub(in crate::engine) fn is_waiting(&self) -> bool {
        self.seeds.iter().any(|seed| seed.next.is_some())
    }

    /// Takes an address that is to be dialled now. Where a node was found to which there is a connection, there is no need.
    pub(in crate::engine) fn next_due(
        &mut self,
        now: Duration,
        is_up: impl Fn(&NodeId) -> bool,
    ) -> Option<(DialId, String)> {
        for (place, seed) in self.seeds.iter_mut().enumerate() {
            if seed.next.is_none_or(|next| next > now) {
                continue;
            }
            let looked = seed.dialled.is_some_and(|dialled| now.saturating_sub(dialled) < LOOK_AGAIN);
            if (seed.proven || looked) && seed.node.as_ref().is_some_and(&is_up) {
                seed.next = Some(now + FIRST_WAIT);
                continue;
            }
            (seed.next, seed.dialled) = (None, Some(now));
            return Some((DialId(Dial::Seed(place)), seed.address.clone()));
        }
        None
    }

    /// A node has greeted there.
    ///
    /// Nothing proves that it is that one, if there is another connection to it and this one is refused: so it is dialled
    /// again once in a while.
    pub(in crate::engine) fn found(&mut self, place: usize, node: &NodeId) {
        let seed = &mut self.seeds[place];
        seed.proven &= seed.node.as_ref() == Some(node);
        seed.node = Some(node.clone());
    }

    /// It is this node itself.
    pub(in crate::engine) fn is_own(&mut self, place: usize) {
        self.seeds[place].own = true;
    }

    pub(in crate::engine) fn address(&self, place: usize) -> Option<String> {
        self.seeds.get(place).map(|seed| seed.address.clone())
    }

    /// The connection came up.
    pub(in crate::engine) fn reached(&mut self, place: usize) {
        (self.seeds[place].wait, self.seeds[place].proven) = (FIRST_WAIT, true);
    }

    /// An address could not be reached, or the connection has ended: it is dialled again after a while, twice as long each
    /// time, with jitter.
    pub(in crate::engine) fn failed(&mut self, place: usize, now: Duration, backoff: Duration) -> Option<String> {
        let seed = self.seeds.get_mut(place)?;
        if seed.own {
            return Some(seed.address.clone());
        }
        seed.next = Some(now.saturating_add(self.jitter.of(seed.wait)));
        seed.wait = seed.wait.saturating_mul(2).min(backoff);
        Some(seed.address.clone())
    }

    /// Somebody wants a connection to a node: if it has been reached before, dial without waiting.
    pub(in crate::engine) fn want(&mut self, node: &NodeId, now: Duration) {
        let known = self.seeds.iter_mut().filter(|seed| seed.node.as_ref() == Some(node) && seed.next.is_some());
        known.for_each(|seed| seed.next = Some(now));
    }

    pub(in crate::engine) fn knows(&self, node: &NodeId) -> bool {
        self.seeds.iter().any(|seed| seed.node.as_ref() == Some(node))
    }
}
