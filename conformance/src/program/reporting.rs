//! How cases run, and where it is written down what came of them: the same for all that is tested.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use aemp_conformance::expected::Expected;
use aemp_conformance::report::{Results, html, junit, text};
use aemp_conformance::run::{Outcome, Verdict};
use aemp_conformance::subject::Ready;
use clap::Args;

use super::{Stop, read, say, tell, terminal, write};

/// How often a case runs at most.
const REPEATS: std::ops::RangeInclusive<i64> = 1..=1000;

/// How cases run, and where it is written down what came of them.
#[derive(Args)]
pub(super) struct Reporting {
    /// Lists the cases that would run, and the requirements that they prove, and runs none
    #[arg(long)]
    pub(super) list: bool,
    /// A file with failures that are expected: on each line a pattern and the reason. One that passes is an error
    #[arg(long, value_name = "FILE")]
    expected_failures: Option<PathBuf>,
    /// Runs everything so often; a case that does not come to the same verdict each time is an error
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(REPEATS))]
    repeat: u16,
    /// Runs the cases in an order drawn from this number, and draws from it whatever else is left to chance
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Runs one case after the other, and stops at the first that fails: for whoever writes a port, step by step
    #[arg(long, conflicts_with_all = ["seed", "repeat"])]
    pub(super) first: bool,
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

impl Reporting {
    /// Puts what is to run into the order of the seed, as often as it is to run.
    pub(super) fn order<T: Clone>(&self, planned: &[T]) -> Vec<T> {
        let mut all = Vec::with_capacity(planned.len() * usize::from(self.repeat));
        let mut random = self.seed.unwrap_or_default();
        for _ in 0..self.repeat {
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

    /// What is expected to fail. Finds out also whether the reports can be written, for that is known before the cases have
    /// taken their time.
    pub(super) fn prepare(&self) -> Result<Expected, Stop> {
        for path in [&self.json, &self.junit, &self.html].into_iter().flatten() {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            opened.map_err(|error| super::not_written(path, &error))?;
        }
        let Some(path) = &self.expected_failures else { return Ok(Expected::default()) };
        Expected::read(&read(path)?).map_err(|error| Stop(format!("{}, {error}", path.display())))
    }

    /// A report of what is going to run.
    pub(super) fn report(
        &self,
        expected: Expected,
        (name, version): (&str, &str),
        declared: Option<Ready>,
        total: usize,
    ) -> Running<'_> {
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
        Running { reporting: self, expected, results, total, progress, is_enough: false }
    }
}

/// A report that grows with each outcome.
pub(super) struct Running<'s> {
    reporting: &'s Reporting,
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
        if let Some(shown) = text::shown(&outcome, self.reporting.verbose, terminal::width()) {
            say(terminal::coloured(&shown));
        }
        self.is_enough = self.reporting.first && outcome.is_unexpected();
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

    /// Tells how it went, and writes the reports. These are the names of all cases there are.
    pub(super) fn end(mut self, names: &[String]) -> Result<ExitCode, Stop> {
        self.clear_progress();
        self.results.outcomes.sort_by_key(Outcome::name);
        say(terminal::coloured(&text::summary(&self.results)));
        let unsteady = self.results.unsteady();
        unsteady.iter().for_each(|name| tell(format_args!("{name}: not the same verdict each time")));
        let unknown = self.expected.unknown(names);
        if let Some(path) = &self.reporting.expected_failures {
            unknown.iter().for_each(|line| tell(format_args!("{}, {line}", path.display())));
        }
        self.write()?;
        if !self.results.outcomes.iter().any(|outcome| outcome.verdict != Verdict::Unimplemented) {
            return Err(Stop("nothing was tested: all that is picked is unimplemented; --verbose shows why".into()));
        }
        let right = self.results.unexpected().is_empty() && unknown.is_empty() && unsteady.is_empty();
        Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Writes the reports: each that can be.
    fn write(&self) -> Result<(), Stop> {
        let Reporting { json, junit, html, .. } = self.reporting;
        let to =
            |path: &Option<PathBuf>, text: &dyn Fn() -> String| path.as_ref().map_or(Ok(()), |path| write(path, &text()));
        let as_json =
            || serde_json::to_string_pretty(&self.results).map_or_else(|error| error.to_string(), |json| json + "\n");
        let written = [
            to(json, &as_json),
            to(junit, &|| junit::write(&self.results)),
            to(html, &|| html::write(std::slice::from_ref(&self.results))),
        ];
        let failed: Vec<_> = written.into_iter().filter_map(Result::err).map(|stop| stop.to_string()).collect();
        if failed.is_empty() { Ok(()) } else { Err(Stop(failed.join("\n"))) }
    }
}
