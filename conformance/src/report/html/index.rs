//! From requirements to cases: those that are broken, and all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{anchor, class, requirement, sentence, title};
use crate::report::junit::escape;
use crate::report::text::word;
use crate::report::{Results, VERDICTS};
use crate::requirement::{self as requirements, Strength};
use crate::run::{Outcome, Verdict};

/// A case of a run.
type Place<'r> = (usize, &'r Outcome);

fn links(page: &mut String, runs: &[Results], places: &[Place<'_>]) {
    page.push_str("<ul class=\"links\">");
    for (run, outcome) in places {
        let name = if runs.len() > 1 { format!(" <small>{}</small>", escape(&title(&runs[*run]))) } else { String::new() };
        let class = class(outcome.verdict);
        let _ = write!(
            page,
            "<li><a class=\"{class}\" href=\"#{}\">{}</a>{name}{}",
            anchor(*run, outcome),
            escape(&outcome.name()),
            if outcome.verdict == Verdict::Pass { "" } else { " " }
        );
        if outcome.verdict != Verdict::Pass {
            let _ = write!(page, "<small class=\"{class}\">{}</small>", word(outcome.verdict).to_lowercase());
        }
    }
    page.push_str("</ul>");
}

/// Each requirement that something breaks, with all cases that say so; what breaks in most cases first.
pub(super) fn broken(page: &mut String, runs: &[Results]) {
    let mut by_requirement: BTreeMap<Option<&str>, Vec<Place<'_>>> = BTreeMap::new();
    for (number, run) in runs.iter().enumerate() {
        let bad = |outcome: &&Outcome| matches!(outcome.verdict, Verdict::Fail | Verdict::NotStrict | Verdict::Error);
        for outcome in run.outcomes.iter().filter(bad) {
            for finding in &outcome.findings {
                let places = by_requirement.entry(finding.requirement.as_deref()).or_default();
                if !places.last().is_some_and(|(run, other)| *run == number && std::ptr::eq(*other, outcome)) {
                    places.push((number, outcome));
                }
            }
        }
    }
    page.push_str("<section id=\"broken\"><h2>What is broken</h2>\n");
    if by_requirement.is_empty() {
        page.push_str("<p>Nothing that these cases have tried.</p>\n");
    }
    let mut sorted: Vec<_> = by_requirement.into_iter().collect();
    sorted.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    for (id, places) in sorted {
        let count = match places.len() {
            1 => "1 case".to_owned(),
            count => format!("{count} cases"),
        };
        let text = id.and_then(requirements::find).map(|found| sentence(&found.sentence)).unwrap_or_default();
        let what = id.map_or_else(|| "what the suite could not do".to_owned(), requirement);
        let _ = write!(page, "<details class=\"broken\"><summary><b>{count}</b> {what} {text}</summary>");
        links(page, runs, &places);
        page.push_str("</details>\n");
    }
    page.push_str("</section>\n");
}

/// All requirements, each with its cases.
pub(super) fn requirements(page: &mut String, runs: &[Results]) {
    let mut by_requirement: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for (number, run) in runs.iter().enumerate() {
        for outcome in &run.outcomes {
            outcome.proves.iter().for_each(|id| by_requirement.entry(id).or_default().push((number, outcome)));
        }
    }
    page.push_str("<section id=\"requirements\"><h2>Requirements</h2>\n");
    for (chapter, text) in requirements::CHAPTERS {
        let heading = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        let _ = writeln!(page, "<h3>{}</h3>\n<ul class=\"requirements\">", escape(heading));
        let mut all: Vec<_> = requirements::all().values().filter(|found| found.chapter == *chapter).collect();
        all.sort_by_key(|found| {
            found.id.split_once('-').map(|(family, number)| (family, number.parse::<u32>().unwrap_or_default()))
        });
        for found in all {
            let _ = write!(page, "<li id=\"{0}\"><b class=\"id\">{0}</b> {1} ", found.id, sentence(&found.sentence));
            if let Some(places) = by_requirement.get(&*found.id) {
                let counts = VERDICTS.into_iter().filter_map(|verdict| {
                    let count = places.iter().filter(|(_, outcome)| outcome.verdict == verdict).count();
                    (count > 0).then(|| {
                        format!("<span class=\"{}\">{count} {}</span>", class(verdict), word(verdict).to_lowercase())
                    })
                });
                let counts = counts.collect::<Vec<_>>().join(", ");
                let _ = write!(page, "<details><summary>{counts}</summary>");
                links(page, runs, places);
                page.push_str("</details>");
            } else if found.strength != Strength::May {
                page.push_str("<small class=\"soft\">no case here</small>");
            }
            page.push('\n');
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</section>\n");
}
