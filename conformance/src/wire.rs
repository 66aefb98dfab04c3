//! What passed on the connections of a case, to be shown when it fails.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::hex::hex;
use crate::hidden::Hidden;

/// Whose octets these are, or what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The suite sent them.
    Sent,
    /// The node under test sent them.
    Received,
    /// Nothing passed: something happened.
    Note,
}

/// Something that passed, or happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Milliseconds since the case began.
    pub at: u64,
    /// Which connection of the case, from 1; 0: none.
    pub connection: u32,
    /// Whose it is.
    pub direction: Direction,
    /// What it means, for people.
    pub meaning: String,
    /// The octets in hexadecimal, the first of them if there are many.
    pub octets: String,
    /// How many octets there were.
    pub length: usize,
}

/// What passed on all connections of one case. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct Log {
    since: Instant,
    entries: Arc<Mutex<(Vec<Entry>, u32)>>,
    hidden: Option<Arc<Hidden>>,
}

impl Log {
    /// Octets of one entry that are kept.
    const OCTETS: usize = 512;
    /// Entries that are kept, the first and the last half of them.
    const ENTRIES: usize = 400;
    /// Octets of what an entry means that are kept.
    const MEANING: usize = 2000;

    /// A log that begins now, and in which nobody can read this.
    pub fn new(hidden: Option<Arc<Hidden>>) -> Self {
        Log { since: Instant::now(), entries: Arc::default(), hidden }
    }

    /// A log that begins now, and in which nobody can read what nobody can read in this one.
    #[must_use]
    pub fn anew(&self) -> Self {
        Log::new(self.hidden.clone())
    }

    /// A number for a new connection.
    pub fn connection(&self) -> u32 {
        let mut entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.1 += 1;
        entries.1
    }

    /// Adds something that passed.
    pub fn add(&self, connection: u32, direction: Direction, octets: &[u8], meaning: impl Into<String>) {
        let at = self.since.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let mut meaning = meaning.into();
        let without;
        let mut octets = octets;
        // Before anything is cut off: no part of it may stay.
        if let Some(hidden) = &self.hidden {
            meaning = hidden.in_text(&meaning);
            without = hidden.in_octets(octets);
            octets = &without;
        }
        let shown = &octets[..octets.len().min(Self::OCTETS)];
        let kept = shortened(&meaning, Self::MEANING).len();
        if kept < meaning.len() {
            meaning.replace_range(kept.., "…");
        }
        let entry = Entry { at, connection, direction, meaning, octets: hex(shown), length: octets.len() };
        let mut entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if entries.0.len() >= Self::ENTRIES {
            entries.0.remove(Self::ENTRIES / 2);
        }
        entries.0.push(entry);
    }

    /// Adds something that happened.
    pub fn note(&self, connection: u32, what: impl Into<String>) {
        self.add(connection, Direction::Note, &[], what);
    }

    /// What there is.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0.clone()
    }
}

/// Octets in lines of sixteen, as people read them: where, in hexadecimal, and as text with a dot for what is no ASCII. None
/// of what is no hexadecimal.
///
/// ```
/// assert_eq!(aemp_conformance::wire::dump("41420a"), ["0000  41 42 0a                                         AB."]);
/// ```
pub fn dump(hexadecimal: &str) -> Vec<String> {
    use std::fmt::Write as _;
    let pair = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let Some(octets) = hexadecimal.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>() else { return Vec::new() };
    let lines = octets.chunks(16).enumerate().map(|(number, octets)| {
        let mut line = format!("{:04x} ", number * 16);
        octets.iter().for_each(|octet| {
            let _ = write!(line, " {octet:02x}");
        });
        let text = octets.iter().map(|octet| if matches!(octet, 0x20..=0x7e) { char::from(*octet) } else { '.' });
        format!("{line:53}  {}", text.collect::<String>())
    });
    lines.collect()
}

/// The beginning of a text, of so many octets at most, or one character less.
pub fn shortened(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// Octets as people read them: text as it is, anything else as `\x..`.
pub fn readable(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).map_or_else(
        |_| octets.escape_ascii().to_string(),
        |text| {
            text.chars()
                .flat_map(|char| if char.is_control() { char.escape_default().collect() } else { vec![char] })
                .collect()
        },
    )
}
