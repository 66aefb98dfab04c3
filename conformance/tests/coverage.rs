//! Holds the specification and the suite together, so that neither is added to without the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aemp_conformance::requirement::{self, Strength};
use aemp_conformance::{appendix, cases};

/// What nothing shows from outside yet: data connections want cases of their own, and an opener of another protocol comes with them.
const TO_COME: &[&str] = &[
    "DATA-2", "DATA-3", "DATA-4", "DATA-5", "DATA-6", "DATA-7", "DATA-9", "DATA-10", "DATA-11", "DATA-12", "DATA-13",
    "DATA-16", "DATA-17", "DATA-18", "DATA-19", "DATA-20", "DATA-21", "DATA-23", "DATA-24", "DATA-25", "DATA-26", "DATA-27",
    "GREET-22", "NODE-12",
];

#[test]
fn everything_that_binds_has_a_case_or_a_vector_or_a_reason_why_not() {
    let missing: BTreeSet<_> = appendix::missing().iter().map(|requirement| &*requirement.id).collect();
    let to_come: BTreeSet<_> = TO_COME.iter().copied().collect();
    assert_eq!(missing, to_come, "left: what nothing shows; right: what is known to be missing");
}

#[test]
fn reasons_excuse_a_tenth_of_what_binds_at_most_and_nothing_that_is_shown() {
    let shown = appendix::shown();
    let binding = requirement::all().values().filter(|requirement| requirement.strength != Strength::May);
    let (total, excused) = binding.fold((0, 0), |(total, excused), requirement| {
        (total + 1, excused + usize::from(shown[&requirement.id].reason.is_some()))
    });
    assert!(excused * 10 <= total, "{excused} of {total} are excused");
    for (id, shown) in &shown {
        assert!(shown.reason.is_none() || !shown.is_shown(), "{id} is excused, and shown by {shown:?}");
    }
}

#[test]
fn cases_prove_what_the_specification_says_and_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for case in cases::all() {
        assert!(names.insert(case.name), "{} is there twice", case.name);
        let well_formed = |char: char| char.is_ascii_alphanumeric() || "-/".contains(char);
        assert!(case.name.chars().all(well_formed) && case.name.contains('/'), "{}", case.name);
        assert!(!case.proves.is_empty() && case.about.ends_with('.'), "{}", case.name);
        for id in case.proves {
            assert!(requirement::find(id).is_some(), "{} proves {id}, which is nowhere", case.name);
        }
    }
}

#[test]
fn the_appendix_of_the_specification_is_as_generated() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/requirements.md");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let write = "cargo run -p aemp-conformance -- requirements --write spec/requirements.md";
    assert!(text == appendix::write(), "spec/requirements.md is not as it should be: {write}");
}
