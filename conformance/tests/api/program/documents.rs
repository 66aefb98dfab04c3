//! What is written for people who write nodes agrees with the program.

use std::fs;
use std::path::Path;

use aemp_conformance::subject::Feature;
use clap::ValueEnum as _;

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a document")
}

#[test]
fn each_feature_that_a_node_may_have_is_described() {
    let protocol = document("PROTOCOL.md");
    let (_, features) = protocol.split_once("| feature | |").expect("the table of features");
    let (features, _) = features.split_once("\n\n").expect("its end");
    for feature in Feature::value_variants() {
        assert!(features.contains(&format!("`{}`", feature.name())), "{}", feature.name());
    }
}

#[test]
fn what_the_cases_of_options_ask_of_a_node_stands_in_the_contract() {
    let contract = document("CONTRACT.md");
    for (feature, names) in [
        (Feature::Dataconn, &["\"data_connect\"", "`conformance::source`", "`conformance::mirror`"][..]),
        (Feature::Logs, &["\"log\""]),
    ] {
        for name in names {
            let line = contract.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}"));
            assert!(line.contains(&format!("(option *{}*)", feature.name())), "{line}");
        }
    }
}
