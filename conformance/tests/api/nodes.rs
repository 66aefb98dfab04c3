//! The suite, run as a person runs it, against the nodes of this project: all of them pass.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use aemp_conformance::report::Results;
use aemp_conformance::run::Verdict;

/// One at a time: each run uses what the machine has.
static TURN: Mutex<()> = Mutex::new(());

/// The node of this workspace, built as this test is.
fn aemp() -> String {
    let suite = PathBuf::from(env!("CARGO_BIN_EXE_aemp-conformance"));
    let aemp = suite.with_file_name("aemp");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "aemp"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if suite.components().any(|part| part.as_os_str() == "release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the node is built");
    aemp.to_str().expect("a path in UTF-8").to_owned()
}

fn port(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ports").join(path).to_str().expect("a path in UTF-8").to_owned()
}

/// What the suite says about a program: how many cases pass, and how many it does not implement. It must find nothing wrong
/// that is not expected.
#[derive(Debug, PartialEq)]
struct Said {
    passed: usize,
    unimplemented: usize,
}

#[track_caller]
fn passes(arguments: &[&str], command: &[&str]) -> Said {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let results = env::temp_dir().join(format!("aemp-conformance-{}.json", std::process::id()));
    let mut suite = Command::new(env!("CARGO_BIN_EXE_aemp-conformance"));
    suite.args(arguments).args(if arguments[0] == "node" { &["--jobs", "12"][..] } else { &[] });
    suite.args(["--patience", "10", "--json"]).arg(&results).arg("--").args(command);
    let output = suite.output().expect("the suite runs");
    let read = fs::read(&results).map(|json| serde_json::from_slice::<Results>(&json));
    let said = String::from_utf8_lossy(&output.stdout);
    let Ok(Ok(results)) = read else { panic!("there are no results: {said}\n{}", String::from_utf8_lossy(&output.stderr)) };
    let count = |verdict| results.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    let (passed, unimplemented) = (count(Verdict::Pass), count(Verdict::Unimplemented));
    // What is timed may miss a SHOULD on a machine with much else to do.
    assert!(output.status.success() && count(Verdict::Error) == 0, "{said}");
    Said { passed, unimplemented }
}

#[test]
fn our_own_node_passes_every_level_and_option_in_each_framing() {
    let said = passes(&["node"], &[&aemp(), "run", "--service", "conformance", "--start-line"]);
    assert!(said.unimplemented == 0 && said.passed > 900, "{said:?}");
}

#[test]
fn our_own_node_reads_text_that_comes_as_octets_at_every_level() {
    let command = [&aemp(), "run", "--service", "conformance", "--start-line"];
    let said = passes(&["node", "--octets", "--framing", "cbor"], &command);
    assert!(said.unimplemented == 0 && said.passed > 600, "{said:?}");
}

#[test]
fn the_port_to_python_passes_the_level_global() {
    let said = passes(&["node"], &["python3", &port("python/aemp.py"), "node"]);
    assert!(said.passed > 600, "{said:?}");
    let said = passes(&["vectors"], &["python3", &port("python/aemp.py"), "vectors"]);
    assert!(said.passed > 2000, "{said:?}");
}

#[test]
fn the_port_to_javascript_passes_the_level_node() {
    if Command::new("node").arg("--version").output().is_err() {
        return eprintln!("there is no Node.js here");
    }
    let said = passes(&["node"], &["node", &port("javascript/aemp.mjs"), "node"]);
    assert!(said.passed > 500, "{said:?}");
    let said = passes(&["vectors"], &["node", &port("javascript/aemp.mjs"), "vectors"]);
    assert!(said.passed > 2000, "{said:?}");
}

#[test]
fn the_first_steps_end_with_a_node_of_level_simple() {
    let said = passes(&["node"], &["python3", &port("first-steps/simple.py")]);
    assert!(said.passed > 40, "{said:?}");
}

#[test]
fn whoever_begins_is_told_the_first_thing_that_is_wrong() {
    let mut suite = Command::new(env!("CARGO_BIN_EXE_aemp-conformance"));
    suite.args(["node", "--first", "--patience", "1", "--", "python3", &port("first-steps/first.py")]);
    let output = suite.output().expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("FAIL: greeting/speaks-first\n"), "{said}");
    assert!(
        said.contains("[CONN-1] Each side MUST send its two greeting lines as soon as the transport connection is open"),
        "{said}"
    );
}
