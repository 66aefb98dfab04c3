//! The program `aemp` with certificates, as a person runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Running, aemp, output, text};

/// A folder for as long as a test needs it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aemp-{}-{name}", std::process::id()));
        fs::create_dir(&path).expect("a folder for files that go away");
        Folder(path)
    }

    /// The program in this folder, without a secret.
    fn aemp(&self, arguments: &[&str]) -> Command {
        let mut command = aemp(arguments);
        command.current_dir(&self.0).env_remove("AEMP_SECRET");
        command
    }

    /// Runs it; what it printed, as it must succeed.
    fn run(&self, arguments: &[&str]) -> String {
        let got = output(&mut self.aemp(arguments));
        assert!(got.status.success(), "{arguments:?}: {}", text(&got.stderr));
        text(&got.stdout)
    }

    /// What it says on standard error, as it must fail.
    fn fails(&self, arguments: &[&str]) -> String {
        let got = output(&mut self.aemp(arguments));
        assert!(!got.status.success(), "{arguments:?}: {}", text(&got.stdout));
        text(&got.stderr)
    }

    /// A node that offers `echo`, and its address.
    fn seed(&self, more: &[&str]) -> (Running, String) {
        let arguments = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "echo"];
        let mut running = Running::start(&mut self.aemp(&[&arguments, more].concat()));
        let ready = running.line();
        (running, ready.strip_prefix("ready seed ").expect("it is ready").to_owned())
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.0.join(file)).expect("it is there").permissions().mode() & 0o777
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).expect("it is there")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in a folder for such folders.
        let _gone = fs::remove_dir_all(&self.0);
    }
}

const BACK: &str = "[\"back\"]\n";

#[test]
fn a_shared_certificate_is_all_that_a_network_needs() {
    let folder = Folder::new("shared");
    assert_eq!(folder.run(&["gencert", "shared.pem"]), "made shared.pem\n");
    assert_eq!(folder.mode("shared.pem"), 0o600);
    let before = folder.read("shared.pem");
    assert_eq!(folder.fails(&["gencert", "shared.pem"]), "aemp: shared.pem: File exists (os error 17)\n");
    assert_eq!(folder.read("shared.pem"), before);
    let (_seed, address) = folder.seed(&["--cert", "shared.pem"]);
    let call = ["cal", "--seed", &address, "seed#echo", "back"];
    assert_eq!(folder.run(&[&call[..], &["--cert", "shared.pem"]].concat()), BACK);
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../aemp-node/tests/api/recorded/shared_certificate.pem");
    let error = folder.fails(&[&call[..], &["--cert", recorded]].concat());
    assert!(error.contains("TLS: ") && error.contains("[TLS-5]"), "{error}");
    let mut plain = folder.aemp(&call);
    let error = text(&output(plain.env("AEMP_SECRET", "swordfish")).stderr);
    assert!(error.starts_with(&format!("aemp: {address}: ")), "{error}");
}

#[test]
fn a_shared_certificate_is_taken_outside_of_its_time_and_both_sides_are_told() {
    // TLS-5, TLS-14
    let folder = Folder::new("dates");
    for (years, what) in [([2000, 2001], "has expired"), ([2900, 2901], "is not valid yet")] {
        fs::write(folder.0.join("old.pem"), crate::support::certificates::shared_for(years)).expect("it can be written");
        fs::set_permissions(folder.0.join("old.pem"), fs::Permissions::from_mode(0o600)).expect("it is ours");
        let mut seed = folder.aemp(&["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "echo"]);
        let mut seed = Running::start(seed.args(["--cert", "old.pem"]).stderr(Stdio::piped()));
        let address = seed.line().strip_prefix("ready seed ").expect("it is ready").to_owned();
        let own = seed.error_line();
        assert!(own.contains("WARN others may refuse this node") && own.contains(what), "{own}");
        let call = ["-v", "cal", "--node-id", "caller", "--seed", &address, "--cert", "old.pem", "seed#echo", "back"];
        let got = output(&mut folder.aemp(&call));
        assert_eq!(text(&got.stdout), BACK);
        let told = format!("peer=\"seed\" error=the other side's certificate {what}; who trusts it itself");
        assert!(text(&got.stderr).contains(&told), "{}", text(&got.stderr));
        let theirs = seed.error_line();
        let told = format!("peer=\"caller\" error=the other side's certificate {what}; who trusts it itself");
        assert!(theirs.contains("WARN") && theirs.contains(&told) && theirs.contains("[TLS-14]"), "{theirs}");
    }
}

#[test]
fn the_python_script_without_tls_is_refused_where_that_is_required() {
    let folder = Folder::new("required");
    folder.run(&["gencert", "shared.pem"]);
    folder.run(&["gensecret", "secret"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/minimal.py");
    for (more, expected) in [(&[][..], ""), (&["--allow-plaintext"], "[\"hello\"]\n")] {
        let mut seed = folder.aemp(&["-v", "run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "echo"]);
        seed.args(["--cert", "shared.pem", "--secret-file", "secret"]).args(more).stderr(Stdio::piped());
        let mut seed = Running::start(&mut seed);
        let address = seed.line().strip_prefix("ready seed ").expect("it is ready").to_owned();
        let (host, port) = address.rsplit_once(':').expect("an address");
        let mut python = Command::new("python3");
        python.args([script, host, port, "echo", "hello"]).env("AEMP_SECRET", folder.read("secret").trim_end());
        let got = output(&mut python);
        assert_eq!((text(&got.stdout), got.status.success()), (expected.to_owned(), !expected.is_empty()));
        if expected.is_empty() {
            while !seed.error_line().contains("TLS is required here, and the peer does not want it [TLS-7]") {}
        }
    }
}

#[test]
fn a_plain_peer_is_taken_where_that_is_allowed() {
    let folder = Folder::new("plain");
    folder.run(&["gencert", "shared.pem"]);
    folder.run(&["gensecret", "secret"]);
    let (_seed, address) = folder.seed(&["--cert", "shared.pem", "--secret-file", "secret", "--allow-plaintext"]);
    let call = ["cal", "--seed", &address, "--secret-file", "secret", "seed#echo", "back"];
    assert_eq!(folder.run(&call), BACK);
    assert_eq!(folder.run(&[&call[..], &["--cert", "shared.pem"]].concat()), BACK);
}

#[test]
fn an_authority_issues_certificates_that_are_bound_to_their_nodes() {
    let folder = Folder::new("authority");
    let made = folder.run(&["gencert", "--ca", "ca.pem", "seed", "worker/1", "--days", "30"]);
    assert_eq!(made, "made ca.pem.key\nmade ca.pem\nmade seed.pem\nmade worker_1.pem\n");
    assert_eq!(["ca.pem.key", "ca.pem", "seed.pem"].map(|file| folder.mode(file)), [0o600, 0o644, 0o600]);
    // Later, others.
    assert_eq!(folder.run(&["gencert", "--ca", "ca.pem", "late"]), "made late.pem\n");
    let (_seed, address) = folder.seed(&["--cert", "seed.pem", "--ca", "ca.pem"]);
    let call = |file, id| {
        let options = ["--cert", file, "--ca", "ca.pem", "--node-id", id];
        [&["cal", "--seed", &address][..], &options, &["seed#echo", "back"]].concat()
    };
    assert_eq!(folder.run(&call("worker_1.pem", "worker/1")), BACK);
    assert_eq!(folder.run(&call("late.pem", "late")), BACK);
    let error = folder.fails(&call("late.pem", "early"));
    assert!(error.contains("made out to this node, which this one's is not [TLS-12]"), "{error}");
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok() {
        for purpose in ["sslclient", "sslserver"] {
            let mut verify = Command::new("openssl");
            verify.current_dir(&folder.0).args([
                "verify",
                "-x509_strict",
                "-purpose",
                purpose,
                "-CAfile",
                "ca.pem",
                "late.pem",
            ]);
            assert_eq!(text(&output(&mut verify).stdout), "late.pem: OK\n", "{purpose}");
        }
    }
}

#[test]
fn secrets_are_long_random_and_for_their_owner() {
    let folder = Folder::new("secret");
    let [one, other] = [folder.run(&["gensecret"]), folder.run(&["gensecret"])];
    assert_ne!(one, other);
    // SEC-3
    for secret in [&one, &other] {
        assert_eq!(secret.trim_end().len(), 64);
        assert!(secret.trim_end().bytes().all(|octet| octet.is_ascii_hexdigit()));
    }
    assert_eq!(folder.run(&["gensecret", "secret"]), "made secret\n");
    assert_eq!(folder.mode("secret"), 0o600);
    let (_seed, address) = folder.seed(&["--secret-file", "secret"]);
    assert_eq!(folder.run(&["cal", "--seed", &address, "--secret-file", "secret", "seed#echo", "back"]), BACK);
}

#[test]
fn certificates_and_secrets_are_read_again_when_the_program_is_told_to() {
    let folder = Folder::new("again");
    for file in ["old.pem", "new.pem"] {
        folder.run(&["gencert", file]);
    }
    fs::copy(folder.0.join("old.pem"), folder.0.join("now.pem")).expect("a copy");
    let mut seed = folder.aemp(&["-v", "run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "echo"]);
    seed.args(["--cert", "now.pem", "--trust", "trusted.pem", "--credential-grace", "0.01"]).stderr(Stdio::piped());
    fs::copy(folder.0.join("old.pem"), folder.0.join("trusted.pem")).expect("a copy");
    let mut seed = Running::start(&mut seed);
    let address = seed.line().strip_prefix("ready seed ").expect("it is ready").to_owned();
    let run = |file: &str| {
        folder.run(&[
            "cal",
            "--seed",
            &address,
            "--cert",
            file,
            "--trust",
            "old.pem",
            "--trust",
            "new.pem",
            "seed#echo",
            "back",
        ])
    };
    let told = |seed: &mut Running, what: &str| while !seed.error_line().contains(what) {};
    assert_eq!(run("old.pem"), BACK);
    // First both are trusted, then the new one is presented; what cannot be read changes nothing.
    fs::copy(folder.0.join("new.pem"), folder.0.join("trusted.pem")).expect("a copy");
    seed.signal("HUP");
    told(&mut seed, "have been read again");
    assert_eq!([run("old.pem"), run("new.pem")], [BACK, BACK]);
    fs::write(folder.0.join("now.pem"), "nonsense").expect("it can be written");
    seed.signal("HUP");
    told(&mut seed, "nothing has changed");
    assert_eq!(run("old.pem"), BACK);
    fs::copy(folder.0.join("new.pem"), folder.0.join("now.pem")).expect("a copy");
    seed.signal("HUP");
    told(&mut seed, "have been read again");
    assert_eq!(run("new.pem"), BACK);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_one_line() {
    let folder = Folder::new("errors");
    folder.run(&["gencert", "shared.pem"]);
    folder.run(&["gencert", "--ca", "ca.pem", "seed"]);
    let other = Folder::new("errors-other");
    other.run(&["gencert", "--ca", "ca.pem", "seed"]);
    fs::copy(other.0.join("ca.pem.key"), folder.0.join("other.pem.key")).expect("a copy");
    fs::copy(folder.0.join("ca.pem"), folder.0.join("other.pem")).expect("a copy");
    let run = |more: &[&str]| folder.fails(&[&["run", "--listen", "127.0.0.1:0"], more].concat());
    let certificate = folder.read("shared.pem");
    let (certificate, _) = certificate.split_once("-----BEGIN PRIVATE").expect("a key");
    fs::write(folder.0.join("keyless.pem"), certificate).expect("it can be written");
    let key = folder.read("ca.pem.key");
    fs::write(folder.0.join("mixed.pem"), format!("{certificate}{key}")).expect("it can be written");
    fs::write(folder.0.join("empty"), "").expect("it can be written");
    let mut report = String::new();
    for (what, error) in [
        ("no such file", run(&["--cert", "none.pem"])),
        ("nothing in it", run(&["--cert", "empty"])),
        ("no key", run(&["--cert", "keyless.pem"])),
        ("another key", run(&["--cert", "mixed.pem"])),
        ("an authority that is none", run(&["--cert", "seed.pem", "--ca", "ca.pem.key"])),
        ("nothing to trust", run(&["--cert", "seed.pem", "--ca", "ca.pem", "--trust", "empty"])),
        ("neither secret nor certificate", run(&[])),
        ("an empty secret", run(&["--cert", "shared.pem", "--secret-file", "empty"])),
        ("two shared certificates", folder.fails(&["gencert", "a.pem", "b.pem"])),
        ("an authority with the key of another", folder.fails(&["gencert", "--ca", "other.pem", "worker"])),
        ("an authority without its key", folder.fails(&["gencert", "--ca", "shared.pem", "worker"])),
        ("no node ID", folder.fails(&["gencert", "--ca", "ca.pem", "a#b"])),
        ("no days", folder.fails(&["gencert", "x.pem", "--days", "0"])),
    ] {
        report += &format!("{what}: {error}");
    }
    insta::assert_snapshot!(report);
}

#[test]
fn help_says_how_certificates_are_made() {
    insta::assert_snapshot!("help_gencert", text(&output(&mut aemp(&["gencert", "--help"])).stdout));
    insta::assert_snapshot!("help_gensecret", text(&output(&mut aemp(&["gensecret", "--help"])).stdout));
}
