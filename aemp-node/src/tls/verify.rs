//! Whether the certificate of the other side is one that is trusted.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::trust::Trust;

/// Verifies one connection. Both parts of the handshake ask it: for the certificate (`TLS-5`), and for the signature that
/// shows that the other side has its key (`TLS-11`).
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Arc<Trust>,
    /// The node to which a certificate of an authority must be made out (`TLS-12`).
    bound_to: Option<String>,
}

impl Verifier {
    pub(super) fn new(trust: Arc<Trust>, bound_to: Option<String>) -> Self {
        Verifier { trust, bound_to }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        self.trust.pinned.contains(certificate)
    }

    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match &self.bound_to {
            Some(node) if !names_node(certificate, node) => Err(CertificateError::ApplicationVerificationFailure.into()),
            _ => Ok(()),
        }
    }

    /// Whether a certificate would be taken from both parts of the handshake.
    pub(super) fn check(&self, own: &CertificateDer<'_>, more: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let name = ServerName::IpAddress(IpAddr::from([0; 4]).into());
        self.verify_server_cert(own, more, &name, &[], now)?;
        self.verify_client_cert(own, more, now).map(drop)
    }

    fn signature_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider.signature_verification_algorithms.supported_schemes()
    }

    fn signature_12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.trust.provider.signature_verification_algorithms)
    }

    fn signature_13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.trust.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_pinned(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        if self.trust.roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.trust.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.trust.roots, intermediates, now, algorithms)
            .map_err(stranger)?;
        self.check_name(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signature_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.is_pinned(end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        let Some(clients) = &self.trust.clients else { return Err(CertificateError::UnknownIssuer.into()) };
        let verified = clients.verify_client_cert(end_entity, intermediates, now).map_err(stranger)?;
        self.check_name(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature_13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signature_schemes()
    }
}

/// Whoever presents an authority's own certificate, or one of an authority that only has the name of ours, is a stranger
/// like others.
fn stranger(error: Error) -> Error {
    let is_stranger = match &error {
        Error::InvalidCertificate(CertificateError::BadSignature) => true,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
        }
        _ => false,
    };
    if is_stranger { CertificateError::UnknownIssuer.into() } else { error }
}

/// What is wrong with the dates of a certificate, if anything is.
pub(super) fn out_of_date(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<CertificateError> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    // There is no authority to trust it: its own dates are looked at before that.
    let usage = webpki::KeyUsage::server_auth();
    match certificate.verify_for_usage(&[], &[], &[], now, usage, None, None).err()? {
        webpki::Error::CertExpired { .. } => Some(CertificateError::Expired),
        webpki::Error::CertNotValidYet { .. } => Some(CertificateError::NotValidYet),
        _ => None,
    }
}

/// Whether a certificate is made out to a node: by a DNS name that is its ID, or a URI `aemp:NODEID`.
pub(super) fn names_node(certificate: &CertificateDer<'_>, node: &str) -> bool {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    let uri = certificate_uri(node);
    certificate.valid_dns_names().any(|name| name == node) || certificate.valid_uri_names().any(|name| name == uri)
}

/// The URI that makes a certificate out to a node: `aemp:` and the ID, written in one way only, so that it can be compared
/// ([`Certificates::bound_to_node_ids`](crate::Certificates::bound_to_node_ids)).
pub fn certificate_uri(node: &str) -> String {
    let mut uri = String::from("aemp:");
    for octet in node.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            uri.push(char::from(octet));
        } else {
            let _infallible = write!(uri, "%{octet:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::certificate_uri;

    #[test]
    fn node_ids_have_one_uri_each() {
        for (node, expected) in [
            ("seed", "aemp:seed"),
            ("worker/kQ3-1._~", "aemp:worker/kQ3-1._~"),
            ("a:b", "aemp:a%3Ab"),
            ("ä b%", "aemp:%C3%A4%20b%25"),
        ] {
            assert_eq!(certificate_uri(node), expected);
        }
    }
}
