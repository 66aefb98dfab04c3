//! `protocol.schema.json` fits the lines that really pass. Needs `jsonschema` for Python, which `.ci/run` installs;
//! elsewhere nothing is tested without.

use std::io::Write as _;
use std::process::{Command, Stdio};

use aemp_conformance::subject::{Limits, Start};
use aemp_conformance::{codec, vectors};
use serde_json::{Value as Json, json};

/// Reads lines, each the name of a definition and what it describes, and writes what does not fit; with `!` in front, what
/// does.
const SCRIPT: &str = r##"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validators = {}
for name in schema["$defs"]:
    validators[name] = jsonschema.Draft202012Validator({"$ref": "#/$defs/" + name, "$defs": schema["$defs"]})
for line in sys.stdin:
    name, text = line.split(" ", 1)
    fits = validators[name.lstrip("!")].is_valid(json.loads(text))
    if fits == name.startswith("!"):
        print(line[:500].rstrip())
print("done")
"##;

fn misfits(lines: &[(String, Json)]) -> Option<String> {
    let found = Command::new("python3").args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("nothing was tested: there is no python3 with jsonschema");
        return None;
    }
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/protocol.schema.json");
    let mut python = Command::new("python3")
        .args(["-c", SCRIPT, schema])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let input: String = lines.iter().map(|(name, line)| format!("{name} {line}\n")).collect();
    let mut stdin = python.stdin.take().expect("a pipe");
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = python.wait_with_output().expect("python3");
    writing.join().expect("a thread").expect("all lines are read");
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn all_requests_and_answers_fit_the_schema() {
    // Of a large line, there is nothing more to say than of a small one.
    let requests: Vec<String> =
        vectors::asking::lines(&vectors::all(1)).into_iter().filter(|line| line.len() < 3000).collect();
    let mut answers = Vec::new();
    codec::serve(requests.concat().as_bytes(), &mut answers, None).expect("answers");
    let answers = String::from_utf8(answers).expect("text");
    let mut lines = Vec::new();
    for (request, answer) in requests.iter().zip(answers.lines()) {
        let request: Json = serde_json::from_str(request).expect("a request");
        let name = request["operation"].as_str().expect("an operation").replace('_', "-");
        lines.push((format!("request-{name}"), request));
        lines.push((format!("answer-{name}"), serde_json::from_str(answer).expect("an answer")));
    }
    assert!(lines.len() > 10_000, "{}", lines.len());
    if let Some(misfits) = misfits(&lines) {
        assert_eq!(misfits, "done\n");
    }
}

#[test]
fn start_and_ready_lines_fit_the_schema_and_others_do_not() {
    let start = |start: &Start| ("start".to_owned(), serde_json::to_value(start).expect("a line"));
    let limited = Start { limits: Limits { octets: Some(1 << 20), ..Limits::default() }, ..Start::default() };
    let named = |name: &str, line: Json| (name.to_owned(), line);
    let lines = [
        start(&Start::default()),
        start(&limited),
        named("ready", json!({"ready": true, "listen": ["127.0.0.1:4040"], "level": "node", "features": ["cbor"]})),
        named("ready", json!({"ready": false, "error": "no port is free"})),
        named("!ready", json!({"ready": true, "level": "all"})),
        named("!start", json!({"node": "subject"})),
        named("!request-unescape", json!({"id": 1, "operation": "unescape"})),
        named("!request", json!({"id": 1, "operation": "sing"})),
        named("!answer-lines", json!({"id": 1, "lines": ["abc"], "rest": ""})),
        named("!answer-packets", json!({"id": 1, "error": "JSON-4: no"})),
        named("!value", json!(1)),
        named("!value", json!({"integer": 1})),
    ];
    if let Some(misfits) = misfits(&lines) {
        assert_eq!(misfits, "done\n");
    }
}
