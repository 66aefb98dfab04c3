//! For browsers: one page that needs nothing else. Of one run, all that is to be known about it; of several, a matrix of
//! implementations first.

mod case;
mod index;
mod matrix;

use std::fmt::Write as _;

use super::junit::escape;
use super::text::word;
use super::{Results, VERDICTS, by_chapter};
use crate::run::{Outcome, Verdict};
use crate::subject::Feature;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Octets of the page that all that passed on the wire may have, more or less.
const WIRE: usize = 8 << 20;
/// What passed in one case has at least so much of them, and at most.
const WIRE_OF_A_CASE: std::ops::RangeInclusive<usize> = 6 << 10..=96 << 10;
/// Failures are open from the beginning if there are no more than so many.
const OPEN: usize = 8;

/// The page.
pub fn write(runs: &[Results]) -> String {
    let title = runs.iter().map(title).collect::<Vec<_>>().join(", ");
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>AEMP conformance: {title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <a class=\"skip\" href=\"#cases\">To the cases</a>\n<header><h1>AEMP conformance</h1>\n<div class=\"runs\">\n",
        title = escape(&title)
    );
    runs.iter().for_each(|run| head(&mut page, run));
    page.push_str("</div>\n<nav aria-label=\"parts of this page\">");
    page.push_str(if runs.len() > 1 { "<a href=\"#implementations\">Implementations</a> " } else { "" });
    page.push_str(
        "<a href=\"#broken\">What is broken</a> <a href=\"#cases\">Cases</a> <a href=\"#requirements\">Requirements</a></nav>\n\
         </header>\n<main>\n",
    );
    if runs.len() > 1 {
        matrix::write(&mut page, runs);
    }
    index::broken(&mut page, runs);
    page.push_str("<section id=\"cases\"><h2>Cases</h2>\n");
    filters(&mut page);
    let with_wire = runs.iter().flat_map(|run| &run.outcomes).filter(|outcome| !outcome.wire.is_empty()).count();
    let allowance = (WIRE / with_wire.max(1)).clamp(*WIRE_OF_A_CASE.start(), *WIRE_OF_A_CASE.end());
    for (number, run) in runs.iter().enumerate() {
        if runs.len() > 1 {
            let _ = writeln!(page, "<h3 class=\"run\">{}</h3>", escape(&self::title(run)));
        }
        chapters(&mut page, run, number, allowance);
    }
    page.push_str("</section>\n");
    index::requirements(&mut page, runs);
    let _ = write!(page, "</main>\n<script>\n{SCRIPT}</script>\n</body></html>\n");
    page
}

fn title(run: &Results) -> String {
    format!("{} {}", run.name, run.version).trim().to_owned()
}

fn class(verdict: Verdict) -> String {
    word(verdict).to_lowercase().replace(' ', "-")
}

fn anchor(run: usize, outcome: &Outcome) -> String {
    format!("case-{run}-{}", outcome.name().replace(|char: char| !char.is_ascii_alphanumeric(), "-").trim_end_matches('-'))
}

/// Markdown of a sentence: what is set as code, and nothing else.
fn sentence(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }).collect()
}

/// A link to a requirement in the list at the end.
fn requirement(id: &str) -> String {
    let id = escape(id);
    if crate::requirement::find(&id).is_some() { format!("<a class=\"id\" href=\"#{id}\">{id}</a>") } else { id }
}

fn head(page: &mut String, run: &Results) {
    let _ =
        write!(page, "<article><h2>{} <small>{}</small></h2>\n<p class=\"soft\">", escape(&run.name), escape(&run.version));
    if let Some(ready) = &run.declared {
        let features: Vec<_> = ready.features().into_iter().map(Feature::name).collect();
        let _ = write!(page, "level {} · {} · ", ready.level.name(), escape(&features.join(", ")));
    }
    let _ = write!(page, "suite {}", escape(&run.suite));
    if let Some(seed) = run.seed {
        let _ = write!(page, " · seed {seed}");
    }
    let _ = writeln!(page, " · <time data-seconds=\"{0}\">{0} s after 1970</time></p>", run.began);
    let outcomes: Vec<_> = run.outcomes.iter().collect();
    bar(page, &outcomes);
    let counts = run.counts();
    page.push_str("<p class=\"counts\">");
    for verdict in VERDICTS.into_iter().rev() {
        if let Some(count) = counts.get(&verdict) {
            let _ =
                write!(page, "<span class=\"{}\"><b>{count}</b> {}</span> ", class(verdict), word(verdict).to_lowercase());
        }
    }
    page.push_str("</p></article>\n");
}

/// How many there are of each verdict, as lengths.
fn bar(page: &mut String, outcomes: &[&Outcome]) {
    let counts: Vec<_> = VERDICTS
        .into_iter()
        .rev()
        .map(|verdict| (verdict, outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let spoken: Vec<_> =
        counts.iter().map(|(verdict, count)| format!("{count} {}", word(*verdict).to_lowercase())).collect();
    let _ = write!(page, "<div class=\"bar\" role=\"img\" aria-label=\"{0}\" title=\"{0}\">", spoken.join(", "));
    for (verdict, count) in counts {
        let _ = write!(page, "<i class=\"{}\" style=\"flex-grow:{count}\"></i>", class(verdict));
    }
    page.push_str("</div>\n");
}

fn filters(page: &mut String) {
    page.push_str(
        "<form class=\"filters\" role=\"search\" aria-label=\"cases\"><input type=\"search\" id=\"text\" \
         placeholder=\"Filter: case, requirement, words\" aria-label=\"words that a case must have\">\n",
    );
    for verdict in VERDICTS {
        let (class, word) = (class(verdict), word(verdict).to_lowercase());
        let _ = writeln!(
            page,
            "<label class=\"badge {class}\"><input type=\"checkbox\" name=\"{class}\" checked> {word}</label>"
        );
    }
    page.push_str("<output id=\"shown\"></output></form>\n");
}

fn chapters(page: &mut String, run: &Results, number: usize, allowance: usize) {
    let chapters = by_chapter(run);
    page.push_str("<table class=\"summary\"><thead><tr><th scope=\"col\">chapter</th><th scope=\"col\">passed</th><td></td></tr></thead>\n<tbody>\n");
    for (at, (heading, outcomes)) in chapters.iter().enumerate() {
        let passed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Pass).count();
        let _ = write!(
            page,
            "<tr><th scope=\"row\"><a href=\"#chapter-{number}-{at}\">{}</a></th><td>{passed}<span class=\"soft\"> of {}</span></td><td>",
            escape(heading),
            outcomes.len()
        );
        bar(page, outcomes);
        page.push_str("</td></tr>\n");
    }
    page.push_str("</tbody></table>\n");
    let open = run.unexpected().len() <= OPEN;
    for (at, (heading, outcomes)) in chapters.iter().enumerate() {
        let _ = writeln!(page, "<section class=\"chapter\"><h3 id=\"chapter-{number}-{at}\">{}</h3>", escape(heading));
        outcomes.iter().for_each(|outcome| case::write(page, outcome, number, allowance, open));
        page.push_str("</section>\n");
    }
}
