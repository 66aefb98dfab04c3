//! `aemp-conformance report`.

use std::path::PathBuf;
use std::process::ExitCode;

use aemp_conformance::report::{Results, html};
use clap::Args;

use super::{Stop, write};

#[derive(Args)]
pub(crate) struct Report {
    /// The page to write
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    /// Results that --json has written
    #[arg(value_name = "JSON", required = true)]
    results: Vec<PathBuf>,
}

impl Report {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let read = |path: &PathBuf| -> Result<Results, Stop> {
            let read = serde_json::from_str(&super::read(path)?);
            read.map_err(|error| Stop(format!("{} is nothing that --json has written: {error}", path.display())))
        };
        let results = self.results.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        write(&self.html, &html::write(&results))?;
        Ok(ExitCode::SUCCESS)
    }
}
