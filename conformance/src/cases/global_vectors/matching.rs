//! Comparing what a node sent in one step with what a vector expects, as loosely as `spec/vectors/README.md` says.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

/// What vectors and the connections call the same things.
#[derive(Default)]
pub(super) struct Names {
    /// Addresses: those of the vector, and those where the suite or the node listens.
    pub(super) addresses: BTreeMap<String, String>,
    /// The ids that the node chose for queries, by the names of the vector.
    pub(super) ids: BTreeMap<String, String>,
}

impl Names {
    /// A value of the vector as plain JSON, with real addresses and ids.
    pub(super) fn real(&self, notation: &Json) -> Json {
        match notation {
            Json::Array(values) => values.iter().map(|value| self.real(value)).collect(),
            Json::String(text) => json!(self.addresses.get(text).unwrap_or(text)),
            Json::Object(object) => self.tagged(object),
            other => other.clone(),
        }
    }

    fn tagged(&self, object: &Map<String, Json>) -> Json {
        let text = |field: &str| object.get(field).and_then(Json::as_str);
        if let Some(map) = object.get("map").and_then(Json::as_object) {
            return map.iter().map(|(key, value)| (key.clone(), self.real(value))).collect();
        }
        if let Some(digits) = text("integer").or(text("float")) {
            return digits.parse().map_or_else(|_| json!(digits), Json::Number);
        }
        if let Some(hex) = text("bytes") {
            let octets = (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok());
            return json!(octets.map(char::from).collect::<String>());
        }
        if let (Some(text), Some(times)) = (text("text"), object.get("times").and_then(Json::as_u64)) {
            return json!(text.repeat(usize::try_from(times).unwrap_or_default()));
        }
        if let (Some(depth), keys) =
            (object.get("nested").and_then(Json::as_u64), object.get("keys").and_then(Json::as_array))
        {
            let key = |level: u64| keys.and_then(|keys| keys.get(level as usize % keys.len())?.as_str());
            let empty = |level: u64| if key(level).is_some() { json!({}) } else { json!([]) };
            return (0..depth.saturating_sub(1)).rev().fold(empty(depth - 1), |inner, level| match key(level) {
                Some(key) => json!({key: inner}),
                None => json!([inner]),
            });
        }
        match text("id") {
            Some(name) => self.ids.get(name).map_or_else(|| json!({"any id": name}), |id| json!(id)),
            None => Json::Object(object.clone()),
        }
    }

    /// Whether a packet that came is the one that is expected; an id that is new becomes known by that.
    pub(super) fn fits(&mut self, expected: &Json, came: &[Json]) -> bool {
        let expected = comparable(&self.real(expected));
        let came = comparable(&Json::from(came.to_vec()));
        let (Some(expected), Some(came)) = (expected.as_array(), came.as_array()) else { return false };
        if expected.len() != came.len() {
            return false;
        }
        let mut learned = None;
        for (expected, came) in expected.iter().zip(came) {
            match (expected.get("any id").and_then(Json::as_str), came.as_str()) {
                (Some(name), Some(id)) => learned = Some((name.to_owned(), id.to_owned())),
                (Some(_), None) => return false,
                (None, _) if expected != came => return false,
                (None, _) => {}
            }
        }
        self.ids.extend(learned);
        true
    }
}

/// A packet in which that does not count which has no meaning: the order of what is deleted and of keys and values in
/// answers, and, in changes, how nothing is written.
pub(super) fn comparable(packet: &Json) -> Json {
    let Some(packet) = packet.as_array() else { return packet.clone() };
    let mut packet = packet.clone();
    let sort = |value: Option<&mut Json>| {
        if let Some(Json::Array(values)) = value {
            values.sort_by_key(Json::to_string);
        }
    };
    match packet.get(1).and_then(Json::as_str) {
        Some("g_upd" | "g_chg2") => {
            packet.resize(5, Json::Null);
            if packet[3].is_null() {
                packet[3] = json!({});
            }
            if packet[4].is_null() {
                packet[4] = json!([]);
            }
            sort(packet.get_mut(4));
        }
        Some("g_chg1") if packet.get(3).is_some_and(Json::is_null) => packet[3] = json!({}),
        Some("g_reply") => sort(packet.get_mut(3)),
        _ => {}
    }
    Json::Array(packet)
}

/// Whether a packet is a `g_set`.
pub(super) fn is_part(packet: &[Json]) -> bool {
    packet.get(1).is_some_and(|request| request == "g_set")
}

/// Adds the entries of a `g_set` to the one before it. The addresses of their sender, `node`, stay only if both have them,
/// as a reference global sees it (`DB-35`).
pub(super) fn add_part(first: &mut [Json], second: &[Json], node: &str) {
    let (Some(first), Some(second)) = (first.get_mut(2), second.get(2)) else { return };
    let has_own = [&*first, second].iter().all(|part| !part["'l"][node].is_null());
    for (family, entries) in second.as_object().into_iter().flatten() {
        for (key, value) in entries.as_object().into_iter().flatten() {
            first[family][key] = value.clone();
        }
    }
    if let (false, Some(addresses)) = (has_own, first["'l"].as_object_mut()) {
        addresses.remove(node);
    }
}

/// What a request is about: a family, a query, or a node. None: it is about everything, and must keep its place.
pub(super) fn about(packet: &[Json]) -> Option<String> {
    match packet.get(1).and_then(Json::as_str) {
        Some("g_slave" | "g_global" | "g_set") | None => None,
        Some("g_find" | "g_found") => packet.get(2).map(|node| format!("node {node}")),
        Some("g_reply") => packet.get(2).map(|id| format!("query {id}")),
        Some(_) => packet.get(2).map(|family| format!("family {family}")),
    }
}

/// Whether a packet may come at any time to a seed node.
pub(super) fn is_repeat(packet: &[Json]) -> bool {
    match packet.get(1).and_then(Json::as_str) {
        Some("g_slave") => packet.len() == 2,
        Some("g_find") => true,
        _ => false,
    }
}
