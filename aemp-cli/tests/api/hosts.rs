//! Time-outs that mean what they say: who only takes nothing is not gone, and a host that is gone is noticed.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::attacker::Attacker;
use crate::support::{Running, SECRET, aemp, text};
use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::{Config, Node};

/// Much longer than the hosts here may be silent.
const PAUSE: Duration = Duration::from_secs(4);

/// A folder with a long file, for as long as a test needs it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, octets: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("aemp-hosts-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("files")).expect("a folder for files that go away");
        File::create(folder.join("files/long")).expect("there is room").set_len(octets).expect("a hole");
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_nothing_for_longer_than_a_host_may_be_silent_loses_nothing() {
    const MESSAGES: usize = 300;
    let mut config = Config::new(NodeId::new("sender").expect("a node ID"));
    config.listen = vec!["127.0.0.1:*".into()];
    config.host_timeout = Duration::from_millis(500);
    config.node.link.secret = Some(Secret::new(SECRET.as_bytes()).expect("a secret"));
    let node = Node::start(config).await.expect("it listens");
    let (address, mut events) = (node.addresses()[0].to_string(), node.events());
    let mut peer =
        tokio::task::spawn_blocking(move || Attacker::connect(&address, "sleeper", Framing::Json)).await.expect("up");
    let to = NodeId::new("sleeper").expect("a node ID").port("port");
    let long = "x".repeat(100_000);
    for number in 0..MESSAGES {
        node.send(&to, &(number, &long)).expect("there is room");
    }
    tokio::time::sleep(PAUSE).await;
    let hear = move || (peer.heard("sender"), peer);
    let (messages, _peer) = tokio::task::spawn_blocking(hear).await.expect("no panic");
    let ours = messages.iter().filter(|message| message[0].text().as_deref() == Some("port")).count();
    assert_eq!(ours, MESSAGES, "PEER-10: the window was closed, and the host there answered");
    assert_eq!(events.recv().await, Some(NodeEvent::Up(to.node().clone())));
    // What has happened before the answer to the echo waits already.
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(10), events.recv()).await {
        assert!(!matches!(event, Some(NodeEvent::Down(..))), "{event:?}");
    }
}

#[test]
fn a_stream_waits_for_a_reader_that_pauses() {
    const OCTETS: u64 = 64 << 20;
    let folder = Folder::new("pause", OCTETS);
    let arguments = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "files", "--files", "files"];
    let mut command = aemp(&[&arguments[..], &["--host-timeout", "0.5"]].concat());
    let mut seed = Running::start(command.current_dir(&folder.0).stderr(Stdio::null()));
    let ready = seed.line();
    let address = ready.strip_prefix("ready seed ").expect("it is ready");
    let mut pipe = aemp(&["pipe", "--host-timeout", "0.5", "--seed", address, "-n", "seed", "Files::get", "long"]);
    let mut pipe = pipe.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut out = pipe.stdout.take().expect("its output");
    out.read_exact(&mut [0; 1000]).expect("it begins");
    std::thread::sleep(PAUSE);
    let rest = std::io::copy(&mut out, &mut std::io::sink()).expect("it goes on");
    let ended = pipe.wait_with_output().expect("it ends");
    assert_eq!((rest + 1000, ended.status.code()), (OCTETS, Some(0)), "{}", text(&ended.stderr));
}

/// Two programs in a network of their own, which goes down while a file is under way.
const GOES_DOWN: &str = r#"
    ip link set lo up
    "$AEMP" run --host-timeout 1 --node-id seed --listen 127.0.0.1:4040 --service files --files files >ready 2>seed.log &
    while ! grep -q ready ready; do sleep 0.01; done
    "$AEMP" pipe --host-timeout 1 --seed 127.0.0.1:4040 -n seed Files::get long 2>pipe.log | { head -c 1000 >got; cat >/dev/null; } &
    while ! [ -s got ]; do sleep 0.01; done
    ip link set lo down
    while ! grep -q 'no file' seed.log || ! [ -s pipe.log ]; do sleep 0.01; done
    kill %1
"#;

#[test]
fn a_host_that_has_gone_is_noticed_while_something_is_under_way() {
    let unshared = |command: &str| {
        let mut unshared = Command::new("unshare");
        unshared.args(["-rn", "timeout", "60", "bash", "-c", command]);
        unshared
    };
    if !unshared("ip link set lo up").output().is_ok_and(|got| got.status.success()) {
        return eprintln!("not tried: there is no network namespace to be had here");
    }
    let folder = Folder::new("gone", 1 << 40);
    let mut command = unshared(GOES_DOWN);
    command.current_dir(&folder.0).env("AEMP", env!("CARGO_BIN_EXE_aemp")).env("AEMP_SECRET", SECRET);
    assert!(command.status().expect("it runs").success(), "it is noticed");
    let read = |name| fs::read_to_string(folder.0.join(name)).expect("it is there");
    let log = read("seed.log");
    assert!(log.contains("acknowledged nothing for too long"), "what was sent is not answered: {log}");
    let told = read("pipe.log");
    assert!(told.contains("timed out") || told.contains("acknowledged nothing"), "nor are TCP's own probes: {told}");
}
