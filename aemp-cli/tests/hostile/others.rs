//! Members who take away what others need.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use aemp_node::proto::framing::Framing;
use serde_json::{Value, json};

use super::ground::{Ground, size};
use super::member::{SECRET, data_connection};
use super::process::{Log, program};

/// A folder with a large file and a small one.
pub(crate) fn folder(name: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("small"), "a small file\n").expect("a file");
    let large = std::fs::File::create(folder.join("large")).expect("a file");
    large.set_len(100 << 20).expect("a sparse file");
    folder.to_str().expect("text").to_owned()
}

/// A request to expect a data connection for a file.
pub(crate) fn expect(id: &str, port: &str, file: &str) -> Value {
    json!(["", "AnyEvent::MP::DataConn::_expect", id, port, 60, "Files::get", file])
}

#[test]
fn slow_readers_of_files() {
    let folder = folder("slow");
    let ground = Ground::new("16 slow readers of a file", &["--service", "files", "--files", &folder]);
    let mut member = ground.member("evil", Framing::Json);
    let mut streams = Vec::new();
    for number in 0..16 {
        let id = format!("slow{number}");
        member.send(&expect(&id, "evil#p", "large"));
        assert!(member.settled());
        streams.extend(data_connection(&ground.address(), "evil", &id));
    }
    // Somebody else gets a small file.
    let begun = Instant::now();
    let mut pipe = Command::new(program());
    let got = pipe.args(["pipe", "--seed", &ground.address(), "victim", "Files::get", "small"]).env("AEMP_SECRET", SECRET);
    let got = got.stdin(std::process::Stdio::null()).output().expect("it runs");
    println!("the small file came after {:?}", begun.elapsed());
    drop(streams);
    ground.end();
    assert_eq!(String::from_utf8_lossy(&got.stdout), "a small file\n", "{}", String::from_utf8_lossy(&got.stderr));
}

#[test]
fn dead_host_names_to_search() {
    let ground = Ground::new("dead host names to search", &["--global"]);
    let mut member = ground.member("evil", Framing::Json);
    member.send(&json!(["", "g_slave", {}]));
    for number in 0..size(100, 3_000) {
        let node = format!("node{number}");
        if !member.send(&json!(["", "g_upd", "'l", {&node: [format!("dead{number}.invalid:1")]}]))
            || !member.send(&json!(["", "snd", format!("{node}#p"), 1]))
        {
            break;
        }
    }
    member.settled();
    std::thread::sleep(std::time::Duration::from_millis(size(200, 3000) as u64));
    ground.end();
}

#[test]
fn the_end_of_a_service_port() {
    let ground = Ground::new("`kil1` of the service port `echo`", &[]);
    let mut member = ground.member("evil", Framing::Json);
    for _ in 0..10 {
        member.send(&json!(["", "kil1", "echo", "because"]));
    }
    member.settled();
    ground.end();
}

fn failing_calls(what: &str, log: Log) {
    let ground = Ground::with_log(what, &[], log);
    let mut member = ground.member("evil", Framing::Json);
    let call = json!(["", "AnyEvent::MP::LogCatcher::connect", 0, "evil#\u{1b}[31mred\nline", -1]).to_string();
    member.repeat(call.as_bytes(), size(5_000, 100_000));
    member.settled();
    let controls = ground.victim.borrow().raw_controls.clone();
    ground.end();
    let controls = controls.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(controls, 0, "control characters of a member are in the log");
}

#[test]
fn calls_that_fail() {
    failing_calls("calls that fail", Log::Read);
}

#[test]
fn calls_that_fail_while_nobody_reads_the_log() {
    failing_calls("calls that fail, while nobody reads the log", Log::Blocked);
}

#[test]
fn many_node_ids() {
    let ground = Ground::new("node IDs that come and go", &[]);
    for number in 0..size(100, 5_000) {
        let mut member = ground.member(&format!("evil{number}"), Framing::Cbor);
        member.send(&("", "devnull"));
        member.leave();
    }
    ground.end();
}
