//! One side of TLS: what it presents, and what it takes, is as right or wrong as whoever makes it says.

use std::fmt::Debug;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion,
    ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use crate::certificates::Identity;

/// Versions of TLS.
pub type Versions = &'static [&'static SupportedProtocolVersion];

/// All that there are here.
pub const BOTH: Versions = &[&TLS13, &TLS12];

/// TLS 1.2 alone.
pub const OLDER: Versions = &[&TLS12];

/// TLS 1.3 alone.
pub const NEWEST: Versions = &[&TLS13];

/// What part of the TLS handshake a side plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It begins.
    Client,
    /// It waits.
    Server,
}

impl Part {
    /// That of the other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Part::Client => Part::Server,
            Part::Server => Part::Client,
        }
    }
}

/// Whether a TLS server wants a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asks {
    /// It asks for one, and goes on with those only who have one.
    #[default]
    Insisting,
    /// It asks for one, and goes on without it.
    Politely,
    /// It does not ask.
    Never,
}

/// What a side makes of what the other one shows.
pub trait Judge: Debug + Send + Sync {
    /// Whether it wants a certificate, where it is the TLS server.
    fn asks(&self) -> Asks;

    /// Whether it takes a certificate from the other side, which plays `part`. Certificates that came with it are in
    /// `others`.
    ///
    /// # Errors
    ///
    /// Why it does not.
    fn takes(&self, part: Part, own: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime)
    -> Result<(), Error>;

    /// Whether it verifies the signature by which the other side shows in this version that it has the key.
    fn wants_proof(&self, _: ProtocolVersion) -> bool {
        true
    }
}

/// Takes whatever comes, and verifies that the other side has the key of its certificate.
#[derive(Debug)]
pub struct TakesAll;

impl Judge for TakesAll {
    fn asks(&self) -> Asks {
        Asks::Politely
    }

    fn takes(&self, _: Part, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<(), Error> {
        Ok(())
    }
}

/// One side of a connection.
pub struct Side<'a> {
    /// Its part.
    pub part: Part,
    /// What it presents. A TLS server has to present something.
    pub identity: Option<&'a Identity>,
    /// The versions that it has.
    pub versions: Versions,
    /// What it makes of the other side.
    pub judge: Arc<dyn Judge>,
    /// Whether it says a server name, where it is the TLS client.
    pub names_server: bool,
}

impl Side<'_> {
    /// TLS as this side does it, before anything has passed.
    ///
    /// # Errors
    ///
    /// When it cannot be done in this way.
    pub fn connection(self) -> Result<Connection, Error> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Verifier(provider.clone(), self.judge));
        let presents = self
            .identity
            .map(|identity| {
                // Not checked against each other: a case may present a certificate without having its key.
                let key = provider.key_provider.load_private_key(identity.key())?;
                Ok::<_, Error>(Arc::new(SingleCertAndKey::from(CertifiedKey::new(identity.chain(), key))))
            })
            .transpose()?;
        match self.part {
            Part::Client => {
                let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions)?;
                let config = config.dangerous().with_custom_certificate_verifier(verifier);
                let mut config = match presents {
                    Some(presents) => config.with_client_cert_resolver(presents),
                    None => config.with_no_client_auth(),
                };
                config.enable_sni = self.names_server;
                let name = ServerName::try_from("suite.invalid").map_err(|error| Error::General(error.to_string()))?;
                Ok(ClientConnection::new(Arc::new(config), name)?.into())
            }
            Part::Server => {
                let presents = presents.ok_or_else(|| Error::General("a server without a certificate".into()))?;
                let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(self.versions)?;
                let config = config.with_client_cert_verifier(verifier).with_cert_resolver(presents);
                Ok(ServerConnection::new(Arc::new(config))?.into())
            }
        }
    }
}

/// Asks the judge, and verifies what that wants to have verified.
#[derive(Debug)]
struct Verifier(Arc<CryptoProvider>, Arc<dyn Judge>);

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            if !self.1.wants_proof(ProtocolVersion::TLSv1_2) {
                return Ok(HandshakeSignatureValid::assertion());
            }
            verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            if !self.1.wants_proof(ProtocolVersion::TLSv1_3) {
                return Ok(HandshakeSignatureValid::assertion());
            }
            verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.1.takes(Part::Server, own, others, now).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn offer_client_auth(&self) -> bool {
        self.1.asks() != Asks::Never
    }

    fn client_auth_mandatory(&self) -> bool {
        self.1.asks() == Asks::Insisting
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.1.takes(Part::Client, own, others, now).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}
