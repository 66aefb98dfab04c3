//! What a database is made of: families of keys with values, and changes to them.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use thiserror::Error;

use crate::framing::EncodeError;
use crate::value::Value;

/// The contents of a family: values by key.
pub type Family = BTreeMap<String, Value>;

/// Families by name.
pub type Database = BTreeMap<String, Family>;

/// The family that holds the addresses of each node.
pub(super) const ADDRESSES: &str = "'l";

/// The family that holds the global nodes.
pub(super) const GLOBALS: &str = "'g";

/// A change within one family.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The family.
    pub family: String,
    /// What is new or has another value now.
    pub set: Family,
    /// What is there no more. It may name what never was there.
    pub deleted: Vec<String>,
}

/// What has become different in a family that is watched.
///
/// The first ones that a watcher gets are its present contents, also when there are none: from then on it knows all of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Keys that were not there, in order.
    pub added: Family,
    /// Keys that have another value, in order.
    pub changed: Family,
    /// Keys that are there no more, in order.
    pub deleted: Vec<String>,
}

impl DbError {
    /// The name of a family is not allowed; only its beginning is of interest.
    pub(super) fn family(name: &str) -> Self {
        DbError::Family(name.chars().take(FAMILY).collect())
    }
}

impl Changes {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.deleted.is_empty()
    }

    /// Takes in changes that come after these, so that both together are one step: for whoever does not look each time.
    ///
    /// ```
    /// use aemp_proto::global::Changes;
    /// let change = |added: &[&str], deleted: &[&str]| Changes {
    ///     added: added.iter().map(|key| (key.to_string(), 1u64.into())).collect(),
    ///     deleted: deleted.iter().map(|key| key.to_string()).collect(),
    ///     ..Changes::default()
    /// };
    /// let mut changes = change(&["new", "short-lived"], &["back"]);
    /// changes.merge(change(&["back"], &["short-lived"]));
    /// assert_eq!(changes.added, change(&["new"], &[]).added);
    /// assert_eq!(changes.changed, change(&["back"], &[]).added);
    /// assert!(changes.deleted.is_empty());
    /// ```
    pub fn merge(&mut self, later: Changes) {
        for (key, value) in later.added {
            match self.deleted.binary_search(&key) {
                // To whoever has seen neither, it has another value.
                Ok(place) => {
                    self.deleted.remove(place);
                    self.changed.insert(key, value);
                }
                Err(_) => drop(self.added.insert(key, value)),
            }
        }
        for (key, value) in later.changed {
            let seen = if self.added.contains_key(&key) { &mut self.added } else { &mut self.changed };
            seen.insert(key, value);
        }
        for key in later.deleted {
            self.changed.remove(&key);
            if self.added.remove(&key).is_none()
                && let Err(place) = self.deleted.binary_search(&key)
            {
                self.deleted.insert(place, key);
            }
        }
    }

    /// What turns one family into another.
    pub(super) fn between(old: &Family, new: &Family) -> Self {
        let mut changes = Changes::default();
        for (key, value) in new {
            match old.get(key) {
                None => drop(changes.added.insert(key.clone(), value.clone())),
                Some(old) if !same(old, value) => drop(changes.changed.insert(key.clone(), value.clone())),
                Some(_) => {}
            }
        }
        changes.deleted = old.keys().filter(|key| !new.contains_key(*key)).cloned().collect();
        changes
    }

    /// Makes the changes in a copy of the family.
    pub(super) fn apply(&self, family: &mut Family) {
        for (key, value) in self.added.iter().chain(&self.changed) {
            family.insert(key.clone(), value.clone());
        }
        for key in &self.deleted {
            family.remove(key);
        }
    }
}

/// Why an entry cannot be set, or a question not be answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DbError {
    /// The name of the family is not allowed.
    #[error("a family's name is a letter, then letters, digits, '_' and ':', 256 octets at most, not {0:?} [DB-2]")]
    Family(String),
    /// The key is empty.
    #[error("a key has at least one character [DB-2]")]
    EmptyKey,
    /// The key and the value are more than every node takes, or the value is nested too deep (`DB-30`).
    #[error("a key and its value come to 524288 octets and 256 levels at most, these to {octets} octets [DB-30]")]
    Entry {
        /// What they come to, in octets.
        octets: usize,
    },
    /// The value cannot be sent.
    #[error("the value cannot be sent: {0}")]
    Value(#[from] EncodeError),
    /// This node would have set more than a global node takes (`DB-28`).
    #[error("this node would have set {entries} entries of {octets} octets, which is too much [DB-28]")]
    Full {
        /// Entries.
        entries: usize,
        /// Their octets, as an estimate.
        octets: usize,
    },
    /// The answer does not fit into a packet (`DB-26`).
    #[error("the answer is too large for a packet [DB-26]")]
    TooLarge,
    /// As many questions wait for an answer as may (`FIND-9`).
    #[error("{limit} questions wait for an answer already [FIND-9]")]
    TooMany {
        /// How many.
        limit: usize,
    },
}

/// Whether entries of a family of this name are taken from others.
pub(super) fn is_family(name: &str) -> bool {
    match name.strip_prefix('\'') {
        Some(internal) => {
            !internal.is_empty() && name.len() <= FAMILY && internal.bytes().all(|octet| octet.is_ascii_alphabetic())
        }
        None => is_public(name),
    }
}

/// Whether programs may set entries of a family of this name.
pub(super) fn is_public(name: &str) -> bool {
    name.len() <= FAMILY
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b':'))
}

/// Whether two values are the same; unlike for `==`, NaN is the same as itself, or it would change for ever.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || a == b,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((key, a), (other, b))| key == other && same(a, b))
        }
        _ => a == b,
    }
}

/// What a value comes to at most, in octets: in memory, and in a packet of any framing (section 8.5).
pub(super) fn size(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => 0,
        Value::Text(text) => text.chars().map(character_size).sum(),
        Value::Bytes(octets) => octets.iter().map(|&octet| character_size(char::from(octet))).sum(),
        Value::Array(values) => values.iter().map(size).sum(),
        Value::Map(members) => members.iter().map(|(key, value)| text_size(key) + size(value)).sum(),
    };
    ITEM + inner
}

/// The same for a text, or a key of a map.
pub(super) fn text_size(text: &str) -> usize {
    ITEM + text.chars().map(character_size).sum::<usize>()
}

/// What each value and key comes to beside its text: the longest number in JSON has 24 octets.
const ITEM: usize = 32;

fn character_size(character: char) -> usize {
    match character {
        '\0'..'\u{20}' => 6,
        '"' | '\\' => 2,
        _ => character.len_utf8(),
    }
}

/// The longest name of a family, in octets (section 8.5).
const FAMILY: usize = 256;

/// What a key and its value may come to together: half of what every receiver takes in a packet (`DB-30`, `LIMIT-5`).
const ENTRY: usize = 1 << 19;

/// What a node's own addresses may come to: they stand in each part of its database that it sends (`DB-35`, `DB-36`).
pub(super) const ADDRESSES_OCTETS: usize = 1 << 16;

/// How deep the arrays and maps of a value may be nested: half of what every receiver takes (`DB-30`, `LIMIT-5`).
const DEPTH: usize = 256;

/// Whether the value of a key can be sent on to everyone (`DB-30`). If not, what it comes to, with its key.
pub(super) fn check_entry(key: &str, value: &Value) -> Result<(), usize> {
    let octets = text_size(key) + size(value);
    if octets <= ENTRY && depth(value) <= DEPTH { Ok(()) } else { Err(octets) }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Map(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A value as a name, as a receiver takes it (`VALUE-7`): octets are characters up to U+00FF, an integer is its digits.
pub(super) fn name(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Integer(integer) => Some(integer.to_string().into()),
        other => other.text(),
    }
}

/// The addresses in an entry of the family of addresses; `None` if it is no array (`FIND-2`). What is no text is no address.
pub(super) fn addresses(value: &Value) -> Option<Vec<String>> {
    let Value::Array(values) = value else { return None };
    Some(values.iter().filter_map(Value::text).map(Cow::into_owned).collect())
}

/// How much has been put into a packet (`DB-27`). An entry always fits in, with the name of its family (`DB-30`).
#[derive(Default)]
struct Portion(usize);

impl Portion {
    /// Whether another entry goes into a packet with a limit.
    fn takes(&mut self, octets: usize, limit: usize) -> bool {
        let fits = self.0 == 0 || self.0 + octets <= limit;
        if fits {
            self.0 += octets;
        }
        fits
    }

    /// Another packet begins with this entry.
    fn begin(&mut self, octets: usize) {
        self.0 = octets;
    }
}

/// Splits a change into such as fit into packets; at least one.
pub(super) fn split(change: Change) -> Vec<Change> {
    let Change { family, set, deleted } = change;
    let empty = || Change { family: family.clone(), ..Change::default() };
    let (mut parts, mut part, mut portion) = (Vec::new(), empty(), Portion::default());
    let mut next = |part: &mut Change, octets: usize| {
        if !portion.takes(octets, ENTRY) {
            parts.push(core::mem::replace(part, empty()));
            portion.begin(octets);
        }
    };
    for (key, value) in set {
        next(&mut part, text_size(&key) + size(&value));
        part.set.insert(key, value);
    }
    for key in deleted {
        next(&mut part, text_size(&key));
        part.deleted.push(key);
    }
    parts.push(part);
    parts
}

/// Splits a database into such as fit into packets, at least one, and leaves room for `more` octets in each.
pub(super) fn split_database(database: Database, more: usize) -> Vec<Database> {
    let (mut parts, mut part, mut portion) = (Vec::new(), Database::new(), Portion::default());
    let limit = ENTRY - more;
    for (family, entries) in database {
        let name = text_size(&family);
        for (key, value) in entries {
            let octets = text_size(&key) + size(&value);
            let with_name = octets + if part.contains_key(&family) { 0 } else { name };
            if !portion.takes(with_name, limit) {
                parts.push(core::mem::take(&mut part));
                portion.begin(octets + name);
            }
            part.entry(family.clone()).or_default().insert(key, value);
        }
    }
    parts.push(part);
    parts
}
