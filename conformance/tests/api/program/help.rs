//! What the program says about itself.

use super::running::{CASE, Place};

#[test]
fn the_program_and_each_command_say_what_they_are_for() {
    let place = Place::new("help");
    for command in ["", "vectors", "node", "report", "requirements", "wrong", "faults", "codec"] {
        let arguments: Vec<_> = [command, "--help"].into_iter().filter(|argument| !argument.is_empty()).collect();
        let said = place.run(&arguments);
        assert!(said.code == Some(0) && said.err.is_empty(), "{said}");
        insta::assert_snapshot!(format!("help {command}").trim().replace(' ', "-"), said.out);
    }
}

#[test]
fn what_is_listed_for_data_connections_and_logs_says_what_a_node_needs_for_it() {
    let place = Place::new("help-list");
    let said = place.run(&["node", "--list"]);
    let heads: Vec<_> = said.out.lines().filter(|line| !line.starts_with(' ')).collect();
    for (chapter, feature) in [("data/", "dataconn"), ("logs/", "logs")] {
        let all: Vec<_> = heads.iter().filter(|line| line.starts_with(chapter)).collect();
        assert!(all.len() > 9, "{all:#?}");
        let without: Vec<_> = all.iter().filter(|line| !line.contains(&format!(", {feature}"))).collect();
        assert!(without.is_empty(), "{without:#?}");
    }
    insta::assert_snapshot!(place.run(&["node", "--list", "--run", "data/mirror", "--run", CASE]));
}
