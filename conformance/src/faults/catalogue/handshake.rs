//! Nodes whose handshake is wrong.

use aemp_proto::auth::{Method, Secret, Transcript};

use super::Entry;
use crate::faults::{Between, Fault, Proof, Reads};
use crate::subject::Start;

pub(super) const FAULTS: &[Entry] = &[
    Entry::new("waits for the other side to greet", |_| Fault { speaks_second: true, ..Fault::default() }),
    Entry::new("never closes", |_| Fault { keeps_open: true, ..Fault::default() }),
    Entry::new("accepts any token", |_| Fault::proof(|_, _| Proof::Right)),
    Entry::new("accepts no token", |_| Fault::proof(|_, _| Proof::Wrong)),
    Entry::new("does not listen where it says", |_| Fault { unreachable: true, ..Fault::default() }),
    Entry::new("uses another secret", |_| {
        Fault::start(|start| start.secret = start.secret.as_ref().map(|secret| format!("{secret}!")))
    }),
    Entry::new("has no place for members behind eight silent strangers", |_| {
        let mut heard = 0;
        Fault::line_in(move |between, number, line| {
            if number == 0 && !between.opened {
                heard += 1;
                if between.number >= heard + 8 {
                    line.clear();
                }
            }
        })
    }),
    // What it sends.
    Entry::new("greets in four parts", |_| {
        Fault::line_out(|_, number, line| {
            if number == 0 {
                *line = fields(line)[..4].join(";").into_bytes();
            }
        })
    }),
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
            fields[1] = crate::hex::hex(&default_secret());
        })
    }),
    Entry::new("has an authentication line of two parts", |_| line_2(|fields| fields.truncate(2))),
    Entry::new("ends its lines with CR LF", |_| Fault::line_out(|_, _, line| line.push(b'\r'))),
    Entry::new("lists its methods in another order", |_| {
        field_out(3, |methods| methods.rsplit(',').collect::<Vec<_>>().join(","))
    }),
    Entry::new("offers methods that need a secret without one", |_| {
        field_out(
            3,
            |methods| {
                if methods.contains("hmac_sha3_512") { methods.clone() } else { format!("{methods},hmac_sha3_512") }
            },
        )
    }),
    Entry::new("asks for TLS that it does not have", |_| field_out(4, |framings| format!("{framings};tls=1.0"))),
    Entry::new("does not ask for TLS", |_| Fault::line_out(|_, number, line| without_tls(number, line))),
    // What it accepts.
    Entry::new("does not see that others ask for TLS", |_| Fault::line_in(|_, number, line| without_tls(number, line))),
    Entry::new("announces twice of what it takes", |_| {
        Fault::line_out(|_, number, line| {
            if number == 0 {
                let mut parts = fields(line);
                for part in &mut parts {
                    let twice = part.strip_prefix("limits=").map(|value| {
                        let twice =
                            value.split(',').map(|number| (2 * number.parse::<u64>().unwrap_or_default()).to_string());
                        format!("limits={}", twice.collect::<Vec<_>>().join(","))
                    });
                    *part = twice.unwrap_or_else(|| part.clone());
                }
                *line = parts.join(";").into_bytes();
            }
        })
    }),
    Entry::new("closes on a key limits that is malformed", |_| {
        Fault::line_in(|_, number, line| {
            if number == 0
                && let Some(value) = fields(line).iter().find_map(|part| part.strip_prefix("limits=").map(str::to_owned))
                && value.split(',').filter(|number| number.parse::<u64>().is_ok_and(|number| number >= 512)).count() != 3
            {
                line.clear();
            }
        })
    }),
    Entry::new("takes any value of the key tls", |_| {
        Fault::line_in(|_, number, line| {
            if number == 0 && fields(line).iter().skip(5).any(|key| key.starts_with("tls=")) {
                line.extend(b";tls=1.0");
            }
        })
    }),
    Entry::new("takes the first one of keys that come twice", |_| {
        Fault::line_in(|_, number, line| {
            if number == 0 && std::str::from_utf8(line).is_ok() {
                let mut seen = std::collections::BTreeSet::new();
                let mut parts = fields(line);
                let mut at = 0;
                parts.retain(|part| {
                    at += 1;
                    at <= 5 || seen.insert(part.split('=').next().unwrap_or_default().to_owned())
                });
                *line = parts.join(";").into_bytes();
            }
        })
    }),
    Entry::new("loses what comes behind a line in the same read", |_| Fault {
        reads: Reads::OneOfEachRead,
        ..Fault::default()
    }),
    Entry::new("takes each read for a line", |_| Fault { reads: Reads::EachReadAsOne, ..Fault::default() }),
    Entry::new("waits for the end of any line", |_| Fault { reads: Reads::Endless, ..Fault::default() }),
    Entry::new("takes half of the room for a line", |_| {
        Fault::line_in(|_, _, line| {
            if line.len() > 2048 {
                spoil(line);
            }
        })
    }),
    Entry::new("refuses node IDs that are no host names", |_| {
        Fault::line_in(|_, number, line| {
            let plain = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
            if number == 0 && fields(line).get(2).is_some_and(|node| !node.chars().all(plain)) {
                spoil(line);
            }
        })
    }),
    Entry::new("does not tell node IDs from each other that look alike", |_| {
        Fault::line_in(|between, number, line| {
            let own = fields(between.node.sent.first().map_or(&[], |line| line)).get(2).cloned().unwrap_or_default();
            change_field(number, line, 2, |node| {
                let alike = node.trim().to_lowercase();
                if alike == own.to_lowercase() { own.clone() } else { alike }
            });
        })
    }),
    Entry::new("refuses nonces that are no UTF-8", |_| {
        Fault::line_in(|_, number, line| {
            if number == 1 && std::str::from_utf8(line).is_err() {
                spoil(line);
            }
        })
    }),
    Entry::new("takes the blanks off nonces", |_| {
        Fault::proof(|between, _| {
            let nonce = between.other.sent.get(1).map_or(&[][..], |line| line);
            if nonce.trim_ascii() == nonce { Proof::AsItIs } else { Proof::Wrong }
        })
    }),
    Entry::new("refuses versions that are not written as 1", |_| {
        Fault::line_in(|_, number, line| {
            if number == 0 && fields(line).get(1).is_none_or(|version| version != "1") {
                spoil(line);
            }
        })
    }),
    Entry::new("refuses keys in an authentication line", |_| {
        Fault::proof(|_, line| if line.split(';').count() <= 3 { Proof::AsItIs } else { Proof::Wrong })
    }),
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

/// Makes a line one that no node takes.
fn spoil(line: &mut Vec<u8>) {
    line.extend(b"\r.");
}

/// Takes the key tls out of a first line.
fn without_tls(number: usize, line: &mut Vec<u8>) {
    if number == 0 && std::str::from_utf8(line).is_ok() {
        let parts: Vec<_> = fields(line).into_iter().filter(|part| !part.starts_with("tls=")).collect();
        *line = parts.join(";").into_bytes();
    }
}

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
