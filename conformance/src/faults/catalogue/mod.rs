//! All faults, by name.

mod data;
mod database;
mod handshake;
mod node;
mod packets;
mod running;
mod tls;

use aemp_proto::value::Value;

use super::{Fate, Fault};

/// The name of the fault that is none.
pub const NOTHING: &str = "does nothing wrong";

/// A fault that has a name.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What a wrong node does, in a few words.
    pub name: &'static str,
    make: fn(&'static str) -> Fault,
}

impl Entry {
    const fn new(name: &'static str, make: fn(&'static str) -> Fault) -> Self {
        Entry { name, make }
    }

    /// Makes the fault.
    pub fn fault(&self) -> Fault {
        (self.make)(self.name)
    }
}

/// Faults of one kind, and the chapters of the suite that look for such: others would cost much, and say little about them.
struct Group {
    chapters: &'static [&'static str],
    faults: &'static [Entry],
}

const GROUPS: &[Group] = &[
    Group { chapters: &[], faults: running::FAULTS },
    Group { chapters: &["greeting", "authentication", "tls", "security", "limits"], faults: handshake::FAULTS },
    Group { chapters: &["tls", "data"], faults: tls::FAULTS },
    Group {
        chapters: &[
            "greeting", "framing", "json", "cbor", "storable", "values", "messages", "requests", "limits", "security",
        ],
        faults: packets::FAULTS,
    },
    Group {
        chapters: &[
            "ports",
            "requests",
            "relays",
            "watching",
            "ending",
            "spawning",
            "losing",
            "queues",
            "runs",
            "connections",
            "mutual",
            "logs",
        ],
        faults: node::FAULTS,
    },
    Group { chapters: &["data"], faults: data::FAULTS },
    Group {
        chapters: &["roles", "globals", "finding", "database", "database-limits", "networks", "global-vectors"],
        faults: database::FAULTS,
    },
];

/// All of them.
pub fn all() -> Vec<&'static Entry> {
    GROUPS.iter().flat_map(|group| group.faults).collect()
}

/// The one of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().into_iter().find(|entry| entry.name == name)
}

/// Whether a fault of this name is tried with a case.
pub fn is_tried(fault: &str, case: &str) -> bool {
    let group = GROUPS.iter().find(|group| group.faults.iter().any(|entry| entry.name == fault));
    let chapter = case.split('/').next().unwrap_or_default();
    group.is_some_and(|group| group.chapters.is_empty() || group.chapters.contains(&chapter))
}

/// A value that is read as a text: bytes are one, too.
fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Bytes(octets) => octets.iter().map(|octet| char::from(*octet)).collect(),
        _ => String::new(),
    }
}

/// The name of the request that a message is; none if it is not for the node port.
fn request(message: &[Value]) -> Option<String> {
    let node_port =
        matches!(message.first(), Some(Value::Null)) || message.first().is_some_and(|port| text(port).is_empty());
    if node_port { message.get(1).map(text) } else { None }
}

/// Whether a message is this request.
fn is(message: &[Value], name: &str) -> bool {
    request(message).as_deref() == Some(name)
}

/// The last word of the name of a fault: what it is about.
fn subject(name: &'static str) -> &'static str {
    name.rsplit(' ').next().unwrap_or_default()
}

/// A fault that is named `… REQUEST`: such requests to the node are lost.
const fn ignores(name: &'static str) -> Entry {
    Entry::new(name, |name| {
        Fault::packet_in(move |_, message| if is(message, subject(name)) { Fate::Drop } else { Fate::Pass })
    })
}

/// A fault that is named `… REQUEST`: such requests of the node are lost.
const fn never_sends(name: &'static str) -> Entry {
    Entry::new(name, |name| {
        Fault::packet_out(move |_, message| if is(message, subject(name)) { Fate::Drop } else { Fate::Pass })
    })
}

/// A fault that is named `… REQUEST`: such requests of the node are sent twice.
const fn repeats(name: &'static str) -> Entry {
    Entry::new(name, |name| {
        Fault::packet_out(
            move |_, message| if is(message, subject(name)) { Fate::Replace(vec![message.to_vec(); 2]) } else { Fate::Pass },
        )
    })
}
