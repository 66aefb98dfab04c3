//! What nodes say to each other about the database and their roles.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Serialize, Serializer};

use super::database::{Change, Entries};
use crate::framing::Encoded;

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

/// An answer as it is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It does not fit into a packet (`DB-26`).
    Null,
    /// Entries by key.
    Map(Entries),
    /// Keys, or texts that may be keys.
    Keys(Vec<Arc<str>>),
    /// Values.
    Array(Vec<Encoded>),
    /// It has a shape that no answer has.
    Other,
}

/// A request to the node port, without the name of the port. It serialises as its elements.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Please be global; with a database, be the sender's master.
    Slave(Option<Vec<Change>>),
    /// The sender is global.
    Global,
    /// What the sender and its slaves have set, by family.
    Set(Vec<Change>),
    /// A change in what the sender has set, or its slaves.
    Update(Change),
    /// The same, in the shorter form that a slave uses.
    OwnUpdate(Change),
    /// Where is that node?
    Find(String),
    /// There, or nobody knows.
    Found(String, Option<Vec<String>>),
    /// A question about a family, and a name for it.
    Ask(Question, Arc<str>, String),
    /// The answer to the question of that name.
    Reply(String, Reply),
    /// Tell of a family, from now on.
    Watch(Arc<str>),
    /// No more.
    Unwatch(Arc<str>),
    /// The contents of a family that is watched.
    Contents(Change),
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
}

/// Entries as a map.
struct Map<'e>(&'e Entries);

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (&**key, value)))
    }
}

/// Changes of several families as a database.
struct Part<'e>(&'e [Change]);

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|change| (&*change.family, Map(&change.set))))
    }
}

/// Texts as an array.
struct Texts<'e>(&'e [Arc<str>]);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|text| &**text))
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reply::Null | Reply::Other => serializer.serialize_unit(),
            Reply::Map(entries) => Map(entries).serialize(serializer),
            Reply::Keys(keys) => Texts(keys).serialize(serializer),
            Reply::Array(values) => serializer.collect_seq(values),
        }
    }
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Request::Slave(None) => ("g_slave",).serialize(serializer),
            Request::Slave(Some(database)) => ("g_slave", Part(database)).serialize(serializer),
            Request::Global => ("g_global",).serialize(serializer),
            Request::Set(database) => ("g_set", Part(database)).serialize(serializer),
            Request::Update(change) => full("g_upd", change, serializer),
            Request::OwnUpdate(change) => {
                let set = (!change.set.is_empty()).then_some(Map(&change.set));
                match change.deleted.is_empty() {
                    true => ("g_upd", &*change.family, set).serialize(serializer),
                    false => ("g_upd", &*change.family, set, Texts(&change.deleted)).serialize(serializer),
                }
            }
            Request::Find(node) => ("g_find", node).serialize(serializer),
            Request::Found(node, addresses) => ("g_found", node, addresses).serialize(serializer),
            Request::Ask(question, family, id) => (question.request(), &**family, id).serialize(serializer),
            Request::Reply(id, answer) => ("g_reply", id, answer).serialize(serializer),
            Request::Watch(family) => ("g_mon1", &**family).serialize(serializer),
            Request::Unwatch(family) => ("g_mon0", &**family).serialize(serializer),
            Request::Contents(contents) => {
                let all = (!contents.set.is_empty()).then_some(Map(&contents.set));
                ("g_chg1", &*contents.family, all).serialize(serializer)
            }
            Request::Change(change) => full("g_chg2", change, serializer),
        }
    }
}

fn full<S: Serializer>(name: &str, change: &Change, serializer: S) -> Result<S::Ok, S::Error> {
    (name, &*change.family, Map(&change.set), Texts(&change.deleted)).serialize(serializer)
}
