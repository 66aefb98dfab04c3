//! The shards that a node holds, and what they come to.
//!
//! A value has a source: a slave, this node, or another global node, in this order of precedence among what is here. What
//! this node *contributes* is the value of its slave with the lowest ID, else its own: that is what other global nodes are
//! told. The *value* of a key is the contribution of the global node with the lowest ID, this one included. So global nodes
//! that hold the same shards agree, however they came by them.
//!
//! A shard that is lost goes in portions: until it is gone, what is left of it counts, behind all that its node has set
//! anew.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound;

use super::database::{Change, Delta, Name, Room};
use super::limits::{Shard as Limit, TooMuch};
use super::slot::{Rank, Slot, Source};
use crate::framing::Encoded;
use crate::names::NodeId;

/// What one source has set.
struct Held {
    rank: Arc<Rank>,
    keys: BTreeMap<Name, BTreeSet<Name>>,
    entries: usize,
    octets: usize,
}

/// The contents of a family, and what an answer with all of it takes.
#[derive(Default)]
struct Store {
    slots: BTreeMap<Name, Slot>,
    keys: Room,
    values: Room,
}

/// A key before it was touched: what was contributed, and its value.
struct Before {
    contribution: Option<Encoded>,
    value: Option<Encoded>,
}

/// What has become different in a family.
pub(super) struct Difference {
    /// In what this node contributes.
    pub(super) told: Change,
    /// In its value.
    pub(super) seen: Delta,
}

pub(super) struct Shards {
    own: NodeId,
    families: BTreeMap<Name, Store>,
    held: BTreeMap<Source, Held>,
    /// Shards that are lost, of which something is left.
    lost: VecDeque<Held>,
    touched: BTreeMap<Name, BTreeMap<Name, Before>>,
    last: u64,
    /// What all of them come to, in octets.
    octets: usize,
    /// Work that was done, in units.
    pub(super) work: u64,
}

/// What an entry costs beside its key and value, in octets: its places in the tables, and what the allocator adds.
pub(super) const ENTRY: usize = 160;

/// What a family costs a shard beside its name and entries, in octets.
const FAMILY: usize = 700;

/// What one operation on a table costs, in units of work.
pub(super) const TABLE: u64 = 16;

fn cost(key: &str, value: &Encoded) -> usize {
    ENTRY + key.len() + value.octets().len()
}

impl Shards {
    pub(super) fn new(own: NodeId) -> Self {
        Shards {
            own,
            families: BTreeMap::new(),
            held: BTreeMap::new(),
            lost: VecDeque::new(),
            touched: BTreeMap::new(),
            last: 0,
            octets: 0,
            work: 0,
        }
    }

    /// Sets an entry of a shard, unless the shard would be over the limit.
    pub(super) fn set(
        &mut self,
        source: &Source,
        family: &str,
        key: &str,
        value: Encoded,
        limit: Limit,
    ) -> Result<(), TooMuch> {
        self.work += TABLE + (key.len() + value.octets().len()) as u64;
        let old = self.get(source, family, key);
        if old == Some(&value) {
            return Ok(());
        }
        let (octets, freed) = (cost(key, &value), old.map(|old| cost(key, old)));
        let held = self.held.entry(source.clone()).or_insert_with(|| {
            self.last += 1;
            let rank = Arc::new(Rank { source: source.clone(), newest_first: Reverse(self.last) });
            Held { rank, keys: BTreeMap::new(), entries: 0, octets: 0 }
        });
        let is_new_family = !held.keys.contains_key(family);
        let of_family = if is_new_family { FAMILY + family.len() } else { 0 };
        let all = held.octets + octets + of_family - freed.unwrap_or(0);
        let entries = held.entries + usize::from(freed.is_none());
        if entries > limit.entries || all > limit.octets {
            if held.keys.is_empty() {
                self.held.remove(source);
            }
            return Err(TooMuch { entries, octets: all });
        }
        self.octets = self.octets - held.octets + all;
        (held.entries, held.octets) = (entries, all);
        let family = self.families.get_key_value(family).map_or_else(|| Arc::from(family), |(name, _)| name.clone());
        let store = self.families.entry(family.clone()).or_default();
        let key = store.slots.get_key_value(key).map_or_else(|| Arc::from(key), |(name, _)| name.clone());
        let slot = store.slots.entry(key.clone()).or_default();
        touch(&mut self.touched, &self.own, &family, &key, slot);
        let before = slot.value(&self.own).cloned();
        slot.set(&held.rank, value);
        let after = slot.value(&self.own).cloned();
        store.count(&key, before.as_ref(), after.as_ref());
        held.keys.entry(family).or_default().insert(key);
        Ok(())
    }

    /// Removes an entry of a shard, if it is there.
    pub(super) fn remove(&mut self, source: &Source, family: &str, key: &str) {
        self.work += TABLE;
        let Some(mut held) = self.held.remove(source) else { return };
        self.take_out(&mut held, family, key);
        self.held.insert(source.clone(), held);
    }

    /// Removes an entry of a shard that is not in the table at the moment.
    fn take_out(&mut self, held: &mut Held, family: &str, key: &str) {
        let Some(keys) = held.keys.get_mut(family) else { return };
        let Some(key) = keys.take(key) else { return };
        let is_last = keys.is_empty();
        held.entries -= 1;
        let mut freed = 0;
        if let Some(store) = self.families.get_mut(family)
            && let Some((family, _)) = held.keys.get_key_value(family)
            && let Some(slot) = store.slots.get_mut(&key)
        {
            touch(&mut self.touched, &self.own, family, &key, slot);
            let before = slot.value(&self.own).cloned();
            if let Some(value) = slot.remove(&held.rank) {
                freed += cost(&key, &value);
            }
            let after = slot.value(&self.own).cloned();
            if slot.is_empty() {
                store.slots.remove(&key);
            }
            store.count(&key, before.as_ref(), after.as_ref());
            if store.slots.is_empty() {
                self.families.remove(family);
            }
        }
        if is_last {
            freed += FAMILY + family.len();
            held.keys.remove(family);
        }
        held.octets -= freed.min(held.octets);
        self.octets -= freed.min(self.octets);
    }

    /// A whole shard is lost: it goes with [`forget`](Self::forget).
    pub(super) fn lose(&mut self, source: &Source) {
        self.lost.extend(self.held.remove(source));
    }

    /// Removes what is left of shards that are lost, the one that was lost last before the others, until `work` is done.
    pub(super) fn forget(&mut self, work: u64) {
        let until = self.work.saturating_add(work);
        while let Some(mut held) = self.lost.pop_back() {
            while let Some((family, keys)) = held.keys.first_key_value()
                && self.work < until
            {
                let (family, key) = (family.clone(), keys.first().cloned());
                self.work += 2 * TABLE;
                match key {
                    Some(key) => self.take_out(&mut held, &family, &key),
                    None => drop(held.keys.remove(&family)),
                }
            }
            if !held.keys.is_empty() {
                self.lost.push_back(held);
                return;
            }
        }
    }

    /// Whether something is left of a shard of that node that was lost.
    pub(super) fn is_forgetting(&self, node: &NodeId) -> bool {
        self.lost.iter().any(|held| held.rank.source.node() == Some(node))
    }

    /// Whether something is left of shards that were lost.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The value that a source has set.
    pub(super) fn get(&self, source: &Source, family: &str, key: &str) -> Option<&Encoded> {
        let rank = &self.held.get(source)?.rank;
        self.families.get(family)?.slots.get(key)?.get(rank)
    }

    /// The value of a key.
    pub(super) fn value(&self, family: &str, key: &str) -> Option<&Encoded> {
        self.families.get(family)?.slots.get(key)?.value(&self.own)
    }

    /// What this node contributes for a key.
    pub(super) fn contribution(&self, family: &str, key: &str) -> Option<&Encoded> {
        self.families.get(family)?.slots.get(key)?.contribution()
    }

    /// A family, in the order of its keys.
    pub(super) fn family(&self, name: &str) -> impl Iterator<Item = (&Name, &Encoded)> {
        self.family_behind(name, None)
    }

    /// The part of a family that comes behind a key, in the order of its keys.
    pub(super) fn family_behind(&self, name: &str, key: Option<&Name>) -> impl Iterator<Item = (&Name, &Encoded)> {
        let behind = key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        let slots =
            self.families.get(name).into_iter().flat_map(move |store| store.slots.range((behind.clone(), Bound::Unbounded)));
        slots.filter_map(|(key, slot)| Some((key, slot.value(&self.own)?)))
    }

    /// What an answer with all keys of a family takes, and one with all values.
    pub(super) fn room(&self, family: &str) -> (Room, Room) {
        self.families.get(family).map_or_else(Default::default, |store| (store.keys, store.values))
    }

    /// The names of the families that have entries.
    pub(super) fn families(&self) -> impl Iterator<Item = &Name> {
        self.families.keys()
    }

    /// What this node contributes behind a place, in order: family, key, value.
    pub(super) fn contributions_behind<'s>(
        &'s self,
        place: Option<&'s (Name, Name)>,
    ) -> impl Iterator<Item = (&'s Name, &'s Name, &'s Encoded)> {
        let first = place.map_or(Bound::Unbounded, |(family, _)| Bound::Included(family.clone()));
        self.families.range((first, Bound::Unbounded)).flat_map(move |(family, store)| {
            let behind = match place {
                Some((last, key)) if last == family => Bound::Excluded(key.clone()),
                _ => Bound::Unbounded,
            };
            let slots = store.slots.range((behind, Bound::Unbounded));
            slots.filter_map(move |(key, slot)| Some((family, key, slot.contribution()?)))
        })
    }

    /// How many entries there are, over all shards but those that are lost.
    pub(super) fn entries(&self) -> usize {
        self.held.values().map(|held| held.entries).sum()
    }

    /// What all shards come to, in octets.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// How many nodes have set something, this one among them.
    pub(super) fn sources(&self) -> usize {
        self.held.values().filter(|held| held.entries > 0).count()
    }

    /// The other node that has set most, and what that comes to.
    pub(super) fn largest(&self) -> Option<(NodeId, usize)> {
        let others = self.held.values().filter_map(|held| Some((held.rank.source.node()?, held.octets)));
        others.max_by_key(|(_, octets)| *octets).map(|(node, octets)| (node.clone(), octets))
    }

    /// What has become different since this was called last, by family.
    pub(super) fn take_differences(&mut self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (family, keys) in core::mem::take(&mut self.touched) {
            let mut difference = Difference { told: Change::new(&family), seen: Delta::default() };
            let Difference { told, seen } = &mut difference;
            for (key, before) in keys {
                self.work += TABLE;
                let slot = self.families.get(&family).and_then(|store| store.slots.get(&key));
                let contribution = slot.and_then(Slot::contribution);
                let value = slot.and_then(|slot| slot.value(&self.own));
                match (&before.contribution, contribution) {
                    (None, None) => {}
                    (Some(old), Some(new)) if old.is_shared_with(new) || old == new => {}
                    (_, Some(new)) => told.set.push((key.clone(), new.clone())),
                    (Some(_), None) => told.deleted.push(key.clone()),
                }
                match (&before.value, value) {
                    (None, None) => {}
                    (Some(old), Some(new)) if old.is_shared_with(new) || old == new => {}
                    (None, Some(new)) => seen.added.push((key, new.clone())),
                    (Some(_), Some(new)) => seen.changed.push((key, new.clone())),
                    (Some(_), None) => seen.deleted.push(key),
                }
            }
            differences.push(difference);
        }
        differences
    }
}

impl Store {
    /// The value of a key is another one.
    fn count(&mut self, key: &str, before: Option<&Encoded>, after: Option<&Encoded>) {
        if before.zip(after).is_some_and(|(before, after)| before.is_shared_with(after)) {
            return;
        }
        if let Some(before) = before {
            self.keys.remove(Room::of_key(key));
            self.values.remove(Room::of(before));
        }
        if let Some(after) = after {
            self.keys.add(Room::of_key(key));
            self.values.add(Room::of(after));
        }
    }
}

/// Notes what a key was before it changes.
fn touch(touched: &mut BTreeMap<Name, BTreeMap<Name, Before>>, own: &NodeId, family: &Name, key: &Name, slot: &Slot) {
    let before = || Before { contribution: slot.contribution().cloned(), value: slot.value(own).cloned() };
    let keys = match touched.get_mut(family) {
        Some(keys) => keys,
        None => touched.entry(family.clone()).or_default(),
    };
    keys.entry(key.clone()).or_insert_with(before);
}
