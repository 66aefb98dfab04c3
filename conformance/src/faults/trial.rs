//! Trying wrong nodes: each trial is a case and a fault that may fail it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Entry, Matrix};
use crate::failure::{Failure, Step};
use crate::run::{self, Declared, Outcome, Planned, Verdict};
use crate::test::{Bench, Source};

/// A case, tried with a wrong node.
#[derive(Clone, Copy)]
pub struct Trial {
    /// What is wrong with the node.
    pub entry: &'static Entry,
    /// The case.
    pub planned: Planned,
    /// How long it waits for what has to come.
    pub patience: Duration,
    /// What it comes to with a right node.
    right: Verdict,
}

impl Trial {
    /// The least that a case waits with a wrong node when it is tried for the first time.
    const SHORT: Duration = Duration::from_millis(500);

    /// A case that came to this with a right node: what passed soon there need not wait long when it is tried for the first
    /// time.
    pub fn new(entry: &'static Entry, planned: Planned, right: &Outcome) -> Self {
        let patience = Self::SHORT.max(3 * Duration::from_millis(right.took));
        Trial { entry, planned, patience, right: right.verdict }
    }

    /// The same with far more patience: a machine that has much to do is no fault of a node.
    fn again(&self) -> Self {
        Trial { patience: 4 * self.patience, ..*self }
    }

    /// What the fault has made of the case, if that is worse than it is with a right node.
    fn made(&self, outcome: &Outcome) -> Option<Verdict> {
        let worse = outcome.verdict > self.right && [Verdict::Fail, Verdict::NotStrict].contains(&outcome.verdict);
        worse.then_some(outcome.verdict)
    }
}

/// Where wrong nodes come from, and how they are tried.
pub struct Makers<'a> {
    /// The program of the suite, which stands in front.
    pub suite: &'a Path,
    /// The command that starts a right node.
    pub command: &'a [String],
    /// What that has.
    pub declared: &'a Declared,
    /// How many cases run at the same time.
    pub jobs: usize,
    /// How long a case waits at most for what has to come.
    pub patience: Duration,
}

impl Makers<'_> {
    fn bench(&self, entry: &Entry) -> Bench {
        let front = [&self.suite.to_string_lossy(), "wrong", "--fault", entry.name, "--"];
        let command = front.into_iter().map(str::to_owned).chain(self.command.iter().cloned()).collect();
        Bench::new(Source::Command(command), self.patience)
    }

    /// What comes of cases when the front spoils nothing. What fails twice there says nothing about any other fault.
    ///
    /// # Errors
    ///
    /// When there is no such fault.
    pub fn control(&self, planned: &[Planned]) -> Step<Vec<Outcome>> {
        let entry = super::find(super::NOTHING).ok_or_else(|| Failure::Suite("there is no control".into()))?;
        let trial = |planned: &Planned| Trial { entry, planned: *planned, patience: self.patience, right: Verdict::Pass };
        let trials: Vec<_> = planned.iter().map(trial).collect();
        let mut outcomes = self.run(&trials);
        for (outcome, trial) in outcomes.iter_mut().zip(&trials).filter(|(outcome, _)| outcome.is_unexpected()) {
            if let Some(again) = self.run(&[*trial]).pop() {
                *outcome = again;
            }
        }
        Ok(outcomes)
    }

    /// Which of the trials come to a worse verdict than with a right node: both times, or once if that is `known` of them.
    pub fn find(&self, trials: &[Trial], known: Option<&Matrix>) -> Matrix {
        let mut found = Matrix::default();
        trials.iter().for_each(|trial| found.add_fault(trial.entry.name));
        let mut add = |trial: &Trial, made: Option<Verdict>| {
            made.map(|verdict| found.add(trial.entry.name, trial.planned.case.name, verdict));
        };
        let mut again = Vec::new();
        for (trial, outcome) in trials.iter().zip(&self.run(trials)) {
            let made = trial.made(outcome);
            if made == known.and_then(|known| known.verdict(trial.entry.name, trial.planned.case.name)) {
                add(trial, made);
            } else {
                again.push(trial.again());
            }
        }
        for (trial, outcome) in again.iter().zip(&self.run(&again)) {
            add(trial, trial.made(outcome));
        }
        found
    }

    /// What comes of the trials, in their order. Those of a fault share its nodes.
    fn run(&self, trials: &[Trial]) -> Vec<Outcome> {
        let benches = Benches::default();
        trials.iter().for_each(|trial| benches.expect(trial.entry.name));
        let next = AtomicUsize::new(0);
        let outcomes: Vec<Mutex<Option<Outcome>>> = trials.iter().map(|_| Mutex::default()).collect();
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(trial), Some(outcome)) = (trials.get(number), outcomes.get(number)) else { break };
                        let bench = benches.get(trial.entry.name, || self.bench(trial.entry));
                        let came = run::run_one(&bench, &trial.planned, self.declared, trial.patience.min(self.patience));
                        *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
                        benches.done(trial.entry.name);
                    }
                });
            }
        });
        outcomes.into_iter().filter_map(|outcome| outcome.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

/// The nodes of each fault, from its first trial to the last one.
#[derive(Default)]
struct Benches {
    by_fault: Mutex<HashMap<&'static str, Shared>>,
}

/// The bench of a fault.
#[derive(Default)]
struct Shared {
    /// When there is one.
    bench: Option<Arc<Bench>>,
    /// How many trials still need it.
    trials: usize,
}

impl Benches {
    fn expect(&self, fault: &'static str) {
        self.by_fault.lock().unwrap_or_else(PoisonError::into_inner).entry(fault).or_default().trials += 1;
    }

    fn get(&self, fault: &'static str, make: impl FnOnce() -> Bench) -> Arc<Bench> {
        let mut benches = self.by_fault.lock().unwrap_or_else(PoisonError::into_inner);
        benches.entry(fault).or_default().bench.get_or_insert_with(|| Arc::new(make())).clone()
    }

    /// The nodes end with the last trial, outside of the lock.
    fn done(&self, fault: &'static str) {
        let mut benches = self.by_fault.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = benches.get_mut(fault).and_then(|shared| {
            shared.trials -= 1;
            if shared.trials == 0 { shared.bench.take() } else { None }
        });
        drop(benches);
        drop(ended);
    }
}
