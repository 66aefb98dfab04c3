//! Choosing a method and a framing from what the other side offers.

use serde_json::json;

use super::case::{Case, Question, Right, Verdict};
use crate::subject::Level;

struct Choice {
    id: &'static str,
    about: &'static str,
    requirements: &'static [&'static str],
    methods: &'static [&'static str],
    framings: &'static [&'static str],
    sends_methods: &'static [&'static str],
    sends_framings: &'static [&'static str],
    tls: bool,
    /// The method and the framing, or the requirements that may be reported.
    right: Result<(&'static str, &'static str), &'static [&'static str]>,
}

const HMAC: &[&str] = &["hmac_sha3_512", "hmac_sha2_256"];
const ALL: &[&str] = &["tls_sha3_512", "hmac_sha3_512", "hmac_sha2_256"];

const CHOICES: &[Choice] = &[
    Choice {
        id: "their-first-method",
        about: "the first method in the list of the other side, not in one's own",
        requirements: &["AUTH-6"],
        methods: &["hmac_sha2_256", "hmac_sha3_512"],
        framings: &["json"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Ok(("hmac_sha2_256", "json")),
    },
    Choice {
        id: "their-first-framing",
        about: "the first framing in the list of the other side, not in one's own",
        requirements: &["AUTH-7"],
        methods: HMAC,
        framings: &["json", "cbor"],
        sends_methods: HMAC,
        sends_framings: &["cbor", "json"],
        tls: false,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "unknown-names",
        about: "names that nobody knows are passed over",
        requirements: &["GREET-12", "AUTH-6", "AUTH-7"],
        methods: &["hmac_sha9", "hmac_md6_64_64", "hmac_sha3_512"],
        framings: &["msgpack", "json"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "names-alike",
        about: "a name is another one in uppercase, or with more behind it",
        requirements: &["GREET-12"],
        methods: &["HMAC_SHA3_512", "hmac_sha3_512x", "hmac_sha3_512"],
        framings: &["JSON", "json2", "json"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "tls-method-without-tls",
        about: "a method that requires TLS is passed over without it",
        requirements: &["AUTH-25", "AUTH-6"],
        methods: ALL,
        framings: &["json"],
        sends_methods: ALL,
        sends_framings: &["json"],
        tls: false,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "tls-method-with-tls",
        about: "and taken with it",
        requirements: &["AUTH-6"],
        methods: ALL,
        framings: &["json"],
        sends_methods: ALL,
        sends_framings: &["json"],
        tls: true,
        right: Ok(("tls_sha3_512", "json")),
    },
    Choice {
        id: "secret-with-tls",
        about: "inside TLS a method with a secret is as good, if the other side wants it first",
        requirements: &["AUTH-6"],
        methods: &["hmac_sha3_512", "tls_sha3_512"],
        framings: &["json"],
        sends_methods: ALL,
        sends_framings: &["json"],
        tls: true,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "cleartext-not-asked-for",
        about: "cleartext is not sent where the operator did not allow it, even if it comes first",
        requirements: &["AUTH-22"],
        methods: &["cleartext", "hmac_sha3_512"],
        framings: &["json"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "no-method",
        about: "no method in common",
        requirements: &["AUTH-8"],
        methods: &["cleartext", "hmac_sha9"],
        framings: &["json"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Err(&["AUTH-8"]),
    },
    Choice {
        id: "no-method-at-all",
        about: "an empty list of methods",
        requirements: &["AUTH-8"],
        methods: &[],
        framings: &["json"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Err(&["AUTH-8"]),
    },
    Choice {
        id: "no-method-without-tls",
        about: "only methods in common that require TLS, without it",
        requirements: &["AUTH-8", "AUTH-25"],
        methods: &["tls_sha3_512", "tls_anon"],
        framings: &["json"],
        sends_methods: ALL,
        sends_framings: &["json"],
        tls: false,
        right: Err(&["AUTH-8", "AUTH-25"]),
    },
    Choice {
        id: "no-framing",
        about: "no framing in common",
        requirements: &["AUTH-9"],
        methods: HMAC,
        framings: &["cbor", "storable"],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Err(&["AUTH-9"]),
    },
    Choice {
        id: "no-framing-at-all",
        about: "an empty list of framings",
        requirements: &["AUTH-9"],
        methods: HMAC,
        framings: &[],
        sends_methods: HMAC,
        sends_framings: &["json"],
        tls: false,
        right: Err(&["AUTH-9"]),
    },
    Choice {
        id: "storable-last",
        about: "storable is named only when there is no other framing, also where the other side lists it first",
        requirements: &["STORABLE-15"],
        methods: HMAC,
        framings: &["storable", "json"],
        sends_methods: HMAC,
        sends_framings: &["json", "storable"],
        tls: false,
        right: Ok(("hmac_sha3_512", "json")),
    },
    Choice {
        id: "storable-alone",
        about: "and then it is named",
        requirements: &["STORABLE-15"],
        methods: HMAC,
        framings: &["storable"],
        sends_methods: HMAC,
        sends_framings: &["json", "storable"],
        tls: false,
        right: Ok(("hmac_sha3_512", "storable")),
    },
];

/// All of them.
pub(super) fn all() -> Vec<Case> {
    CHOICES.iter().map(case).collect()
}

fn case(choice: &Choice) -> Case {
    let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
    let mut case = Case {
        name: format!("choose/{}", choice.id),
        about: choice.about.into(),
        framing: None,
        requirements: owned(choice.requirements),
        level: Level::Simple,
        needs: Vec::new(),
        verdict: if choice.right.is_ok() { Verdict::Valid } else { Verdict::Invalid },
        errors: choice.right.err().map(owned).unwrap_or_default(),
        order_is_free: false,
        questions: Vec::new(),
    };
    if choice.sends_framings.contains(&"storable") {
        case.needs.push(crate::subject::Feature::Storable);
    }
    let request = json!({
        "operation": "choose", "methods": choice.methods, "framings": choice.framings,
        "sends_methods": choice.sends_methods, "sends_framings": choice.sends_framings, "tls": choice.tls,
    });
    let (method, framing) = choice.right.unwrap_or_default();
    let right = Right::Fields(json!({"method": method, "framing": framing}), &[]);
    case.questions.push(Question::new(request, right));
    case
}
