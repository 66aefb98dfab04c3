//! The node under test: how it is started, and what it says it can do. `PROTOCOL.md`, part 2, describes the lines.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Step};
use crate::wire::shortened;

/// How much of a node is there. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Connects, authenticates, reads and writes packets.
    Simple,
    /// Also listens, verifies, refuses, holds limits.
    Transport,
    /// Ports, watches, spawning, requests.
    Node,
    /// Discovery and the database.
    Global,
}

impl Level {
    /// The name in lines and reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Simple => "simple",
            Level::Transport => "transport",
            Level::Node => "node",
            Level::Global => "global",
        }
    }
}

/// What a node may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
#[expect(missing_docs, reason = "PROTOCOL.md describes them")]
pub enum Feature {
    Cbor,
    Storable,
    #[serde(rename = "hmac_sha3_512")]
    #[value(name = "hmac_sha3_512")]
    HmacSha3_512,
    #[serde(rename = "hmac_sha2_256")]
    #[value(name = "hmac_sha2_256")]
    HmacSha2_256,
    Cleartext,
    Listen,
    Tls,
    Secure,
    Rotation,
    Limits,
    Silence,
    Arbiter,
    Logs,
    Dataconn,
}

impl Feature {
    /// The name on the wire and in reports.
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// How the node under test is to run: the first line that it is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "PROTOCOL.md describes them")]
pub struct Start {
    pub node: String,
    pub listen: Option<String>,
    pub seeds: Vec<String>,
    pub secret: Option<String>,
    pub further_secrets: Vec<String>,
    pub allow: Vec<String>,
    pub framings: Vec<String>,
    pub certificate: Option<PathBuf>,
    pub authorities: Vec<PathBuf>,
    pub trust: Vec<PathBuf>,
    pub bind_names: bool,
    pub plain: bool,
    pub global: bool,
    pub secure: bool,
    pub timeouts: Timeouts,
    pub limits: Limits,
}

/// Times, in milliseconds here, and in seconds in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "PROTOCOL.md describes them")]
pub struct Timeouts {
    #[serde(with = "seconds")]
    pub handshake: Duration,
    #[serde(with = "seconds")]
    pub connect: Duration,
    #[serde(with = "seconds")]
    pub silence: Duration,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Limits; none: the node's own choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "PROTOCOL.md describes them")]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub octets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub families: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawned: Option<u64>,
}

impl Default for Start {
    fn default() -> Self {
        Start {
            node: "subject".into(),
            listen: Some("127.0.0.1:0".into()),
            seeds: Vec::new(),
            secret: Some("swordfish".into()),
            further_secrets: Vec::new(),
            allow: Vec::new(),
            framings: vec!["cbor".into(), "json".into(), "storable".into()],
            certificate: None,
            authorities: Vec::new(),
            trust: Vec::new(),
            bind_names: false,
            plain: false,
            global: false,
            secure: false,
            timeouts: Timeouts {
                handshake: Duration::from_secs(20),
                connect: Duration::from_secs(2),
                silence: Duration::from_secs(60),
            },
            limits: Limits::default(),
        }
    }
}

/// What the node under test says when it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Where it listens.
    #[serde(default)]
    pub listen: Vec<String>,
    /// Its name, for reports.
    #[serde(default)]
    pub name: String,
    /// Its version, for reports.
    #[serde(default)]
    pub version: String,
    /// The highest level that it has.
    pub level: Level,
    /// What else it can do.
    #[serde(default)]
    pub features: Vec<KnownOr>,
}

/// A feature, or a name that this suite does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KnownOr {
    /// One that the suite knows.
    Known(Feature),
    /// Another one.
    Other(String),
}

impl Ready {
    /// The features that the suite knows.
    pub fn features(&self) -> BTreeSet<Feature> {
        self.features
            .iter()
            .filter_map(|feature| if let KnownOr::Known(known) = feature { Some(*known) } else { None })
            .collect()
    }
}

/// The end of what a process says on standard error.
pub(crate) type Said = Arc<Mutex<String>>;

/// A node under test that runs.
#[derive(Debug)]
pub struct Subject {
    /// Its node ID, where it was started by us.
    pub node: String,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// What it said when it was ready.
    pub ready: Ready,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Closed, it tells the process to end.
    stdin: Option<ChildStdin>,
    errors: Said,
    listener: JoinHandle<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then, and waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Subject {
    /// Octets of standard error that are kept.
    const ERRORS: usize = 8 << 10;

    /// A node that runs already, and was not started by us.
    pub fn running(address: SocketAddr, level: Level, features: &[Feature]) -> Self {
        let features = features.iter().copied().map(KnownOr::Known).collect();
        let (name, version) = (address.to_string(), String::new());
        let ready = Ready { listen: vec![address.to_string()], name, version, level, features };
        Subject { node: String::new(), address: Some(address), ready, process: Mutex::new(None) }
    }

    /// Starts a node, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start, or does not say in time that it is ready.
    pub fn start(command: &[String], start: &Start, patience: Duration) -> Step<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::Suite("there is no command to start".into()));
        };
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().map_err(|error| Failure::suite(format!("{program} does not start"), &error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::Suite("a process without standard streams".into()));
        };
        let errors = Said::default();
        let listener = keep_the_end_of(stderr, errors.clone());
        let (line, first_line) = mpsc::channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            // Nobody may be waiting for it any more.
            let _ = line.send(lines.next());
            // Whatever else it says must not make it wait.
            for _ in lines.map_while(Result::ok) {}
        });
        let mut text = serde_json::to_string(start).map_err(|error| Failure::Suite(error.to_string()))?;
        text.push('\n');
        // If it has ended already, reading tells more.
        let _ = stdin.write_all(text.as_bytes());
        let process = Process { child, stdin: Some(stdin), errors, listener };
        let said = match first_line.recv_timeout(patience) {
            Ok(Some(Ok(line))) => line,
            Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                return Err(process.not_ready("the node has ended, or closed its output, and was not ready"));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(process.not_ready(&format!(
                    "the node did not say within {patience:?} that it is ready (does it flush its output?)"
                )));
            }
        };
        let ready = match read_ready(&said) {
            Ok(ready) => ready,
            Err(what) => return Err(process.not_ready(&what)),
        };
        let address = match (ready.listen.first(), &start.listen) {
            (Some(address), Some(_)) => match address.to_socket_addrs().ok().and_then(|mut found| found.next()) {
                None => return Err(process.not_ready(&format!("the node listens at {address:?}, which is no address"))),
                found => found,
            },
            _ => None,
        };
        Ok(Subject { node: start.node.clone(), address, ready, process: Mutex::new(Some(process)) })
    }

    /// Ends it at once, as a crash would, and waits until it is gone.
    pub fn kill(&self) {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    }

    /// The process ID, if we have started it and it has not been killed.
    pub fn id(&self) -> Option<u32> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref().map(|process| process.child.id())
    }

    /// Whether it still runs, as far as we can know.
    pub fn lives(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        process.as_mut().is_none_or(|process| matches!(process.child.try_wait(), Ok(None)))
    }

    /// The end of what it said on standard error.
    pub fn errors(&self) -> String {
        let process = self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        process.as_ref().map(Process::said).unwrap_or_default()
    }
}

/// Reads the line of a node that is ready; or what is to be said about it.
fn read_ready(line: &str) -> Result<Ready, String> {
    let shown = shortened(line, 400);
    let json: serde_json::Value =
        serde_json::from_str(line).map_err(|error| format!("the node said {shown:?}, which is no JSON: {error}"))?;
    if json["ready"] == false {
        return Err(format!(
            "the node says that it cannot start: {}",
            json["error"].as_str().unwrap_or("it does not say why")
        ));
    }
    if !json.is_object() {
        return Err(format!("the node said {shown:?}, which is no object"));
    }
    serde_json::from_value(json).map_err(|error| format!("the node said {shown:?}, which is not of the right form: {error}"))
}

impl Process {
    fn said(&self) -> String {
        self.errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn not_ready(mut self, actual: &str) -> Failure {
        // What it said last is often why, and may still be on its way; something that it has started may keep the stream
        // open.
        drop(self.stdin.take());
        let (waiting, _) = (Instant::now(), self.child.kill());
        while !self.listener.is_finished() && waiting.elapsed() < LAST_WORDS {
            thread::sleep(Duration::from_millis(2));
        }
        let said = self.said();
        let errors = said.trim();
        let errors = if errors.is_empty() { String::new() } else { format!("\nits standard error ends with:\n{errors}") };
        Failure::wrong(
            "one line, with `ready` and `level`, that says that it is ready (PROTOCOL.md, part 2)",
            format!("{actual}{errors}"),
        )
    }
}

/// How long what a node has said before its end may be on its way.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Keeps the end of what comes from a stream, until it ends.
pub(crate) fn keep_the_end_of(mut stream: impl std::io::Read + Send + 'static, said: Said) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.by_ref().read(&mut piece) {
            let mut said = said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            said.push_str(&String::from_utf8_lossy(&piece[..length]));
            let too_much = said.len().saturating_sub(Subject::ERRORS);
            let start = (too_much..=said.len()).find(|at| said.is_char_boundary(*at)).unwrap_or(0);
            said.drain(..start);
        }
    })
}
