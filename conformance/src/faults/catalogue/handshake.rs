//! Nodes whose handshake is wrong.

use aemp_proto::auth::{Method, Secret, Transcript};

use super::Entry;
use crate::faults::{Between, Fault, Proof};
use crate::subject::Start;

pub(super) const FAULTS: &[Entry] = &[
    Entry::new("waits for the other side to greet", |_| Fault { speaks_second: true, ..Fault::default() }),
    Entry::new("never closes", |_| Fault { keeps_open: true, ..Fault::default() }),
    Entry::new("accepts any token", |_| Fault::proof(|_, _| Proof::Right)),
    Entry::new("accepts no token", |_| Fault::proof(|_, _| Proof::Wrong)),
    // What it sends.
    Entry::new("greets with version 2", |_| field_out(1, |_| "2".into())),
    Entry::new("greets as aemp-other", |_| field_out(0, |_| "aemp-other".into())),
    Entry::new("greets with a forbidden node ID", |_| field_out(2, |node| format!("{node}#1"))),
    Entry::new("greets without methods", |_| field_out(3, |_| String::new())),
    Entry::new("greets without framings", |_| field_out(4, |_| String::new())),
    Entry::new("greets with a line that is too long", |_| {
        field_out(4, |framings| format!("{framings};long={}", "x".repeat(4096)))
    }),
    Entry::new("greets with a key twice", |_| field_out(4, |framings| format!("{framings};provider=first"))),
    Entry::new("escapes nothing", |_| field_out(4, |framings| format!("{framings};note=50%;rest"))),
    Entry::new("offers cleartext without being asked", |_| field_out(3, |methods| format!("{methods},cleartext"))),
    Entry::new("has a short nonce", |_| nonce_out(|nonce| nonce.truncate(8))),
    Entry::new("has no nonce", |_| nonce_out(Vec::clear)),
    Entry::new("has always the same nonce", |_| {
        nonce_out(|nonce| *nonce = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".to_vec())
    }),
    Entry::new("writes tokens in uppercase", |_| token_out(|_, _, token| token.to_uppercase())),
    Entry::new("hashes the greetings in the wrong order", |_| token_out(|between, method, _| proven(between, method, true))),
    Entry::new("names a method that was not offered", |_| line_2(|fields| fields[0] = "hmac_md6_64_256".into())),
    Entry::new("names a framing that was not offered", |_| line_2(|fields| fields[2] = "yaml".into())),
    Entry::new("proves itself in cleartext", |_| {
        line_2(|fields| {
            fields[0] = "cleartext".into();
            fields[1] = crate::wire::hex(&default_secret());
        })
    }),
    Entry::new("has an authentication line of two parts", |_| line_2(|fields| fields.truncate(2))),
    // What it accepts.
    Entry::new("accepts any version", |_| field_in(1, |_| "1".into())),
    Entry::new("accepts any protocol", |_| field_in(0, |_| "aemp".into())),
    Entry::new("accepts any node ID", |_| {
        field_in(2, |node| {
            let clean: String = node.chars().filter(|char| *char != '#' && !char.is_control()).collect();
            if clean.is_empty() { "nobody".into() } else { clean }
        })
    }),
    Entry::new("accepts its own node ID", |_| {
        Fault::line_in(|between, number, line| {
            let own = fields(between.node.sent.first().map_or(&[], |line| line)).get(2).cloned();
            change_field(
                number,
                line,
                2,
                |node| if Some(node) == own.as_ref() { format!("{node}-other") } else { node.clone() },
            );
        })
    }),
    Entry::new("accepts its own nonce", |_| {
        Fault::line_in(|between, number, line| {
            if number == 1 && between.node.sent.get(1).is_some_and(|own| own == line) {
                line.push(b'x');
            }
        })
    }),
    Entry::new("accepts lines that are not UTF-8", |_| {
        Fault::line_in(|_, number, line| {
            if number == 0 {
                *line = String::from_utf8_lossy(line).replace('\u{fffd}', "?").into_bytes();
            }
        })
    }),
    Entry::new("accepts a stray CR", |_| Fault::line_in(|_, _, line| line.retain(|octet| *octet != b'\r'))),
    Entry::new("accepts lines of any length", |_| Fault::line_in(|_, _, line| line.truncate(2000))),
    Entry::new("accepts lines with parts missing", |_| {
        Fault::line_in(|_, number, line| {
            while number == 0 && fields(line).len() < 5 {
                line.extend(b";json");
            }
        })
    }),
    Entry::new("refuses unknown keys", |_| {
        Fault::line_in(|_, number, line| {
            if number == 0
                && fields(line).iter().skip(5).any(|key| {
                    !["provider=", "peeraddr=", "tls=", "mproto=", "gproto=", "arbiter="]
                        .iter()
                        .any(|known| key.starts_with(known))
                })
            {
                line.clear();
            }
        })
    }),
    Entry::new("refuses unknown methods and framings", |_| {
        Fault::line_in(|_, number, line| {
            let known =
                ["tls_sha3_512", "tls_anon", "hmac_sha3_512", "hmac_sha2_256", "cleartext", "json", "cbor", "storable"];
            if number == 0
                && fields(line).iter().skip(3).take(2).flat_map(|list| list.split(',')).any(|name| !known.contains(&name))
            {
                line.clear();
            }
        })
    }),
    Entry::new("refuses an empty nonce", |_| {
        Fault::line_in(|_, number, line| {
            if number == 1 && line.is_empty() {
                line.extend(b"\r.");
            }
        })
    }),
    Entry::new("takes the first method of its own", |_| {
        field_in(3, |methods| {
            let mut methods: Vec<_> = methods.split(',').collect();
            methods.sort_unstable();
            methods.join(",")
        })
    }),
    Entry::new("takes the first framing of its own", |_| {
        field_in(4, |framings| {
            let mut framings: Vec<_> = framings.split(',').collect();
            framings.sort_unstable();
            framings.join(",")
        })
    }),
];

/// The secret that nodes under test are given unless a case says otherwise.
fn default_secret() -> Vec<u8> {
    Start::default().secret.unwrap_or_default().into_bytes()
}

fn fields(line: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(line).split(';').map(str::to_owned).collect()
}

/// Changes one part of a first line.
fn change_field(number: usize, line: &mut Vec<u8>, part: usize, change: impl Fn(&String) -> String) {
    if number == 0 && std::str::from_utf8(line).is_ok() {
        let mut parts = fields(line);
        if let Some(part) = parts.get_mut(part) {
            *part = change(part);
            *line = parts.join(";").into_bytes();
        }
    }
}

fn field_out(part: usize, change: fn(&String) -> String) -> Fault {
    Fault::line_out(move |_, number, line| change_field(number, line, part, change))
}

fn field_in(part: usize, change: fn(&String) -> String) -> Fault {
    Fault::line_in(move |_, number, line| change_field(number, line, part, change))
}

fn nonce_out(change: fn(&mut Vec<u8>)) -> Fault {
    Fault::line_out(move |_, number, line| {
        if number == 1 {
            change(line);
        }
    })
}

fn line_2(change: fn(&mut Vec<String>)) -> Fault {
    Fault::line_out(move |_, number, line| {
        if number == 2 {
            let mut parts = fields(line);
            if parts.len() >= 3 {
                change(&mut parts);
            }
            *line = parts.join(";").into_bytes();
        }
    })
}

fn token_out(change: fn(&Between, &str, &str) -> String) -> Fault {
    Fault::line_out(move |between, number, line| {
        let mut parts = fields(line);
        if number == 2 && parts.len() >= 3 {
            parts[1] = change(between, &parts[0], &parts[1]);
            *line = parts.join(";").into_bytes();
        }
    })
}

/// The token of the node to the peer; with the two sides exchanged, if that is wanted.
fn proven(between: &Between, method: &str, exchanged: bool) -> String {
    let lines = |lines: &[Vec<u8>]| [lines.first().cloned().unwrap_or_default(), lines.get(1).cloned().unwrap_or_default()];
    let (mut own, mut other) = (lines(&between.node.seen), lines(&between.other.sent));
    if exchanged {
        std::mem::swap(&mut own, &mut other);
    }
    let transcript = Transcript { own: [&own[0], &own[1]], other: [&other[0], &other[1]] };
    let secret = Secret::new(&default_secret()).ok();
    let token = Method::from_name(method).and_then(|method| method.token(&transcript, secret.as_ref()));
    token.map(|token| token.to_string()).unwrap_or_default()
}
