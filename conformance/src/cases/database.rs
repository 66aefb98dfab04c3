//! Chapter 8, sections 8.5 and 8.6: what goes into the database and what does not, and how large parts and answers travel.

use serde_json::{Map, Value as Json, json};

use super::members::{asked, changes, control, global, one_change, own_database, seed, shortened, slave, until_has};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, Peer};
use crate::subject::Feature::Listen;
use crate::subject::Level::Global;
use crate::test::{Test, unique};

/// The cases of the database.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "database/entries-of-ports",
        &["DB-5", "DB-10"],
        "An entry of a port goes when the port ends, and the others are told once.",
        entries_of_ports,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
    Case::new(
        "database/too-large-to-set",
        &["DB-30"],
        "A node sets entries of the largest size, and none that is larger or nested deeper.",
        too_large_to_set,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "database/too-large-from-others",
        &["DB-31", "DB-7"],
        "What comes as an entry that is too large deletes its key; the others of the request count, and the largest that is allowed does.",
        too_large_from_others,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "database/large-database-to-a-master",
        &["DB-27", "GLOBAL-11", "DB-5"],
        "A database of 3 MiB comes to a master in packets below 1 MiB, which merge to the whole.",
        large_database_to_a_master,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
    Case::new(
        "database/large-part",
        &["DB-27", "DB-7", "DB-26", "GLOBAL-16"],
        "A database that comes in several packets merges; it goes on to globals and watchers in packets below 1 MiB; an answer that would be larger is null.",
        large_part,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
    Case::new(
        "database/failed-question",
        &["DB-25", "DB-38"],
        "A question that the master answers with null has failed, unless the node fetches the family by watching it.",
        failed_question,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
    Case::new(
        "database/sorted",
        &["DB-23"],
        "Keys, values and deleted keys come sorted, octet by octet.",
        sorted,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
    Case::new(
        "database/watch-for-no-family",
        &["DB-33"],
        "Whoever watches what can be no family is answered that nothing is in it.",
        watch_for_no_family,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
];

fn entries_of_ports(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let (mut control, mut other) = (control(t, &subject)?, global(t, &subject, &json!({}))?);
    let (port, stays) = (control.new_port("echo")?, control.new_port("echo")?);
    let ids = [&port, &stays].map(|port| format!("{}#{port}", subject.node));
    for id in &ids {
        control.control(&json!(["db_reg", id, "workers", "idle"]))?;
        control.settle()?;
        one_change(&mut other, "g_upd", "workers", &json!({id: "idle"}), &[]).breaks("DB-10")?;
    }
    // Another value, and the same once more, which is no change.
    control.control(&json!(["db_reg", ids[0], "workers", "busy"]))?;
    control.control(&json!(["db_reg", ids[0], "workers", "busy"]))?;
    control.settle()?;
    one_change(&mut other, "g_upd", "workers", &json!({&ids[0]: "busy"}), &[]).breaks("DB-10")?;
    control.control(&json!(["end", ids[0]]))?;
    control.settle()?;
    one_change(&mut other, "g_upd", "workers", &json!({}), &[&ids[0]]).breaks("DB-10")?;
    until_has(&mut control, "workers", &json!({&ids[1]: "idle"}), t.patience)
}

/// The size of an entry may be this.
const LARGEST: usize = 524_288;

/// A text that makes an entry, together with this key, exactly so large.
fn filling(key: &str, size: usize) -> String {
    "x".repeat(size - 32 - key.len() - 32)
}

/// Arrays within each other, and nothing in the last one.
fn nested(levels: usize) -> Json {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// Entries that are too large by the rules of section 8.5, most of them although they have few octets.
fn too_large() -> Vec<(&'static str, Json)> {
    vec![
        ("text", json!(filling("text", LARGEST + 1))),
        // Two octets each in the notation of text, and six.
        ("quotes", json!("\"".repeat(LARGEST / 2))),
        ("controls", json!("\u{1}".repeat(LARGEST / 6))),
        // 32 for each.
        ("values", json!(vec![0; LARGEST / 32])),
        ("deep", nested(257)),
    ]
}

/// Entries that are as large as is allowed.
fn largest() -> Vec<(&'static str, Json)> {
    vec![("whole", json!(filling("whole", LARGEST))), ("many", json!(vec!["x"; 10_000])), ("nested", nested(256))]
}

/// What a packet sets and deletes, without the values, which are long.
fn keys_of(packet: &Message) -> (Vec<String>, Vec<Json>) {
    let set = packet.elements.get(3).and_then(Json::as_object).into_iter().flatten();
    let deleted = packet.elements.get(4).and_then(Json::as_array).cloned().unwrap_or_default();
    (set.map(|(key, _)| key.clone()).collect(), deleted)
}

fn too_large_to_set(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let (mut control, mut other) = (control(t, &subject)?, global(t, &subject, &json!({}))?);
    for (key, value) in too_large() {
        control.control(&json!(["db_set", "fam", key, value]))?;
        control.settle()?;
        for change in changes(&mut other, "fam")? {
            let (set, _) = keys_of(&change);
            check(set.is_empty(), format!("nothing set for {key:?}, which is too large"), format!("it is set: {set:?}"))?;
        }
        let keys = asked(&mut control, "db_keys", "fam")?;
        check(keys == json!([]), format!("{key:?} not in the database"), keys)?;
    }
    for (key, value) in largest() {
        control.control(&json!(["db_set", "fam", key, value]))?;
        control.settle()?;
        let came = changes(&mut other, "fam")?;
        let right = came.len() == 1 && came[0].elements[3][key] == value;
        check(right, format!("{key:?}, which is not too large, to be set"), format!("{} changes", came.len()))
            .breaks("DB-10")?;
    }
    Ok(())
}

fn too_large_from_others(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let mut watcher = t.up_at(&subject)?;
    watcher.send(&json!(["", "g_mon1", "fam"]))?;
    watcher.request("g_chg1", |_| true).breaks("DB-16")?;
    let (mut slave, mut other) = (slave(t, &subject, &json!({}))?, global(t, &subject, &json!({}))?);
    let arrives = |watcher: &mut Peer, set: &[&str], deleted: &[&str], broken: &'static str| {
        let came = changes(watcher, "fam")?;
        let found: Vec<_> = came.iter().map(keys_of).collect();
        // A node may take in what is large in several steps.
        let sets: Vec<String> = found.iter().flat_map(|(set, _)| set.clone()).collect();
        let deletes: Vec<Json> = found.iter().flat_map(|(_, deleted)| deleted.clone()).collect();
        let right = sets == *set && json!(deletes) == json!(deleted);
        check(right, format!("changes which set {set:?} and delete {deleted:?}"), format!("{found:?}")).breaks(broken)
    };
    for (key, value) in too_large() {
        slave.send(&json!(["", "g_upd", "fam", {key: "small"}]))?;
        slave.settle()?;
        arrives(&mut watcher, &[key], &[], "DB-7")?;
        slave.send(&json!(["", "g_upd", "fam", {key: value, "with": key}]))?;
        slave.settle()?;
        arrives(&mut watcher, &["with"], &[key], "DB-31")?;
        slave.send(&json!(["", "g_upd", "fam", null, ["with"]]))?;
        slave.settle()?;
        arrives(&mut watcher, &[], &["with"], "DB-7")?;
        // The same in whole databases.
        for (from, request) in [(&mut slave, "g_slave"), (&mut other, "g_set")] {
            from.send(&json!(["", request, {"fam": {key: "small"}}]))?;
            from.settle()?;
            arrives(&mut watcher, &[key], &[], "DB-7")?;
            from.send(&json!(["", request, {"fam": {key: value}}]))?;
            from.settle()?;
            arrives(&mut watcher, &[], &[key], "DB-31")?;
        }
    }
    for (key, value) in largest() {
        slave.send(&json!(["", "g_upd", "fam", {key: value}]))?;
        slave.settle()?;
        let came = changes(&mut watcher, "fam")?;
        let right = came.len() == 1 && came[0].elements[3][key] == value;
        check(right, format!("{key:?}, which is not too large, to be taken"), format!("{} changes", came.len()))
            .breaks("DB-7")?;
    }
    Ok(())
}

/// Entries of 3 MiB together.
fn large() -> Map<String, Json> {
    (0..15)
        .map(|number| (format!("key{number:02}"), json!(format!("{number:x}").repeat(200 << 10).split_off(number % 7))))
        .collect()
}

/// What every receiver takes in a packet [LIMIT-2].
const PACKET: usize = 1 << 20;

/// Merges the entries of the family out of packets that come, until they are these: the names of the requests. If some are
/// missing, `broken` is.
fn merges(
    peer: &mut Peer,
    entries: &Map<String, Json>,
    broken: &'static str,
    of: impl Fn(&Message) -> Option<Json>,
) -> Step<Vec<String>> {
    let (mut merged, mut requests) = (Map::new(), Vec::new());
    while merged.len() < entries.len() {
        let what = "packets that have all entries together";
        let packet = peer.find(what, |message| message.port().is_empty() && of(message).is_some());
        let packet = packet.breaks(broken)?;
        let size = packet.octets.len();
        check(size <= PACKET, "packets of 1 MiB at most", format!("one of {size} octets")).breaks("DB-27")?;
        requests.push(packet.tag().to_owned());
        merged.extend(of(&packet).and_then(|part| part.as_object().cloned()).unwrap_or_default());
    }
    check(merged == *entries, "the entries as they were set", shortened(&json!(merged))).breaks(broken)?;
    Ok(requests)
}

/// The entries of the family in a whole database of this request.
fn in_database(message: &Message, request: &str) -> Option<Json> {
    let entries = message.elements.get(2)?.get("fam")?;
    (message.tag() == request).then(|| entries.clone())
}

fn large_database_to_a_master(t: &mut Test<'_>) -> Step {
    let listener = t.listener()?;
    let subject = t.start(|start| start.seeds = vec![listener.address.to_string()])?;
    let mut control = control(t, &subject)?;
    let entries = large();
    for (key, value) in &entries {
        control.control(&json!(["db_set", "fam", key, value]))?;
    }
    control.settle()?;
    let (_, mut master) = seed(t, &[&listener], &[unique("seed")?])?;
    merges(&mut master, &entries, "GLOBAL-11", |message| in_database(message, "g_slave"))?;
    // What changes later comes as a change.
    control.control(&json!(["db_set", "fam", "key00", "other"]))?;
    control.settle()?;
    one_change(&mut master, "g_upd", "fam", &json!({"key00": "other"}), &[]).breaks("DB-5")
}

fn large_part(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let mut slave = slave(t, &subject, &json!({}))?;
    let entries = large();
    for (key, value) in &entries {
        slave.send(&json!(["", "g_slave", {"fam": {key: value}}]))?;
    }
    slave.settle()?;
    let mut control = control(t, &subject)?;
    let keys = asked(&mut control, "db_keys", "fam")?;
    let has_all = keys.as_array().map(Vec::len) == Some(entries.len());
    check(has_all, format!("{} keys in the database", entries.len()), keys).breaks("DB-7")?;
    let mut global = t.up_at(&subject)?;
    global.send(&json!(["", "g_global"]))?;
    merges(&mut global, &entries, "GLOBAL-16", |message| in_database(message, "g_set"))?;
    let mut watcher = t.up_at(&subject)?;
    watcher.send(&json!(["", "g_mon1", "fam"]))?;
    let contents = |message: &Message| {
        let is_contents = ["g_chg1", "g_chg2"].contains(&message.tag());
        if is_contents { message.elements.get(3).cloned() } else { None }
    };
    let order = merges(&mut watcher, &entries, "DB-16", contents)?;
    let right =
        order.iter().position(|tag| tag == "g_chg1") == Some(0) && order.iter().filter(|tag| *tag == "g_chg1").count() == 1;
    check(right, "one g_chg1, and g_chg2 behind it", order.join(", ")).breaks("DB-16")?;
    watcher.send(&json!(["", "g_db_family", "fam", "large"]))?;
    watcher.send(&json!(["", "g_db_keys", "fam", "small"]))?;
    let answer =
        watcher.request("g_reply", |arguments| arguments.first().is_some_and(|id| id == "large")).breaks("DB-22")?;
    t.should("DB-26", answer.get(1) == Some(&Json::Null), "null", shortened(&Json::from(answer)));
    let answer =
        watcher.request("g_reply", |arguments| arguments.first().is_some_and(|id| id == "small")).breaks("DB-22")?;
    let keys = answer.get(1).and_then(Json::as_array).map(Vec::len);
    check(keys == Some(entries.len()), format!("{} keys", entries.len()), shortened(&Json::from(answer))).breaks("DB-22")
}

fn failed_question(t: &mut Test<'_>) -> Step {
    let listener = t.listener()?;
    let subject = t.start(|start| start.seeds = vec![listener.address.to_string()])?;
    let mut control = control(t, &subject)?;
    let (_, mut master) = seed(t, &[&listener], &[unique("seed")?])?;
    own_database(&mut master)?;
    for verb in ["db_family", "db_keys", "db_values"] {
        control.control(&json!([verb, "fam", control.port("asked")]))?;
        let query = master.request(&format!("g_{verb}"), |arguments| arguments.len() == 2)?;
        master.send(&json!(["", "g_reply", query[1], null]))?;
        let sent = master.until_echo()?;
        let is_watched = sent.iter().any(|message| message.tag() == "g_mon1");
        let mark = sent.iter().find(|message| message.tag() == "g_db_keys").and_then(|message| message.elements.get(3));
        let right = match mark.filter(|_| is_watched) {
            // It fetches the family.
            Some(mark) => {
                master.send(&json!(["", "g_chg1", "fam", {"j": 1}]))?;
                master.send(&json!(["", "g_chg2", "fam", {"k": 2}, []]))?;
                master.send(&json!(["", "g_reply", mark, null]))?;
                match verb {
                    "db_family" => json!([{"j": 1, "k": 2}]),
                    "db_keys" => json!([["j", "k"]]),
                    _ => json!([[1, 2]]),
                }
            }
            None => json!([null]),
        };
        control.expect("asked", &right)?;
        // And does not watch it any longer.
        let left = master.until_echo()?.iter().any(|message| message.tag() == "g_mon0");
        check(left == is_watched, "a g_mon0 for each g_mon1", format!("g_mon1: {is_watched}, g_mon0: {left}"))
            .breaks("DB-38")?;
    }
    Ok(())
}

fn sorted(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let mut slave = slave(t, &subject, &json!({}))?;
    let mut watcher = t.up_at(&subject)?;
    watcher.send(&json!(["", "g_mon1", "fam"]))?;
    // By octets; texts of UTF-16 have the last two the other way round.
    let keys = ["1", "10", "2", "A", "Z", "a", "b", "ä", "\u{ff5e}", "\u{1f600}"];
    let entries: Map<String, Json> = keys.iter().map(|key| ((*key).to_owned(), json!(format!("of {key}")))).collect();
    let values: Vec<_> = keys.iter().map(|key| format!("of {key}")).collect();
    slave.send(&json!(["", "g_upd", "fam", entries]))?;
    slave.settle()?;
    watcher.send(&json!(["", "g_db_keys", "fam", "keys"]))?;
    watcher.send(&json!(["", "g_db_values", "fam", "values"]))?;
    for (id, right) in [("keys", json!(keys)), ("values", json!(values))] {
        let answer = watcher.request("g_reply", |arguments| arguments.first().is_some_and(|name| name == id));
        let answer = answer.breaks("DB-22")?.get(1).cloned().unwrap_or_default();
        t.should("DB-23", answer == right, right.to_string(), answer.to_string());
    }
    changes(&mut watcher, "fam")?;
    slave.send(&json!(["", "g_upd", "fam", null, keys.iter().rev().collect::<Vec<_>>()]))?;
    slave.settle()?;
    let deleted = changes(&mut watcher, "fam")?;
    let first = deleted.first().ok_or_else(|| Failure::wrong("g_chg2 with what is deleted", "nothing").breaks("DB-17"))?;
    t.should("DB-23", first.elements.get(4) == Some(&json!(keys)), json!(keys).to_string(), first.shown());
    Ok(())
}

fn watch_for_no_family(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let mut watcher = t.up_at(&subject)?;
    for name in ["no family", "", "1", "ä", "a-b", &"x".repeat(257), "x#y"] {
        watcher.send(&json!(["", "g_mon1", name]))?;
        let contents = watcher.request("g_chg1", |arguments| arguments.first().is_some_and(|family| family == name))?;
        let empty = contents.get(1).is_some_and(|all| all.is_null() || *all == json!({}));
        check(empty, "null", Json::from(contents))?;
        let mut slave = slave(t, &subject, &json!({name: {"k": "v"}}))?;
        slave.send(&json!(["", "g_upd", name, {"l": "v"}, []]))?;
        slave.settle()?;
        let came = changes(&mut watcher, name)?;
        check(came.is_empty(), format!("nothing about {name:?}"), came.first().map(Message::shown).unwrap_or_default())?;
    }
    Ok(())
}
