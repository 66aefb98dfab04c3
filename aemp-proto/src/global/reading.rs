//! Requests that are too large for one turn: kept as they came, and taken in in portions.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::database::{Change, Name};
use super::read::{Entry, add_entry, argument, name_at, text};
use super::request::Request;
use super::shards::TABLE;
use crate::framing::{Kept, Mark, Place};
use crate::names::NodeId;

/// Which request it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Slave,
    Set,
    Update,
    Contents,
    Change,
}

/// A request that is read in portions.
pub(super) struct Reading {
    pub(super) kept: Kept,
    kind: Kind,
    /// Its family, if it is about one.
    family: Option<Name>,
    /// Where its families go on, if it has several.
    families: Option<Mark>,
    /// The family whose entries are read, and where they go on.
    entries: Option<(Name, Mark)>,
    /// Where the keys that are deleted go on.
    deleted: Option<Mark>,
    /// First all of a database is looked at, since it counts as a whole or not at all (`DB-1`); then it begins here again.
    checked_from: Option<Mark>,
    has_begun: bool,
}

/// Something of a peer that waits for its turn.
pub(super) enum Waiting {
    Reading(Reading),
    /// It came behind one.
    Request(Request),
}

/// What waits, by peer.
#[derive(Default)]
pub(super) struct Readings {
    queues: BTreeMap<NodeId, VecDeque<Waiting>>,
    octets: usize,
}

impl Readings {
    pub(super) fn has(&self, node: &NodeId) -> bool {
        self.queues.contains_key(node)
    }

    pub(super) fn len(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// The octets of requests that are kept.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn forget(&mut self, node: &NodeId) {
        for waiting in self.queues.remove(node).unwrap_or_default() {
            self.octets -= waiting.octets();
        }
    }

    pub(super) fn push(&mut self, node: &NodeId, waiting: Waiting) {
        self.octets += waiting.octets();
        self.queues.entry(node.clone()).or_default().push_back(waiting);
    }

    /// Takes the first one out. It counts until it is put back or [`end`](Self::end)s.
    pub(super) fn take(&mut self, node: &NodeId) -> Option<Waiting> {
        self.queues.get_mut(node)?.pop_front()
    }

    pub(super) fn put_back(&mut self, node: &NodeId, waiting: Waiting) {
        // It may have been lost meanwhile.
        if let Some(queue) = self.queues.get_mut(node) {
            queue.push_front(waiting);
        }
    }

    pub(super) fn end(&mut self, node: &NodeId, octets: usize) {
        if let Some(queue) = self.queues.get(node) {
            self.octets -= octets;
            if queue.is_empty() {
                self.queues.remove(node);
            }
        }
    }
}

impl Waiting {
    fn octets(&self) -> usize {
        match self {
            Waiting::Reading(reading) => reading.kept.len(),
            Waiting::Request(_) => 0,
        }
    }
}

pub(super) fn kind(request: &str) -> Option<Kind> {
    Some(match request {
        "g_slave" => Kind::Slave,
        "g_set" => Kind::Set,
        "g_upd" => Kind::Update,
        "g_chg1" => Kind::Contents,
        "g_chg2" => Kind::Change,
        _ => return None,
    })
}

impl Reading {
    /// Begins to read the arguments; `None` if they cannot be used (`NODE-1`, `DB-1`).
    pub(super) fn new(kind: Kind, kept: Kept) -> Option<Self> {
        let mut arguments = kept.elements();
        let (mut family, mut families, mut entries, mut deleted) = (None, None, None, None);
        match kind {
            Kind::Slave | Kind::Set => families = Some(argument(&mut arguments)?.map()?.mark()),
            Kind::Update | Kind::Contents | Kind::Change => {
                let name = Name::from(text(&mut arguments)?);
                if let Some(place) = argument(&mut arguments) {
                    entries = Some((name.clone(), place.map()?.mark()));
                }
                if kind != Kind::Contents
                    && let Some(place) = argument(&mut arguments)
                {
                    deleted = Some(place.array()?.mark());
                }
                family = Some(name);
            }
        }
        let checked_from = families.clone();
        Some(Reading { kept, kind, family, families, entries, deleted, checked_from, has_begun: false })
    }

    /// Reads a portion: what is to be done with it, what it has cost, and whether that was the last one.
    pub(super) fn portion(&mut self, most: usize) -> (Option<Request>, usize, bool) {
        let mut spent = 0;
        if self.checked_from.is_some() {
            return match self.walk(most, &mut spent, None) {
                Some(true) => {
                    self.families = self.checked_from.take();
                    (None, spent, false)
                }
                Some(false) => (None, spent, false),
                None => (None, spent, true),
            };
        }
        let mut changes = Vec::new();
        let has_ended = self.walk(most, &mut spent, Some(&mut changes)).unwrap_or(true);
        let is_first = !core::mem::replace(&mut self.has_begun, true);
        let family = self.family.clone();
        let single = || changes.pop().or_else(|| Some(Change::new(&family?)));
        let request = match self.kind {
            Kind::Slave => Some(Request::Slave(Some(changes))),
            Kind::Set => Some(Request::Set(changes)),
            Kind::Update => single().map(Request::Update),
            Kind::Contents if is_first => single().map(Request::Contents),
            Kind::Contents | Kind::Change => single().map(Request::Change),
        };
        (request, spent, has_ended)
    }

    /// Goes on reading until as much is spent. True at the end of all; `None` if it is no database.
    fn walk(&mut self, most: usize, spent: &mut usize, mut changes: Option<&mut Vec<Change>>) -> Option<bool> {
        if let (Some(mark), Some(changes), Some(family)) = (&self.deleted, &mut changes, &self.family) {
            // What is deleted comes first: a key that is set, too, is set (`DB-6`).
            let mut inside = self.kept.inside(mark);
            let mut change = Change::new(family);
            let mut has_ended = true;
            while let Some((_, place)) = inside.next() {
                change.deleted.extend(name_at(&place).map(Name::from));
                pass(&mut inside, place, spent)?;
                if *spent >= most {
                    has_ended = false;
                    break;
                }
            }
            changes.push(change);
            self.deleted = (!has_ended).then(|| inside.mark());
            // What is set comes in another portion.
            return Some(has_ended && self.entries.is_none());
        }
        loop {
            if let Some((family, mark)) = &self.entries {
                let mut inside = self.kept.inside(mark);
                let mut change = changes.is_some().then(|| Change::new(family));
                let entry = match self.kind {
                    Kind::Slave | Kind::Set | Kind::Update => Entry::Checked,
                    Kind::Contents | Kind::Change => Entry::AsItIs,
                };
                let mut has_ended = true;
                while let Some((key, value)) = inside.next() {
                    match &mut change {
                        Some(change) => {
                            let left = inside.left();
                            inside.pass(add_entry(&key, &value, entry, change)?);
                            *spent += TABLE as usize + left - inside.left();
                        }
                        None => pass(&mut inside, value, spent)?,
                    }
                    if *spent >= most {
                        has_ended = false;
                        break;
                    }
                }
                if let (Some(changes), Some(change)) = (&mut changes, change) {
                    changes.push(change);
                }
                if !has_ended {
                    self.entries = Some((family.clone(), inside.mark()));
                    return Some(false);
                }
                self.families = self.families.as_ref().map(|families| families.behind(&inside));
                self.entries = None;
            }
            let Some(families) = &self.families else { return Some(true) };
            let mut inside = self.kept.inside(families);
            let Some((family, place)) = inside.next() else {
                self.families = None;
                return Some(true);
            };
            *spent += TABLE as usize;
            self.entries = Some((Name::from(&*family), place.map()?.mark()));
            self.families = Some(inside.mark());
        }
    }
}

/// Goes on behind a place.
fn pass<'a>(inside: &mut crate::framing::Inside<'a>, place: Place<'a>, spent: &mut usize) -> Option<()> {
    let left = inside.left();
    inside.pass(place.walk(|_| {}).ok()?);
    *spent += TABLE as usize + left - inside.left();
    Some(())
}
