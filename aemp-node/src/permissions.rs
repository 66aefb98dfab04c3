//! The table of permissions as a file: TOML, with errors that say where.

use std::fmt;

use aemp_proto::permissions::Permissions;

/// An error in a table of permissions, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionsError {
    /// The line and the character in it, both counted from 1.
    place: Option<(usize, usize)>,
    /// The row and the key with the error, if they are known.
    key: Option<String>,
    text: String,
}

impl PermissionsError {
    /// Returns the line and the column of the error, both counted from 1, if they are known.
    pub fn place(&self) -> Option<(usize, usize)> {
        self.place
    }
}

impl fmt::Display for PermissionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for PermissionsError {}

/// Parses a table of permissions: rows `[[node]]`, each with an `id` and the rights of the nodes with that ID.
///
/// ```
/// use aemp_node::permissions::from_toml;
/// use aemp_node::proto::{names::NodeId, permissions::Right};
///
/// let table = from_toml(r#"
///     [[node]]
///     id = "guest-*"
///     send = ["echo"]
///     deny_others = true
/// "#).unwrap();
/// let guest = table.of(&NodeId::new("guest-1").unwrap());
/// assert!(guest.may(Right::Send, "echo") && !guest.may(Right::Call, "db_set"));
///
/// let error = from_toml("[[node]]\nid = 5").unwrap_err();
/// assert_eq!(error.place(), Some((2, 6)));
/// ```
///
/// # Errors
///
/// Returns an error, with its place, if the text is not such a table.
pub fn from_toml(text: &str) -> Result<Permissions, PermissionsError> {
    toml::from_str(text).map_err(|error| {
        let place = error.span().map(|span| place(text, span.start));
        let key = place.and_then(|(line, _)| key(text, line));
        PermissionsError { place, key, text: error.message().trim().replace('\n', ": ") }
    })
}

/// The line and the character of an octet.
fn place(text: &str, octet: usize) -> (usize, usize) {
    let before = text.get(..octet).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The key that a line sets.
fn key(text: &str, line: usize) -> Option<String> {
    let (key, _) = text.lines().nth(line - 1)?.split_once('=')?;
    let key = key.trim();
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    is_key.then(|| key.to_owned())
}
