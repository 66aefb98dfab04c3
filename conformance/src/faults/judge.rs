//! What the front makes of certificates in the place of the node: what a right node would, but for the one thing that is
//! wrong.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::{CertificateError, Error, ProtocolVersion};
use webpki::{EndEntityCert, KeyUsage};

use crate::certificates::Identity;
use crate::failure::{Failure, Step};
use crate::subject::Start;
use crate::tls::{Asks, Judge, Part};

/// The certificates that a wrong node takes beside those that it has to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Takes {
    /// None.
    #[default]
    Right,
    /// All.
    Any,
    /// Those that are signed by themselves, as far as their names say so.
    SignedByThemselves,
    /// Those that name the authority of the network, whoever has signed them.
    NamingTheAuthority,
    /// Those whose time is over.
    Old,
    /// Those whose time has not come.
    Early,
    /// Those that are for something else.
    ForAnything,
    /// None, and of those that it trusts themselves only the ones whose time is not over.
    NothingOld,
}

/// The names by which a certificate is bound to a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Names {
    /// A DNS name or a URI.
    #[default]
    Right,
    /// A DNS name.
    Dns,
    /// A URI.
    Uri,
    /// Also one that goes on behind the name of the node.
    Beginnings,
    /// Also none.
    IfAny,
}

/// The certificates that a node was told to trust.
#[derive(Debug)]
pub(super) struct Trust {
    pinned: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    bound: bool,
}

impl Trust {
    /// As the start line of a node says that presents `own`.
    pub(super) fn of(start: &Start, own: &Identity) -> Step<Self> {
        let mut pinned = start.trust.iter().map(read).collect::<Step<Vec<_>>>()?;
        if start.authorities.is_empty() && start.trust.is_empty() {
            pinned.push(own.certificate().clone());
        }
        let authorities = start.authorities.iter().map(read).collect::<Step<Vec<_>>>()?;
        let anchors =
            authorities.iter().map(|authority| webpki::anchor_from_trusted_cert(authority).map(|found| found.to_owned()));
        let anchors = anchors.collect::<Result<_, _>>().map_err(|error| Failure::Suite(format!("an authority: {error}")))?;
        Ok(Trust { pinned, anchors, bound: start.bind_names })
    }
}

fn read(path: &PathBuf) -> Step<CertificateDer<'static>> {
    CertificateDer::from_pem_file(path).map_err(|error| Failure::Suite(format!("{}: {error}", path.display())))
}

/// Judges on one connection.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) trust: Arc<Trust>,
    pub(super) takes: Takes,
    pub(super) names: Names,
    pub(super) asks: Asks,
    /// The versions in which whoever has a certificate need not have its key.
    pub(super) unproven: &'static [ProtocolVersion],
    /// The ID under which the other side has greeted.
    pub(super) peer: String,
}

impl Judging {
    /// Whether an authority that is trusted has issued it, and for this.
    fn is_issued(
        &self,
        own: &EndEntityCert<'_>,
        others: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        let verified = |now| own.verify_for_usage(algorithms, &self.trust.anchors, others, now, usage, None, None).map(drop);
        match (verified(now), self.takes) {
            // Nothing but its time may be wrong with it.
            (Err(webpki::Error::CertExpired { not_after, .. }), Takes::Old) => verified(not_after),
            (Err(webpki::Error::CertNotValidYet { not_before, .. }), Takes::Early) => verified(not_before),
            // Signatures are verified last.
            (Err(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey), Takes::NamingTheAuthority)
                if self.trust.anchors.iter().any(|anchor| anchor.subject.as_ref() == own.issuer()) =>
            {
                Ok(())
            }
            (verified, _) => verified,
        }
    }

    fn is_made_out_to_the_peer(&self, own: &EndEntityCert<'_>) -> bool {
        // The IDs of the suite consist of characters that are not escaped.
        let mut dns = own.valid_dns_names();
        let mut uris = own.valid_uri_names().filter_map(|uri| uri.strip_prefix("aemp:"));
        let is_right = |name: &str| name == self.peer;
        let begins = |name: &str| name.starts_with(&self.peer);
        match self.names {
            Names::Right => dns.any(is_right) || uris.any(is_right),
            Names::Dns => dns.any(is_right),
            Names::Uri => uris.any(is_right),
            Names::Beginnings => dns.any(begins) || uris.any(begins),
            Names::IfAny => dns.chain(uris).all(is_right),
        }
    }
}

impl Judge for Judging {
    fn asks(&self) -> Asks {
        self.asks
    }

    fn takes(
        &self,
        part: Part,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let is_pinned = self.trust.pinned.contains(own);
        if self.takes == Takes::Any || is_pinned && self.takes != Takes::NothingOld {
            return Ok(());
        }
        let unusable = |error: webpki::Error| Error::General(error.to_string());
        let certificate = EndEntityCert::try_from(own).map_err(unusable)?;
        if is_pinned {
            // Its dates are what is looked at first.
            let verified = certificate.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None);
            let is_old = matches!(verified, Err(webpki::Error::CertExpired { .. }));
            return if is_old { Err(CertificateError::Expired.into()) } else { Ok(()) };
        }
        if self.takes == Takes::SignedByThemselves && certificate.issuer() == certificate.subject() {
            return Ok(());
        }
        let (needed, other) = match part {
            Part::Client => (KeyUsage::client_auth(), KeyUsage::server_auth()),
            Part::Server => (KeyUsage::server_auth(), KeyUsage::client_auth()),
        };
        let issued = self.is_issued(&certificate, others, needed, now);
        let issued = match self.takes {
            Takes::ForAnything => issued.or_else(|_| self.is_issued(&certificate, others, other, now)),
            _ => issued,
        };
        issued.map_err(unusable)?;
        if self.trust.bound && !self.is_made_out_to_the_peer(&certificate) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }

    fn wants_proof(&self, version: ProtocolVersion) -> bool {
        !self.unproven.contains(&version)
    }
}
