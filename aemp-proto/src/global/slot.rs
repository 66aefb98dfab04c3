//! The values of one key: nearly always there is one.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::framing::Encoded;
use crate::names::NodeId;

/// Whose word something is; in order of precedence for what this node contributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Slave(NodeId),
    Own,
    Global(NodeId),
}

impl Source {
    /// The other node; `None` for this one.
    pub(super) fn node(&self) -> Option<&NodeId> {
        match self {
            Source::Slave(node) | Source::Global(node) => Some(node),
            Source::Own => None,
        }
    }
}

/// A shard among all shards: the one that a node has set since it came last stands before what is left of an earlier one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) source: Source,
    pub(super) newest_first: Reverse<u64>,
}

type Place = (Arc<Rank>, Encoded);

/// The values of one key, by shard, in order.
#[derive(Default)]
pub(super) enum Slot {
    #[default]
    None,
    One(Place),
    /// Two or more.
    #[expect(clippy::box_collection, reason = "so a slot with one value is small")]
    More(Box<Vec<Place>>),
}

impl Slot {
    fn places(&self) -> &[Place] {
        match self {
            Slot::None => &[],
            Slot::One(place) => core::slice::from_ref(place),
            Slot::More(places) => places,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places().is_empty()
    }

    fn find(&self, rank: &Rank) -> Result<usize, usize> {
        self.places().binary_search_by(|(other, _)| (**other).cmp(rank))
    }

    pub(super) fn get(&self, rank: &Rank) -> Option<&Encoded> {
        self.find(rank).ok().map(|place| &self.places()[place].1)
    }

    pub(super) fn set(&mut self, rank: &Arc<Rank>, value: Encoded) {
        let place = self.find(rank);
        match (&mut *self, place) {
            (Slot::None, _) => *self = Slot::One((rank.clone(), value)),
            (Slot::One(one), Ok(_)) => one.1 = value,
            (Slot::One(_), Err(place)) => {
                let Slot::One(one) = core::mem::take(self) else { return };
                let mut places = Vec::with_capacity(2);
                places.push(one);
                places.insert(place, (rank.clone(), value));
                *self = Slot::More(Box::new(places));
            }
            (Slot::More(places), Ok(place)) => places[place].1 = value,
            (Slot::More(places), Err(place)) => places.insert(place, (rank.clone(), value)),
        }
    }

    pub(super) fn remove(&mut self, rank: &Rank) -> Option<Encoded> {
        let place = self.find(rank).ok()?;
        match core::mem::take(self) {
            Slot::None => None,
            Slot::One((_, value)) => Some(value),
            Slot::More(mut places) => {
                let (_, value) = places.remove(place);
                *self = match places.len() {
                    1 => places.pop().map_or(Slot::None, Slot::One),
                    _ => Slot::More(places),
                };
                Some(value)
            }
        }
    }

    /// What this node contributes.
    pub(super) fn contribution(&self) -> Option<&Encoded> {
        match self.places().first() {
            Some((rank, value)) if !matches!(rank.source, Source::Global(_)) => Some(value),
            _ => None,
        }
    }

    /// The value of the key, to the node of that ID.
    pub(super) fn value(&self, own: &NodeId) -> Option<&Encoded> {
        let places = self.places();
        let first = places.partition_point(|(rank, _)| !matches!(rank.source, Source::Global(_)));
        let global = places.get(first).and_then(|(rank, value)| Some((rank.source.node()?, value)));
        match (self.contribution(), global) {
            (Some(_), Some((node, value))) if node < own => Some(value),
            (Some(contribution), _) => Some(contribution),
            (None, global) => global.map(|(_, value)| value),
        }
    }
}
