//! TLS that ends in the front: to the peer the front is the node, to the node it is the peer.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aemp_proto::auth::{Method, Transcript};
use rustls::{Connection, Error, ProtocolVersion};

use super::handshake::lines;
use super::judge::{Judging, Names, Takes, Trust};
use super::{Between, Way};
use crate::certificates::{self, Identity};
use crate::failure::Step;
use crate::subject::Start;
use crate::tls::{Asks, BOTH, Part, Side, TakesAll, Versions};

/// What a wrong node presents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Presents {
    /// What it was told to.
    #[default]
    Own,
    /// What it has made itself.
    Another,
    /// Nothing, where it is the TLS client.
    Nothing,
}

/// How a wrong node ends TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Closes {
    /// It says so when it does, and knows when the other side has not.
    #[default]
    Right,
    /// It does not say so.
    Unsaid,
    /// It takes any end of the other side for one that was said.
    AsIfSaid,
    /// It stays when TLS has failed.
    UnlessFailed,
}

/// Changes octets.
type Change = fn(&mut [u8]);

/// Answers octets, or does not.
type Answer = fn(&[u8]) -> Option<Vec<u8>>;

/// What is wrong with TLS, towards the peers of the node.
#[derive(Clone, Copy)]
pub(crate) struct Secures {
    pub(crate) takes: Takes,
    pub(crate) names: Names,
    pub(crate) asks: Asks,
    pub(crate) presents: Presents,
    pub(crate) closes: Closes,
    /// The versions in which whoever has a certificate need not have its key.
    pub(crate) unproven: &'static [ProtocolVersion],
    /// The versions that it has.
    pub(crate) versions: Versions,
    /// Which part it plays, with its own nonce and that of the other side; true: it has opened the connection.
    pub(crate) part: fn(&[u8], &[u8], bool) -> Part,
    /// Takes any authentication line for one that is right.
    pub(crate) believes: bool,
    /// Says a server name.
    pub(crate) names_server: bool,
    /// Changes the first octets that it sends.
    pub(crate) first_octets: Option<Change>,
    /// Answers the first octets of a peer in place of TLS, if it wants to.
    pub(crate) answers: Option<Answer>,
}

impl Default for Secures {
    fn default() -> Self {
        Secures {
            takes: Takes::default(),
            names: Names::default(),
            asks: Asks::default(),
            presents: Presents::default(),
            closes: Closes::default(),
            unproven: &[],
            versions: BOTH,
            part: |own, other, _| by_nonces(own, other),
            believes: false,
            names_server: false,
            first_octets: None,
            answers: None,
        }
    }
}

/// The part of a side that is right (`TLS-3`).
pub(crate) fn by_nonces(own: &[u8], other: &[u8]) -> Part {
    if own < other { Part::Client } else { Part::Server }
}

/// How TLS ends in the front, on every connection.
pub(super) struct Securing {
    wrong: Secures,
    own: Identity,
    presents: Option<Identity>,
    trust: Arc<Trust>,
}

impl Securing {
    /// For a node that runs as `start` says; none if that has no TLS. The node binds no names then: it sees its own
    /// certificate only.
    pub(super) fn new(wrong: Secures, start: &mut Start) -> Step<Option<Self>> {
        let Some(file) = &start.certificate else { return Ok(None) };
        let own = Identity::read(file)?;
        let trust = Arc::new(Trust::of(start, &own)?);
        start.bind_names = false;
        let presents = match wrong.presents {
            Presents::Own => Some(own.clone()),
            Presents::Another => Some(certificates::shared(false)?),
            Presents::Nothing => None,
        };
        Ok(Some(Securing { wrong, own, presents, trust }))
    }

    /// TLS on a connection behind whose greetings it begins.
    pub(super) fn begin(&self, between: &Between, node: &TcpStream, other: &TcpStream) -> Result<Secured, Error> {
        let nonce = |lines: &[Vec<u8>]| lines.get(1).cloned().unwrap_or_default();
        let (own, others) = (nonce(&between.node.seen), nonce(&between.other.sent));
        let part = (self.wrong.part)(&own, &others, between.opened);
        let judge = Judging {
            trust: self.trust.clone(),
            takes: self.wrong.takes,
            names: self.wrong.names,
            asks: self.wrong.asks,
            unproven: self.wrong.unproven,
            peer: between.peer.clone(),
        };
        let to_other = Side {
            part,
            // A TLS server has to present something.
            identity: self.presents.as_ref().or((part == Part::Server).then_some(&self.own)),
            versions: self.wrong.versions,
            judge: Arc::new(judge),
            names_server: self.wrong.names_server,
        };
        let to_node = Side {
            part: by_nonces(&nonce(&between.node.sent), &nonce(&between.other.seen)).other(),
            identity: Some(&self.own),
            versions: BOTH,
            judge: Arc::new(TakesAll),
            names_server: false,
        };
        let secured = Secured {
            node: End::new(to_node.connection()?, node)?,
            other: End::new(to_other.connection()?, other)?,
            closes: self.wrong.closes,
            proof: self.wrong.believes.then(|| proof(between)).flatten(),
            answers: self.wrong.answers,
        };
        // Whoever is the TLS client begins; that it cannot is seen when something is read.
        let _ = secured.node.send(None);
        let _ = secured.other.send(self.wrong.first_octets);
        Ok(secured)
    }
}

/// A connection with TLS to both sides.
pub(super) struct Secured {
    node: End,
    other: End,
    closes: Closes,
    /// What the node is shown in the place of the method and the token of the other side.
    proof: Option<String>,
    answers: Option<Answer>,
}

/// The method of TLS, and the token by which the other side of the node is right.
fn proof(between: &Between) -> Option<String> {
    let transcript = Transcript { own: lines(&between.other.seen)?, other: lines(&between.node.sent)? };
    let token = Method::TlsSha3_512.token(&transcript, None)?;
    Some(format!("{};{}", Method::TlsSha3_512, *token))
}

/// The same authentication line with this method and token, when it has come; then what comes is to pass as it is.
fn proven(held: &mut Vec<u8>, proof: &str) -> Option<Vec<u8>> {
    let end = held.iter().position(|octet| *octet == b'\n')?;
    let behind = held.split_off(end);
    let framing = held.rsplit(|octet| *octet == b';').next().unwrap_or_default();
    Some([proof.as_bytes(), b";", framing, &behind].concat())
}

impl Secured {
    /// Carries one direction until it ends; says whether that was no end in order. `octets` have come already.
    pub(super) fn carry(&self, mut socket: &TcpStream, way: Way, mut octets: Vec<u8>) -> bool {
        let (from, to) = if way == Way::In { (&self.other, &self.node) } else { (&self.node, &self.other) };
        let mut said = false;
        let mut piece = vec![0; 65536];
        let (mut proof, mut held) = (self.proof.as_deref().filter(|_| way == Way::In), Vec::new());
        let mut answers = self.answers.filter(|_| way == Way::In);
        loop {
            if let Some(answers) = answers.take_if(|_| !octets.is_empty())
                && let Some(answer) = answers(&octets)
            {
                let _ = socket.write_all(&answer);
                octets.clear();
            }
            let Ok(mut taken) = from.take(&octets) else {
                if self.closes == Closes::UnlessFailed {
                    let _ = io::copy(&mut socket, &mut io::sink());
                }
                return false;
            };
            if let Some(shown) = proof {
                held.append(&mut taken.plain);
                if let Some(line) = proven(&mut held, shown) {
                    (taken.plain, proof) = (line, None);
                }
            }
            if to.pass(&taken.plain).is_err() {
                return true;
            }
            if taken.ended && !std::mem::replace(&mut said, true) && !(way == Way::Out && self.closes == Closes::Unsaid) {
                to.say_the_end();
            }
            octets = match socket.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => piece[..length].to_vec(),
                Err(_) => return true,
            };
        }
        if !said && way == Way::In && self.closes == Closes::AsIfSaid {
            to.say_the_end();
        }
        false
    }
}

/// TLS to one side. Both directions use it at the same time, and neither waits for what the other one writes.
struct End {
    connection: Mutex<Connection>,
    /// Locked before the connection, so that octets go out in their order.
    socket: Mutex<TcpStream>,
}

/// What comes of octets.
#[derive(Default)]
struct Taken {
    plain: Vec<u8>,
    /// The other side has said that nothing more comes.
    ended: bool,
}

impl End {
    fn new(mut connection: Connection, socket: &TcpStream) -> Result<Self, Error> {
        // What comes before the handshake is done on this side waits for it.
        connection.set_buffer_limit(None);
        let socket = socket.try_clone().map_err(|error| Error::General(error.to_string()))?;
        Ok(End { connection: Mutex::new(connection), socket: Mutex::new(socket) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what TLS wants to send.
    fn send(&self, change: Option<Change>) -> io::Result<()> {
        self.write(|_| Ok(()), change)
    }

    fn write(&self, with: impl FnOnce(&mut Connection) -> io::Result<()>, change: Option<Change>) -> io::Result<()> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut octets = Vec::new();
        {
            let mut connection = self.connection();
            with(&mut connection)?;
            while connection.wants_write() {
                connection.write_tls(&mut octets)?;
            }
        }
        if let Some(change) = change {
            change(&mut octets);
        }
        socket.write_all(&octets)
    }

    /// Sends what came from the other end.
    fn pass(&self, plain: &[u8]) -> io::Result<()> {
        if plain.is_empty() {
            return Ok(());
        }
        self.write(|connection| connection.writer().write_all(plain), None)
    }

    fn say_the_end(&self) {
        // Where there is nobody any more, nobody needs to know.
        let _ = self.write(
            |connection| {
                connection.send_close_notify();
                Ok(())
            },
            None,
        );
    }

    /// Takes octets of TLS. An error has been told to the other side then.
    fn take(&self, mut octets: &[u8]) -> io::Result<Taken> {
        let (mut taken, mut came) = (Taken::default(), Ok(()));
        let wants_write = {
            let mut connection = self.connection();
            while !octets.is_empty() && !taken.ended && came.is_ok() {
                came = taken.read(&mut connection, &mut octets);
            }
            connection.wants_write()
        };
        if wants_write {
            // That it does not arrive is seen when something is read.
            let _ = self.send(None);
        }
        came.map(|()| taken)
    }
}

impl Taken {
    fn read(&mut self, connection: &mut Connection, octets: &mut &[u8]) -> io::Result<()> {
        connection.read_tls(octets)?;
        let state = connection.process_new_packets().map_err(io::Error::other)?;
        let start = self.plain.len();
        self.plain.resize(start + state.plaintext_bytes_to_read(), 0);
        self.ended |= state.peer_has_closed();
        connection.reader().read_exact(&mut self.plain[start..])
    }
}
