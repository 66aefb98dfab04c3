//! The table of permissions that an operator writes, and the names that it is asked about.

#![allow(unreachable_pub, reason = "it is a module of two kinds of programs")]

use aemp_node::permissions::from_toml;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::permissions::Right;

const RIGHTS: [(Right, &str); 5] =
    [(Right::Call, "call"), (Right::Spawn, "spawn"), (Right::Stream, "stream"), (Right::Send, "send"), (Right::Set, "set")];

/// Names and node IDs that are tried with one table, at most.
const TRIED: usize = 24;

/// A text is a table, or the error says where in the text it is none. A table answers as a plain reading of the same text
/// does.
pub fn permissions(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let permissions = match from_toml(&text) {
        Ok(permissions) => permissions,
        Err(error) => {
            if let Some((line, column)) = error.place() {
                let found = text.split('\n').nth(line - 1).expect("a line of the text");
                assert!((1..=found.chars().count() + 1).contains(&column), "{error}");
            }
            return assert!(!error.to_string().contains('\n'), "{error}");
        }
    };
    let table: toml::Table = text.parse().expect("it was read as a table");
    let none = Vec::new();
    let rows = table.get("node").map_or(&none, |rows| rows.as_array().expect("a list of rows"));
    let names = names(rows);
    for node in names.iter().filter_map(|name| NodeId::new(name).ok()).take(TRIED) {
        let rights = permissions.of(&node);
        let fitting = || rows.iter().filter(|row| allows(&row["id"], node.as_str()));
        let mut all = true;
        for (right, key) in RIGHTS {
            let denies = |row: &toml::Value| row.get("deny_others").and_then(toml::Value::as_bool) == Some(true);
            let row = fitting().find(|row| row.get(key).is_some() || denies(row));
            all &= row.is_none();
            let may = |name: &str| row.is_none_or(|row| row.get(key).is_some_and(|list| allows(list, name)));
            for name in &names {
                assert_eq!(rights.may(right, name), may(name), "{node} may {key} {name:?}\n{text}");
                assert!(!rights.may_all(right) || may(name), "{node} may {key} all names\n{text}");
            }
            assert!(row.is_some() || rights.may_all(right));
        }
        let unnamed = fitting().find_map(|row| row.get("unnamed").and_then(toml::Value::as_bool)).unwrap_or(true);
        assert_eq!(rights.may_reach_unnamed(), unnamed, "{node} may reach unnamed ports\n{text}");
        assert_eq!(rights.are_all(), all && unnamed, "{node} may do everything\n{text}");
        assert!(rights.may_set(&node, "'l", node.as_str()), "{node} may say where it is");
        assert_eq!(rights.may_set(&node, "f", "k"), rights.may(Right::Set, "f"));
    }
}

/// Names that patterns of the table fit, and such as they just do not fit.
fn names(rows: &[toml::Value]) -> Vec<String> {
    let mut names = vec![String::new(), "x".into()];
    for list in rows.iter().flat_map(|row| row.as_table()).flat_map(|row| row.values()) {
        for pattern in patterns(list) {
            let pattern = pattern.strip_prefix('!').unwrap_or(pattern);
            names.extend([pattern.replace('*', ""), pattern.replace('*', pattern), pattern.replacen('*', "x", 1)]);
            names.push(pattern.chars().rev().filter(|char| *char != '*').collect());
            if names.len() >= TRIED {
                return names;
            }
        }
    }
    names
}

fn patterns(list: &toml::Value) -> Vec<&str> {
    match list {
        toml::Value::String(one) => vec![one],
        toml::Value::Array(more) => more.iter().filter_map(toml::Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn allows(list: &toml::Value, name: &str) -> bool {
    for pattern in patterns(list) {
        let (allowed, pattern) = pattern.strip_prefix('!').map_or((true, pattern), |pattern| (false, pattern));
        if fits(pattern.as_bytes(), name.as_bytes()) {
            return allowed;
        }
    }
    false
}

/// Whether a pattern fits, found by trying for each `*` every length that it can stand for.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for octet in pattern {
        if *octet == b'*' {
            let first = reached.iter().position(|reached| *reached).unwrap_or(name.len());
            (first + 1..=name.len()).for_each(|at| reached[at] = true);
        } else {
            for at in (0..name.len()).rev() {
                reached[at + 1] = reached[at] && name[at] == *octet;
            }
            reached[0] = false;
        }
    }
    reached[name.len()]
}
