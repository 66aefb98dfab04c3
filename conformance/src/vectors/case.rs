//! What is asked, and what is right.

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::Value as Json;

use crate::run::Outcome;
use crate::subject::{Feature, Level};

/// Whether an input is to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is, with the right result.
    Valid,
    /// It is to be refused.
    Invalid,
    /// The specification leaves it open; the result is what it recommends.
    Either,
}

/// One thing that is tried, by one or several questions.
#[derive(Debug, Clone)]
pub struct Case {
    /// `FILE/ID`. Names are stable.
    pub name: String,
    /// What is tried.
    pub about: String,
    /// The framing, where the case is run in each.
    pub framing: Option<Framing>,
    /// The requirements that it shows.
    pub requirements: Vec<String>,
    /// For which level it is made.
    pub level: Level,
    /// What else it needs.
    pub needs: Vec<Feature>,
    /// Whether the input is to be accepted.
    pub verdict: Verdict,
    /// The requirements that may be reported when it is refused, the best one first.
    pub errors: Vec<String>,
    /// Whether any other requirement may be reported as well, because the order in which an input is looked at is free.
    pub order_is_free: bool,
    /// What is asked.
    pub questions: Vec<Question>,
}

/// One request, and what has to come.
#[derive(Debug, Clone)]
pub struct Question {
    /// The request, without its `id`.
    pub request: Json,
    /// What the answer has to be, if the input is not refused.
    pub right: Right,
    /// The requirement that a wrong answer to this question breaks, if it is not the first one of the case.
    pub breaks: Option<&'static str>,
}

/// A right answer.
#[derive(Debug, Clone)]
pub enum Right {
    /// It has these fields. Where an input is refused after a while, those in the list are there all the same.
    Fields(Json, &'static [&'static str]),
    /// It has these packets.
    Packets(Packets),
    /// It has one of these fields, or all of them.
    Any(Vec<Json>),
    /// It has this `value`.
    Value(Value),
    /// It has `octets`, which are this one packet in this framing.
    Relayed(Framing, Value),
    /// It has `octets`, which are this one packet in this framing, as a sender has to write it.
    Written(Framing, Value),
}

/// The packets of a stream.
#[derive(Debug, Clone)]
pub struct Packets {
    /// Those that are complete.
    pub packets: Vec<Value>,
    /// Those that may be missing [VALUE-10].
    pub optional: Vec<usize>,
    /// Whether the stream ends within a packet.
    pub incomplete: bool,
    /// Whether a fault may not have been found yet [FRAME-9].
    pub early: bool,
    /// Whether only their number is asked for.
    pub count: bool,
}

impl Case {
    /// As in reports.
    pub fn full_name(&self) -> String {
        self.framing.map_or_else(|| self.name.clone(), |framing| format!("{}[{framing}]", self.name))
    }

    /// The outcome of a case in which nothing was wrong.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            case: self.name.clone(),
            about: self.about.clone(),
            framing: self.framing.map(|framing| framing.name().to_owned()),
            proves: self.requirements.clone(),
            level: self.level,
            needs: self.needs.clone(),
            verdict: crate::run::Verdict::Pass,
            outcome: None,
            findings: Vec::new(),
            wire: Vec::new(),
            errors: String::new(),
            took: 0,
            expected_to_fail: None,
            unexpected_pass: None,
        }
    }
}

impl Question {
    /// A question, whose answer must be right.
    pub fn new(request: Json, right: Right) -> Self {
        Question { request, right, breaks: None }
    }
}
