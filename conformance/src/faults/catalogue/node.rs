//! Nodes whose ports, watches and requests are wrong.

use aemp_proto::value::Value;

use super::{Entry, ignores, is, never_sends, repeats, request, subject};
use crate::faults::{Fate, Fault};

/// A fault that is named `… REQUEST`: of such requests of the node the last element is lost.
const fn shortens(name: &'static str) -> Entry {
    Entry::new(name, |name| {
        Fault::packet_out(move |_, message| {
            if is(message, subject(name)) && message.len() > 3 {
                Fate::Replace(vec![message[..message.len() - 1].to_vec()])
            } else {
                Fate::Pass
            }
        })
    })
}

pub(super) const FAULTS: &[Entry] = &[
    ignores("ignores mon0"),
    ignores("ignores mon1"),
    ignores("ignores kil0"),
    ignores("ignores kil1"),
    ignores("ignores snd"),
    ignores("ignores can"),
    ignores("ignores time"),
    ignores("ignores eval"),
    ignores("does not spawn AnyEvent::MP::_spawn"),
    ignores("does not call conformance::tell"),
    never_sends("never sends kil0"),
    never_sends("never sends kil1"),
    never_sends("never sends mon1"),
    never_sends("never sends mon0"),
    never_sends("never sends snd"),
    repeats("sends twice kil0"),
    repeats("sends twice kil1"),
    repeats("sends twice mon1"),
    repeats("sends twice mon0"),
    shortens("loses the last reason of kil0"),
    shortens("loses the last reason of kil1"),
    Entry::new("closes on a request that it does not know", |_| {
        Fault::packet_in(|_, message| match request(message).as_deref() {
            None | Some("" | "mon0" | "mon1" | "kil0" | "kil1" | "snd" | "can" | "time" | "eval" | "devnull") => Fate::Pass,
            Some(name) if name.contains("::") || name.starts_with("g_") => Fate::Pass,
            Some(_) => Fate::Close,
        })
    }),
    Entry::new("sends for anyone to node ports", |_| {
        Fault::packet_in(|_, message| {
            // As if the node's own port had to be reached: the elements come back as a request of the node itself.
            if is(message, "snd") && message.len() > 3 && !super::text(&message[2]).contains('#') {
                Fate::Answer(vec![std::iter::once(Value::from("")).chain(message[3..].iter().cloned()).collect()])
            } else {
                Fate::Pass
            }
        })
    }),
    Entry::new("answers can always with yes", |_| answer_of_request("can", |_| Some("1".into()))),
    Entry::new("answers can always with no", |_| answer_of_request("can", |_| Some("".into()))),
    Entry::new("answers time with a text", |_| answer_of_request("time", |_| Some("now".into()))),
    Entry::new("answers eval without an error", |_| answer_of_request("eval", |_| Some("".into()))),
    Entry::new("sends to a port that has ended", |_| {
        // A port that is ended from afar goes on: the end never comes to it.
        Fault::packet_in(|_, message| {
            if is(message, "kil1") && message.len() > 2 {
                let kil0 = [&[Value::from(""), Value::from("kil0")][..], &message[2..]].concat();
                return Fate::Answer(vec![kil0]);
            }
            Fate::Pass
        })
    }),
    Entry::new("tells no reasons", |_| {
        Fault::packet_out(|_, message| {
            if is(message, "kil0") && message.len() > 3 { Fate::Replace(vec![message[..3].to_vec()]) } else { Fate::Pass }
        })
    }),
];

/// Answers a request, in place of the node, with one more element.
fn answer_of_request(name: &'static str, answer: fn(&[Value]) -> Option<Value>) -> Fault {
    let behind = if name == "time" { 2 } else { 3 };
    Fault::packet_in(move |_, message| {
        if !is(message, name) || message.len() <= behind {
            return Fate::Pass;
        }
        let port = super::text(&message[behind]);
        let port = port.split_once('#').map_or("", |(_, port)| port);
        let answered =
            std::iter::once(Value::from(port)).chain(message[behind + 1..].iter().cloned()).chain(answer(message));
        Fate::Answer(vec![answered.collect()])
    })
}
