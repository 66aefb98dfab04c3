//! Failures that are expected.

use aemp_conformance::report::Results;

use super::running::{CASE, Place};

#[test]
fn an_expected_failure_is_none_and_keeps_its_reason() {
    let place = Place::new("expected");
    place.write("known.txt", "# ours\n\ngreeting/par*   not yet, see ticket 12\n");
    let options =
        ["--run", CASE, "--expected-failures", "known.txt", "--json", "r.json", "--junit", "r.xml", "--html", "r.html"];
    let said = place.wrong(&[&options[..], &["--verbose"]].concat());
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.out.contains("expected failure: greeting/parts (not yet, see ticket 12)"), "{said}");
    assert!(said.out.contains("1 of the failures was expected."), "{said}");
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    assert_eq!(results.outcomes[0].expected_to_fail.as_deref(), Some("not yet, see ticket 12"));
    assert!(place.read("r.xml").contains("<skipped message=\"expected to fail: not yet, see ticket 12\">"));
    assert!(place.read("r.html").contains("This failure was expected: not yet, see ticket 12"));
}

#[test]
fn what_passes_though_it_was_expected_to_fail_is_an_error_that_names_the_line_of_the_list() {
    let place = Place::new("unexpected");
    place.write("known.txt", "# ours\n\ngreeting/par*   not yet, see ticket 12\n");
    let said = place.right(&["--run", CASE, "--expected-failures", "known.txt", "--junit", "r.xml", "--html", "r.html"]);
    insta::assert_snapshot!(said);
    let reason = "line 3, greeting/par*: not yet, see ticket 12";
    assert!(place.read("r.xml").contains(&format!("<failure message=\"it passes, and was expected to fail: {reason}\">")));
    assert!(place.read("r.html").contains(&format!("This was expected to fail, and did not: {reason}")));
}

#[test]
fn a_line_that_no_case_fits_is_told_and_one_whose_case_was_not_picked_is_not() {
    let place = Place::new("unknown");
    place.write(
        "known.txt",
        "greeting/parts  not yet\ngreeting/echo  was not picked\nechoes  is no name\nports/bare[cbor]  is one\n",
    );
    let said = place.wrong(&["--run", CASE, "--expected-failures", "known.txt"]);
    assert_eq!(said.code, Some(1), "{said}");
    insta::assert_snapshot!(said.err);
    place.write("known.txt", "program/ends  vectors have this one, too\nescapes/escape-none  is wrong\n");
    let mirror = r#"n=0; while read -r l; do n=$((n+1)); echo "{\"id\":$n,\"text\":\"x\"}"; done; echo more"#;
    let said = place.run(&[
        "vectors",
        "--run",
        "escapes/escape-none",
        "--expected-failures",
        "known.txt",
        "--",
        "sh",
        "-c",
        mirror,
    ]);
    assert_eq!(said.code, Some(0), "{said}");
}
