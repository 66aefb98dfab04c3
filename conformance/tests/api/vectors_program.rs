//! `aemp-conformance vectors`, as whoever writes an implementation runs it.

use std::process::{Command, Output};

fn vectors(options: &[&str], command: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_aemp-conformance"));
    program.arg("vectors").args(options).arg("--").args(command).output().expect("the program")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_right_codec_passes_everything() {
    let output = vectors(&["-v"], &[env!("CARGO_BIN_EXE_aemp-conformance"), "codec"]);
    let said = said(&output);
    let passed = said.lines().filter(|line| line.starts_with("pass: ")).count();
    // The summary is a line with the name, and others that are set in.
    let others: Vec<_> = said.lines().filter(|line| !line.starts_with("pass: ") && !line.starts_with("  ")).collect();
    assert!(output.status.success() && others.len() == 1, "{others:#?}");
    assert!(passed > 2400 && said.contains("pass: program/ends"), "{passed} passed");
}

#[test]
fn a_wrong_codec_fails_and_is_told_why() {
    let output = vectors(
        &["--run", "json-number-minus-0"],
        &[env!("CARGO_BIN_EXE_aemp-conformance"), "codec", "--fault", "minus-zero-integer"],
    );
    assert_eq!(output.status.code(), Some(1));
    let program = format!("\n{} codec", env!("CARGO_BIN_EXE_aemp-conformance"));
    let (described, summary) =
        said(&output).split_once(&program).map(|(one, other)| (one.to_owned(), other.to_owned())).expect("a summary");
    assert!(summary.contains("FAIL: json-streams/json-number-minus-0"), "{summary}");
    insta::assert_snapshot!(described);
}

#[cfg(unix)]
fn misbehaving(script: &str) -> String {
    let output = vectors(
        &["--run", "escapes/escape-none", "--run", "escapes/escape-empty", "-v", "--patience", "0.5"],
        &["sh", "-c", script],
    );
    assert_eq!(output.status.code(), Some(1), "{script}");
    said(&output)
}

#[cfg(unix)]
#[test]
fn a_program_that_hangs_dies_or_writes_garbage_is_given_up_with_a_clear_error() {
    for (script, complaint) in [
        ("sleep 60", "nothing for 500ms"),
        ("echo broken >&2; exit 3", "the end of its output; the program has ended (exit status: 3)\n              broken"),
        ("echo hello", "a line that is no JSON"),
        ("echo '{\"id\": 7}'", "an answer with the id 7"),
        ("printf '\\377\\n'", "a line that is not UTF-8"),
        ("head -c 20000000 /dev/zero | tr '\\0' x", "a line of more than 16777216 octets"),
    ] {
        let said = misbehaving(script);
        assert!(said.contains(complaint), "{script}: {said}");
        assert!(said.contains("FAIL: escapes/escape-empty"), "{script}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_program_that_writes_too_much_or_does_not_end_fails_at_the_end() {
    let answers = r#"echo '{"id":1,"text":"abc"}'; echo '{"id":2,"text":"abc"}'; echo '{"id":3,"text":""}'; echo '{"id":4,"text":""}';"#;
    let said = misbehaving(&format!("{answers} yes"));
    assert!(said.contains("FAIL: program/ends") && said.contains("one more line: \"y\""), "{said}");
    assert!(said.contains("pass: escapes/escape-empty"), "{said}");
    let said = misbehaving(&format!("{answers} exec sleep 60"));
    assert!(said.contains("it goes on for 500ms when its input has ended"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_a_program_has_not_is_no_failure() {
    let script = r#"n=0; while read -r line; do n=$((n+1)); echo "{\"id\":$n,\"unimplemented\":true}"; done"#;
    let output = vectors(&["-v", "--run", "escapes/"], &["sh", "-c", script]);
    assert!(output.status.success() && said(&output).contains("unimplemented: escapes/escape-none"), "{}", said(&output));
}
