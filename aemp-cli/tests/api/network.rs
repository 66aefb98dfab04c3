//! A network of real processes: everyone finds everyone, the database is the same for all, and it survives the loss of any
//! node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::proxy::Proxies;
use crate::support::{Running, SECRET, aemp, free_address, output, text};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::global::{Changes, Family};
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{Config, FamilyChanges, Node};

/// A node of this process that has a master.
async fn observer(id: &str, seeds: &[&String]) -> Node {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.listen = vec!["127.0.0.1:*".into()];
    config.seeds = seeds.iter().map(ToString::to_string).collect();
    config.node.link.secret = Some(Secret::new(SECRET.as_bytes()).expect("a secret"));
    let node = Node::start(config).await.expect("it listens");
    let mut events = node.events();
    while !matches!(events.recv().await.expect("it runs"), NodeEvent::Master(Some(_))) {}
    node
}

/// A watch, and what it has told so far.
struct View {
    changes: FamilyChanges,
    family: Family,
}

impl View {
    async fn new(node: &Node, family: &str) -> Self {
        View { changes: node.db_watch(family).await.expect("it runs"), family: Family::new() }
    }

    /// Takes changes in. Each must be one: what is added was not there, what is changed or deleted was.
    fn take(&mut self, Changes { added, changed, deleted, .. }: Changes) {
        for (key, value) in added {
            assert_eq!(self.family.insert(key, value), None, "it was there already");
        }
        for (key, value) in changed {
            // It may have gone and come back since we looked, with the same value.
            assert!(self.family.insert(key.clone(), value).is_some(), "{key} was not there");
        }
        for key in deleted {
            assert!(self.family.remove(&key).is_some(), "{key} was not there");
        }
    }

    /// Waits until exactly these keys are there.
    async fn becomes(&mut self, keys: &[&str]) {
        let until = Instant::now() + Duration::from_secs(40);
        while !self.family.keys().map(String::as_str).eq(keys.iter().copied()) {
            let left = until.saturating_duration_since(Instant::now());
            let next = tokio::time::timeout(left, self.changes.next()).await;
            let Ok(next) = next else { panic!("{:?} does not become {keys:?}", self.family) };
            self.take(next.expect("it runs"));
        }
    }
}

struct Network {
    addresses: BTreeMap<&'static str, String>,
    running: BTreeMap<&'static str, Running>,
}

const GLOBALS: [&str; 3] = ["g1", "g2", "g3"];
const WORKERS: [&str; 5] = ["w1", "w2", "w3", "w4", "w5"];

impl Network {
    fn new() -> Self {
        let addresses = GLOBALS.iter().chain(&WORKERS).map(|&id| (id, free_address())).collect();
        Network { addresses, running: BTreeMap::new() }
    }

    fn start(&mut self, id: &'static str) {
        let mut arguments = vec!["run", "--node-id", id, "--listen", &self.addresses[id], "--max-idle-timeout", "4"];
        for global in GLOBALS.iter().filter(|&&global| global != id) {
            arguments.extend(["--seed", &self.addresses[global]]);
        }
        arguments.extend(if GLOBALS.contains(&id) {
            ["--global", "--service", "echo", "--service", "database"]
        } else {
            ["--service", "echo", "--register", "workers", "--verbose"]
        });
        let mut running = Running::start(&mut aemp(&arguments));
        assert_eq!(running.line(), format!("ready {id} {}", self.addresses[id]));
        self.running.insert(id, running);
    }

    fn kill(&mut self, id: &str) {
        // It is killed when it is dropped, without a word to anyone.
        drop(self.running.remove(id).expect("it runs"));
    }
}

/// Has a node send to another one by name, which answers us: no node was told of any other but the globals.
async fn reaches(asker: &Node, from: &str, to: &str) {
    let node_port = NodeId::new(from).expect("a node ID").port("");
    for tries in 0.. {
        let answer = asker.call(&node_port, &("snd", format!("{to}#echo"), from), Some(Duration::from_secs(3))).await;
        match answer {
            Ok(answer) => return assert_eq!(answer.decode::<String>().expect("a text"), from),
            // Right after the loss of a master or of a connection a message may be lost; its sender's watches know.
            Err(error) => assert!(tries < 5, "{from} to {to}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_reaches_everyone_and_the_loss_of_any_node_heals() {
    let mut network = Network::new();
    network.start("g1");
    // So that it is the master of all five.
    WORKERS.iter().for_each(|worker| network.start(worker));
    let of_g1 = observer("of-g1", &GLOBALS.map(|global| &network.addresses[global])).await;
    network.start("g2");
    network.start("g3");
    let of_g2 = observer("of-g2", &[&network.addresses["g2"]]).await;
    let mut views = [View::new(&of_g1, "workers").await, View::new(&of_g2, "workers").await];
    let all = ["w1#echo", "w2#echo", "w3#echo", "w4#echo", "w5#echo"];
    for view in &mut views {
        view.becomes(&all).await;
    }
    for from in GLOBALS.iter().chain(&WORKERS) {
        for to in GLOBALS.iter().chain(&WORKERS).filter(|&to| to != from) {
            reaches(&of_g2, from, to).await;
        }
    }

    // An ordinary node: its entries go everywhere, and who watches it knows.
    let watches =
        [of_g1.watch(&"w3#echo".parse().expect("a port ID")).await, of_g2.watch(&"w3".parse().expect("an ID")).await];
    network.kill("w3");
    for watch in watches {
        let reasons = watch.expect("it runs").await.expect("it runs");
        assert_eq!(reasons.values()[..2], ["transport_error".into(), "w3".into()], "{reasons}");
    }
    for view in &mut views {
        view.becomes(&["w1#echo", "w2#echo", "w4#echo", "w5#echo"]).await;
    }
    network.start("w3");
    for view in &mut views {
        view.becomes(&all).await;
    }

    // A global node that is nobody's master, then the master of all five.
    let put = |node: &'static str, key: &'static str| {
        let seed = network.addresses["g2"].clone();
        move || {
            let set = ["db", "--seed", &seed, "set", "--node", node, "workers", key, "1"];
            let set = output(&mut aemp(&set));
            assert!(set.status.success(), "{}", text(&set.stderr));
        }
    };
    let (put_g3, put_g1) = (put("g3", "x-of-g3"), put("g1", "x-of-g1"));
    for (global, put) in [("g3", &put_g3 as &dyn Fn()), ("g1", &put_g1)] {
        put();
        let own = format!("x-of-{global}");
        let more = [&all[..], &[&own]].concat();
        for view in &mut views {
            view.becomes(&more).await;
        }
        network.kill(global);
        for view in &mut views {
            view.becomes(&all).await;
        }
        reaches(&of_g2, "w1", "w5").await;
        network.start(global);
    }
    // What changes now is seen through the masters that were found instead.
    network.kill("w4");
    for view in &mut views {
        view.becomes(&["w1#echo", "w2#echo", "w3#echo", "w5#echo"]).await;
    }
    network.start("w4");
    for view in &mut views {
        view.becomes(&all).await;
    }
    for from in GLOBALS.iter().chain(&WORKERS) {
        reaches(&of_g2, from, if *from == "g1" { "w4" } else { "g1" }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_in_two_and_healed_agrees_again() {
    const HALVES: [[&str; 2]; 2] = [["g1", "w1"], ["g2", "w2"]];
    let nodes: Vec<&'static str> = HALVES.concat();
    let mut proxies = Proxies::new(&HALVES);
    // Every connection from one half to the other passes a proxy: it is the only address of a node that others are told.
    let (mut bound, mut announced) = (BTreeMap::new(), BTreeMap::new());
    for node in &nodes {
        let address = free_address();
        announced.insert(*node, proxies.add(node, &address).await);
        bound.insert(*node, address);
    }
    let mut running = Vec::new();
    for node in &nodes {
        let mut arguments = vec!["run", "--node-id", node, "--listen", &bound[node], "--advertise", &announced[node]];
        arguments.extend(["--max-idle-timeout", "2", "--service", "database"]);
        if node.starts_with('g') {
            arguments.push("--global");
        }
        let of_half = if HALVES[0].contains(node) { "g1" } else { "g2" };
        for seed in ["g1", "g2"].iter().filter(|seed| *seed != node && (node.starts_with('g') || **seed == of_half)) {
            arguments.extend(["--seed", &announced[seed]]);
        }
        let mut process = Running::start(&mut aemp(&arguments));
        assert!(process.line().starts_with("ready "));
        running.push(process);
    }
    let set = |half: usize, node: &str, key: &str, value: &str| {
        let set = output(&mut aemp(&["db", "--seed", &bound[HALVES[half][0]], "set", "--node", node, "fam", key, value]));
        assert!(set.status.success(), "{}", text(&set.stderr));
    };
    set(0, "w1", "before-1", "1");
    set(1, "w2", "before-2", "2");
    let mut views = Vec::new();
    for half in 0..2 {
        let node = observer(&format!("observer-{half}"), &[&bound[HALVES[half][0]]]).await;
        let mut view = View::new(&node, "fam").await;
        view.becomes(&["before-1", "before-2"]).await;
        views.push((node, view));
    }

    proxies.cut();
    // Both halves notice that the other one is silent.
    views[0].1.becomes(&["before-1"]).await;
    views[1].1.becomes(&["before-2"]).await;
    set(0, "w1", "during-1", "1");
    set(0, "w1", "both", "of w1");
    set(1, "w2", "during-2", "2");
    set(1, "w2", "both", "of w2");
    views[0].1.becomes(&["before-1", "both", "during-1"]).await;
    views[1].1.becomes(&["before-2", "both", "during-2"]).await;

    proxies.heal();
    for (_, view) in &mut views {
        view.becomes(&["before-1", "before-2", "both", "during-1", "during-2"]).await;
    }
    // The value of the global with the lower ID, on both sides; it may come a moment after the other keys.
    for (node, _) in &views {
        let until = Instant::now() + Duration::from_secs(10);
        while node.db_family("fam").await.expect("it runs")["both"] != Value::from("of w1") {
            assert!(Instant::now() < until, "the halves do not agree on a key that both have set");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
