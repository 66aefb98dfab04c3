//! For continuous integration: the XML that JUnit has made common.

use std::fmt::Write as _;

use super::{Results, by_chapter, text};
use crate::run::{Outcome, Verdict};

/// The run as XML.
pub fn write(results: &Results) -> String {
    let all: Vec<_> = results.outcomes.iter().collect();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" {}>\n",
        escape(format!("{} {}", results.name, results.version).trim()),
        counts(&all)
    );
    for (heading, outcomes) in by_chapter(results) {
        let _ = writeln!(xml, "<testsuite name=\"{}\" {}>", escape(heading), counts(&outcomes));
        outcomes.iter().for_each(|outcome| one(&mut xml, outcome));
        xml.push_str("</testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(outcomes: &[&Outcome]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        outcomes.len(),
        count(|outcome| outcome.is_unexpected() && outcome.verdict != Verdict::Error),
        count(|outcome| outcome.verdict == Verdict::Error),
        count(Outcome::is_skipped),
    )
}

fn one(xml: &mut String, outcome: &Outcome) {
    let name = outcome.name();
    let (class, case) = name.split_once('/').unwrap_or(("", &name));
    let took = Duration(outcome.took);
    let _ = write!(xml, "<testcase classname=\"{}\" name=\"{}\" time=\"{took}\"", escape(class), escape(case));
    let element = match outcome.verdict {
        Verdict::Error => "error",
        _ if outcome.is_unexpected() => "failure",
        _ if outcome.is_skipped() => "skipped",
        Verdict::NotStrict => "system-out",
        _ => return xml.push_str("/>\n"),
    };
    let message = match (&outcome.unexpected_pass, &outcome.expected_to_fail) {
        (Some(reason), _) => format!("it passes, and was expected to fail: {reason}"),
        (_, Some(reason)) => format!("expected to fail: {reason}"),
        _ => outcome.findings.first().map(|finding| finding.actual.clone()).unwrap_or_default(),
    };
    let message = if element == "system-out" { String::new() } else { format!(" message=\"{}\"", escape(&message)) };
    let _ = writeln!(xml, "><{element}{message}>{}</{element}></testcase>", escape(&text::describe(outcome, None)));
}

/// Milliseconds, as seconds.
struct Duration(u64);

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// Text for XML and HTML; characters that XML must not have become visible ones.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(char),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            char if char.is_control() => escaped.extend(char.escape_default()),
            char => escaped.push(char),
        }
    }
    escaped
}
