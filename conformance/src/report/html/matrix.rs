//! Which implementation passes what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{anchor, bar, class, title};
use crate::report::junit::escape;
use crate::report::text::word;
use crate::report::{Results, by_chapter};
use crate::run::{Outcome, Verdict};

/// Writes chapters by implementations, then cases by implementations: those with differences or failures, and on demand the
/// others.
pub(super) fn write(page: &mut String, runs: &[Results]) {
    page.push_str("<section id=\"implementations\"><h2>Implementations</h2>\n");
    begin(page, "chapter", runs);
    let chapters: Vec<BTreeMap<_, _>> = runs.iter().map(|run| by_chapter(run).into_iter().collect()).collect();
    let mut headings: Vec<_> = runs.iter().flat_map(by_chapter).map(|(heading, _)| heading).collect();
    headings.sort_by_key(|heading| {
        let number = heading.split('.').next().and_then(|number| number.parse().ok());
        (number.unwrap_or(u32::MAX), *heading)
    });
    headings.dedup();
    for heading in headings {
        let _ = write!(page, "<tr><th scope=\"row\">{}</th>", escape(heading));
        for chapters in &chapters {
            let Some(outcomes) = chapters.get(heading) else {
                page.push_str("<td>–</td>");
                continue;
            };
            let passed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Pass).count();
            let _ = write!(page, "<td>{passed}<span class=\"soft\"> of {}</span>", outcomes.len());
            bar(page, outcomes);
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n<h3>Cases</h3>\n");
    cases(page, runs);
    page.push_str("</section>\n");
}

fn begin(page: &mut String, what: &str, runs: &[Results]) {
    let _ = write!(
        page,
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"matrix\"><thead><tr><th scope=\"col\">{what}</th>"
    );
    runs.iter().for_each(|run| {
        let _ = write!(page, "<th scope=\"col\">{}</th>", escape(&title(run)));
    });
    page.push_str("</tr></thead>\n<tbody>\n");
}

fn cases(page: &mut String, runs: &[Results]) {
    let by_name: Vec<BTreeMap<String, &Outcome>> =
        runs.iter().map(|run| run.outcomes.iter().map(|outcome| (outcome.name(), outcome)).collect()).collect();
    let names: BTreeSet<_> = by_name.iter().flat_map(BTreeMap::keys).collect();
    let all_pass =
        |name: &&&String| by_name.iter().all(|run| run.get(**name).is_some_and(|outcome| outcome.verdict == Verdict::Pass));
    let same = names.iter().filter(all_pass).count();
    let _ = writeln!(
        page,
        "<p><label><input type=\"checkbox\" id=\"same\"> also the {same} cases that all pass, of {}</label></p>",
        names.len()
    );
    begin(page, "case", runs);
    for name in &names {
        let class_of_row = if all_pass(&name) { " class=\"same\"" } else { "" };
        let _ = write!(page, "<tr{class_of_row}><th scope=\"row\">{}</th>", escape(name));
        for (number, run) in by_name.iter().enumerate() {
            let Some(outcome) = run.get(*name) else {
                page.push_str("<td>–</td>");
                continue;
            };
            let (class, word) = (class(outcome.verdict), word(outcome.verdict).to_lowercase());
            let _ = write!(page, "<td class=\"{class}\"><a href=\"#{}\">{word}</a></td>", anchor(number, outcome));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}
