//! Playing the steps of a vector to a live node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::matching::{Names, about, add_part, comparable, is_part, is_repeat};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::test::{Listener, Test, unique};

/// The node, its peers, and what is known about them.
pub(super) struct Stage {
    /// The ID of the node.
    node: String,
    subject: std::sync::Arc<crate::subject::Subject>,
    names: Names,
    /// Where the node finds its seeds, by their names; and one more seed, which turns out to be somebody.
    seeds: BTreeMap<String, Listener>,
    spare: Listener,
    /// Who listens at the other addresses of the vector.
    elsewhere: BTreeMap<String, Listener>,
    plain: BTreeSet<String>,
    peers: BTreeMap<String, Peer>,
    /// Has the node do things. It does not speak the global protocol, so nothing of that is told to it.
    control: Peer,
    /// What came and was not expected yet.
    came: BTreeMap<String, Vec<Vec<Json>>>,
    told: Vec<Json>,
    searched: BTreeSet<String>,
}

fn texts(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// Every text in a value that looks like an address.
fn addresses(value: &Json, found: &mut BTreeSet<String>) {
    match value {
        Json::String(text)
            if text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) =>
        {
            found.insert(text.clone());
        }
        Json::Array(values) => values.iter().for_each(|value| addresses(value, found)),
        Json::Object(map) => map.values().for_each(|value| addresses(value, found)),
        _ => {}
    }
}

impl Stage {
    pub(super) fn new(t: &mut Test<'_>, vector: &Json) -> Step<Self> {
        let mut seeds = BTreeMap::new();
        for seed in texts(&vector["seeds"]) {
            seeds.insert(seed, t.listener()?);
        }
        let spare = t.listener()?;
        let turns_out = vector["steps"].as_array().into_iter().flatten().any(|step| !step["seed"].is_null());
        let subject = t.start(|start| {
            start.node = vector["node"].as_str().unwrap_or_default().into();
            start.global = vector["global"] == true;
            start.seeds = seeds.values().map(|listener| listener.address.to_string()).collect();
            if turns_out {
                start.seeds.push(spare.address.to_string());
            }
            // A seed that was lost is tried again only after a while, and searches must outlast that.
            start.timeouts.connect = Duration::from_secs(6);
            start.limits.entries = vector["limits"]["entries"].as_u64();
            start.limits.families = vector["limits"]["watched"].as_u64();
        })?;
        let mut names = Names::default();
        let mut mentioned = BTreeSet::new();
        addresses(&vector["steps"], &mut mentioned);
        let own = texts(&vector["addresses"]);
        let mut elsewhere = BTreeMap::new();
        for address in mentioned.difference(&own.iter().cloned().collect()) {
            let listener = t.listener()?;
            names.addresses.insert(address.clone(), listener.address.to_string());
            elsewhere.insert(address.clone(), listener);
        }
        let listens = subject.ready.listen.first().cloned().unwrap_or_default();
        names.addresses.extend(own.into_iter().map(|own| (own, listens.clone())));
        let mut control = t.dial(&subject)?;
        control.greets.node = unique("zz-control")?;
        control.greets.keys.retain(|key| key != "gproto=1");
        control.handshake()?;
        Ok(Stage {
            node: vector["node"].as_str().unwrap_or_default().into(),
            subject,
            names,
            seeds,
            spare,
            elsewhere,
            plain: texts(&vector["plain"]).into_iter().collect(),
            peers: BTreeMap::new(),
            control,
            came: BTreeMap::new(),
            told: Vec::new(),
            searched: BTreeSet::new(),
        })
    }

    pub(super) fn play(&mut self, t: &mut Test<'_>, step: &Json) -> Step {
        let name = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
        if !step["up"].is_null() {
            self.up(t, &name("up"))?;
        } else if !step["down"].is_null() {
            self.peers.remove(&name("down"));
            self.is_gone(&name("down"))?;
        } else if !step["seed"].is_null() {
            let mut peer = t.accept(&self.spare)?;
            peer.greets.node = name("seed");
            peer.greet();
            peer.read_greeting()?;
            // Whether the node closes at once, or first sees whether the other connection lives, is free.
            peer.ended_within(Duration::from_millis(1500))?;
        } else if !step["from"].is_null() {
            let packet = self.names.real(&step["receives"]);
            if let Some(peer) = self.peers.get_mut(&name("from")) {
                peer.send(&packet)?;
            }
        } else if let Some(does) = step["does"].as_array() {
            self.does(does)?;
        }
        if let Some(dialled) = step["dials"].as_object() {
            for (node, list) in dialled {
                self.dials(t, node, &texts(list))?;
            }
        }
        for closed in texts(&step["closes"]).iter().chain(step["closes"].as_str().map(str::to_owned).iter()) {
            if let Some(mut peer) = self.peers.remove(closed) {
                let ended = peer.ended()?;
                check(ended.is_some(), format!("the end of the connection to {closed}"), "it stands")?;
            }
            self.is_gone(closed)?;
        }
        self.compare(t, step)
    }

    /// Lets a peer come up: a seed where the node has dialled it, any other by dialling the node.
    fn up(&mut self, t: &mut Test<'_>, name: &str) -> Step {
        let until = Instant::now() + t.patience;
        loop {
            let mut peer = match self.seeds.get(name) {
                Some(listener) => t.accept(listener)?,
                None => t.dial(&self.subject)?,
            };
            peer.greets.node = name.to_owned();
            if self.plain.contains(name) {
                peer.greets.keys.retain(|key| key != "gproto=1");
            }
            match peer.handshake() {
                Ok(()) => {
                    self.peers.insert(name.to_owned(), peer);
                    return Ok(());
                }
                // A connection that waited here since before the last one was lost may have been given up.
                Err(_) if self.seeds.contains_key(name) && Instant::now() < until => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Waits until the node knows that a connection has ended.
    fn is_gone(&mut self, name: &str) -> Step {
        let until = Instant::now() + self.control.patience;
        let up_nodes = "AnyEvent::MP::Kernel::up_nodes";
        loop {
            self.control.send(&json!(["", "eval", up_nodes, self.control.port("up-nodes")]))?;
            let nodes = self.control.message("up-nodes").breaks("NODE-11")?;
            if !nodes.contains(&json!(name)) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(
                    Failure::wrong(format!("{name} not among its connections any more"), Json::from(nodes)).breaks("MON-8")
                );
            }
        }
    }

    fn does(&mut self, does: &[Json]) -> Step {
        let verb = does[0].as_str().unwrap_or_default();
        let text = |at: usize| does.get(at).and_then(Json::as_str).unwrap_or_default();
        let real: Vec<Json> = does[1..].iter().map(|value| self.names.real(value)).collect();
        let tells = self.control.port("tells");
        let message = match verb {
            "become_global" => return self.control.send(&json!(["", "g_slave"])),
            "db_del" => json!(["control", verb, real[0]])
                .as_array()
                .into_iter()
                .flatten()
                .cloned()
                .chain(real[1].as_array().into_iter().flatten().cloned())
                .collect(),
            "db_watch" => json!(["control", verb, text(2), real[0], tells]),
            "db_unwatch" => json!(["control", verb, text(1)]),
            "db_family" | "db_keys" | "db_values" => {
                json!(["control", verb, real[0], self.control.port(&format!("answer-{}", text(2)))])
            }
            "send" => {
                // A watch shows when the search is given up.
                if self.searched.insert(text(1).to_owned()) {
                    self.control.send(&json!(["control", "watch", format!("lost-{}", text(1)), text(1), tells]))?;
                }
                json!(["control", "send", format!("{}#port", text(1)), "something"])
            }
            _ => [json!("control"), json!(verb)].into_iter().chain(real).collect(),
        };
        self.control.send(&message)
    }

    /// The node begins to connect, at the first address that works; all of those here do.
    fn dials(&mut self, t: &mut Test<'_>, node: &str, list: &[String]) -> Step {
        let Some(listener) = list.first().and_then(|address| self.elsewhere.get(address)) else { return Ok(()) };
        let peer = t.accept(listener).breaks("FIND-4")?;
        // It goes on when that peer comes up by a connection of its own.
        t.log.note(0, format!("the node looks for {node}"));
        drop(peer);
        Ok(())
    }

    /// Takes all that has come up to now, from everyone.
    fn gather(&mut self) -> Step {
        for (name, peer) in &mut self.peers {
            for message in peer.until_echo()? {
                let protocol = message.port().is_empty() && message.tag().starts_with("g_");
                if protocol {
                    let came = self.came.entry(name.clone()).or_default();
                    match came.last_mut() {
                        Some(last) if is_part(last) && is_part(&message.elements) => {
                            add_part(last, &message.elements, &self.node);
                        }
                        _ => came.push(message.elements),
                    }
                }
            }
        }
        for message in self.control.until_echo()? {
            if message.port() == "tells" || message.port().starts_with("answer-") {
                self.told.push(Json::from(message.elements));
            }
        }
        Ok(())
    }

    /// What the vector expects to be told in a step, as messages to the control peer.
    fn expected_to_tell(&self, step: &Json) -> Vec<Json> {
        let mut expected = Vec::new();
        for told in step["tells"].as_array().into_iter().flatten() {
            let map = |field: &str| self.names.real(&json!({"map": told[field]}));
            expected.push(json!(["tells", told["watch"], map("added"), map("changed"), sorted(&told["deleted"])]));
        }
        for answer in step["answers"].as_array().into_iter().flatten() {
            let name = format!("answer-{}", answer[0].as_str().unwrap_or_default());
            expected.push(json!([name, sorted(&self.names.real(&answer[1]))]));
        }
        expected
    }

    /// What a step must bring comes, and nothing else.
    fn compare(&mut self, t: &Test<'_>, step: &Json) -> Step {
        let until = Instant::now() + t.patience;
        let tells = self.expected_to_tell(step);
        let fails: Vec<_> = step["fails"].as_object().into_iter().flatten().map(|(node, _)| node.clone()).collect();
        loop {
            self.gather()?;
            let missing = self.missing(step, &tells, &fails);
            if missing.is_none() {
                break;
            }
            if Instant::now() > until {
                let (what, of) = missing.unwrap_or_default();
                return Err(Failure::wrong(what, of));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // What is too much comes soon behind what is right.
        self.gather()?;
        self.take_expected(step, &tells, &fails)
    }

    /// What is expected in a step and has not come, and what has come instead.
    fn missing(&mut self, step: &Json, tells: &[Json], fails: &[String]) -> Option<(String, String)> {
        for (peer, packets) in step["sends"].as_object().into_iter().flatten() {
            let came = self.came.get(peer).cloned().unwrap_or_default();
            let mut left = came.clone();
            for packet in packets.as_array().into_iter().flatten() {
                match left.iter().position(|came| self.names.fits(packet, came)) {
                    Some(at) => drop(left.remove(at)),
                    None => {
                        return Some((
                            format!("{} to {peer}", self.names.real(packet)),
                            format!("to {peer}: {}", json!(came)),
                        ));
                    }
                }
            }
        }
        let mut left: Vec<_> = self.told.iter().map(comparable_told).collect();
        for told in tells {
            match left.iter().position(|came| came == told) {
                Some(at) => drop(left.remove(at)),
                None => return Some((format!("told: {told}"), format!("told: {}", json!(left)))),
            }
        }
        for node in fails {
            if !left.iter().any(|told| told[1] == format!("lost-{node}")) {
                return Some((format!("the watch on {node} fires"), format!("told: {}", json!(left))));
            }
        }
        None
    }

    /// Takes what was expected; nothing may be left, and the order must be right where it counts.
    fn take_expected(&mut self, step: &Json, tells: &[Json], fails: &[String]) -> Step {
        let names: Vec<String> = self.came.keys().cloned().collect();
        for peer in names {
            let came = self.came.remove(&peer).unwrap_or_default();
            let expected = step["sends"][&peer].as_array().cloned().unwrap_or_default();
            let mut places = Vec::new();
            let mut taken = vec![false; came.len()];
            for packet in &expected {
                let place = (0..came.len()).find(|at| !taken[*at] && self.names.fits(packet, &came[*at]));
                if let Some(place) = place {
                    taken[place] = true;
                    places.push(place);
                }
            }
            let is_seed = self.seeds.contains_key(&peer);
            let too_much = came.iter().zip(&taken).find(|(packet, taken)| !(**taken || is_seed && is_repeat(packet)));
            if let Some((packet, _)) = too_much {
                return Err(Failure::wrong(
                    format!("to {peer}: {}", self.names.real(&json!(expected))),
                    format!("also {}", json!(packet)),
                ));
            }
            for (first, second) in
                (0..places.len()).flat_map(|first| (first + 1..places.len()).map(move |second| (first, second)))
            {
                let (one, other) = (&came[places[first]], &came[places[second]]);
                let ordered = about(one).is_none() || about(other).is_none() || about(one) == about(other);
                let repeats = is_repeat(one) || is_repeat(other);
                if ordered && !repeats && places[first] > places[second] {
                    return Err(Failure::wrong(
                        format!("to {peer}: {} before {}", json!(one), json!(other)),
                        "the other way round",
                    ));
                }
            }
        }
        let mut left: Vec<_> = std::mem::take(&mut self.told).iter().map(comparable_told).collect();
        for told in tells {
            if let Some(at) = left.iter().position(|came| came == told) {
                left.remove(at);
            }
        }
        left.retain(|told| !fails.iter().any(|node| told[1] == format!("lost-{node}")));
        for node in fails {
            self.searched.remove(node);
        }
        check(left.is_empty(), format!("told: {}", json!(tells)), format!("also {}", json!(left)))
    }

    /// In the end the node still works.
    pub(super) fn end(mut self) -> Step {
        self.control.probe()
    }
}

/// A list in one order, if it is one.
fn sorted(list: &Json) -> Json {
    let mut list = list.clone();
    if let Json::Array(values) = &mut list {
        values.sort_by_key(Json::to_string);
    }
    list
}

/// What the control peer was told, in which the order of keys and values does not count.
fn comparable_told(message: &Json) -> Json {
    let mut message = comparable(message);
    if let Some(last) = message.as_array_mut().and_then(|elements| elements.last_mut()) {
        *last = sorted(last);
    }
    message
}
