//! The HTML report in a browser, as people use it. Needs `chromium`; elsewhere only its size is tested.

use std::path::Path;
use std::process::{Command, Stdio};

use aemp_conformance::report::{Results, html};
use aemp_conformance::run::{Finding, Outcome, Verdict};
use aemp_conformance::subject::Level;
use aemp_conformance::wire::{Direction, Entry};

/// Runs in the page, and leaves what it finds in its title.
const SCRIPT: &str = r##"
const wrong = [];
const check = (right, what) => { if (!right) wrong.push(what); };
const shown = () => document.querySelectorAll(".case:not([hidden])").length;
const told = () => document.getElementById("shown").textContent;
const type = (words) => { text.value = words; form.dispatchEvent(new Event("input", { bubbles: true })); };
const only = (...names) => {
  for (const box of boxes) box.checked = !names.length || names.includes(box.name);
  form.dispatchEvent(new Event("input", { bubbles: true }));
};
const arrives = (hash) => { location.hash = hash; go(); return document.getElementById(hash); };
const visible = (one) => one.getClientRects().length > 0;

const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
check(new Set(ids).size === ids.length, "an id twice");
for (const link of document.querySelectorAll("a[href]")) {
  const href = link.getAttribute("href");
  check(href.startsWith("#") && document.getElementById(href.slice(1)), `a link to ${href}`);
}
for (const one of document.querySelectorAll("[src], link, iframe, object")) check(false, `fetches ${one.outerHTML}`);
check(!/url\(|@import/.test(document.querySelector("style").textContent), "the style fetches something");

check(shown() === 60 && told() === "60 of 60", `all: ${shown()}, ${told()}`);
type("sample/case-1");
check(shown() === 22 && told() === "22 of 60", `by name: ${shown()}`);
const rowsLeft = () => document.querySelectorAll(".matrix tr:has(a):not([hidden])").length;
check(rowsLeft() === 11, `rows of the matrix by name: ${rowsLeft()}`);
type("swordfish Number-9 "); // In what passed, and in two cases.
check(shown() === 2, `by two words: ${shown()}`);
type("no such word");
check(shown() === 0 && ![...chapters].some(visible), `none: ${shown()}`);
type("");
only("fail");
check(shown() === 20, `failures: ${shown()}`);
type("sample/case-2");
check(shown() === 6 && location.hash.startsWith("#?"), `failures by name: ${shown()}, ${location.hash}`);
const address = location.hash;
type(""); only();
check(shown() === 60 && location.hash === "", `everything again: ${shown()}, ${location.hash}`);
location.hash = address; go();
check(shown() === 6 && text.value === "sample/case-2", `from the address: ${shown()}`);

type("no such word");
const one = arrives("case-0-sample-case-4-json");
check(visible(one) && one.open && shown() === 1 && document.activeElement.parentElement === one, "a hidden case does not show");
type("no such word");
check(visible(arrives("chapter-1-0")), "a hidden chapter does not show");
type(""); only();
check(visible(arrives("GREET-1")), "a requirement does not show");
const same = document.getElementById("same");
check(!visible(document.querySelector("tr.same")), "the matrix shows what all pass");
same.click();
check(visible(document.querySelector("tr.same")), "the matrix does not show what all pass");

for (const details of document.querySelectorAll("details")) details.open = true;
const page = document.documentElement;
check(page.scrollWidth <= page.clientWidth, `the page scrolls aside: ${page.scrollWidth} of ${page.clientWidth}`);
parent.postMessage(`${innerWidth}: ${wrong.join("; ") || "all right"}`, "*");
"##;

/// Shows the page in a frame, for a window of a browser is never as narrow as a telephone.
fn frame(page: &str, width: u32) -> String {
    format!(
        "<!DOCTYPE html><title>nothing came</title><iframe src=\"{page}\" style=\"border:0;width:{width}px;height:900px\"></iframe>\
         <script>addEventListener(\"message\", (message) => {{ document.title = message.data; }});</script>"
    )
}

fn entry(direction: Direction, meaning: String, octets: usize) -> Entry {
    Entry { at: 1, connection: 1, direction, meaning, octets: "61".repeat(octets), length: octets + 1 }
}

fn outcome(number: usize, verdict: Verdict) -> Outcome {
    let failed = verdict != Verdict::Pass;
    let requirement = Some("GREET-1".to_owned());
    let finding =
        Finding { requirement, sentence: Some("A `<b>`.".into()), expected: "<i>".into(), actual: "x".repeat(300) };
    let wire = entry(Direction::Sent, format!("swordfish number-{number} {}", "y".repeat(300)), 40);
    Outcome {
        case: format!("sample/case-{number}"),
        about: "What <u>the case</u> tries.".into(),
        framing: Some("json".into()),
        proves: vec![if number.is_multiple_of(2) { "GREET-1" } else { "AUTH-12" }.into(), "GREET-2".into()],
        level: Level::Node,
        needs: Vec::new(),
        verdict,
        outcome: None,
        findings: if failed { vec![finding] } else { Vec::new() },
        wire: if failed { vec![wire] } else { Vec::new() },
        errors: if failed { "z".repeat(400) } else { String::new() },
        took: 1,
        expected_to_fail: None,
        unexpected_pass: None,
    }
}

fn results(name: &str, outcomes: Vec<Outcome>) -> Results {
    let (suite, version) = ("1".into(), "2".into());
    Results { suite, name: name.into(), version, declared: None, began: 1_800_000_000, seed: Some(1), outcomes }
}

/// Two runs of thirty cases: numbers that 3 divides fail in both.
fn two_runs() -> Vec<Results> {
    let verdict = |number: usize| if number.is_multiple_of(3) { Verdict::Fail } else { Verdict::Pass };
    let run = |name| results(name, (0..30).map(|number| outcome(number, verdict(number))).collect());
    vec![run("one"), run("an-implementation-with-a-long-name")]
}

fn title_in_a_browser(page: &Path, profile: &Path, width: u32) -> Option<String> {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"])
        .args(["--window-size=1400,1000", "--virtual-time-budget=20000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(page)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let dom = String::from_utf8(output.stdout).expect("text");
    let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
    Some(title.unwrap_or_else(|| panic!("{width}: no title in {dom}")).to_owned())
}

#[test]
fn links_lead_somewhere_filters_count_and_nothing_scrolls_aside_at_any_width() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("a folder");
    let page = html::write(&two_runs());
    let tested = page.replace("</body>", &format!("<script>{SCRIPT}</script></body>"));
    std::fs::write(folder.join("page.html"), tested).expect("a file");
    for width in [390, 1280] {
        let path = folder.join(format!("{width}.html"));
        std::fs::write(&path, frame("page.html", width)).expect("a file");
        let Some(title) = title_in_a_browser(&path, &folder.join("profile"), width) else {
            eprintln!("nothing was tested: there is no chromium");
            return;
        };
        assert_eq!(title, format!("{width}: all right"));
    }
}

#[test]
fn a_thousand_failures_with_all_that_can_pass_make_a_page_that_a_browser_still_likes() {
    let entries: Vec<_> = (0..400).map(|_| entry(Direction::Received, "m".repeat(2000), 512)).collect();
    let failed = |number| Outcome { wire: entries.clone(), ..outcome(number, Verdict::Fail) };
    let page = html::write(&[results("one", (0..1000).map(failed).collect())]);
    assert!(page.len() < 16 << 20, "{} octets", page.len());
    assert!(page.contains("more are left out here: the results in JSON have them"));
    assert!(page.contains("… 513 octets in all"));
}
