//! Certificates for TLS, made for one run, in a folder that goes away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::failure::{Failure, Step};

/// A certificate and a key: its own, unless a case exchanges it.
#[derive(Debug, Clone)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: Vec<u8>,
}

impl Identity {
    /// What stands in a file that a node was told to present: a certificate and its key.
    ///
    /// # Errors
    ///
    /// When it is not there, or not as the suite writes such files.
    pub fn read(path: &Path) -> Step<Self> {
        let pem = fs::read_to_string(path).map_err(|error| Failure::suite(path.display(), &error))?;
        let unusable = |error: &dyn std::fmt::Display| Failure::Suite(format!("{}: {error}", path.display()));
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable(&error))?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable(&error))?;
        Ok(Identity { certificate, key: key.secret_pkcs8_der().to_vec(), pem })
    }

    /// What is presented.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    /// The certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// This certificate with the key of another one: what somebody has who has copied the certificate only.
    #[must_use]
    pub fn with_key_of(&self, other: &Identity) -> Self {
        Identity { key: other.key.clone(), ..self.clone() }
    }
}

/// How an issued certificate differs from one that is as it should be.
#[derive(Debug, Clone, Default)]
pub struct Issued {
    /// Its URI, if it has one.
    pub uri: Option<String>,
    /// Its DNS name, if it has one.
    pub dns: Option<String>,
    /// The years at the beginning of which it begins and ends to be valid.
    pub years: Option<[i32; 2]>,
    /// What it may be used for; anything, if empty.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
}

/// An authority of a network.
pub struct Authority {
    /// Its certificate in PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn failed(error: &rcgen::Error) -> Failure {
    Failure::Suite(format!("a certificate cannot be made: {error}"))
}

impl Authority {
    /// A new one.
    pub fn new() -> Step<Self> {
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority of the suite");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).map_err(|error| failed(&error))?.pem();
        Ok(Authority { pem, issuer: Issuer::new(params, key) })
    }

    /// Issues a certificate with a key of its own.
    pub fn issue(&self, how: &Issued) -> Step<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a node");
        if let Some(uri) = &how.uri {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().map_err(|error| failed(&error))?));
        }
        if let Some(name) = &how.dns {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into().map_err(|error| failed(&error))?));
        }
        if let Some(years) = how.years {
            [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        }
        params.extended_key_usages.clone_from(&how.purposes);
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| failed(&error))?;
        Ok(identity(&certificate, &key))
    }
}

/// A certificate that is signed by itself, for all nodes to share: one of an authority, as the reference makes it, whose
/// time is over if it is `old`.
pub fn shared(old: bool) -> Step<Identity> {
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    if old {
        [params.not_before, params.not_after] = [date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1)];
    }
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    Ok(identity(&certificate, &key))
}

fn identity(certificate: &rcgen::Certificate, key: &KeyPair) -> Identity {
    Identity {
        certificate: certificate.der().clone(),
        pem: certificate.pem() + &key.serialize_pem(),
        key: key.serialize_der(),
    }
}

/// A folder with files in PEM, which goes away.
struct Folder {
    path: PathBuf,
    files: AtomicU32,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is among files that are temporary anyway.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The certificates that all cases of one run share, and the files in which nodes under test find them.
pub struct Certificates {
    /// Shared by the node and the suite.
    pub shared: Identity,
    /// The same, but its time is over.
    pub old: Identity,
    /// What nobody trusts.
    pub foreign: Identity,
    /// The authority of the network.
    pub authority: Authority,
    /// Another authority, of the same name.
    pub stranger: Authority,
    /// What the authority has issued to the node under test.
    pub node: Identity,
    /// What the authority has issued to the suite, made out to nobody.
    pub suite: Identity,
    /// Where [`shared`](Self::shared) is.
    pub shared_file: PathBuf,
    /// Where [`old`](Self::old) is.
    pub old_file: PathBuf,
    /// Where [`node`](Self::node) is.
    pub node_file: PathBuf,
    /// Where the certificate of the authority is.
    pub authority_file: PathBuf,
    _folder: Folder,
}

impl Certificates {
    /// Makes all of them.
    pub fn new() -> Step<Self> {
        let path = std::env::temp_dir().join(crate::test::unique("aemp-conformance")?);
        fs::create_dir(&path).map_err(|error| Failure::suite(path.display(), &error))?;
        let folder = Folder { path, files: AtomicU32::new(0) };
        let (authority, stranger) = (Authority::new()?, Authority::new()?);
        let (shared, old, foreign) = (shared(false)?, shared(true)?, shared(false)?);
        let (node, suite) = (authority.issue(&Issued::default())?, authority.issue(&Issued::default())?);
        Ok(Certificates {
            shared_file: folder.write(&shared.pem)?,
            old_file: folder.write(&old.pem)?,
            node_file: folder.write(&node.pem)?,
            authority_file: folder.write(&authority.pem)?,
            shared,
            old,
            foreign,
            authority,
            stranger,
            node,
            suite,
            _folder: folder,
        })
    }
}

impl Folder {
    fn write(&self, pem: &str) -> Step<PathBuf> {
        let path = self.path.join(format!("{}.pem", self.files.fetch_add(1, Ordering::Relaxed)));
        fs::write(&path, pem).map_err(|error| Failure::suite(path.display(), &error))?;
        Ok(path)
    }
}
