//! The framing storable: what is written, what a recording has, and Perl's own Storable as a peer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::values::any_message;
use crate::support::vectors::{Exactly, doubled, hex, recordings};
use aemp_proto::Requirement;
use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::value::Value;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Serialize;

fn written<T: Serialize>(message: &T) -> Vec<u8> {
    let mut octets = Vec::new();
    Framing::Storable.encode(message, &Limits::default(), &mut octets).expect("an array");
    octets
}

fn digits(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn packet(octets: &[u8]) -> Packet<'_> {
    Packet::parse(Framing::Storable, octets, &Limits::default()).expect("a packet")
}

#[test]
fn values_are_written_as_the_specification_says() {
    // STORABLE-1, STORABLE-12, STORABLE-13, STORABLE-14
    let class = digits(b"JSON::PP::Boolean");
    let map = |key: &str, value: u64| Value::Map([(key.to_owned(), value.into())].into());
    let cases = [
        (written(&(1, -128, 127, 128, -129)), "05 0881 0800 08ff 0900000080 09ffffff7f".to_owned()),
        (written(&(i32::MAX, i32::MIN)), "02 097fffffff 0980000000".into()),
        (
            written(&(1u64 << 31, i64::MIN)),
            format!("02 170a{} 1714{}", digits(b"2147483648"), digits(b"-9223372036854775808")),
        ),
        (written(&(2.0, 0.5, -0.0)), format!("03 0882 1703{} 1704{}", digits(b"0.5"), digits(b"-0.0"))),
        (written(&(f64::NAN, f64::NEG_INFINITY)), format!("02 1703{} 1704{}", digits(b"NaN"), digits(b"-Inf"))),
        (written(&("", "☺", Value::Bytes(vec![0xE4]))), "03 1700 1703e298ba 0a01e4".into()),
        (written(&("", None::<bool>)), "02 1700 05".into()),
        (written(&(true, false, true)), format!("03 14 1111{class} 0881 14 1200 0880 14 1200 0881")),
        (written(&("p", map("k", 1))), "02 170170 04 1900 00000001 0881 00 00000001 6b".into()),
        (written(&("p", map("☺", 1))), "02 170170 04 1900 00000001 0881 01 00000003 e298ba".into()),
        (written(&(Vec::<u8>::new(), map("k", 1))), "02 0402 00000000 041900 00000001 0881 00 00000001 6b".into()),
    ];
    for (octets, right) in cases {
        let right = hex(&format!("050b02000000{right}").replace(' ', ""));
        assert_eq!(digits(&octets), digits(&[&[right.len() as u8][..], &right].concat()));
    }
}

#[test]
fn lengths_are_written_with_as_few_octets_as_possible() {
    // STORABLE-1, STORABLE-2
    for (length, octets) in [(127, "7f"), (128, "8100"), (16383, "ff7f"), (16384, "818000")] {
        // The header, the array and the head of the bytes.
        let text = "a".repeat(length - if length < 256 { 9 } else { 12 });
        assert!(written(&(&text,)).starts_with(&hex(octets)), "{length}");
        assert_eq!(packet(&written(&(&text,))).decode::<(String,)>(), Ok((text,)));
    }
}

#[test]
fn maps_within_maps_get_their_keys_behind_their_values() {
    let json = r#"["p",{"a":{"b":{"c":[{"d":1}],"e":2}},"f":{},"☺":[[],{"g":null}]}]"#;
    let source = Packet::parse(Framing::Json, json.as_bytes(), &Limits::default()).expect("a packet");
    let mut octets = Vec::new();
    source.relay(Framing::Storable, &Limits::default(), &mut octets).expect("small");
    let mut back = Vec::new();
    packet(&octets).relay(Framing::Json, &Limits::default(), &mut back).expect("small");
    assert_eq!(String::from_utf8(back).expect("text"), json);
    assert_eq!(digits(&written(&source.decode::<Value>().expect("a value"))).len(), digits(&octets).len());
}

#[test]
fn elements_can_be_taken_one_by_one_where_objects_come_again() {
    // [["x"], the same, {"a": the same, "b": 2}, 7]: STORABLE-7
    let image = "050b020000000404020000000 10a01780400000000020403000000020400000000020000000161088200000001620887";
    let image = hex(&image.replace(' ', ""));
    let octets = [&[image.len() as u8][..], &image].concat();
    let mut elements = packet(&octets).elements();
    assert_eq!(elements.name(), None);
    assert_eq!(elements.next_as::<u64>().map(|got| got.is_err()), Some(true));
    assert_eq!(elements.next_as::<Vec<String>>(), Some(Ok(vec!["x".into()])));
    let map = Value::Map([("a".into(), vec![Value::Bytes(b"x".into())].into()), ("b".into(), 2u64.into())].into());
    assert_eq!(elements.clone().rest::<(Value, u64)>(), Ok((map, 7)));
    assert!(elements.next_as::<serde::de::IgnoredAny>().is_some_and(|got| got.is_ok()));
    assert_eq!(elements.next_as::<u64>(), Some(Ok(7)));
    assert!(elements.is_empty() && elements.next_as::<u64>().is_none());
}

#[test]
fn the_recorded_values_are_those_that_the_reference_sent() {
    let (_, recording) = recordings().into_iter().find(|(name, _)| name == "c_storable").expect("the recording");
    let sent = recording.connections[0].sent("acceptor");
    let at = sent.windows(4).position(|octets| octets == b"echo").expect("the message of many kinds");
    // The length of two octets, the header, and the port name stand in front.
    let begin = sent[..at].windows(3).rposition(|octets| octets == [0x7D, 5, 11]).expect("its header") - 1;
    let message = packet(&sent[begin..begin + 2 + 0x1FD]);
    assert_eq!(
        format!("{message:?}").replace(&"a".repeat(300), "…"),
        concat!(
            r#"["yVN2mWqtGb","echo","str",1,-1,23,24,255,256,65536,"4294967296","1.5","-0.1","1e+100",null,"","42",[],{},"#,
            r#"[1,[2,[3]]],{"☺":null,"k":"v"},"äö","☺😀","…",true,"seed#yUNvWaof5b"]"#
        )
    );
}

/// Perl with the modules that the script needs; `None`, and a word about it, where there is none.
fn perl() -> Option<(Command, PathBuf)> {
    let needed = ["-MStorable", "-MJSON::PP", "-e", "1"];
    if !Command::new("perl").args(needed).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("left out: there is no perl with Storable and JSON::PP here");
        return None;
    }
    Some((Command::new("perl"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api/support/storable.pl")))
}

/// Runs the script; what it prints.
fn run(mode: &str, input: Vec<u8>) -> Option<String> {
    let (mut command, script) = perl()?;
    let mut process =
        command.arg(script).arg(mode).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("perl starts");
    let mut stdin = process.stdin.take().expect("its input");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = process.wait_with_output().expect("it ends");
    writer.join().expect("it ends").expect("all was read");
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// A value as the script shows it: what Perl cannot tell apart looks the same.
fn show(value: &Value) -> String {
    let text = |text: &str| format!("s{}", digits(text.as_bytes()));
    match value {
        Value::Null => "u".into(),
        Value::Bool(value) => if *value { "t" } else { "f" }.into(),
        Value::Integer(integer) => text(&integer.to_string()),
        Value::Float(float) if float.is_infinite() => text(if *float > 0.0 { "Inf" } else { "-Inf" }),
        Value::Float(float) => text(&float.to_string()),
        Value::Text(value) => text(value),
        Value::Bytes(bytes) => text(&bytes.iter().map(|&octet| char::from(octet)).collect::<String>()),
        Value::Array(elements) => format!("[{}]", elements.iter().map(show).collect::<Vec<_>>().join(",")),
        Value::Map(members) => {
            let mut shown: Vec<_> = members.iter().map(|(key, member)| (digits(key.as_bytes()), show(member))).collect();
            shown.sort();
            let shown: Vec<_> = shown.into_iter().map(|(key, member)| format!("{key}:{member}")).collect();
            format!("{{{}}}", shown.join(","))
        }
    }
}

#[test]
fn images_of_perl_are_read_as_perl_reads_them_or_refused() {
    // STORABLE-3, STORABLE-5 to STORABLE-11, STORABLE-17, LIMIT-6
    let Some(images) = run("images", Vec::new()) else { return };
    let (mut read, mut refused) = (0, 0);
    for line in images.lines() {
        let [name, octets, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let octets = hex(octets);
        let parsed = Packet::parse(Framing::Storable, &octets, &Limits::default());
        if let Some(requirement) = expected.strip_prefix("refused ") {
            let error = parsed.expect_err(name);
            assert_eq!(error.requirement().map(Requirement::id), Some(requirement), "{name}: {error}");
            refused += 1;
            continue;
        }
        let value: Value = parsed.unwrap_or_else(|error| panic!("{name}: {error}")).decode().expect("any value");
        assert_eq!(show(&value), expected, "{name}");
        // And what we make of it, too.
        let again: Value = packet(&written(&value)).decode().expect("any value");
        if name.ends_with("(network)") {
            assert_eq!(Exactly(again), Exactly(value), "{name}");
        }
        read += 1;
    }
    println!("{read} images read, {refused} refused");
    assert!(read >= 40 && refused >= 40, "{read} read, {refused} refused");
}

#[test]
fn perl_thaws_what_is_written() {
    // STORABLE-1, STORABLE-13, STORABLE-14
    let mut runner = TestRunner::deterministic();
    let mut messages: Vec<Value> =
        (0..400).map(|_| any_message().new_tree(&mut runner).expect("a value").current()).collect();
    messages.push(vec![Value::from("x".repeat(300)), "☺".repeat(20_000).into()].into());
    messages.push((0..3000u64).map(Value::from).collect::<Vec<_>>().into());
    let written: Vec<_> = messages.iter().map(written).collect();
    let input: String = written.iter().map(|octets| digits(octets) + "\n").collect();
    let Some(output) = run("thaw", input.into_bytes()) else { return };
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines.len(), messages.len());
    for (octets, line) in written.iter().zip(lines) {
        let value: Value = packet(octets).decode().expect("any value");
        assert_eq!(show(&value), line, "{}", digits(octets));
    }
}

#[test]
fn what_comes_another_time_counts_and_has_a_limit_relative_to_what_came() {
    // STORABLE-11, STORABLE-18, STORABLE-19
    let parse = |levels| {
        let octets = doubled(levels);
        let parsed = Packet::parse(Framing::Storable, &octets, &Limits::default());
        parsed.map(|packet| packet.weight()).map_err(|error| error.requirement().map(Requirement::id))
    };
    assert_eq!(parse(0), Ok(doubled(0).len()));
    // Each level holds what is below it twice.
    assert_eq!(parse(1), Ok(doubled(1).len() + 6));
    assert_eq!(parse(2), Ok(doubled(2).len() + 6 + 23));
    assert!(parse(7).is_ok_and(|weight| weight > 1000), "up to 4096 octets are taken for any packet");
    assert_eq!(parse(9), Err(Some("STORABLE-19")));
    assert_eq!(parse(20), Err(Some("STORABLE-19")));
    // Sixteen times the octets, and one more.
    let text = vec![b'x'; 1000];
    let copies = |times: u8, more: usize| {
        let mut image = b"\x05\x0B\x02\0\0\0".to_vec();
        image.push(1 + times);
        image.extend_from_slice(b"\x01\0\0\x03\xE8");
        image.extend_from_slice(&text);
        (0..times).for_each(|_| image.extend_from_slice(b"\0\0\0\0\x01"));
        // A text that is not copied makes room for copies.
        image[6] += 1;
        image.push(1);
        image.extend_from_slice(&(more as u32).to_be_bytes());
        image.extend_from_slice(&vec![b'y'; more]);
        [&[0x80 | (image.len() >> 7) as u8, (image.len() & 0x7F) as u8][..], &image].concat()
    };
    // 20 copies of 1005 octets: 20,100 of them, for which a packet needs at least 1257 octets.
    let least = 20_100usize.div_ceil(16);
    let without = copies(20, 0).len();
    let at = |length: usize| Packet::parse(Framing::Storable, &copies(20, length - without), &Limits::default()).map(|_| ());
    assert_eq!(at(least), Ok(()), "STORABLE-18");
    assert!(at(least - 1).is_err_and(|error| error.to_string().contains("STORABLE-19")));
}
