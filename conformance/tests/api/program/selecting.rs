//! Which cases run, and how.

use aemp_conformance::report::Results;

use super::running::{CASE, Place, Said};

fn names(said: &Said) -> Vec<String> {
    said.out.lines().filter(|line| !line.starts_with(' ')).map(|line| line.split(' ').next().unwrap_or("").into()).collect()
}

#[test]
fn patterns_pick_and_leave_out_and_a_list_runs_nothing() {
    let place = Place::new("patterns");
    let all = names(&place.run(&["node", "--list"]));
    let picked = names(&place.run(&["node", "--list", "--run", "greeting/*", "--skip", "opener"]));
    assert!(picked.len() > 10 && picked.len() < all.len(), "{picked:#?}");
    assert!(picked.iter().all(|name| name.starts_with("greeting/") && !name.contains("opener")), "{picked:#?}");
    let part = names(&place.run(&["node", "--list", "--run", "parts", "--run", "greeting/nonc*"]));
    assert!(
        part.contains(&CASE.to_owned())
            && part.iter().all(|name| name.contains("parts") || name.starts_with("greeting/nonc"))
    );
    // A framing stands behind the names of cases that run in each.
    let cbor = names(&place.run(&["node", "--list", "--run", "*[cbor]"]));
    assert!(cbor.contains(&"ports/bare".to_owned()), "{cbor:#?}");
    assert!(!cbor.contains(&CASE.to_owned()));
    let said = place.right(&["--verbose", "--run", "greeting/*", "--skip", "*o*", "--skip", "greeting/e"]);
    let passed = said.cases("pass");
    assert!(said.code == Some(0) && passed.contains(&CASE), "{said}");
    assert!(passed.iter().all(|name| name.starts_with("greeting/") && !name.contains('o')), "{said}");
}

#[test]
fn the_exit_code_says_whether_something_failed() {
    let place = Place::new("codes");
    insta::assert_snapshot!("right-node", place.right(&["--run", CASE, "--verbose"]));
    assert_eq!(place.right(&["--run", CASE]).code, Some(0));
    assert_eq!(place.wrong(&["--run", CASE]).code, Some(1));
    // It does not have what the case needs: nothing was tested.
    insta::assert_snapshot!("nothing-tested", place.right(&["--run", "ports/bare", "--run", "data/mirror"]));
}

#[test]
fn a_codec_that_is_wrong_is_not_asked_any_further_with_first() {
    // It answers the first request wrongly, and waits forever with the second answer.
    let place = Place::new("first-of-vectors");
    let codec = "head -n 1 > asked; echo '{\"id\":1,\"lines\":[\"none\"]}'; exec sleep 100";
    let said = place.run(&["vectors", "--first", "--json", "r.json", "--run", "lines", "--", "sh", "-c", codec]);
    assert_eq!(said.code, Some(1), "{said}");
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    assert_eq!(results.outcomes.len(), 1, "{said}");
    assert!(place.has("asked"));
}

#[test]
fn the_first_failure_is_the_last_case_that_runs() {
    let place = Place::new("first");
    let said =
        place.wrong(&["--first", "--verbose", "--json", "r.json", "--run", "greeting/parts", "--run", "greeting/nonce"]);
    assert_eq!(said.code, Some(1), "{said}");
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    assert_eq!(results.outcomes.len(), 1, "{said}");
    let all = place.right(&["--first", "--json", "r.json", "--run", "greeting/parts", "--run", "greeting/nonce"]);
    let results: Results = serde_json::from_str(&place.read("r.json")).expect("results");
    assert!(all.code == Some(0) && results.outcomes.len() > 1, "{all}");
}

#[test]
fn a_seed_draws_the_order_and_a_repetition_runs_everything_again() {
    let place = Place::new("order");
    let order = |options: &[&str]| {
        let said = place.right(&[&["--verbose", "--jobs", "1", "--run", "greeting/", "--skip", "*o*"], options].concat());
        assert_eq!(said.code, Some(0), "{said}");
        said.cases("pass").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let (plain, drawn) = (order(&[]), order(&["--seed", "1"]));
    assert!(plain.len() > 4 && plain != drawn && drawn == order(&["--seed", "1"]), "{plain:?} {drawn:?}");
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(plain.clone()), sorted(drawn));
    assert_eq!(order(&["--repeat", "2"]), [plain.clone(), plain].concat());
}

#[test]
fn a_case_that_does_not_come_to_the_same_each_time_is_told() {
    let place = Place::new("unsteady");
    // Right the first time, and wrong from then on; counted in a file, as each node is another process.
    let script = r#"n=$(cat n 2>/dev/null || echo 0); while read -r l; do n=$((n+1)); echo $n >n
        if [ $n -le 2 ]; then echo "{\"id\":$n,\"text\":\"\"}"; else echo "{\"id\":$n,\"text\":\"x\"}"; fi; done"#;
    let said = place.run(&["vectors", "--repeat", "2", "--run", "escapes/escape-empty", "--", "sh", "-c", script]);
    assert!(said.code == Some(1) && said.err.contains("escapes/escape-empty: not the same verdict each time"), "{said}");
}

#[test]
fn patience_is_how_long_is_waited_for_what_does_not_come() {
    let place = Place::new("patience");
    let deaf = r#"read -r l; python3 -c 'import json,socket,sys
s = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"ready": True, "level": "simple", "features": ["listen"], "listen": ["127.0.0.1:%d" % s.getsockname()[1]]}), flush=True)
sys.stdin.read()'"#;
    let options =
        ["node", "--starting", "300", "--patience", "0.2", "--run", "greeting/speaks-first", "--", "sh", "-c", deaf];
    let said = place.run(&options);
    assert!(said.code == Some(1) && said.out.contains("nothing came within 200ms"), "{said}");
}
