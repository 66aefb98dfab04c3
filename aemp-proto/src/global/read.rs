//! Reading requests, entry by entry: no tree of values stands for a whole packet.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::database::{Change, Name, addresses_at, check_entry, measure};
use super::request::{Question, Reply, Request};
use crate::framing::{Elements, Encoded, Place, Visit};

/// Whether entries that are too large are sorted out (`DB-31`): not of what a master tells, which nobody has to pass on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Checked,
    AsItIs,
}

impl Request {
    /// Takes a request of this name with these arguments; `None` if there is no such request, or the arguments cannot be
    /// used (`NODE-1`, `DB-1`).
    pub fn decode(request: &str, mut arguments: Elements<'_>) -> Option<Request> {
        let arguments = &mut arguments;
        Some(match request {
            "g_slave" => Request::Slave(match argument(arguments) {
                Some(place) => Some(database(&place)?),
                None => None,
            }),
            "g_global" => Request::Global,
            "g_set" => Request::Set(database(&arguments.place()?)?),
            "g_upd" => Request::Update(change(arguments, Entry::Checked)?),
            "g_find" => Request::Find(text(arguments)?),
            "g_found" => Request::Found(text(arguments)?, found(arguments)?),
            "g_db_family" => ask(Question::Family, arguments)?,
            "g_db_keys" => ask(Question::Keys, arguments)?,
            "g_db_values" => ask(Question::Values, arguments)?,
            "g_reply" => Request::Reply(text(arguments)?, reply(&arguments.place()?)?),
            "g_mon1" => Request::Watch(text(arguments)?.into()),
            "g_mon0" => Request::Unwatch(text(arguments)?.into()),
            "g_chg1" => {
                let mut contents = Change::new(&text(arguments)?.into());
                if let Some(place) = argument(arguments) {
                    entries(&place, Entry::AsItIs, &mut contents)?;
                }
                Request::Contents(contents)
            }
            "g_chg2" => Request::Change(change(arguments, Entry::AsItIs)?),
            _ => return None,
        })
    }
}

/// An argument that may be missing or null.
pub(super) fn argument<'a>(arguments: &mut Elements<'a>) -> Option<Place<'a>> {
    arguments.place().filter(|place| !place.is_null())
}

/// A name; unlike elsewhere null is none.
pub(super) fn text(arguments: &mut Elements<'_>) -> Option<String> {
    name_at(&arguments.place()?)
}

/// The name at a place, as a receiver takes it (`VALUE-7`): octets are characters up to U+00FF, an integer is its digits.
pub(super) fn name_at(place: &Place<'_>) -> Option<String> {
    if place.array().is_some() || place.map().is_some() {
        return None;
    }
    let mut name = None;
    let note = |visit: Visit<'_>| match visit {
        Visit::Text(text) => name = Some(String::from(text)),
        Visit::Bytes(octets) => name = Some(octets.iter().map(|&octet| char::from(octet)).collect()),
        Visit::Integer(integer) => name = Some(integer.to_string()),
        _ => {}
    };
    place.clone().walk(note).ok()?;
    name
}

fn ask(question: Question, arguments: &mut Elements<'_>) -> Option<Request> {
    Some(Request::Ask(question, text(arguments)?.into(), text(arguments)?))
}

/// Addresses, or null; `None` if it is neither (`FIND-3`).
fn found(arguments: &mut Elements<'_>) -> Option<Option<Vec<String>>> {
    let place = arguments.place()?;
    if place.is_null() { Some(None) } else { addresses_at(&place).map(Some) }
}

/// The entries in a map. `None` if it is no map.
fn entries(place: &Place<'_>, entry: Entry, change: &mut Change) -> Option<()> {
    let mut inside = place.map()?;
    while let Some((key, value)) = inside.next() {
        inside.pass(add_entry(&key, &value, entry, change)?);
    }
    Some(())
}

/// Adds an entry to a change, unless its key is empty (`DB-2`); the place behind it.
pub(super) fn add_entry<'a>(key: &str, value: &Place<'a>, entry: Entry, change: &mut Change) -> Option<Place<'a>> {
    let (measured, behind) = measure(value).ok()?;
    if !key.is_empty() {
        match check_entry(key, measured) {
            Err(size) if entry == Entry::Checked => change.too_large.push((Arc::from(key), size)),
            _ => change.set.push((Arc::from(key), Encoded::take(value).ok()?)),
        }
    }
    Some(behind)
}

/// The entries in a map of maps. `None` if it is none.
fn database(place: &Place<'_>) -> Option<Vec<Change>> {
    let mut inside = place.map()?;
    while let Some((_, value)) = inside.next() {
        value.map()?;
        inside.pass(value.walk(|_| {}).ok()?);
    }
    let (mut families, mut inside) = (Vec::new(), place.map()?);
    while let Some((family, value)) = inside.next() {
        let mut change = Change::new(&Arc::from(&*family));
        entries(&value, Entry::Checked, &mut change)?;
        families.push(change);
        inside.pass(value.walk(|_| {}).ok()?);
    }
    Some(families)
}

fn change(arguments: &mut Elements<'_>, entry: Entry) -> Option<Change> {
    let mut change = Change::new(&text(arguments)?.into());
    let (set, deleted) = (argument(arguments), argument(arguments));
    if set.as_ref().is_some_and(|place| place.map().is_none()) {
        return None;
    }
    if let Some(place) = deleted {
        change.deleted = keys(&place)?;
    }
    if let Some(place) = set {
        entries(&place, entry, &mut change)?;
    }
    Some(change)
}

/// The names in an array. `None` if it is no array.
fn keys(place: &Place<'_>) -> Option<Vec<Name>> {
    let (mut keys, mut inside) = (Vec::new(), place.array()?);
    while let Some((_, place)) = inside.next() {
        keys.extend(name_at(&place).map(Name::from));
        inside.pass(place.walk(|_| {}).ok()?);
    }
    Some(keys)
}

fn reply(place: &Place<'_>) -> Option<Reply> {
    if place.is_null() {
        return Some(Reply::Null);
    }
    let Some(mut inside) = place.array() else {
        let mut family = Change::new(&"".into());
        return Some(entries(place, Entry::AsItIs, &mut family).map_or(Reply::Other, |()| Reply::Map(family.set)));
    };
    let mut values = Vec::new();
    while let Some((_, value)) = inside.next() {
        values.push(Encoded::take(&value).ok()?);
        inside.pass(value.walk(|_| {}).ok()?);
    }
    Some(Reply::Array(values))
}
