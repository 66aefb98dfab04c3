//! Everything that a peer can do wrong with the database, to a global node and to an ordinary one, while others use it.

use std::time::Duration;

use crate::support::attacker::Attacker;
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::global::{Family, Shard};
use aemp_node::proto::names::NodeId;
use aemp_node::{Config, Entry, FamilyChanges, Node};
use serde_json::{Value, json};

async fn start(id: &str, seeds: &[&Node], change: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.listen = vec!["127.0.0.1:*".into()];
    config.seeds = seeds.iter().map(|seed| seed.addresses()[0].to_string()).collect();
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    change(&mut config);
    Node::start(config).await.expect("it listens")
}

/// A global node, an ordinary one with an entry, and another one that watches.
struct Stage {
    global: Node,
    honest: Node,
    victim: Node,
    seen: FamilyChanges,
    _entry: Entry,
}

impl Stage {
    async fn set() -> Self {
        let global = start("global", &[], |config| {
            config.node.global = true;
            config.node.database.slave = Shard { entries: 50_000, octets: 16 << 20 };
        })
        .await;
        let honest = start("honest", &[&global], |_| {}).await;
        let entry = honest.db_set("fam", "key", &"honest").await.expect("it runs");
        let victim = start("victim", &[&global], |_| {}).await;
        let mut seen = victim.db_watch("fam").await.expect("it runs");
        let mut family = Family::new();
        while family.is_empty() {
            family.extend(seen.next().await.expect("it runs").added);
        }
        assert_eq!(family, honest_family());
        Stage { global, honest, victim, seen, _entry: entry }
    }

    /// Nothing has changed for those who behave, and what they change still works.
    async fn undisturbed(mut self) {
        let second = self.honest.db_set("fam", "second", &2).await.expect("it runs");
        let changes = self.seen.next().await.expect("it runs");
        assert!(changes.changed.is_empty() && changes.deleted.is_empty(), "{changes:?}");
        assert_eq!(changes.added.keys().collect::<Vec<_>>(), ["second"]);
        drop(second);
        assert_eq!(self.seen.next().await.expect("it runs").deleted, ["second"]);
        for node in [&self.honest, &self.victim, &self.global] {
            assert_eq!(node.db_family("fam").await.expect("it runs"), honest_family());
            for family in ["forged", "many7", "bad"] {
                // A large number of entries goes in portions.
                let gone = async {
                    while node.db_family(family).await.expect("it runs") != Family::new() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap_or_else(|_| panic!("{family} is not gone"));
            }
        }
        for node in [&self.honest, &self.victim] {
            let up = node.up_nodes().await.expect("it runs");
            assert!(up.contains(self.global.id()), "{up:?}");
        }
    }
}

fn honest_family() -> Family {
    [("key".to_owned(), "honest".into())].into()
}

async fn attack(node: &Node, name: &'static str, attack: impl FnOnce(&mut Attacker) + Send + 'static) -> Attacker {
    let address = node.addresses()[0].to_string();
    let attack = tokio::task::spawn_blocking(move || {
        let mut attacker = Attacker::connect(&address, name, Framing::Json);
        attack(&mut attacker);
        attacker
    });
    attack.await.expect("it went as it should")
}

fn send_all(attacker: &mut Attacker, requests: &[Value]) {
    for request in requests {
        attacker.send(request);
    }
    attacker.heard("an echo behind all of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_database_or_not_allowed_is_ignored() {
    let stage = Stage::set().await;
    attack(&stage.global, "zealot", |attacker| {
        let wrong = [
            json!(["", "g_slave", 5]),
            json!(["", "g_slave", {"forged": 5}]),
            json!(["", "g_slave", [["forged", "k", 1]]]),
            json!(["", "g_slave", {"forged": {"": 1}, "1bad": {"k": 1}, "bad-name": {"k": 1}, "": {"k": 1}}]),
            json!(["", "g_upd"]),
            json!(["", "g_upd", null, {"k": 1}]),
            json!(["", "g_upd", "forged", 7]),
            json!(["", "g_upd", "forged", {"": 1}, "k"]),
            json!(["", "g_upd", {"forged": 1}, {"k": 1}]),
            json!(["", "g_find"]),
            json!(["", "g_find", {"a": 1}]),
            json!(["", "g_mon1"]),
            json!(["", "g_mon0", "never watched"]),
            json!(["", "g_db_family", "fam"]),
            json!(["", "g_db_keys"]),
            json!(["", "g_db_values", null, null]),
        ];
        send_all(attacker, &wrong);
    })
    .await;
    stage.undisturbed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_own_and_what_only_others_may_say_is_left_alone() {
    let stage = Stage::set().await;
    let at_global = attack(&stage.global, "zealot", |attacker| {
        send_all(
            attacker,
            &[
                // It never said that it is global.
                json!(["", "g_set", {"forged": {"k": 1}, "fam": {"key": "forged"}}]),
                // It owns nothing of that.
                json!(["", "g_slave", {}]),
                json!(["", "g_upd", "fam", null, ["key", "second", "no such key"]]),
                json!(["", "g_upd", "'l", null, ["honest", "victim", "global"]]),
                json!(["", "g_upd", "'g", null, ["global"]]),
            ],
        );
    })
    .await;
    let at_victim = attack(&stage.victim, "impostor", |attacker| {
        send_all(
            attacker,
            &[
                // It is not the master, and nobody asked.
                json!(["", "g_chg1", "fam", {"forged": 1}]),
                json!(["", "g_chg1", "fam", null]),
                json!(["", "g_chg2", "fam", {"forged": 1}, ["key"]]),
                json!(["", "g_reply", "b", {"forged": 1}]),
                json!(["", "g_found", "global", ["127.0.0.1:1"]]),
                json!(["", "g_found", "nobody", ["127.0.0.1:1"]]),
                // An ordinary node keeps nothing for others.
                json!(["", "g_upd", "forged", {"k": 1}]),
                json!(["", "g_set", {"forged": {"k": 1}}]),
            ],
        );
    })
    .await;
    stage.undisturbed().await;
    drop((at_global, at_victim));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_families_cost_whoever_sends_them_its_connection() {
    let stage = Stage::set().await;
    let mut events = stage.global.events();
    let address = stage.global.addresses()[0].to_string();
    let sent = tokio::task::spawn_blocking(move || {
        let mut attacker = Attacker::connect(&address, "zealot", Framing::Json);
        let many = (0..100_000).map(|number| json!(["", "g_upd", format!("many{number}"), {"k": number}]).to_string());
        let octets: String = many.collect();
        crate::support::attacker::is_closed_after(&mut attacker.stream, octets.as_bytes())
    });
    assert!(sent.await.expect("no panic"), "it is still connected");
    let lost =
        async { while !matches!(events.recv().await, Some(NodeEvent::Down(node, _)) if node.as_str() == "zealot") {} };
    tokio::time::timeout(Duration::from_secs(20), lost).await.expect("its node is told to be lost");
    stage.undisturbed().await;
}
