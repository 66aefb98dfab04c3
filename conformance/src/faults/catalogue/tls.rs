//! Nodes whose TLS is wrong.

use rustls::ProtocolVersion::{self, TLSv1_2, TLSv1_3};

use super::Entry;
use crate::faults::Fault;
use crate::faults::judge::{Names, Takes};
use crate::faults::secured::{Closes, Presents, Secures, by_nonces};
use crate::tls::{Asks, OLDER, Part};

pub(super) const FAULTS: &[Entry] = &[
    // Whom it takes.
    Entry::new("takes any certificate", |_| takes(Takes::Any)),
    Entry::new("takes any certificate that is signed by itself", |_| takes(Takes::SignedByThemselves)),
    Entry::new("takes any certificate that names the authority of the network", |_| takes(Takes::NamingTheAuthority)),
    Entry::new("takes certificates whose time is over", |_| takes(Takes::Old)),
    Entry::new("takes certificates whose time has not come", |_| takes(Takes::Early)),
    Entry::new("takes certificates that are for something else", |_| takes(Takes::ForAnything)),
    Entry::new("refuses a shared certificate whose time is over", |_| takes(Takes::NothingOld)),
    Entry::new("binds certificates to node IDs by DNS names only", |_| names(Names::Dns)),
    Entry::new("binds certificates to node IDs by URIs only", |_| names(Names::Uri)),
    Entry::new("takes certificates for nodes whose IDs begin in the same way", |_| names(Names::Beginnings)),
    Entry::new("binds only such certificates as have names", |_| names(Names::IfAny)),
    Entry::new("asks for no certificate as the TLS server", |_| asks(Asks::Never)),
    Entry::new("asks for a certificate as the TLS server, and goes on without one", |_| asks(Asks::Politely)),
    Entry::new("does not verify that a peer has the key of its certificate", |_| unproven(&[TLSv1_2, TLSv1_3])),
    Entry::new("does not verify with TLS 1.2 that a peer has the key", |_| unproven(&[TLSv1_2])),
    Entry::new("does not verify with TLS 1.3 that a peer has the key", |_| unproven(&[TLSv1_3])),
    Entry::new("accepts any token within TLS", |_| Fault::secures(Secures { believes: true, ..Secures::default() })),
    // What it shows.
    Entry::new("presents a certificate that it has made itself", |_| presents(Presents::Another)),
    Entry::new("presents no certificate as the TLS client", |_| presents(Presents::Nothing)),
    Entry::new("sends a server name", |_| Fault::secures(Secures { names_server: true, ..Secures::default() })),
    // How it begins and ends.
    Entry::new("has no TLS 1.3", |_| Fault::secures(Secures { versions: OLDER, ..Secures::default() })),
    Entry::new("offers TLS 1.1, behind the back of its own TLS", |_| {
        Fault::secures(Secures { first_octets: Some(offer_1_1), ..Secures::default() })
    }),
    Entry::new("begins TLS 1.1 with who has nothing newer", |_| {
        Fault::secures(Secures { answers: Some(answer_1_1), ..Secures::default() })
    }),
    Entry::new("is the TLS client where it has opened the connection", |_| {
        part(|_, _, opened| if opened { Part::Client } else { Part::Server })
    }),
    Entry::new("compares the octets of nonces with a sign", |_| {
        part(|own, other, _| {
            let signed = |line: &[u8]| line.iter().map(|octet| octet.cast_signed()).collect::<Vec<_>>();
            if signed(own) < signed(other) { Part::Client } else { Part::Server }
        })
    }),
    Entry::new("takes a nonce for higher than one that goes on", |_| {
        part(|own, other, _| {
            let right = by_nonces(own, other);
            if own.starts_with(other) || other.starts_with(own) { right.other() } else { right }
        })
    }),
    Entry::new("does not close when TLS has failed", |_| closes(Closes::UnlessFailed)),
    Entry::new("ends TLS without a close_notify", |_| closes(Closes::Unsaid)),
    Entry::new("takes an end without close_notify for one with it", |_| closes(Closes::AsIfSaid)),
];

fn takes(takes: Takes) -> Fault {
    Fault::secures(Secures { takes, ..Secures::default() })
}

fn names(names: Names) -> Fault {
    Fault::secures(Secures { names, ..Secures::default() })
}

fn asks(asks: Asks) -> Fault {
    Fault::secures(Secures { asks, ..Secures::default() })
}

fn unproven(unproven: &'static [ProtocolVersion]) -> Fault {
    Fault::secures(Secures { unproven, ..Secures::default() })
}

fn presents(presents: Presents) -> Fault {
    Fault::secures(Secures { presents, ..Secures::default() })
}

fn closes(closes: Closes) -> Fault {
    Fault::secures(Secures { closes, ..Secures::default() })
}

fn part(part: fn(&[u8], &[u8], bool) -> Part) -> Fault {
    Fault::secures(Secures { part, ..Secures::default() })
}

/// Puts TLS 1.1 into the place of 1.2 in the list of versions of a `ClientHello`. The other side signs what it has read.
fn offer_1_1(octets: &mut [u8]) {
    const NAMES: [u8; 9] = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    if let Some(at) = octets.windows(NAMES.len()).position(|found| found == NAMES) {
        octets[at + NAMES.len() - 1] = 2;
    }
}

/// A `ServerHello` of TLS 1.1, if these octets are a `ClientHello` of it.
fn answer_1_1(octets: &[u8]) -> Option<Vec<u8>> {
    let [22, 3, _, _, _, 1, _, _, _, 3, 2, ..] = octets else { return None };
    // No session, one of the cipher suites that every such client has, no compression.
    let body = [&[3, 2][..], &[0x5a; 32], &[0, 0xc0, 0x14, 0]].concat();
    let length = u8::try_from(body.len()).ok()?;
    Some([&[22, 3, 2, 0, length + 4, 2, 0, 0, length], &body[..]].concat())
}
