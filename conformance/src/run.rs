//! Running cases, and judging what came of them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use aemp_proto::framing::Framing;
use serde::{Deserialize, Serialize};

use crate::case::{Case, End};
use crate::failure::{Failure, Step};
use crate::requirement::{self, Strength};
use crate::subject::{Feature, Level};
use crate::test::{Bench, Test};
use crate::wire::Entry;

/// What a case says about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does what the requirements say.
    Pass,
    /// It misses something that it should do, and need not.
    NotStrict,
    /// It breaks a requirement.
    Fail,
    /// It says itself that it cannot do what the case needs.
    Unimplemented,
    /// It is as the specification leaves it free to be; somebody may want to know.
    Informational,
    /// The suite could not do its part.
    Error,
}

/// What was broken or missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The ID of the requirement, if one is broken.
    pub requirement: Option<String>,
    /// Its sentence.
    pub sentence: Option<String>,
    /// What should have happened.
    pub expected: String,
    /// What happened.
    pub actual: String,
}

/// What came of one run of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The name of the case.
    pub case: String,
    /// What it tries.
    pub about: String,
    /// The framing, where the case is run in each.
    pub framing: Option<String>,
    /// The requirements that it proves.
    pub proves: Vec<String>,
    /// The level for which it is made.
    pub level: Level,
    /// What it needs besides.
    pub needs: Vec<Feature>,
    /// The verdict.
    pub verdict: Verdict,
    /// Which of several allowed outcomes it was.
    pub outcome: Option<String>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What passed on the wire, where the verdict is not a pass.
    pub wire: Vec<Entry>,
    /// The end of what the node said on standard error, where the verdict is not a pass.
    pub errors: String,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// Why it was expected to fail, where it was, and did.
    #[serde(default)]
    pub expected_to_fail: Option<String>,
    /// Why it was expected to fail, where it was, and did not: the line of the list, its pattern, and the reason.
    #[serde(default)]
    pub unexpected_pass: Option<String>,
}

impl Outcome {
    /// Whether it is a reason for the whole run to fail.
    pub fn is_unexpected(&self) -> bool {
        let failed = self.verdict == Verdict::Fail && self.expected_to_fail.is_none();
        failed || self.verdict == Verdict::Error || self.unexpected_pass.is_some()
    }

    /// Whether nothing was tested, or nothing comes of it.
    pub fn is_skipped(&self) -> bool {
        self.verdict == Verdict::Unimplemented || self.expected_to_fail.is_some()
    }

    /// The name of the case, with the framing if it was run in several.
    pub fn name(&self) -> String {
        self.framing.as_ref().map_or_else(|| self.case.clone(), |framing| format!("{}[{framing}]", self.case))
    }
}

/// A case, and the framing to run it in.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// The case.
    pub case: &'static Case,
    /// The framing.
    pub framing: Framing,
}

impl Planned {
    /// As in reports.
    pub fn name(&self) -> String {
        if self.case.each_framing { format!("{}[{}]", self.case.name, self.framing) } else { self.case.name.to_owned() }
    }
}

/// What a node says it has.
#[derive(Debug, Clone)]
pub struct Declared {
    /// The highest level.
    pub level: Level,
    /// The features.
    pub features: BTreeSet<Feature>,
}

impl Declared {
    /// The framings, json first.
    pub fn framings(&self) -> Vec<Framing> {
        let has = |feature| self.features.contains(&feature);
        [(Framing::Json, true), (Framing::Cbor, has(Feature::Cbor)), (Framing::Storable, has(Feature::Storable))]
            .into_iter()
            .filter_map(|(framing, has)| has.then_some(framing))
            .collect()
    }

    /// What a case needs and the node does not have.
    fn lacks(&self, case: &Case) -> Option<String> {
        if case.level > self.level {
            return Some(format!("the level {}", case.level.name()));
        }
        let missing: Vec<_> =
            case.needs.iter().filter(|feature| !self.features.contains(feature)).map(|feature| feature.name()).collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// Runs all that is planned, `jobs` at a time, and tells each outcome as it comes, until it is told to stop.
pub fn run(
    bench: &Bench,
    planned: &[Planned],
    declared: &Declared,
    jobs: usize,
    tell: impl FnMut(Outcome) -> ControlFlow<()>,
) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (done, outcomes) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (done, next) = (done.clone(), &next);
            scope.spawn(move || {
                while let Some(planned) = planned.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if done.send(run_one(bench, planned, declared, bench.patience)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        // When nobody listens any more, no further case is begun.
        let _ = outcomes.into_iter().try_for_each(tell);
    });
}

/// Runs one case, which waits so long for what has to come.
pub(crate) fn run_one(bench: &Bench, planned: &Planned, declared: &Declared, patience: Duration) -> Outcome {
    let Planned { case, framing } = *planned;
    let begun = Instant::now();
    let mut outcome = Outcome {
        case: case.name.into(),
        about: case.about.into(),
        framing: case.each_framing.then(|| framing.name().to_owned()),
        proves: case.proves.iter().map(|id| (*id).to_owned()).collect(),
        level: case.level,
        needs: case.needs.to_vec(),
        verdict: Verdict::Pass,
        outcome: None,
        findings: Vec::new(),
        wire: Vec::new(),
        errors: String::new(),
        took: 0,
        expected_to_fail: None,
        unexpected_pass: None,
    };
    if let Some(lacks) = declared.lacks(case) {
        outcome.judge(Failure::Unimplemented(format!("the node does not have {lacks}")));
        return outcome;
    }
    let mut test = Test::new(bench, case, framing);
    test.patience = patience;
    // A fault of the suite is no reason to lose all other results.
    let result = panic::catch_unwind(AssertUnwindSafe(|| (case.run)(&mut test)));
    let result = result.unwrap_or_else(|_| Err(Failure::Suite("the case panicked: see standard error".into())));
    let (ends, observed, remarks) = test.results();
    if let Err(failure) = result {
        outcome.judge(failure);
    } else {
        outcome.outcome = observed.map(str::to_owned);
        if !case.allowed.is_empty() && !observed.is_some_and(|observed| case.allowed.contains(&observed)) {
            outcome.judge(Failure::wrong(case.allowed.join(", or "), observed.unwrap_or("no outcome")));
        }
        let ended = match (case.end, ends) {
            (End::Free, _) => Ok(()),
            (End::Closes, Some(mut peer)) => peer.expect_end(),
            (End::Stays, Some(mut peer)) => peer.probe(),
            (_, None) => Err(Failure::Suite("the case names no connection whose end is judged".into())),
        };
        if let Err(failure) = ended {
            outcome.judge(failure);
        }
    }
    for remark in remarks {
        outcome.judge(Failure::wrong(remark.expected, remark.actual).breaks(remark.requirement));
    }
    if let Some(dead) = test.subjects().iter().find(|subject| subject.id().is_some() && !subject.lives()) {
        let failure = Failure::wrong("a node that goes on", format!("its process has ended: {}", dead.errors()));
        outcome.judge(failure);
    }
    if outcome.verdict != Verdict::Pass {
        outcome.wire = test.log.entries();
        outcome.errors = test.subjects().iter().map(|subject| subject.errors()).collect::<Vec<_>>().join("\n");
    }
    if let Some(hidden) = bench.hidden() {
        for finding in &mut outcome.findings {
            finding.expected = hidden.in_text(&finding.expected);
            finding.actual = hidden.in_text(&finding.actual);
        }
    }
    outcome.took = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    outcome
}

impl Outcome {
    /// Adds what a failure means.
    pub(crate) fn judge(&mut self, failure: Failure) {
        let (verdict, requirement, expected, actual) = match failure {
            Failure::Wrong { requirement, expected, actual } => {
                let id = requirement.map(str::to_owned).or_else(|| self.proves.first().cloned());
                let verdict = match id.as_deref().and_then(requirement::find).map(|requirement| requirement.strength) {
                    Some(Strength::Must) | None => Verdict::Fail,
                    Some(Strength::Should) => Verdict::NotStrict,
                    Some(Strength::May) => Verdict::Informational,
                };
                (verdict, id, expected, actual)
            }
            Failure::Unimplemented(what) => (Verdict::Unimplemented, None, String::new(), what),
            Failure::Suite(what) => (Verdict::Error, None, "the suite to do its part".into(), what),
        };
        let rank = |verdict| match verdict {
            Verdict::Pass => 0,
            Verdict::Informational => 1,
            Verdict::NotStrict => 2,
            Verdict::Unimplemented => 3,
            Verdict::Error => 4,
            Verdict::Fail => 5,
        };
        if rank(verdict) > rank(self.verdict) {
            self.verdict = verdict;
        }
        let sentence = requirement.as_deref().and_then(requirement::find).map(|requirement| requirement.sentence.clone());
        self.findings.push(Finding { requirement, sentence, expected, actual });
    }
}

/// What there is to run: the cases that `wanted` picks, in each framing where they are to be, in the order of the list.
pub fn plan(cases: &[&'static Case], framings: &[Framing], wanted: impl Fn(&str) -> bool) -> Vec<Planned> {
    let mut planned = Vec::new();
    for case in cases {
        let framings = if case.each_framing { framings } else { &framings[..1.min(framings.len())] };
        planned.extend(
            framings.iter().map(|framing| Planned { case, framing: *framing }).filter(|planned| wanted(&planned.name())),
        );
    }
    planned
}

/// Asks a node what it has.
pub fn declared(bench: &Bench) -> Step<(Declared, crate::subject::Ready)> {
    let subject = bench.shared(&crate::subject::Start::default())?;
    let ready = subject.ready.clone();
    Ok((Declared { level: ready.level, features: ready.features() }, ready))
}

/// How long each case waits by default for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(5);
