//! TLS between nodes (chapter 3 of the specification): both sides present a certificate, and verify the other's.

mod verify;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aemp_proto::link::{StartTls, TlsSide};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use self::verify::Verifier;
use crate::early::WithEarly;

/// A node's certificate and key, and which certificates of others it trusts.
///
/// Either all nodes share one self-signed certificate, which each of them trusts itself ([`shared`](Self::shared)); or each has its own, issued by an
/// authority that all of them trust for this network ([`issued`](Self::issued)).
#[derive(Clone)]
pub struct Certificates {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    pinned: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    bound: bool,
}

/// Shows how many certificates there are, and nothing of the key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("chain", &self.chain.len())
            .field("pinned", &self.pinned.len())
            .field("authorities", &self.authorities.len())
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificatesError {
    /// It is not PEM, or misses something.
    #[error("{0}")]
    Pem(String),
    /// They do not fit together, or are of a kind that is not supported.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(String, io::Error),
}

impl Certificates {
    /// One self-signed certificate with its key, in PEM, that all nodes of the network share, as `aemp gencert` makes it and the reference's program of that name.
    ///
    /// # Errors
    ///
    /// When there is no certificate or no key, or they cannot be used.
    pub fn shared(pem: &[u8]) -> Result<Self, CertificatesError> {
        let (chain, key) = identity(pem)?;
        let pinned = chain.iter().take(1).cloned().collect();
        Certificates { chain, key: Arc::new(key), pinned, authorities: Vec::new(), bound: false }.checked()
    }

    /// A certificate of this node's own, with the key and any certificates between it and the authority, and the authority's certificate; all in PEM.
    ///
    /// # Errors
    ///
    /// When something is missing or cannot be used.
    pub fn issued(pem: &[u8], authority: &[u8]) -> Result<Self, CertificatesError> {
        let (chain, key) = identity(pem)?;
        let authorities = certificates(authority)?;
        if authorities.is_empty() {
            return Err(CertificatesError::Pem("there is no certificate of an authority in it".into()));
        }
        Certificates { chain, key: Arc::new(key), pinned: Vec::new(), authorities, bound: false }.checked()
    }

    /// The same from files; without an authority the certificate is shared.
    ///
    /// # Errors
    ///
    /// As [`shared`](Self::shared) and [`issued`](Self::issued), and when a file cannot be read.
    pub fn from_files(certificate: &Path, authority: Option<&Path>) -> Result<Self, CertificatesError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|error| CertificatesError::File(path.display().to_string(), error));
        match authority {
            Some(authority) => Self::issued(&read(certificate)?, &read(authority)?),
            None => Self::shared(&read(certificate)?),
        }
    }

    /// Trusts another one's certificate, too, such as the one that this one is to replace or to be replaced with.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn trust(mut self, pem: &[u8]) -> Result<Self, CertificatesError> {
        let more = certificates(pem)?;
        if more.is_empty() {
            return Err(CertificatesError::Pem("there is no certificate in it".into()));
        }
        self.pinned.extend(more);
        Ok(self)
    }

    /// Takes a certificate of an authority only from the node that it names: a DNS name that is the node ID, or a URI `aemp:NODEID`.
    #[must_use]
    pub fn bound_to_node_ids(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Whether rustls can use it, both ways.
    fn checked(self) -> Result<Self, CertificatesError> {
        self.client()?;
        self.server()?;
        Ok(self)
    }

    fn verifier(&self) -> Result<Arc<Verifier>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots.add(authority.clone())?;
        }
        Verifier::new(self.pinned.clone(), roots)
    }

    fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(verify::provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier()?)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        // Names in certificates mean nothing to the protocol, and nobody needs to see them on the way.
        config.enable_sni = false;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(verify::provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(self.verifier()?)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Runs the handshake on a connection, in the part that the greetings have given to this side.
    pub(crate) async fn start(&self, tls: StartTls, stream: TcpStream) -> io::Result<TlsStream<WithEarly<TcpStream>>> {
        let stream = WithEarly::new(tls.early, stream);
        match tls.side {
            TlsSide::Client => {
                let config = Arc::new(self.client().map_err(io::Error::other)?);
                // It is not sent, and no certificate is held against it.
                let name = ServerName::try_from("aemp").map_err(io::Error::other)?;
                Ok(TlsConnector::from(config).connect(name, stream).await?.into())
            }
            TlsSide::Server => {
                let config = Arc::new(self.server().map_err(io::Error::other)?);
                Ok(TlsAcceptor::from(config).accept(stream).await?.into())
            }
        }
    }

    /// Whether the certificate of the other side may speak for a node (see [`bound_to_node_ids`](Self::bound_to_node_ids)).
    pub(crate) fn names(&self, stream: &TlsStream<WithEarly<TcpStream>>, node: &str) -> bool {
        let (_, connection) = stream.get_ref();
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let pinned = certificate.is_some_and(|certificate| self.pinned.contains(certificate));
        !self.bound || pinned || certificate.is_some_and(|certificate| verify::names_node(certificate, node))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificatesError::Pem(format!("a certificate in it cannot be read: {error}")))
}

fn identity(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CertificatesError> {
    let chain = certificates(pem)?;
    if chain.is_empty() {
        return Err(CertificatesError::Pem("there is no certificate in it".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| CertificatesError::Pem(format!("there is no private key in it that can be read: {error}")))?;
    Ok((chain, key))
}
