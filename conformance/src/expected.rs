//! Failures that are expected: a list of patterns and reasons.

use crate::pattern;
use crate::run::{Outcome, Verdict};

/// What is expected to fail, and why.
#[derive(Debug, Default)]
pub struct Expected {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    number: usize,
    pattern: String,
    reason: String,
}

impl Expected {
    /// Reads a list: on each line a pattern of names, white space, and a reason. Empty lines, and those that begin with `#`,
    /// mean nothing.
    ///
    /// # Errors
    ///
    /// When a line has no reason.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((pattern, reason)) = line.split_once(char::is_whitespace) else {
                return Err(format!(
                    "line {number}: {line} has no reason behind it: a pattern, a space, and why it fails are needed"
                ));
            };
            lines.push(Line { number, pattern: pattern.into(), reason: reason.trim().into() });
        }
        Ok(Expected { lines })
    }

    /// Marks an outcome that the list expects to fail, and did; or that did not, which is a failure of its own.
    pub fn judge(&self, outcome: &mut Outcome) {
        let name = outcome.name();
        for line in self.lines.iter().filter(|line| pattern::fits_whole(&line.pattern, &name)) {
            match outcome.verdict {
                Verdict::Fail => outcome.expected_to_fail = Some(line.reason.clone()),
                Verdict::Pass | Verdict::NotStrict | Verdict::Informational => {
                    outcome.unexpected_pass = Some(format!("line {}, {}: {}", line.number, line.pattern, line.reason));
                }
                Verdict::Unimplemented | Verdict::Error => {}
            }
        }
    }

    /// Lines of the list that fit none of the names of all cases.
    pub fn unknown(&self, names: &[String]) -> Vec<String> {
        let fits_none = |line: &&Line| !names.iter().any(|name| pattern::fits_whole(&line.pattern, name));
        let unknown = self.lines.iter().filter(fits_none);
        unknown
            .map(|line| format!("line {}: no case has the name {}; --list shows all names", line.number, line.pattern))
            .collect()
    }
}
