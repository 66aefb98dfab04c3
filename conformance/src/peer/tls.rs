//! The suite's side of TLS: it presents what it is told to, takes whatever certificate comes, and keeps it for the case to
//! look at.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::{Connection, ProtocolVersion};

use super::{Peer, Stream};
use crate::certificates::Identity;
use crate::failure::{Failure, Step};
use crate::tls::{Part, Side, TakesAll, Versions};

/// What TLS has shown when it stands.
#[derive(Debug, Clone)]
pub struct Secured {
    /// The version.
    pub version: Option<ProtocolVersion>,
    /// The certificates of the node under test, its own first.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl Peer {
    /// Chooses a nonce by which the suite has this part [TLS-3]. The greeting of the node has been read.
    pub fn plays(&mut self, part: Part) {
        let lead = if part == Part::Client { b' ' } else { b'~' };
        self.greets.nonce.insert(0, lead);
    }

    /// The TLS handshake, behind the greetings. The inner error says how it failed; then the stream is read on until its
    /// end.
    pub fn secure(&mut self, part: Part, identity: Option<&Identity>, versions: Versions) -> Step<Result<Secured, String>> {
        self.secure_behind(Vec::new(), part, identity, versions)
    }

    /// The same; `first` are octets that go out in one piece with the first ones of TLS.
    pub fn secure_behind(
        &mut self,
        first: Vec<u8>,
        part: Part,
        identity: Option<&Identity>,
        versions: Versions,
    ) -> Step<Result<Secured, String>> {
        let side = Side { part, identity, versions, judge: Arc::new(TakesAll), names_server: false };
        let connection = side.connection().map_err(|error| Failure::Suite(format!("TLS: {error}")))?;
        let until = Instant::now() + self.patience;
        let mut came = Ok(());
        let mut secured = Secured { version: None, certificates: Vec::new() };
        self.replace_stream(|stream, early| {
            let mut tls = Tls { connection, stream, early, first, failed: false, told: false };
            came = tls.shake_hands(until);
            tls.failed |= came.is_err();
            secured.version = tls.connection.protocol_version();
            secured.certificates = tls.connection.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
            Ok(Box::new(tls))
        })?;
        Ok(came.map(|()| secured).map_err(|error| error.to_string()))
    }
}

/// TLS over a stream.
struct Tls {
    connection: Connection,
    stream: Box<dyn Stream>,
    /// What came before TLS was there to read it.
    early: Vec<u8>,
    /// What goes out with the first octets of TLS.
    first: Vec<u8>,
    /// TLS has failed: what still comes is only waited for.
    failed: bool,
    /// The other side has sent a `close_notify`.
    told: bool,
}

impl Tls {
    fn shake_hands(&mut self, until: Instant) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.flush()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not come to its end in time"));
            }
            self.stream.set_patience(left)?;
            if self.connection.is_handshaking() && self.take()? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within the TLS handshake"));
            }
        }
        self.flush()
    }

    /// Gives TLS what has come.
    fn take(&mut self) -> io::Result<usize> {
        let length = if self.early.is_empty() {
            self.connection.read_tls(&mut self.stream)?
        } else {
            let mut early = &self.early[..];
            let length = self.connection.read_tls(&mut early)?;
            self.early.drain(..length);
            length
        };
        if let Err(error) = self.connection.process_new_packets() {
            // The other side is told why.
            let _ = self.flush();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(length)
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.failed {
                match self.stream.read(&mut [0; 4096])? {
                    0 => return Ok(0),
                    _ => continue,
                }
            }
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Also an end that was not announced is an end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                // The end of TLS: whether the connection below ends, too, is what matters.
                Ok(0) => {
                    (self.failed, self.told) = (true, true);
                    continue;
                }
                other => return other,
            }
            match self.take() {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => self.failed = true,
                Err(error) => return Err(error),
                Ok(_) => self.flush()?,
            }
        }
    }
}

impl Write for Tls {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let length = self.connection.writer().write(octets)?;
        self.flush()?;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut octets = std::mem::take(&mut self.first);
        while self.connection.wants_write() {
            self.connection.write_tls(&mut octets)?;
        }
        self.stream.write_all(&octets)?;
        self.stream.flush()
    }
}

impl Stream for Tls {
    fn set_patience(&mut self, time: Duration) -> io::Result<()> {
        self.stream.set_patience(time)
    }

    fn end_direction(&mut self) {
        self.connection.send_close_notify();
        // It may be gone already.
        let _ = self.flush();
        self.stream.end_direction();
    }

    fn was_told_of_the_end(&self) -> bool {
        self.told
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn exporter(&self) -> Option<[u8; 32]> {
        self.connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok()
    }

    fn socket(&self) -> Option<&TcpStream> {
        self.stream.socket()
    }
}
