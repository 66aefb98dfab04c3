//! `aemp-conformance node`.

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use aemp_conformance::cases;
use aemp_conformance::run;
use aemp_conformance::subject::{Feature, Level, Subject};
use aemp_conformance::test::{Bench, Source};
use aemp_proto::framing::Framing;
use clap::Args;

use super::selection::Selection;
use super::{Stop, say};

#[derive(Args)]
pub(crate) struct Node {
    #[command(flatten)]
    selection: Selection,
    /// The address of a node that runs already
    #[arg(long, value_name = "HOST:PORT", requires = "secret_file", conflicts_with = "command")]
    connect: Option<String>,
    /// A file with the secret of that node, whose last line end does not count
    #[arg(long, value_name = "FILE", requires = "connect")]
    secret_file: Option<PathBuf>,
    /// The highest level to test: of that node; or below that which the program says it has
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// What that node can do besides; may be given more than once
    #[arg(long, value_enum, value_name = "FEATURE", requires = "connect")]
    feature: Vec<Feature>,
    /// Only this framing; may be given more than once. By default all that the node has
    #[arg(long, value_name = "NAME", value_parser = framing)]
    framing: Vec<Framing>,
    /// The command that starts a node, as PROTOCOL.md describes
    #[arg(last = true, value_name = "CMD", required_unless_present_any = ["connect", "list"])]
    command: Vec<String>,
}

fn framing(name: &str) -> Result<Framing, String> {
    Framing::from_name(name).ok_or_else(|| "there are json, cbor and storable".into())
}

impl Node {
    fn source(&self) -> Result<Source, Stop> {
        let (Some(address), Some(file)) = (&self.connect, &self.secret_file) else {
            return Ok(Source::Command(self.command.clone()));
        };
        let found = address.to_socket_addrs().ok().and_then(|mut found| found.next());
        let address = found.ok_or_else(|| Stop(format!("--connect: {address} is no address")))?;
        let secret =
            std::fs::read_to_string(file).map_err(|error| Stop(format!("--secret-file {}: {error}", file.display())))?;
        let secret = secret.strip_suffix('\n').map_or(&*secret, |line| line.strip_suffix('\r').unwrap_or(line));
        let secret = secret.chars().map(|char| u8::try_from(u32::from(char))).collect::<Result<_, _>>();
        let secret = secret.map_err(|_| Stop("--secret-file: it has a character above U+00FF [AUTH-23]".into()))?;
        let features = [&self.feature[..], &[Feature::Listen]].concat();
        let subject = Subject::running(address, self.level.unwrap_or(Level::Transport), &features);
        Ok(Source::Running { subject: Arc::new(subject), secret })
    }

    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        if self.selection.list {
            for case in cases::all().into_iter().filter(|case| self.selection.wants(case.name)) {
                say(format_args!("{} ({:?}) {}\n    {}", case.name, case.level, case.proves.join(" "), case.about));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let bench = Bench::new(self.source()?, self.selection.patience()?);
        let (mut declared, ready) = run::declared(&bench)?;
        declared.level = self.level.map_or(declared.level, |level| level.min(declared.level));
        let has = declared.framings();
        let framings: Vec<_> = if self.framing.is_empty() { has } else { self.framing.clone() };
        let planned = run::plan(&cases::all(), &framings, |name| self.selection.wants(name));
        let planned = self.selection.order(&planned);
        let mut report = self.selection.report(&ready.name, &ready.version, Some(ready.clone()), planned.len())?;
        run::run(&bench, &planned, &declared, self.selection.jobs(), |outcome| report.take(outcome));
        report.end()
    }
}
