//! Who may do what: a table of permissions by node ID.
//!
//! The rows are read in order. For each [`Right`], the first row decides that fits the node and says something about that
//! right: with a list of names, or by denying everything that it does not list. Where no row decides, a node may do
//! everything.
//!
//! ```
//! use aemp_proto::names::NodeId;
//! use aemp_proto::permissions::{Permissions, Right, Row};
//!
//! let permissions = Permissions::new([
//!     Row::new(["worker/*"])?.allow(Right::Call, ["db_*"])?.allow(Right::Send, ["!log", "*"])?,
//!     Row::new(["guest-*"])?.allow(Right::Send, ["echo"])?.deny_others(),
//! ]);
//! let of = |node: &str| permissions.of(&NodeId::new(node).unwrap());
//! assert!(of("worker/1").may(Right::Call, "db_set") && !of("worker/1").may(Right::Call, "restart"));
//! assert!(of("worker/1").may(Right::Send, "echo") && !of("worker/1").may(Right::Send, "log"));
//! assert!(of("worker/1").may(Right::Spawn, "Counter::start"), "no row says anything about that");
//! assert!(of("guest-7").may(Right::Send, "echo") && !of("guest-7").may(Right::Set, "jobs"));
//! # Ok::<(), aemp_proto::permissions::PatternError>(())
//! ```
//!
//! What a node is called is only as true as its certificate: see chapter 12 of the specification (`SEC-4`, `SEC-12`).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use thiserror::Error;

use crate::names::NodeId;

/// What a node may do, or may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Call a function.
    Call,
    /// Spawn a port with a function.
    Spawn,
    /// Get a data connection to a function.
    Stream,
    /// Send to a port that has a chosen name, watch it and end it. For a port of another node, to which this one is to send
    /// something (`NODE-3`), the name is `NODE#PORT`. A node may always reach the ports that it has spawned.
    Send,
    /// Set entries of a family of the database. A node may always say where it can be reached itself (family `'l`).
    Set,
}

impl Right {
    const ALL: [Right; 5] = [Right::Call, Right::Spawn, Right::Stream, Right::Send, Right::Set];
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is no character.
    #[error("a pattern has at least one character")]
    Empty,
    /// There is a character that is in no name.
    #[error("a pattern has no control characters, and {0:?} has one")]
    Control(String),
    /// It is too long.
    #[error("a pattern has at most {limit} octets, and this one has {0}", limit = Pattern::LONGEST)]
    TooLong(usize),
    /// It has too many `*`.
    #[error("a pattern has at most {limit} times '*', and {0:?} has more", limit = Pattern::STARS)]
    TooManyStars(String),
}

/// A name, in which `*` stands for any characters, also for none.
#[derive(Clone, PartialEq, Eq)]
struct Pattern(Box<str>);

impl Pattern {
    /// Octets of a pattern: those of a port ID.
    const LONGEST: usize = 513;
    /// More of them would make comparing slow.
    const STARS: usize = 4;

    fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > Self::LONGEST {
            return Err(PatternError::TooLong(text.len()));
        }
        if text.contains(char::is_control) {
            return Err(PatternError::Control(text.into()));
        }
        if text.matches('*').count() > Self::STARS {
            return Err(PatternError::TooManyStars(text.into()));
        }
        Ok(Pattern(text.into()))
    }

    fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(last) = parts.next_back() else { return name == first };
        let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
        // The parts in between come one behind the other, and each as early as it can.
        for part in parts {
            let Some((_, behind)) = rest.split_once(part) else { return false };
            rest = behind;
        }
        true
    }
}

/// Names that are allowed, and with `!` in front such as are not: the first pattern that fits decides, and if none does, the
/// name is not allowed.
#[derive(Clone, PartialEq, Eq)]
struct List(Vec<(bool, Pattern)>);

impl List {
    fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, PatternError> {
        let parse = |text: &str| match text.strip_prefix('!') {
            Some(text) => Ok((false, Pattern::new(text)?)),
            None => Ok((true, Pattern::new(text)?)),
        };
        patterns.into_iter().map(|text| parse(text.as_ref())).collect::<Result<_, _>>().map(List)
    }

    fn allows(&self, name: &str) -> bool {
        self.0.iter().find(|(_, pattern)| pattern.fits(name)).is_some_and(|(allows, _)| *allows)
    }

    /// It allows every name.
    fn is_all(&self) -> bool {
        self.0.first().is_some_and(|(allows, pattern)| *allows && &*pattern.0 == "*")
    }
}

/// What some nodes may do.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    nodes: List,
    lists: [Option<List>; Right::ALL.len()],
    unnamed: Option<bool>,
    deny_others: bool,
}

impl Row {
    /// A row that says nothing yet, for the nodes whose IDs fit one of the patterns; with `!` in front a pattern leaves
    /// nodes out.
    ///
    /// # Errors
    ///
    /// When one is no pattern.
    pub fn new(nodes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, PatternError> {
        Ok(Row { nodes: List::new(nodes)?, lists: Default::default(), unnamed: None, deny_others: false })
    }

    /// For this right, allows the names that one of the patterns fits, and no others. With `!` in front a pattern denies;
    /// the first one that fits decides.
    ///
    /// # Errors
    ///
    /// When one is no pattern.
    pub fn allow(mut self, right: Right, names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, PatternError> {
        self.lists[right as usize] = Some(List::new(names)?);
        Ok(self)
    }

    /// Says whether these nodes may reach ports that have no chosen name, such as those for answers and mailboxes. Without
    /// it they may: whoever has not been told such a name can hardly know it, but who knows one can guess others.
    #[must_use]
    pub fn unnamed(mut self, allowed: bool) -> Self {
        self.unnamed = Some(allowed);
        self
    }

    /// Denies all rights for which this row has no list. Answers to this node's own questions still arrive, at ports without
    /// a chosen name.
    #[must_use]
    pub fn deny_others(mut self) -> Self {
        self.deny_others = true;
        self
    }
}

/// A table of permissions. The empty one allows everything. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Permissions(Option<Arc<[Row]>>);

impl Permissions {
    /// The table of these rows, in this order.
    pub fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        let rows: Arc<[Row]> = rows.into_iter().collect();
        Permissions((!rows.is_empty()).then_some(rows))
    }

    /// What a node may do.
    pub fn of(&self, node: &NodeId) -> Rights {
        let Some(rows) = &self.0 else { return Rights::default() };
        let (mut deciding, mut unnamed) = ([None; Right::ALL.len()], None);
        for (place, row) in rows.iter().enumerate().filter(|(_, row)| row.nodes.allows(node.as_str())) {
            for right in Right::ALL {
                if deciding[right as usize].is_none() && (row.deny_others || row.lists[right as usize].is_some()) {
                    deciding[right as usize] = Some(place);
                }
            }
            unnamed = unnamed.or(row.unnamed);
        }
        let unnamed = unnamed.unwrap_or(true);
        if unnamed && deciding.iter().all(Option::is_none) {
            return Rights::default();
        }
        Rights(Some(Box::new(Restricted { rows: rows.clone(), deciding, unnamed })))
    }
}

/// What one node may do.
#[derive(Clone, Default)]
pub struct Rights(Option<Box<Restricted>>);

#[derive(Clone)]
struct Restricted {
    rows: Arc<[Row]>,
    /// Which row decides about which right.
    deciding: [Option<usize>; Right::ALL.len()],
    unnamed: bool,
}

impl Rights {
    /// Whether it may do everything.
    #[inline]
    pub fn are_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it has a right for a name.
    pub fn may(&self, right: Right, name: &str) -> bool {
        self.list(right).is_none_or(|list| list.is_some_and(|list| list.allows(name)))
    }

    /// Whether it has a right for all names.
    pub fn may_all(&self, right: Right) -> bool {
        self.list(right).is_none_or(|list| list.is_some_and(List::is_all))
    }

    /// Whether it may reach ports without a chosen name.
    pub fn may_reach_unnamed(&self) -> bool {
        self.0.as_ref().is_none_or(|restricted| restricted.unnamed)
    }

    /// Whether it may set an entry of the database.
    pub fn may_set(&self, node: &NodeId, family: &str, key: &str) -> bool {
        self.are_all() || (family == "'l" && key == node.as_str()) || self.may(Right::Set, family)
    }

    /// The list that decides: none if there is no such row, an empty place if the row denies what it does not list.
    fn list(&self, right: Right) -> Option<Option<&List>> {
        let restricted = self.0.as_ref()?;
        Some(restricted.rows[restricted.deciding[right as usize]?].lists[right as usize].as_ref())
    }
}

// --- text ---

/// Patterns as they are written: a text, or a list of texts.
struct Patterns(List);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Patterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern such as \"worker/*\", or a list of patterns")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Patterns, E> {
                List::new([text]).map(Patterns).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Patterns, A::Error> {
                let mut list = Vec::new();
                while let Some(text) = texts.next_element::<String>()? {
                    let List(mut one) = List::new([text]).map_err(serde::de::Error::custom)?;
                    list.append(&mut one);
                }
                Ok(Patterns(List(list)))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// A row as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRow {
    id: Patterns,
    call: Option<Patterns>,
    spawn: Option<Patterns>,
    stream: Option<Patterns>,
    send: Option<Patterns>,
    set: Option<Patterns>,
    unnamed: Option<bool>,
    #[serde(default)]
    deny_others: bool,
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    node: Vec<WrittenRow>,
}

/// From a map with the key `node`: a list of rows. A row has `id` (patterns) and, as needed, `call`, `spawn`, `stream`,
/// `send`, `set` (patterns), `unnamed` and `deny_others` (true or false). Patterns are a text or a list of texts.
impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let rows = written.node.into_iter().map(|row| Row {
            nodes: row.id.0,
            lists: [row.call, row.spawn, row.stream, row.send, row.set].map(|list| list.map(|list| list.0)),
            unnamed: row.unnamed,
            deny_others: row.deny_others,
        });
        Ok(Permissions::new(rows))
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written =
            |(allows, pattern): &(bool, Pattern)| alloc::format!("{}{}", if *allows { "" } else { "!" }, pattern.0);
        f.debug_list().entries(self.0.iter().map(written)).finish()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Row");
        shown.field("id", &self.nodes);
        for (right, list) in Right::ALL.iter().zip(&self.lists) {
            if let Some(list) = list {
                shown.field(&alloc::format!("{right:?}").to_lowercase(), list);
            }
        }
        if let Some(unnamed) = self.unnamed {
            shown.field("unnamed", &unnamed);
        }
        shown.field("deny_others", &self.deny_others).finish()
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().flat_map(|rows| rows.iter())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        let fits = |pattern: &str, name: &str| Pattern::new(pattern).expect("a pattern").fits(name);
        for (pattern, name) in [
            ("a", "a"),
            ("*", ""),
            ("*", "anything"),
            ("a*", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a*b*c", "a-b-b-c"),
            ("*/*", "worker/1"),
            ("a*b*b", "abb"),
            ("**", "x"),
        ] {
            assert!(fits(pattern, name), "{pattern} fits {name}");
        }
        for (pattern, name) in
            [("a", "b"), ("a", "aa"), ("a*", "ba"), ("*c", "ca"), ("ab*ba", "aba"), ("a*b*b", "ab"), ("a*b*c", "acb")]
        {
            assert!(!fits(pattern, name), "{pattern} does not fit {name}");
        }
    }
}
