//! The cases of `spec/vectors`.

use aemp_proto::framing::{Framing, Limits};
use aemp_proto::value::Value;
use serde_json::{Value as Json, json};

use super::case::{Case, Packets, Question, Right, Verdict};
use super::notation::{is_short_form, octets, same, value};
use crate::hex::hex;
use crate::requirement;
use crate::subject::{Feature, Level};

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../spec/vectors/", $name, ".json")))),*]
    };
}

/// The files, by their names without `.json`.
pub(super) const FILES: &[(&str, &str)] = files!(
    "lines" "greeting-lines" "escapes" "nonces" "auth-lines" "tokens" "json-streams" "cbor-streams" "storable-streams" "values"
    "messages" "node" "global"
);

/// Makes the cases of one vector: what they have in common is begun.
type Ask = fn(&mut Case, &Json, &mut Cuts) -> Result<Vec<Case>, String>;

/// How a file is asked for. `node` and `global` are about what a node does over time, not about one input: live nodes show
/// that.
fn asks(file: &str) -> Option<Ask> {
    Some(match file {
        "lines" => lines,
        "greeting-lines" => greeting_line,
        "escapes" => escape,
        "nonces" => nonces,
        "auth-lines" => authentication_line,
        "tokens" => token,
        "json-streams" => json_stream,
        "cbor-streams" => cbor_stream,
        "storable-streams" => storable_stream,
        "values" => values,
        "messages" => messages,
        _ => return None,
    })
}

/// All of them.
pub(super) fn all(seed: u64) -> Vec<Case> {
    let asked = FILES.iter().filter_map(|(name, text)| Some((name, text, asks(name)?)));
    asked.flat_map(|(name, text, ask)| file(name, text, ask, &mut Cuts(seed))).collect()
}

fn file(name: &str, text: &str, ask: Ask, cuts: &mut Cuts) -> Vec<Case> {
    let file: Json = serde_json::from_str(text).expect("a file of vectors is JSON");
    let cases = file["cases"].as_array().expect("a file of vectors has cases");
    let made = cases.iter().flat_map(|case| {
        let made = begin(name, case).and_then(|mut begun| ask(&mut begun, case, cuts));
        made.unwrap_or_else(|what| panic!("{name}.json, {}: {what}", case["id"]))
    });
    made.collect()
}

/// What all cases have.
fn begin(file: &str, case: &Json) -> Result<Case, String> {
    let verdict = match case["verdict"].as_str() {
        Some("valid") => Verdict::Valid,
        Some("invalid") => Verdict::Invalid,
        Some("either") => Verdict::Either,
        _ => return Err("no verdict".into()),
    };
    let error = case["error"].as_str().map(str::to_owned);
    Ok(Case {
        name: format!("{file}/{}", text(case, "id")?),
        about: text(case, "about")?,
        framing: None,
        requirements: texts(&case["requirements"]),
        level: if verdict == Verdict::Valid { Level::Simple } else { Level::Transport },
        needs: Vec::new(),
        verdict,
        errors: error.into_iter().chain(texts(&case["also"])).collect(),
        order_is_free: false,
        questions: Vec::new(),
    })
}

fn text(case: &Json, field: &str) -> Result<String, String> {
    case[field].as_str().map(str::to_owned).ok_or_else(|| format!("no text {field:?}"))
}

fn texts(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// Octets in one of their notations, in hexadecimal.
fn hexadecimal(notation: &Json) -> Result<String, String> {
    octets(notation).map(|octets| hex(&octets))
}

fn hexadecimals(list: &Json) -> Result<Vec<String>, String> {
    list.as_array().into_iter().flatten().map(hexadecimal).collect()
}

/// The fields of a case that an answer repeats.
fn fields(case: &Json, names: &[&str]) -> Json {
    let present = names.iter().filter_map(|name| Some(((*name).to_owned(), case.get(*name)?.clone())));
    Json::Object(present.collect())
}

fn one(case: &Case, questions: Vec<Question>) -> Vec<Case> {
    vec![Case { questions, ..case.clone() }]
}

fn exactly(case: &Case, request: Json, right: Json) -> Vec<Case> {
    one(case, vec![Question::new(request, Right::Fields(right, &[]))])
}

fn lines(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    let mut request = json!({"operation": "lines", "stream": hexadecimal(&from["stream"])?});
    if let Some(take) = from.get("take") {
        request["take"] = take.clone();
    }
    let mut right = json!({"lines": hexadecimals(&from["lines"])?});
    if let Some(rest) = from.get("rest") {
        right["rest"] = hexadecimal(rest)?.into();
    }
    Ok(one(case, vec![Question::new(request, Right::Fields(right, &["lines"]))]))
}

fn greeting_line(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    case.order_is_free = true;
    let request = json!({"operation": "greeting", "line": hexadecimal(&from["line"])?});
    Ok(exactly(case, request, fields(from, &["node", "methods", "framings", "keys"])))
}

fn escape(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    let (encoded, decoded) = (text(from, "encoded")?, text(from, "decoded")?);
    let reads = json!({"operation": "unescape", "text": encoded});
    let mut questions = vec![Question::new(reads, Right::Fields(json!({"text": decoded}), &[]))];
    questions[0].breaks = Some("GREET-15");
    if from["canonical"] == true {
        let writes = json!({"operation": "escape", "text": decoded});
        let right = Right::Fields(json!({"text": encoded}), &[]);
        questions.push(Question { request: writes, right, breaks: Some("GREET-14") });
    }
    Ok(one(case, questions))
}

fn nonces(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    case.order_is_free = true;
    let (own, other) = (hexadecimals(&from["own"])?, hexadecimals(&from["other"])?);
    let request = json!({"operation": "decide", "own": own, "other": other});
    Ok(exactly(case, request, json!({"goes_on": true})))
}

fn authentication_line(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    let request = json!({"operation": "authentication", "line": hexadecimal(&from["line"])?});
    Ok(exactly(case, request, fields(from, &["method", "token", "framing", "keys"])))
}

fn token(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    case.order_is_free = true;
    case.needs = match from["method"].as_str() {
        Some("hmac_sha3_512") => vec![Feature::HmacSha3_512],
        Some("hmac_sha2_256") => vec![Feature::HmacSha2_256],
        Some("cleartext") => vec![Feature::Cleartext],
        Some("tls_sha3_512" | "tls_anon") => vec![Feature::Tls],
        _ => Vec::new(),
    };
    let sender = [hexadecimal(&from["L1"])?, hexadecimal(&from["L2"])?];
    let receiver = [hexadecimal(&from["R1"])?, hexadecimal(&from["R2"])?];
    let (secret, tls) = (&from["secret_hex"], &from["tls"]);
    let verify = json!({
        "operation": "verify", "line": hexadecimal(&from["line"])?, "own": receiver, "other": sender, "secret": secret, "tls": tls,
    });
    let verify = Question::new(verify, Right::Fields(json!({"right": true}), &[]));
    if case.verdict != Verdict::Valid {
        return Ok(one(case, vec![verify]));
    }
    let token = json!({
        "operation": "token", "method": from["method"], "secret": secret, "own": sender, "other": receiver,
    });
    let token = Question::new(token, Right::Fields(fields(from, &["token"]), &[]));
    // Who only connects need not verify.
    let verified = Case { level: Level::Transport, name: format!("{}-verify", case.name), ..case.clone() };
    Ok([one(case, vec![token]), one(&verified, vec![verify])].concat())
}

/// Makes up where streams are cut, always the same for the same seed (SplitMix64).
pub(super) struct Cuts(u64);

impl Cuts {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % bound.max(1) as u64).unwrap_or(0)
    }

    /// The octets in up to five pieces, some of which may be empty.
    fn pieces(&mut self, octets: &[u8]) -> Vec<String> {
        let count = 1 + self.below(4);
        let mut cuts: Vec<_> = (0..count).map(|_| self.below(octets.len() + 1)).collect();
        cuts.push(octets.len());
        cuts.sort_unstable();
        let mut start = 0;
        let pieces = cuts.into_iter().map(|cut| hex(&octets[std::mem::replace(&mut start, cut)..cut]));
        pieces.collect()
    }
}

/// A stream of more octets is not given one by one.
const MANY_OCTETS: usize = 4096;

fn json_stream(case: &mut Case, from: &Json, cuts: &mut Cuts) -> Result<Vec<Case>, String> {
    stream(Framing::Json, case, from, cuts)
}

fn cbor_stream(case: &mut Case, from: &Json, cuts: &mut Cuts) -> Result<Vec<Case>, String> {
    stream(Framing::Cbor, case, from, cuts)
}

fn storable_stream(case: &mut Case, from: &Json, cuts: &mut Cuts) -> Result<Vec<Case>, String> {
    stream(Framing::Storable, case, from, cuts)
}

fn stream(framing: Framing, case: &mut Case, from: &Json, cuts: &mut Cuts) -> Result<Vec<Case>, String> {
    belongs_to(framing, case);
    let octets = octets(&from["stream"])?;
    let notations = from["packets"].as_array().ok_or("no packets")?;
    let packets = Packets {
        packets: notations.iter().map(value).collect::<Result<_, _>>()?,
        optional: from["optional"].as_array().into_iter().flatten().filter_map(place).collect(),
        incomplete: from["incomplete"] == true,
        early: from["early"] == true,
        count: is_short_form(&from["packets"]),
    };
    let mut request = json!({"operation": "packets", "framing": framing.name()});
    if let Some(limits) = from.get("limits") {
        request["limits"] = limits.clone();
        case.needs.push(Feature::Limits);
        case.level = Level::Transport;
    }
    if packets.count {
        request["only"] = "count".into();
    }
    let slowly = octets.chunks(if octets.len() > MANY_OCTETS { octets.len() / 7 + 1 } else { 1 }).map(hex).collect();
    let splits = [vec![hex(&octets)], slowly, cuts.pieces(&octets), cuts.pieces(&octets)];
    let questions = splits.into_iter().enumerate().map(|(number, pieces)| {
        let mut request = request.clone();
        request["pieces"] = pieces.into();
        // Whoever reads the whole stream right, and not in pieces, lets it matter how octets arrive.
        Question { request, right: Right::Packets(packets.clone()), breaks: (number > 0).then_some("FRAME-6") }
    });
    Ok(one(case, questions.collect()))
}

/// See [`streams`](super::streams).
pub(super) fn streams(framing: Framing) -> Vec<super::Stream> {
    let file = format!("{framing}-streams");
    let text = FILES.iter().find(|(name, _)| *name == file).map_or("{}", |(_, text)| text);
    let file: Json = serde_json::from_str(text).expect("a file of vectors is JSON");
    let left_out = |case: &Json| {
        let odd = ["limits", "big", "early"].iter().any(|field| case.get(field).is_some());
        odd || case["verdict"] == "either" || case["incomplete"] == true
    };
    let cases = file["cases"].as_array().into_iter().flatten().filter(|case| !left_out(case));
    let streams = cases.map(|case| super::Stream {
        name: text_of(case, "id"),
        about: text_of(case, "about"),
        octets: octets(&case["stream"]).expect("octets"),
        breaks: case["error"].as_str().and_then(requirement::find).map(|requirement| requirement.id.as_str()),
    });
    streams.collect()
}

fn text_of(case: &Json, field: &str) -> String {
    text(case, field).unwrap_or_default()
}

fn place(place: &Json) -> Option<usize> {
    place.as_u64()?.try_into().ok()
}

/// The level and the features of what has a framing.
pub(super) fn belongs_to(framing: Framing, case: &mut Case) {
    match framing {
        Framing::Cbor => case.needs.push(Feature::Cbor),
        Framing::Storable => case.needs.push(Feature::Storable),
        _ => {}
    }
    if framing != Framing::Json {
        case.level = Level::Transport;
    }
}

fn named(from: &Json) -> Result<Framing, String> {
    from.as_str().and_then(Framing::from_name).ok_or_else(|| format!("{from} is no framing"))
}

fn values(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    case.level = Level::Transport;
    if from["kind"] == "conversion" {
        let request = json!({"operation": "convert", "wanted": from["wanted"], "value": from["came"]});
        let right = from.get("value").map(value).transpose()?.unwrap_or(Value::Null);
        return Ok(one(case, vec![Question::new(request, Right::Value(right))]));
    }
    let (source, target) = (named(&from["from"])?, named(&from["to"])?);
    belongs_to(source, case);
    if source != target {
        belongs_to(target, case);
    }
    let request =
        json!({"operation": "relay", "from": source.name(), "to": target.name(), "packet": hexadecimal(&from["packet"])?});
    let packet = value(&from["packets"][0])?;
    Ok(one(case, vec![Question::new(request, Right::Relayed(target, packet))]))
}

fn messages(case: &mut Case, from: &Json, _: &mut Cuts) -> Result<Vec<Case>, String> {
    if from["kind"] == "port-id" {
        let request = json!({"operation": "port_id", "port_id": from["port_id"]});
        return Ok(exactly(case, request, fields(from, &["node", "port"])));
    }
    let packet = value(&from["packet"])?;
    let right = match case.verdict {
        Verdict::Either => Right::Any(vec![json!({"port": ""}), json!({"keepalive": true}), json!({"dropped": true})]),
        _ => Right::Fields(fields(from, &["port", "tag", "keepalive", "dropped"]), &[]),
    };
    let in_each = [Framing::Json, Framing::Cbor, Framing::Storable].into_iter().filter_map(|framing| {
        let octets = written_alike(framing, &packet)?;
        let mut case = Case { framing: Some(framing), ..case.clone() };
        belongs_to(framing, &mut case);
        let request = json!({"operation": "port", "framing": framing.name(), "packet": hex(&octets)});
        Some(Case { questions: vec![Question::new(request, right.clone())], ..case })
    });
    Ok(in_each.collect())
}

/// The octets of a packet, if the framing changes no value in it but bytes into the text that stands for them.
fn written_alike(framing: Framing, packet: &Value) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    framing.encode(packet, &Limits::default(), &mut octets).ok()?;
    let read: Value = aemp_proto::framing::Packet::parse(framing, &octets, &Limits::default()).ok()?.decode().ok()?;
    same(&without_bytes(&read), &without_bytes(packet)).then_some(octets)
}

fn without_bytes(value: &Value) -> Value {
    match value {
        Value::Bytes(octets) => Value::Text(octets.iter().map(|octet| char::from(*octet)).collect()),
        Value::Array(values) => Value::Array(values.iter().map(without_bytes).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), without_bytes(value))).collect()),
        other => other.clone(),
    }
}
