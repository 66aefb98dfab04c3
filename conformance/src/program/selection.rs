//! Which cases run, how, and where it is written down what came of them: the same for all that is tested.

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use aemp_conformance::expected::Expected;
use aemp_conformance::pattern;
use aemp_conformance::report::{Results, html, junit, text};
use aemp_conformance::run::{Outcome, Verdict};
use aemp_conformance::subject::Ready;
use clap::Args;

use super::{Stop, say, tell, terminal, write};

/// Which cases run.
#[derive(Args)]
pub(super) struct Selection {
    /// Runs only cases whose names have this in them, or fit a pattern with *; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    pub(super) run: Vec<String>,
    /// Leaves out cases whose names have this in them, or fit a pattern with *
    #[arg(long, value_name = "PATTERN")]
    pub(super) skip: Vec<String>,
    /// Lists the cases that would run, and the requirements that they prove, and runs none
    #[arg(long)]
    pub(super) list: bool,
    /// A file with failures that are expected: on each line a pattern and the reason. One that passes is an error
    #[arg(long, value_name = "FILE")]
    expected_failures: Option<PathBuf>,
    /// Runs everything so often; a case that does not come to the same verdict each time is an error
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) repeat: usize,
    /// Runs the cases in an order drawn from this number, and draws from it whatever else is left to chance
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Runs one case after the other, and stops at the first that fails: for whoever writes a port, step by step
    #[arg(long, conflicts_with_all = ["seed", "repeat"])]
    first: bool,
    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// Seconds to wait for what has to come
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    patience: f64,
    /// Writes everything to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes a report as JUnit does
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Writes a report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Shows also cases that pass, and why others are not implemented
    #[arg(long, short)]
    verbose: bool,
}

impl Selection {
    pub(super) fn wants(&self, name: &str) -> bool {
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| pattern::fits(pattern, name));
        (self.run.is_empty() || fits(&self.run)) && !fits(&self.skip)
    }

    pub(super) fn jobs(&self) -> usize {
        if self.first { 1 } else { self.jobs }
    }

    pub(super) fn patience(&self) -> Result<Duration, Stop> {
        let patience = Duration::try_from_secs_f64(self.patience).ok().filter(|patience| !patience.is_zero());
        patience.ok_or_else(|| Stop(format!("--patience: {} is no time", self.patience)))
    }

    /// Puts what is to run into the order of the seed, as often as it is to run.
    pub(super) fn order<T: Clone>(&self, planned: &[T]) -> Vec<T> {
        let mut all = Vec::with_capacity(planned.len() * self.repeat);
        let mut random = self.seed.unwrap_or_default();
        for _ in 0..self.repeat.max(1) {
            let begin = all.len();
            all.extend_from_slice(planned);
            if self.seed.is_some() {
                for at in (begin + 1..all.len()).rev() {
                    // SplitMix64: good enough to put cases into another order.
                    random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                    let other = begin + ((mixed ^ (mixed >> 31)) % (at - begin + 1) as u64) as usize;
                    all.swap(at, other);
                }
            }
        }
        all
    }

    /// A report of what is going to run.
    pub(super) fn report(
        &self,
        name: &str,
        version: &str,
        declared: Option<Ready>,
        total: usize,
    ) -> Result<Running<'_>, Stop> {
        let expected = match &self.expected_failures {
            Some(path) => {
                let read =
                    std::fs::read_to_string(path).map_err(|error| error.to_string()).and_then(|text| Expected::read(&text));
                read.map_err(|error| Stop(format!("{}: {error}", path.display())))?
            }
            None => Expected::default(),
        };
        let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let results = Results {
            suite: env!("CARGO_PKG_VERSION").into(),
            name: name.into(),
            version: version.into(),
            declared,
            began,
            seed: self.seed,
            outcomes: Vec::with_capacity(total),
        };
        let progress = io::stderr().is_terminal();
        Ok(Running { selection: self, expected, results, total, progress, is_enough: false })
    }
}

/// A report that grows with each outcome.
pub(super) struct Running<'s> {
    selection: &'s Selection,
    expected: Expected,
    results: Results,
    total: usize,
    progress: bool,
    /// The first failure was the only one that is wanted.
    is_enough: bool,
}

impl Running<'_> {
    /// Takes what came of a case, and shows it if it is of interest. Says whether more is wanted.
    pub(super) fn take(&mut self, mut outcome: Outcome) -> ControlFlow<()> {
        if self.is_enough {
            return ControlFlow::Break(());
        }
        self.expected.judge(&mut outcome);
        self.clear_progress();
        if let Some(shown) = text::shown(&outcome, self.selection.verbose, terminal::width()) {
            say(terminal::coloured(&shown));
        }
        self.is_enough = self.selection.first && outcome.is_unexpected();
        self.results.outcomes.push(outcome);
        self.show_progress();
        if self.is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn show_progress(&self) {
        if self.progress {
            let failed = self.results.outcomes.iter().filter(|outcome| outcome.is_unexpected()).count();
            eprint!("{}", terminal::progress(self.results.outcomes.len(), self.total, failed));
            let _ = io::stderr().flush();
        }
    }

    fn clear_progress(&self) {
        if self.progress {
            eprint!("\r\x1b[K");
        }
    }

    /// Writes the reports, and tells how it went.
    pub(super) fn end(mut self) -> Result<ExitCode, Stop> {
        self.clear_progress();
        self.results.outcomes.sort_by_key(Outcome::name);
        let selection = self.selection;
        if let Some(path) = &selection.json {
            let json = serde_json::to_string_pretty(&self.results).map_err(|error| Stop(error.to_string()))?;
            write(path, &(json + "\n"))?;
        }
        if let Some(path) = &selection.junit {
            write(path, &junit::write(&self.results))?;
        }
        if let Some(path) = &selection.html {
            write(path, &html::write(std::slice::from_ref(&self.results)))?;
        }
        say(terminal::coloured(&text::summary(&self.results)));
        let (unused, unsteady) = (self.expected.unused(), self.results.unsteady());
        unused.iter().for_each(|line| tell(format_args!("--expected-failures, {line}")));
        unsteady.iter().for_each(|name| tell(format_args!("{name}: not the same verdict each time")));
        let nothing_failed = self.results.unexpected().is_empty() && unused.is_empty() && unsteady.is_empty();
        let something_ran = self.results.outcomes.iter().any(|outcome| outcome.verdict != Verdict::Unimplemented);
        if !something_ran {
            return Err(Stop("no case ran: see --list for their names".into()));
        }
        Ok(if nothing_failed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
