//! The families that are watched here: what is known of them, and who watches.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::database::{Change, Changes, Family, same, size};
use super::limits::Shard;

/// Which watch on a family; no two of a node are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyWatch(pub(super) u64);

/// What is known of a family.
#[derive(Default)]
struct View {
    /// Its contents, once they are known.
    contents: Option<Family>,
    /// What they cost in memory, as an estimate.
    octets: usize,
    /// The present master has told all of it, and tells what changes (`DB-19`).
    followed: bool,
    watches: BTreeSet<FamilyWatch>,
}

/// What watches are to be told.
pub(super) type Told = Vec<(FamilyWatch, Changes)>;

/// All views.
#[derive(Default)]
pub(super) struct Views {
    views: BTreeMap<String, View>,
    families: BTreeMap<FamilyWatch, String>,
    last: u64,
}

impl Views {
    /// Adds a watch, and says whether it is the first one on its family.
    pub(super) fn watch(&mut self, family: &str) -> (FamilyWatch, bool) {
        self.last += 1;
        let watch = FamilyWatch(self.last);
        self.families.insert(watch, family.into());
        let watches = &mut self.views.entry(family.into()).or_default().watches;
        watches.insert(watch);
        (watch, watches.len() == 1)
    }

    /// Removes a watch; gives its family if it was the last one on it.
    pub(super) fn unwatch(&mut self, watch: FamilyWatch) -> Option<String> {
        let family = self.families.remove(&watch)?;
        let view = self.views.get_mut(&family)?;
        view.watches.remove(&watch);
        if !view.watches.is_empty() {
            return None;
        }
        self.views.remove(&family);
        Some(family)
    }

    /// The families that are watched.
    pub(super) fn families(&self) -> Vec<String> {
        self.views.keys().cloned().collect()
    }

    /// All that is in a view, as a watch is told first.
    pub(super) fn beginning(&self, family: &str) -> Option<Changes> {
        let contents = self.views.get(family)?.contents.clone()?;
        Some(Changes { added: contents, ..Changes::default() })
    }

    /// There is no master any more: the views stay as they are (`DB-21`).
    pub(super) fn lose_master(&mut self) {
        self.views.values_mut().for_each(|view| view.followed = false);
    }

    /// All that is in a family. Watches are told the difference; the first time also when there is none (`DB-20`).
    pub(super) fn replace(&mut self, family: &str, contents: Family) -> Told {
        let Some(view) = self.views.get_mut(family) else { return Told::new() };
        view.followed = true;
        let is_first = view.contents.is_none();
        let changes = Changes::between(view.contents.as_ref().unwrap_or(&Family::new()), &contents);
        view.octets = cost(&contents);
        view.contents = Some(contents);
        if is_first || !changes.is_empty() { tell(view, &changes) } else { Told::new() }
    }

    /// Whether more is in a view than the limit allows.
    pub(super) fn is_over(&self, family: &str, limit: Shard) -> bool {
        let over = |view: &View| view.octets > limit.octets || view.contents.as_ref().map_or(0, Family::len) > limit.entries;
        self.views.get(family).is_some_and(over)
    }

    /// A change in a family that the master told.
    pub(super) fn change(&mut self, change: Change) -> Told {
        let Some(view) = self.views.get_mut(&change.family).filter(|view| view.followed) else { return Told::new() };
        let Some(contents) = &mut view.contents else { return Told::new() };
        let mut changes = Changes::default();
        for key in change.deleted {
            if !change.set.contains_key(&key) && contents.contains_key(&key) {
                changes.deleted.push(key);
            }
        }
        changes.deleted.sort();
        changes.deleted.dedup();
        for (key, value) in change.set {
            match contents.get(&key) {
                None => drop(changes.added.insert(key, value)),
                Some(old) if !same(old, &value) => drop(changes.changed.insert(key, value)),
                Some(_) => {}
            }
        }
        let gone = changes.deleted.iter().chain(changes.changed.keys());
        let freed: usize = gone.filter_map(|key| Some(key.len() + size(contents.get(key)?))).sum();
        view.octets = view.octets.saturating_sub(freed) + cost(&changes.added) + cost(&changes.changed);
        changes.apply(contents);
        if changes.is_empty() { Told::new() } else { tell(view, &changes) }
    }
}

/// What entries cost in memory, as an estimate.
fn cost(family: &Family) -> usize {
    family.iter().map(|(key, value)| key.len() + size(value)).sum()
}

fn tell(view: &View, changes: &Changes) -> Told {
    view.watches.iter().map(|watch| (*watch, changes.clone())).collect()
}
