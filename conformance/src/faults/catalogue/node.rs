//! Nodes whose ports, watches and requests are wrong.

use std::collections::{HashMap, HashSet};

use aemp_proto::value::Value;

use super::{Entry, ignores, is, never_sends, repeats, request, subject};
use crate::faults::{Fate, Fault};
use crate::test::unique;

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
    Entry::new("sends messages to other nodes, too", |_| {
        // The last message to a port, and the node to which it went.
        let mut last: Option<(String, Vec<Value>)> = None;
        Fault::packet_out(move |between, message| {
            let stray = last.take_if(|(node, _)| *node != between.peer).map(|(_, stray)| stray);
            let is_message = message.first().is_some_and(|port| *port != Value::from(""));
            if is_message {
                last = Some((between.peer.clone(), message.to_vec()));
            }
            stray.map_or(Fate::Pass, |stray| Fate::Replace(vec![stray, message.to_vec()]))
        })
    }),
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
    never_sends("never sends AnyEvent::MP::_spawn"),
    Entry::new("names each new port 1", |_| {
        Fault::packet_out(|_, message| match message {
            [port, Value::Text(id)] if super::text(port) == "suite-new" => {
                let node = id.split('#').next().unwrap_or_default();
                Fate::Replace(vec![vec![port.clone(), Value::Text(format!("{node}#1"))]])
            }
            _ => Fate::Pass,
        })
    }),
    Entry::new("spawns functions that are for calls only", |_| {
        Fault::packet_in(|_, message| {
            if is(message, "AnyEvent::MP::_spawn")
                && message.get(3).is_some_and(|name| super::text(name) == "conformance::tell")
            {
                let mut message = message.to_vec();
                message[3] = "conformance::port".into();
                Fate::Replace(vec![message])
            } else {
                Fate::Pass
            }
        })
    }),
    Entry::new("never forgets a port that was spawned", |_| {
        // A port that is ended from afar counts as before: its place is taken by another one.
        Fault::packet_in(|_, message| {
            if is(message, "kil1") && message.get(2).is_some_and(|name| super::text(name).starts_with("spawned-")) {
                let again = unique("again").unwrap_or_default();
                let spawn = vec!["".into(), "AnyEvent::MP::_spawn".into(), again.into(), "conformance::port".into()];
                Fate::Replace(vec![message.to_vec(), spawn])
            } else {
                Fate::Pass
            }
        })
    }),
    Entry::new("cuts names that are too long", |_| {
        Fault::packet_in(|_, message| {
            let mut cut = message.to_vec();
            for place in [0, 2] {
                if let Some(name) = message.get(place).and_then(cut_name) {
                    cut[place] = Value::Text(name);
                }
            }
            if cut == message { Fate::Pass } else { Fate::Replace(vec![cut]) }
        })
    }),
    Entry::new("loses each tenth message to a port", |_| {
        let mut count = 0;
        Fault::packet_in(move |_, message| {
            count += usize::from(request(message).is_none());
            if count % 10 == 9 && request(message).is_none() { Fate::Drop } else { Fate::Pass }
        })
    }),
    Entry::new("gives another reason than transport_error", |_| {
        Fault::packet_out(|_, message| {
            let lost = Value::from("transport_error");
            let other = |value: &Value| if *value == lost { Value::from("lost") } else { value.clone() };
            if message.contains(&lost) { Fate::Replace(vec![message.iter().map(other).collect()]) } else { Fate::Pass }
        })
    }),
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
    Entry::new("sends for anyone to node ports of others", |_| {
        Fault::packet_in(|_, message| {
            // As if the node itself had something to say there.
            if is(message, "snd") && message.len() > 3 && !super::text(&message[2]).contains('#') {
                let send = [Value::from("control"), "send".into()].into_iter().chain(message[2..].iter().cloned());
                Fate::Replace(vec![send.collect()])
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
    Entry::new("keeps the watches of a lost peer", |_| {
        let mut watched: HashMap<String, (usize, Vec<Vec<Value>>)> = HashMap::new();
        Fault::packet_in(move |between, message| {
            let (number, known) = watched.entry(between.peer.clone()).or_default();
            let back = *number != 0 && std::mem::replace(number, between.number) != between.number;
            *number = between.number;
            let again = if back { known.clone() } else { Vec::new() };
            if is(message, "mon1") {
                known.push(message.to_vec());
            }
            if again.is_empty() { Fate::Pass } else { Fate::Replace([again, vec![message.to_vec()]].concat()) }
        })
    }),
    Entry::new("takes several mon1 of a peer for one", |_| {
        let mut watched = HashSet::new();
        Fault::packet_in(move |between, message| {
            let port = message.get(2).map(super::text).unwrap_or_default();
            if is(message, "mon0") {
                watched.remove(&(between.number, port));
            } else if is(message, "mon1") && !watched.insert((between.number, port)) {
                return Fate::Drop;
            }
            Fate::Pass
        })
    }),
    Entry::new("takes a mon0 for all mon1 of a port", |_| {
        let mut times: HashMap<(usize, String), usize> = HashMap::new();
        Fault::packet_in(move |between, message| {
            let times = times.entry((between.number, message.get(2).map(super::text).unwrap_or_default())).or_default();
            if is(message, "mon1") {
                *times += 1;
            } else if is(message, "mon0") && *times > 0 {
                return Fate::Replace(vec![message.to_vec(); std::mem::take(times)]);
            }
            Fate::Pass
        })
    }),
    Entry::new("loses arrays and maps among reasons", |_| {
        Fault::packet_out(|_, message| {
            if !is(message, "kil0") {
                return Fate::Pass;
            }
            let flat = |value: &Value| match value {
                Value::Array(_) | Value::Map(_) => Value::from("reason"),
                other => other.clone(),
            };
            Fate::Replace(vec![message.iter().map(flat).collect()])
        })
    }),
    Entry::new("knows ports by letters and digits only", |_| {
        Fault::packet_in(|_, message| {
            let name = message.first().map(super::text).unwrap_or_default();
            let plain = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
            if name.chars().all(plain) { Fate::Pass } else { Fate::Drop }
        })
    }),
    Entry::new("takes a request without arguments for a mistake", |_| {
        Fault::packet_in(
            |_, message| if request(message).is_some() && message.len() == 2 { Fate::Close } else { Fate::Pass },
        )
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

/// The first 256 octets of a name that has more.
fn cut_name(value: &Value) -> Option<String> {
    let text = super::text(value);
    let end = (0..=256).rev().find(|end| text.is_char_boundary(*end))?;
    (text.len() > 256 && !text.contains('#')).then(|| text[..end].to_owned())
}
