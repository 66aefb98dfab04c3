//! Certificates that are made for a test.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};

/// TEST DATA: what two nodes of the reference shared in a recording.
pub const RECORDED: &str = include_str!("../recorded/shared_certificate.pem");

/// A self-signed certificate and its key.
pub fn shared() -> String {
    shared_for([2000, 3000])
}

/// The same, valid in these years.
pub fn shared_for(years: [i32; 2]) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&key).expect("a certificate").pem() + &key.serialize_pem()
}

/// An authority of a network.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        // Another one than that of the certificates that it issues.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, made out to a node by URI, valid in these years.
    pub fn issue_for(&self, uri: &str, years: [i32; 2]) -> String {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
        [params.not_before, params.not_after] = years.map(|year| date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, &self.issuer).expect("a certificate").pem() + &key.serialize_pem()
    }

    pub fn issue(&self, node: &str) -> String {
        self.issue_for(&format!("aemp:{node}"), [2000, 3000])
    }

    /// A certificate made out to a node by a DNS name.
    pub fn issue_dns(&self, node: &str) -> String {
        let params = CertificateParams::new([node.to_owned()]).expect("a DNS name");
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, &self.issuer).expect("a certificate").pem() + &key.serialize_pem()
    }
}
