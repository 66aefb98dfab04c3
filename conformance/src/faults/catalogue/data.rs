//! Nodes that do wrong with data connections.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aemp_proto::value::Value;

use super::{Entry, is, text};
use crate::faults::{Between, Ends, Fate, Fault, Proof, Streams};

const EXPECT: &str = "AnyEvent::MP::DataConn::_expect";
const CONNECT: &str = "AnyEvent::MP::DataConn::_connect";
const FAILED: &str = "AnyEvent::MP::DataConn";

pub(super) const FAULTS: &[Entry] = &[
    Entry::new("expects no data connections", |_| requests(EXPECT, |_, _| Fate::Drop)),
    Entry::new("expects as many data connections as a few nodes ask for", |_| {
        let mut asked = 0;
        Fault::packet_in(move |_, message| {
            asked += usize::from(is(message, EXPECT));
            if is(message, EXPECT) && asked > 1_000 { Fate::Replace(vec![replaced(message, 5, "")]) } else { Fate::Pass }
        })
    }),
    Entry::new("asks for data connections with long IDs", |_| {
        Fault::packet_out(|_, message| match message.get(2).map(text) {
            Some(id) if is(message, EXPECT) => Fate::Replace(vec![replaced(message, 2, id.repeat(20))]),
            _ => Fate::Pass,
        })
    }),
    Entry::new("opens no data connections", |_| requests(CONNECT, |_, _| Fate::Drop)),
    Entry::new("ends no port that waits for a data connection", |_| refusals(|_| Fate::Drop)),
    Entry::new("gives other reasons why there is no data connection", |_| {
        refusals(|message| Fate::Replace(vec![replaced(message, 3, "no data connection")]))
    }),
    Entry::new("tells no program that there is no data connection", |_| {
        Fault::packet_out(|_, message| if tag(message) == "failed" { Fate::Drop } else { Fate::Pass })
    }),
    Entry::new("takes a reset stream for one that has ended", |_| ends(Ends::EvenIfReset)),
    Entry::new("takes a data connection of any ID", |_| {
        knowing(|known, _, line| {
            if let Some(id) = known.asked.get(&node_of(line)).and_then(|asked| asked.last()).map(|asked| id_of(asked)) {
                set_id(line, Some(&id));
            }
        })
    }),
    Entry::new("does not care whose data connection it is", |_| {
        knowing(|known, between, line| {
            let own = id_in(line);
            let owner = known.asked.iter().find(|(_, asked)| asked.iter().any(|asked| Some(id_of(asked)) == own));
            if let (Some((owner, _)), false) = (owner, between.opened) {
                set_node(line, owner);
            }
        })
    }),
    Entry::new("does not look who answers at a data connection", |_| {
        knowing(|known, between, line| {
            if between.opened
                && let Some(wanted) = &known.wanted
            {
                set_node(line, wanted);
            }
        })
    }),
    Entry::new("takes a data connection of an ID again", |_| again()),
    Entry::new("remembers what lost nodes have asked for", |_| {
        let mut asked: HashMap<String, (usize, Vec<Vec<Value>>)> = HashMap::new();
        Fault::packet_in(move |between, message| {
            let (number, known) = asked.entry(between.peer.clone()).or_default();
            let is_back = *number != 0 && std::mem::replace(number, between.number) != between.number;
            *number = between.number;
            let again = if is_back { known.clone() } else { Vec::new() };
            if is(message, EXPECT) {
                known.push(message.to_vec());
            }
            Fate::Replace([again, vec![message.to_vec()]].concat())
        })
    }),
    Entry::new("takes data connections without proof", |_| {
        Fault::proof(|between, _| if between.is_data() { Proof::Right } else { Proof::AsItIs })
    }),
    Entry::new("takes data connections for connections of the node", |_| {
        Fault::line_in(|between, number, line| {
            if number == 0 && !between.opened && line.starts_with(b"aemp-dataconn;") {
                line.drain(4..13);
            }
        })
    }),
    Entry::new("loses what comes with the authentication line", |_| {
        let mut begun = HashSet::new();
        octets_in(move |between, octets| {
            if begun.insert(between.number) {
                octets.clear();
            }
        })
    }),
    Entry::new("loses an octet of a large stream", |_| {
        let mut passed: HashMap<usize, usize> = HashMap::new();
        octets_out(move |between, octets| {
            let passed = passed.entry(between.number).or_default();
            let before = std::mem::replace(passed, *passed + octets.len());
            if before < 100_000 && *passed >= 100_000 {
                octets.pop();
            }
        })
    }),
    Entry::new("begins a stream before anyone has proven anything", |_| {
        Fault::streams(Streams { early: true, ..Streams::default() })
    }),
    Entry::new("sends keepalives over data connections", |_| octets_out(|_, octets| octets.extend(b"[]"))),
    Entry::new("takes packets out of data connections", |_| {
        octets_in(|_, octets| {
            if octets.starts_with(b"[\"") {
                octets.clear();
            }
        })
    }),
    Entry::new("ends data connections with the connection of the node", |_| {
        Fault::streams(Streams { with_the_node: true, ..Streams::default() })
    }),
    Entry::new("never ends its direction of a data connection", |_| ends(Ends::Never)),
    Entry::new("ends both directions of a data connection at once", |_| ends(Ends::Together)),
    Entry::new("counts the IDs of data connections", |_| {
        let mut count = 0;
        Fault::packet_out(move |between, message| {
            if !is(message, EXPECT) || message.len() < 3 {
                return Fate::Pass;
            }
            count += 1;
            Fate::Replace(vec![replaced(message, 2, format!("{count}@a node that talks to {}", between.peer))])
        })
    }),
    Entry::new("forgets the values of a data connection", |_| {
        requests(EXPECT, |_, message| Fate::Replace(vec![message[..6].to_vec()]))
    }),
    Entry::new("gives every data connection to the mirror", |_| {
        requests(EXPECT, |_, message| Fate::Replace(vec![replaced(message, 5, "conformance::mirror")]))
    }),
    Entry::new("ends any port for a data connection", |_| {
        requests(EXPECT, |between, message| {
            let own = format!("{}#waits", between.peer);
            if message.get(3).is_some_and(|port| text(port).starts_with(&format!("{}#", between.peer))) {
                return Fate::Pass;
            }
            Fate::Replace(vec![replaced(message, 3, own)])
        })
    }),
    Entry::new("expects data connections for ever", |_| {
        requests(EXPECT, |_, message| Fate::Replace(vec![replaced(message, 4, Value::Float(3600.0))]))
    }),
    Entry::new("knows no fractions of a second", |_| {
        requests(EXPECT, |_, message| match message.get(4) {
            Some(Value::Float(_)) => Fate::Replace(vec![replaced(message, 4, 0_u64)]),
            _ => Fate::Pass,
        })
    }),
    Entry::new("closes on what lacks something of a data connection", |_| {
        Fault::packet_in(|_, message| {
            let lacks = is(message, EXPECT) && message.len() < 6 || is(message, CONNECT) && message.len() < 4;
            if lacks { Fate::Close } else { Fate::Pass }
        })
    }),
    Entry::new("asks for no echo behind what it asks for", |_| {
        let mut asked = HashSet::new();
        Fault::packet_out(move |between, message| {
            if is(message, EXPECT) {
                asked.insert(between.number);
            } else if is(message, "snd") && asked.remove(&between.number) {
                let port = message.get(2).map(text).unwrap_or_default();
                let port = port.split_once('#').map_or("", |(_, port)| port);
                return Fate::Answer(vec![vec![port.into()]]);
            }
            Fate::Pass
        })
    }),
    Entry::new("opens data connections to whoever is named", |_| {
        requests(CONNECT, |between, message| Fate::Replace(vec![replaced(message, 3, between.peer.as_str())]))
    }),
    Entry::new("opens data connections without their ID", |_| {
        Fault::line_out(|between, number, line| {
            if number == 0 && between.opened && line.starts_with(b"aemp-dataconn;") {
                set_id(line, None);
            }
        })
    }),
    Entry::new("wants an acceptor to name the same protocol", |_| {
        Fault::line_in(|between, number, line| {
            if number == 0 && between.opened && between.is_data() {
                line.splice(..4, b"none".iter().copied());
            }
        })
    }),
    Entry::new("does not unescape the IDs of data connections", |_| {
        Fault::line_in(|_, number, line| {
            if let (0, Some(id)) = (number, id_in(line)) {
                set_id(line, Some(&id.replace('%', "%25")));
            }
        })
    }),
];

/// Decides about a request to the node that has all that it needs.
fn requests(name: &'static str, decide: fn(&Between, &[Value]) -> Fate) -> Fault {
    let whole = if name == EXPECT { 6 } else { 4 };
    Fault::packet_in(
        move |between, message| {
            if is(message, name) && message.len() >= whole { decide(between, message) } else { Fate::Pass }
        },
    )
}

/// Decides about the ends of ports that wait for data connections.
fn refusals(decide: fn(&[Value]) -> Fate) -> Fault {
    Fault::packet_out(move |_, message| {
        let is_refusal = is(message, "kil1") && message.get(3).is_some_and(|reason| text(reason) == FAILED);
        if is_refusal { decide(message) } else { Fate::Pass }
    })
}

fn ends(ends: Ends) -> Fault {
    Fault::streams(Streams { ends, ..Streams::default() })
}

fn octets_in(change: impl FnMut(&Between, &mut Vec<u8>) + Send + 'static) -> Fault {
    Fault::streams(Streams { octets_in: Some(Box::new(change)), ..Streams::default() })
}

fn octets_out(change: impl FnMut(&Between, &mut Vec<u8>) + Send + 'static) -> Fault {
    Fault::streams(Streams { octets_out: Some(Box::new(change)), ..Streams::default() })
}

fn tag(message: &[Value]) -> String {
    message.get(1).map(text).unwrap_or_default()
}

/// A message with another element at this place.
fn replaced(message: &[Value], at: usize, value: impl Into<Value>) -> Vec<Value> {
    let mut message = message.to_vec();
    message[at] = value.into();
    message
}

/// What has been asked for.
#[derive(Default)]
struct Known {
    /// The requests of each node.
    asked: HashMap<String, Vec<Vec<Value>>>,
    /// The node to which the last connection is to be opened.
    wanted: Option<String>,
    /// The IDs that were used.
    used: HashSet<String>,
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes the first line of an opener of a data connection, or of who answers there, knowing what was asked for.
fn knowing(change: fn(&Known, &Between, &mut Vec<u8>)) -> Fault {
    let known = Arc::new(Mutex::new(Known::default()));
    let (asks, asked) = (known.clone(), known.clone());
    Fault {
        line_in: Some(Box::new(move |between, number, line| {
            let is_data = line.starts_with(b"aemp-dataconn;") || between.opened && between.is_data();
            if number == 0 && is_data {
                change(&lock(&known), between, line);
            }
        })),
        packet_in: Some(Box::new(move |between, message| {
            let mut known = lock(&asks);
            if is(message, EXPECT) && message.len() > 2 {
                known.asked.entry(between.peer.clone()).or_default().push(message.to_vec());
            } else if is(message, CONNECT) {
                known.wanted = Some(between.peer.clone());
            }
            Fate::Pass
        })),
        packet_out: Some(Box::new(move |between, message| {
            if is(message, EXPECT) {
                lock(&asked).wanted = Some(between.peer.clone());
            }
            Fate::Pass
        })),
        ..Fault::default()
    }
}

/// Whatever an opener has named is asked for again, with the next packet of the node that had asked for it.
fn again() -> Fault {
    let known = Arc::new(Mutex::new(Known::default()));
    let (opened, asks) = (known.clone(), known.clone());
    let uses = |known: &Mutex<Known>, line: &[u8]| lock(known).used.extend(id_in(line));
    Fault {
        line_in: Some(Box::new(move |_, _, line| uses(&known, line))),
        line_out: Some(Box::new(move |_, _, line| uses(&opened, line))),
        packet_in: Some(Box::new(move |between, message| {
            let mut known = lock(&asks);
            let Known { asked, used, .. } = &mut *known;
            let asked = asked.entry(between.peer.clone()).or_default();
            let again: Vec<_> = asked.iter().filter(|asked| used.remove(&id_of(asked))).cloned().collect();
            if is(message, EXPECT) && message.len() > 2 {
                asked.push(message.to_vec());
            }
            Fate::Replace([again, vec![message.to_vec()]].concat())
        })),
        ..Fault::default()
    }
}

fn id_of(asked: &[Value]) -> String {
    asked.get(2).map(text).unwrap_or_default()
}

/// The ID in the first line of an opener of a data connection, as it is written.
fn id_in(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let id = line.strip_prefix("aemp-dataconn;")?.split(';').find_map(|part| part.strip_prefix("dataconn_id="));
    id.map(str::to_owned)
}

fn node_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).split(';').nth(2).unwrap_or_default().to_owned()
}

fn set_node(line: &mut Vec<u8>, node: &str) {
    let text = String::from_utf8_lossy(line).into_owned();
    let parts = text.split(';').enumerate().map(|(number, part)| if number == 2 { node } else { part });
    *line = parts.collect::<Vec<_>>().join(";").into_bytes();
}

/// Puts another ID into the first line of an opener, or none.
fn set_id(line: &mut Vec<u8>, id: Option<&str>) {
    let text = String::from_utf8_lossy(line).into_owned();
    let others = text.split(';').filter(|part| !part.starts_with("dataconn_id=")).map(str::to_owned);
    let id = id.map(|id| format!("dataconn_id={id}"));
    *line = others.chain(id).collect::<Vec<_>>().join(";").into_bytes();
}
