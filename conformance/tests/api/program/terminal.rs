//! What only a terminal gets.

use super::running::{CASE, NASTY, Place};

/// Runs a program in a terminal of its own, and writes what came there.
const IN_A_TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

fn in_a_terminal(place: &Place, environment: &str, command: &[&str]) -> String {
    let suite = env!("CARGO_BIN_EXE_aemp-conformance");
    let options = [suite, "node", "--patience", "60", "--starting", "120", "--verbose", "--run", CASE, "--"];
    let output =
        place.output("python3", &[&["-c", IN_A_TERMINAL, "env", environment, "TERM=xterm"], &options[..], command].concat());
    String::from_utf8(output.stdout).expect("text")
}

const SIMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ports/first-steps/simple.py");

#[test]
fn a_terminal_gets_colours_and_a_bar_unless_it_wants_no_colours() {
    let place = Place::new("terminal");
    let said = in_a_terminal(&place, "A=", &["python3", SIMPLE]);
    assert!(said.contains("\x1b[1;32mpass\x1b[0m: greeting/parts") && said.contains("━ 1 of 1"), "{said:?}");
    let said = in_a_terminal(&place, "A=", &["python3", NASTY]);
    assert!(said.contains("\x1b[1;31mFAIL\x1b[0m: greeting/parts") && said.contains("1 of 1, 1 failed"), "{said:?}");
    // What the node has sent does not reach it.
    assert!(!said.contains("\x1b[31m") && !said.contains('\x07'), "{said:?}");
    let said = in_a_terminal(&place, "NO_COLOR=1", &["python3", SIMPLE]);
    assert!(said.contains("pass: greeting/parts") && !said.contains("\x1b[1;"), "{said:?}");
    // An empty one is as none.
    let said = in_a_terminal(&place, "NO_COLOR=", &["python3", SIMPLE]);
    assert!(said.contains("\x1b[1;32mpass"), "{said:?}");
}

#[test]
fn a_pipe_gets_neither() {
    let place = Place::new("pipe");
    for said in [place.right(&["--verbose", "--run", CASE]), place.wrong(&["--verbose", "--run", CASE])] {
        assert!(!said.out.contains('\x1b') && !said.out.contains('━') && said.err.is_empty(), "{said:?}");
    }
}
