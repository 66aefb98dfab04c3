//! Chapter 8, sections 8.2 and 8.3: seeds that do not answer, and masters that go, as time passes.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::members::{control, own_database, seed, told, watch};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::Global;
use crate::test::{Test, unique};

/// The cases of roles.
pub(super) const CASES: &[Case] = &[
    Case::new("roles/greeting", &["GLOBAL-1"], "A node greets with gproto=1, whichever side it is.", greeting)
        .level(Global)
        .once()
        .alone(),
    Case::new(
        "roles/seed-tried-again",
        &["GLOBAL-4", "GLOBAL-5"],
        "A seed that closes each connection is tried again, by slaves and globals, after a while that grows.",
        seed_tried_again,
    )
    .level(Global)
    .once()
    .alone(),
    Case::new(
        "roles/seed-comes-late",
        &["GLOBAL-4", "GLOBAL-7", "GLOBAL-11"],
        "A seed where nobody listens at first is found when somebody does, and becomes the master with all that was set meanwhile.",
        seed_comes_late,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "roles/seed-of-its-own",
        &["GLOBAL-6", "GLOBAL-15"],
        "A node that has its own address as a seed becomes global.",
        seed_of_its_own,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "roles/masters-lost",
        &["GLOBAL-12", "GLOBAL-11", "GLOBAL-4", "DB-20", "DB-21", "DB-32"],
        "A node loses its master three times: each next one gets its entries and its watch, which is told exactly what is different there.",
        masters_lost,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
];

fn greeting(t: &mut Test<'_>) -> Step {
    let mut sides = vec![t.dialled(|_| {})?];
    let listening = t.subject(|_| {})?;
    if listening.address.is_some() {
        sides.push(t.dial(&listening)?);
    }
    for mut peer in sides {
        peer.greet();
        let key = peer.read_greeting()?.keys.get("gproto").cloned();
        check(key.as_ref().is_some_and(|value| value == "1"), "the key gproto=1", format!("{key:?}"))?;
    }
    Ok(())
}

fn seed_tried_again(t: &mut Test<'_>) -> Step {
    let listeners = [t.listener()?, t.listener()?];
    for (listener, global) in listeners.iter().zip([false, true]) {
        t.start(|start| {
            start.seeds = vec![listener.address.to_string()];
            start.global = global;
        })?;
    }
    // 2.4 seconds, and twice that, at most, and something for a machine that has much to do.
    let until = Instant::now() + Duration::from_secs(20);
    let mut tried: [Vec<Instant>; 2] = Default::default();
    while tried.iter().any(|times| times.len() < 3) {
        for (listener, times) in listeners.iter().zip(&mut tried) {
            if t.accept_within(listener, Duration::ZERO)?.is_some() {
                times.push(Instant::now());
            }
        }
        if Instant::now() > until {
            let counts =
                format!("{} times by a node that is not global, {} times by a global", tried[0].len(), tried[1].len());
            return Err(Failure::wrong("a seed to be tried three times within 20 seconds, at least", counts));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    for times in tried {
        let waits = [times[1] - times[0], times[2] - times[1]];
        // 1.2 to 2.4 seconds, then 2.4 to 4.8, less what it may take until a connection is seen here.
        let right = waits[0].as_secs_f64() > 0.8
            && waits[0] < Duration::from_secs(5)
            && waits[1].as_secs_f64() > 1.8
            && waits[1] < Duration::from_secs(9);
        t.should("GLOBAL-5", right, "a wait of 1.2 to 2.4 seconds, then of 2.4 to 4.8", format!("waits of {waits:.1?}"));
    }
    Ok(())
}

fn seed_comes_late(t: &mut Test<'_>) -> Step {
    let address = t.vacant()?;
    let subject = t.start(|start| start.seeds = vec![address.to_string()])?;
    let mut control = control(t, &subject)?;
    control.control(&json!(["db_set", "fam", "k", "v"]))?;
    control.settle()?;
    let listener = t.listener_at(address)?;
    let (_, mut master) = seed(t, &[&listener], &[unique("seed")?])?;
    master.request("g_slave", <[Json]>::is_empty).breaks("GLOBAL-7")?;
    let database = own_database(&mut master)?;
    check(database["fam"] == json!({"k": "v"}), "a database with the entry that was set before", database)
        .breaks("GLOBAL-11")
}

fn seed_of_its_own(t: &mut Test<'_>) -> Step {
    let address = t.vacant()?.to_string();
    let subject = t.start(|start| {
        start.listen = Some(address.clone());
        start.seeds = vec![address.clone()];
    })?;
    let mut peer = t.up_at(&subject)?;
    peer.request("g_global", |_| true).map(drop)
}

/// Answers as a master that has these entries what a slave asks that watches the family.
fn shows(master: &mut Peer, entries: &Json, follows_another: bool) -> Step {
    master.request("g_mon1", |arguments| arguments.first().is_some_and(|family| family == "fam")).breaks("GLOBAL-11")?;
    let all = if entries.as_object().is_some_and(serde_json::Map::is_empty) { Json::Null } else { entries.clone() };
    master.send(&json!(["", "g_chg1", "fam", all]))?;
    let is_query = |arguments: &[Json]| arguments.len() == 2 && arguments[0] == "fam";
    if follows_another {
        let query = master.request("g_db_keys", is_query).breaks("DB-32")?;
        let keys: Vec<_> = entries.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        master.send(&json!(["", "g_reply", query[1], keys]))?;
    }
    Ok(())
}

fn masters_lost(t: &mut Test<'_>) -> Step {
    let (one, other) = (t.listener()?, t.listener()?);
    let names = [unique("seed")?, unique("seed")?];
    let subject = t.start(|start| start.seeds = vec![one.address.to_string(), other.address.to_string()])?;
    let mut control = control(t, &subject)?;
    control.control(&json!(["db_set", "own", "k", "v"]))?;
    control.settle()?;
    let nothing = json!({});

    let (_, mut first) = seed(t, &[&one], &names[..1])?;
    own_database(&mut first)?;
    let (_, mut second) = seed(t, &[&other], &names[1..])?;
    second.request("g_slave", <[Json]>::is_empty).breaks("GLOBAL-7")?;
    watch(&mut control, "told", "fam")?;
    shows(&mut first, &json!({"a": "1", "b": "2"}), false)?;
    told(&mut control, "told", &json!({"a": "1", "b": "2"}), &nothing, &[])?;
    second.settle()?;
    check(
        !second.has(|message| {
            ["g_mon1", "g_upd", "g_find"].contains(&message.tag())
                || message.elements.len() > 2 && message.tag() == "g_slave"
        }),
        "nothing but g_slave without a database to a seed that is not the master",
        "more",
    )
    .breaks("GLOBAL-9")?;

    // Another seed is up: it is the next master.
    drop(first);
    let has_all =
        |database: Json| check(database["own"] == json!({"k": "v"}), "all of its own entries", database).breaks("GLOBAL-11");
    has_all(own_database(&mut second).breaks("GLOBAL-12")?)?;
    shows(&mut second, &json!({"b": "3", "c": "4"}), true)?;
    told(&mut control, "told", &json!({"c": "4"}), &json!({"b": "3"}), &["a"])?;

    // None is up: the next one that comes is. It has the same, so the first word to the watch is about what changes then.
    drop(second);
    let (at, mut third) = seed(t, &[&one, &other], &names)?;
    has_all(own_database(&mut third).breaks("GLOBAL-12")?)?;
    shows(&mut third, &json!({"b": "3", "c": "4"}), true)?;
    third.send(&json!(["", "g_chg2", "fam", {"d": "5"}, []]))?;
    told(&mut control, "told", &json!({"d": "5"}), &nothing, &[])?;

    // The same once more, and that one knows nothing of the family.
    drop(third);
    let listeners = if at == 0 { [&other, &one] } else { [&one, &other] };
    let names = if at == 0 { [names[1].clone(), names[0].clone()] } else { names };
    let (_, mut last) = seed(t, &listeners, &names)?;
    has_all(own_database(&mut last).breaks("GLOBAL-12")?)?;
    shows(&mut last, &nothing, true)?;
    told(&mut control, "told", &nothing, &nothing, &["b", "c", "d"])?;
    last.settle()?;
    control.nothing_for("told").breaks("DB-20")
}
