//! `aemp bench`, run as a person runs it. Nothing here depends on how fast the machine is.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aemp"));
    command.arg("bench").args(arguments).env_remove("AEMP_SECRET");
    command
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// What a run that goes well prints.
fn printed(arguments: &[&str]) -> String {
    let got = output(&mut bench(arguments));
    assert_eq!((text(&got.stderr), got.status.code()), (String::new(), Some(0)), "{arguments:?}");
    text(&got.stdout)
}

const NAMES: [&str; 5] =
    ["one-way", "one-way, plain sockets", "round trips", "round trips, blocking sockets", "round trips, tokio sockets"];

/// The table with each number as a sign of its own.
fn shape(table: &str) -> String {
    let mut shape = String::new();
    for line in table.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let is_number = |word: &&str| word.chars().all(|c| matches!(c, '0'..='9' | ',' | '.'));
        let numbers = words.iter().rev().take_while(|word| is_number(word)).count();
        let mut words: Vec<_> = words[..words.len() - numbers].into();
        words.extend(vec!["#"; numbers]);
        shape += &words.join(" ");
        shape.push('\n');
    }
    shape
}

#[test]
fn two_processes_talk_beside_plain_sockets_and_a_table_says_how_fast() {
    let table = printed(&["--floor", "--seconds", "0.1"]);
    let (first, rest) = table.split_once('\n').expect("lines");
    assert!(first.starts_with("json, 16 octets of payload, connections: 1, two processes, "), "{first}");
    insta::assert_snapshot!("table", shape(rest));
}

#[test]
fn without_the_floor_the_table_has_nothing_to_compare_with() {
    let table = printed(&["--local", "--seconds", "0.1"]);
    let (first, rest) = table.split_once('\n').expect("lines");
    assert!(first.contains(", one process, "), "{first}");
    insta::assert_snapshot!("table_without_floor", shape(rest));
}

#[test]
fn the_object_has_the_same_figures_in_both_arrangements_and_framings() {
    for (framing, more, processes) in [("json", &["--local"][..], 1), ("cbor", &["--local"], 1), ("cbor", &[], 2)] {
        let arguments =
            ["--floor", "--json", "--seconds", "0.1", "--size", "300", "--connections", "2", "--framing", framing];
        let report: Value = serde_json::from_str(&printed(&[&arguments, more].concat())).expect("json");
        assert_eq!((&report["framing"], &report["size"]), (&framing.into(), &300.into()));
        assert_eq!((&report["connections"], &report["processes"]), (&2.into(), &processes.into()));
        let results = report["results"].as_array().expect("an array");
        assert!(results.iter().map(|result| &result["name"]).eq(NAMES), "{report}");
        for result in results {
            let number = |name: &str| result[name].as_f64().unwrap_or_else(|| panic!("{name} in {result}"));
            let (messages, seconds, rate) = (number("messages"), number("seconds"), number("messages_per_second"));
            assert!(messages >= 2.0 && seconds >= 0.1, "{result}");
            assert!((messages / seconds - rate).abs() <= rate * 1e-6, "{result}");
            assert!((number("nanoseconds_per_message") * rate - 1e9).abs() < 1e3, "{result}");
            assert!((number("megabytes_per_second") - rate * 300.0 / 1e6).abs() <= rate * 1e-6, "{result}");
            assert!(number("of_floor") > 0.0, "{result}");
            let latencies = &result["latency_microseconds"];
            if result["name"].as_str().is_some_and(|name| name.starts_with("one-way")) {
                assert_eq!(latencies, &Value::Null);
            } else {
                let times = ["p50", "p90", "p99", "p99.9", "max"].map(|share| latencies[share].as_f64().expect("a time"));
                assert!(times.is_sorted() && times[0] > 0.0, "{latencies}");
            }
        }
        assert_eq!((&results[1]["of_floor"], &results[3]["of_floor"]), (&1.0.into(), &1.0.into()));
    }
}

#[test]
fn messages_of_no_octets_and_of_more_than_a_batch_arrive_too() {
    for size in ["0", "300000"] {
        let report = printed(&["--floor", "--json", "--seconds", "0.05", "--size", size]);
        assert!(report.contains("\"one-way\""), "{report}");
    }
}

#[test]
fn the_receiving_process_ends_when_the_sending_one_is_gone() {
    let mut command = bench(&["receive"]);
    command.env("AEMP_SECRET", "swordfish").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut receiver = command.spawn().expect("the program starts");
    let mut said = BufReader::new(receiver.stdout.take().expect("its output"));
    let mut ready = String::new();
    said.read_line(&mut ready).expect("text");
    assert_eq!(ready.matches(" 127.0.0.1:").count(), 2, "{ready}");
    drop(receiver.stdin.take());
    // Nothing more is said, and the end of what is said is the end of the process.
    said.read_to_string(&mut ready).expect("text");
    assert!(receiver.wait().expect("it is ours").success());
}

#[test]
fn what_cannot_be_measured_is_an_error_of_one_line() {
    let mut report = String::new();
    let one_line = |arguments: &[&str]| {
        let got = output(&mut bench(arguments));
        assert_eq!(text(&got.stderr).lines().count(), 1, "{arguments:?}: {}", text(&got.stderr));
        got
    };
    // The rest of it is what `taskset` says.
    let cores = one_line(&["--cores", "nowhere"]);
    assert!(text(&cores.stderr).starts_with("aemp: --cores"), "{}", text(&cores.stderr));
    for arguments in [&["--seconds", "0"][..], &["--seconds", "NaN"], &["receive"]] {
        let got = one_line(arguments);
        report += &format!("{}: {} {}", arguments.join(" "), got.status.code().expect("an exit code"), text(&got.stderr));
    }
    insta::assert_snapshot!(report);
}

#[test]
fn help_says_what_each_figure_is() {
    insta::assert_snapshot!("help_bench", text(&output(&mut bench(&["--help"])).stdout));
}
