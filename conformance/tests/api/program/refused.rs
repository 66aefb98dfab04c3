//! Command lines that cannot be followed: what was wrong, where, and what to do; and exit code 2, without a case that ran.

use super::running::{CASE, Place};

/// All that the program says to these command lines.
fn refused(place: &Place, lines: &[&[&str]]) -> String {
    let mut all = String::new();
    for arguments in lines {
        let said = place.run(arguments);
        assert!(said.code == Some(2) && said.out.is_empty(), "{arguments:?}: {said}");
        all += &format!("$ aemp-conformance {}\n{}\n\n", arguments.join(" "), said.err.trim_end());
    }
    all
}

#[test]
fn a_command_line_that_says_nothing_that_can_be_done() {
    let place = Place::new("refused-arguments");
    insta::assert_snapshot!(refused(
        &place,
        &[
            &["sing"],
            &["node"],
            &["vectors"],
            &["faults"],
            &["report"],
            &["wrong"],
            &["node", "command"],
            &["node", "--first", "--repeat", "2", "--", "command"],
            &["node", "--jobs", "0", "--", "command"],
            &["node", "--repeat", "0", "--", "command"],
            &["node", "--repeat", "99999999999", "--", "command"],
            &["node", "--patience", "0", "--", "command"],
            &["node", "--patience=-1", "--", "command"],
            &["node", "--patience", "long", "--", "command"],
            &["node", "--patience", "1e300", "--", "command"],
            &["node", "--seed", "x", "--", "command"],
            &["node", "--framing", "xml", "--", "command"],
            &["node", "--level", "high", "--", "command"],
            &["node", "--connect", "localhost:1"],
            &["node", "--secret-file", "file", "--", "command"],
            &["node", "--feature", "tls", "--", "command"],
            &["node", "--connect", "localhost:1", "--secret-file", "file", "--", "command"],
            &["faults", "--each-case-once", "--", "command"],
            &["codec", "--fault", "sings"],
        ],
    ));
}

#[test]
fn names_of_faults_and_cases_that_there_are_not() {
    let place = Place::new("refused-names");
    insta::assert_snapshot!(refused(
        &place,
        &[
            &["wrong", "--fault", "sings", "--", "command"],
            &["faults", "--fault", "sings", "--", "command"],
            &["faults", "--run", "sings", "--", "command"],
            &["node", "--run", "sings", "--", "command"],
            &["node", "--run", "greeting/[", "--list"],
            &["node", "--run", CASE, "--run", "greeting/pa*x", "--list"],
            &["node", "--run", CASE, "--skip", "greeting/*", "--list"],
            &["vectors", "--run", "sings", "--", "command"],
            &["vectors", "--run", "sings", "--list"],
        ],
    ));
}

#[test]
fn files_that_cannot_be_read_or_written_or_are_something_else() {
    let place = Place::new("refused-files");
    place.write("no-reason.txt", "# known\n\ngreeting/parts\n");
    place.write("not-utf8", b"\xff");
    place.write("empty.json", "{}");
    place.write("no.json", "results");
    place.write("no-matrix.txt", "    greeting/parts\n");
    insta::assert_snapshot!(refused(
        &place,
        &[
            &["node", "--expected-failures", "nowhere.txt", "--", "command"],
            &["node", "--expected-failures", "no-reason.txt", "--", "command"],
            &["node", "--expected-failures", "not-utf8", "--", "command"],
            &["vectors", "--expected-failures", ".", "--", "command"],
            &["node", "--json", "nowhere/file.json", "--", "command"],
            &["node", "--junit", ".", "--", "command"],
            &["vectors", "--html", "nowhere/file.html", "--", "command"],
            &["report", "--html", "page.html", "nowhere.json"],
            &["report", "--html", "page.html", "empty.json"],
            &["report", "--html", "page.html", "no.json"],
            &["faults", "--check", "nowhere.txt", "--", "command"],
            &["faults", "--check", "no-matrix.txt", "--", "command"],
            &["requirements", "--write", "nowhere/file.md"],
        ],
    ));
    assert!(!place.has("page.html"), "nothing is written of what cannot be read");
}

#[test]
fn a_secret_or_an_address_that_is_none() {
    let place = Place::new("refused-connect");
    place.write("not-utf8", b"a\xff");
    place.write("too-high", "\u{3c9}");
    place.write("empty", "\n");
    place.write("secret", "swordfish\n");
    let with = |secret| ["node", "--connect", "127.0.0.1:1", "--secret-file", secret];
    insta::assert_snapshot!(refused(
        &place,
        &[
            &with("nowhere"),
            &with("not-utf8"),
            &with("too-high"),
            &with("empty"),
            // Nobody listens at the port 1.
            &with("secret"),
            &["node", "--connect", "127.0.0.1", "--secret-file", "secret"],
        ],
    ));
}

#[test]
fn a_program_that_does_not_become_a_node() {
    let place = Place::new("refused-nodes");
    let mut all = String::new();
    for script in [
        "echo it is broken >&2; exit 3",
        "exec sleep 600 >&-",
        "echo hello; cat",
        "echo '[1]'; cat",
        "echo '{}'; cat",
        r#"echo '{"ready": true, "level": "high"}'; cat"#,
        r#"echo '{"ready": true, "level": "simple", "listen": "here"}'; cat"#,
        r#"echo '{"ready": true, "level": "simple", "listen": ["here"]}'; cat"#,
        r#"echo '{"ready": false, "error": "no port is free"}'; cat"#,
        r#"echo '{"ready": false}'; cat"#,
    ] {
        let said = place.run(&["node", "--starting", "300", "--", "sh", "-c", script]);
        all += &format!("$ {script}\n{said}\n\n");
    }
    // However long it is waited for: this one never says that it is ready.
    let said = place.run(&["node", "--starting", "0.2", "--", "sh", "-c", "cat >&2"]);
    assert!(said.err.contains("did not say within 200ms that it is ready"), "{said}");
    let said = place.run(&["node", "--", "./nowhere"]);
    all += &format!("$ ./nowhere\n{said}\n\n");
    let said = place.run(&["vectors", "--", "./nowhere"]);
    all += &format!("$ ./nowhere, with vectors\n{said}\n\n");
    let said = place.right(&["--framing", "cbor", "--run", CASE]);
    all += &format!("$ simple.py, with --framing cbor\n{said}\n\n");
    insta::assert_snapshot!(all);
}
