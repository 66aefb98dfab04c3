//! Holds the cases, the faults and `faults.txt` together: what cannot fail proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aemp_conformance::faults::{self, Matrix, NOTHING};
use aemp_conformance::requirement::{self, Strength};
use aemp_conformance::run::Verdict;
use aemp_conformance::{case::Case, cases};

fn written() -> Matrix {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults.txt");
    Matrix::read(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn each_case_that_proves_a_must_is_failed_by_some_wrong_node() {
    let must = |id: &&str| requirement::find(id).is_some_and(|found| found.strength == Strength::Must);
    let proves_a_must = |case: &&Case| case.proves.iter().any(must);
    let written = written();
    let failed = written.cases(Verdict::Fail);
    let never: Vec<_> =
        cases::all().into_iter().filter(proves_a_must).map(|case| case.name).filter(|name| !failed.contains(name)).collect();
    assert!(never.is_empty(), "no wrong node fails:\n{}", never.join("\n"));
}

#[test]
fn what_is_written_down_is_there_and_the_control_fails_nothing() {
    let written = written();
    let known: BTreeSet<_> = cases::all().into_iter().map(|case| case.name).collect();
    let all = [Verdict::Fail, Verdict::NotStrict].into_iter().flat_map(|verdict| written.cases(verdict));
    let gone: Vec<_> = all.filter(|name| !known.contains(name)).collect();
    assert!(gone.is_empty(), "no such cases: {gone:?}");
    let faults: BTreeSet<_> = faults::all().into_iter().map(|entry| entry.name).collect();
    assert_eq!(faults, written.rows().map(|(fault, _)| fault).collect());
    let (_, control) = written.rows().find(|(fault, _)| *fault == NOTHING).unwrap();
    assert!(control.is_empty(), "a right node fails {control:?}");
}

#[test]
fn a_matrix_is_read_as_it_was_written() {
    let mut matrix = Matrix::default();
    matrix.add_fault(NOTHING);
    assert!(matrix.add("never closes", "greeting/http", Verdict::Fail));
    assert!(!matrix.add("never closes", "greeting/http", Verdict::Fail));
    matrix.add("sends nothing", "greeting/http", Verdict::Fail);
    matrix.add("sends nothing", "greeting/echo", Verdict::NotStrict);
    assert_eq!(Matrix::read(&matrix.to_string()), Ok(matrix.clone()));
    let once = matrix.each_case_once();
    assert_eq!(once.verdict("never closes", "greeting/http"), Some(Verdict::Fail));
    assert_eq!(once.verdict("sends nothing", "greeting/echo"), Some(Verdict::NotStrict));
    assert_eq!(matrix.beyond(&once), ["sends nothing: greeting/http"]);
    assert!(once.beyond(&matrix).is_empty());
    for wrong in ["    greeting/http\n", "a\n    b/c\n    b/c\n", "a\na\n"] {
        assert!(Matrix::read(wrong).is_err(), "{wrong:?}");
    }
}
