//! `aemp log`.

use std::time::{Duration, SystemTime};

use aemp_node::proto::value::Value;
use aemp_node::{Escaped, LogLevel, Record};
use clap::Args;

use crate::ask::json;
use crate::options::{Join, Reachable};
use crate::{Failure, say};

#[derive(Args)]
pub(crate) struct Log {
    #[command(flatten)]
    join: Join,
    #[command(flatten)]
    reachable: Reachable,
    /// The least important level that is shown: a number from 1 to 9, or fatal, alert, critical, error, warn, note, info,
    /// debug, trace
    #[arg(long, default_value_t = LogLevel::INFO)]
    level: LogLevel,
    /// Prints a JSON object a line: `time` in seconds since 1970, `node`, `context`, `level` as a number, `text`
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (node, _) = self.join.join_reachable(self.reachable).await?;
        let mut caught = node.catch_logs(self.level).await.map_err(Failure::refused)?;
        while let Some(record) = caught.next().await {
            if self.json { say(json(&as_value(record))?)? } else { say(line(&record))? }
        }
        Err(Failure::refused("the node has ended"))
    }
}

fn line(record: &Record) -> String {
    format!("{} {} {} {}", time(record.time), Escaped(&record.node), record.level, harmless(&record.text))
}

/// A text whose further lines are indented, and whose control characters do nothing to whoever reads it (`LOG-14`).
fn harmless(text: &str) -> String {
    let lines = text.trim_end_matches(['\n', '\r']).split('\n').map(|line| Escaped(line).to_string());
    lines.collect::<Vec<_>>().join("\n    ")
}

/// A time as people read it. What another node says that is no time, or beyond the year 9999, stays a number.
fn time(seconds: f64) -> String {
    const YEAR_10000: f64 = 253_402_300_800.0;
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|_| seconds < YEAR_10000 - 1.0);
    let time = time.and_then(|time| SystemTime::UNIX_EPOCH.checked_add(time));
    time.map_or_else(|| seconds.to_string(), |time| humantime::format_rfc3339_millis(time).to_string())
}

fn as_value(record: Record) -> Value {
    let members = [
        ("time", record.time.into()),
        ("node", record.node.as_str().into()),
        ("context", record.context.into()),
        ("level", u64::from(record.level.number()).into()),
        ("text", record.text.into()),
    ];
    Value::Map(members.map(|(name, value): (_, Value)| (name.to_owned(), value)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_says_does_nothing_to_a_terminal() {
        let shown = harmless("ä\tb\x1b[2J\x07\nmore\u{9b}31m\r\n");
        assert_eq!(shown, "ä\\tb\\u{1b}[2J\\u{7}\n    more\\u{9b}31m", "LOG-14");
    }

    #[test]
    fn times_are_shown_as_people_read_them_and_nonsense_as_it_is() {
        assert_eq!(time(1_795_367_485.18), "2026-11-22T17:11:25.180Z");
        assert_eq!(time(0.0), "1970-01-01T00:00:00.000Z");
        for (wrong, shown) in [(-1.0, "-1"), (f64::NAN, "NaN"), (253_402_300_800.0, "253402300800"), (f64::INFINITY, "inf")]
        {
            assert_eq!(time(wrong), shown);
        }
    }
}
