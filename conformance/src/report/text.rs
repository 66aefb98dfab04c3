//! For terminals.

use std::fmt::Write as _;

use super::{Results, VERDICTS, by_chapter};
use crate::run::{Outcome, Verdict};
use crate::wire::{Direction, Entry, dump, shortened};

/// Entries of the wire that are shown, the first and the last half of them.
const ENTRIES: usize = 60;
/// Octets of one entry that are shown.
const OCTETS: usize = 256;
/// Octets of what an entry means that are shown.
const MEANING: usize = 400;
/// The narrowest text that is still worth breaking into lines.
const NARROW: usize = 50;

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

/// What is wrong with an outcome, at length: the sentence, what was expected, what came, and what passed. Sentences are
/// broken into lines of `width` characters, if there is one.
pub fn describe(outcome: &Outcome, width: Option<usize>) -> String {
    let mut text = format!("{}: {}\n", word(outcome.verdict), outcome.name());
    paragraph(&mut text, "  ", &outcome.about, width);
    if let Some(reason) = &outcome.unexpected_pass {
        paragraph(&mut text, "  it was expected to fail: ", reason, width);
    }
    if let Some(reason) = &outcome.expected_to_fail {
        paragraph(&mut text, "  this was expected: ", reason, width);
    }
    for finding in &outcome.findings {
        if let (Some(id), Some(sentence)) = (&finding.requirement, &finding.sentence) {
            paragraph(&mut text, &format!("  [{id}] "), sentence, width);
        }
        if !finding.expected.is_empty() {
            paragraph(&mut text, "    expected: ", &finding.expected, width);
        }
        paragraph(&mut text, "    actual:   ", finding.actual.trim_end(), width);
    }
    if !outcome.wire.is_empty() {
        let _ = writeln!(text, "  what passed (> from the suite, < from the node under test):");
    }
    let last = outcome.wire.len().saturating_sub(ENTRIES / 2);
    for (at, one) in outcome.wire.iter().enumerate() {
        if at < ENTRIES / 2 || at >= last {
            entry(&mut text, one, width);
        } else if at == ENTRIES / 2 {
            let _ = writeln!(text, "    … {} more are left out here: --json has them", last - at);
        }
    }
    if !outcome.errors.trim().is_empty() {
        let _ = writeln!(text, "  what the node said on standard error, at the end:");
        for line in outcome.errors.trim().lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    visible(&text)
}

/// The text as no terminal takes it for anything else: control characters become visible ones.
pub fn visible(text: &str) -> String {
    let is_text = |char: char| !char.is_control() || matches!(char, '\n' | '\t');
    text.chars().flat_map(|char| if is_text(char) { vec![char] } else { char.escape_default().collect() }).collect()
}

fn entry(text: &mut String, entry: &Entry, width: Option<usize>) {
    let sign = match entry.direction {
        Direction::Sent => '>',
        Direction::Received => '<',
        Direction::Note => '-',
    };
    let connection = if entry.connection == 0 { String::new() } else { entry.connection.to_string() };
    let meaning = shortened(&entry.meaning, MEANING);
    let more = if meaning.len() < entry.meaning.len() { "…" } else { "" };
    paragraph(text, &format!("    {:>5} ms {connection:>2} {sign} ", entry.at), &format!("{meaning}{more}"), width);
    let shown = &entry.octets[..entry.octets.len().min(2 * OCTETS)];
    for line in dump(shown) {
        let _ = writeln!(text, "      {line}");
    }
    if shown.len() < 2 * entry.length {
        let _ = writeln!(text, "      … {} octets in all", entry.length);
    }
}

/// Lines that begin under each other, behind what stands before the first. Words longer than a line are left whole, for
/// whoever copies them.
fn paragraph(text: &mut String, before: &str, words: &str, width: Option<usize>) {
    let indent = before.chars().count();
    let width = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(NARROW));
    text.push_str(before);
    for (number, line) in words.lines().enumerate() {
        if number > 0 {
            let _ = write!(text, "\n{:indent$}", "");
        }
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let length = word.trim_end().chars().count();
            if column > 0 && column + length > width {
                text.truncate(text.trim_end_matches(' ').len());
                let _ = write!(text, "\n{:indent$}", "");
                column = 0;
            }
            text.push_str(word);
            column += word.chars().count();
        }
    }
    text.push('\n');
}

/// What is shown of an outcome while the suite runs; nothing of what is as it should be, unless `all` is wanted.
pub fn shown(outcome: &Outcome, all: bool, width: Option<usize>) -> Option<String> {
    let line = |text: &str| Some(format!("{text}: {}", outcome.name()));
    if let Some(reason) = &outcome.unexpected_pass {
        return Some(format!("UNEXPECTED PASS: {} (expected to fail: {reason})", outcome.name()));
    }
    match (outcome.verdict, &outcome.expected_to_fail) {
        (Verdict::Fail, Some(reason)) => all.then(|| format!("expected failure: {} ({reason})", outcome.name())),
        (Verdict::Fail | Verdict::Error | Verdict::NotStrict, _) => Some(describe(outcome, width)),
        (Verdict::Unimplemented, _) if all => Some(format!(
            "unimplemented: {}: {}",
            outcome.name(),
            visible(outcome.findings.first().map_or("", |finding| &finding.actual))
        )),
        (verdict, _) if all => line(word(verdict)),
        _ => None,
    }
}

/// The last lines of a run: how many there are of each verdict, by chapter and in all, and what failed.
pub fn summary(results: &Results) -> String {
    let mut text = visible(format!("{} {}", results.name, results.version).trim()) + "\n";
    // What nothing came to needs no column.
    let counts = results.counts();
    let columns: Vec<_> =
        VERDICTS.into_iter().rev().filter(|verdict| *verdict == Verdict::Pass || counts.contains_key(verdict)).collect();
    let chapters = by_chapter(results);
    let width = chapters.iter().map(|(heading, _)| heading.chars().count()).max().unwrap_or_default().max(20);
    let mut row = |heading: &str, cells: &mut dyn Iterator<Item = (Verdict, String)>| {
        let mut line = format!("  {heading:width$}");
        cells.for_each(|(verdict, cell)| {
            let _ = write!(line, "{cell:>0$}", word(verdict).len() + 3);
        });
        text.push_str(line.trim_end());
        text.push('\n');
    };
    row("", &mut columns.iter().map(|verdict| (*verdict, word(*verdict).to_owned())));
    for (heading, outcomes) in &chapters {
        let count = |wanted| outcomes.iter().filter(|outcome| outcome.verdict == wanted).count();
        let cell = |count: usize| if count == 0 { "·".to_owned() } else { count.to_string() };
        row(heading, &mut columns.iter().map(|verdict| (*verdict, cell(count(*verdict)))));
    }
    let all = |verdict| counts.get(verdict).copied().unwrap_or_default().to_string();
    row("all", &mut columns.iter().map(|verdict| (*verdict, all(verdict))));
    let expected = results.outcomes.iter().filter(|outcome| outcome.expected_to_fail.is_some()).count();
    if expected > 0 {
        let _ = writeln!(text, "{expected} of the failures {} expected.", if expected == 1 { "was" } else { "were" });
    }
    for outcome in results.unexpected() {
        let _ = match &outcome.unexpected_pass {
            Some(reason) => writeln!(text, "unexpected pass: {} (expected to fail: {reason})", outcome.name()),
            None => writeln!(text, "{}: {}", word(outcome.verdict), outcome.name()),
        };
    }
    text.pop();
    text
}
