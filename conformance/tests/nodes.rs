//! The suite, run as a person runs it, against the nodes of this project: all of them pass, strictly.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One at a time: each run uses what the machine has.
static TURN: Mutex<()> = Mutex::new(());

/// The node of this workspace, built as this test is.
fn aemp() -> String {
    let suite = PathBuf::from(env!("CARGO_BIN_EXE_aemp-conformance"));
    let aemp = suite.with_file_name("aemp");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "-p", "aemp-node", "--bin", "aemp"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if suite.components().any(|part| part.as_os_str() == "release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the node is built");
    aemp.to_str().expect("a path in UTF-8").to_owned()
}

fn port(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ports").join(path).to_str().expect("a path in UTF-8").to_owned()
}

/// Runs the suite, which must find nothing to say about the program.
#[track_caller]
fn passes(arguments: &[&str], command: &[&str]) -> String {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut suite = Command::new(env!("CARGO_BIN_EXE_aemp-conformance"));
    suite.args(arguments).args(["--patience", "20", "--"]).args(command);
    let output = suite.output().expect("the suite runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("not strict: "), "{said}\n{errors}");
    said
}

/// How many cases passed, from the last line of the summary.
fn passed(said: &str) -> usize {
    let all = said.lines().rev().find_map(|line| line.strip_prefix("all ")).expect("a summary");
    all.split_whitespace().next().and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn our_own_node_passes_every_level_and_option_in_each_framing() {
    let said = passes(&["node"], &[&aemp(), "run", "--service", "conformance", "--start-line"]);
    assert!(said.lines().rev().find(|line| line.starts_with("all ")).is_some_and(|all| {
        // Not strict, failed, unimplemented, informational, errors.
        all.split_whitespace().skip(2).all(|count| count == "0")
    }));
    assert!(passed(&said) > 500);
}

#[test]
fn the_port_to_python_passes_the_level_global() {
    assert!(passed(&passes(&["node"], &["python3", &port("python/aemp.py"), "node"])) > 300);
    assert!(passed(&passes(&["vectors"], &["python3", &port("python/aemp.py"), "vectors"])) > 2000);
}

#[test]
fn the_port_to_javascript_passes_the_level_node() {
    if Command::new("node").arg("--version").output().is_err() {
        return eprintln!("there is no node.js here");
    }
    assert!(passed(&passes(&["node"], &["node", &port("javascript/aemp.mjs"), "node"])) > 200);
    assert!(passed(&passes(&["vectors"], &["node", &port("javascript/aemp.mjs"), "vectors"])) > 2000);
}

#[test]
fn the_first_steps_end_with_a_node_of_level_simple() {
    assert!(passed(&passes(&["node"], &["python3", &port("first-steps/simple.py")])) > 40);
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
        said.contains("[CONN-1] Each side MUST send its two greeting lines as soon as the transport connection stands"),
        "{said}"
    );
}
