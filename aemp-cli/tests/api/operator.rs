//! What an operator does with a node that runs, and what the node tells him.

use std::fs;
use std::process::Stdio;

use crate::support::{Running, SECRET, aemp, output, seed, text};

/// Reads the log up to a line with this in it.
fn told(running: &mut Running, what: &str) -> String {
    loop {
        let line = running.error_line();
        if line.contains(what) {
            return line;
        }
    }
}

/// A node with its log, and its address.
fn logged(arguments: &[&str]) -> (Running, String) {
    let always = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "echo"];
    let mut running = Running::start(aemp(&[&always, arguments].concat()).stderr(Stdio::piped()));
    let ready = running.line();
    (running, ready.strip_prefix("ready seed ").expect("it is ready").to_owned())
}

#[test]
fn the_signal_hup_ends_no_node() {
    let (mut running, address) = logged(&[]);
    running.signal("HUP");
    told(&mut running, "does not change the secret");
    let got = output(&mut aemp(&["cal", "--seed", &address, "seed#echo", "hello"]));
    assert_eq!(text(&got.stdout), "[\"hello\"]\n", "{}", text(&got.stderr));
}

#[test]
fn a_further_secret_may_be_missing_until_it_is_there_and_the_log_tells_who_uses_which() {
    let folder = std::env::temp_dir().join(format!("aemp-operator-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let [own, further] = ["own", "further"].map(|name| folder.join(name).display().to_string());
    fs::write(&own, SECRET).expect("there is room");
    let (mut running, address) = logged(&["-v", "--secret-file", &own, "--further-secret-file", &further]);
    let call = |secret: &str| output(aemp(&["cal", "--seed", &address, "seed#echo", "hello"]).env("AEMP_SECRET", secret));
    assert!(call(SECRET).status.success(), "one secret is enough");
    let line = told(&mut running, "connected node=");
    assert!(line.contains("method=\"hmac_sha3_512\" secret=\"own\""), "{line}");

    let refused = call("the next secret");
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    let line = told(&mut running, "a connection was refused");
    assert!(line.contains("WARN") && line.contains("from=\"127.0.0.1:") && line.contains("wrong token"), "{line}");

    for content in ["", "the next secret\n"] {
        fs::write(&further, content).expect("there is room");
        running.signal("HUP");
        told(&mut running, "have been read again");
    }
    assert!(call("the next secret").status.success());
    let line = told(&mut running, "secret=\"further\"");
    assert!(line.contains("connected node="), "{line}");
    fs::remove_dir_all(&folder).expect("it is there");
}

#[test]
fn a_node_id_of_ones_own_is_ascii_and_those_of_others_are_taken() {
    let got = output(&mut aemp(&["run", "--node-id", "pörl"]));
    assert_eq!(got.status.code(), Some(2));
    assert!(text(&got.stderr).contains("a character that is not ASCII: nodes of AnyEvent::MP"), "{}", text(&got.stderr));
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let mut peer = crate::support::attacker::Attacker::connect(&address, "pörl", aemp_node::proto::framing::Framing::Json);
    peer.heard("seed");
}

#[test]
fn in_secure_mode_a_node_is_reached_by_messages_and_by_nothing_else() {
    let (_running, address) = logged(&["--secure", "--service", "database"]);
    let got = output(&mut aemp(&["cal", "--seed", &address, "seed#echo", "hello"]));
    assert_eq!(text(&got.stdout), "[\"hello\"]\n", "{}", text(&got.stderr));
    let set = ["db", "--seed", &address, "set", "fam", "key", "5", "--node", "seed"];
    let got = output(&mut aemp(&set));
    assert_eq!(got.status.code(), Some(1), "NODE-9: {}", text(&got.stderr));
}

#[test]
fn a_limit_of_the_command_line_is_the_limit() {
    let (mut running, address) = logged(&["--max-packet", "1K"]);
    let got = output(&mut aemp(&["cal", "--seed", &address, "seed#echo", &"x".repeat(2000)]));
    assert!(!got.status.success(), "LIMIT-2: {}", text(&got.stdout));
    drop(got);
    running.signal("TERM");
    assert_eq!(running.ends(), Some(0));
    for wrong in ["--max-packet=1T", "--max-packet=big", "--keep-alive-interval=0", "--handshake-timeout=-1"] {
        let got = output(&mut aemp(&["run", wrong]));
        assert_eq!(got.status.code(), Some(2), "{wrong}: {}", text(&got.stderr));
    }
}

#[test]
fn an_entry_is_set_in_the_name_of_another_node_only_if_that_does_it() {
    let (_other, address) = logged(&["--service", "database"]);
    let of_seed = |arguments: &[&str]| output(&mut aemp(&[&["db", "--seed", &address], arguments].concat()));
    let set = of_seed(&["set", "fam", "key", "{\"a\":1}", "--node", "seed"]);
    assert_eq!((text(&set.stderr), set.status.code()), (String::new(), Some(0)));
    assert_eq!(text(&of_seed(&["get", "fam", "key"]).stdout), "{\"a\":1}\n");
    let deleted = of_seed(&["del", "fam", "key", "--node", "seed"]);
    assert_eq!((text(&deleted.stderr), deleted.status.code()), (String::new(), Some(0)));
    assert_eq!(text(&of_seed(&["keys", "fam"]).stdout), "");

    let (_closed, address) = logged(&[]);
    let set = output(&mut aemp(&["db", "--seed", &address, "set", "fam", "key", "5", "--node", "seed"]));
    assert_eq!(set.status.code(), Some(1));
    assert!(text(&set.stderr).contains("seed has not done it"), "{}", text(&set.stderr));
}

/// A node that starts with an ID that is taken: how it ends, and the last line that it says.
fn ends_because_its_id_is_taken(arguments: &[&str]) {
    let mut second = Running::start(aemp(arguments).stderr(Stdio::piped()));
    let last = told(&mut second, "aemp: ");
    assert!(last.contains("another node has the ID "), "{last}");
    assert_eq!(second.ends(), Some(1), "{last}");
}

#[test]
fn a_node_ends_when_another_one_of_its_network_has_its_id() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let worker = ["run", "--node-id", "worker", "--listen", "127.0.0.1:0", "--seed", &address];
    let mut first = Running::start(&mut aemp(&[&worker[..], &["--service", "echo"]].concat()));
    assert!(first.line().starts_with("ready worker "));
    let call = |name: &str| output(&mut aemp(&["cal", "--wait", "20", "--seed", &address, name, "hello"]));
    assert_eq!(text(&call("worker#echo").stdout), "[\"hello\"]\n");
    ends_because_its_id_is_taken(&worker);
    assert_eq!(text(&call("worker#echo").stdout), "[\"hello\"]\n", "the first one goes on");
}

#[test]
fn a_node_ends_when_its_seed_has_its_id() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    ends_because_its_id_is_taken(&["run", "--node-id", "seed", "--seed", &address]);
    ends_because_its_id_is_taken(&["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--seed", &address]);
}
