//! What the reference dials, and when: its seeds and the globals that it knows, again and again, and other nodes once.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use aemp_proto::names::NodeId;

use crate::support::world::Random;

/// How long it waits before it dials a seed again, before jitter; a global half of that.
const FIRST_WAIT: Duration = Duration::from_millis(1200);

struct Target {
    address: usize,
    node: NodeId,
    next: Option<Duration>,
    wait: Duration,
    is_seed: bool,
}

impl Target {
    fn first_wait(&self) -> Duration {
        if self.is_seed { FIRST_WAIT } else { FIRST_WAIT / 2 }
    }
}

pub struct Dialling {
    targets: Vec<Target>,
    /// Bounds the time between two tries.
    longest: Duration,
    random: Random,
    dials: Vec<usize>,
}

impl Dialling {
    /// `seeds` are addresses, and the nodes there.
    pub fn new(seeds: Vec<(usize, NodeId)>, longest: Duration, random: Random) -> Self {
        let target = |(address, node)| Target { address, node, next: Some(Duration::ZERO), wait: FIRST_WAIT, is_seed: true };
        Dialling { targets: seeds.into_iter().map(target).collect(), longest, random, dials: Vec::new() }
    }

    /// Dials what is due, but for nodes that are up.
    pub fn run(&mut self, now: Duration, is_up: impl Fn(&NodeId) -> bool) {
        for target in &mut self.targets {
            if target.next.is_some_and(|next| next <= now) {
                let up = is_up(&target.node);
                target.next = if up { Some(now + FIRST_WAIT) } else { None };
                self.dials.extend((!up).then_some(target.address));
            }
        }
    }

    pub fn take(&mut self) -> Vec<usize> {
        mem::take(&mut self.dials)
    }

    /// Dials an address, if that does not go on already.
    pub fn once(&mut self, address: usize) {
        if !self.targets.iter().any(|target| target.address == address && target.next.is_none()) {
            self.dials.push(address);
        }
    }

    /// Something is to be sent to a node: if its address is known, it is dialled without waiting.
    pub fn want(&mut self, node: &NodeId, now: Duration) -> bool {
        let known: Vec<_> = self.targets.iter_mut().filter(|target| target.node == *node).collect();
        let is_known = !known.is_empty();
        known.into_iter().filter(|target| target.next.is_some()).for_each(|target| target.next = Some(now));
        is_known
    }

    /// Keeps connections to these nodes from now on, and to no others but seeds.
    pub fn keep(&mut self, wanted: &BTreeSet<NodeId>, now: Duration, address: impl Fn(&NodeId) -> Option<usize>) {
        self.targets.retain(|target| target.is_seed || wanted.contains(&target.node));
        for node in wanted {
            if !self.targets.iter().any(|target| target.node == *node)
                && let Some(address) = address(node)
            {
                let (node, wait) = (node.clone(), FIRST_WAIT / 2);
                self.targets.push(Target { address, node, next: Some(now), wait, is_seed: false });
            }
        }
    }

    /// A connection to an address is up.
    pub fn reached(&mut self, address: usize) {
        for target in self.targets.iter_mut().filter(|target| target.address == address) {
            target.wait = target.first_wait();
        }
    }

    /// An address could not be reached, or its connection has ended: it is dialled again after a while, twice as long each
    /// time.
    pub fn again(&mut self, address: usize, now: Duration) {
        for target in self.targets.iter_mut().filter(|target| target.address == address && target.next.is_none()) {
            let jitter = target.wait.mul_f64(self.random.below(1000) as f64 / 1000.0);
            target.next = Some(now + (target.wait + jitter).min(self.longest));
            target.wait = (target.wait * 2).min(self.longest);
        }
    }
}
