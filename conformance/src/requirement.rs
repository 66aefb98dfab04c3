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
    /// The file of the chapter, such as `02-greeting.md`.
    pub chapter: &'static str,
    /// The heading of the chapter, such as `2. Connection and greeting`.
    pub heading: &'static str,
}

macro_rules! chapters {
    ($($file:literal)*) => { [$(($file, include_str!(concat!("../spec/", $file)))),*] };
}

/// The chapters that bind, in their order.
pub const CHAPTERS: &[(&str, &str)] = &chapters!(
    "02-greeting.md" "03-tls.md" "04-authentication.md" "05-framings.md" "06-messages.md" "07-node-protocol.md"
    "08-global-protocol.md" "09-logs.md" "10-data-connections.md" "11-limits.md" "12-security.md"
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
