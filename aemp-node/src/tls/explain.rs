//! Why TLS failed, for people.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys, PeerIncompatible};

/// What went wrong on a connection with what says it is this node: the same error in plain words, with the requirement
/// behind it.
pub(super) fn failure(error: io::Error, node: &str) -> io::Error {
    let text = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => reason(inner, node),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the other side ended the connection [TLS-6]".into(),
        None => return error,
    };
    io::Error::new(error.kind(), format!("TLS: {text}"))
}

fn reason(error: &Error, node: &str) -> String {
    let text = match error {
        Error::NoCertificatesPresented => "the other side presents no certificate [TLS-9]",
        Error::InvalidCertificate(error) => return certificate("the other side's certificate", error, node),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => "the other side has neither TLS 1.3 nor 1.2 [TLS-10]",
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => "what the other side sends is not TLS [TLS-6]",
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA => "the other side does not trust this node's certificate [TLS-5]",
            AlertDescription::CertificateExpired => {
                "for the other side, this node's certificate has expired or is not valid yet [TLS-5]"
            }
            AlertDescription::AccessDenied => {
                "the other side wants a certificate that is made out to this node, which this one's is not [TLS-12]"
            }
            AlertDescription::CertificateRequired => "the other side misses this node's certificate [TLS-9]",
            AlertDescription::ProtocolVersion => "the other side has neither TLS 1.3 nor 1.2 [TLS-10]",
            other => return format!("the other side refuses: {other:?} [TLS-6]"),
        },
        other => return format!("{other} [TLS-6]"),
    };
    text.into()
}

/// What is wrong with a certificate; `whose` names it.
fn certificate(whose: &str, error: &CertificateError, node: &str) -> String {
    match error {
        CertificateError::UnknownIssuer => format!("{whose} is none that this node trusts [TLS-5]"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!("{whose} has expired [TLS-5]"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("{whose} is not valid yet: do the clocks agree? [TLS-5]")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("{whose} is not for both clients and servers [TLS-5]")
        }
        CertificateError::ApplicationVerificationFailure => format!("{whose} is not made out to the node {node:?} [TLS-12]"),
        CertificateError::BadSignature => "a signature of the other side is wrong [TLS-11]".into(),
        other => format!("{whose} cannot be taken: {other} [TLS-5]"),
    }
}

/// Why others would not take a node's own certificate.
pub(super) fn untrusted(error: &Error, node: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate("this node's own certificate", error, node),
        other => other.to_string(),
    }
}

/// What is wrong with the dates of a certificate that is taken all the same.
pub(super) fn out_of_date(whose: &str, error: &CertificateError) -> String {
    let what = if *error == CertificateError::NotValidYet { "is not valid yet" } else { "has expired" };
    format!("{whose} certificate {what}; who trusts it itself takes it all the same [TLS-14]")
}

/// Why an own certificate cannot be used.
pub(super) fn unusable(error: &Error) -> String {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => "the key does not belong to the certificate".into(),
        other => format!("the certificate or its key cannot be used: {other}"),
    }
}
