//! A node that runs already.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use aemp_conformance::report::Results;
use aemp_conformance::run::Verdict;

use super::running::{NASTY, Place};

const SECRET: &str = "correct-h\u{f6}rse-battery";
/// In the octets that it stands for, as the method `cleartext` writes them.
const DIGITS: &str = "636f72726563742d68f67273652d62617474657279";

/// A process that has said where it listens, and ends with this.
struct Runs {
    process: Child,
    said: String,
}

impl Runs {
    fn new(command: &mut Command, input: &str) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a node starts");
        process.stdin.as_mut().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let mut said = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
        Runs { process, said }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The node of this workspace, built as this test is.
fn aemp() -> std::path::PathBuf {
    let suite = std::path::PathBuf::from(env!("CARGO_BIN_EXE_aemp-conformance"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "aemp"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if suite.components().any(|part| part.as_os_str() == "release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the node is built");
    suite.with_file_name("aemp")
}

const REPORTS: [&str; 7] = ["--json", "r.json", "--junit", "r.xml", "--html", "r.html", "--verbose"];

#[test]
fn a_node_that_runs_is_tested_but_for_what_needs_a_start_of_its_own() {
    let place = Place::new("connect");
    place.write("secret", format!("{SECRET}\r\n"));
    let mut command = Command::new(aemp());
    command.args(["run", "--listen", "127.0.0.1:0", "--service", "conformance", "--node-id", "subject", "--secret-file"]);
    let node = Runs::new(command.arg(place.path("secret")), "");
    let address = node.said.trim().rsplit(' ').next().expect("an address").to_owned();
    let connect = ["node", "--connect", &address, "--secret-file", "secret", "--level", "node", "--feature", "dataconn"];
    let picked = ["--run", "greeting/nonce", "--run", "ports/bare", "--run", "data/", "--patience", "60"];
    let said = place.run(&[&connect[..], &picked, &REPORTS].concat());
    assert_eq!(said.code, Some(0), "{said}");
    let passed = said.cases("pass");
    assert!(passed.contains(&"greeting/nonce") && passed.contains(&"ports/bare[json]"), "{said}");
    assert!(passed.contains(&"data/mirror[json]"), "{said}");
    let left_out = "unimplemented: data/opens[json]: this needs a node that the suite starts itself";
    assert!(said.out.contains(left_out), "{said}");
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    assert!(results.outcomes.iter().all(|outcome| matches!(outcome.verdict, Verdict::Pass | Verdict::Unimplemented)));
    assert_eq!(results.name, address);
}

/// `aemp run`, as its users start it: its address.
fn runs(place: &Place, more: &[&str]) -> (Runs, String) {
    place.write("secret", SECRET);
    let mut command = Command::new(aemp());
    command
        .args(["run", "--listen", "127.0.0.1:0", "--service", "echo", "--secret-file"])
        .arg(place.path("secret"))
        .args(more);
    let node = Runs::new(&mut command, "");
    let address = node.said.trim().rsplit(' ').next().expect("an address").to_owned();
    (node, address)
}

#[test]
fn aemp_run_passes_as_its_users_start_it() {
    let place = Place::new("as-users-start-it");
    let (_node, address) = runs(&place, &[]);
    let connect = ["node", "--connect", &address, "--secret-file", "secret", "--jobs", "8", "--patience", "60", "--verbose"];
    let said = place.run(&connect);
    assert_eq!(said.code, Some(0), "{said}");
    let passed = said.cases("pass");
    // The greeting says that it has cbor. In cbor, the port that is to be answered may come as bytes.
    for name in ["greeting/echo", "values/names-as-bytes", "values/texts[json]", "values/texts[cbor]"] {
        assert!(passed.contains(&name), "{name}: {said}");
    }
    assert!(passed.len() > 100, "{said}");
    let said = place.run(&[&connect[..], &["--octets", "--framing", "cbor"]].concat());
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.cases("pass").contains(&"greeting/echo"), "{said}");
}

#[test]
fn what_a_running_node_does_not_offer_cannot_be_picked() {
    let place = Place::new("json-only");
    let (_node, address) = runs(&place, &["--framing", "json"]);
    let connect = ["node", "--connect", &address, "--secret-file", "secret"];
    let said = place.run(&[&connect[..], &["--framing", "cbor", "--run", "ports/"]].concat());
    assert!(said.code == Some(2) && said.err.contains("--framing cbor: the node has json only"), "{said}");
}

#[test]
fn the_secret_of_a_node_stands_in_no_report_even_if_the_node_sends_it() {
    let place = Place::new("secret");
    place.write("secret", SECRET);
    let start = format!("{}\n", serde_json::json!({"secret": SECRET}));
    let node = Runs::new(Command::new("python3").arg(NASTY).stderr(Stdio::null()), &start);
    let ready: serde_json::Value = serde_json::from_str(&node.said).expect("a ready line");
    let address = ready["listen"][0].as_str().expect("an address");
    let connect = ["node", "--connect", address, "--secret-file", "secret", "--patience", "60"];
    let said = place.run(&[&connect[..], &["--run", "greeting/parts", "--run", "greeting/nonce"], &REPORTS].concat());
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.out.contains("(the secret)") && said.out.contains("***"), "{said}");
    let dump = |text: &str| text.bytes().map(|octet| format!("{octet:02x} ")).collect::<String>();
    let forms = [
        SECRET.to_owned(),
        "battery".to_owned(),
        DIGITS.to_owned(),
        DIGITS.to_uppercase(),
        dump("battery"),
        hex("battery"),
        hex(DIGITS),
    ];
    for report in [&said.out, &said.err, &place.read("r.json"), &place.read("r.xml"), &place.read("r.html")] {
        for form in &forms {
            assert!(!report.contains(form.trim()), "{form}: {report}");
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|octet| format!("{octet:02x}")).collect()
}
