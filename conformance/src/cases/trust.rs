//! Chapter 3: certificates that are trusted, and that are not.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use super::tls::{Network, greets, on, secured};
use crate::case::{Case, End};
use crate::certificates::{Certificates, Identity, Issued};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Listen, Tls};
use crate::subject::Level::Transport;
use crate::test::Test;
use crate::tls::Part::{self, Client, Server};
use crate::tls::{BOTH, NEWEST, OLDER, Versions};

/// What the suite presents: to be made for the ID under which it greets.
type Presents = fn(&Certificates, &str) -> Step<Option<Identity>>;

/// A handshake with TLS, to a node that listens.
struct Row {
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    network: Network,
    part: Part,
    presents: Presents,
    versions: Versions,
}

impl Row {
    /// The same with one version of TLS alone.
    const fn with(self, versions: Versions) -> Self {
        Row { versions, ..self }
    }
}

/// Handshakes after which an echo is answered.
const TRUSTED: &[Row; 9] = &[
    row(
        "tls/shared-as-client",
        &["TLS-2", "TLS-3", "TLS-5", "TLS-9"],
        "The nonce of the suite is lower: the node is the TLS server; all share a certificate.",
        Network::Shared,
        Client,
        |c, _| Ok(Some(c.shared.clone())),
    ),
    row(
        "tls/shared-as-server",
        &["TLS-2", "TLS-3", "TLS-5", "TLS-9"],
        "The nonce of the suite is higher: the node is the TLS client; all share a certificate.",
        Network::Shared,
        Server,
        |c, _| Ok(Some(c.shared.clone())),
    ),
    row(
        "tls/old-shared-as-client",
        &["TLS-5"],
        "That the time of a shared certificate is over means nothing to a TLS server.",
        Network::Old,
        Client,
        |c, _| Ok(Some(c.old.clone())),
    ),
    row(
        "tls/old-shared-as-server",
        &["TLS-5"],
        "That the time of a shared certificate is over means nothing to a TLS client.",
        Network::Old,
        Server,
        |c, _| Ok(Some(c.old.clone())),
    ),
    row(
        "tls/issued-as-client",
        &["TLS-2", "TLS-3", "TLS-5", "TLS-9"],
        "A certificate that the authority of the network has issued is trusted by a TLS server.",
        Network::Issued,
        Client,
        |c, _| Ok(Some(c.suite.clone())),
    ),
    row(
        "tls/issued-as-server",
        &["TLS-2", "TLS-3", "TLS-5", "TLS-9"],
        "A certificate that the authority of the network has issued is trusted by a TLS client, whatever names it has.",
        Network::Issued,
        Server,
        |c, _| Ok(Some(c.suite.clone())),
    ),
    row(
        "tls/bound-by-uri-as-client",
        &["TLS-12"],
        "A certificate with the URI of the node ID is bound to it, for a TLS server.",
        Network::Bound,
        Client,
        by_uri,
    ),
    row(
        "tls/bound-by-uri-as-server",
        &["TLS-12"],
        "A certificate with the URI of the node ID is bound to it, for a TLS client.",
        Network::Bound,
        Server,
        by_uri,
    ),
    row(
        "tls/bound-by-dns-name",
        &["TLS-12"],
        "A certificate with a DNS name that is the node ID is bound to it.",
        Network::Bound,
        Client,
        |c, node| c.authority.issue(&Issued { dns: Some(node.into()), ..Issued::default() }).map(Some),
    ),
];

/// Handshakes that must fail.
const REFUSED: &[Row; 26] = &[
    row(
        "tls/no-certificate",
        &["TLS-5", "TLS-6"],
        "A TLS client without a certificate is refused.",
        Network::Shared,
        Client,
        |_, _| Ok(None),
    ),
    row(
        "tls/no-certificate-of-the-authority",
        &["TLS-5", "TLS-6"],
        "A TLS client without a certificate is refused where an authority issues them.",
        Network::Issued,
        Client,
        |_, _| Ok(None),
    ),
    row(
        "tls/foreign-as-client",
        &["TLS-5", "TLS-6"],
        "A TLS client with another certificate than the shared one is refused.",
        Network::Shared,
        Client,
        |c, _| Ok(Some(c.foreign.clone())),
    ),
    row(
        "tls/foreign-as-server",
        &["TLS-5", "TLS-6"],
        "A TLS server with another certificate than the shared one is refused.",
        Network::Shared,
        Server,
        |c, _| Ok(Some(c.foreign.clone())),
    ),
    row(
        "tls/foreign-to-the-authority-as-client",
        &["TLS-5", "TLS-6"],
        "A TLS client with a certificate that it has signed itself is refused where an authority issues them.",
        Network::Issued,
        Client,
        |c, _| Ok(Some(c.foreign.clone())),
    ),
    row(
        "tls/foreign-to-the-authority-as-server",
        &["TLS-5", "TLS-6"],
        "A TLS server with a certificate that it has signed itself is refused where an authority issues them.",
        Network::Issued,
        Server,
        |c, _| Ok(Some(c.foreign.clone())),
    ),
    row(
        "tls/other-authority-as-client",
        &["TLS-5", "TLS-6"],
        "A certificate of another authority, of the same name, is refused by a TLS server.",
        Network::Issued,
        Client,
        |c, _| c.stranger.issue(&Issued::default()).map(Some),
    ),
    row(
        "tls/other-authority-as-server",
        &["TLS-5", "TLS-6"],
        "A certificate of another authority, of the same name, is refused by a TLS client.",
        Network::Issued,
        Server,
        |c, _| c.stranger.issue(&Issued::default()).map(Some),
    ),
    row(
        "tls/expired-as-client",
        &["TLS-5", "TLS-6"],
        "An issued certificate whose time is over is refused by a TLS server.",
        Network::Issued,
        Client,
        |c, _| valid(c, [2001, 2002]),
    ),
    row(
        "tls/expired-as-server",
        &["TLS-5", "TLS-6"],
        "An issued certificate whose time is over is refused by a TLS client.",
        Network::Issued,
        Server,
        |c, _| valid(c, [2001, 2002]),
    ),
    row(
        "tls/not-yet-valid",
        &["TLS-5", "TLS-6"],
        "An issued certificate whose time has not come is refused.",
        Network::Issued,
        Client,
        |c, _| valid(c, [3000, 3001]),
    ),
    row(
        "tls/for-servers-only",
        &["TLS-5", "TLS-6"],
        "An issued certificate that is for servers only is refused from a TLS client.",
        Network::Issued,
        Client,
        |c, _| c.authority.issue(&Issued { purposes: vec![ServerAuth], ..Issued::default() }).map(Some),
    ),
    row(
        "tls/for-clients-only",
        &["TLS-5", "TLS-6"],
        "An issued certificate that is for clients only is refused from a TLS server.",
        Network::Issued,
        Server,
        |c, _| c.authority.issue(&Issued { purposes: vec![ClientAuth], ..Issued::default() }).map(Some),
    ),
    row(
        "tls/copied-as-client",
        &["TLS-11", "TLS-6"],
        "Who presents the shared certificate as a TLS client, and does not have its key, is refused.",
        Network::Shared,
        Client,
        copied,
    ),
    row(
        "tls/copied-as-server",
        &["TLS-11", "TLS-6"],
        "Who presents the shared certificate as a TLS server, and does not have its key, is refused.",
        Network::Shared,
        Server,
        copied,
    ),
    row(
        "tls/copied-from-a-member",
        &["TLS-11", "TLS-6"],
        "Who presents the certificate of a member, and does not have its key, is refused.",
        Network::Issued,
        Client,
        |c, _| Ok(Some(c.suite.with_key_of(&c.foreign))),
    ),
    row(
        "tls/copied-as-client-with-1-2",
        &["TLS-11", "TLS-6"],
        "A TLS client that has TLS 1.2 alone, and the shared certificate without its key, is refused.",
        Network::Shared,
        Client,
        copied,
    )
    .with(OLDER),
    row(
        "tls/copied-as-server-with-1-2",
        &["TLS-11", "TLS-6"],
        "A TLS server that has TLS 1.2 alone, and the shared certificate without its key, is refused.",
        Network::Shared,
        Server,
        copied,
    )
    .with(OLDER),
    row(
        "tls/copied-as-client-with-1-3",
        &["TLS-11", "TLS-6"],
        "A TLS client that has TLS 1.3 alone, and the shared certificate without its key, is refused.",
        Network::Shared,
        Client,
        copied,
    )
    .with(NEWEST),
    row(
        "tls/copied-as-server-with-1-3",
        &["TLS-11", "TLS-6"],
        "A TLS server that has TLS 1.3 alone, and the shared certificate without its key, is refused.",
        Network::Shared,
        Server,
        copied,
    )
    .with(NEWEST),
    row(
        "tls/no-certificate-with-1-2",
        &["TLS-5", "TLS-6"],
        "A TLS client that has TLS 1.2 alone, and no certificate, is refused.",
        Network::Shared,
        Client,
        |_, _| Ok(None),
    )
    .with(OLDER),
    row(
        "tls/foreign-as-client-with-1-2",
        &["TLS-5", "TLS-6"],
        "A TLS client that has TLS 1.2 alone, and another certificate than the shared one, is refused.",
        Network::Shared,
        Client,
        |c, _| Ok(Some(c.foreign.clone())),
    )
    .with(OLDER),
    row(
        "tls/foreign-as-server-with-1-2",
        &["TLS-5", "TLS-6"],
        "A TLS server that has TLS 1.2 alone, and another certificate than the shared one, is refused.",
        Network::Shared,
        Server,
        |c, _| Ok(Some(c.foreign.clone())),
    )
    .with(OLDER),
    row(
        "tls/bound-to-another-as-client",
        &["TLS-12"],
        "A certificate that is made out to another node is refused from a TLS client.",
        Network::Bound,
        Client,
        |c, node| by_uri(c, &format!("{node}x")),
    ),
    row(
        "tls/bound-to-another-as-server",
        &["TLS-12"],
        "A certificate that is made out to another node is refused from a TLS server.",
        Network::Bound,
        Server,
        |c, node| by_uri(c, &format!("{node}x")),
    ),
    row(
        "tls/bound-to-nobody",
        &["TLS-12"],
        "A certificate that is made out to nobody is refused where they are bound.",
        Network::Bound,
        Client,
        |c, _| Ok(Some(c.suite.clone())),
    ),
];

const CASES_TRUSTED: [Case; TRUSTED.len()] = cases_of(TRUSTED, End::Stays, |t| {
    let (row, certificates, mut peer) = begun(t, TRUSTED)?;
    let node = peer.node().to_owned();
    let identity = (row.presents)(certificates, &node)?;
    let secured = secured(&mut peer, row.part, identity.as_ref(), row.versions)?;
    let expected = match row.network {
        Network::Shared => &certificates.shared,
        Network::Old => &certificates.old,
        Network::Issued | Network::Bound => &certificates.node,
    };
    check(
        secured.certificates.first() == Some(expected.certificate()),
        "the certificate that the node was given",
        if secured.certificates.is_empty() { "none" } else { "another one" },
    )
    .breaks("TLS-9")?;
    t.ends(peer);
    Ok(())
});

const CASES_REFUSED: [Case; REFUSED.len()] = cases_of(REFUSED, End::Closes, |t| {
    let (row, certificates, mut peer) = begun(t, REFUSED)?;
    let node = peer.node().to_owned();
    let identity = (row.presents)(certificates, &node)?;
    greets(&mut peer, row.part)?;
    // With TLS 1.3 the client is done before the server has looked at its certificate.
    if let Err(failure) = peer.secure(row.part, identity.as_ref(), row.versions)? {
        t.log.note(0, format!("TLS: {failure}"));
    }
    t.ends(peer);
    Ok(())
});

/// The cases about certificates.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    const TRUSTED: &[Case] = &CASES_TRUSTED;
    const REFUSED: &[Case] = &CASES_REFUSED;
    TRUSTED.iter().chain(REFUSED)
}

const fn row(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    network: Network,
    part: Part,
    presents: Presents,
) -> Row {
    Row { name, proves, about, network, part, presents, versions: BOTH }
}

const fn cases_of<const N: usize>(rows: &[Row; N], end: End, run: fn(&mut Test<'_>) -> Step) -> [Case; N] {
    let mut cases = [Case::new("", &[], "", run).level(Transport).needs(&[Tls, Listen]).alone(); N];
    let mut at = 0;
    while at < N {
        cases[at].name = rows[at].name;
        cases[at].proves = rows[at].proves;
        cases[at].about = rows[at].about;
        cases[at].end = end;
        at += 1;
    }
    cases
}

/// The shared certificate, without its key.
#[expect(clippy::unnecessary_wraps, reason = "others have to be made")]
fn copied(certificates: &Certificates, _: &str) -> Step<Option<Identity>> {
    Ok(Some(certificates.shared.with_key_of(&certificates.foreign)))
}

fn by_uri(certificates: &Certificates, node: &str) -> Step<Option<Identity>> {
    // The IDs of the suite consist of characters that are not escaped.
    certificates.authority.issue(&Issued { uri: Some(format!("aemp:{node}")), ..Issued::default() }).map(Some)
}

fn valid(certificates: &Certificates, years: [i32; 2]) -> Step<Option<Identity>> {
    certificates.authority.issue(&Issued { years: Some(years), ..Issued::default() }).map(Some)
}

fn begun<'b>(t: &mut Test<'b>, rows: &'static [Row]) -> Step<(&'static Row, &'b Certificates, Peer)> {
    let row = rows.iter().find(|row| row.name == t.name()).ok_or_else(|| Failure::Suite("a case without its row".into()))?;
    Ok((row, t.certificates()?, on(t, row.network)?))
}
