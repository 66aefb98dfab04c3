//! The right answers.

use aemp_proto::framing::{Framing, Limits, Packet};
use aemp_proto::names::PortId;
use serde_json::{Value as Json, json};

use super::{Refusal, convert, lines, packets};
use crate::hex::hex;
use crate::vectors::notation::{unhex, value};

/// The answer to a request, without its `id`.
pub(super) fn answer(request: &Json) -> Json {
    match request["operation"].as_str() {
        // These have something to say beside an error.
        Some("lines") => lines::split(request),
        Some("packets") => packets::answer(request),
        Some(operation) => of_operation(operation, request).unwrap_or_else(|refusal| refusal.beside(json!({}))),
        None => Refusal::Request("there is no operation".into()).beside(json!({})),
    }
}

fn of_operation(operation: &str, request: &Json) -> Result<Json, Refusal> {
    match operation {
        "greeting" => lines::greeting(request),
        "escape" => Ok(json!({"text": aemp_proto::line::escape(text(request, "text")?)})),
        "unescape" => Ok(json!({"text": aemp_proto::line::unescape(text(request, "text")?)})),
        "decide" => lines::decide(request),
        "authentication" => lines::authentication(request),
        "choose" => lines::choose(request),
        "token" => lines::token(request),
        "verify" => lines::verify(request),
        "write" => write(request),
        "convert" => convert::convert(text(request, "wanted")?, &request["value"]).map(|value| json!({"value": value})),
        "relay" => relay(request),
        "port" => port(request),
        "port_id" => port_id(text(request, "port_id")?),
        _ => Err(Refusal::Unimplemented),
    }
}

/// A text in a request.
pub(super) fn text<'a>(request: &'a Json, field: &str) -> Result<&'a str, Refusal> {
    request[field].as_str().ok_or_else(|| Refusal::Request(format!("there is no text {field:?}")))
}

/// Octets in a request.
pub(super) fn octets(digits: &Json) -> Result<Vec<u8>, Refusal> {
    digits.as_str().ok_or_else(|| format!("{digits} is no hexadecimal text")).and_then(unhex).map_err(Refusal::Request)
}

/// A framing in a request.
pub(super) fn framing(request: &Json, field: &str) -> Result<Framing, Refusal> {
    let name = text(request, field)?;
    Framing::from_name(name).ok_or(Refusal::Unimplemented)
}

fn write(request: &Json) -> Result<Json, Refusal> {
    let packet = value(&request["packet"]).map_err(Refusal::Request)?;
    let mut octets = Vec::new();
    let written = framing(request, "framing")?.encode(&packet, &Limits::default(), &mut octets);
    written.map_err(|error| Refusal::Error(error.to_string()))?;
    Ok(json!({"octets": hex(&octets)}))
}

fn relay(request: &Json) -> Result<Json, Refusal> {
    let packet = octets(&request["packet"])?;
    let packet = Packet::parse(framing(request, "from")?, &packet, &Limits::default())?;
    let mut octets = Vec::new();
    let relayed = packet.relay(framing(request, "to")?, &Limits::default(), &mut octets);
    relayed.map_err(|error| Refusal::Error(error.to_string()))?;
    Ok(json!({"octets": hex(&octets)}))
}

fn port(request: &Json) -> Result<Json, Refusal> {
    let packet = octets(&request["packet"])?;
    let packet = Packet::parse(framing(request, "framing")?, &packet, &Limits::default())?;
    let mut elements = packet.elements();
    if elements.is_empty() {
        return Ok(json!({"keepalive": true}));
    }
    let Some(port) = elements.name() else { return Ok(json!({"dropped": true})) };
    let tag = elements.name();
    if port.is_empty() && (tag.as_deref() == Some("") || tag.is_none() && elements.is_empty()) {
        return Ok(json!({"keepalive": true}));
    }
    let mut answer = json!({"port": port});
    if let Some(tag) = tag {
        answer["tag"] = tag.into();
    }
    Ok(answer)
}

fn port_id(text: &str) -> Result<Json, Refusal> {
    let id: PortId = text.parse().map_err(|error| Refusal::Error(format!("MSG-14: {error}")))?;
    Ok(json!({"node": id.node(), "port": id.port()}))
}
