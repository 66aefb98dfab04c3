//! For browsers: one page that needs nothing else. Of one run, all that is to be known about it; of several, a matrix of implementations first.

use std::fmt::Write as _;

use super::junit::escape;
use super::text::word;
use super::{Results, chapter};
use crate::run::{Finding, Outcome, Verdict};
use crate::subject::Feature;
use crate::wire::Direction;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The verdicts in the order of columns and filters.
const VERDICTS: [Verdict; 6] =
    [Verdict::Fail, Verdict::Error, Verdict::NotStrict, Verdict::Unimplemented, Verdict::Informational, Verdict::Pass];

/// The page.
pub fn write(runs: &[Results]) -> String {
    let title = match runs {
        [one] => format!("{} {}", one.name, one.version),
        several => several.iter().map(|run| &*run.name).collect::<Vec<_>>().join(", "),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>AEMP conformance: {title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<header><h1>AEMP conformance</h1>\n",
        title = escape(&title)
    );
    runs.iter().for_each(|run| head(&mut page, run));
    page.push_str("</header>\n<main>\n");
    if runs.len() > 1 {
        matrix(&mut page, runs);
    }
    filters(&mut page);
    for (number, run) in runs.iter().enumerate() {
        if runs.len() > 1 {
            let _ = writeln!(page, "<h2 class=\"run\">{} {}</h2>", escape(&run.name), escape(&run.version));
        }
        chapters(&mut page, run, number);
    }
    let _ = write!(page, "</main>\n<script>\n{SCRIPT}</script>\n</body></html>\n");
    page
}

fn head(page: &mut String, run: &Results) {
    let _ = write!(page, "<p class=\"subject\"><strong>{}</strong> {}", escape(&run.name), escape(&run.version));
    if let Some(ready) = &run.declared {
        let features: Vec<_> = ready.features().into_iter().map(Feature::name).collect();
        let _ = write!(page, " · level {} · {}", format!("{:?}", ready.level).to_lowercase(), escape(&features.join(", ")));
    }
    let _ = write!(page, " · suite {}", escape(&run.suite));
    if let Some(seed) = run.seed {
        let _ = write!(page, " · seed {seed}");
    }
    let counts = run.counts();
    page.push_str("</p>\n<p class=\"counts\">");
    for verdict in VERDICTS {
        let count = counts.get(&verdict).copied().unwrap_or_default();
        let _ = write!(page, "<span class=\"badge {}\">{count} {}</span> ", class(verdict), word(verdict).to_lowercase());
    }
    page.push_str("</p>\n");
}

fn class(verdict: Verdict) -> String {
    word(verdict).to_lowercase().replace(' ', "-")
}

/// Chapters in their order, each with its outcomes.
fn by_chapter(run: &Results) -> Vec<(&'static str, Vec<&Outcome>)> {
    let mut chapters: Vec<(&str, Vec<&Outcome>)> = Vec::new();
    for outcome in &run.outcomes {
        let heading = chapter(outcome);
        match chapters.iter_mut().find(|(other, _)| *other == heading) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => chapters.push((heading, vec![outcome])),
        }
    }
    let number = |heading: &str| heading.split('.').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(u32::MAX);
    chapters.sort_by_key(|(heading, _)| number(heading));
    chapters
}

/// Which implementation passes what.
fn matrix(page: &mut String, runs: &[Results]) {
    page.push_str(
        "<section><h2>Implementations</h2>\n<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>case</th>",
    );
    for run in runs {
        let _ = write!(page, "<th>{}</th>", escape(&run.name));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    let mut names: Vec<_> = runs.iter().flat_map(|run| run.outcomes.iter().map(Outcome::name)).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let _ = write!(page, "<tr><th>{}</th>", escape(&name));
        for (number, run) in runs.iter().enumerate() {
            match run.outcomes.iter().find(|outcome| outcome.name() == name) {
                Some(outcome) => {
                    let (class, word) = (class(outcome.verdict), word(outcome.verdict).to_lowercase());
                    let _ = write!(page, "<td class=\"{class}\"><a href=\"#{}\">{word}</a></td>", anchor(number, outcome));
                }
                None => page.push_str("<td>–</td>"),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div></section>\n");
}

fn filters(page: &mut String) {
    page.push_str("<form class=\"filters\" role=\"search\"><input type=\"search\" id=\"text\" placeholder=\"case, requirement, text\" aria-label=\"filter\">\n");
    for verdict in VERDICTS {
        let (class, word) = (class(verdict), word(verdict).to_lowercase());
        let _ = writeln!(
            page,
            "<label class=\"badge {class}\"><input type=\"checkbox\" name=\"{class}\" checked> {word}</label>"
        );
    }
    page.push_str("<output id=\"shown\"></output></form>\n");
}

fn chapters(page: &mut String, run: &Results, number: usize) {
    let chapters = by_chapter(run);
    page.push_str("<div class=\"scroll\"><table class=\"summary\"><thead><tr><th>chapter</th>");
    for verdict in VERDICTS {
        let _ = write!(page, "<th>{}</th>", word(verdict).to_lowercase());
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (at, (heading, outcomes)) in chapters.iter().enumerate() {
        let _ = write!(page, "<tr><th><a href=\"#chapter-{number}-{at}\">{}</a></th>", escape(heading));
        for verdict in VERDICTS {
            let count = outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
            let class = if count > 0 { class(verdict) } else { "none".into() };
            let _ = write!(page, "<td class=\"{class}\">{count}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
    for (at, (heading, outcomes)) in chapters.iter().enumerate() {
        let _ = writeln!(page, "<section class=\"chapter\"><h2 id=\"chapter-{number}-{at}\">{}</h2>", escape(heading));
        outcomes.iter().for_each(|outcome| one(page, outcome, number));
        page.push_str("</section>\n");
    }
}

fn anchor(run: usize, outcome: &Outcome) -> String {
    format!("case-{run}-{}", outcome.name().replace(|char: char| !char.is_ascii_alphanumeric(), "-"))
}

fn one(page: &mut String, outcome: &Outcome, run: usize) {
    let class = class(outcome.verdict);
    let open = if outcome.is_unexpected() { " open" } else { "" };
    let _ = writeln!(
        page,
        "<details class=\"case\" data-verdict=\"{class}\" id=\"{}\"{open}><summary><span class=\"badge {class}\">{}</span> <code>{}</code> \
         <span class=\"ids\">{}</span></summary>\n<p>{}</p>",
        anchor(run, outcome),
        word(outcome.verdict).to_lowercase(),
        escape(&outcome.name()),
        escape(&outcome.proves.join(" ")),
        escape(&outcome.about),
    );
    if let Some(reason) = &outcome.expected_to_fail {
        let _ = writeln!(page, "<p class=\"note\">This failure was expected: {}</p>", escape(reason));
    }
    if let Some(reason) = &outcome.unexpected_pass {
        let _ = writeln!(page, "<p class=\"note\">This was expected to fail, and did not: {}</p>", escape(reason));
    }
    outcome.findings.iter().for_each(|finding| found(page, finding));
    if !outcome.wire.is_empty() {
        wire(page, outcome);
    }
    if !outcome.errors.trim().is_empty() {
        let _ = writeln!(
            page,
            "<h4>What the node said on standard error, at the end</h4>\n<pre>{}</pre>",
            escape(outcome.errors.trim())
        );
    }
    page.push_str("</details>\n");
}

fn found(page: &mut String, finding: &Finding) {
    if let (Some(id), Some(sentence)) = (&finding.requirement, &finding.sentence) {
        let _ = writeln!(page, "<blockquote><strong>[{}]</strong> {}</blockquote>", escape(id), escape(sentence));
    }
    page.push_str("<dl>");
    if !finding.expected.is_empty() {
        let _ = write!(page, "<dt>expected</dt><dd>{}</dd>", escape(&finding.expected));
    }
    let _ = writeln!(page, "<dt>actual</dt><dd>{}</dd></dl>", escape(finding.actual.trim_end()));
}

fn wire(page: &mut String, outcome: &Outcome) {
    page.push_str("<h4>What passed</h4>\n<div class=\"scroll\"><table class=\"wire\"><tbody>\n");
    for entry in &outcome.wire {
        let (class, sign) = match entry.direction {
            Direction::Sent => ("sent", "suite →"),
            Direction::Received => ("received", "← node"),
            Direction::Note => ("happened", ""),
        };
        let connection = if entry.connection == 0 { String::new() } else { entry.connection.to_string() };
        let _ = write!(
            page,
            "<tr class=\"{class}\"><td>{} ms</td><td>{connection}</td><td>{sign}</td><td>{}",
            entry.at,
            escape(&entry.meaning)
        );
        if entry.length > 0 {
            let more =
                if entry.octets.len() < 2 * entry.length { format!("… ({} octets)", entry.length) } else { String::new() };
            let _ = write!(page, "<div class=\"octets\">{}{more}</div>", entry.octets);
        }
        page.push_str("</td></tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}
