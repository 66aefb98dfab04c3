//! Which cases are picked, by their names.

use std::time::Duration;

use aemp_conformance::pattern;
use clap::Args;

use super::Stop;

/// Which cases are picked, and how long each waits.
#[derive(Args)]
pub(super) struct Selection {
    /// Runs only cases whose names have this in them, or fit a pattern with *; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    run: Vec<String>,
    /// Leaves out cases whose names have this in them, or fit a pattern with *; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    skip: Vec<String>,
    /// Seconds to wait for what has to come
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) patience: Duration,
}

impl Selection {
    pub(super) fn wants(&self, name: &str) -> bool {
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| pattern::fits(pattern, name));
        (self.run.is_empty() || fits(&self.run)) && !fits(&self.skip)
    }

    /// Refuses what fits none of all names there are, and what leaves nothing of them.
    pub(super) fn check(&self, names: &[String]) -> Result<(), Stop> {
        let in_vain = |pattern: &&String| !names.iter().any(|name| pattern::fits(pattern, name));
        if let Some(pattern) = self.run.iter().find(in_vain) {
            return Err(Stop(format!("--run {pattern}: no case has such a name; --list shows all names")));
        }
        if names.iter().any(|name| self.wants(name)) {
            return Ok(());
        }
        Err(Stop("nothing is left to run: --skip leaves out all that is picked".into()))
    }
}

/// A time that somebody has written: more than none.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| "a number of seconds above 0 is needed, such as 0.5".into())
}

/// How many cases run at the same time: at least one.
pub(super) fn jobs() -> impl clap::builder::TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(1..=1000)
}
