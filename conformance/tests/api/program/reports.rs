//! The reports, with all that a node may send in them.

use aemp_conformance::report::Results;
use aemp_conformance::run::Verdict;

use super::running::{CASE, NASTY, Place};

/// Reads XML, and compares the counts that stand there with what there is; a line for each suite.
const READ_XML: &str = r#"
import sys, xml.etree.ElementTree as xml
root = xml.parse(sys.argv[1]).getroot()
for suites in [[root], root.findall("testsuite")]:
    for suite in suites:
        cases = list(suite.iter("testcase"))
        count = lambda name: sum(case.find(name) is not None for case in cases)
        found = [len(cases), count("failure"), count("error"), count("skipped")]
        assert [int(suite.get(name)) for name in ["tests", "failures", "errors", "skipped"]] == found, found
        assert all(len(case) <= 1 and float(case.get("time")) >= 0 and case.get("classname") for case in cases)
        print(suite.tag, *found, suite.get("name"))
for failure in root.iter("failure"):
    print(failure.get("message")[:60].replace("\n", " "))
"#;

fn junit(place: &Place, name: &str) -> String {
    let output = place.output("python3", &["-c", READ_XML, name]);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), place.read(name));
    String::from_utf8(output.stdout).expect("text")
}

/// Nothing that a browser would fetch, and no markup but the page's own.
fn stands_alone(page: &str) {
    let lower = page.to_lowercase();
    for fetches in
        [" src=", "<link", "@import", "url(", "href=\"http", "href=\"//", "<iframe", "<object", "fetch(", "xmlhttp"]
    {
        assert!(!lower.contains(fetches), "{fetches}");
    }
    assert_eq!(lower.matches("<script").count(), 1);
    assert!(!page.contains('\x1b') && !page.contains('\0') && !page.contains('\x07'));
}

#[test]
fn whatever_a_node_sends_every_report_can_be_read() {
    let place = Place::new("nasty");
    let options = [
        "--json",
        "r.json",
        "--junit",
        "r.xml",
        "--html",
        "r.html",
        "--run",
        CASE,
        "--run",
        "greeting/nonce",
        "--run",
        "ports/bare",
    ];
    let said = place.wrong(&options);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.out.contains("]]>") && said.out.contains(r"\u{1b}[31mred\u{7}"), "{said}");
    assert!(!said.out.contains(|char: char| char.is_control() && char != '\n'), "{said}");
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    let count = |verdict| results.outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    let (all, failed, unimplemented) = (results.outcomes.len(), count(Verdict::Fail), count(Verdict::Unimplemented));
    assert!(failed > 0 && unimplemented > 0 && all == failed + unimplemented, "{said}");
    let read = junit(&place, "r.xml");
    assert!(
        read.starts_with(&format!("testsuites {all} {failed} 0 {unimplemented} <script>alert(1)</script> ]]> \"double\"")),
        "{read}"
    );
    let page = place.read("r.html");
    stands_alone(&page);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; ]]&gt; &quot;double&quot;"));
    // And so it is when it is made of what was written.
    assert_eq!(place.run(&["report", "--html", "again.html", "r.json"]).code, Some(0));
    assert_eq!(place.read("again.html"), page);
}

#[test]
fn whatever_a_codec_answers_every_report_can_be_read() {
    let place = Place::new("nasty-codec");
    place.write(
        "codec.py",
        "import json, sys\nfor line in sys.stdin:\n    print(json.dumps({'id': json.loads(line)['id'], 'text': '\\x00\\x0b\\x1b[1m]]></failure>\"\\'&\\ufffe'}), flush=True)\n",
    );
    let said = place.run(&[
        "vectors",
        "--patience",
        "300",
        "--run",
        "escapes/",
        "--junit",
        "r.xml",
        "--html",
        "r.html",
        "--json",
        "r.json",
        "--",
        "python3",
        "codec.py",
    ]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(!said.out.contains(|char: char| char.is_control() && char != '\n'), "{said}");
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    assert!(results.outcomes.len() > 5 && results.declared.is_none());
    assert!(junit(&place, "r.xml").starts_with(&format!(
        "testsuites {} {}",
        results.outcomes.len(),
        results.unexpected().len()
    )));
    stands_alone(&place.read("r.html"));
}

#[test]
fn several_results_make_a_matrix() {
    let place = Place::new("matrix");
    assert_eq!(place.right(&["--run", CASE, "--json", "right.json"]).code, Some(0));
    assert_eq!(place.wrong(&["--run", CASE, "--json", "wrong.json"]).code, Some(1));
    let said = place.run(&["report", "--html", "page.html", "right.json", "wrong.json"]);
    assert!(said.code == Some(0) && said.out.is_empty() && said.err.is_empty(), "{said}");
    let page = place.read("page.html");
    stands_alone(&page);
    let matrix = page.split("id=\"implementations\"").nth(1).expect("a matrix");
    assert!(matrix.contains("<th scope=\"col\">simple.py 1</th>"));
    assert!(matrix.contains("<td class=\"pass\"><a href=\"#case-0-greeting-parts\">pass</a></td><td class=\"fail\"><a href=\"#case-1-greeting-parts\">fail</a></td>"));
}

#[test]
fn a_report_that_cannot_be_written_costs_neither_the_others_nor_what_is_said() {
    let place = Place::new("not-written");
    // It can be written when the cases begin: the node removes the folder, and becomes another one.
    std::fs::create_dir(place.path("gone")).expect("a folder");
    let script = format!("rm -r gone; exec python3 {NASTY}");
    let options = ["--run", CASE, "--json", "gone/r.json", "--junit", "r.xml"];
    let said = place.node(&options, &["sh", "-c", &script]);
    assert!(said.code == Some(2) && said.err.contains("gone/r.json cannot be written"), "{said}");
    assert!(said.out.ends_with("\nFAIL: greeting/parts\n"), "{said}");
    assert!(junit(&place, "r.xml").starts_with("testsuites 1 1 0 0"));
}
