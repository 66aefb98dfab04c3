//! Holds the specification and the suite together, so that neither is added to without the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aemp_conformance::requirement::{self, Strength};
use aemp_conformance::{appendix, cases};

#[test]
fn everything_that_binds_has_a_case_or_a_vector_or_a_reason_why_not() {
    let missing: BTreeSet<_> = appendix::missing().iter().map(|requirement| &*requirement.id).collect();
    assert!(missing.is_empty(), "nothing shows {missing:?}");
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
