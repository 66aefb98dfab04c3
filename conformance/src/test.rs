//! What a case has in its hands while it runs.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aemp_proto::framing::Framing;

use crate::case::Case;
use crate::certificates::Certificates;
use crate::failure::{Failure, Step};
use crate::hidden::Hidden;
use crate::peer::{Greets, Peer};
use crate::subject::{Level, Start, Subject};
use crate::wire::Log;

/// Where nodes under test come from.
pub enum Source {
    /// The suite starts them with this command.
    Command(Vec<String>),
    /// One runs already.
    Running {
        /// That one.
        subject: Arc<Subject>,
        /// The secret that it knows.
        secret: Vec<u8>,
    },
}

/// What all cases of one run share.
pub struct Bench {
    /// Where nodes under test come from.
    pub source: Source,
    /// How long to wait for what has to come.
    pub patience: Duration,
    /// How long a node may take until it is ready.
    pub starting: Duration,
    /// Whether the suite writes text in cbor as byte strings, as nodes of the reference do.
    pub octets: bool,
    /// The secret of a node that runs already: it belongs to somebody.
    hidden: Option<Arc<Hidden>>,
    /// Nodes that were started and serve more than one case.
    shared: Mutex<HashMap<Start, Arc<Subject>>>,
    certificates: OnceLock<Step<Certificates>>,
}

/// How long a node may take by default until it is ready.
pub const STARTING: Duration = Duration::from_secs(20);

impl Bench {
    /// A bench without nodes.
    pub fn new(source: Source, patience: Duration) -> Self {
        let hidden = match &source {
            Source::Running { secret, .. } => Some(Arc::new(Hidden::new(secret))),
            Source::Command(_) => None,
        };
        let (shared, certificates) = (Mutex::default(), OnceLock::new());
        Bench { source, patience, starting: STARTING, octets: false, hidden, shared, certificates }
    }

    /// What nobody is to read in a report.
    pub(crate) fn hidden(&self) -> Option<&Hidden> {
        self.hidden.as_deref()
    }

    /// A node of its own, started now.
    fn start(&self, start: &Start) -> Step<Arc<Subject>> {
        match &self.source {
            Source::Command(command) => Subject::start(command, start, self.starting).map(Arc::new),
            Source::Running { .. } => Err(Failure::Unimplemented("this needs a node that the suite starts itself".into())),
        }
    }

    /// A node that runs as `start` says, and may serve other cases, too.
    pub fn shared(&self, start: &Start) -> Step<Arc<Subject>> {
        if let Source::Running { subject, .. } = &self.source {
            return if *start == Start::default() { Ok(subject.clone()) } else { self.start(start) };
        }
        // Held while it starts: whoever needs the same one waits.
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(subject) = shared.get(start).filter(|subject| subject.lives()) {
            return Ok(subject.clone());
        }
        let subject = self.start(start)?;
        shared.insert(start.clone(), subject.clone());
        Ok(subject)
    }
}

/// A remark on something that a node should do and does not.
#[derive(Debug, Clone)]
pub struct Remark {
    /// The requirement.
    pub requirement: &'static str,
    /// What should have happened.
    pub expected: String,
    /// What happened.
    pub actual: String,
}

/// What a case has in its hands while it runs.
pub struct Test<'b> {
    /// What passes on the connections of the case.
    pub log: Log,
    /// The framing in which the suite sends and receives, unless the case says otherwise.
    pub framing: Framing,
    /// How long to wait for what has to come.
    pub patience: Duration,
    bench: &'b Bench,
    case: &'b Case,
    subjects: Vec<Arc<Subject>>,
    ends: Option<Peer>,
    outcome: Option<&'static str>,
    remarks: Vec<Remark>,
}

impl<'b> Test<'b> {
    /// For one run of a case.
    pub fn new(bench: &'b Bench, case: &'b Case, framing: Framing) -> Self {
        Test {
            log: Log::new(bench.hidden.clone()),
            framing,
            patience: bench.patience,
            bench,
            case,
            subjects: Vec::new(),
            ends: None,
            outcome: None,
            remarks: Vec::new(),
        }
    }

    /// The certificates of this run.
    pub fn certificates(&self) -> Step<&'b Certificates> {
        self.bench.certificates.get_or_init(Certificates::new).as_ref().map_err(Failure::clone)
    }

    /// The name of the case.
    pub fn name(&self) -> &'static str {
        self.case.name
    }

    /// The requirement that the case proves first.
    pub fn proves(&self) -> &'static str {
        self.case.proves.first().copied().unwrap_or_default()
    }

    /// Uses a node that runs as by default, with these changes, and may serve other cases at the same time.
    pub fn subject(&mut self, change: impl FnOnce(&mut Start)) -> Step<Arc<Subject>> {
        let mut start = Start::default();
        change(&mut start);
        let subject = self.bench.shared(&start)?;
        self.subjects.push(subject.clone());
        Ok(subject)
    }

    /// Starts a node for this case only.
    pub fn start(&mut self, change: impl FnOnce(&mut Start)) -> Step<Arc<Subject>> {
        let mut start = Start { node: unique("subject")?, ..Start::default() };
        change(&mut start);
        self.log.note(0, format!("a node under test is started: {}", serde_json::to_string(&start).unwrap_or_default()));
        let subject = self.bench.start(&start)?;
        self.subjects.push(subject.clone());
        Ok(subject)
    }

    /// What this side greets with by default: as a node that is there to stay would, under an ID that nobody had before.
    pub fn greets(&self) -> Step<Greets> {
        let mut greets = Greets::new(&unique("suite")?, &["hmac_sha3_512", "hmac_sha2_256"], &[self.framing.name()])?;
        if self.case.level >= Level::Node {
            greets.keys.push("mproto=1".into());
        }
        if self.case.level >= Level::Global {
            greets.keys.push("gproto=1".into());
        }
        Ok(greets)
    }

    fn peer(&self, stream: TcpStream) -> Step<Peer> {
        let mut peer = Peer::new(stream, self.greets()?, self.log.clone(), self.patience)?;
        peer.sends = self.framing;
        peer.octets = self.bench.octets;
        if let Source::Running { secret, .. } = &self.bench.source {
            peer.secret = Some(secret.clone());
        }
        Ok(peer)
    }

    /// Connects to a node that listens. Nothing is sent yet.
    pub fn dial(&mut self, subject: &Subject) -> Step<Peer> {
        let Some(address) = subject.address else {
            return Err(Failure::Unimplemented("this needs a node that listens".into()));
        };
        let stream = TcpStream::connect_timeout(&address, self.patience)
            .map_err(|error| Failure::wrong(format!("a listener at {address}"), error))?;
        self.peer(stream)
    }

    /// Connects to the default node. Nothing is sent yet.
    pub fn connect(&mut self) -> Step<Peer> {
        let subject = self.subject(|_| {})?;
        self.dial(&subject)
    }

    /// A connection to the default node that has come up.
    ///
    /// A client of level *simple* that does not listen is started for this, and connects.
    pub fn up(&mut self) -> Step<Peer> {
        let subject = self.subject(|_| {})?;
        if subject.address.is_none() {
            return self.opened(|_| {});
        }
        let mut peer = self.dial(&subject)?;
        peer.handshake()?;
        Ok(peer)
    }

    /// A connection to a node that listens, which has come up.
    pub fn up_at(&mut self, subject: &Subject) -> Step<Peer> {
        let mut peer = self.dial(subject)?;
        peer.handshake()?;
        Ok(peer)
    }

    /// The same, as a node that may have been connected before: tried until the node under test has found out that the old
    /// connection is lost.
    pub fn up_again(&mut self, subject: &Subject, node: &str) -> Step<Peer> {
        let until = Instant::now() + self.patience;
        loop {
            let mut peer = self.dial(subject)?;
            peer.greets.node = node.to_owned();
            match peer.handshake() {
                Ok(()) => return Ok(peer),
                Err(failure) if Instant::now() >= until => return Err(failure),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// A place where nodes can connect to.
    pub fn listener(&self) -> Step<Listener> {
        self.listener_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same, at this address.
    pub fn listener_at(&self, address: SocketAddr) -> Step<Listener> {
        let listener = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        listener
            .map(|(address, listener)| Listener { listener, address })
            .map_err(|error| Failure::suite("a listener", &error))
    }

    /// An address at which nobody listens, for a node to listen at: where the system has further loopback addresses, on one
    /// of its own, so that no connection, and no listener at a port of the system's choice, takes it meanwhile.
    pub fn vacant(&self) -> Step<SocketAddr> {
        let mut random = [0; 3];
        getrandom::fill(&mut random).map_err(|error| Failure::Suite(error.to_string()))?;
        let [first, second, third] = random;
        let own = SocketAddr::from(([127, first.max(1), second, third.clamp(1, 254)], 0));
        self.listener_at(own).or_else(|_| self.listener()).map(|listener| listener.address)
    }

    /// Waits for a connection.
    pub fn accept(&mut self, listener: &Listener) -> Step<Peer> {
        self.accept_within(listener, self.patience)?.ok_or_else(|| {
            let failure = Failure::wrong(format!("a connection to {}, which `seeds` names", listener.address), "none came");
            if self.case.level == Level::Global { failure.breaks("GLOBAL-4") } else { failure }
        })
    }

    /// Waits for a connection, if one comes in this time.
    pub fn accept_within(&mut self, listener: &Listener, time: Duration) -> Step<Option<Peer>> {
        let until = Instant::now() + time;
        loop {
            match listener.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(|error| Failure::suite("a connection", &error))?;
                    return self.peer(stream).map(Some);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(Failure::suite("a listener", &error)),
            }
        }
    }

    /// A connection that a node, started for this with the suite as its seed, has opened. Nothing is sent yet.
    pub fn dialled(&mut self, change: impl FnOnce(&mut Start)) -> Step<Peer> {
        let listener = self.listener()?;
        self.start(|start| {
            start.seeds = vec![listener.address.to_string()];
            change(start);
        })?;
        self.accept(&listener)
    }

    /// The same, and it has come up.
    pub fn opened(&mut self, change: impl FnOnce(&mut Start)) -> Step<Peer> {
        let mut peer = self.dialled(change)?;
        peer.handshake()?;
        Ok(peer)
    }

    /// The connection whose end is judged when the case has done its part.
    pub fn ends(&mut self, peer: Peer) {
        self.ends = Some(peer);
    }

    /// What came of it, where several outcomes are allowed.
    pub fn outcome(&mut self, outcome: &'static str) {
        self.log.note(0, format!("outcome: {outcome}"));
        self.outcome = Some(outcome);
    }

    /// Remarks, unless `right`, that something should be otherwise. The case goes on.
    pub fn should(
        &mut self,
        requirement: &'static str,
        right: bool,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) {
        if !right {
            self.remarks.push(Remark { requirement, expected: expected.into(), actual: actual.into() });
        }
    }

    /// What the runner judges in the end.
    pub(crate) fn results(&mut self) -> (Option<Peer>, Option<&'static str>, Vec<Remark>) {
        (self.ends.take(), self.outcome, std::mem::take(&mut self.remarks))
    }

    /// The nodes that served the case.
    pub(crate) fn subjects(&self) -> &[Arc<Subject>] {
        &self.subjects
    }
}

/// A place where nodes can connect to.
pub struct Listener {
    listener: TcpListener,
    /// Where it is.
    pub address: SocketAddr,
}

/// A name that nobody had before.
pub fn unique(prefix: &str) -> Step<String> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(|error| Failure::Suite(error.to_string()))?;
    Ok(format!("{prefix}-{}", crate::hex::hex(&random)))
}
