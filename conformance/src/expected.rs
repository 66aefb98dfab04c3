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
    used: bool,
}

impl Expected {
    /// Reads a list: on each line a pattern of names, white space, and a reason. Empty lines, and those that begin with `#`, mean nothing.
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
                return Err(format!("line {number}: {line:?} has no reason behind it"));
            };
            lines.push(Line { number, pattern: pattern.into(), reason: reason.trim().into(), used: false });
        }
        Ok(Expected { lines })
    }

    /// Marks an outcome that the list expects to fail, and did; or that did not, which is a failure of its own.
    pub fn judge(&mut self, outcome: &mut Outcome) {
        let name = outcome.name();
        for line in self.lines.iter_mut().filter(|line| pattern::fits_whole(&line.pattern, &name)) {
            line.used = true;
            match outcome.verdict {
                Verdict::Fail => outcome.expected_to_fail = Some(line.reason.clone()),
                Verdict::Pass | Verdict::NotStrict | Verdict::Informational => {
                    outcome.unexpected_pass = Some(line.reason.clone());
                }
                Verdict::Unimplemented | Verdict::Error => {}
            }
        }
    }

    /// Lines of the list that no case fits.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.lines.iter().filter(|line| !line.used);
        unused.map(|line| format!("line {}: no case that ran has the name {}", line.number, line.pattern)).collect()
    }
}
