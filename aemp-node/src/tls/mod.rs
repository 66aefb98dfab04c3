//! TLS between nodes (chapter 3 of the specification): both sides present a certificate, and verify the other's.

mod explain;
mod stream;
mod trust;
mod verify;

pub(crate) use stream::Secured;
pub use verify::certificate_uri;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::link::{StartTls, TlsSide};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use self::trust::Trust;
use self::verify::Verifier;
use crate::driver::Driver;
use crate::early::WithEarly;

/// A node's certificate and key, and the certificates of other nodes that it trusts.
///
/// A network uses one of two schemes. With [`shared`](Self::shared), all nodes use one self-signed certificate and
/// trust it directly. With [`issued`](Self::issued), each node has its own certificate for its node ID, issued by an
/// authority that all nodes trust for this network. The node compares a directly trusted certificate as a whole; its
/// dates only cause a warning (`TLS-14`). It accepts an issued certificate only within its dates.
#[derive(Clone)]
pub struct Certificates {
    identity: Arc<CertifiedKey>,
    trust: Arc<Trust>,
    bound: bool,
}

/// Shows how many certificates there are, and nothing of the key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("chain", &self.identity.cert.len())
            .field("trust", &self.trust)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// The reason why certificates cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// The text is not PEM, or something is missing in it.
    #[error("{0}")]
    Pem(String),
    /// The certificate and the key do not match, or are of an unsupported kind.
    #[error("{}", explain::unusable(.0))]
    Unusable(#[from] rustls::Error),
    /// Nodes with the same trusted certificates would refuse the certificate of this node.
    #[error("{0}")]
    Untrusted(String),
    /// The contents of a file cannot be used.
    #[error("{0}: {1}")]
    File(String, Box<CertificatesError>),
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

impl Certificates {
    /// Loads one self-signed certificate with its key, in PEM, that all nodes of the network share. `aemp gencert` and
    /// the reference's program of that name create such a file.
    ///
    /// # Errors
    ///
    /// Returns an error if the certificate or the key is missing or cannot be used.
    pub fn shared(pem: &[u8]) -> Result<Self, CertificatesError> {
        let identity = identity(pem)?;
        let trust = Trust::new(identity.cert[..1].into(), Vec::new())?;
        Ok(Certificates { identity, trust, bound: false })
    }

    /// Loads a certificate for the ID of this node, with its key and any intermediate certificates, and the
    /// certificates of one or more authorities. All are in PEM.
    ///
    /// # Errors
    ///
    /// Returns an error if a certificate or the key is missing or cannot be used.
    pub fn issued(pem: &[u8], authorities: &[u8]) -> Result<Self, CertificatesError> {
        Ok(Certificates { identity: identity(pem)?, trust: Trust::new(Vec::new(), some(authorities)?)?, bound: true })
    }

    /// Loads certificates from files, as [`issued`](Self::issued) does, or without `authorities` as
    /// [`shared`](Self::shared).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`shared`](Self::shared) and [`issued`](Self::issued), and an error if a file cannot be
    /// read.
    pub fn from_files(certificate: &Path, authorities: Option<&Path>) -> Result<Self, CertificatesError> {
        match authorities {
            None => of_file(certificate, Self::shared),
            Some(authorities) => {
                let trust = of_file(authorities, |pem| Ok(Trust::new(Vec::new(), some(pem)?)?))?;
                Ok(Certificates { identity: of_file(certificate, identity)?, trust, bound: true })
            }
        }
    }

    /// Adds the certificates in this PEM to those that the node trusts directly, for example the successor of a shared
    /// certificate. They are not bound to node IDs.
    ///
    /// # Errors
    ///
    /// Returns an error if the PEM has no certificate.
    pub fn trust(mut self, pem: &[u8]) -> Result<Self, CertificatesError> {
        let more = Trust::new(some(pem)?, Vec::new())?;
        self.trust = self.trust.with(&more)?;
        Ok(self)
    }

    /// Adds the certificates in a file, as [`trust`](Self::trust) does.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`trust`](Self::trust), and an error if the file cannot be read.
    pub fn trust_file(self, path: &Path) -> Result<Self, CertificatesError> {
        of_file(path, |pem| self.trust(pem))
    }

    /// Accepts an issued certificate only from the node that it names: by a DNS name that equals the node ID, or by a
    /// URI `aemp:NODEID`. In the URI, bytes of the ID that are neither unreserved in RFC 3986 nor `/` are written as
    /// `%XX` (`TLS-12`). This is the default (`TLS-17`).
    #[must_use]
    pub fn bound_to_node_ids(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Accepts an issued certificate from a node with any ID. Then **each member of the network can pose as any node**,
    /// and receive its messages.
    #[must_use]
    pub fn any_name(mut self) -> Self {
        self.bound = false;
        self
    }

    /// Checks that a node with the same trusted certificates would now accept this certificate from a node with the ID
    /// `node`.
    ///
    /// # Errors
    ///
    /// Returns the reason why such a node would refuse the certificate.
    pub fn check(&self, node: &str) -> Result<(), CertificatesError> {
        let (leaf, more) = self.identity.cert.split_first().expect("there is a certificate");
        self.verifier(node)
            .check(leaf, more, UnixTime::now())
            .map_err(|error| CertificatesError::Untrusted(explain::untrusted(&error, node)))
    }

    /// What is wrong with the dates of this node's own certificate, if it is trusted itself (`TLS-14`).
    pub(crate) fn own_out_of_date(&self) -> Option<String> {
        self.out_of_date(self.identity.cert.first()?, "this node's own")
    }

    fn out_of_date(&self, certificate: &CertificateDer<'_>, whose: &str) -> Option<String> {
        let is_pinned = self.trust.pinned.contains(certificate);
        let error = verify::out_of_date(certificate, UnixTime::now()).filter(|_| is_pinned)?;
        Some(explain::out_of_date(whose, &error))
    }

    /// Trusts what another one trusts, too.
    pub(crate) fn with_trust_of(mut self, other: &Certificates) -> Self {
        self.trust = self.trust.with(&other.trust).expect("both can be used");
        self
    }

    fn verifier(&self, node: &str) -> Arc<Verifier> {
        Arc::new(Verifier::new(self.trust.clone(), self.bound.then(|| node.to_owned())))
    }

    fn client(&self, node: &str) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(trust::provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(node))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(self.identity.clone())));
        // Nobody needs to see a name on the way.
        config.enable_sni = false;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    fn server(&self, node: &str) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(trust::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(self.verifier(node))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.identity.clone())));
        // Each connection verifies anew.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    /// Runs the handshake on a connection with what says it is this node, in the part that the greetings have given to this
    /// side.
    pub(crate) async fn start(&self, tls: StartTls, stream: TcpStream, node: &str) -> io::Result<Secured> {
        let stream = WithEarly::new(tls.early, stream);
        let outcome = match tls.side {
            TlsSide::Client => {
                let config = Arc::new(self.client(node).map_err(io::Error::other)?);
                // It is not sent, and no certificate is held against it.
                let name = ServerName::try_from("aemp").map_err(io::Error::other)?;
                TlsConnector::from(config).connect(name, stream).into_fallible().await.map(TlsStream::from)
            }
            TlsSide::Server => {
                let config = Arc::new(self.server(node).map_err(io::Error::other)?);
                TlsAcceptor::from(config).accept(stream).into_fallible().await.map(TlsStream::from)
            }
        };
        match outcome {
            Ok(stream) => {
                let theirs = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                if let Some(error) = theirs.and_then(|theirs| self.out_of_date(theirs, "the other side's")) {
                    let what = "a certificate is taken outside of its time";
                    if Driver::current().is_none_or(|driver| driver.may_warn(what)) {
                        tracing::warn!(peer = node, %error, "{what}");
                    }
                }
                Ok(Secured::new(stream, node))
            }
            Err((error, stream)) => {
                hear_out(stream).await;
                Err(explain::failure(error, node))
            }
        }
    }
}

/// Reads what the other side has sent already: closed at once, the connection would be reset, and the other side might never
/// read why.
async fn hear_out(mut stream: WithEarly<TcpStream>) {
    /// How long.
    const TIME: Duration = Duration::from_secs(1);
    /// And how much, in octets.
    const MOST: usize = 64 << 10;
    let hear = async {
        stream.shutdown().await?;
        let (mut buffer, mut heard) = ([0; 1024], 0);
        while heard < MOST {
            match stream.read(&mut buffer).await? {
                0 => break,
                octets => heard += octets,
            }
        }
        io::Result::Ok(())
    };
    // It is over, whatever comes of this.
    let _over = timeout(TIME, hear).await;
}

fn of_file<T>(path: &Path, read: impl FnOnce(&[u8]) -> Result<T, CertificatesError>) -> Result<T, CertificatesError> {
    let octets = std::fs::read(path).map_err(CertificatesError::Read);
    octets
        .and_then(|octets| read(&octets))
        .map_err(|error| CertificatesError::File(path.display().to_string(), error.into()))
}

/// The certificates in a PEM text; there must be one.
fn some(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Err(error) => Err(CertificatesError::Pem(format!("a certificate in it cannot be read: {error}"))),
        Ok(found) if found.is_empty() => Err(CertificatesError::Pem("there is no certificate in it".into())),
        Ok(found) => Ok(found),
    }
}

fn identity(pem: &[u8]) -> Result<Arc<CertifiedKey>, CertificatesError> {
    let chain = some(pem)?;
    let key = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| CertificatesError::Pem(format!("there is no private key in it that can be read: {error}")))?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &trust::provider())?))
}
