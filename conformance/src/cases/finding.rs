//! Chapter 8, section 8.7: where a node looks for another one to which it has something to send.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::members::{control, own_database, seed};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::Global;
use crate::subject::Subject;
use crate::test::{Listener, Test, unique};

/// The cases of finding.
pub(super) const CASES: &[Case] = &[
    found("finding/nobody-at-the-first", "Nobody listens at the first address: the next one is tried.", nobody_at_the_first),
    found(
        "finding/the-first-stalls",
        "At the first address nothing is ever said: the next one is tried before the search ends.",
        the_first_stalls,
    ),
    found("finding/sixteen-addresses", "The sixteenth address is the first that leads anywhere.", sixteen_addresses),
    Case::new(
        "finding/another-node-greets",
        &["FIND-8"],
        "Another node greets at the first address, and proves itself, or not: the next address is tried.",
        another_node_greets,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
    Case::new(
        "finding/where-it-greeted-as-a-seed",
        &["FIND-4", "FIND-7"],
        "A node that was a seed node is lost, and the master does not know it: it is looked for at that seed.",
        where_it_greeted_as_a_seed,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "finding/no-address-leads-there",
        &["FIND-5", "FIND-6"],
        "No address leads to the node: its watch fires when the time is over, and what was kept is not sent to it later.",
        no_address_leads_there,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "finding/many-at-once",
        &["FIND-9", "DB-24"],
        "Twelve thousand searches and queries at once, none of which is answered: those beyond a bound fail at once.",
        many_at_once,
    )
    .level(Global)
    .needs(&[Listen])
    .allows(&["bounded", "no bound seen"])
    .once()
    .alone(),
];

const fn found(name: &'static str, about: &'static str, run: fn(&mut Test<'_>) -> Step) -> Case {
    Case::new(name, &["FIND-4"], about, run).level(Global).needs(&[Listen]).once().alone()
}

/// A node that searches so long, the connection by which it is told what to do, and its master.
fn searching(t: &mut Test<'_>, time: Duration) -> Step<(Arc<Subject>, Peer, Peer)> {
    let listener = t.listener()?;
    let subject = t.start(|start| {
        start.seeds = vec![listener.address.to_string()];
        start.timeouts.connect = time;
    })?;
    let control = control(t, &subject)?;
    let (_, mut master) = seed(t, &[&listener], &[unique("seed")?])?;
    own_database(&mut master)?;
    Ok((subject, control, master))
}

/// Has the node send to another one that it does not know, and answers where that is.
fn sends(control: &mut Peer, master: &mut Peer, node: &str, addresses: &Json) -> Step {
    control.control(&json!(["send", format!("{node}#port"), "hello"]))?;
    control.control(&json!(["watch", "lost", node, control.port("lost")]))?;
    master.request("g_find", |arguments| arguments.first().is_some_and(|name| name == node)).breaks("FIND-1")?;
    master.send(&json!(["", "g_found", node, addresses]))
}

/// The next connection to any of these.
fn connected(t: &mut Test<'_>, listeners: &[Listener], time: Duration) -> Step<(usize, Peer)> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        for (at, listener) in listeners.iter().enumerate() {
            if let Some(peer) = t.accept_within(listener, Duration::ZERO)? {
                return Ok((at, peer));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(Failure::wrong("the next address to be tried", "none was").breaks("FIND-4"))
}

/// The node that is searched, where it is found: it gets what was kept for it, and its watch does not fire.
fn arrives(control: &mut Peer, mut peer: Peer, node: &str) -> Step<Peer> {
    node.clone_into(&mut peer.greets.node);
    peer.handshake()?;
    peer.expect("port", &json!(["hello"])).breaks("PEER-2")?;
    control.nothing_for("lost").breaks("FIND-5")?;
    Ok(peer)
}

fn addresses(listeners: &[Listener]) -> Vec<Json> {
    listeners.iter().map(|listener| json!(listener.address.to_string())).collect()
}

/// Longer than any case here needs.
const LONG: Duration = Duration::from_secs(12);

fn nobody_at_the_first(t: &mut Test<'_>) -> Step {
    let (_, mut control, mut master) = searching(t, LONG)?;
    let closed = t.vacant()?.to_string();
    let listeners = [t.listener()?];
    let node = unique("found")?;
    let list = json!([closed, "", "no address", "127.0.0.1", {"no": "text"}, null, addresses(&listeners)[0]]);
    sends(&mut control, &mut master, &node, &list)?;
    let (_, peer) = connected(t, &listeners, LONG)?;
    arrives(&mut control, peer, &node).map(drop)
}

fn the_first_stalls(t: &mut Test<'_>) -> Step {
    let (_, mut control, mut master) = searching(t, LONG)?;
    let listeners = [t.listener()?, t.listener()?];
    let node = unique("found")?;
    sends(&mut control, &mut master, &node, &json!(addresses(&listeners)))?;
    let mut stalled = Vec::new();
    loop {
        let (at, peer) = connected(t, &listeners, LONG)?;
        if at == 1 {
            return arrives(&mut control, peer, &node).map(drop);
        }
        stalled.push(peer);
    }
}

fn sixteen_addresses(t: &mut Test<'_>) -> Step {
    let (_, mut control, mut master) = searching(t, LONG)?;
    let mut listeners = Vec::new();
    for _ in 0..16 {
        listeners.push(t.listener()?);
    }
    let node = unique("found")?;
    sends(&mut control, &mut master, &node, &json!(addresses(&listeners)))?;
    let mut tried = BTreeSet::new();
    loop {
        // Each one before closes without a word.
        let (at, peer) = connected(t, &listeners, LONG).map_err(|failure| match failure {
            Failure::Wrong { .. } => Failure::wrong("sixteen addresses to be tried", format!("{} of them", tried.len())),
            other => other,
        })?;
        if at == 15 {
            return arrives(&mut control, peer, &node).map(drop);
        }
        tried.insert(at);
    }
}

fn another_node_greets(t: &mut Test<'_>) -> Step {
    let (_, mut control, mut master) = searching(t, LONG)?;
    let mut found = Vec::new();
    for proves_itself in [true, false] {
        let listeners = [t.listener()?, t.listener()?];
        let node = unique("found")?;
        sends(&mut control, &mut master, &node, &json!(addresses(&listeners)))?;
        let (at, mut other) = connected(t, &listeners, LONG)?;
        other.greets.node = unique("other")?;
        other.greet();
        if proves_itself && other.read_greeting().is_ok() {
            // The node may have closed, now that it knows who this is.
            other.authenticate()?;
            other.ended_within(Duration::from_millis(50))?;
        }
        let (_, peer) = connected(t, &listeners[1 - at..2 - at], LONG).breaks("FIND-8")?;
        found.push(arrives(&mut control, peer, &node)?);
        other.gather().or_else(|failure| if other.receives.is_none() { Ok(()) } else { Err(failure) })?;
        check(!other.has(|message| message.port() == "port"), "nothing for another node", "a message for the searched one")
            .breaks("FIND-8")?;
    }
    Ok(())
}

fn where_it_greeted_as_a_seed(t: &mut Test<'_>) -> Step {
    let (one, other) = (t.listener()?, t.listener()?);
    let names = [unique("seed")?, unique("lost")?];
    let subject = t.start(|start| {
        start.seeds = vec![one.address.to_string(), other.address.to_string()];
        start.timeouts.connect = LONG;
    })?;
    let mut control = control(t, &subject)?;
    let (_, mut master) = seed(t, &[&one], &names[..1])?;
    own_database(&mut master)?;
    let (_, mut lost) = seed(t, &[&other], &names[1..])?;
    lost.request("g_slave", <[Json]>::is_empty).breaks("GLOBAL-7")?;
    control.control(&json!(["watch", "gone", names[1], control.port("gone")]))?;
    control.settle()?;
    drop(lost);
    control.message("gone").breaks("MON-8")?;
    control.control(&json!(["send", format!("{}#port", names[1]), "hello"]))?;
    control.control(&json!(["watch", "lost", names[1], control.port("lost")]))?;
    control.settle()?;
    master.settle()?;
    // If it is back already, there is nothing to find.
    if master.has(|message| message.tag() == "g_find" && message.elements.get(2).is_some_and(|name| *name == names[1])) {
        master.send(&json!(["", "g_found", names[1], null]))?;
    }
    control.nothing_for("lost").breaks("FIND-7")?;
    loop {
        let (_, mut peer) = connected(t, std::slice::from_ref(&other), LONG)?;
        peer.greets.node.clone_from(&names[1]);
        if peer.handshake().is_ok() {
            peer.expect("port", &json!(["hello"])).breaks("FIND-4")?;
            return control.nothing_for("lost").breaks("FIND-5");
        }
    }
}

fn no_address_leads_there(t: &mut Test<'_>) -> Step {
    let (subject, mut control, mut master) = searching(t, Duration::from_secs(1))?;
    let listeners = [t.listener()?, t.listener()?];
    let mut list = addresses(&listeners);
    list.push(json!(t.vacant()?.to_string()));
    let node = unique("found")?;
    sends(&mut control, &mut master, &node, &json!(list))?;
    let until = Instant::now() + t.patience.max(Duration::from_secs(4));
    let fired = |message: &crate::peer::Message| message.port() == "lost";
    while !control.has(fired) {
        check(Instant::now() < until, "the watch to fire when the search is over", "it does not").breaks("FIND-5")?;
        for listener in &listeners {
            drop(t.accept_within(listener, Duration::from_millis(2))?);
        }
        control.settle()?;
    }
    let lost = control.message("lost")?;
    let right = lost.get(..3) == Some(&[json!("lost"), json!("transport_error"), json!(node)]);
    check(right, format!("[\"lost\",\"transport_error\",{node:?},TEXT]"), Json::from(lost)).breaks("FIND-6")?;
    // Now it comes by itself: nothing was kept for it.
    let mut late = t.dial(&subject)?;
    late.greets.node.clone_from(&node);
    late.handshake()?;
    late.nothing_for("port").breaks("FIND-6")
}

const MANY: usize = 12_000;

fn many_at_once(t: &mut Test<'_>) -> Step {
    let (_, mut control, mut master) = searching(t, Duration::from_secs(300))?;
    let patience = t.patience.max(Duration::from_secs(20));
    (control.patience, master.patience) = (patience, patience);
    let counts = |peer: &mut Peer, tag: &str| -> Step<Vec<Json>> {
        peer.settle()?;
        let taken = peer.take(|message| message.port().is_empty() && message.tag() == tag);
        Ok(taken.iter().map(|message| message.elements.last().cloned().unwrap_or_default()).collect())
    };
    let sends: Vec<_> = (0..MANY).map(|number| json!(["control", "send", format!("nobody-{number}#port"), "x"])).collect();
    control.send_together(&sends)?;
    control.settle()?;
    let searched = counts(&mut master, "g_find")?;
    let mut bounded = searched.len() < MANY;
    if bounded {
        control.control(&json!(["send", "nobody-more#port", "x"]))?;
        control.control(&json!(["watch", "lost", "nobody-more", control.port("lost")]))?;
        control.message("lost").breaks("FIND-9")?;
    }
    let asks: Vec<_> = (0..MANY).map(|_| json!(["control", "db_keys", "fam", control.port("asked")])).collect();
    control.send_together(&asks)?;
    let failed = control.all_messages("asked")?;
    let mut ids = counts(&mut master, "g_db_keys")?;
    let (asked, all) = (ids.len(), failed.len());
    bounded &= asked < MANY;
    check(
        asked + all == MANY,
        format!("{MANY} queries to be asked, or to have failed"),
        format!("{asked} asked, {all} failed"),
    )
    .breaks("FIND-9")?;
    ids.sort_by_key(Json::to_string);
    ids.dedup();
    check(ids.len() == asked, "another id for each query", format!("{} ids for {asked} queries", ids.len()))
        .breaks("DB-24")?;
    t.outcome(if bounded { "bounded" } else { "no bound seen" });
    Ok(())
}
