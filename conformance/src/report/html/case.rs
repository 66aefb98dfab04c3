//! One case: its requirements, what was found, and what passed.

use std::fmt::Write as _;

use super::{anchor, class, requirement, sentence};
use crate::report::junit::escape;
use crate::report::text::word;
use crate::run::{Finding, Outcome};
use crate::wire::{Direction, Entry, dump, shortened};

/// Octets of one entry that are shown.
const OCTETS: usize = 256;
/// Octets of what an entry means that are shown.
const MEANING: usize = 600;

/// Writes a case; what passed in it may have `allowance` octets of the page.
pub(super) fn write(page: &mut String, outcome: &Outcome, run: usize, allowance: usize, open: bool) {
    let class = class(outcome.verdict);
    let broken: Vec<_> = outcome.findings.iter().filter_map(|finding| finding.requirement.clone()).collect();
    let links: Vec<_> = outcome.proves.iter().map(|id| requirement(id)).collect();
    let _ = writeln!(
        page,
        "<details class=\"case\" data-verdict=\"{class}\" id=\"{}\"{}><summary><span class=\"badge {class}\">{}</span> <code>{}</code> <small class=\"id\">{}</small></summary>\n\
         <p>{}</p>",
        anchor(run, outcome),
        if open && outcome.is_unexpected() { " open" } else { "" },
        word(outcome.verdict).to_lowercase(),
        escape(&outcome.name()),
        escape(&broken.join(" ")),
        escape(&outcome.about),
    );
    if let Some(reason) = &outcome.expected_to_fail {
        let _ = writeln!(page, "<p class=\"note\">This failure was expected: {}</p>", escape(reason));
    }
    if let Some(reason) = &outcome.unexpected_pass {
        let _ = writeln!(page, "<p class=\"note\">This was expected to fail, and did not: {}</p>", escape(reason));
    }
    outcome.findings.iter().for_each(|finding| found(page, finding));
    if !links.is_empty() {
        page.push_str("<ul class=\"proves\">");
        for (id, link) in outcome.proves.iter().zip(links) {
            let text = crate::requirement::find(id).map(|requirement| sentence(&requirement.sentence)).unwrap_or_default();
            let _ = write!(page, "<li>{link} {text}");
        }
        page.push_str("</ul>\n");
    }
    if !outcome.wire.is_empty() {
        wire(page, &outcome.wire, allowance);
    }
    if !outcome.errors.trim().is_empty() {
        let _ = writeln!(
            page,
            "<h4>What the node said on standard error, at the end</h4>\n<pre tabindex=\"0\">{}</pre>",
            escape(outcome.errors.trim())
        );
    }
    page.push_str("</details>\n");
}

fn found(page: &mut String, finding: &Finding) {
    page.push_str("<div class=\"finding\">");
    if let (Some(id), Some(text)) = (&finding.requirement, &finding.sentence) {
        let _ = writeln!(page, "<p>{} {}</p>", requirement(id), sentence(text));
    }
    page.push_str("<dl>");
    if !finding.expected.is_empty() {
        let _ = write!(page, "<dt>expected</dt><dd>{}</dd>", escape(&finding.expected));
    }
    let _ = writeln!(page, "<dt>actual</dt><dd>{}</dd></dl></div>", escape(finding.actual.trim_end()));
}

/// What passed: the beginning and the end of it, if all of it is more than is allowed.
fn wire(page: &mut String, entries: &[Entry], allowance: usize) {
    page.push_str("<h4>What passed</h4>\n<ol class=\"wire\">\n");
    let rendered: Vec<_> = entries.iter().map(entry).collect();
    let fitting = |lengths: &mut dyn Iterator<Item = usize>| {
        let sums = lengths.scan(0, |sum, length| {
            *sum += length;
            Some(*sum)
        });
        sums.take_while(|sum| *sum <= allowance / 2).count().max(1)
    };
    let first = fitting(&mut rendered.iter().map(String::len));
    let last = rendered.len().saturating_sub(fitting(&mut rendered.iter().rev().map(String::len)));
    let (first, last) = if first >= last { (rendered.len(), rendered.len()) } else { (first, last) };
    rendered[..first].iter().for_each(|entry| page.push_str(entry));
    if last > first {
        let _ = writeln!(
            page,
            "<li class=\"happened\">… {} more are left out here: the results in JSON have them",
            last - first
        );
    }
    rendered[last..].iter().for_each(|entry| page.push_str(entry));
    page.push_str("</ol>\n");
}

fn entry(entry: &Entry) -> String {
    let (class, sign) = match entry.direction {
        Direction::Sent => ("sent", "suite →"),
        Direction::Received => ("received", "← node"),
        Direction::Note => ("happened", ""),
    };
    let connection = if entry.connection == 0 { String::new() } else { format!(" on {}", entry.connection) };
    let meaning = shortened(&entry.meaning, MEANING);
    let cut = if meaning.len() < entry.meaning.len() { "…" } else { "" };
    let mut text = format!(
        "<li class=\"{class}\"><span class=\"when\">{} ms{connection}</span> <b>{sign}</b> {}{cut}",
        entry.at,
        escape(meaning)
    );
    if entry.length > 0 {
        let shown = &entry.octets[..entry.octets.len().min(2 * OCTETS)];
        let more =
            if shown.len() < 2 * entry.length { format!("\n… {} octets in all", entry.length) } else { String::new() };
        let _ = write!(text, "<pre tabindex=\"0\">{}{more}</pre>", escape(&dump(shown).join("\n")));
    }
    text.push('\n');
    text
}
