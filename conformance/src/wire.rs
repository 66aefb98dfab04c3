//! What passed on the connections of a case, to be shown when it fails.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde::{Deserialize, Serialize};

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
}

impl Log {
    /// Octets of one entry that are kept.
    const OCTETS: usize = 512;
    /// Entries that are kept, the first and the last half of them.
    const ENTRIES: usize = 400;

    /// A log that begins now.
    #[expect(clippy::new_without_default, reason = "it depends on the time")]
    pub fn new() -> Self {
        Log { since: Instant::now(), entries: Arc::default() }
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
        let shown = &octets[..octets.len().min(Self::OCTETS)];
        let entry = Entry { at, connection, direction, meaning: meaning.into(), octets: hex(shown), length: octets.len() };
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

/// Octets in hexadecimal.
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        let _ = write!(text, "{octet:02x}");
        text
    })
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
