//! The sentences of the specification that bind, by their IDs.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How strongly a sentence binds (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// MUST, MUST NOT.
    Must,
    /// SHOULD, SHOULD NOT.
    Should,
    /// MAY.
    May,
}

/// A sentence of the specification that binds.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// Such as `GREET-7`.
    pub id: String,
    /// The sentence, in Markdown.
    pub sentence: String,
    /// How strongly it binds.
    pub strength: Strength,
    /// The file of the chapter, such as `2-greeting.md`.
    pub chapter: &'static str,
    /// The heading of the chapter, such as `2. Connection and greeting`.
    pub heading: &'static str,
}

macro_rules! chapters {
    ($($file:literal)*) => { [$(($file, include_str!(concat!("../spec/", $file)))),*] };
}

/// The chapters that bind, in their order.
pub const CHAPTERS: &[(&str, &str)] = &chapters!(
    "2-greeting.md" "3-tls.md" "4-authentication.md" "5-framings.md" "6-messages.md" "7-node-protocol.md"
    "8-global-protocol.md" "9-logs.md" "9-data-connections.md" "10-limits.md" "11-security.md"
);

static ALL: LazyLock<BTreeMap<String, Requirement>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    for (chapter, text) in CHAPTERS {
        let heading = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        for line in text.lines() {
            let Some((id, sentence)) = line.strip_prefix("**[").and_then(|rest| rest.split_once("]** ")) else { continue };
            let strength = match sentence {
                _ if sentence.contains(" MUST") => Strength::Must,
                _ if sentence.contains(" SHOULD") => Strength::Should,
                _ => Strength::May,
            };
            let (id, sentence) = (id.to_owned(), sentence.to_owned());
            all.insert(id.clone(), Requirement { id, sentence, strength, chapter, heading });
        }
    }
    all
});

/// All of them, by ID.
pub fn all() -> &'static BTreeMap<String, Requirement> {
    &ALL
}

/// The one with this ID.
pub fn find(id: &str) -> Option<&'static Requirement> {
    ALL.get(id)
}
