//! The examples and the script of the specification, run as a person runs them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// An example, which `cargo test` has built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let target = test.ancestors().nth(2).expect("it is in target/PROFILE/deps");
    let path = target.join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build -p aemp-proto --examples` first", path.display());
    path
}

/// The listener, running; it ends with this.
struct Listener {
    process: Child,
    address: String,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Listener {
    fn start() -> Self {
        Self::of(Command::new(example("listener")).arg("127.0.0.1:0"))
    }

    fn of(command: &mut Command) -> Self {
        command.env("AEMP_SECRET", "swordfish").stdout(Stdio::piped());
        let mut process = command.spawn().expect("the listener starts");
        let mut said = BufReader::new(process.stdout.take().expect("its output")).lines();
        let line = said.next().expect("a line").expect("text");
        let address = line.strip_prefix("listening on ").expect("it listens").to_owned();
        Listener { process, address, said }
    }

    fn next_line(&mut self) -> String {
        self.said.next().expect("a line").expect("text")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.process.kill().expect("it is ours to end");
        self.process.wait().expect("it was running");
    }
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; these tests need python3"))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn the_talk_shows_both_framings_and_what_a_wrong_secret_does() {
    let output = output(&mut Command::new(example("talk")));
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}{}", text(&output.stderr));
    // What differs from run to run is shortened.
    let digits = |word: &str| word.len() >= 32 && word.bytes().all(|octet| octet.is_ascii_hexdigit());
    let shorten = |line: &str| {
        let mut words: Vec<String> = line.split(';').map(str::to_owned).collect();
        for word in &mut words {
            let bare = word.trim_end_matches("\\n").trim_start_matches(['>', '<', ' ']);
            if digits(bare) {
                *word = word.replace(bare, &format!("({} digits)", bare.len()));
            } else if word.starts_with("peeraddr=127.0.0.1:") {
                *word = word.replace(|octet: char| octet.is_ascii_digit(), "").replace("...:", "127.0.0.1:PORT");
            }
        }
        words.join(";")
    };
    let shown: Vec<_> = shown.lines().map(shorten).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_clients_error_names_the_cause() {
    let listener = Listener::start();
    let run = |address: &str, secret: &str, framing: &str| {
        text(&output(Command::new(example("client")).args([address, framing]).env("AEMP_SECRET", secret)).stderr)
    };
    insta::assert_snapshot!(run(&listener.address, "wrong", "cbor"), @"client: connection lost: it ended before the peer's authentication line, after ours: the secret is wrong, or the peer does not want this node");
    insta::assert_snapshot!(run(&listener.address, "", "json"), @"client: a secret must not be empty [AUTH-20]");
    insta::assert_snapshot!(run(&listener.address, "pass☺word", "json"), @"client: a secret is one octet for each character: it cannot have characters above U+00FF [AUTH-23]");
}

#[test]
fn the_measurement_of_scaling_writes_a_table_and_a_picture_or_says_what_it_wants() {
    let picture = std::env::temp_dir().join(format!("aemp-scaling-{}.svg", std::process::id()));
    let run = output(Command::new(example("scaling")).args(["--csv", "10:1", "10:3", "--svg"]).arg(&picture));
    assert!(run.status.success(), "{}", text(&run.stderr));
    let svg = std::fs::read_to_string(&picture).expect("the picture");
    std::fs::remove_file(&picture).expect("it is ours");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(text(&run.stdout).lines().count(), 3);
    let wrong = output(Command::new(example("scaling")).arg("10:9"));
    assert_eq!(wrong.status.code(), Some(2));
    insta::assert_snapshot!(text(&wrong.stderr), @r#"
    error: "10:9" is no size: it is NODES:GLOBALS, with at least one global, four other nodes, and 65,536 nodes at most
    usage: scaling [--csv] [--svg FILE] [NODES:GLOBALS…]
    "#);
}

#[test]
fn the_python_script_of_the_specification_talks_to_the_listener() {
    let mut listener = Listener::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/minimal.py");
    let (host, port) = listener.address.rsplit_once(':').expect("an address");
    let run = |secret: &str| {
        output(Command::new("python3").arg(&script).args([host, port, "echo", "hello ☺", "42"]).env("AEMP_SECRET", secret))
    };
    let right = run("swordfish");
    assert_eq!(text(&right.stdout), "[\"hello \\u263a\", \"42\"]\n", "{}", text(&right.stderr));
    let wrong = run("sword fish");
    assert_eq!(text(&wrong.stderr), "it refused us, or does not know the secret\n");
    assert_eq!(listener.next_line(), "closed by the peer");
    assert!(listener.next_line().contains("[AUTH-16]"));
}

#[test]
fn the_script_in_the_specification_is_the_one_that_is_tested() {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec");
    let read = |name: &str| std::fs::read_to_string(spec.join(name)).expect("a part of the specification");
    assert!(read("13-minimal.md").contains(&format!("```python\n{}```", read("minimal.py"))));
    let lines = read("minimal.py").lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines < 30, "{lines} lines are not about twenty");
}

#[test]
fn two_whole_nodes_talk_as_processes() {
    let listener = Listener::of(Command::new(example("node")).args(["echo", "127.0.0.1:0"]).stderr(Stdio::null()));
    let greet = |secret: &str, address: &str| {
        output(Command::new(example("node")).args(["greet", address]).env("AEMP_SECRET", secret))
    };
    let greeted = greet("swordfish", &listener.address);
    assert_eq!(text(&greeted.stdout), "hello\n", "{}", text(&greeted.stderr));
    let refused = greet("sword fish", &listener.address);
    assert_eq!(text(&refused.stdout), "");
    assert!(text(&refused.stderr).contains("no echo"), "{}", text(&refused.stderr));
}

#[test]
fn an_hour_under_a_virtual_clock_is_the_same_each_time() {
    let run = || text(&output(&mut Command::new(example("clock"))).stdout);
    let shown = run();
    assert_eq!(shown.matches("tick").count(), 6, "{shown}");
    assert_eq!(shown, run());
}
