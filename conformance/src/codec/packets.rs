//! Streams of packets.

use aemp_proto::framing::{Framing, Limits, Packet, Scan, Scanner};
use aemp_proto::value::Value;
use serde_json::{Value as Json, json};

use super::Refusal;
use super::answers::{framing, octets};
use crate::vectors::notation::notation;

/// The packets of a stream.
pub(super) fn answer(request: &Json) -> Json {
    let mut packets = Vec::new();
    let only_count = request["only"] == "count";
    let mut count = 0;
    let end = stream(request, |packet| {
        count += 1;
        if !only_count {
            let value: Value = packet.decode().map_err(|error| Refusal::Error(error.to_string()))?;
            packets.push(notation(&value));
        }
        Ok(())
    });
    let answer = if only_count { json!({"count": count}) } else { json!({"packets": packets}) };
    match end {
        Ok(incomplete) => {
            let mut answer = answer;
            answer["incomplete"] = incomplete.into();
            answer
        }
        Err(refusal) => refusal.beside(answer),
    }
}

/// Hands out the packets of a stream as they become complete, and tells whether it ends within one.
fn stream(request: &Json, mut visit: impl FnMut(&Packet<'_>) -> Result<(), Refusal>) -> Result<bool, Refusal> {
    let framing = framing(request, "framing")?;
    let limits = limits(&request["limits"]);
    let mut scanner = Scanner::new(framing, limits);
    let mut held = Vec::new();
    for piece in request["pieces"].as_array().into_iter().flatten() {
        held.extend(octets(piece)?);
        held.drain(..scan(framing, &limits, &mut scanner, &held, &mut visit)?);
    }
    Ok(scanner.within_packet())
}

/// Finds all packets in what is held, and tells how many of its octets are done with.
fn scan(
    framing: Framing,
    limits: &Limits,
    scanner: &mut Scanner,
    held: &[u8],
    visit: &mut impl FnMut(&Packet<'_>) -> Result<(), Refusal>,
) -> Result<usize, Refusal> {
    let mut done = 0;
    loop {
        match scanner.scan(&held[done..])? {
            Scan::Packet { start, end } => {
                visit(&Packet::parse(framing, &held[done + start..done + end], limits)?)?;
                done += end;
            }
            Scan::Partial { start } => return Ok(done + start),
        }
    }
}

fn limits(request: &Json) -> Limits {
    let limit = |name: &str| request[name].as_u64().and_then(|limit| limit.try_into().ok());
    let default = Limits::default();
    Limits {
        octets: limit("octets").unwrap_or(default.octets),
        depth: limit("depth").unwrap_or(default.depth),
        values: limit("values").unwrap_or(default.values),
    }
}
