//! The families that are watched here: what is known of them, and who watches.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::asking::QuestionId;
use super::database::{Change, Delta, Entries, Name};
use super::limits::Shard;
use super::shards::ENTRY;
use crate::framing::Encoded;

/// Which watch on a family; no two of a node are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyWatch(pub(super) u64);

type Contents = BTreeMap<Name, Encoded>;

/// What is known of a family.
#[derive(Default)]
struct View {
    /// Its contents, once they are known.
    contents: Option<Contents>,
    /// What they cost in memory, in octets.
    octets: usize,
    /// The present master has told all of it, and tells what changes (`DB-19`).
    followed: bool,
    /// What a new master has told so far, until all of it has come (`DB-32`), and what it costs.
    coming: Option<(Contents, usize)>,
    watches: BTreeSet<FamilyWatch>,
    /// Questions whose answers are fetched (`DB-38`).
    fetches: BTreeSet<QuestionId>,
}

/// What watches are to be told.
pub(super) type Told = Vec<(FamilyWatch, Arc<Delta>)>;

/// What stands behind a query whose answer says that all before it has come.
enum Mark {
    /// A view is to be compared with what a new master has told of the family.
    Compare(Name),
    /// A question can be answered.
    Fetched(QuestionId, Name),
}

/// What has come with the answer to such a query.
pub(super) enum Reached {
    Told(Told),
    Fetched(QuestionId, Name),
}

/// All views.
#[derive(Default)]
pub(super) struct Views {
    views: BTreeMap<Name, View>,
    families: BTreeMap<FamilyWatch, Name>,
    /// By the `id` of the query.
    marks: BTreeMap<String, Mark>,
    last: u64,
    /// The values are those of the shards of this node, which counts them there.
    shared: bool,
}

/// What an entry costs that is held elsewhere, too, in octets.
const SHARED: usize = 80;

impl Views {
    /// Adds a watch, and says whether its family was not watched before.
    pub(super) fn watch(&mut self, family: &str) -> (FamilyWatch, bool) {
        self.last += 1;
        let watch = FamilyWatch(self.last);
        let (name, view, is_new) = self.view(family);
        view.watches.insert(watch);
        self.families.insert(watch, name);
        (watch, is_new)
    }

    fn view(&mut self, family: &str) -> (Name, &mut View, bool) {
        let known = self.views.get_key_value(family).map(|(name, _)| name.clone());
        let (is_new, name) = (known.is_none(), known.unwrap_or_else(|| family.into()));
        let view = self.views.entry(name.clone()).or_default();
        (name, view, is_new)
    }

    /// Fetches a family for a question, and says whether it was not watched before. The answer to the query of this `id`
    /// comes behind all of it.
    pub(super) fn fetch(&mut self, question: QuestionId, family: &Name, id: String) -> bool {
        let (name, view, is_new) = self.view(family);
        view.fetches.insert(question);
        self.marks.insert(id, Mark::Fetched(question, name));
        is_new
    }

    /// Removes a watch; gives its family if nobody watches that any more.
    pub(super) fn unwatch(&mut self, watch: FamilyWatch) -> Option<Name> {
        let family = self.families.remove(&watch)?;
        self.views.get_mut(&family)?.watches.remove(&watch);
        self.drop_unwatched(family)
    }

    /// The question is answered, or given up; gives its family if nobody watches that any more.
    pub(super) fn fetched(&mut self, question: QuestionId, family: &Name) -> Option<Name> {
        if !self.views.get_mut(family)?.fetches.remove(&question) {
            return None;
        }
        self.marks.retain(|_, mark| !matches!(mark, Mark::Fetched(other, _) if *other == question));
        self.drop_unwatched(family.clone())
    }

    fn drop_unwatched(&mut self, family: Name) -> Option<Name> {
        let view = self.views.get(&family)?;
        if !view.watches.is_empty() || !view.fetches.is_empty() {
            return None;
        }
        self.views.remove(&family);
        self.marks.retain(|_, mark| !matches!(mark, Mark::Compare(marked) if *marked == family));
        Some(family)
    }

    /// The questions for which a family is fetched.
    pub(super) fn fetches(&self, family: &str) -> Vec<QuestionId> {
        self.views.get(family).into_iter().flat_map(|view| view.fetches.iter().copied()).collect()
    }

    /// The families that are watched.
    pub(super) fn families(&self) -> Vec<Name> {
        self.views.keys().cloned().collect()
    }

    /// How many entries are in all views, with what a new master has told so far.
    pub(super) fn entries(&self) -> usize {
        let coming = |view: &View| view.coming.as_ref().map_or(0, |(contents, _)| contents.len());
        self.views.values().map(|view| view.contents.as_ref().map_or(0, Contents::len) + coming(view)).sum()
    }

    /// What all views come to, in octets.
    pub(super) fn octets(&self) -> usize {
        self.views.values().map(|view| view.octets + view.coming.as_ref().map_or(0, |(_, octets)| *octets)).sum()
    }

    /// How many queries wait whose answers mark the end of what the master tells.
    pub(super) fn marks(&self) -> usize {
        self.marks.len()
    }

    /// All that is in a view, as a watch is told first.
    pub(super) fn beginning(&self, family: &str) -> Option<Arc<Delta>> {
        let contents = self.views.get(family)?.contents.as_ref()?;
        Some(Arc::new(Delta { added: entries(contents), ..Delta::default() }))
    }

    /// The contents of a view, as far as they are known.
    pub(super) fn contents(&self, family: &str) -> impl Iterator<Item = (&Name, &Encoded)> {
        self.views.get(family).and_then(|view| view.contents.as_ref()).into_iter().flatten()
    }

    /// There is no master any more: the views stay as they are (`DB-21`), but for those that were only fetched.
    pub(super) fn lose_master(&mut self) {
        self.views.retain(|_, view| {
            (view.followed, view.coming) = (false, None);
            view.fetches.clear();
            !view.watches.is_empty()
        });
        self.marks.clear();
    }

    /// The values are those of this node's shards from now on.
    pub(super) fn share(&mut self) {
        self.shared = true;
    }

    /// Whether watches know what is in a family, so that another master's word on it is to be compared with that.
    pub(super) fn is_known(&self, family: &str) -> bool {
        self.views.get(family).is_some_and(|view| view.contents.is_some())
    }

    /// What a new master tells of a family is compared with the view when it answers the query of this `id`.
    pub(super) fn mark(&mut self, family: &Name, id: String) {
        if let Some(view) = self.views.get_mut(family) {
            view.coming = Some((Contents::new(), 0));
            self.marks.insert(id, Mark::Compare(family.clone()));
        }
    }

    /// The answer to a query has come: it may be the mark behind all of a family.
    pub(super) fn reach_mark(&mut self, id: &str) -> Option<Reached> {
        let family = match self.marks.remove(id)? {
            Mark::Compare(family) => family,
            Mark::Fetched(question, family) => return Some(Reached::Fetched(question, family)),
        };
        let view = self.views.get_mut(&family)?;
        let (contents, _) = view.coming.take()?;
        Some(Reached::Told(if view.followed { self.replace_by(&family, contents) } else { Told::new() }))
    }

    /// All that the master has of a family, or the first part of it.
    pub(super) fn tell_contents(&mut self, family: &str, all: Entries) -> Told {
        let contents: Contents = all.into_iter().collect();
        let octets = cost(self.shared, &contents);
        match self.views.get_mut(family) {
            Some(View { followed, coming: Some(coming), .. }) => {
                *followed = true;
                *coming = (contents, octets);
                Told::new()
            }
            _ => self.replace_by(family, contents),
        }
    }

    /// All that is in a family. Watches are told the difference; the first time also when there is none (`DB-20`).
    pub(super) fn replace(&mut self, family: &str, contents: Entries) -> Told {
        self.replace_by(family, contents.into_iter().collect())
    }

    fn replace_by(&mut self, family: &str, contents: Contents) -> Told {
        let Some(view) = self.views.get_mut(family) else { return Told::new() };
        view.followed = true;
        let is_first = view.contents.is_none();
        let old = view.contents.take().unwrap_or_default();
        let mut delta = Delta::default();
        for (key, value) in &contents {
            match old.get(key) {
                None => delta.added.push((key.clone(), value.clone())),
                Some(old) if old != value => delta.changed.push((key.clone(), value.clone())),
                Some(_) => {}
            }
        }
        delta.deleted = old.into_keys().filter(|key| !contents.contains_key(key)).collect();
        view.octets = cost(self.shared, &contents);
        view.contents = Some(contents);
        if is_first || !delta.is_empty() { tell(view, delta) } else { Told::new() }
    }

    /// Whether more is in a view than the limit allows.
    pub(super) fn is_over(&self, family: &str, limit: Shard) -> bool {
        let Some(view) = self.views.get(family) else { return false };
        let known = view.contents.iter().map(|contents| (contents.len(), view.octets));
        let coming = view.coming.iter().map(|(contents, octets)| (contents.len(), *octets));
        known.chain(coming).any(|(entries, octets)| entries > limit.entries || octets > limit.octets)
    }

    /// A change in a family: what was deleted, and what is set.
    pub(super) fn change(&mut self, change: Change) -> Told {
        let Change { family, set, deleted, .. } = change;
        let Some(view) = self.views.get_mut(&family).filter(|view| view.followed) else { return Told::new() };
        let is_coming = view.coming.is_some();
        let (contents, octets) = match &mut view.coming {
            Some((contents, octets)) => (contents, octets),
            None => match &mut view.contents {
                Some(contents) => (contents, &mut view.octets),
                None => return Told::new(),
            },
        };
        let mut changed: BTreeMap<Name, Option<Encoded>> = BTreeMap::new();
        changed.extend(deleted.into_iter().map(|key| (key, None)));
        // What is named in both is set (`DB-6`).
        changed.extend(set.into_iter().map(|(key, value)| (key, Some(value))));
        let mut delta = Delta::default();
        for (key, value) in changed {
            let old = contents.get_key_value(&key).map(|(key, old)| (key.clone(), old));
            let freed = old.as_ref().map_or(0, |(key, old)| entry_cost(self.shared, key, old));
            let added = value.as_ref().map_or(0, |value| entry_cost(self.shared, &key, value));
            match (old, value) {
                (None, None) => continue,
                (Some((_, old)), Some(value)) if *old == value => continue,
                (Some((key, _)), None) => {
                    contents.remove(&key);
                    delta.deleted.push(key);
                }
                (Some((key, _)), Some(value)) => {
                    contents.insert(key.clone(), value.clone());
                    delta.changed.push((key, value));
                }
                (None, Some(value)) => {
                    contents.insert(key.clone(), value.clone());
                    delta.added.push((key, value));
                }
            }
            *octets = (*octets + added).saturating_sub(freed);
        }
        if is_coming || delta.is_empty() { Told::new() } else { tell(view, delta) }
    }
}

fn entry_cost(shared: bool, key: &str, value: &Encoded) -> usize {
    if shared { SHARED } else { ENTRY + key.len() + value.octets().len() }
}

/// What entries cost in memory, in octets.
fn cost(shared: bool, contents: &Contents) -> usize {
    contents.iter().map(|(key, value)| entry_cost(shared, key, value)).sum()
}

fn entries(contents: &Contents) -> Entries {
    contents.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn tell(view: &View, delta: Delta) -> Told {
    let delta = Arc::new(delta);
    view.watches.iter().map(|watch| (*watch, delta.clone())).collect()
}
