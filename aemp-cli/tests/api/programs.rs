//! The program `aemp`, run as a person runs it.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Running, SECRET, aemp, output, seed, text};

#[test]
fn a_call_is_answered_in_json_and_in_cbor() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    for framing in ["json", "cbor", "cbor,json"] {
        let call = [
            "cal",
            "--framing",
            framing,
            "--seed",
            &address,
            "seed#echo",
            "hello ☺",
            r#"{"a":[1,2.5,null]}"#,
            "42",
            "\"x\"",
        ];
        let got = output(&mut aemp(&call));
        assert_eq!(text(&got.stdout), "[\"hello ☺\",{\"a\":[1,2.5,null]},\"42\",\"x\"]\n", "{}", text(&got.stderr));
        assert_eq!(got.status.code(), Some(0));
    }
}

#[test]
fn a_call_is_answered_in_storable_where_that_is_all_there_is() {
    let (_seed, address) = seed("127.0.0.1:0", &["--framing", "cbor,json,storable"]);
    let call = ["cal", "--framing", "storable", "--seed", &address, "seed#echo", "hello ☺", r#"{"a":[1,true,null]}"#, "42"];
    let got = output(&mut aemp(&call));
    assert_eq!(text(&got.stdout), "[\"hello ☺\",{\"a\":[1,true,null]},\"42\"]\n", "{}", text(&got.stderr));
    assert_eq!(got.status.code(), Some(0));
}

#[test]
fn a_message_has_arrived_when_snd_ends() {
    let (mut seed, address) = seed("127.0.0.1:0", &[]);
    let got = output(&mut aemp(&["snd", "--seed", &address, "seed#log", "tag", "[1]"]));
    assert_eq!((text(&got.stderr), got.status.code()), (String::new(), Some(0)));
    assert_eq!(seed.line(), r#"["tag",[1]]"#);
}

#[test]
fn mon_tells_of_a_port_that_ends_and_of_a_node_that_is_killed() {
    let (seed, address) = seed("127.0.0.1:0", &[]);
    let never = output(&mut aemp(&["mon", "--seed", &address, "seed#never"]));
    assert_eq!(text(&never.stdout), "[\"no_such_port\",\"cannot monitor nonexistent port\",\"seed#never\"]\n");
    assert_eq!((text(&never.stderr), never.status.code()), ("aemp: there is no port seed#never\n".into(), Some(1)));
    let mut watching = Running::start(aemp(&["mon", "--seed", &address, "seed#echo"]).stderr(Stdio::piped()));
    assert_eq!(watching.error_line(), "watching seed#echo\n");
    seed.signal("KILL");
    assert!(watching.line().starts_with(r#"["transport_error","seed","#));
    assert_eq!(watching.ends(), Some(0));
}

#[test]
fn a_node_that_comes_back_at_its_address_is_found_again() {
    let (first, address) = seed("127.0.0.1:0", &[]);
    let mut other = Running::start(&mut aemp(&["run", "--node-id", "other", "--seed", &address]));
    assert_eq!(other.line(), "ready other ");
    first.signal("KILL");
    drop(first);
    let (_again, again) = seed(&address, &[]);
    assert_eq!(again, address);
    let call = ["cal", "--seed", &address, "seed#echo", "back"];
    assert_eq!(text(&output(&mut aemp(&call)).stdout), "[\"back\"]\n");
}

#[test]
fn errors_are_one_line_that_names_the_cause_and_have_their_exit_codes() {
    let (_seed, address) = seed("127.0.0.1:0", &["--framing", "json"]);
    let web = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let web_address = web.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = web.accept() {
            if stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let call = |seed: &str, port: &str, more: &[&str]| aemp(&[&["cal", "--seed", seed], more, &[port, "x"]].concat());
    let mut report = String::new();
    let mut run = |what: &str, command: &mut Command| {
        let got = output(command);
        let error = text(&got.stderr).replace(&address, "SEED").replace(&web_address, "WEB");
        report += &format!("{what}: {} {}", got.status.code().expect("an exit code"), error);
    };
    run("the wrong secret", call(&address, "seed#echo", &[]).env("AEMP_SECRET", "wrong"));
    run("nothing listens there", &mut call("127.0.0.1:1", "seed#echo", &[]));
    run("not an AEMP node", &mut call(&web_address, "seed#echo", &[]));
    run("no common framing", &mut call(&address, "seed#echo", &["--framing", "cbor"]));
    run("the same node ID", &mut call(&address, "seed#echo", &["--node-id", "seed"]));
    run("no such port", &mut call(&address, "seed#none", &[]));
    run("no such node", &mut call(&address, "none#echo", &[]));
    run("no answer", &mut call(&address, "seed#log", &["--timeout", "0.2"]));
    run("no secret", call(&address, "seed#echo", &[]).env_remove("AEMP_SECRET"));
    run("no port ID", &mut call(&address, "a;b#c", &[]));
    run("no JSON", &mut aemp(&["cal", "--seed", &address, "seed#echo", "[1"]));
    run("no such framing", &mut call(&address, "seed#echo", &["--framing", "xml"]));
    run("an address in use", &mut aemp(&["run", "--listen", &address]));
    insta::assert_snapshot!(report);
}

#[test]
fn run_ends_in_order_when_it_is_told_to() {
    for signal in ["INT", "TERM"] {
        let (mut seed, _) = seed("127.0.0.1:0", &[]);
        seed.signal(signal);
        assert_eq!(seed.ends(), Some(0), "SIG{signal}");
    }
}

#[test]
fn the_demo_shows_what_there_is() {
    let got = output(&mut aemp(&["demo"]));
    assert!(got.status.success(), "{}", text(&got.stderr));
    insta::with_settings!({filters => vec![
        // When these come is up to the other side.
        (r#"(?m)^.*"g_(slave|global|upd|find|found|mon1|chg1|chg2)".*\n"#, ""),
        // So is whether the end of a call's monitor goes before what comes next.
        (r#"(?m)^.*"mon0".*\n"#, ""),
        (r"127\.0\.0\.1:\d+", "ADDRESS"),
        (r"(?m)  [0-9a-f]{16}…", "  NONCE…"),
        (r";[0-9a-f]{8}…", ";TOKEN…"),
        (r#"(worker|client)#\w+"#, "$1#NAME"),
        (r#"\["[A-Za-z0-9]{9,}""#, r#"["NAME""#),
        (r#"("mon1"|"kil0"|"AnyEvent::MP::_spawn"),"\w{9,}""#, r#"$1,"NAME""#),
    ]}, {
        insta::assert_snapshot!(text(&got.stdout));
    });
}

#[test]
fn help_teaches() {
    insta::assert_snapshot!("help", text(&output(&mut aemp(&["--help"])).stdout));
    insta::assert_snapshot!("help_run", text(&output(&mut aemp(&["run", "--help"])).stdout));
    insta::assert_snapshot!("help_cal", text(&output(&mut aemp(&["cal", "--help"])).stdout));
}

#[test]
fn the_python_script_of_the_specification_is_a_node_like_any_other() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let (host, port) = address.rsplit_once(':').expect("an address");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/minimal.py");
    let got = output(Command::new("python3").args([script, host, port, "echo", "hello", "42"]).env("AEMP_SECRET", SECRET));
    assert_eq!(text(&got.stdout), "[\"hello\", \"42\"]\n", "{}", text(&got.stderr));
}

#[test]
fn three_lines_that_are_sent_without_waiting_are_enough_where_cleartext_is_accepted() {
    let (_seed, address) = seed("127.0.0.1:0", &["--accept", "hmac_sha3_512,cleartext"]);
    let (host, port) = address.rsplit_once(':').expect("an address");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/cleartext.py");
    let got = output(Command::new("python3").args([script, host, port, "echo", "hello"]).env("AEMP_SECRET", SECRET));
    assert_eq!(text(&got.stdout), "[\"me\",\"hello\"]\n", "{}", text(&got.stderr));
}

#[test]
fn a_reader_that_leaves_is_an_error_and_no_panic() {
    let mut demo = aemp(&["demo"]);
    let mut process = demo.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(process.stdout.take());
    let got = process.wait_with_output().expect("it ends");
    assert_eq!((text(&got.stderr), got.status.code()), ("aemp: cannot print: Broken pipe (os error 32)\n".into(), Some(1)));
}
