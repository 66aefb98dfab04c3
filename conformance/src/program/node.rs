//! `aemp-conformance node`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aemp_conformance::cases;
use aemp_conformance::run::{self, Declared, Planned};
use aemp_conformance::subject::{Feature, Level, Subject};
use aemp_conformance::test::{Bench, Source};
use aemp_proto::framing::Framing;
use aemp_proto::line::MAX_LINE;
use clap::Args;

use super::reporting::Reporting;
use super::selection::{Selection, jobs, seconds};
use super::{Stop, say};

const FRAMINGS: [Framing; 3] = [Framing::Json, Framing::Cbor, Framing::Storable];

const USAGE: &str = "aemp-conformance node [OPTIONS] -- <CMD>...
       aemp-conformance node [OPTIONS] --connect <HOST:PORT> --secret-file <FILE>
       aemp-conformance node [OPTIONS] --list";

#[derive(Args)]
#[command(override_usage = USAGE)]
pub(crate) struct Node {
    #[command(flatten)]
    selection: Selection,
    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = jobs())]
    jobs: u16,
    /// Seconds until a node has to be ready that the suite starts
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    starting: Duration,
    #[command(flatten)]
    reporting: Reporting,
    /// The address of a node that runs already. What needs a node that the suite starts itself is reported as unimplemented
    #[arg(long, value_name = "HOST:PORT", requires = "secret_file", conflicts_with = "command")]
    connect: Option<String>,
    /// A file with the secret of that node, whose last line end does not count
    #[arg(long, value_name = "FILE", requires = "connect", conflicts_with = "command")]
    secret_file: Option<PathBuf>,
    /// The highest level to test: of that node, if not transport; or below that which the program says it has
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// What that node can do besides what its greeting says; may be given more than once
    #[arg(long, value_enum, value_name = "FEATURE", requires = "connect", conflicts_with = "command")]
    feature: Vec<Feature>,
    /// Only this framing; may be given more than once. By default all that the node has
    #[arg(long, value_name = "NAME", value_parser = framing)]
    framing: Vec<Framing>,
    /// Writes text in cbor as byte strings, keys included, as nodes of the reference do: it means the same
    #[arg(long)]
    octets: bool,
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
        let secret = read_secret(file)?;
        let (address, greeting) = self.reached(address)?;
        let features = [&self.feature[..], &offered(&greeting), &[Feature::Listen]].concat();
        let subject = Subject::running(address, self.level.unwrap_or(Level::Transport), &features);
        Ok(Source::Running { subject: Arc::new(subject), secret })
    }

    /// The address behind a name at which somebody listens, and the first line that is said there: a host may have several
    /// addresses.
    fn reached(&self, name: &str) -> Result<(SocketAddr, String), Stop> {
        let found = name.to_socket_addrs().map_err(|error| Stop(format!("--connect {name}: no such HOST:PORT: {error}")))?;
        let mut refused = "the host has no address".to_owned();
        for address in found {
            match TcpStream::connect_timeout(&address, self.selection.patience) {
                Ok(stream) => return Ok((address, first_line(stream, self.selection.patience))),
                Err(error) => refused = error.to_string(),
            }
        }
        Err(Stop(format!("--connect {name}: no node listens there: {refused}")))
    }

    fn framings(&self, declared: &Declared) -> Result<Vec<Framing>, Stop> {
        let has = declared.framings();
        if let Some(lacks) = self.framing.iter().find(|framing| !has.contains(framing)) {
            let has = has.iter().map(|framing| framing.name()).collect::<Vec<_>>().join(", ");
            return Err(Stop(format!("--framing {lacks}: the node has {has} only")));
        }
        Ok(has.into_iter().filter(|framing| self.framing.is_empty() || self.framing.contains(framing)).collect())
    }

    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let all = cases::all();
        let names: Vec<_> = run::plan(&all, &FRAMINGS, |_| true).iter().map(Planned::name).collect();
        self.selection.check(&names)?;
        if self.reporting.list {
            let framings = if self.framing.is_empty() { &FRAMINGS[..] } else { &self.framing };
            for case in
                all.into_iter().filter(|case| !run::plan(&[*case], framings, |name| self.selection.wants(name)).is_empty())
            {
                let needs: String = case.needs.iter().map(|feature| format!(", {}", feature.name())).collect();
                let level = case.level.name();
                say(format_args!("{} ({level}{needs}) {}\n    {}", case.name, case.proves.join(" "), case.about));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let expected = self.reporting.prepare()?;
        let mut bench = Bench::new(self.source()?, self.selection.patience);
        bench.starting = self.starting;
        bench.octets = self.octets;
        let (mut declared, ready) = run::declared(&bench)?;
        declared.level = self.level.map_or(declared.level, |level| level.min(declared.level));
        let framings = self.framings(&declared)?;
        let planned = run::plan(&all, &framings, |name| self.selection.wants(name));
        if planned.is_empty() {
            return Err(Stop("nothing is left to run: the node does not have the framing that is picked".into()));
        }
        let planned = self.reporting.order(&planned);
        let tested = (&*ready.name, &*ready.version);
        let mut report = self.reporting.report(expected, tested, Some(ready.clone()), planned.len());
        let jobs = if self.reporting.first { 1 } else { self.jobs.into() };
        run::run(&bench, &planned, &declared, jobs, |outcome| report.take(outcome));
        report.end(&names)
    }
}

/// The first line that is said on a connection, as far as it comes in time and is of a length that a greeting may have. What
/// is wrong with it, the cases find.
fn first_line(stream: TcpStream, patience: Duration) -> String {
    let mut line = String::new();
    if stream.set_read_timeout(Some(patience)).is_ok() {
        // What has come until an error is as much as there is.
        let _ = BufReader::new(stream.take(MAX_LINE as u64)).read_line(&mut line);
    }
    line
}

/// What a greeting says that a node can do: its framings, and its methods that work without TLS.
fn offered(greeting: &str) -> Vec<Feature> {
    let names: Vec<_> = greeting.split(';').skip(3).take(2).flat_map(|list| list.trim_end().split(',')).collect();
    let known = [Feature::Cbor, Feature::Storable, Feature::HmacSha3_512, Feature::HmacSha2_256];
    known.into_iter().filter(|feature| names.contains(&&*feature.name())).collect()
}

/// The octets of a secret that is given as a text.
fn read_secret(file: &Path) -> Result<Vec<u8>, Stop> {
    let refused = |what: &str| Stop(format!("--secret-file {}: {what}", file.display()));
    let octets = std::fs::read(file).map_err(|error| refused(&format!("it cannot be read: {error}")))?;
    let text = String::from_utf8(octets).map_err(|_| refused("it is no text in UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return Err(refused("it has no secret in it, and no node may use an empty one [AUTH-20]"));
    }
    let octets = text.chars().map(|char| u8::try_from(u32::from(char))).collect::<Result<_, _>>();
    octets.map_err(|_| refused("a secret has no characters above U+00FF [AUTH-23]"))
}
