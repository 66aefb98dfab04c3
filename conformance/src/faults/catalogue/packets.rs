//! Nodes that send or read packets wrongly, whatever the packets mean.

use aemp_proto::value::Value;

use super::Entry;
use crate::faults::{Fate, Fault};

pub(super) const FAULTS: &[Entry] = &[
    Entry::new("is deaf after a malformed packet", |_| Fault { deaf: true, keeps_open: true, ..Fault::default() }),
    Entry::new("loses the first octet of a packet", |_| {
        Fault::octets_out(|_, octets| {
            octets.remove(0);
        })
    }),
    Entry::new("loses the first octet of what is read", |_| {
        Fault::octets_in(|_, octets| {
            if !octets.is_empty() {
                octets.remove(0);
            }
        })
    }),
    Entry::new("loses all but the first read's worth of a packet", |_| {
        let mut large = false;
        Fault::octets_in(move |_, octets| {
            if std::mem::replace(&mut large, octets.len() > 8192) {
                octets.clear();
            }
        })
    }),
    Entry::new("puts a comma between packets", |_| Fault::octets_out(|_, octets| octets.push(b','))),
    Entry::new("sends every packet twice", |_| Fault::packet_out(|_, message| Fate::Replace(vec![message.to_vec(); 2]))),
    Entry::new("sends nothing", |_| Fault::packet_out(|_, _| Fate::Drop)),
    Entry::new("exchanges each two packets that it sends", |_| {
        let mut kept: Option<(usize, Vec<Value>)> = None;
        Fault::packet_out(move |between, message| match kept.take() {
            Some((number, first)) if number == between.number => Fate::Replace(vec![message.to_vec(), first]),
            _ => {
                kept = Some((between.number, message.to_vec()));
                Fate::Drop
            }
        })
    }),
    Entry::new("sends port names as maps", |_| {
        Fault::packet_out(|_, message| {
            let mut message = message.to_vec();
            message[0] = Value::Map([("port".to_owned(), message[0].clone())].into());
            Fate::Replace(vec![message])
        })
    }),
    Entry::new("closes on a keepalive", |_| {
        Fault::packet_in(|_, message| if message.is_empty() { Fate::Close } else { Fate::Pass })
    }),
    Entry::new("closes on an unknown port", |_| {
        Fault::packet_in(|_, message| match message.first() {
            Some(Value::Text(port)) if !["", "echo", "control"].contains(&&**port) => Fate::Close,
            Some(Value::Bytes(port)) if ![&b""[..], b"echo", b"control"].contains(&&**port) => Fate::Close,
            _ => Fate::Pass,
        })
    }),
    Entry::new("closes on a port that is no name", |_| {
        Fault::packet_in(|_, message| match message.first() {
            Some(Value::Bool(_) | Value::Float(_) | Value::Array(_) | Value::Map(_)) => Fate::Close,
            _ => Fate::Pass,
        })
    }),
    Entry::new("closes on elements that are no texts", |_| {
        Fault::packet_in(|_, message| {
            if message.iter().skip(1).all(|value| matches!(value, Value::Text(_) | Value::Bytes(_))) {
                Fate::Pass
            } else {
                Fate::Close
            }
        })
    }),
    Entry::new("takes no integers for port names", |_| {
        Fault::packet_in(|_, message| match message.first() {
            Some(Value::Integer(_)) => Fate::Drop,
            _ => Fate::Pass,
        })
    }),
    Entry::new("takes null for no port", |_| {
        Fault::packet_in(|_, message| match message.first() {
            Some(Value::Null) => Fate::Drop,
            _ => Fate::Pass,
        })
    }),
    Entry::new("sends integers as texts", |_| {
        values_out(|value| match value {
            Value::Integer(number) => Value::Text(i128::from(*number).to_string()),
            other => other.clone(),
        })
    }),
    Entry::new("sends integers as floats", |_| {
        values_out(|value| match value {
            #[expect(clippy::cast_precision_loss, reason = "it is the fault")]
            Value::Integer(number) => Value::Float(i128::from(*number) as f64),
            other => other.clone(),
        })
    }),
    Entry::new("sends the lowest 32 bits of integers", |_| {
        values_out(|value| match value {
            Value::Integer(number) => {
                let low = i128::from(*number) & i128::from(u32::MAX);
                Value::Integer(u64::try_from(low).unwrap_or_default().into())
            }
            other => other.clone(),
        })
    }),
    Entry::new("sends bools as numbers", |_| {
        values_out(|value| match value {
            Value::Bool(value) => Value::Integer(u64::from(*value).into()),
            other => other.clone(),
        })
    }),
    Entry::new("sends null as an empty text", |_| {
        values_out(|value| match value {
            Value::Null => Value::Text(String::new()),
            other => other.clone(),
        })
    }),
    Entry::new("cuts texts at U+0000", |_| {
        values_out(|value| match value {
            Value::Text(text) => Value::Text(text.split('\0').next().unwrap_or_default().to_owned()),
            other => other.clone(),
        })
    }),
    Entry::new("knows ASCII only", |_| {
        values_out(|value| match value {
            Value::Text(text) => Value::Text(text.chars().map(|char| if char.is_ascii() { char } else { '?' }).collect()),
            other => other.clone(),
        })
    }),
    Entry::new("loses empty arrays and maps", |_| {
        values_out(|value| match value {
            Value::Array(values) if values.is_empty() => Value::Null,
            Value::Map(map) if map.is_empty() => Value::Null,
            other => other.clone(),
        })
    }),
    Entry::new("loses the digits of floats", |_| {
        values_out(|value| match value {
            Value::Float(float) => Value::Float((float * 1000.0).round() / 1000.0),
            other => other.clone(),
        })
    }),
];

/// Changes every value behind the port name in what is sent.
fn values_out(change: fn(&Value) -> Value) -> Fault {
    fn deep(value: &Value, change: fn(&Value) -> Value) -> Value {
        match change(value) {
            Value::Array(values) => Value::Array(values.iter().map(|value| deep(value, change)).collect()),
            Value::Map(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), deep(value, change))).collect()),
            other => other,
        }
    }
    Fault::packet_out(move |_, message| {
        let changed: Vec<_> =
            message.iter().take(1).cloned().chain(message.iter().skip(1).map(|value| deep(value, change))).collect();
        if changed == message { Fate::Pass } else { Fate::Replace(vec![changed]) }
    })
}
