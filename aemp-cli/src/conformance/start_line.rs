//! How the suite tells a node to run, and is told that it is ready.

use std::path::PathBuf;
use std::time::Duration;

use aemp_node::proto::auth::{Method, Secret};
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config};
use serde::Deserialize;
use serde_json::json;

/// The first line of standard input. PROTOCOL.md describes the fields.
#[derive(Deserialize)]
pub(super) struct StartLine {
    node: String,
    listen: Option<String>,
    seeds: Vec<String>,
    secret: Option<String>,
    further_secrets: Vec<String>,
    allow: Vec<String>,
    framings: Vec<String>,
    certificate: Option<PathBuf>,
    authorities: Vec<PathBuf>,
    trust: Vec<PathBuf>,
    bind_names: bool,
    plain: bool,
    global: bool,
    secure: bool,
    timeouts: Timeouts,
    limits: Limits,
}

/// In seconds.
#[derive(Deserialize)]
struct Timeouts {
    handshake: f64,
    connect: f64,
    silence: f64,
}

#[derive(Deserialize)]
struct Limits {
    octets: Option<usize>,
    depth: Option<usize>,
    values: Option<usize>,
    waiting: Option<usize>,
    watches: Option<usize>,
    entries: Option<usize>,
    families: Option<usize>,
    handshakes: Option<usize>,
    spawned: Option<usize>,
}

impl StartLine {
    pub(super) fn read(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| format!("the line on standard input is not as in PROTOCOL.md: {error}"))
    }

    pub(super) fn config(self) -> Result<Config, String> {
        let mut config = Config::new(NodeId::new(&self.node).map_err(|error| format!("node: {error}"))?);
        config.listen = self.listen.into_iter().collect();
        config.seeds = self.seeds;
        (config.node.global, config.node.secure) = (self.global, self.secure);
        let secret = |text: &String| Secret::from_text(text).map_err(|error| format!("secret: {error}"));
        let link = &mut config.node.link;
        link.secret = self.secret.as_ref().map(secret).transpose()?;
        link.further_secrets = self.further_secrets.iter().map(secret).collect::<Result<_, _>>()?;
        for name in &self.allow {
            let method = Method::from_name(name).ok_or_else(|| format!("allow: there is no method {name}"))?;
            link.accept.push(method);
            link.send.push(method);
        }
        link.framings = self.framings.iter().filter_map(|name| Framing::from_name(name)).collect();
        link.handshake_timeout = seconds(self.timeouts.handshake)?;
        config.node.connect_timeout = seconds(self.timeouts.connect)?;
        config.node.silence = seconds(self.timeouts.silence)?;
        config.node.quiet = config.node.quiet.min(config.node.silence / 3);
        self.limits.apply(&mut config);
        if let Some(file) = self.certificate {
            config.allow_plaintext = self.plain;
            config.certificates = Some(certificates(&file, &self.authorities, &self.trust, self.bind_names)?);
        }
        Ok(config)
    }
}

fn certificates(
    file: &PathBuf,
    authorities: &[PathBuf],
    trust: &[PathBuf],
    bind_names: bool,
) -> Result<Certificates, String> {
    let read = |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let own = read(file)?;
    let issued = authorities.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat();
    let certificates = if issued.is_empty() { Certificates::shared(&own) } else { Certificates::issued(&own, &issued) };
    let mut certificates = certificates.map_err(|error| format!("certificate: {error}"))?;
    for path in trust {
        certificates = certificates.trust(&read(path)?).map_err(|error| format!("trust: {error}"))?;
    }
    Ok(if bind_names { certificates } else { certificates.any_name() })
}

impl Limits {
    fn apply(&self, config: &mut Config) {
        let set = |limit: &mut usize, value: Option<usize>| *limit = value.unwrap_or(*limit);
        let node = &mut config.node;
        set(&mut node.link.limits.octets, self.octets);
        set(&mut node.link.limits.depth, self.depth);
        set(&mut node.link.limits.values, self.values);
        set(&mut node.queue, self.waiting);
        set(&mut node.watches, self.watches);
        set(&mut node.database.slave.entries, self.entries);
        set(&mut node.database.global.entries, self.entries);
        set(&mut node.database.watched, self.families);
        set(&mut node.handshakes, self.handshakes);
        // Those of one address are a part of all (`SEC-8`).
        node.handshakes_of_address = node.handshakes_of_address.min(node.handshakes.div_ceil(2));
        set(&mut node.spawned_by_peer, self.spawned);
    }
}

fn seconds(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("timeouts: {error}"))
}

/// The line that says that the node is ready.
pub(super) fn ready(listen: &[String]) -> String {
    json!({
        "ready": true,
        "listen": listen,
        "name": "aemp-node",
        "version": env!("CARGO_PKG_VERSION"),
        "level": "global",
        "features": [
            "cbor", "storable", "hmac_sha3_512", "hmac_sha2_256", "cleartext", "listen", "tls", "secure", "rotation", "limits", "silence",
            "arbiter", "logs", "dataconn",
        ],
    })
    .to_string()
}

/// The line that says why it is not.
pub(super) fn not_ready(error: &str) -> String {
    json!({"ready": false, "error": error}).to_string()
}
