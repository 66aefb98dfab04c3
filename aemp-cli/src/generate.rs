//! `aemp gencert` and `aemp gensecret`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aemp_node::Certificates;
use aemp_node::proto::names::NodeId;
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use crate::{Failure, say};

/// Makes a certificate that all nodes share; or an authority, and certificates for nodes
///
/// Certificates are for --cert, with their keys in the same file, which only its owner can read. No file is ever
/// overwritten.
#[derive(Args)]
pub(crate) struct Gencert {
    /// Makes certificates that an authority issues: its own is in this file, its key in the one with `.key` behind that
    /// name. Both are made if they are not there. Nodes need the first one, for their --ca, and never the key
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Days for which certificates are valid
    #[arg(long, default_value_t = 3650)]
    days: u32,
    /// The file for the certificate that all nodes share; with --ca the IDs of nodes, each of which gets `NODE-ID.pem` here,
    /// with `_` for what is neither letter, digit, `.`, `-` nor `_`
    #[arg(value_name = "FILE|NODE-ID", required = true)]
    names: Vec<String>,
}

/// Makes a secret of 256 random bits, as 64 digits
#[derive(Args)]
pub(crate) struct Gensecret {
    /// The file for it, which only its owner can read, and which must not be there; without one it is printed
    file: Option<PathBuf>,
}

impl Gensecret {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(Failure::refused)?;
        let secret: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
        match self.file {
            Some(file) => write(&file, &format!("{secret}\n"), OWNER),
            None => say(secret),
        }
    }
}

impl Gencert {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match (&self.ca, &self.names[..]) {
            (Some(ca), nodes) => self.issue(ca, nodes),
            (None, [file]) => self.share(Path::new(file)),
            (None, _) => Err(Failure::usage("one file is what all nodes share; node IDs need --ca")),
        }
    }

    /// A certificate that is its own issuer. The reference takes such a one.
    fn share(&self, file: &Path) -> Result<(), Failure> {
        let mut params = self.params("AEMP")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(Failure::refused)?;
        let certificate = params.self_signed(&key).map_err(Failure::refused)?.pem();
        write(file, &(certificate + &key.serialize_pem()), OWNER)
    }

    fn issue(&self, ca: &Path, nodes: &[String]) -> Result<(), Failure> {
        let nodes = nodes.iter().map(|node| NodeId::new(node).map_err(|error| Failure::usage(format!("{node}: {error}"))));
        let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        let (authority, key) = self.authority(ca)?;
        let issuer = Issuer::new(self.authority_params()?, key);
        for node in nodes {
            let mut params = self.params("AEMP node")?;
            let uri = aemp_node::certificate_uri(node.as_str());
            params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().map_err(Failure::refused)?)];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate().map_err(Failure::refused)?;
            let pem = params.signed_by(&key, &issuer).map_err(Failure::refused)?.pem() + &key.serialize_pem();
            // The authority may be another one's, or its key of another authority.
            Certificates::issued(pem.as_bytes(), authority.as_bytes())
                .and_then(|issued| issued.check(node.as_str()))
                .map_err(|error| {
                    Failure::usage(format!("{} is no authority that this program made: {error}", ca.display()))
                })?;
            write(Path::new(&format!("{}.pem", file_name(node.as_str()))), &pem, OWNER)?;
        }
        Ok(())
    }

    /// The certificate of the authority, and its key; made, if they are not there.
    fn authority(&self, file: &Path) -> Result<(String, KeyPair), Failure> {
        let key_file = PathBuf::from(format!("{}.key", file.display()));
        if !file.exists() && !key_file.exists() {
            let key = KeyPair::generate().map_err(Failure::refused)?;
            let certificate = self.authority_params()?.self_signed(&key).map_err(Failure::refused)?.pem();
            write(&key_file, &key.serialize_pem(), OWNER)?;
            write(file, &certificate, ALL)?;
            return Ok((certificate, key));
        }
        let read =
            |file: &Path| fs::read_to_string(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display())));
        let key = KeyPair::from_pem(&read(&key_file)?);
        Ok((read(file)?, key.map_err(|error| Failure::usage(format!("{}: {error}", key_file.display())))?))
    }

    /// The same each time, so that the certificate itself need not be read to issue others.
    fn authority_params(&self) -> Result<CertificateParams, Failure> {
        let mut params = self.params("AEMP authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    fn params(&self, name: &str) -> Result<CertificateParams, Failure> {
        /// Clocks that are behind.
        const BEFORE: Duration = Duration::from_secs(3600);
        /// After that no date can be written.
        const MOST_DAYS: u32 = 2_000_000;
        if self.days == 0 || self.days > MOST_DAYS {
            return Err(Failure::usage(format!("--days: {} is not from 1 to {MOST_DAYS}", self.days)));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(Failure::refused)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(BEFORE);
        params.not_after = date_time_ymd(1970, 1, 1) + (now + Duration::from_secs(86400) * self.days);
        Ok(params)
    }
}

/// Who can read a file: its owner.
const OWNER: u32 = 0o600;
/// Everybody.
const ALL: u32 = 0o644;

fn file_name(node: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || ".-_".contains(character);
    let name: String = node.chars().map(|character| if plain(character) { character } else { '_' }).collect();
    // No name of a folder, and no hidden file.
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// Writes a file that is not there yet, and says so.
fn write(file: &Path, content: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error| Failure::refused(format!("{}: {error}", file.display()));
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    opened.write_all(content.as_bytes()).map_err(failed)?;
    say(format_args!("made {}", file.display()))
}
