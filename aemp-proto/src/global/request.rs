//! What nodes say to each other about the database and their roles.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use super::database::{Change, Database, Family, addresses, name};
use crate::framing::Elements;
use crate::value::Value;

/// What is asked about a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// All of it.
    Family,
    /// Its keys.
    Keys,
    /// Its values, in the order of their keys.
    Values,
}

impl Question {
    fn request(self) -> &'static str {
        match self {
            Question::Family => "g_db_family",
            Question::Keys => "g_db_keys",
            Question::Values => "g_db_values",
        }
    }
}

/// A request to the node port, without the name of the port. It serialises as its elements.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Please be global; with a database, be the sender's master.
    Slave(Option<Database>),
    /// The sender is global.
    Global,
    /// What the sender and its slaves have set.
    Set(Database),
    /// A change in what the sender has set, or its slaves.
    Update(Change),
    /// The same, in the shorter form that a slave uses.
    OwnUpdate(Change),
    /// Where is that node?
    Find(String),
    /// There, or nobody knows.
    Found(String, Option<Vec<String>>),
    /// A question about a family, and a name for it.
    Ask(Question, String, String),
    /// The answer to the question of that name.
    Reply(String, Value),
    /// Tell of a family, from now on.
    Watch(String),
    /// No more.
    Unwatch(String),
    /// The contents of a family that is watched.
    Contents(String, Family),
    /// A change in a family that is watched.
    Change(Change),
}

impl Request {
    /// The names of all of them.
    pub const NAMES: [&str; 14] = [
        "g_slave",
        "g_global",
        "g_set",
        "g_upd",
        "g_find",
        "g_found",
        "g_db_family",
        "g_db_keys",
        "g_db_values",
        "g_reply",
        "g_mon1",
        "g_mon0",
        "g_chg1",
        "g_chg2",
    ];

    /// Takes a request of this name with these arguments; `None` if there is no such request, or the arguments cannot be used
    /// (`NODE-1`, `DB-1`).
    pub fn decode(request: &str, mut arguments: Elements<'_>) -> Option<Request> {
        Some(match request {
            "g_slave" => Request::Slave(optional(&mut arguments)?),
            "g_global" => Request::Global,
            "g_set" => Request::Set(arguments.next_as()?.ok()?),
            "g_upd" => Request::Update(change(&mut arguments)?),
            "g_find" => Request::Find(text(&mut arguments)?),
            "g_found" => Request::Found(text(&mut arguments)?, found(&mut arguments)?),
            "g_db_family" => ask(Question::Family, &mut arguments)?,
            "g_db_keys" => ask(Question::Keys, &mut arguments)?,
            "g_db_values" => ask(Question::Values, &mut arguments)?,
            "g_reply" => Request::Reply(text(&mut arguments)?, arguments.next_as()?.ok()?),
            "g_mon1" => Request::Watch(text(&mut arguments)?),
            "g_mon0" => Request::Unwatch(text(&mut arguments)?),
            "g_chg1" => Request::Contents(text(&mut arguments)?, optional(&mut arguments)?.unwrap_or_default()),
            "g_chg2" => Request::Change(change(&mut arguments)?),
            _ => return None,
        })
    }
}

/// A name; unlike elsewhere null is none.
fn text(arguments: &mut Elements<'_>) -> Option<String> {
    let value: Value = arguments.next_as()?.ok()?;
    name(&value).map(Cow::into_owned)
}

fn ask(question: Question, arguments: &mut Elements<'_>) -> Option<Request> {
    Some(Request::Ask(question, text(arguments)?, text(arguments)?))
}

/// An argument that may be missing or null; `None` if it is of the wrong kind.
fn optional<'a, T: serde::Deserialize<'a>>(arguments: &mut Elements<'a>) -> Option<Option<T>> {
    arguments.next_as::<Option<T>>().map_or(Some(None), Result::ok)
}

/// The keys in a list, or none if it is missing or null.
fn keys(arguments: &mut Elements<'_>) -> Option<Vec<String>> {
    let values: Option<Vec<Value>> = optional(arguments)?;
    Some(values.unwrap_or_default().iter().filter_map(name).map(Cow::into_owned).collect())
}

/// Addresses, or null; `None` if it is neither (`FIND-3`).
fn found(arguments: &mut Elements<'_>) -> Option<Option<Vec<String>>> {
    match arguments.next_as()?.ok()? {
        Value::Null => Some(None),
        value => addresses(&value).map(Some),
    }
}

fn change(arguments: &mut Elements<'_>) -> Option<Change> {
    let family = text(arguments)?;
    let set = optional(arguments)?.unwrap_or_default();
    Some(Change { family, set, deleted: keys(arguments)? })
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Request::Slave(None) => ("g_slave",).serialize(serializer),
            Request::Slave(Some(database)) => ("g_slave", database).serialize(serializer),
            Request::Global => ("g_global",).serialize(serializer),
            Request::Set(database) => ("g_set", database).serialize(serializer),
            Request::Update(Change { family, set, deleted }) => ("g_upd", family, set, deleted).serialize(serializer),
            Request::OwnUpdate(Change { family, set, deleted }) => {
                let set = (!set.is_empty()).then_some(set);
                match deleted.is_empty() {
                    true => ("g_upd", family, set).serialize(serializer),
                    false => ("g_upd", family, set, deleted).serialize(serializer),
                }
            }
            Request::Find(node) => ("g_find", node).serialize(serializer),
            Request::Found(node, addresses) => ("g_found", node, addresses).serialize(serializer),
            Request::Ask(question, family, id) => (question.request(), family, id).serialize(serializer),
            Request::Reply(id, answer) => ("g_reply", id, answer).serialize(serializer),
            Request::Watch(family) => ("g_mon1", family).serialize(serializer),
            Request::Unwatch(family) => ("g_mon0", family).serialize(serializer),
            Request::Contents(family, contents) => {
                ("g_chg1", family, (!contents.is_empty()).then_some(contents)).serialize(serializer)
            }
            Request::Change(Change { family, set, deleted }) => ("g_chg2", family, set, deleted).serialize(serializer),
        }
    }
}
