//! For terminals.

use std::fmt::Write as _;

use super::{Results, chapter};
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

/// What is shown of an outcome while the suite runs; nothing of what is as it should be, unless `all` is wanted.
pub fn shown(outcome: &Outcome, all: bool) -> Option<String> {
    let line = |text: &str| Some(format!("{text}: {}", outcome.name()));
    if outcome.unexpected_pass.is_some() {
        return line("UNEXPECTED PASS");
    }
    match (outcome.verdict, &outcome.expected_to_fail) {
        (Verdict::Fail, Some(reason)) => all.then(|| format!("expected failure: {} ({reason})", outcome.name())),
        (Verdict::Fail | Verdict::Error | Verdict::NotStrict, _) => Some(describe(outcome)),
        (Verdict::Unimplemented, _) if all => Some(format!(
            "unimplemented: {}: {}",
            outcome.name(),
            outcome.findings.first().map_or("", |finding| &finding.actual)
        )),
        (verdict, _) if all => line(word(verdict)),
        _ => None,
    }
}

/// The last lines of a run: how many there are of each verdict, by chapter and in all, and what failed.
pub fn summary(results: &Results) -> String {
    let mut text = format!("{} {}\n", results.name, results.version);
    let columns =
        [Verdict::Pass, Verdict::NotStrict, Verdict::Fail, Verdict::Unimplemented, Verdict::Informational, Verdict::Error];
    let _ = write!(text, "{:36}", "");
    let _ = columns.iter().try_for_each(|verdict| write!(text, "{:>15}", word(*verdict)));
    let mut chapters: Vec<_> = results.outcomes.iter().map(chapter).collect();
    let number = |heading: &str| heading.split('.').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(u32::MAX);
    chapters.sort_by_key(|heading| (number(heading), *heading));
    chapters.dedup();
    for heading in chapters {
        let _ = write!(text, "\n{heading:36}");
        for verdict in columns {
            let count =
                results.outcomes.iter().filter(|outcome| chapter(outcome) == heading && outcome.verdict == verdict).count();
            let _ = write!(text, "{count:>15}");
        }
    }
    let _ = write!(text, "\n{:36}", "all");
    let counts = results.counts();
    let _ = columns.iter().try_for_each(|verdict| write!(text, "{:>15}", counts.get(verdict).copied().unwrap_or_default()));
    text.push('\n');
    let expected = results.outcomes.iter().filter(|outcome| outcome.expected_to_fail.is_some()).count();
    if expected > 0 {
        let _ = writeln!(text, "{expected} of the failures were expected.");
    }
    for outcome in results.unexpected() {
        let what = if outcome.unexpected_pass.is_some() { "unexpected pass" } else { word(outcome.verdict) };
        let _ = writeln!(text, "{what}: {}", outcome.name());
    }
    text.pop();
    text
}
