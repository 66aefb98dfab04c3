//! Records and their levels.

use std::fmt;
use std::str::FromStr;

use aemp_proto::framing::Elements;
use aemp_proto::names::NodeId;
use thiserror::Error;

/// The level of a record, from 1 (fatal, most important) to 9 (trace).
///
/// ```
/// use aemp_node::LogLevel;
/// assert_eq!("warn".parse(), Ok(LogLevel::WARN));
/// assert_eq!("5".parse(), Ok(LogLevel::WARN));
/// assert!(LogLevel::INFO.covers(LogLevel::WARN), "whoever wants to be informed is warned, too");
/// assert_eq!(LogLevel::from(tracing::Level::INFO), LogLevel::INFO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogLevel(u8);

const NAMES: [&str; 9] = ["fatal", "alert", "critical", "error", "warn", "note", "info", "debug", "trace"];

impl LogLevel {
    /// The program ends.
    pub const FATAL: Self = LogLevel(1);
    /// The main part has failed.
    pub const ALERT: Self = LogLevel(2);
    /// What stands in for it has failed.
    pub const CRITICAL: Self = LogLevel(3);
    /// Something went wrong.
    pub const ERROR: Self = LogLevel(4);
    /// Something may have gone wrong.
    pub const WARN: Self = LogLevel(5);
    /// Something unusual.
    pub const NOTE: Self = LogLevel(6);
    /// What goes on.
    pub const INFO: Self = LogLevel(7);
    /// For those who look for faults.
    pub const DEBUG: Self = LogLevel(8);
    /// Everything.
    pub const TRACE: Self = LogLevel(9);

    /// Returns the level with this number, or `None` if the number is not from 1 to 9.
    pub fn new(number: u8) -> Option<Self> {
        (1..=9).contains(&number).then_some(LogLevel(number))
    }

    /// The level of a number that came over the wire: above 9 there is no more than everything. `None` below 1.
    pub(super) fn from_wire(number: i64) -> Option<Self> {
        LogLevel::new(u8::try_from(number.clamp(0, 9)).ok()?)
    }

    /// Returns the number, from 1 to 9.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Returns whether a request for this level includes records of the level `other`.
    pub fn covers(self, other: Self) -> bool {
        other <= self
    }
}

/// Shows the name.
impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NAMES[usize::from(self.0) - 1])
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The error for a text that is not a level.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no level: a number from 1 to 9, or fatal, alert, critical, error, warn, note, info, debug, trace")]
pub struct LogLevelError(String);

/// Takes a name or a number.
impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(text: &str) -> Result<Self, LogLevelError> {
        let named = NAMES.iter().zip(1..).find(|(name, _)| **name == text).map(|(_, number)| number);
        let number = named.or_else(|| text.parse().ok());
        number.and_then(LogLevel::new).ok_or_else(|| LogLevelError(text.to_owned()))
    }
}

/// As the table in section 9.2 of the specification has it.
impl From<tracing::Level> for LogLevel {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => LogLevel::ERROR,
            tracing::Level::WARN => LogLevel::WARN,
            tracing::Level::INFO => LogLevel::INFO,
            tracing::Level::DEBUG => LogLevel::DEBUG,
            tracing::Level::TRACE => LogLevel::TRACE,
        }
    }
}

/// As the table in section 9.2 of the specification has it.
impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level.0 {
            ..=4 => tracing::Level::ERROR,
            5 => tracing::Level::WARN,
            6 | 7 => tracing::Level::INFO,
            8 => tracing::Level::DEBUG,
            _ => tracing::Level::TRACE,
        }
    }
}

/// A record of another node's log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Record {
    /// The node that sent the record, or that the record is about.
    pub node: NodeId,
    /// The time of the record by the clock of its node, in seconds since 1970. The node chooses the value: it may be
    /// any number, or not a number.
    pub time: f64,
    /// The part of the program that made the record.
    pub context: String,
    /// The level of the record.
    pub level: LogLevel,
    /// The text of the record. It may contain line ends and control characters: show it as [`Escaped`](crate::Escaped).
    pub text: String,
}

impl Record {
    /// Decodes a record from a message of `node`. Returns `None` if the message is not a record (`LOG-12`).
    pub fn decode(node: &NodeId, message: Elements<'_>) -> Option<Record> {
        let (time, context, level, text) = message.rest::<(f64, String, i64, String)>().ok()?;
        Some(Record { node: node.clone(), time, context, level: LogLevel::from_wire(level)?, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_numbers_and_names_and_those_of_tracing_come_back() {
        for (number, name) in (1..).zip(NAMES) {
            let level = LogLevel::new(number).expect("from 1 to 9");
            assert_eq!((level.to_string().as_str(), level.number()), (name, number));
            assert_eq!((name.parse(), number.to_string().parse()), (Ok(level), Ok(level)));
        }
        for wrong in ["0", "10", "", "Warn", "-1", "256"] {
            assert_eq!(wrong.parse::<LogLevel>(), Err(LogLevelError(wrong.to_owned())));
        }
        for (number, level) in [(-1, None), (0, None), (1, Some(1)), (9, Some(9)), (10, Some(9)), (i64::MAX, Some(9))] {
            assert_eq!(LogLevel::from_wire(number).map(LogLevel::number), level, "{number}");
        }
        use tracing::Level;
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            assert_eq!(Level::from(LogLevel::from(level)), level);
        }
        let all = (1..=9).filter_map(LogLevel::new).map(Level::from).collect::<Vec<_>>();
        assert!(all.windows(2).all(|pair| pair[0] <= pair[1]), "{all:?}");
    }
}
