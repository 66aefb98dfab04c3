//! Members of a network that the suite plays for chapter 8, and what it has the node under test do there.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, Peer};
use crate::subject::Subject;
use crate::test::{Listener, Test, unique};

/// A connection by which the suite has a node do things. It does not speak the global protocol, so nothing of that is sent
/// there.
pub(super) fn control(t: &mut Test<'_>, subject: &Subject) -> Step<Peer> {
    let mut control = t.dial(subject)?;
    control.greets.node = unique("zz-control")?;
    control.greets.keys.retain(|key| key != "gproto=1");
    control.handshake()?;
    Ok(control)
}

/// A slave of the node under test, with this database.
pub(super) fn slave(t: &mut Test<'_>, subject: &Subject, database: &Json) -> Step<Peer> {
    let mut slave = t.up_at(subject)?;
    slave.send(&json!(["", "g_slave", database]))?;
    slave.settle()?;
    Ok(slave)
}

/// Another global, with this part.
pub(super) fn global(t: &mut Test<'_>, subject: &Subject, part: &Json) -> Step<Peer> {
    let mut global = t.up_at(subject)?;
    global.send(&json!(["", "g_global"]))?;
    global.send(&json!(["", "g_set", part]))?;
    global.settle()?;
    Ok(global)
}

/// The first of these seeds to which the node under test gets a connection, which is global then: which one, and the
/// connection.
pub(super) fn seed(t: &mut Test<'_>, listeners: &[&Listener], names: &[String]) -> Step<(usize, Peer)> {
    // It may wait for twice 2.4 seconds before it tries again.
    let until = Instant::now() + t.patience.max(Duration::from_secs(8));
    let mut last = Failure::wrong("a connection to a seed", "none came").breaks("GLOBAL-4");
    while Instant::now() < until {
        for (at, listener) in listeners.iter().enumerate() {
            let Some(mut peer) = t.accept_within(listener, Duration::from_millis(2))? else { continue };
            peer.greets.node.clone_from(&names[at]);
            // A connection that waited here may have been given up meanwhile.
            match peer.handshake() {
                Ok(()) => {
                    peer.send(&json!(["", "g_global"]))?;
                    return Ok((at, peer));
                }
                Err(failure) => last = failure,
            }
        }
    }
    Err(last)
}

/// The database that a node sends to its new master.
pub(super) fn own_database(master: &mut Peer) -> Step<Json> {
    let arguments = master.request("g_slave", |arguments| arguments.first().is_some_and(Json::is_object));
    Ok(arguments.breaks("GLOBAL-11")?[0].clone())
}

/// Has the node under test watch a family. What it is told comes to the suite's port `name`.
pub(super) fn watch(control: &mut Peer, name: &str, family: &str) -> Step {
    control.control(&json!(["db_watch", name, family, control.port(name)]))
}

/// The watch of this name is told exactly this next.
pub(super) fn told(control: &mut Peer, name: &str, added: &Json, changed: &Json, deleted: &[&str]) -> Step {
    let came = control.message(name).breaks("DB-20")?;
    let mut right = came.len() == 4 && came[1] == *added && came[2] == *changed;
    let mut keys = came.get(3).and_then(Json::as_array).cloned().unwrap_or_default();
    keys.sort_by_key(Json::to_string);
    right &= Json::from(keys) == json!(deleted);
    check(right, format!("told: added {added}, changed {changed}, deleted {}", json!(deleted)), Json::from(came))
        .breaks("DB-20")
}

/// What the node under test answers when it is asked for a family.
pub(super) fn asked(control: &mut Peer, verb: &str, family: &str) -> Step<Json> {
    control.control(&json!([verb, family, control.port("asked")]))?;
    let answer = control.message("asked")?;
    check(answer.len() == 1, "one answer", Json::from(answer.clone()))?;
    Ok(answer[0].clone())
}

/// Waits until the node under test has exactly these entries in a family.
pub(super) fn until_has(control: &mut Peer, family: &str, entries: &Json, patience: Duration) -> Step {
    let until = Instant::now() + patience;
    loop {
        let has = asked(control, "db_family", family)?;
        if has == *entries {
            return Ok(());
        }
        if Instant::now() > until {
            let place = control.subject()?;
            return Err(Failure::wrong(format!("{entries} in the family {family:?} of {place}"), shortened(&has)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A value as people read it, cut off where it is long.
pub(super) fn shortened(value: &Json) -> String {
    let text = value.to_string();
    if text.len() <= 400 { text } else { text.chars().take(400).chain(['…']).collect() }
}

/// Takes the changes and contents of a family that have come to a peer since, in order: `g_upd`, `g_chg1` and `g_chg2`.
pub(super) fn changes(peer: &mut Peer, family: &str) -> Step<Vec<Message>> {
    peer.settle()?;
    Ok(peer.take(|message| {
        message.port().is_empty()
            && ["g_upd", "g_chg1", "g_chg2"].contains(&message.tag())
            && message.elements.get(2).is_some_and(|name| name == family)
    }))
}

/// Exactly one change of a family comes: what it sets, and which keys it deletes, in any order.
pub(super) fn one_change(peer: &mut Peer, request: &str, family: &str, set: &Json, deleted: &[&str]) -> Step {
    let what = format!("[\"\",{request:?},{family:?},{set},{}]", json!(deleted));
    let came = peer.find(&what, |message| {
        message.port().is_empty() && message.tag() == request && message.elements.get(2).is_some_and(|name| name == family)
    })?;
    let mut rest = changes(peer, family)?;
    let mut keys = came.elements.get(4).and_then(Json::as_array).cloned().unwrap_or_default();
    keys.sort_by_key(Json::to_string);
    let empty = json!({});
    let sets = came.elements.get(3).filter(|sets| !sets.is_null()).unwrap_or(&empty);
    check(sets == set && Json::from(keys) == json!(deleted), &what, shortened(&json!(came.elements)))?;
    check(rest.is_empty(), format!("{what}, once"), rest.pop().map(|more| more.shown()).unwrap_or_default())
}
