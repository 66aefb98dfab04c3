//! For terminals.

use std::fmt::Write as _;

use crate::run::{Outcome, Verdict};
use crate::wire::Direction;

/// The word for a verdict.
pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::NotStrict => "not strict",
        Verdict::Fail => "FAIL",
        Verdict::Unimplemented => "unimplemented",
        Verdict::Informational => "informational",
        Verdict::Error => "ERROR",
    }
}

/// What is wrong with an outcome, at length: the sentence, what was expected, what came, and what passed.
pub fn describe(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}\n  {}\n", word(outcome.verdict), outcome.name(), outcome.about);
    for finding in &outcome.findings {
        if let (Some(id), Some(sentence)) = (&finding.requirement, &finding.sentence) {
            let _ = writeln!(text, "  [{id}] {sentence}");
        }
        if !finding.expected.is_empty() {
            let _ = writeln!(text, "    expected: {}", finding.expected);
        }
        let _ = writeln!(text, "    actual:   {}", finding.actual.trim_end().replace('\n', "\n              "));
    }
    if !outcome.wire.is_empty() {
        let _ = writeln!(text, "  what passed (> from the suite, < from the node under test):");
    }
    for entry in &outcome.wire {
        let sign = match entry.direction {
            Direction::Sent => '>',
            Direction::Received => '<',
            Direction::Note => '-',
        };
        let _ = writeln!(text, "    {:>5} ms  {} {sign} {}", entry.at, entry.connection, entry.meaning);
        if entry.length > 0 {
            let more =
                if entry.octets.len() < 2 * entry.length { format!("… ({} octets)", entry.length) } else { String::new() };
            let _ = writeln!(text, "                 {}{more}", entry.octets);
        }
    }
    if !outcome.errors.trim().is_empty() {
        let _ = writeln!(text, "  what the node said on standard error, at the end:");
        for line in outcome.errors.trim().lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}
