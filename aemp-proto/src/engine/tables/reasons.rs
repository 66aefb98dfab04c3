//! Why a port ended.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::framing::{DecodeError, EncodeError, Framing, Limits};
use crate::names::{NodeId, PortId};
use crate::value::Value;

/// Why a port ended: any values; none if it ended normally. By custom the first one is a word that says which kind of end it
/// was. Cheap to clone, however large they are.
#[derive(Clone, PartialEq, Default)]
pub struct Reasons(Arc<Vec<Value>>);

impl Reasons {
    /// The end of a port that did what it was there for.
    pub fn normal() -> Self {
        Reasons::default()
    }

    /// An end with these reasons.
    pub fn new<T: Into<Value>>(reasons: impl IntoIterator<Item = T>) -> Self {
        Reasons::from(reasons.into_iter().map(Into::into).collect::<Vec<_>>())
    }

    /// A port whose code failed (`PORT-2`).
    pub fn die(what: impl Into<Value>) -> Self {
        Reasons::from(vec!["die".into(), what.into()])
    }

    /// The connection to a node was lost, or cannot be made (`MON-8`).
    pub fn transport_error(node: &NodeId, text: &str) -> Self {
        Reasons::new(["transport_error", node.as_str(), text])
    }

    /// A port that never was, or is no more (`MON-2`).
    pub(in crate::engine) fn no_such_port(port: &PortId) -> Self {
        Reasons::new(["no_such_port", "cannot monitor nonexistent port", &port.to_string()])
    }

    /// A message for which a port has no code (`PORT-3`).
    pub(crate) fn unhandled(tag: &str) -> Self {
        /// What a text shows of a tag.
        const SHOWN: usize = 30;
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '.' };
        let tag: String = tag.chars().take(SHOWN).map(printable).collect();
        Reasons::new(["unhandled_message".into(), alloc::format!("no callback found for message '{tag}'")])
    }

    /// Whether the port ended normally.
    pub fn is_normal(&self) -> bool {
        self.0.is_empty()
    }

    /// The reasons.
    pub fn values(&self) -> &[Value] {
        &self.0
    }

    /// The first reason as a text, which by custom says what kind of end it was: `transport_error`, `no_such_port`, `die`,
    /// `unhandled_message`, or a word of your own. `None` for a normal end, and where it is no text.
    pub fn kind(&self) -> Option<Cow<'_, str>> {
        self.0.first()?.text()
    }

    /// The last reason as a text, which by custom tells people what happened. `None` for a normal end, and where it is no
    /// text.
    pub fn message(&self) -> Option<Cow<'_, str>> {
        self.0.last()?.text()
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.0).finish()
    }
}

/// As JSON.
impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
        Framing::Json.encode(&*self.0, &unlimited, &mut out).map_err(|_| fmt::Error)?;
        f.write_str(core::str::from_utf8(&out).map_err(|_| fmt::Error)?)
    }
}

impl From<Vec<Value>> for Reasons {
    fn from(values: Vec<Value>) -> Self {
        Reasons(Arc::new(values))
    }
}

/// A request about the end of a port, with the reasons.
pub(in crate::engine) struct Told<'a> {
    pub(in crate::engine) request: &'static str,
    pub(in crate::engine) port: &'a str,
    pub(in crate::engine) reasons: &'a [Value],
}

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(2 + self.reasons.len()))?;
        sequence.serialize_element(self.request)?;
        sequence.serialize_element(self.port)?;
        self.reasons.iter().try_for_each(|reason| sequence.serialize_element(reason))?;
        sequence.end()
    }
}

/// A message that a watch sends: its elements, and the reasons behind them.
pub(in crate::engine) struct Fired<'a>(pub(in crate::engine) &'a [Value], pub(in crate::engine) &'a [Value]);

impl Serialize for Fired<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0.len() + self.1.len()))?;
        self.0.iter().chain(self.1).try_for_each(|value| sequence.serialize_element(value))?;
        sequence.end()
    }
}

/// What the code of a port returns when it fails: the port ends with the reasons `"die"` and this.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure(pub Value);

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Failure(text.into())
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Failure(text.into())
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Failure(error.to_string().into())
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Failure(error.to_string().into())
    }
}

/// What the code of a port returns.
pub type Outcome = Result<(), Failure>;

/// What code that runs once may return: an [`Outcome`], or nothing, which is no failure.
pub trait IntoOutcome {
    /// The outcome.
    ///
    /// # Errors
    ///
    /// When the code failed.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}
