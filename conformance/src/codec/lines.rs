//! Lines, and what is decided by them.

use std::time::Duration;

use aemp_proto::auth::{Method, Secret, Transcript};
use aemp_proto::framing::Framing;
use aemp_proto::line::{self, Authentication, Greeting};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role, Tls};
use aemp_proto::names::NodeId;
use serde_json::{Value as Json, json};

use super::Refusal;
use super::answers::{octets, text};
use crate::hex::hex;

/// All methods, for whoever is told elsewhere which ones are wanted.
const METHODS: [Method; 5] =
    [Method::TlsSha3_512, Method::HmacSha3_512, Method::HmacSha2_256, Method::TlsAnon, Method::Cleartext];

pub(super) fn split(request: &Json) -> Json {
    let mut lines = Vec::new();
    match take(request, &mut lines) {
        Ok(rest) => json!({"lines": lines, "rest": rest}),
        Err(refusal) => refusal.beside(json!({"lines": lines})),
    }
}

/// Takes lines off a stream, and tells what is left.
fn take(request: &Json, lines: &mut Vec<String>) -> Result<String, Refusal> {
    let stream = octets(&request["stream"])?;
    let mut rest = &stream[..];
    while request["take"].as_u64().is_none_or(|take| (lines.len() as u64) < take) {
        let Some(line) = line::split(rest)? else { break };
        lines.push(hex(line.text));
        rest = &rest[line.length..];
    }
    Ok(hex(rest))
}

pub(super) fn greeting(request: &Json) -> Result<Json, Refusal> {
    let greeting = Greeting::parse(&octets(&request["line"])?)?;
    let Greeting { node, methods, framings, keys, .. } = greeting;
    Ok(json!({"node": node, "methods": methods, "framings": framings, "keys": keys}))
}

pub(super) fn authentication(request: &Json) -> Result<Json, Refusal> {
    let line = octets(&request["line"])?;
    let Authentication { method, token, framing } = Authentication::parse(&line)?;
    // The keys are those of a greeting, behind other parts.
    let behind = String::from_utf8_lossy(&line).splitn(4, ';').nth(3).map(|keys| format!(";{keys}")).unwrap_or_default();
    let keys = Greeting::parse(format!("aemp;1;node;;{behind}").as_bytes())?.keys;
    Ok(json!({"method": method, "token": token, "framing": framing, "keys": keys}))
}

/// The two lines of a side.
fn greeting_lines(lines: &Json) -> Result<[Vec<u8>; 2], Refusal> {
    Ok([octets(&lines[0])?, octets(&lines[1])?])
}

fn secret(request: &Json) -> Result<Option<Secret>, Refusal> {
    match &request["secret"] {
        Json::Null => Ok(None),
        digits => Secret::new(&octets(digits)?).map(Some).map_err(|error| Refusal::Error(format!("AUTH-20: {error}"))),
    }
}

pub(super) fn token(request: &Json) -> Result<Json, Refusal> {
    let method = Method::from_name(text(request, "method")?).ok_or(Refusal::Unimplemented)?;
    let (own, other) = (greeting_lines(&request["own"])?, greeting_lines(&request["other"])?);
    let transcript = Transcript { own: [&own[0], &own[1]], other: [&other[0], &other[1]] };
    let token = method.token(&transcript, secret(request)?.as_ref());
    let token = token.ok_or_else(|| Refusal::Error("AUTH-19: this method requires a secret".into()))?;
    Ok(json!({"token": *token}))
}

fn config() -> Result<Config, Refusal> {
    let node = NodeId::new("codec").map_err(|error| Refusal::Error(error.to_string()))?;
    let mut config = Config::new(node);
    (config.send, config.accept) = (METHODS.into(), METHODS.into());
    config.framings = Framing::ALL.into();
    Ok(config)
}

/// A link that has sent `own`, and has got what follows.
fn link(config: Config, role: Role, own: &[Vec<u8>; 2], came: &[u8]) -> Result<(Link, Option<Event>), Refusal> {
    let own = OwnGreeting::exact(&own[0], &own[1])?;
    let mut link = Link::new(config.into(), role, own, Duration::ZERO);
    let event = link.receive(came, |_| {})?;
    Ok((link, event))
}

fn sent(lines: &[&[u8]]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

pub(super) fn decide(request: &Json) -> Result<Json, Refusal> {
    let (own, other) = (greeting_lines(&request["own"])?, greeting_lines(&request["other"])?);
    let (_, event) = link(config()?, Role::Opener, &own, &sent(&[&other[0], &other[1]]))?;
    Ok(json!({"goes_on": event == Some(Event::Greeted)}))
}

/// Lets a link go on that has been greeted.
fn go_on(link: &mut Link, tls: bool) -> Result<(), Refusal> {
    match link.accept()? {
        Accepted::StartTls(_) if tls => {
            // The greeting goes out before TLS begins.
            link.advance_output(link.output().len());
            Ok(link.tls_established()?)
        }
        _ => Ok(()),
    }
}

pub(super) fn verify(request: &Json) -> Result<Json, Refusal> {
    let (own, other) = (greeting_lines(&request["own"])?, greeting_lines(&request["other"])?);
    let line = octets(&request["line"])?;
    let mut config = config()?;
    config.secret = secret(request)?;
    let tls = request["tls"] == true;
    if tls {
        config.tls = Tls::Wanted;
    }
    let (mut link, _) = link(config, Role::Acceptor, &own, &sent(&[&other[0], &other[1]]))?;
    go_on(&mut link, tls)?;
    link.receive(&sent(&[&line]), |_| {})?;
    Ok(json!({"right": link.is_up()}))
}

pub(super) fn choose(request: &Json) -> Result<Json, Refusal> {
    let names = |field: &str| -> Vec<String> {
        request[field].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let tls = request["tls"] == true;
    let key = if tls { ";tls=1.0" } else { "" };
    let mut config = config()?;
    // Any secret: the choice does not depend on it.
    config.secret = Secret::new(b"swordfish").ok();
    config.send = names("sends_methods").iter().filter_map(|name| Method::from_name(name)).collect();
    config.framings = names("sends_framings").iter().filter_map(|name| Framing::from_name(name)).collect();
    config.tls = if tls { Tls::Wanted } else { Tls::Off };
    let own = [format!("aemp;1;codec;hmac_sha3_512;json{key}").into_bytes(), b"1".to_vec()];
    let first = format!("aemp;1;other;{};{}{key}", names("methods").join(","), names("framings").join(","));
    let (mut link, _) = link(config, Role::Opener, &own, &sent(&[first.as_bytes(), b"2"]))?;
    go_on(&mut link, tls)?;
    // What was chosen stands in the line that the link sends now, behind the greeting.
    let said = String::from_utf8_lossy(link.output()).into_owned();
    let mut parts = said.lines().last().unwrap_or_default().split(';');
    let (method, framing) = (parts.next(), parts.nth(1));
    Ok(json!({"method": method, "framing": framing}))
}
