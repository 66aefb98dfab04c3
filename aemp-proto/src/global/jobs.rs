//! What takes longer than one turn: contents and databases that are sent in portions, and lost shards that are forgotten in
//! portions.
//!
//! Each peer has a queue of jobs. A job goes on where its cursor stands, so what changes behind the cursor is read when the
//! cursor comes there, and what changes before it is told at once. Requests that have to arrive behind the portions wait in
//! the same queue.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;

use super::database::{Name, Room};
use super::request::{Question, Request};
use super::shards::TABLE;
use crate::names::NodeId;

/// Something that is sent to one peer in portions, or behind them.
pub(super) enum Job {
    /// What this node contributes: as `g_slave` to a master, as `g_set` to a global.
    Part { to_master: bool, cursor: Option<(Name, Name)>, has_begun: bool },
    /// The contents of a family that the peer watches.
    Contents { family: Name, cursor: Option<Name>, has_begun: bool },
    /// The answer to a query.
    Answer { question: Question, family: Name, id: String },
    /// A request that stands behind the others.
    Send(Arc<Request>),
}

/// The queues of all peers, and whose turn it is.
#[derive(Default)]
pub(super) struct Jobs {
    pub(super) queues: BTreeMap<NodeId, VecDeque<Job>>,
    pub(super) turns: VecDeque<NodeId>,
    /// Peers from which nothing is taken until their queue is shorter.
    pub(super) paused: BTreeSet<NodeId>,
}

impl Jobs {
    /// How many jobs there are.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// Whether an entry of this node's part goes to a peer as a change: not if a job has still to come there.
    pub(super) fn tells_part(&self, node: &NodeId, family: &Name, key: &Name) -> bool {
        !self.of(node).any(|job| match job {
            Job::Part { cursor: Some((last, last_key)), .. } => (&**family, &**key) > (&**last, &**last_key),
            Job::Part { cursor: None, .. } => true,
            _ => false,
        })
    }

    /// Whether an entry of a family that is watched goes to a peer as a change.
    pub(super) fn tells_contents(&self, node: &NodeId, watched: &Name, key: &Name) -> bool {
        !self.of(node).any(|job| match job {
            Job::Contents { family, cursor: Some(last), .. } => family == watched && **key > **last,
            Job::Contents { family, cursor: None, .. } => family == watched,
            _ => false,
        })
    }

    /// Whether a peer has jobs.
    pub(super) fn has(&self, node: &NodeId) -> bool {
        self.queues.contains_key(node)
    }

    fn of(&self, node: &NodeId) -> impl Iterator<Item = &Job> {
        self.queues.get(node).into_iter().flatten()
    }

    /// The peer does not watch a family any more, or none if `family` is `None`.
    pub(super) fn forget_contents(&mut self, node: &NodeId, unwatched: Option<&str>) {
        if let Some(queue) = self.queues.get_mut(node) {
            queue.retain(|job| match job {
                Job::Contents { family, .. } => unwatched.is_some_and(|unwatched| **family != *unwatched),
                _ => true,
            });
        }
    }

    /// The peer is gone; whether nothing was taken from it.
    pub(super) fn forget(&mut self, node: &NodeId) -> bool {
        self.queues.remove(node);
        self.turns.retain(|other| other != node);
        self.paused.remove(node)
    }

    /// Nothing waits for the peer any more.
    pub(super) fn forget_all(&mut self, node: &NodeId) {
        self.queues.remove(node);
    }
}

/// What is put into one packet, and what that costs.
pub(super) struct Portion {
    octets: usize,
    values: usize,
    entries: usize,
    most: usize,
}

impl Portion {
    /// More values than this do not go into one packet: half of what every receiver takes (`LIMIT-5`).
    const VALUES: usize = 50_000;

    /// One that is full when it has cost as much. One entry always goes in.
    pub(super) fn new(most: usize) -> Self {
        Portion { octets: 0, values: 0, entries: 0, most }
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries > 0 && (self.spent() >= self.most || self.values >= Self::VALUES)
    }

    /// Adds an entry, or the name of a family, which has no value.
    pub(super) fn add(&mut self, key: &str, value: Room) {
        let room = Room::of_key(key);
        self.octets += room.octets + value.octets;
        self.values += room.values + value.values;
        self.entries += usize::from(value != Room::default());
    }

    pub(super) fn spent(&self) -> usize {
        self.octets + TABLE as usize * (self.entries + 1)
    }
}
