//! `aemp-conformance requirements`.

use std::path::PathBuf;
use std::process::ExitCode;

use aemp_conformance::appendix;
use clap::Args;

use super::{Stop, say, tell, write};

#[derive(Args)]
pub(crate) struct Requirements {
    /// Writes the list to this file, as it stands in the specification
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

impl Requirements {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        match &self.write {
            Some(path) => write(path, &appendix::write())?,
            None => say(appendix::write().trim_end()),
        }
        let missing = appendix::missing();
        missing
            .iter()
            .for_each(|requirement| tell(format_args!("nothing shows [{}] {}", requirement.id, requirement.sentence)));
        Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
