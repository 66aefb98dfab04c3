//! The credentials of a node: those that it presents and those that it accepts. Both can change while the node runs.

use std::rc::Rc;
use std::time::Duration;

use aemp_proto::auth::Secret;
use aemp_proto::link::{self, Tls};
use aemp_proto::names::NodeId;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use crate::config::Config;
use crate::driver::Driver;
use crate::handle::{Node, Stopped};
use crate::tls::Certificates;

/// What a node proves itself with, and what it accepts.
pub(crate) struct Credentials {
    node: NodeId,
    certificates: Option<Certificates>,
    plain: bool,
    secret: Option<Secret>,
    further_secrets: Vec<Secret>,
    former: Vec<Former>,
    /// The certificates with what is trusted still.
    effective: Option<Certificates>,
}

/// What was replaced, and is accepted for a time.
struct Former {
    certificates: Option<Certificates>,
    secrets: Vec<Secret>,
    until: Instant,
}

impl Credentials {
    pub(crate) fn new(config: &Config) -> Self {
        let mut credentials = Credentials {
            node: config.node.link.node.clone(),
            certificates: config.certificates.clone(),
            plain: config.allow_plaintext,
            secret: config.node.link.secret.clone(),
            further_secrets: config.node.link.further_secrets.clone(),
            former: Vec::new(),
            effective: None,
        };
        credentials.check_own();
        credentials.settle();
        credentials
    }

    /// The certificates for a connection that begins now.
    pub(crate) fn certificates(&self) -> Option<Certificates> {
        self.effective.clone()
    }

    /// Has connections from now on use these.
    pub(crate) fn put_into(&self, link: &mut link::Config) {
        link.tls = self.tls();
        (link.secret, link.further_secrets) = (self.secret.clone(), self.accepted_secrets());
    }

    fn tls(&self) -> Tls {
        match (&self.certificates, self.plain) {
            (None, _) => Tls::Off,
            (Some(_), false) => Tls::Required,
            (Some(_), true) => Tls::Wanted,
        }
    }

    fn accepted_secrets(&self) -> Vec<Secret> {
        let former = self.former.iter().flat_map(|former| &former.secrets);
        self.further_secrets.iter().chain(former).cloned().collect()
    }

    fn set_certificates(&mut self, certificates: Certificates, until: Instant) {
        let former = self.certificates.replace(certificates);
        self.former.push(Former { certificates: former, secrets: Vec::new(), until });
        self.check_own();
        self.settle();
    }

    fn set_secret(&mut self, secret: Secret, further: Vec<Secret>, until: Instant) {
        let mut secrets = std::mem::replace(&mut self.further_secrets, further);
        secrets.extend(self.secret.replace(secret));
        self.former.push(Former { certificates: None, secrets, until });
    }

    /// Forgets what has been accepted long enough.
    fn forget(&mut self, now: Instant) {
        self.former.retain(|former| former.until > now);
        self.settle();
    }

    /// Logs a warning if nodes with the same trusted certificates would refuse this node's certificate, or accept it
    /// only because they ignore its dates.
    fn check_own(&self) {
        let (node, Some(own)) = (self.node.as_str(), &self.certificates) else { return };
        if let Err(error) = own.check(node) {
            tracing::warn!(node, %error, "others will refuse this node");
        } else if let Some(error) = own.own_out_of_date() {
            tracing::warn!(node, %error, "others may refuse this node");
        }
    }

    fn settle(&mut self) {
        let former = self.former.iter().filter_map(|former| former.certificates.as_ref());
        self.effective =
            self.certificates.clone().map(|certificates| former.fold(certificates, Certificates::with_trust_of));
    }
}

/// Replaces certificates and secrets while the node runs. Open connections keep theirs; new connections use the new
/// ones. The node still accepts a replaced credential for [`Config::credential_grace`] (1 hour by default), but no
/// longer presents it.
///
/// To change the credentials of a network without an interruption, go through all nodes three times. First, each node
/// *accepts* the new credential and still presents the old one. Then each node *presents* the new one. Last, each node
/// *drops* the old one, which happens by itself after the grace time.
impl Node {
    /// Replaces the node's certificate, and the certificates that it trusts. A node without a certificate uses TLS from
    /// then on; [`Config::allow_plaintext`] lets other nodes without one connect until all have one.
    ///
    /// In the first round, give the old certificate, with [`Certificates::trust`] for the new one. With authorities,
    /// give the old certificate with both authorities.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn set_certificates(&self, certificates: Certificates) -> Result<(), Stopped> {
        self.change(|credentials, until| credentials.set_certificates(certificates, until)).await
    }

    /// Replaces the node's secret, and accepts the `further` secrets as well. In the first round, give the old secret
    /// as `secret`, and the new one in `further`.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn set_secret(&self, secret: Secret, further: Vec<Secret>) -> Result<(), Stopped> {
        self.change(|credentials, until| credentials.set_secret(secret, further, until)).await
    }

    async fn change(&self, change: impl FnOnce(&mut Credentials, Instant) + Send + 'static) -> Result<(), Stopped> {
        self.ask(move |driver| {
            /// Some thirty years: for ever, and no overflow.
            const LONGEST: Duration = Duration::from_secs(1_000_000_000);
            let until = Instant::now() + driver.config.credential_grace.min(LONGEST);
            change(&mut driver.credentials.borrow_mut(), until);
            driver.use_credentials();
            let driver = Rc::downgrade(driver);
            spawn_local(async move {
                sleep_until(until).await;
                if let Some(driver) = driver.upgrade() {
                    driver.credentials.borrow_mut().forget(until);
                    driver.use_credentials();
                }
            });
        })
        .await
    }
}

impl Driver {
    /// Has connections from now on use what is there now.
    fn use_credentials(self: &Rc<Self>) {
        let credentials = self.credentials.borrow();
        let (tls, secret, further) = (credentials.tls(), credentials.secret.clone(), credentials.accepted_secrets());
        self.with_node(|node, _| node.set_credentials(tls, secret, further));
    }
}
