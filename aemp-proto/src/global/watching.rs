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
    /// What a new master has told so far, until all of it has come (`DB-32`), and what it costs.
    coming: Option<(Family, usize)>,
    watches: BTreeSet<FamilyWatch>,
}

/// What watches are to be told.
pub(super) type Told = Vec<(FamilyWatch, Changes)>;

/// All views.
#[derive(Default)]
pub(super) struct Views {
    views: BTreeMap<String, View>,
    families: BTreeMap<FamilyWatch, String>,
    /// The families of which a new master tells, by the `id` of the query whose answer comes behind them.
    marks: BTreeMap<String, String>,
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
        self.marks.retain(|_, marked| *marked != family);
        Some(family)
    }

    /// The families that are watched.
    pub(super) fn families(&self) -> Vec<String> {
        self.views.keys().cloned().collect()
    }

    /// How many entries are in all views, with what a new master has told so far.
    pub(super) fn entries(&self) -> usize {
        let coming = |view: &View| view.coming.as_ref().map_or(0, |(contents, _)| contents.len());
        self.views.values().map(|view| view.contents.as_ref().map_or(0, Family::len) + coming(view)).sum()
    }

    /// How many queries wait whose answers mark the end of what a new master tells.
    pub(super) fn marks(&self) -> usize {
        self.marks.len()
    }

    /// All that is in a view, as a watch is told first.
    pub(super) fn beginning(&self, family: &str) -> Option<Changes> {
        let contents = self.views.get(family)?.contents.clone()?;
        Some(Changes { added: contents, ..Changes::default() })
    }

    /// There is no master any more: the views stay as they are (`DB-21`).
    pub(super) fn lose_master(&mut self) {
        self.views.values_mut().for_each(|view| (view.followed, view.coming) = (false, None));
        self.marks.clear();
    }

    /// Whether watches know what is in a family, so that another master's word on it is to be compared with that.
    pub(super) fn is_known(&self, family: &str) -> bool {
        self.views.get(family).is_some_and(|view| view.contents.is_some())
    }

    /// What a new master tells of a family is compared with the view when it answers the query of this `id`.
    pub(super) fn mark(&mut self, family: String, id: String) {
        if let Some(view) = self.views.get_mut(&family) {
            view.coming = Some((Family::new(), 0));
            self.marks.insert(id, family);
        }
    }

    /// The answer to a query has come; if it is the mark behind all of a family, watches are told the difference.
    pub(super) fn reach_mark(&mut self, id: &str) -> Option<Told> {
        let family = self.marks.remove(id)?;
        let view = self.views.get_mut(&family)?;
        let (contents, _) = view.coming.take()?;
        Some(if view.followed { self.replace(&family, contents) } else { Told::new() })
    }

    /// All that the master has of a family, or the first part of it.
    pub(super) fn tell_contents(&mut self, family: &str, contents: Family) -> Told {
        let octets = cost(&contents);
        match self.views.get_mut(family) {
            Some(View { followed, coming: Some(coming), .. }) => {
                *followed = true;
                *coming = (contents, octets);
                Told::new()
            }
            _ => self.replace(family, contents),
        }
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
        let Some(view) = self.views.get(family) else { return false };
        let known = view.contents.iter().map(|contents| (contents.len(), view.octets));
        let coming = view.coming.iter().map(|(contents, octets)| (contents.len(), *octets));
        known.chain(coming).any(|(entries, octets)| entries > limit.entries || octets > limit.octets)
    }

    /// A change in a family that the master told.
    pub(super) fn change(&mut self, change: Change) -> Told {
        let Some(view) = self.views.get_mut(&change.family).filter(|view| view.followed) else { return Told::new() };
        let is_coming = view.coming.is_some();
        let (contents, octets) = match &mut view.coming {
            Some((contents, octets)) => (contents, octets),
            None => match &mut view.contents {
                Some(contents) => (contents, &mut view.octets),
                None => return Told::new(),
            },
        };
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
        *octets = octets.saturating_sub(freed) + cost(&changes.added) + cost(&changes.changed);
        changes.apply(contents);
        if is_coming || changes.is_empty() { Told::new() } else { tell(view, &changes) }
    }
}

/// What entries cost in memory, as an estimate.
fn cost(family: &Family) -> usize {
    family.iter().map(|(key, value)| key.len() + size(value)).sum()
}

fn tell(view: &View, changes: &Changes) -> Told {
    view.watches.iter().map(|watch| (*watch, changes.clone())).collect()
}
