//! TLS between nodes: who is let in, and what whoever is not gets told.

use std::time::Duration;

use crate::support::certificates::{Authority, RECORDED, shared};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, CertificatesError, Config, Events, Node};

fn config(id: &str, certificates: Option<Certificates>) -> Config {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.certificates = certificates;
    config
}

fn with_secret(mut config: Config, secret: &str) -> Config {
    config.node.link.secret = Some(Secret::new(secret.as_bytes()).expect("a secret"));
    config
}

fn sharing(pem: &str) -> Option<Certificates> {
    Some(Certificates::shared(pem.as_bytes()).expect("a certificate and a key"))
}

fn issued(pem: &str, authority: &Authority) -> Option<Certificates> {
    let issued = Certificates::issued(pem.as_bytes(), authority.pem.as_bytes()).expect("a certificate, a key, an authority");
    Some(issued.any_name())
}

fn bound(certificates: Option<Certificates>) -> Option<Certificates> {
    certificates.map(Certificates::bound_to_node_ids)
}

async fn listen(mut config: Config) -> Node {
    config.listen = vec!["127.0.0.1:0".into()];
    Node::start(config).await.expect("it listens")
}

async fn join(mut config: Config, seed: &Node) -> Node {
    config.seeds = vec![seed.addresses()[0].to_string()];
    Node::start(config).await.expect("it starts")
}

/// Comes up, or the reason why not, as this side says it.
async fn outcome(events: &mut Events) -> Result<(), String> {
    loop {
        match events.recv().await.expect("it runs") {
            NodeEvent::Up(_) => return Ok(()),
            NodeEvent::Refused { error, .. } => return Err(error),
            _ => {}
        }
    }
}

/// What becomes of a connection: what the one that opened it says, and the one that accepted it.
async fn meet(acceptor: Config, opener: Config) -> [Result<(), String>; 2] {
    let acceptor = listen(acceptor).await;
    let mut accepted = acceptor.events();
    let opener = join(opener, &acceptor).await;
    let mut opened = opener.events();
    let outcomes = [outcome(&mut opened).await, outcome(&mut accepted).await];
    if outcomes[0].is_ok() {
        opener.call(&acceptor.id().port(""), &"snd", None).await.expect("an echo");
    }
    outcomes
}

/// Both sides say so, whichever part of TLS the nonces give them.
async fn refused(acceptor: impl Fn() -> Config, opener: impl Fn() -> Config, expected: [&[&str]; 2]) {
    for _ in 0..8 {
        for (got, expected) in meet(acceptor(), opener()).await.into_iter().zip(expected) {
            let got = got.expect_err("it must not come up");
            assert!(expected.iter().any(|expected| got.contains(expected)), "{got}; expected: {expected:?}");
        }
    }
}

#[tokio::test]
async fn nodes_that_share_a_certificate_connect_whichever_part_of_tls_they_get() {
    for pem in [&shared(), RECORDED] {
        for (secret, other_secret) in [(None, None), (Some("swordfish"), Some("swordfish")), (Some("swordfish"), None)] {
            // The nonces are random: sixteen connections have both parts in both directions.
            for _ in 0..16 {
                let side = |id, secret: Option<&str>| match secret {
                    Some(secret) => with_secret(config(id, sharing(pem)), secret),
                    None => config(id, sharing(pem)),
                };
                let outcomes = meet(side("seed", secret), side("worker", other_secret)).await;
                assert_eq!(outcomes, [Ok(()), Ok(())]);
            }
        }
    }
}

#[tokio::test]
async fn nodes_with_certificates_of_an_authority_connect_bound_to_their_names_or_not() {
    let authority = Authority::new();
    let (seed, worker) = (authority.issue("seed"), authority.issue("worker"));
    let by_dns = authority.issue_dns("worker");
    for bound in [|certificates| certificates, bound] {
        for worker in [&worker, &by_dns] {
            for _ in 0..8 {
                let outcomes = meet(
                    config("seed", bound(issued(&seed, &authority))),
                    config("worker", bound(issued(worker, &authority))),
                );
                assert_eq!(outcomes.await, [Ok(()), Ok(())]);
            }
        }
    }
}

#[tokio::test]
async fn a_foreign_certificate_is_refused_and_both_sides_hear_why() {
    let (ours, theirs) = (shared(), shared());
    let either = ["certificate is none that this node trusts [TLS-5]", "does not trust this node's certificate [TLS-5]"];
    // TLS-6
    refused(|| config("seed", sharing(&ours)), || config("worker", sharing(&theirs)), [&either, &either]).await;
    let (authority, other) = (Authority::new(), Authority::new());
    let (seed, worker) = (authority.issue("seed"), other.issue("worker"));
    let (seed, worker) = (|| config("seed", issued(&seed, &authority)), || config("worker", issued(&worker, &other)));
    refused(seed, worker, [&either, &either]).await;
    refused(seed, || config("worker", sharing(&theirs)), [&either, &either]).await;
}

#[tokio::test]
async fn an_expired_certificate_of_an_authority_is_refused() {
    let authority = Authority::new();
    let seed = authority.issue("seed");
    for (years, reason) in [([2000, 2001], "certificate has expired [TLS-5]"), ([2900, 2901], "is not valid yet: do")] {
        let expired = authority.issue_for("aemp:worker", years);
        let own = ["for the other side, this node's certificate has expired or is not valid yet [TLS-5]"];
        refused(
            || config("seed", issued(&seed, &authority)),
            || config("worker", issued(&expired, &authority)),
            [&own, &[reason]],
        )
        .await;
    }
}

#[tokio::test]
async fn a_certificate_that_is_made_out_to_another_node_is_refused_where_names_are_bound() {
    let authority = Authority::new();
    let (seed, other) = (authority.issue("seed"), authority.issue("other"));
    let unbound = meet(config("seed", issued(&seed, &authority)), config("worker", issued(&other, &authority)));
    assert_eq!(unbound.await, [Ok(()), Ok(())]);
    refused(
        || config("seed", bound(issued(&seed, &authority))),
        || config("worker", issued(&other, &authority)),
        [
            &["made out to this node, which this one's is not [TLS-12]"],
            &["the other side's certificate is not made out to the node \"worker\" [TLS-12]"],
        ],
    )
    .await;
}

#[tokio::test]
async fn a_plain_peer_is_refused_and_taken_where_that_is_asked_for() {
    let pem = shared();
    let secured = || with_secret(config("secured", sharing(&pem)), "swordfish");
    let plain = || with_secret(config("plain", None), "swordfish");
    let required = "TLS is required here, and the peer does not want it [TLS-7]";
    refused(secured, plain, [&["the peer wants TLS, and this side has no certificate for that"], &[required]]).await;
    refused(plain, secured, [&[required], &["connection lost: it ended before the peer's authentication line"]]).await;
    let either = || {
        let mut config = secured();
        config.allow_plaintext = true;
        config
    };
    assert_eq!(meet(either(), plain()).await, [Ok(()), Ok(())]);
    assert_eq!(meet(plain(), either()).await, [Ok(()), Ok(())]);
}

#[tokio::test]
async fn a_node_that_is_told_to_goes_by_the_secret_inside_tls_too() {
    let pem = shared();
    let side = |id, secret| {
        let mut config = with_secret(config(id, sharing(&pem)), secret);
        config.node.link.accept = vec![aemp_node::proto::auth::Method::HmacSha3_512];
        config
    };
    assert_eq!(meet(side("seed", "swordfish"), side("worker", "swordfish")).await, [Ok(()), Ok(())]);
    let outcomes = meet(side("seed", "swordfish"), side("worker", "trout")).await;
    assert!(outcomes[1].as_ref().expect_err("a wrong secret").contains("wrong token"), "{outcomes:?}");
}

#[tokio::test]
async fn a_large_message_and_many_small_ones_go_through_tls() {
    let pem = shared();
    let seed = listen(config("seed", sharing(&pem))).await;
    let mut mailbox = seed.mailbox().await.expect("it runs");
    let worker = join(config("worker", sharing(&pem)), &seed).await;
    let text = "x".repeat(700_000);
    for number in 0..1000_u64 {
        let text = if number % 100 == 0 { &text[..] } else { "small" };
        worker.send(mailbox.id(), &(number, text)).expect("it fits");
    }
    for expected in 0..1000 {
        let (number, got): (u64, String) = mailbox.recv().await.expect("it arrives").decode().expect("as it was sent");
        assert_eq!((number, got.len()), (expected, if expected % 100 == 0 { text.len() } else { 5 }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_connect_to_each_other_at_once_lose_nothing_inside_tls() {
    let pem = shared();
    for _ in 0..50 {
        let (a, b) = tokio::join!(listen(config("a", sharing(&pem))), listen(config("b", sharing(&pem))));
        let (mut at_a, mut at_b) = (a.mailbox().await.expect("it runs"), b.mailbox().await.expect("it runs"));
        a.add_seed(&b.addresses()[0].to_string());
        b.add_seed(&a.addresses()[0].to_string());
        for number in 0..50_u64 {
            a.send(at_b.id(), &number).expect("small");
            b.send(at_a.id(), &number).expect("small");
        }
        for mailbox in [&mut at_a, &mut at_b] {
            for expected in 0..50 {
                let number: u64 = mailbox.recv().await.expect("it arrives").decode().expect("a number");
                assert_eq!(number, expected);
            }
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_inside_tls_is_an_end_like_any_other() {
    let pem = shared();
    let seed = listen(config("seed", sharing(&pem))).await;
    let mut events = seed.events();
    let worker = join(config("worker", sharing(&pem)), &seed).await;
    assert_eq!(outcome(&mut events).await, Ok(()));
    drop(worker);
    let reasons = loop {
        if let NodeEvent::Down(_, reasons) = events.recv().await.expect("it runs") {
            break reasons;
        }
    };
    assert_eq!(reasons.values()[2], "Unexpected end-of-file".into());
}

#[tokio::test]
async fn a_handshake_that_stalls_inside_tls_ends_in_time() {
    let mut own = config("seed", sharing(&shared()));
    own.node.link.handshake_timeout = Duration::from_millis(300);
    let seed = listen(own).await;
    let mut events = seed.events();
    // As the client it says nothing, or half of something; as the server it does not answer.
    for behind in ["!\n", "!\n\u{16}\u{3}\u{1}\u{2}", "~\n"] {
        let mut stream = std::net::TcpStream::connect(seed.addresses()[0]).expect("it listens");
        let greeting = format!("aemp;1;stalls;tls_sha3_512;json;tls=1.0\n{behind}");
        std::io::Write::write_all(&mut stream, greeting.as_bytes()).expect("it reads");
        let error = outcome(&mut events).await.expect_err("it must not come up");
        assert!(error.contains("no handshake within 300ms: it ended during the TLS handshake [LIMIT-1]"), "{error}");
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_reason() {
    let (one, other, authority) = (shared(), shared(), Authority::new());
    let certificate = one.split_inclusive("-----END CERTIFICATE-----").next().expect("a part").to_owned();
    let key = &other[other.find("-----BEGIN PRIVATE").expect("a key")..];
    let refused = |pem: &str| Certificates::shared(pem.as_bytes()).expect_err("it cannot be used").to_string();
    assert_eq!(refused(""), "there is no certificate in it");
    assert!(refused(&certificate).contains("there is no private key in it that can be read"));
    assert_eq!(refused(&format!("{certificate}\n{key}")), "the key does not belong to the certificate");
    assert!(refused(&one.replace("BEGIN CERT", "BEGIN XCERT")).contains("certificate"));
    let no_authority = Certificates::issued(authority.issue("a").as_bytes(), b"nothing");
    assert_eq!(no_authority.expect_err("nothing").to_string(), "there is no certificate in it");
    let missing = Certificates::from_files("/nonexistent/a.pem".as_ref(), None).expect_err("no such file");
    assert!(matches!(missing, CertificatesError::File(..)));
    assert!(missing.to_string().starts_with("/nonexistent/a.pem: No such file"), "{missing}");
    let shown = format!("{:?}", Certificates::shared(one.as_bytes()).expect("right"));
    assert_eq!(shown, "Certificates { chain: 1, trust: Trust { pinned: 1, authorities: 0, .. }, bound: false, .. }");
}
