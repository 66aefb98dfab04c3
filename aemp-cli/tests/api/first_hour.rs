//! What people do with the program in their first hour, and what it says when they mistype.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Running, aemp, free_address, output, seed, text};

#[test]
fn a_client_waits_for_a_seed_that_is_about_to_start() {
    for _ in 0..30 {
        let address = free_address();
        let mut seed = aemp(&["run", "--node-id", "seed", "--listen", &address, "--service", "echo"]);
        let seed = Running::start(&mut seed);
        let got = output(&mut aemp(&["cal", "--seed", &address, "seed#echo", "hello", r#"{"a":1}"#]));
        assert_eq!(
            (text(&got.stdout), got.status.code()),
            ("[\"hello\",{\"a\":1}]\n".into(), Some(0)),
            "{}",
            text(&got.stderr)
        );
        drop(seed);
    }
}

#[test]
fn a_seed_that_starts_late_is_found_still() {
    let address = free_address();
    let mut call = aemp(&["cal", "--wait", "1min", "--seed", &address, "seed#echo", "hello"]);
    let mut call = Running::start(&mut call);
    // The client has certainly tried before: it has said so.
    let early = output(&mut aemp(&["cal", "--wait", "0", "--seed", &address, "seed#echo", "hello"]));
    assert_eq!(early.status.code(), Some(3), "{}", text(&early.stderr));
    let (_seed, _) = seed(&address, &[]);
    assert_eq!(call.line(), "[\"hello\"]");
    assert_eq!(call.ends(), Some(0));
}

#[test]
fn the_seed_may_come_from_the_environment() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let list = format!("127.0.0.1:1,{address}");
    for seeds in [&address, &list] {
        let got = output(aemp(&["cal", "seed#echo", "hello"]).env("AEMP_SEED", seeds));
        assert_eq!(text(&got.stdout), "[\"hello\"]\n", "{}", text(&got.stderr));
    }
    let neither = output(aemp(&["cal", "seed#echo", "hello"]).env_remove("AEMP_SEED"));
    assert_eq!(neither.status.code(), Some(2));
    assert!(text(&neither.stderr).contains("--seed"), "{}", text(&neither.stderr));
}

#[test]
fn values_are_texts_json_input_and_files() {
    let (_seed, address) = seed("127.0.0.1:0", &["--service", "database"]);
    let folder = std::env::temp_dir().join(format!("aemp-values-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str, octets: &[u8]| {
        std::fs::write(folder.join(name), octets).expect("it is written");
        format!("@{}", folder.join(name).display())
    };
    let (note, data, object) =
        (file("note", b"from a file\n"), file("data", b"\xff\x00"), file("object", b"{\"a\": [1]}\n"));
    let echoes = |arguments: &[&str], input: &str| {
        let mut command = aemp(&[&["cal", "--framing", "cbor", "--seed", &address], arguments].concat());
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        process.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        let got = process.wait_with_output().expect("it ends");
        assert_eq!(got.status.code(), Some(0), "{arguments:?}: {}", text(&got.stderr));
        text(&got.stdout)
    };
    for (arguments, answer) in [
        (&["seed#echo", "5", "-5", "true"][..], r#"["5","-5","true"]"#),
        (&["--json", "seed#echo", "5", "-5", "true", "null", "1.5", "\"x\""], r#"[5,-5,true,null,1.5,"x"]"#),
        (&["seed#echo", "-"], r#"["typed"]"#),
        (&["-j", "seed#echo", "--", "-2", "3"], r#"[-2,3]"#),
        (&["seed#echo", &note, &object], r#"["from a file",{"a":[1]}]"#),
        (&["seed#echo", &data], "[\"\u{ff}\\u0000\"]"),
    ] {
        assert_eq!(echoes(arguments, "typed\n"), format!("{answer}\n"));
    }
    assert_eq!(echoes(&["-j", "seed#echo", "-"], "{\"typed\": 1}"), "[{\"typed\":1}]\n");
    for (value, set) in [(&["5"][..], "\"5\""), (&["--json", "5"], "5"), (&["-j", "-5"], "-5"), (&["-5"], "\"-5\"")] {
        let set_it = [&["db", "--seed", &address, "set", "--node", "seed", "family", "key"], value].concat();
        let got = output(&mut aemp(&set_it));
        assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
        let got = output(&mut aemp(&["db", "--seed", &address, "get", "family", "key"]));
        assert_eq!(text(&got.stdout), format!("{set}\n"));
    }
    std::fs::remove_dir_all(&folder).expect("it was ours");
}

#[test]
fn what_people_mistype_is_told_in_their_own_words() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let mut report = String::new();
    let mut run = |command: &mut Command| {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let got = output(command);
        let line = arguments.join(" ").replace(&address, "SEED");
        let said = text(&got.stdout) + &text(&got.stderr).replace(&address, "SEED");
        report += &format!("$ aemp {line}\n{}[{}]\n\n", said, got.status.code().expect("an exit code"));
    };
    let to = |verb: &'static str, more: &[&str]| aemp(&[&[verb, "--seed", &address], more].concat());
    run(&mut aemp(&["nods", "--seed", &address]));
    run(&mut aemp(&["cal", "--seed", &address, "--timout", "5", "seed#echo"]));
    run(&mut to("call", &["--timeout", "5s", "seed#echo", "hi"]));
    run(&mut to("call", &["--timeout", "200ms", "seed#log", "hi"]));
    run(&mut to("call", &["--timeout", "soon", "seed#echo", "hi"]));
    run(&mut to("cal", &["seed#echo", "{a:1}"]));
    run(&mut to("cal", &["--json", "seed#echo", "hello"]));
    run(&mut to("cal", &["seed#echo", "@/no/such/file"]));
    run(&mut to("cal", &["seed", "hi"]));
    run(&mut to("cal", &["seed"]));
    run(&mut to("cal", &["seed", "eval", "1"]));
    run(&mut to("cal", &["seed#nope", "hi"]));
    run(&mut to("cal", &["--timeout", "1min", "nobody#echo", "hi"]));
    run(&mut to("snd", &["seed#echo", "hi"]));
    run(&mut to("snd", &["seed#nope", "hi"]));
    run(&mut to("snd", &["seed", "hi"]));
    run(&mut to("mon", &["seed#nope"]));
    run(&mut to("mon", &["nobody"]));
    run(&mut aemp(&["cal", "--seed", ":4040", "seed#echo", "hi"]));
    run(&mut aemp(&["cal", "--wait", "0", "--seed", "127.0.0.1:1", "seed#echo", "hi"]));
    insta::assert_snapshot!(report);
}

#[test]
fn without_a_host_a_node_listens_everywhere() {
    let mut node = Running::start(&mut aemp(&["run", "--node-id", "everywhere", "--listen", ":0"]));
    let ready = node.line();
    assert!(ready.starts_with("ready everywhere ") && ready.contains(':'), "{ready}");
}
