//! The file of permissions: the example, and what is said about wrong ones.

use aemp_node::permissions::from_toml;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::permissions::{Permissions, Right};

fn may(table: &Permissions, node: &str, right: Right, name: &str) -> bool {
    table.of(&NodeId::new(node).expect("a node ID")).may(right, name)
}

#[test]
fn the_example_of_the_documentation_says_what_its_comments_say() {
    let table = from_toml(include_str!("../../../docs/permissions.toml")).expect("it is right");
    let may = |node, right, name| may(&table, node, right, name);
    assert!(may("worker/7", Right::Set, "jobs-today") && !may("worker/7", Right::Set, "config"));
    assert!(may("worker/7", Right::Send, "echo") && !may("worker/7", Right::Send, "log"));
    assert!(!may("worker/7", Right::Spawn, "Counter::start") && may("worker/7", Right::Stream, "Files::get"));
    assert!(may("worker/7", Right::Call, "AnyEvent::MP::LogCatcher::connect") && !may("worker/7", Right::Call, "db_set"));
    for right in [Right::Call, Right::Spawn, Right::Stream, Right::Send, Right::Set] {
        assert!(may("operator/1", right, "anything") && may("backup", right, "anything"));
    }
    assert!(may("guest-1", Right::Send, "echo") && !may("guest-1", Right::Send, "log"));
    assert!(may("visitor", Right::Stream, "Files::get") && !may("visitor", Right::Stream, "Files::put"));
    assert!(!may("visitor", Right::Set, "jobs-today") && !may("visitor", Right::Call, "db_set"));
    assert!(!table.of(&NodeId::new("visitor").expect("a node ID")).may_reach_unnamed());
    assert!(may("somebody", Right::Set, "jobs-today") && !may("somebody", Right::Spawn, "Counter::start"));
}

#[test]
fn an_empty_file_allows_everything() {
    for text in ["", "# nothing\n"] {
        assert_eq!(from_toml(text), Ok(Permissions::default()));
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_its_key() {
    let wrong = [
        ("a key that does not exist", "[[node]]\nid = \"x\"\nallow = [\"y\"]\n"),
        ("a table that does not exist", "[[nodes]]\nid = \"x\"\n"),
        ("no id", "[[node]]\nid = \"x\"\n\n[[node]]\nsend = [\"y\"]\n"),
        ("a wrong type", "[[node]]\nid = \"x\"\nsend = [\"y\", 5]\n"),
        ("another wrong type", "[[node]]\nid = \"x\"\ndeny_others = \"yes\"\n"),
        ("no list of rows", "[node]\nid = \"x\"\n"),
        ("an empty pattern", "[[node]]\nid = \"x\"\ncall = [\"\"]\n"),
        ("nothing behind the mark", "[[node]]\nid = \"x\"\ncall = \"!\"\n"),
        ("a control character", "[[node]]\nid = \"x\\u001b[31m\"\n"),
        ("too many stars", "[[node]]\nid = \"x\"\n    set = [\"*a*b*c*d*\"]\n"),
        ("a key that comes twice", "[[node]]\nid = \"x\"\nid = \"y\"\n"),
        ("no TOML", "[[node]]\nid = x\n"),
        ("a text without an end", "[[node]]\nid = \"ä\"\nset = [\"jobs\n"),
    ];
    let told = |(what, text)| format!("{what}: {}", from_toml(text).expect_err(what));
    insta::assert_snapshot!(wrong.map(told).join("\n"));
}
