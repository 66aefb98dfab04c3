//! Holds the specification and the code together: no ID is cited that does not exist, and every MUST is shown by a test or a
//! vector, or has a reason why nothing can show it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const REASONS: [&str; 4] = ["unobservable", "statistical", "people", "outside"];
const KEYWORDS: [&str; 5] = ["MUST NOT", "MUST", "SHOULD NOT", "SHOULD", "MAY"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below a folder of the project, but for what is generated.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                let name = path.file_name().expect("a name");
                if name != "target" && name != "corpus" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| path.extension().is_some_and(|found| found == *ending)) {
                found.push(path);
            }
        }
    }
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The requirements: their IDs and sentences.
fn requirements() -> BTreeMap<String, String> {
    let mut requirements = BTreeMap::new();
    for path in files("spec", &["md"]) {
        for line in text(&path).lines() {
            let Some((id, sentence)) = line.strip_prefix("**[").and_then(|rest| rest.split_once("]** ")) else { continue };
            let before = requirements.insert(id.to_owned(), sentence.to_owned());
            assert!(before.is_none(), "{id} is there twice");
        }
    }
    assert!(requirements.len() > 100);
    requirements
}

/// Everything in a text that looks like an ID of one of the known families.
fn cited(text: &str, families: &BTreeSet<&str>) -> BTreeSet<String> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'));
    let is_id = |word: &&str| {
        word.split_once('-').is_some_and(|(family, number)| {
            families.contains(family) && !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit())
        })
    };
    words.filter(is_id).map(str::to_owned).collect()
}

fn families(requirements: &BTreeMap<String, String>) -> BTreeSet<&str> {
    requirements.keys().filter_map(|id| id.split_once('-')).map(|(family, _)| family).collect()
}

/// The keyword of a sentence, and how many it has.
fn keywords(sentence: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut rest = sentence.to_owned();
    for keyword in KEYWORDS {
        let without = rest.replace(keyword, "");
        found.extend(std::iter::repeat_n(keyword, (rest.len() - without.len()) / keyword.len()));
        rest = without;
    }
    found
}

#[derive(serde::Deserialize)]
struct Coverage {
    requirements: BTreeMap<String, String>,
}

fn coverage() -> BTreeMap<String, String> {
    let coverage: Coverage = serde_json::from_str(&text(&root().join("spec/coverage.json"))).expect("coverage.json");
    coverage.requirements
}

/// What tests and vectors cite.
fn shown(families: &BTreeSet<&str>) -> BTreeSet<String> {
    let this = Path::new(file!()).file_name();
    let mut shown = BTreeSet::new();
    for folder in ["aemp-proto/tests", "aemp-node", "aemp-cli", "conformance", "spec/vectors"] {
        for path in files(folder, &["rs", "json", "py"]) {
            let parts: Vec<_> = path.components().map(std::path::Component::as_os_str).collect();
            let is_case = folder == "conformance" && parts.iter().any(|part| *part == "cases");
            let is_test = folder == "spec/vectors" || is_case || parts.iter().any(|part| *part == "tests");
            // Which requirements are known to be shown by nothing shows none of them.
            let lists = path.file_name() == this || folder == "conformance" && path.ends_with("api/coverage.rs");
            if is_test && !lists {
                shown.extend(cited(&text(&path), families));
            }
        }
    }
    shown
}

#[test]
fn every_sentence_that_binds_has_one_keyword_and_says_whom_it_binds() {
    for (id, sentence) in requirements() {
        assert_eq!(keywords(&sentence).len(), 1, "{id}: {sentence}");
        let party = sentence.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let parties = ["A sender", "A receiver", "A side", "Each side", "A node", "An opener", "An acceptor", "An arbiter"];
        assert!(parties.contains(&&party[..]), "{id} binds {party:?}");
        assert!(sentence.ends_with(['.', ')']), "{id} ends without a full stop");
    }
}

#[test]
fn no_sentence_outside_of_a_requirement_binds() {
    for path in files("spec", &["md"]) {
        for line in text(&path).lines().filter(|line| !line.starts_with("**[") && !line.contains("RFC 2119")) {
            let loose = keywords(line).into_iter().find(|keyword| {
                line.split([' ', ',', '.']).any(|word| keyword.contains(word) && word.len() > 2 && word != "NOT")
            });
            assert_eq!(loose, None, "{}: {line}", path.display());
        }
    }
}

#[test]
fn no_requirement_is_cited_that_does_not_exist() {
    let requirements = requirements();
    let families = families(&requirements);
    let folders = ["spec", "aemp-proto", "aemp-node", "aemp-cli", "conformance", "fuzz", "docs"];
    let mut paths: Vec<_> =
        folders.iter().flat_map(|folder| files(folder, &["rs", "md", "json", "py", "snap", "abnf"])).collect();
    paths.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    for path in paths {
        for id in cited(&text(&path), &families) {
            assert!(requirements.contains_key(&id), "{} cites {id}", path.display());
        }
    }
}

#[test]
fn every_must_is_shown_or_has_a_reason_why_it_cannot_be() {
    let requirements = requirements();
    let shown = shown(&families(&requirements));
    let coverage = coverage();
    let unshown: Vec<_> = requirements
        .iter()
        .filter(|(id, sentence)| {
            keywords(sentence)[0].starts_with("MUST") && !shown.contains(*id) && !coverage.contains_key(*id)
        })
        .map(|(id, _)| id)
        .collect();
    assert!(unshown.is_empty(), "cite these in a test that shows them: {unshown:?}");
}

#[test]
fn the_reasons_are_known() {
    let requirements = requirements();
    for (id, reason) in coverage() {
        assert!(REASONS.contains(&&reason[..]), "{id}: {reason} is no reason");
        assert!(requirements.contains_key(&id), "{id} does not exist");
    }
}

#[test]
fn every_error_cites_a_requirement_that_exists() {
    let requirements = requirements();
    let errors = text(&root().join("aemp-proto/src/error.rs"));
    // The variants that name one, and their texts: `=> "ID", "…`.
    let ids: Vec<_> = errors.split("=> \"").skip(1).filter_map(|rest| rest.split_once("\", \"")).map(|(id, _)| id).collect();
    assert!(ids.len() > 25, "{ids:?}");
    for id in ids {
        assert!(requirements.contains_key(id), "an error cites {id}");
    }
}
