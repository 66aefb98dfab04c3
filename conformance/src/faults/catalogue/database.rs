//! Nodes whose discovery or database is wrong.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use aemp_proto::value::Value;

use super::{Entry, ignores, is, never_sends, repeats, text};
use crate::faults::{Fate, Fault};

pub(super) const FAULTS: &[Entry] = &[
    ignores("ignores g_slave"),
    ignores("ignores g_global"),
    ignores("ignores g_set"),
    ignores("ignores g_upd"),
    ignores("ignores g_find"),
    ignores("ignores g_found"),
    ignores("ignores g_db_family"),
    ignores("ignores g_db_keys"),
    ignores("ignores g_db_values"),
    ignores("ignores g_reply"),
    ignores("ignores g_mon1"),
    ignores("ignores g_mon0"),
    ignores("ignores g_chg1"),
    ignores("ignores g_chg2"),
    never_sends("never sends g_slave"),
    never_sends("never sends g_global"),
    never_sends("never sends g_set"),
    never_sends("never sends g_upd"),
    never_sends("never sends g_find"),
    never_sends("never sends g_found"),
    never_sends("never sends g_reply"),
    never_sends("never sends g_mon1"),
    never_sends("never sends g_mon0"),
    never_sends("never sends g_chg1"),
    never_sends("never sends g_chg2"),
    repeats("sends twice g_global"),
    repeats("sends twice g_upd"),
    repeats("sends twice g_chg2"),
    repeats("sends twice g_found"),
    repeats("sends twice g_mon1"),
    Entry::new("forgets deletions", |_| {
        Fault::packet_out(|_, message| {
            let at = if is(message, "g_upd") || is(message, "g_chg2") { 4 } else { usize::MAX };
            match message.get(at) {
                Some(Value::Array(keys)) if !keys.is_empty() => {
                    let mut message = message.to_vec();
                    message[at] = Value::Array(Vec::new());
                    Fate::Replace(vec![message])
                }
                _ => Fate::Pass,
            }
        })
    }),
    Entry::new("forgets values that were set", |_| {
        Fault::packet_out(|_, message| {
            let at = if is(message, "g_upd") || is(message, "g_chg2") { 3 } else { usize::MAX };
            match message.get(at) {
                Some(Value::Map(map)) if !map.is_empty() => {
                    let mut message = message.to_vec();
                    message[at] = Value::Map(Default::default());
                    Fate::Replace(vec![message])
                }
                _ => Fate::Pass,
            }
        })
    }),
    Entry::new("does not greet with gproto", |_| {
        Fault::line_out(|_, number, line| {
            if number == 0 {
                let text = String::from_utf8_lossy(line).replace(";gproto=1", "");
                *line = text.into_bytes();
            }
        })
    }),
    Entry::new("tries one address only", |_| finds_only(1)),
    Entry::new("tries fifteen addresses only", |_| finds_only(15)),
    Entry::new("drops a request with an entry that is too large", |_| {
        Fault::packet_in(|_, message| if from_others(message) && has_large(message) { Fate::Drop } else { Fate::Pass })
    }),
    Entry::new("keeps what an entry that is too large would replace", |_| {
        Fault::packet_in(|_, message| {
            if from_others(message) { Fate::Replace(vec![message.iter().map(without_large).collect()]) } else { Fate::Pass }
        })
    }),
    Entry::new("sets entries that are too large", |_| sets_large()),
    Entry::new("refuses large entries that are allowed", |_| {
        Fault::packet_in(|_, message| if is_set_here(message) && has_large(message) { Fate::Drop } else { Fate::Pass })
    }),
    Entry::new("takes what is no family for one", |_| {
        Fault::packet_in(|_, message| {
            let no_family =
                |name: &String| !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.contains(' ');
            match message.get(2).map(text).filter(no_family) {
                Some(name) if is(message, "g_mon1") => {
                    let name: String = name.bytes().map(|octet| format!("x{octet:02x}")).collect();
                    Fate::Replace(vec![vec!["".into(), "g_mon1".into(), name.into()]])
                }
                _ => Fate::Pass,
            }
        })
    }),
    Entry::new("merges nothing that comes in parts", |_| {
        let mut had = Vec::new();
        Fault::packet_in(move |between, message| {
            let is_part = message.len() > 2 && (is(message, "g_slave") || is(message, "g_set"));
            if !is_part {
                return Fate::Pass;
            }
            let again = had.contains(&between.number);
            had.push(between.number);
            if again { Fate::Drop } else { Fate::Pass }
        })
    }),
    Entry::new("forgets every tenth query", |_| {
        let mut count = 0;
        Fault::packet_out(move |_, message| {
            count += usize::from(is(message, "g_db_keys"));
            if is(message, "g_db_keys") && count % 10 == 0 { Fate::Drop } else { Fate::Pass }
        })
    }),
    Entry::new("fires no watch on a node that is not found", |_| {
        Fault::packet_out(|_, message| {
            if message.iter().any(|element| text(element) == "transport_error") { Fate::Drop } else { Fate::Pass }
        })
    }),
    Entry::new("sorts nothing", |_| {
        Fault::packet_out(|_, message| match message.last() {
            Some(Value::Array(list)) if is(message, "g_reply") || is(message, "g_chg2") => {
                let mut message = message.to_vec();
                let reversed = list.iter().rev().cloned().collect();
                message.pop();
                message.push(Value::Array(reversed));
                Fate::Replace(vec![message])
            }
            _ => Fate::Pass,
        })
    }),
    Entry::new("has its own addresses in its first g_set only", |_| {
        let mut sent = HashSet::new();
        Fault::packet_out(move |between, message| {
            if !is(message, "g_set") || sent.insert(between.number) {
                return Fate::Pass;
            }
            let mut message = message.to_vec();
            if let Some(Value::Map(families)) = message.get_mut(2) {
                families.remove("'l");
            }
            Fate::Replace(vec![message])
        })
    }),
];

/// Of the addresses that are found, the first ones only count.
fn finds_only(count: usize) -> Fault {
    Fault::packet_in(move |_, message| match message.get(3) {
        Some(Value::Array(addresses)) if is(message, "g_found") => {
            let mut message = message.to_vec();
            message[3] = Value::Array(addresses.iter().take(count).cloned().collect());
            Fate::Replace(vec![message])
        }
        _ => Fate::Pass,
    })
}

/// Whether it brings entries of another node.
fn from_others(message: &[Value]) -> bool {
    ["g_slave", "g_set", "g_upd"].iter().any(|name| is(message, name))
}

/// Whether it has the node set an entry of its own.
fn is_set_here(message: &[Value]) -> bool {
    message.first().is_some_and(|port| text(port) == "control") && message.get(1).is_some_and(|verb| text(verb) == "db_set")
}

/// Whether a value is so large that it may be too large: what the suite sends is either far smaller, or about as large as is
/// allowed.
fn is_large(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.len() > 80_000,
        Value::Array(values) => values.len() > 5_000 || values.iter().any(is_large),
        _ => false,
    }
}

fn has_large(message: &[Value]) -> bool {
    message.iter().any(|value| match value {
        Value::Map(members) => members.values().any(|value| has_large(std::slice::from_ref(value))),
        other => is_large(other),
    })
}

fn without_large(value: &Value) -> Value {
    match value {
        Value::Map(members) => {
            let small = members.iter().filter(|(_, value)| !is_large(value));
            Value::Map(small.map(|(key, value)| (key.clone(), without_large(value))).collect())
        }
        other => other.clone(),
    }
}

/// What the node refuses to set is told to the others all the same, in front of the next packet to them.
fn sets_large() -> Fault {
    let refused = Arc::new(Mutex::new(None));
    let told = refused.clone();
    let mut fault = Fault::packet_in(move |_, message| {
        if is_set_here(message) && has_large(message) {
            let entry = [(text(&message[3]), message[4].clone())].into_iter().collect();
            let change = vec!["".into(), "g_upd".into(), message[2].clone(), Value::Map(entry), Value::Array(Vec::new())];
            *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(change);
        }
        Fate::Pass
    });
    fault.packet_out = Some(Box::new(move |between, message| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.take_if(|_| between.peer.starts_with("suite-")) {
            Some(change) => Fate::Replace(vec![change, message.to_vec()]),
            None => Fate::Pass,
        }
    }));
    fault
}
