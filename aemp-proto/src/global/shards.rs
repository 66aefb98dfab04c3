//! The shards that a node holds, and what they come to.
//!
//! A value has a source: a slave, this node, or another global node, in this order of precedence among what is here. What this node
//! *contributes* is the value of its slave with the lowest ID, else its own: that is what other global nodes are told. The *value* of a
//! key is the contribution of the global node with the lowest ID, this one included. So global nodes that hold the same shards agree,
//! however they came by them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::database::{Change, Changes, Database, Family, same, size, text_size};
use super::limits::{Shard as Limit, TooMuch};
use crate::names::NodeId;
use crate::value::Value;

/// Whose word something is; in order of precedence for what this node contributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Slave(NodeId),
    Own,
    Global(NodeId),
}

/// The values of one key, by source, in order: nearly always there is one.
#[derive(Default)]
struct Slot(Vec<(Source, Rc<Value>)>);

impl Slot {
    fn contribution(&self) -> Option<&Rc<Value>> {
        match self.0.first() {
            Some((Source::Slave(_) | Source::Own, value)) => Some(value),
            _ => None,
        }
    }

    fn value(&self, own: &NodeId) -> Option<&Rc<Value>> {
        let global = self.0.iter().find_map(|(source, value)| match source {
            Source::Global(node) => Some((node, value)),
            _ => None,
        });
        match (self.contribution(), global) {
            (Some(_), Some((node, value))) if node < own => Some(value),
            (Some(contribution), _) => Some(contribution),
            (None, global) => global.map(|(_, value)| value),
        }
    }
}

/// What one source has set.
#[derive(Default)]
struct Held {
    keys: BTreeMap<Rc<str>, BTreeSet<Rc<str>>>,
    entries: usize,
    octets: usize,
}

/// A key before it was touched: what was contributed, and its value.
struct Before {
    contribution: Option<Rc<Value>>,
    value: Option<Rc<Value>>,
}

/// What has become different in a family.
pub(super) struct Difference {
    /// In what this node contributes.
    pub(super) told: Change,
    /// In its value.
    pub(super) seen: Changes,
}

pub(super) struct Shards {
    own: NodeId,
    families: BTreeMap<Rc<str>, BTreeMap<Rc<str>, Slot>>,
    held: BTreeMap<Source, Held>,
    touched: BTreeMap<Rc<str>, BTreeMap<Rc<str>, Before>>,
}

/// What an entry costs beside its name and value, in octets, as an estimate.
const ENTRY: usize = 100;

impl Shards {
    pub(super) fn new(own: NodeId) -> Self {
        Shards { own, families: BTreeMap::new(), held: BTreeMap::new(), touched: BTreeMap::new() }
    }

    /// Sets an entry of a shard, unless the shard would be over the limit.
    pub(super) fn set(
        &mut self,
        source: &Source,
        family: &str,
        key: &str,
        value: Value,
        limit: Limit,
    ) -> Result<(), TooMuch> {
        let old = self.get(source, family, key);
        if old.is_some_and(|old| same(old, &value)) {
            return Ok(());
        }
        let (octets, freed) = (size(&value), old.map(size));
        let held = self.held.entry(source.clone()).or_default();
        let is_new_family = !held.keys.contains_key(family);
        let (mut entries, mut all) = (held.entries, held.octets + octets - freed.unwrap_or(0).min(held.octets));
        if freed.is_none() {
            entries += 1;
            all += ENTRY + text_size(key) + if is_new_family { ENTRY + family.len() } else { 0 };
        }
        if entries > limit.entries || all > limit.octets {
            if held.keys.is_empty() {
                self.held.remove(source);
            }
            return Err(TooMuch { entries, octets: all });
        }
        (held.entries, held.octets) = (entries, all);
        let family = self.families.get_key_value(family).map_or_else(|| Rc::from(family), |(name, _)| name.clone());
        let slots = self.families.entry(family.clone()).or_default();
        let key = slots.get_key_value(key).map_or_else(|| Rc::from(key), |(name, _)| name.clone());
        let slot = slots.entry(key.clone()).or_default();
        touch(&mut self.touched, &self.own, &family, &key, slot);
        match slot.0.binary_search_by(|(other, _)| other.cmp(source)) {
            Ok(place) => slot.0[place].1 = Rc::new(value),
            Err(place) => {
                // Mostly there will be no more, so there is room for no more.
                slot.0.reserve_exact(1);
                slot.0.insert(place, (source.clone(), Rc::new(value)));
            }
        }
        held.keys.entry(family).or_default().insert(key);
        Ok(())
    }

    /// Removes an entry of a shard, if it is there.
    pub(super) fn remove(&mut self, source: &Source, family: &str, key: &str) {
        let Some(held) = self.held.get_mut(source) else { return };
        let Some(keys) = held.keys.get_mut(family) else { return };
        let Some(key) = keys.take(key) else { return };
        held.entries -= 1;
        held.octets = held.octets.saturating_sub(ENTRY + text_size(&key));
        let family = match keys.is_empty() {
            true => {
                held.octets = held.octets.saturating_sub(ENTRY + family.len());
                held.keys.remove_entry(family).map(|(name, _)| name)
            }
            false => held.keys.get_key_value(family).map(|(name, _)| name.clone()),
        };
        let Some(family) = family else { return };
        if let Some(value) = self.drop_value(source, &family, &key)
            && let Some(held) = self.held.get_mut(source)
        {
            held.octets = held.octets.saturating_sub(size(&value));
        }
    }

    fn drop_value(&mut self, source: &Source, family: &Rc<str>, key: &Rc<str>) -> Option<Rc<Value>> {
        let slots = self.families.get_mut(family)?;
        let slot = slots.get_mut(key)?;
        touch(&mut self.touched, &self.own, family, key, slot);
        let place = slot.0.binary_search_by(|(other, _)| other.cmp(source)).ok()?;
        let (_, value) = slot.0.remove(place);
        if slot.0.is_empty() {
            slots.remove(key);
            if slots.is_empty() {
                self.families.remove(family);
            }
        }
        Some(value)
    }

    /// Removes a whole shard.
    pub(super) fn forget(&mut self, source: &Source) {
        for (family, keys) in self.held.remove(source).unwrap_or_default().keys {
            for key in keys {
                self.drop_value(source, &family, &key);
            }
        }
    }

    /// The value that a source has set.
    pub(super) fn get(&self, source: &Source, family: &str, key: &str) -> Option<&Value> {
        let slot = self.families.get(family)?.get(key)?;
        let place = slot.0.binary_search_by(|(other, _)| other.cmp(source)).ok()?;
        Some(&slot.0[place].1)
    }

    /// The value of a key.
    pub(super) fn value(&self, family: &str, key: &str) -> Option<&Value> {
        self.families.get(family)?.get(key)?.value(&self.own).map(|value| &**value)
    }

    /// A family, in the order of its keys.
    pub(super) fn family(&self, name: &str) -> impl Iterator<Item = (&str, &Value)> {
        let slots = self.families.get(name).into_iter().flatten();
        slots.filter_map(|(key, slot)| Some((&**key, &**slot.value(&self.own)?)))
    }

    /// The names of the families that have entries.
    pub(super) fn families(&self) -> impl Iterator<Item = &str> {
        self.families.keys().map(|name| &**name)
    }

    /// A family, to keep.
    pub(super) fn contents(&self, name: &str) -> Family {
        self.family(name).map(|(key, value)| (key.into(), value.clone())).collect()
    }

    /// What this node contributes for a key.
    pub(super) fn contribution(&self, family: &str, key: &str) -> Option<&Value> {
        self.families.get(family)?.get(key)?.contribution().map(|value| &**value)
    }

    /// What this node contributes.
    pub(super) fn contributions(&self) -> Database {
        let contributed = |slots: &BTreeMap<Rc<str>, Slot>| -> Family {
            slots.iter().filter_map(|(key, slot)| Some(((&**key).into(), (**slot.contribution()?).clone()))).collect()
        };
        let families = self.families.iter().map(|(name, slots)| (String::from(&**name), contributed(slots)));
        families.filter(|(_, family)| !family.is_empty()).collect()
    }

    /// How many entries there are, over all shards.
    pub(super) fn entries(&self) -> usize {
        self.held.values().map(|held| held.entries).sum()
    }

    /// Their octets, as an estimate of the memory that they take.
    pub(super) fn octets(&self) -> usize {
        self.held.values().map(|held| held.octets).sum()
    }

    /// How many nodes have set something, this one among them.
    pub(super) fn sources(&self) -> usize {
        self.held.values().filter(|held| held.entries > 0).count()
    }

    /// What has become different since this was called last, by family.
    pub(super) fn take_differences(&mut self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (family, keys) in core::mem::take(&mut self.touched) {
            let mut told = Change { family: String::from(&*family), ..Change::default() };
            let mut seen = Changes::default();
            for (key, before) in keys {
                let slot = self.families.get(&family).and_then(|slots| slots.get(&key));
                let contribution = slot.and_then(Slot::contribution);
                let value = slot.and_then(|slot| slot.value(&self.own));
                let key = || String::from(&*key);
                match (&before.contribution, contribution) {
                    (None, None) => {}
                    (Some(old), Some(new)) if Rc::ptr_eq(old, new) || same(old, new) => {}
                    (_, Some(new)) => drop(told.set.insert(key(), (**new).clone())),
                    (Some(_), None) => told.deleted.push(key()),
                }
                match (&before.value, value) {
                    (None, None) => {}
                    (Some(old), Some(new)) if Rc::ptr_eq(old, new) || same(old, new) => {}
                    (None, Some(new)) => drop(seen.added.insert(key(), (**new).clone())),
                    (Some(_), Some(new)) => drop(seen.changed.insert(key(), (**new).clone())),
                    (Some(_), None) => seen.deleted.push(key()),
                }
            }
            differences.push(Difference { told, seen });
        }
        differences
    }
}

/// Notes what a key was before it changes.
fn touch(
    touched: &mut BTreeMap<Rc<str>, BTreeMap<Rc<str>, Before>>,
    own: &NodeId,
    family: &Rc<str>,
    key: &Rc<str>,
    slot: &Slot,
) {
    let before = || Before { contribution: slot.contribution().cloned(), value: slot.value(own).cloned() };
    touched.entry(family.clone()).or_default().entry(key.clone()).or_insert_with(before);
}
