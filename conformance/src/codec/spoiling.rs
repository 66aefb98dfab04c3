//! What the faults do to requests, and to right answers.

use serde_json::{Value as Json, json};

use super::answers::answer;
use crate::hex::hex;
use crate::vectors::notation::unhex;

pub(super) fn without(request: &Json, field: &str) -> Json {
    let mut request = request.clone();
    if let Some(object) = request.as_object_mut() {
        object.remove(field);
    }
    request
}

pub(super) fn octets(digits: &Json) -> Vec<u8> {
    digits.as_str().map(unhex).and_then(Result::ok).unwrap_or_default()
}

pub(super) fn cr_in_line(request: &Json) -> Json {
    let mut answer = answer(request);
    let stream = octets(&request["stream"]);
    let mut at = 0;
    for line in answer["lines"].as_array_mut().into_iter().flatten() {
        let mut octets = octets(line);
        at += octets.len();
        if stream.get(at) == Some(&b'\r') {
            octets.push(b'\r');
            at += 1;
        }
        at += 1;
        *line = hex(&octets).into();
    }
    answer
}

pub(super) fn long_lines(request: &Json) -> Json {
    let answered = answer(request);
    if !answered["error"].as_str().is_some_and(|error| error.starts_with("CONN-6")) {
        return answered;
    }
    json!({"lines": answered["lines"], "rest": request["stream"]})
}

pub(super) fn drops_unknown_names(mut answer: Json) -> Json {
    let known = ["tls_sha3_512", "hmac_sha3_512", "hmac_sha2_256", "tls_anon", "cleartext", "json", "cbor", "storable"];
    for list in ["methods", "framings"] {
        if let Some(names) = answer[list].as_array_mut() {
            names.retain(|name| name.as_str().is_some_and(|name| known.contains(&name)));
        }
    }
    answer
}

/// The same request, with one of its texts in hexadecimal as `change` makes it.
pub(super) fn changed(request: &Json, field: &str, change: impl Fn(String) -> String) -> Json {
    let mut request = request.clone();
    if let Ok(text) = String::from_utf8(octets(&request[field])) {
        request[field] = hex(change(text).as_bytes()).into();
    }
    request
}

pub(super) fn any_version(request: &Json) -> Json {
    changed(request, "line", |line| {
        let mut parts: Vec<_> = line.split(';').collect();
        if let Some(version) = parts.get_mut(1) {
            *version = "1";
        }
        parts.join(";")
    })
}

pub(super) fn replaced_text(mut answer: Json, from: &str, to: &str) -> Json {
    if let Some(text) = answer["text"].as_str() {
        answer["text"] = text.replace(from, to).into();
    }
    answer
}

/// The first lines of both sides in lowercase.
pub(super) fn in_lowercase(request: &Json) -> Json {
    let mut request = request.clone();
    for side in ["own", "other"] {
        request[side][0] = hex(&octets(&request[side][0]).to_ascii_lowercase()).into();
    }
    request
}

pub(super) fn with_other_nonce(request: &Json) -> Json {
    let mut request = request.clone();
    request["other"][1] = hex(b"another nonce").into();
    request
}

pub(super) fn with_framing(request: &Json) -> Json {
    changed(request, "line", |line| if line.matches(';').count() == 1 { line + ";json" } else { line })
}

pub(super) fn swapped(request: &Json) -> Json {
    let mut request = request.clone();
    let own = request["own"].take();
    request["own"] = std::mem::replace(&mut request["other"], own);
    request
}

pub(super) fn token_in_lowercase(request: &Json) -> Json {
    changed(request, "line", |line| {
        let mut parts: Vec<_> = line.split(';').map(str::to_owned).collect();
        if let Some(token) = parts.get_mut(1) {
            *token = token.to_lowercase();
        }
        parts.join(";")
    })
}

pub(super) fn short_tokens(request: &Json) -> Json {
    let answered = answer(request);
    let wrong = answered["error"].as_str().is_some_and(|error| error.starts_with("AUTH-16"));
    let line = String::from_utf8(octets(&request["line"])).unwrap_or_default();
    let mut parts = line.split(';');
    let (method, token) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if !wrong || token.is_empty() {
        return answered;
    }
    let right = answer(&json!({
        "operation": "token", "method": method, "secret": request["secret"], "own": request["other"], "other": request["own"],
    }));
    let right = right["token"].as_str().unwrap_or_default();
    if right.starts_with(token) || token.starts_with(right) { json!({"right": true}) } else { answered }
}

pub(super) fn own_order(request: &Json) -> Json {
    let mut request = request.clone();
    for (offered, own) in [("methods", "sends_methods"), ("framings", "sends_framings")] {
        let offers = request[offered].clone();
        let mut ordered = request[own].clone();
        if let (Some(names), Some(offers)) = (ordered.as_array_mut(), offers.as_array()) {
            names.retain(|name| offers.contains(name));
        }
        request[offered] = ordered;
    }
    request
}

pub(super) fn storable_first(request: &Json) -> Json {
    let mut answer = answer(request);
    let has = |field: &str| request[field].as_array().is_some_and(|names| names.contains(&"storable".into()));
    if has("framings") && has("sends_framings") {
        answer["framing"] = "storable".into();
    }
    answer
}

/// The same request, each of its pieces as `change` makes it.
pub(super) fn pieces(request: &Json, change: impl Fn(usize, &str) -> String) -> Json {
    let mut request = request.clone();
    for (number, piece) in request["pieces"].as_array_mut().into_iter().flatten().enumerate() {
        *piece = change(number, piece.as_str().unwrap_or_default()).into();
    }
    request
}

/// The same request, all in one piece, as `change` makes it.
pub(super) fn whole(request: &Json, change: impl Fn(&[u8]) -> Vec<u8>) -> Json {
    let mut request = request.clone();
    let all: Vec<u8> = request["pieces"].as_array().into_iter().flatten().flat_map(octets).collect();
    request["pieces"] = json!([hex(&change(&all))]);
    request
}

pub(super) fn pieces_alone(request: &Json) -> Json {
    let mut all = json!({"packets": [], "incomplete": false});
    for piece in request["pieces"].as_array().into_iter().flatten() {
        let mut alone = request.clone();
        alone["pieces"] = json!([piece]);
        let mut answered = answer(&alone);
        if let (Some(packets), Some(more)) = (all["packets"].as_array_mut(), answered["packets"].as_array_mut()) {
            packets.append(more);
        }
        if !answered["count"].is_null() {
            all["count"] = (all["count"].as_u64().unwrap_or(0) + answered["count"].as_u64().unwrap_or(0)).into();
        }
        all["incomplete"] = answered["incomplete"].clone();
        if let Some(error) = answered.get("error") {
            all["error"] = error.clone();
            break;
        }
    }
    all
}

pub(super) fn drops_good_packets(mut answer: Json) -> Json {
    if !answer["error"].is_null() {
        answer["packets"] = json!([]);
    }
    answer
}

pub(super) fn skips_malformed(answer: Json) -> Json {
    if answer["error"].is_null() {
        return answer;
    }
    let mut answer = without(&answer, "error");
    if let Some(packets) = answer["packets"].as_array_mut() {
        packets.push(json!([]));
    }
    answer["incomplete"] = false.into();
    answer
}

pub(super) fn delivers_partial(mut answer: Json) -> Json {
    if answer["incomplete"] == true {
        if let Some(packets) = answer["packets"].as_array_mut() {
            packets.push(json!([]));
        }
        answer["incomplete"] = false.into();
    }
    answer
}

/// The same, each value in it as `change` makes it.
pub(super) fn each_value(from: &Json, change: &impl Fn(&Json) -> Option<Json>) -> Json {
    // These fields are no values.
    const PLAIN: [&str; 3] = ["incomplete", "count", "error"];
    if let Some(changed) = change(from) {
        return changed;
    }
    match from {
        Json::Array(elements) => elements.iter().map(|element| each_value(element, change)).collect(),
        Json::Object(object) => {
            let members = object.iter().map(|(key, member)| {
                let kept = PLAIN.contains(&key.as_str());
                (key.clone(), if kept { member.clone() } else { each_value(member, change) })
            });
            members.collect()
        }
        other => other.clone(),
    }
}

pub(super) fn rounded(answer: &Json) -> Json {
    each_value(answer, &|value| {
        let float = value["integer"].as_str()?.parse::<f64>().ok()?;
        Some(json!({"integer": format!("{float:.0}")}))
    })
}

pub(super) fn without_lone_surrogates(octets: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(octets) else { return octets.to_vec() };
    let mut parts = text.split("\\u").map(str::to_owned).collect::<Vec<_>>();
    let half = |part: &str, first: char| {
        let mut digits = part.chars();
        digits.next().is_some_and(|digit| digit.eq_ignore_ascii_case(&'d'))
            && digits.next().is_some_and(|digit| match first {
                'h' => "89abAB".contains(digit),
                _ => "cdefCDEF".contains(digit),
            })
    };
    for at in 1..parts.len() {
        let paired = half(&parts[at], 'h') && parts[at].len() == 4 && parts.get(at + 1).is_some_and(|next| half(next, 'l'));
        let second = at > 1 && half(&parts[at], 'l') && half(&parts[at - 1], 'h') && parts[at - 1].len() == 4;
        if !paired
            && !second
            && (half(&parts[at], 'h') || half(&parts[at], 'l'))
            && parts[at].is_char_boundary(4)
            && parts[at].len() >= 4
        {
            parts[at].replace_range(..4, "fffd");
        }
    }
    parts.join("\\u").into_bytes()
}

/// A map as JSON, read by a reader that is told of each key as it comes.
pub(super) fn first_of_doubled_key(request: &Json) -> Json {
    let mut answered = answer(request);
    let all: Vec<u8> = request["pieces"].as_array().into_iter().flatten().flat_map(octets).collect();
    // The values of the vectors that have equal keys are integers: the first one stands behind the first `"a":`.
    let text = String::from_utf8_lossy(&all).into_owned();
    if text.matches("\"a\":").count() < 2 || !answered["error"].is_null() {
        return answered;
    }
    let first = text.split("\"a\":").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    if let Some(value) = answered.pointer_mut("/packets/0/0/map/a") {
        *value = json!({"integer": first});
    }
    answered
}

pub(super) fn refuses_doubled_key(request: &Json) -> Json {
    let mut answered = answer(request);
    let all: Vec<u8> = request["pieces"].as_array().into_iter().flatten().flat_map(octets).collect();
    if String::from_utf8_lossy(&all).matches("\"a\":").count() > 1 && answered["error"].is_null() {
        answered["packets"] = json!([]);
        answered["error"] = "a key twice".into();
    }
    answered
}

/// The same request, with a limit beyond those of the vectors.
pub(super) fn limited(request: &Json, limit: &str, value: u64) -> Json {
    let mut request = request.clone();
    request["limits"][limit] = value.into();
    request
}

pub(super) fn bytes_as_utf8(value: &Json) -> Option<Json> {
    let octets = unhex(value["bytes"].as_str()?).ok()?;
    Some(String::from_utf8_lossy(&octets).into())
}

pub(super) fn definite_only(request: &Json) -> Json {
    let first = octets(&request["pieces"][0]);
    match first.first() {
        Some(0x9f) => json!({"packets": [], "error": "a length that is not known"}),
        _ => answer(request),
    }
}

pub(super) fn network_order_only(request: &Json) -> Json {
    let all: Vec<u8> = request["pieces"].as_array().into_iter().flatten().flat_map(octets).collect();
    match all.get(1) {
        Some(4) => json!({"packets": [], "error": "STORABLE-4: native order"}),
        _ => answer(request),
    }
}

pub(super) fn lenient_number(request: &Json) -> Json {
    let mut request = request.clone();
    if let Some(text) = request["value"].as_str() {
        let number: String =
            text.trim().chars().take_while(|char| char.is_ascii_digit() || "+-.eE".contains(*char)).collect();
        if !number.is_empty() {
            request["value"] = number.into();
        }
    }
    request
}

pub(super) fn null_is_anything(request: &Json) -> Json {
    match request["wanted"].as_str() {
        Some("text") => json!({"value": ""}),
        Some("bytes") => json!({"value": {"bytes": ""}}),
        Some("float" | "f64") => json!({"value": {"float": "0.0"}}),
        Some("bool") => json!({"value": false}),
        _ => json!({"value": {"integer": "0"}}),
    }
}

pub(super) fn octets_replaced(mut answer: Json, from: &[u8], to: &[u8]) -> Json {
    let old = octets(&answer["octets"]);
    let mut new = Vec::new();
    let mut at = 0;
    while at < old.len() {
        if old[at..].starts_with(from) {
            new.extend_from_slice(to);
            at += from.len();
        } else {
            new.push(old[at]);
            at += 1;
        }
    }
    answer["octets"] = hex(&new).into();
    answer
}

/// Floats of 32 bits that stand in the packet itself, in 64.
pub(super) fn long_floats(mut answer: Json) -> Json {
    let old = octets(&answer["octets"]);
    let mut new = old.get(..1).unwrap_or_default().to_vec();
    let mut at = 1;
    while let Some(octet) = old.get(at) {
        match (octet, old.get(at + 1..at + 5)) {
            (0xfa, Some(bits)) => {
                let float = f32::from_be_bytes([bits[0], bits[1], bits[2], bits[3]]);
                new.push(0xfb);
                new.extend(f64::from(float).to_be_bytes());
                at += 5;
            }
            (0xfb, _) => {
                new.extend_from_slice(&old[at..(at + 9).min(old.len())]);
                at += 9;
            }
            // Not a packet of floats alone.
            _ => return answer,
        }
    }
    answer["octets"] = hex(&new).into();
    answer
}

pub(super) fn writes_tags(mut answer: Json) -> Json {
    // Tag 21, on the first element.
    if let Some(digits) = answer["octets"].as_str().filter(|digits| digits.len() > 2 && digits.starts_with('8')) {
        answer["octets"] = format!("{}d5{}", &digits[..2], &digits[2..]).into();
    }
    answer
}

pub(super) fn whole_float_as_integer(value: &Json) -> Option<Json> {
    let float = value["float"].as_str()?.parse::<f64>().ok()?;
    (float.fract() == 0.0 && float.abs() < 1e15)
        .then(|| json!({"integer": format!("{:.0}", float.abs() * float.signum() + 0.0)}))
}

pub(super) fn bools_as_names(answer: Json) -> Json {
    if answer["dropped"] == true { json!({"port": "1"}) } else { answer }
}

pub(super) fn last_hash(request: &Json) -> Json {
    let text = request["port_id"].as_str().unwrap_or_default();
    match text.rsplit_once('#') {
        Some((node, port)) if !node.is_empty() => json!({"node": node, "port": port}),
        _ => answer(request),
    }
}

pub(super) fn one_requirement(mut answer: Json) -> Json {
    if !answer["error"].is_null() {
        answer["error"] = "CONN-1: something is wrong".into();
    }
    answer
}
