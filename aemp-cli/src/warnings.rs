//! What an operator should know when a node starts: how it could be less open than it is.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::options::Identity;

/// Octets that a secret should have at least.
const LONG_ENOUGH: usize = 16;

/// Logs what could be better.
pub(crate) fn warn(identity: &Identity, addresses: &[SocketAddr]) {
    for line in lines(identity, addresses) {
        tracing::warn!("{line}");
    }
}

/// What could be better, each in one line with what to do.
fn lines(identity: &Identity, addresses: &[SocketAddr]) -> Vec<String> {
    let mut lines = Vec::new();
    for (option, file) in identity.files_with_secrets().filter(|(_, file)| others_can_read(file)) {
        let file = file.display();
        lines.push(format!("other users of this host can read the file of {option}: chmod 600 {file}"));
    }
    if identity.has_short_secret(LONG_ENOUGH) {
        let what = "whoever sees a handshake can find it out: `aemp gensecret` makes a better one";
        lines.push(format!("the secret is shorter than {LONG_ENOUGH} characters, and {what}"));
    }
    let open = addresses.iter().find(|address| !address.ip().is_loopback());
    if let (true, Some(address)) = (identity.takes_plain(), open) {
        let what = "others on the way can read and change messages: use --cert, without --allow-plaintext";
        lines.push(format!("connections to {address} can be without TLS, so that {what}"));
    }
    for method in identity.open_methods() {
        let what = match method {
            "cleartext" => "with which clients send the secret itself",
            _ => "which proves nothing beside the certificate",
        };
        lines.push(format!("the method {method} is accepted, {what}: leave it out of --accept unless a client needs it"));
    }
    if identity.takes_any_name() {
        let what = "leave out --any-name once certificates are made out to node IDs";
        lines.push(format!("each node with a certificate can be any other node: {what}"));
    }
    lines
}

fn others_can_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Node {
        #[command(flatten)]
        identity: Identity,
    }

    fn said(arguments: &[&str], address: &str) -> Vec<String> {
        let node = Node::parse_from([&["node"], arguments].concat());
        lines(&node.identity, &[address.parse().expect("an address")])
    }

    #[test]
    fn an_operator_hears_what_makes_a_node_open() {
        let folder = std::env::temp_dir().join(format!("aemp-warnings-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = |name: &str, text: &str, mode| {
            let path = folder.join(name);
            fs::write(&path, text).expect("there is room");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            path.display().to_string()
        };
        let long = file("long", "correct horse battery staple\n", 0o600);
        let (short, open) = (file("short", "swordfish\n", 0o640), file("open", "correct horse battery staple", 0o644));
        let (loopback, outside) = ("127.0.0.1:4040", "192.0.2.1:4040");
        assert_eq!(said(&["--secret-file", &long], loopback), [""; 0], "nothing to say");
        let lines = [
            said(&["--secret-file", &long], outside),
            said(&["--secret-file", &short], "[::1]:4040"),
            said(&["--secret-file", &open], loopback),
            said(&["--secret-file", &long, "--further-secret-file", &short], loopback),
            said(&["--secret-file", &long, "--accept", "hmac_sha3_512,cleartext"], loopback),
            said(&["--secret-file", &long, "--cert", "none.pem", "--ca", "none.pem", "--any-name"], outside),
            said(&["--secret-file", &long, "--cert", "none.pem", "--allow-plaintext"], outside),
        ];
        fs::remove_dir_all(&folder).expect("it is there");
        assert!(lines.iter().all(|lines| lines.len() == 1), "{lines:#?}");
        let lines = lines.concat().join("\n").replace(&folder.display().to_string(), "FOLDER");
        assert!(!lines.contains("swordfish"), "ERR-3");
        insta::assert_snapshot!(lines);
    }
}
