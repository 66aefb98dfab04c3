//! Values as people type them, and times.

use std::io::Read as _;
use std::time::Duration;

use aemp_node::proto::framing::{Framing, Limits, Packet};
use aemp_node::proto::value::Value;
use clap::Args;

use crate::Failure;

/// How values on the command line are read.
#[derive(Args, Clone, Copy)]
pub(crate) struct Reading {
    /// Takes every value as JSON: numbers, `true`, `false` and `null` too. Without it, what begins with `[`, `{` or `"` is
    /// JSON, and all else a text
    #[arg(long, short = 'j')]
    json: bool,
}

impl Reading {
    /// The value: `-` is what comes on standard input, `@FILE` what is in a file.
    pub(crate) fn value(self, text: &str) -> Result<Value, Failure> {
        let (source, octets) = match text.strip_prefix('@') {
            None if text != "-" => return self.parse(text, &format!("{text:?}")),
            None => {
                let mut octets = Vec::new();
                let read = std::io::stdin().lock().read_to_end(&mut octets);
                read.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
                ("standard input".to_owned(), octets)
            }
            Some(file) => {
                let source = format!("@{file}");
                let octets = std::fs::read(file).map_err(|error| Failure::usage(format!("{source}: {error}")))?;
                (source, octets)
            }
        };
        match String::from_utf8(octets) {
            Ok(text) => self.parse(line(&text), &source),
            Err(_) if self.json => Err(Failure::usage(format!("{source} is no JSON: it is not UTF-8"))),
            Err(error) => Ok(Value::Bytes(error.into_bytes())),
        }
    }

    fn parse(self, text: &str, source: &str) -> Result<Value, Failure> {
        if !self.json && !text.starts_with(['[', '{', '"']) {
            return Ok(text.into());
        }
        // Its errors say where; what is taken then is read as from the wire.
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            let hint = if self.json {
                "a text stands in double quotes"
            } else {
                "to send it as a text, put it in double quotes, as JSON does"
            };
            return Err(Failure::usage(format!("{source} is no JSON: {error}; {hint}")));
        }
        let packet = format!("[{text}]");
        let value = Packet::parse(Framing::Json, packet.as_bytes(), &Limits::default())
            .map_err(|error| error.to_string())
            .and_then(|packet| packet.decode::<(Value,)>().map_err(|error| error.to_string()));
        value.map(|(value,)| value).map_err(|error| Failure::usage(format!("{source} cannot be sent: {error}")))
    }
}

/// A text whose last line end does not count.
pub(crate) fn line(text: &str) -> &str {
    text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// A time: `5s`, `500ms`, `2min`, or a number of seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map(Duration::try_from_secs_f64);
    match seconds {
        Ok(Ok(time)) => Ok(time),
        Ok(Err(_)) => Err("it is no time: write 5s, 500ms, 2min or a number of seconds".into()),
        Err(_) => {
            humantime::parse_duration(text).map_err(|_| "it is no time: write 5s, 500ms, 2min or a number of seconds".into())
        }
    }
}

/// A time that is not zero.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| if time.is_zero() { Err("it must be more than zero".into()) } else { Ok(time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, millis) in
            [("5", 5000), ("0.2", 200), ("5s", 5000), ("500ms", 500), ("2min", 120_000), ("1m 30s", 90_000), ("0", 0)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "-1", "five", "5x", "1e400", "NaN"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        assert!(some_time("0s").is_err());
    }

    #[test]
    fn values_are_texts_unless_they_look_like_json_or_are_said_to_be() {
        let (plain, json) = (Reading { json: false }, Reading { json: true });
        let taken = |reading: Reading, text: &str| reading.value(text).map_err(|failure| failure.text);
        for text in ["5", "-5", "true", "null", "", "hello", "1 2"] {
            assert_eq!(taken(plain, text), Ok(text.into()));
        }
        assert_eq!(taken(plain, r#""5""#), Ok("5".into()));
        assert_eq!(taken(plain, "[5]"), Ok(Value::Array(vec![5u64.into()])));
        assert_eq!(taken(json, "5"), Ok(5u64.into()));
        assert_eq!(taken(json, "-5"), Ok((-5i64).into()));
        assert_eq!(taken(json, "null"), Ok(Value::Null));
        let errors = [
            taken(plain, "{a:1}"),
            taken(plain, "[1"),
            taken(plain, "[1][2]"),
            taken(json, "hello"),
            taken(plain, "@no such file"),
        ];
        insta::assert_snapshot!(errors.map(|error| error.expect_err("it is wrong")).join("\n"), @r#"
        "{a:1}" is no JSON: key must be a string at line 1 column 2; to send it as a text, put it in double quotes, as JSON does
        "[1" is no JSON: EOF while parsing a list at line 1 column 2; to send it as a text, put it in double quotes, as JSON does
        "[1][2]" is no JSON: trailing characters at line 1 column 4; to send it as a text, put it in double quotes, as JSON does
        "hello" is no JSON: expected value at line 1 column 1; a text stands in double quotes
        @no such file: No such file or directory (os error 2)
        "#);
    }
}
