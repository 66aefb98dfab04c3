//! The certificates that are trusted.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Error, RootCertStore};

/// The cryptography that is used.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What is trusted, ready to verify with.
pub(super) struct Trust {
    /// Compared as they are: one that is shared is its own authority, which rules for the web would not let through.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    authorities: Vec<CertificateDer<'static>>,
    pub(super) roots: Arc<RootCertStore>,
    /// What verifies clients, if there are authorities.
    pub(super) clients: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Trust {
    pub(super) fn new(
        pinned: Vec<CertificateDer<'static>>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<Self>, Error> {
        let provider = provider();
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots.add(authority.clone())?;
        }
        let roots = Arc::new(roots);
        let clients = if roots.is_empty() {
            None
        } else {
            let built = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
            Some(built.map_err(|error| Error::General(error.to_string()))?)
        };
        Ok(Arc::new(Trust { pinned, authorities, roots, clients, provider }))
    }

    /// This and what another one trusts.
    pub(super) fn with(&self, other: &Trust) -> Result<Arc<Self>, Error> {
        let both = |mut all: Vec<CertificateDer<'static>>, more: &[CertificateDer<'static>]| {
            for certificate in more {
                if !all.contains(certificate) {
                    all.push(certificate.clone());
                }
            }
            all
        };
        Trust::new(both(self.pinned.clone(), &other.pinned), both(self.authorities.clone(), &other.authorities))
    }
}

/// Shows how many certificates there are.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("pinned", &self.pinned.len())
            .field("authorities", &self.authorities.len())
            .finish_non_exhaustive()
    }
}
