//! Secrets and certificates that change while nodes talk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::certificates::{Authority, shared};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::{Method, Secret};
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config, Mailbox, Node};
use tokio::task::JoinHandle;

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes()).expect("a secret")
}

fn config(id: &str) -> Config {
    Config::new(NodeId::new(id).expect("a node ID"))
}

fn with_secret(id: &str, text: &str) -> Config {
    let mut config = config(id);
    config.node.link.secret = Some(secret(text));
    config
}

fn with_certificates(id: &str, certificates: Certificates) -> Config {
    let mut config = config(id);
    config.certificates = Some(certificates);
    config
}

/// Tries to connect as somebody new.
async fn visit(node: &Node, mut visitor: Config) -> Result<(), String> {
    visitor.seeds = vec![node.addresses()[0].to_string()];
    let visitor = Node::start(visitor).await.expect("it starts");
    let mut events = visitor.events();
    loop {
        match events.recv().await.expect("it runs") {
            NodeEvent::Up(_) => return Ok(()),
            NodeEvent::Refused { error, .. } => return Err(error),
            _ => {}
        }
    }
}

/// Three nodes that send numbers to each other until they are told to stop.
struct Network {
    nodes: Vec<Node>,
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<u64>>,
    receivers: Vec<JoinHandle<u64>>,
}

/// What a sender says at the end.
const END: u64 = u64::MAX;

async fn receive(mut mailbox: Mailbox) -> u64 {
    let mut expected = 0;
    loop {
        let number: u64 = mailbox.recv().await.expect("nothing overflows").decode().expect("a number");
        if number == END {
            return expected;
        }
        assert_eq!(number, expected, "a message was lost");
        expected += 1;
    }
}

impl Network {
    async fn start(make: impl Fn(&str) -> Config) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for id in ["a", "b", "c"] {
            let mut config = make(id);
            config.listen = vec!["127.0.0.1:0".into()];
            config.seeds = nodes.iter().map(|node| node.addresses()[0].to_string()).collect();
            nodes.push(Node::start(config).await.expect("it listens"));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for from in &nodes {
            for to in nodes.iter().filter(|to| to.id() != from.id()) {
                while !from.up_nodes().await.expect("it runs").contains(to.id()) {
                    tokio::task::yield_now().await;
                }
                let mailbox = to.mailbox().await.expect("it runs");
                let (from, port, stop) = (from.clone(), mailbox.id().clone(), stop.clone());
                receivers.push(tokio::spawn(receive(mailbox)));
                senders.push(tokio::spawn(async move {
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        from.call(&port.node().port(""), &"snd", None).await.expect("the connection stands");
                        for _ in 0..20 {
                            from.send(&port, &number).expect("small");
                            number += 1;
                        }
                    }
                    from.send(&port, &END).expect("small");
                    number
                }));
            }
        }
        Network { nodes, stop, senders, receivers }
    }

    /// What was sent and has arrived, all of it, over connections that never went down.
    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = 0;
        for (sender, receiver) in self.senders.into_iter().zip(self.receivers) {
            let (sent, received) = (sender.await.expect("no panic"), receiver.await.expect("no panic"));
            assert_eq!(sent, received);
            assert!(sent > 0);
            sum += sent;
        }
        for node in &self.nodes {
            let mut events = node.events();
            let ids: Vec<_> = self.nodes.iter().map(|node| node.id().clone()).collect();
            while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.recv()).await {
                if let NodeEvent::Down(lost, reasons) = event {
                    assert!(!ids.contains(&lost), "{:?} lost {lost}: {reasons:?}", node.id());
                }
            }
            assert_eq!(events.missed(), 0);
        }
        println!("{sum} messages were sent, and all have arrived");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_and_then_a_certificate_change_on_three_nodes_that_talk_and_nothing_is_lost() {
    let (old, new) = (shared(), shared());
    let certificates = |pem: &str| Certificates::shared(pem.as_bytes()).expect("a certificate and a key");
    let network = Network::start(|id| {
        let mut config = with_secret(id, "old");
        config.certificates = Some(certificates(&old));
        // The secret counts, too.
        config.node.link.accept = vec![Method::HmacSha3_512];
        config
    })
    .await;
    let visitor = |text: &str, certificates: Certificates, further: &[&str]| {
        let mut config = with_secret("visitor", text);
        config.node.link.further_secrets = further.iter().map(|text| secret(text)).collect();
        config.node.link.accept = vec![Method::HmacSha3_512];
        config.certificates = Some(certificates);
        config
    };

    // Secrets: first each accepts both, then each sends the new one.
    for node in &network.nodes {
        assert!(visit(node, visitor("new", certificates(&old), &["old"])).await.is_err(), "it does not know it yet");
        node.set_secret(secret("old"), vec![secret("new")]).await.expect("it runs");
        assert_eq!(visit(node, visitor("old", certificates(&old), &[])).await, Ok(()));
        // SEC-7: who has the new one only is answered with it.
        assert_eq!(visit(node, visitor("new", certificates(&old), &[])).await, Ok(()));
    }
    for node in &network.nodes {
        node.set_secret(secret("new"), Vec::new()).await.expect("it runs");
        assert_eq!(visit(node, visitor("new", certificates(&old), &[])).await, Ok(()));
        assert_eq!(visit(node, visitor("old", certificates(&old), &[])).await, Ok(()), "the overlap is an hour");
        assert!(visit(node, visitor("other", certificates(&old), &["new"])).await.is_err());
    }

    // Certificates: the same.
    let both = |own: &str, other: &str| certificates(own).trust(other.as_bytes()).expect("a certificate");
    for node in &network.nodes {
        assert!(visit(node, visitor("new", both(&new, &old), &[])).await.is_err(), "it does not trust it yet");
        node.set_certificates(both(&old, &new)).await.expect("it runs");
        assert_eq!(visit(node, visitor("new", certificates(&old), &[])).await, Ok(()));
        assert_eq!(visit(node, visitor("new", both(&new, &old), &[])).await, Ok(()));
    }
    for node in &network.nodes {
        node.set_certificates(certificates(&new)).await.expect("it runs");
        assert_eq!(visit(node, visitor("new", certificates(&new), &[])).await, Ok(()));
        assert_eq!(visit(node, visitor("new", both(&old, &new), &[])).await, Ok(()), "the overlap is an hour");
        assert!(visit(node, visitor("new", certificates(&shared()), &[])).await.is_err());
    }
    network.finish().await;
}

/// Visits until it is refused, with this in the reason.
async fn becomes_refused(node: &Node, visitor: impl Fn() -> Config, reasons: &[&str]) {
    for _ in 0..1000 {
        match visit(node, visitor()).await {
            Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => {
                assert!(reasons.iter().any(|reason| error.contains(reason)), "{error}");
                return;
            }
        }
    }
    panic!("it is accepted still");
}

async fn listen(mut config: Config) -> Node {
    config.listen = vec!["127.0.0.1:0".into()];
    config.credential_grace = Duration::from_millis(300);
    Node::start(config).await.expect("it listens")
}

#[tokio::test]
async fn what_was_replaced_is_dropped_after_the_overlap() {
    let node = listen(with_secret("seed", "old")).await;
    node.set_secret(secret("new"), Vec::new()).await.expect("it runs");
    becomes_refused(&node, || with_secret("visitor", "old"), &["the secret is wrong, or"]).await;
    assert_eq!(visit(&node, with_secret("visitor", "new")).await, Ok(()));

    let (old, new) = (Authority::new(), Authority::new());
    let issued = |name: &str, by: &Authority, trusted: &str| {
        Certificates::issued(by.issue(name).as_bytes(), trusted.as_bytes()).expect("all there").bound_to_node_ids()
    };
    let both = format!("{}{}", old.pem, new.pem);
    let node = listen(with_certificates("seed", issued("seed", &old, &old.pem))).await;
    node.set_certificates(issued("seed", &new, &new.pem)).await.expect("it runs");
    let visitor = || with_certificates("visitor", issued("visitor", &old, &both));
    becomes_refused(&node, visitor, &["does not trust this node's certificate [TLS-5]"]).await;
    assert_eq!(visit(&node, with_certificates("visitor", issued("visitor", &new, &both))).await, Ok(()));
}

#[tokio::test]
async fn a_network_without_tls_gets_it_while_it_runs() {
    let pem = shared();
    let certificates = || Certificates::shared(pem.as_bytes()).expect("a certificate and a key");
    let mut lenient = with_secret("seed", "swordfish");
    lenient.allow_plaintext = true;
    let (lenient, strict) = (listen(lenient).await, listen(with_secret("strict", "swordfish")).await);
    for node in [&lenient, &strict] {
        assert!(visit(node, with_certificates("visitor", certificates())).await.is_err());
        node.set_certificates(certificates()).await.expect("it runs");
        assert_eq!(visit(node, with_certificates("visitor", certificates())).await, Ok(()));
    }
    assert_eq!(visit(&lenient, with_secret("visitor", "swordfish")).await, Ok(()));
    assert!(visit(&strict, with_secret("visitor", "swordfish")).await.is_err());
}
