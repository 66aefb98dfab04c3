//! Programs with a fault answer the vectors: each fault is found, and by which cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aemp_conformance::codec::faults::Fault;
use aemp_conformance::run::Verdict;
use aemp_conformance::vectors;
use aemp_conformance::vectors::asking::judged;
use aemp_conformance::vectors::case::Case;
use clap::ValueEnum as _;
use serde_json::Value as Json;

/// Names of one file that are shown, where more cases find a fault.
const SHOWN: usize = 8;

/// The cases that find a fault, by file.
fn findings(fault: Fault, cases: &[Case]) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for case in cases {
        // What has nothing to do with the fault is answered right, which another test shows.
        let mut case = case.clone();
        case.questions.retain(|question| fault.answer_of_its_own(&question.request).is_some());
        let outcome = judged(&case, |question| {
            let answer = fault.answer(&question.request);
            Ok((answer.to_string(), answer))
        });
        let (file, id) = case.name.split_once('/').expect("FILE/ID");
        let id = case.framing.map_or_else(|| id.to_owned(), |framing| format!("{id}[{framing}]"));
        match outcome.verdict {
            Verdict::Pass => {}
            Verdict::NotStrict => found.entry(file.into()).or_default().push(format!("{id} (not strict)")),
            _ => found.entry(file.into()).or_default().push(id),
        }
    }
    found
}

fn name(fault: Fault) -> String {
    fault.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[test]
fn each_fault_is_found_and_each_file_finds_one() {
    let cases = vectors::all(1);
    let mut report = String::new();
    let mut files = cases.iter().filter_map(|case| case.name.split('/').next()).collect::<Vec<_>>();
    files.dedup();
    for fault in Fault::value_variants() {
        let found = findings(*fault, &cases);
        assert!(!found.is_empty(), "nothing finds the fault {}", name(*fault));
        let _ = writeln!(report, "{}", name(*fault));
        for (file, ids) in found {
            files.retain(|name| *name != file);
            let shown = ids.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if ids.len() > SHOWN { format!(", and {} more", ids.len() - SHOWN) } else { String::new() };
            let _ = writeln!(report, "    {file}: {shown}{more}");
        }
    }
    assert!(files.is_empty(), "no fault is found by {files:?}");
    insta::assert_snapshot!(report);
}

#[test]
fn another_seed_cuts_elsewhere_and_asks_the_same() {
    let requests = |seed| -> Vec<Json> {
        vectors::all(seed).into_iter().flat_map(|case| case.questions).map(|question| question.request).collect()
    };
    let (one, same, other) = (requests(1), requests(1), requests(2));
    assert!(one == same && one != other && one.len() == other.len());
}
