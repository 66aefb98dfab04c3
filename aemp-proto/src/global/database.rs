//! What a database is made of: families of keys with values, and changes to them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

use crate::framing::{DecodeError, EncodeError, Encoded, Place, Visit};
use crate::value::{Integer, Value};

/// The contents of a family: values by key.
pub type Family = BTreeMap<String, Value>;

/// Families by name.
pub type Database = BTreeMap<String, Family>;

/// A key, or the name of a family; shared by all that hold it.
pub(super) type Name = Arc<str>;

/// Values by key, still encoded.
pub type Entries = Vec<(Arc<str>, Encoded)>;

/// The family that holds the addresses of each node.
pub(super) const ADDRESSES: &str = "'l";

/// The family that holds the global nodes.
pub(super) const GLOBALS: &str = "'g";

/// A change within one family.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The family.
    pub family: Arc<str>,
    /// What is new or has another value now.
    pub set: Entries,
    /// What is there no more. It may name what never was there.
    pub deleted: Vec<Arc<str>>,
    /// Keys that came with more than an entry may have, and the size of each (`DB-31`). A request that is written has none.
    pub too_large: Vec<(Arc<str>, usize)>,
}

impl Change {
    pub(super) fn new(family: &Name) -> Self {
        Change { family: family.clone(), set: Vec::new(), deleted: Vec::new(), too_large: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.deleted.is_empty()
    }
}

/// Entries that are set in a family.
impl From<(String, Family)> for Change {
    fn from((family, entries): (String, Family)) -> Self {
        let set = entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Change { set, ..Change::new(&family.into()) }
    }
}

/// What has become different in a family, still encoded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Delta {
    pub(super) added: Entries,
    pub(super) changed: Entries,
    pub(super) deleted: Vec<Name>,
}

impl Delta {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.deleted.is_empty()
    }

    /// The changes, as trees.
    pub fn changes(&self) -> Changes {
        Changes {
            added: family(self.added.iter().map(|(key, value)| (key, value))),
            changed: family(self.changed.iter().map(|(key, value)| (key, value))),
            deleted: self.deleted.iter().map(|key| String::from(&**key)).collect(),
        }
    }
}

/// Entries as trees.
pub(super) fn family<'e>(entries: impl Iterator<Item = (&'e Name, &'e Encoded)>) -> Family {
    entries.map(|(key, value)| (String::from(&**key), value.value())).collect()
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
    /// The family is larger than a view may be: [`Limits::global`](super::Limits::global) of this node (`DB-38`).
    #[error("the family is larger than this node takes: raise the limit of what a watched family may hold [DB-38]")]
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

/// What a value comes to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measure {
    /// Its size (section 8.5).
    pub(super) size: usize,
    /// How deep arrays and maps are nested in it.
    pub(super) depth: usize,
}

/// Measures a value without building it; also gives the place behind it.
pub(super) fn measure<'a>(place: &Place<'a>) -> Result<(Measure, Place<'a>), DecodeError> {
    let (mut measure, mut depth) = (Measure::default(), 0);
    let behind = place.clone().walk(|visit| {
        match visit {
            Visit::Text(text) | Visit::Key(text) => measure.size += characters_size(text.chars()),
            Visit::Bytes(octets) => measure.size += characters_size(octets.iter().map(|&octet| char::from(octet))),
            Visit::Array | Visit::Map => {
                depth += 1;
                measure.depth = measure.depth.max(depth);
            }
            Visit::End => depth -= 1,
            Visit::Null | Visit::Bool(_) | Visit::Integer(_) | Visit::Float(_) => {}
        }
        measure.size += if let Visit::End = visit { 0 } else { ITEM };
    })?;
    Ok((measure, behind))
}

/// What a value comes to at most, in octets, in a packet of any framing (section 8.5).
pub(super) fn size(value: &Encoded) -> usize {
    measure(&value.place()).map_or(0, |(measure, _)| measure.size)
}

/// The same for a text, or a key of a map.
pub(super) fn text_size(text: &str) -> usize {
    ITEM + characters_size(text.chars())
}

fn characters_size(characters: impl Iterator<Item = char>) -> usize {
    characters.map(character_size).sum()
}

/// What a value takes in a packet in json or cbor, at most, and how many values it counts for (`LIMIT-4`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Room {
    pub(super) octets: usize,
    pub(super) values: usize,
}

impl Room {
    pub(super) fn of(value: &Encoded) -> Self {
        let mut room = Room::default();
        let walked = value.place().walk(|visit| {
            room.values += usize::from(!matches!(visit, Visit::End));
            room.octets += match visit {
                Visit::Null | Visit::Bool(_) => 6,
                Visit::Integer(integer) => integer_room(integer),
                Visit::Float(_) => 26,
                Visit::Text(text) => TEXT + characters_size(text.chars()),
                // In json an octet above 7F is a character of two octets.
                Visit::Bytes(octets) => TEXT + characters_size(octets.iter().map(|&octet| char::from(octet))),
                Visit::Key(key) => TEXT + characters_size(key.chars()),
                Visit::Array | Visit::Map => 10,
                Visit::End => 0,
            };
        });
        debug_assert!(walked.is_ok(), "it is well-formed");
        room
    }

    /// That of a key of a map.
    pub(super) fn of_key(key: &str) -> Self {
        Room { octets: TEXT + characters_size(key.chars()), values: 1 }
    }

    pub(super) fn add(&mut self, other: Room) {
        *self = Room { octets: self.octets + other.octets, values: self.values + other.values };
    }

    pub(super) fn remove(&mut self, other: Room) {
        *self = Room { octets: self.octets - other.octets, values: self.values - other.values };
    }
}

/// What a text takes in a packet beside its characters: quotes and a comma, or the longest head.
const TEXT: usize = 6;

fn integer_room(integer: Integer) -> usize {
    let (sign, magnitude) = (usize::from(integer.as_u64().is_none()), i128::from(integer).unsigned_abs());
    // A head in cbor has up to 9 octets; json has the digits, and a comma.
    sign + magnitude.checked_ilog10().map_or(2, |digits| digits as usize + 2).max(2) + 1
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
pub(super) fn check_entry(key: &str, value: Measure) -> Result<(), usize> {
    let octets = text_size(key) + value.size;
    if octets <= ENTRY && value.depth <= DEPTH { Ok(()) } else { Err(octets) }
}

/// The addresses in an entry of the family of addresses; `None` if it is no array (`FIND-2`). What is no text is no address.
pub(super) fn addresses(value: &Encoded) -> Option<Vec<String>> {
    addresses_at(&value.place())
}

/// The same for a place in a packet.
pub(super) fn addresses_at(place: &Place<'_>) -> Option<Vec<String>> {
    let (mut addresses, mut inside) = (Vec::new(), place.array()?);
    while let Some((_, place)) = inside.next() {
        let is_single = place.array().is_none() && place.map().is_none();
        inside.pass(
            place
                .walk(|visit| match visit {
                    Visit::Text(text) if is_single => addresses.push(text.into()),
                    Visit::Bytes(octets) if is_single => {
                        addresses.push(octets.iter().map(|&octet| char::from(octet)).collect());
                    }
                    _ => {}
                })
                .ok()?,
        );
    }
    Some(addresses)
}
