//! What people and programs read about a run.

pub mod html;
pub mod junit;
pub mod text;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::requirement;
use crate::run::{Outcome, Verdict};
use crate::subject::Ready;

/// A whole run: what `--json` writes, and what the other reports are made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// The version of the suite.
    pub suite: String,
    /// What was tested, as it names itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says it has; none for a codec.
    pub declared: Option<Ready>,
    /// When the run began, in seconds since 1970.
    pub began: u64,
    /// What the order of the cases was drawn from; none: the order of the list.
    pub seed: Option<u64>,
    /// What came of each case.
    pub outcomes: Vec<Outcome>,
}

impl Results {
    /// How many outcomes have each verdict.
    pub fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for outcome in &self.outcomes {
            *counts.entry(outcome.verdict).or_default() += 1;
        }
        counts
    }

    /// What nobody expected: failures that are not in the list of expected ones, passes that are, faults of the suite, and
    /// cases that do not come to the same verdict each time.
    pub fn unexpected(&self) -> Vec<&Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.is_unexpected()).collect()
    }

    /// The names of cases that did not come to the same verdict each time.
    pub fn unsteady(&self) -> Vec<String> {
        let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
        let mut unsteady = Vec::new();
        for outcome in &self.outcomes {
            let before = *verdicts.entry(outcome.name()).or_insert(outcome.verdict);
            if before != outcome.verdict && !unsteady.contains(&outcome.name()) {
                unsteady.push(outcome.name());
            }
        }
        unsteady
    }
}

/// The verdicts in the order of columns and filters, the worst first.
pub const VERDICTS: [Verdict; 6] =
    [Verdict::Fail, Verdict::Error, Verdict::NotStrict, Verdict::Unimplemented, Verdict::Informational, Verdict::Pass];

/// Chapters in their order, each with its outcomes.
pub fn by_chapter(results: &Results) -> Vec<(&'static str, Vec<&Outcome>)> {
    let mut chapters: Vec<(&str, Vec<&Outcome>)> = Vec::new();
    for outcome in &results.outcomes {
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

/// The heading of the chapter that an outcome belongs to: that of the first requirement that the case proves.
pub fn chapter(outcome: &Outcome) -> &'static str {
    let first = outcome.proves.first().and_then(|id| requirement::find(id));
    first.map_or("Other", |requirement| requirement.heading)
}
