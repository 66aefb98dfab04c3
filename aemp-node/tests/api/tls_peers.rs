//! TLS with peers that have nothing in common with ours: Python's `ssl`, `openssl`, and one that lies.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::support::certificates::{Authority, RECORDED, shared};
use crate::support::{Running, output, text};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::{Method, Transcript};
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config, Events, Node};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// Lower and higher than the first digit of any nonce of a node: whoever sends it is the client, or the server.
const NONCES: [(&str, &str); 2] = [("!", "client"), ("~", "server")];

/// A file for as long as a test needs it.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aemp-{}-{name}.pem", std::process::id()));
        std::fs::write(&path, content).expect("a folder for files that go away");
        File(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("plain")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It is in a folder for such files.
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// A node that answers at `echo`, and what happens in it.
async fn node(certificates: Certificates) -> (Node, Events) {
    node_that_waits(certificates, Duration::from_secs(30)).await
}

/// The same, with a time for the handshake.
async fn node_that_waits(certificates: Certificates, handshake_timeout: Duration) -> (Node, Events) {
    let mut config = Config::new(NodeId::new("seed").expect("a node ID"));
    config.certificates = Some(certificates);
    config.node.link.handshake_timeout = handshake_timeout;
    config.listen = vec!["127.0.0.1:0".into()];
    let node = Node::start(config).await.expect("it listens");
    node.with(|context| context.named_port("echo", aemp_node::echo)).await.expect("it runs").expect("the name is free");
    let events = node.events();
    (node, events)
}

fn sharing(pem: &str) -> Certificates {
    Certificates::shared(pem.as_bytes()).expect("a certificate and a key")
}

fn address(node: &Node) -> String {
    node.addresses()[0].to_string()
}

async fn refusal(events: &mut Events) -> String {
    loop {
        if let NodeEvent::Refused { error, .. } = events.recv().await.expect("it runs") {
            return error;
        }
    }
}

fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-W", "ignore", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/tls_peer.py")]).args(arguments);
    command.env("OPENSSL_CONF", "/dev/null");
    command
}

fn python_connects(node: &Node, nonce: &str, more: &[&str]) -> String {
    let got = output(&mut python(&[&["--connect", &address(node), "--nonce", nonce], more].concat()));
    assert_eq!(text(&got.stderr), "");
    text(&got.stdout)
}

#[tokio::test]
async fn pythons_ssl_is_a_peer_like_any_other_in_both_parts_whoever_opens() {
    let authority = Authority::new();
    let ours = shared();
    let networks = [
        (sharing(RECORDED), RECORDED, RECORDED),
        (sharing(&ours), &ours, &ours),
        (
            Certificates::issued(authority.issue("seed").as_bytes(), authority.pem.as_bytes())
                .expect("all there")
                .bound_to_node_ids(),
            &authority.issue("python"),
            &authority.pem,
        ),
    ];
    for (certificates, pem, authority) in networks {
        let (pem, authority) = (File::new("python", pem), File::new("python-ca", authority));
        let (node, _) = node(certificates).await;
        for (nonce, part) in NONCES {
            for version in ["TLSv1_3", "TLSv1_2"] {
                let more = ["--certificate", pem.name(), "--authority", authority.name(), "--version", version];
                let expected = format!("{part} {} [\"me\",\"hello\"]\n", version.replace('_', "."));
                // TLS-1 TLS-2 TLS-3 TLS-9
                assert_eq!(python_connects(&node, nonce, &more), expected);
                let mut listening = Running::start(&mut python(&[&["--nonce", nonce], &more[..]].concat()));
                node.add_seed(&listening.line());
                assert_eq!(listening.line() + "\n", expected);
            }
        }
    }
}

#[tokio::test]
async fn a_peer_that_must_not_be_trusted_is_told_so_and_the_node_says_why() {
    let (authority, foreign) = (Authority::new(), shared());
    let own = Certificates::issued(authority.issue("seed").as_bytes(), authority.pem.as_bytes());
    let (node, mut events) = node(own.expect("all there").bound_to_node_ids()).await;
    let ca = File::new("ca", &authority.pem);
    let cases = [
        ("no certificate", None, "TLSv1_3", "presents no certificate [TLS-9]", "CERTIFICATE_REQUIRED"),
        ("no certificate", None, "TLSv1_2", "presents no certificate [TLS-9]", "CERTIFICATE_REQUIRED"),
        ("foreign", Some(foreign), "TLSv1_3", "is none that this node trusts [TLS-5]", "UNKNOWN_CA"),
        (
            "expired",
            Some(authority.issue_for("aemp:python", [2000, 2001])),
            "TLSv1_3",
            "has expired [TLS-5]",
            "CERTIFICATE_EXPIRED",
        ),
        (
            "wrong name",
            Some(authority.issue("ruby")),
            "TLSv1_2",
            "not made out to the node \"python\" [TLS-12]",
            "ACCESS_DENIED",
        ),
        ("TLS 1.1", Some(authority.issue("python")), "TLSv1_1", "neither TLS 1.3 nor 1.2 [TLS-10]", "failed: "),
    ];
    for (what, pem, version, expected, alert) in cases {
        let pem = pem.map(|pem| File::new("refused", &pem));
        let mut more = vec!["--authority", ca.name(), "--version", version];
        more.extend(pem.iter().flat_map(|pem| ["--certificate", pem.name()]));
        for (nonce, part) in NONCES {
            // A server without a certificate says nothing.
            if part == "server" && what == "no certificate" {
                continue;
            }
            let said = python_connects(&node, nonce, &more);
            assert!(said.contains(alert), "{what}, {part}: {said}");
            let error = refusal(&mut events).await;
            assert!(error.starts_with("TLS: ") && error.contains(expected), "{what}, {part}: {error}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_does_not_trust_the_node_is_named_by_it() {
    let (node, mut events) = node(sharing(&shared())).await;
    let theirs = File::new("theirs", &shared());
    for (nonce, part) in NONCES {
        let said = python_connects(&node, nonce, &["--certificate", theirs.name(), "--authority", theirs.name()]);
        assert!(said.starts_with(&format!("{part} failed: ")), "{said}");
        let error = refusal(&mut events).await;
        assert!(
            error.ends_with("trusts [TLS-5]") || error.contains("does not trust this node's certificate [TLS-5]"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_stalls_within_the_tls_handshake_is_closed_in_time() {
    // LIMIT-1
    let pem = File::new("stalls", RECORDED);
    let (node, mut events) = node_that_waits(sharing(RECORDED), Duration::from_millis(300)).await;
    for (nonce, part) in NONCES {
        for version in ["TLSv1_3", "TLSv1_2"] {
            let more = ["--certificate", pem.name(), "--authority", pem.name(), "--version", version, "--stall"];
            // As the client it has our certificate and does not answer; as the server it does not answer our first words.
            assert_eq!(python_connects(&node, nonce, &more), format!("{part} stalled after handshake, was closed\n"));
            let error = refusal(&mut events).await;
            assert!(error.contains("no handshake within 300ms: it ended during the TLS handshake [LIMIT-1]"), "{error}");
        }
    }
}

// --- openssl ---

const FIRST: &str = "aemp;1;openssl;tls_sha3_512;json;tls=1.0";

/// Greets, and gives what the node must authenticate by, and what authenticates us.
fn greet(stream: &mut TcpStream, nonce: &str) -> [String; 2] {
    greet_and_say(stream, nonce, &[])
}

/// The same, with octets directly behind the greeting.
fn greet_and_say(stream: &mut TcpStream, nonce: &str, behind: &[u8]) -> [String; 2] {
    stream.write_all(&[format!("{FIRST}\n{nonce}\n").as_bytes(), behind].concat()).expect("it reads");
    let mut lines = Vec::new();
    for _ in 0..2 {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            // One octet at a time: what comes behind the second line is TLS's.
            let mut octet = [0];
            stream.read_exact(&mut octet).expect("it greets");
            line.extend(octet);
        }
        line.pop();
        lines.push(line);
    }
    let (own, other) = ([FIRST.as_bytes(), nonce.as_bytes()], [&lines[0][..], &lines[1][..]]);
    let line = |transcript: &Transcript<'_>| {
        let token = Method::TlsSha3_512.token(transcript, None).expect("it needs no secret");
        format!("tls_sha3_512;{};json", token.as_str())
    };
    [line(&Transcript { own: other, other: own }), line(&Transcript { own, other })]
}

/// Carries octets between two connections until one ends.
fn relay(one: &TcpStream, other: &TcpStream) {
    for (from, to) in [(one, other), (other, one)] {
        let (mut from, mut to) = (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
        std::thread::spawn(move || {
            // Either end may be gone.
            let _ended = std::io::copy(&mut from, &mut to);
            let _ended = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

/// The program `openssl`, and what it prints.
struct Openssl {
    process: Child,
    input: ChildStdin,
    said: BufReader<std::process::ChildStdout>,
    /// What it has said.
    log: String,
}

impl Openssl {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(arguments).env("OPENSSL_CONF", "/dev/null");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = piped.spawn().expect("openssl starts");
        let (input, said) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        Openssl { process, input, said: BufReader::new(said), log: String::new() }
    }

    /// Reads until it has said this.
    fn hear(&mut self, expected: &str) {
        while !self.log.contains(expected) {
            let octets = self.said.fill_buf().expect("it speaks");
            assert!(!octets.is_empty(), "{expected} did not come: {}", self.log);
            self.log += &text(octets);
            let length = octets.len();
            self.said.consume(length);
        }
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        self.process.wait().expect("it is ours");
    }
}

/// A connection that has greeted, handed over to openssl, which runs TLS in the given part.
fn handed_over(mut stream: TcpStream, nonce: &str, part: &str, more: &[&str]) -> (Openssl, [String; 2]) {
    let lines = greet(&mut stream, nonce);
    let openssl = if part == "client" {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("its address").to_string();
        let openssl = Openssl::start(&[&["s_client", "-connect", &own, "-quiet", "-verify_return_error"], more].concat());
        relay(&stream, &listener.accept().expect("it connects").0);
        openssl
    } else {
        let arguments = ["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-Verify", "1", "-verify_return_error"];
        let mut openssl = Openssl::start(&[&arguments[..], more].concat());
        openssl.hear("ACCEPT 127.0.0.1:");
        openssl.hear("\n");
        let own = openssl.log.trim().rsplit(' ').next().expect("an address").to_owned();
        relay(&stream, &TcpStream::connect(own).expect("it listens"));
        openssl
    };
    (openssl, lines)
}

/// A connection with the node, made by it or to it.
fn connection(node: &Node, node_opens: bool) -> TcpStream {
    if !node_opens {
        return TcpStream::connect(address(node)).expect("it listens");
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    node.add_seed(&listener.local_addr().expect("its address").to_string());
    listener.accept().expect("it dials").0
}

fn openssl_is_there() -> bool {
    let is_there = Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        println!("not shown: there is no program openssl");
    }
    is_there
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_a_peer_in_both_parts_whoever_opens() {
    if !openssl_is_there() {
        return;
    }
    let pem = File::new("openssl", RECORDED);
    let (node, _) = node(sharing(RECORDED)).await;
    for (nonce, part) in NONCES {
        for node_opens in [false, true] {
            for version in ["-tls1_3", "-tls1_2"] {
                let more = ["-cert", pem.name(), "-key", pem.name(), "-CAfile", pem.name(), version];
                let (mut openssl, [expected, own]) = handed_over(connection(&node, node_opens), nonce, part, &more);
                openssl.input.write_all(format!("{own}\n").as_bytes()).expect("it reads");
                openssl.hear(&expected);
                openssl.input.write_all(b"[\"echo\",\"hello\",\"openssl#me\"]\n").expect("it reads");
                openssl.hear("[\"me\",\"hello\"]");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_refused_without_a_certificate_with_a_foreign_one_and_with_tls_1_1() {
    if !openssl_is_there() {
        return;
    }
    let (pem, foreign) = (File::new("openssl-own", RECORDED), File::new("openssl-foreign", &shared()));
    let (node, mut events) = node(sharing(RECORDED)).await;
    let right = ["-cert", pem.name(), "-key", pem.name()];
    let wrong = ["-cert", foreign.name(), "-key", foreign.name()];
    let cases: [(&str, &[&str], &[&str], &str); 4] = [
        ("client", &[], &[], "presents no certificate [TLS-9]"),
        ("client", &wrong, &[], "is none that this node trusts [TLS-5]"),
        ("server", &wrong, &[], "is none that this node trusts [TLS-5]"),
        ("client", &right, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "neither TLS 1.3 nor 1.2 [TLS-10]"),
    ];
    for (part, certificate, version, expected) in cases {
        let (nonce, _) = NONCES.into_iter().find(|(_, of)| *of == part).expect("there are two");
        let more = [certificate, &["-CAfile", pem.name()], version].concat();
        let (_openssl, _) = handed_over(connection(&node, false), nonce, part, &more);
        let error = refusal(&mut events).await;
        assert!(error.contains(expected), "{part} {certificate:?} {version:?}: {error}");
    }
    // What a server has not got, only it can tell: it refuses the node.
    let old = [&right[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat();
    for (more, expected) in [(&old[..], "neither TLS 1.3 nor 1.2 [TLS-10]"), (&["-nocert"], "the other side refuses: ")] {
        let more = [more, &["-CAfile", pem.name()]].concat();
        let (_openssl, _) = handed_over(connection(&node, false), "~", "server", &more);
        let error = refusal(&mut events).await;
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_is_refused_with_a_certificate_of_the_authority_that_has_expired_or_is_anothers() {
    if !openssl_is_there() {
        return;
    }
    let authority = Authority::new();
    let ca = File::new("openssl-ca", &authority.pem);
    let own = Certificates::issued(authority.issue("seed").as_bytes(), authority.pem.as_bytes());
    let (node, mut events) = node(own.expect("all there").bound_to_node_ids()).await;
    let right = File::new("openssl-right", &authority.issue("openssl"));
    let expired = File::new("openssl-expired", &authority.issue_for("aemp:openssl", [2000, 2001]));
    let early = File::new("openssl-early", &authority.issue_for("aemp:openssl", [2900, 2901]));
    let others = File::new("openssl-others", &authority.issue("ruby"));
    for (nonce, part) in NONCES {
        for version in ["-tls1_3", "-tls1_2"] {
            let hand_over = |pem: &File| {
                let more = ["-cert", pem.name(), "-key", pem.name(), "-CAfile", ca.name(), version];
                handed_over(connection(&node, false), nonce, part, &more)
            };
            let (mut openssl, [expected, own]) = hand_over(&right);
            openssl.input.write_all(format!("{own}\n").as_bytes()).expect("it reads");
            openssl.hear(&expected);
            drop(openssl);
            for (pem, expected) in [
                (&expired, "has expired [TLS-5]"),
                (&early, "is not valid yet: do the clocks agree? [TLS-5]"),
                (&others, "not made out to the node \"openssl\" [TLS-12]"),
            ] {
                let (_openssl, _) = hand_over(pem);
                let error = refusal(&mut events).await;
                assert!(error.contains(expected), "{part} {version}: {error}");
            }
        }
    }
}

// --- one that lies ---

/// A certificate with a key, which may be that of another one.
fn with_key_of(certificate: &str, key_of: &str) -> Arc<SingleCertAndKey> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(key_of.as_bytes()).expect("a key");
    let key = default_provider().key_provider.load_private_key(key).expect("a key that can be used");
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)))
}

/// TLS-4
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_begins_tls_in_the_same_write_as_its_greeting_is_understood() {
    let (pem, authority) = (shared(), Authority::new());
    let own = Certificates::issued(authority.issue_dns("seed.example").as_bytes(), authority.pem.as_bytes())
        .map(Certificates::any_name);
    let (node, _) = node(own.expect("all there").trust(pem.as_bytes()).expect("a certificate")).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")).expect("an authority");
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_cert_resolver(with_key_of(&pem, &pem));
    let name = "seed.example".try_into().expect("a name");
    let mut tls = ClientConnection::new(Arc::new(client), name).expect("a connection");
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).expect("memory");
    let mut stream = connection(&node, false);
    let [expected, own] = greet_and_say(&mut stream, "!", &hello);
    let mut stream = BufReader::new(rustls::StreamOwned::new(tls, stream));
    stream.get_mut().write_all(format!("{own}\n").as_bytes()).expect("it reads");
    let mut line = String::new();
    stream.read_line(&mut line).expect("it authenticates");
    assert_eq!(line.trim_end(), expected);
}

/// TLS-11
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_certificate_without_its_key_proves_nothing() {
    let (pinned, other, authority) = (shared(), shared(), Authority::new());
    let own = Certificates::issued(authority.issue_dns("seed.example").as_bytes(), authority.pem.as_bytes())
        .map(Certificates::any_name);
    let (node, mut events) = node(own.expect("all there").trust(pinned.as_bytes()).expect("a certificate")).await;
    let provider = Arc::new(default_provider());
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")).expect("an authority");
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_client_cert_resolver(with_key_of(&pinned, &other));
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_cert_resolver(with_key_of(&pinned, &other));
        for (nonce, part) in NONCES {
            let mut stream = connection(&node, false);
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
            greet(&mut stream, nonce);
            let mut got = Vec::new();
            let ended = if part == "client" {
                let name = "seed.example".try_into().expect("a name");
                let tls = ClientConnection::new(Arc::new(client.clone()), name).expect("a connection");
                rustls::StreamOwned::new(tls, stream).read_to_end(&mut got)
            } else {
                let tls = ServerConnection::new(Arc::new(server.clone())).expect("a connection");
                rustls::StreamOwned::new(tls, stream).read_to_end(&mut got)
            };
            assert!(ended.is_err() && got.is_empty(), "{part}");
            let error = refusal(&mut events).await;
            assert!(error.contains("a signature of the other side is wrong [TLS-11]"), "{part} {version:?}: {error}");
        }
    }
}
