//! Nodes whose discovery or database is wrong.

use aemp_proto::value::Value;

use super::{Entry, ignores, is, never_sends, repeats};
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
];
