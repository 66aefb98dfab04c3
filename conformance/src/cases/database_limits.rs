//! Chapter 8, section 8.8: peers that want too much of the database.

use serde_json::{Value as Json, json};

use super::members::{control, global, slave, until_has};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::subject::Feature::{Limits, Listen};
use crate::subject::Level::Global;
use crate::test::Test;

/// The cases of limits.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "database-limits/entries",
        &["DB-28", "DB-9"],
        "A slave may have as many entries as the limit says, in whatever families and however often they change; with one more it is lost, with all of them.",
        entries,
    )
    .level(Global)
    .needs(&[Listen, Limits])
    .alone(),
    Case::new(
        "database-limits/entries-in-one-request",
        &["DB-28", "DB-9"],
        "A database, a part, or a change that is too large in itself closes, from whomever it comes.",
        entries_in_one_request,
    )
    .level(Global)
    .needs(&[Listen, Limits])
    .alone(),
    Case::new(
        "database-limits/families",
        &["DB-29", "DB-33"],
        "A slave may watch as many families as the limit says, the same ones however often, and what is none does not count; with one more it is lost.",
        families,
    )
    .level(Global)
    .needs(&[Listen, Limits])
    .alone(),
];

/// That many entries with these keys.
fn some(prefix: &str, count: usize) -> Json {
    (0..count).map(|number| (format!("{prefix}{number}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
}

fn entries(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| {
        start.global = true;
        start.limits.entries = Some(8);
    })?;
    let mut control = control(t, &subject)?;
    let mut other = slave(t, &subject, &json!({"fam": {"z": "other"}}))?;
    let mut greedy = slave(t, &subject, &json!({"fam": some("a", 4), "more": some("b", 4)}))?;
    for round in 0..3 {
        let keys: Vec<_> = (0..4).map(|number| format!("a{number}")).collect();
        greedy.send(&json!(["", "g_upd", "fam", some("a", 4), []]))?;
        greedy.send(&json!(["", "g_upd", "fam", null, keys]))?;
        greedy.send(&json!(["", "g_upd", "fam", some("a", 4)]))?;
        greedy.send(&json!(["", "g_upd", "more", {"b0": format!("{round}")}]))?;
        greedy.settle().breaks("DB-28")?;
    }
    greedy.send(&json!(["", "g_upd", "third", {"one": "too many"}]))?;
    check(greedy.ended()?.is_some(), "the end of the connection, with nine entries and a limit of eight", "it stands")?;
    until_has(&mut control, "fam", &json!({"z": "other"}), t.patience).breaks("DB-9")?;
    until_has(&mut control, "more", &json!({}), t.patience).breaks("DB-9")?;
    until_has(&mut control, "third", &json!({}), t.patience).breaks("DB-9")?;
    other.settle().breaks("DB-28")
}

fn entries_in_one_request(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| {
        start.global = true;
        start.limits.entries = Some(8);
    })?;
    let mut control = control(t, &subject)?;
    for request in ["g_slave", "g_set", "g_upd"] {
        let mut greedy =
            if request == "g_set" { global(t, &subject, &json!({"few": some("a", 3)}))? } else { t.up_at(&subject)? };
        greedy.send(&match request {
            "g_upd" => json!(["", "g_upd", "fam", some("a", 30)]),
            _ => json!(["", request, {"fam": some("a", 15), "more": some("b", 15)}]),
        })?;
        check(greedy.ended()?.is_some(), format!("the end of the connection after {request} with 30 entries"), "it stands")?;
        for family in ["few", "fam", "more"] {
            until_has(&mut control, family, &json!({}), t.patience).breaks("DB-9")?;
        }
    }
    Ok(())
}

fn families(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| {
        start.global = true;
        start.limits.families = Some(3);
    })?;
    let mut other = t.up_at(&subject)?;
    other.send(&json!(["", "g_mon1", "one"]))?;
    let mut greedy = t.up_at(&subject)?;
    for round in 0..10 {
        for family in ["one", "two", "three"] {
            greedy.send(&json!(["", "g_mon1", family]))?;
        }
        greedy.send(&json!(["", "g_mon1", format!("no family {round}")]))?;
        greedy.send(&json!(["", "g_mon0", "three"]))?;
        greedy.send(&json!(["", "g_mon1", format!("third{round}")]))?;
        greedy.send(&json!(["", "g_mon0", format!("third{round}")]))?;
    }
    greedy.settle().breaks("DB-33")?;
    greedy.send(&json!(["", "g_mon1", "three"]))?;
    greedy.settle().breaks("DB-29")?;
    other.settle()?;
    greedy.send(&json!(["", "g_mon1", "four"]))?;
    check(greedy.ended()?.is_some(), "the end of the connection, with four families and a limit of three", "it stands")?;
    other.settle()
}
