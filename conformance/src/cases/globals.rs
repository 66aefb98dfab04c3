//! Chapter 8, section 8.4: what globals do when others are lost.

use std::time::{Duration, Instant};

use serde_json::json;

use super::members::{changes, control, global, one_change, slave, until_has};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Message;
use crate::subject::Feature::Listen;
use crate::subject::Level::Global;
use crate::test::{Test, unique};

/// The cases of globals.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "globals/slave-lost",
        &["DB-9", "DB-10", "DB-17", "DB-18"],
        "The entries of a slave that is lost are deleted, once, at globals and at those who watch, and nobody else hears of it.",
        slave_lost,
    )
    .level(Global)
    .needs(&[Listen])
    .alone(),
    Case::new(
        "globals/lost-and-tried-again",
        &["GLOBAL-18", "GLOBAL-19"],
        "A global that another one lists is connected to, and when it is lost tried again: at once, and then after a while that grows.",
        lost_and_tried_again,
    )
    .level(Global)
    .needs(&[Listen])
    .once()
    .alone(),
];

fn slave_lost(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let mut control = control(t, &subject)?;
    let mut other = global(t, &subject, &json!({}))?;
    let mut watcher = slave(t, &subject, &json!({"fam": {"stays": "here"}}))?;
    let mut silent = slave(t, &subject, &json!({}))?;
    watcher.send(&json!(["", "g_mon1", "fam"]))?;
    silent.send(&json!(["", "g_mon1", "fam"]))?;
    silent.send(&json!(["", "g_mon0", "fam"]))?;
    let lost = slave(t, &subject, &json!({"fam": {"a": "1", "b": "2"}, "more": {"c": "3"}}))?;
    for peer in [&mut other, &mut watcher, &mut silent] {
        changes(peer, "fam")?;
        changes(peer, "more")?;
    }
    drop(lost);
    one_change(&mut other, "g_upd", "fam", &json!({}), &["a", "b"]).breaks("DB-10")?;
    one_change(&mut watcher, "g_chg2", "fam", &json!({}), &["a", "b"]).breaks("DB-17")?;
    let more = changes(&mut other, "more")?;
    let right = more.len() == 1 && more[0].elements[4] == json!(["c"]);
    check(right, "[\"\",\"g_upd\",\"more\",{},[\"c\"]]", more.first().map(Message::shown).unwrap_or_default())
        .breaks("DB-10")?;
    let mut unasked = changes(&mut silent, "fam")?;
    for peer in [&mut silent, &mut watcher] {
        unasked.extend(changes(peer, "more")?);
    }
    let shown = unasked.first().map(Message::shown).unwrap_or_default();
    check(unasked.is_empty(), "nothing about a family that a slave does not watch", shown).breaks("DB-18")?;
    until_has(&mut control, "fam", &json!({"stays": "here"}), t.patience).breaks("DB-9")
}

fn lost_and_tried_again(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.global = true)?;
    let listener = t.listener()?;
    let lost = unique("lost")?;
    let part = json!({"'g": {&lost: null}, "'l": {&lost: [listener.address.to_string()]}});
    let mut lists = global(t, &subject, &part)?;
    let mut peer = t.accept(&listener).breaks("GLOBAL-18")?;
    peer.greets.node.clone_from(&lost);
    peer.handshake().breaks("GLOBAL-18")?;
    peer.send(&json!(["", "g_global"]))?;
    peer.request("g_set", |_| true).breaks("GLOBAL-16")?;
    let mut times = vec![Instant::now()];
    drop(peer);
    let until = Instant::now() + Duration::from_secs(30);
    while times.len() < 4 {
        if Instant::now() > until {
            let tried = format!("tried {} times in 30 seconds", times.len() - 1);
            return check(false, "a global that is lost, and listed by another, to be tried again and again", tried)
                .breaks("GLOBAL-18");
        }
        if t.accept_within(&listener, Duration::from_millis(2))?.is_some() {
            times.push(Instant::now());
        }
    }
    let waits: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    // At once, then 0.6 to 1.2 seconds, then 1.2 to 2.4; or without the first, as the connection stood for a short time
    // only. A machine that has much to do takes longer.
    let right = waits[0] < 3.6 && (0.4..7.2).contains(&waits[1]) && (0.9..14.4).contains(&waits[2]);
    t.should(
        "GLOBAL-19",
        right,
        "to be tried at once, after 0.6 to 1.2 seconds, and after 1.2 to 2.4; or to wait so before the first time, too",
        format!("after {waits:.1?} seconds"),
    );
    lists.settle()
}
