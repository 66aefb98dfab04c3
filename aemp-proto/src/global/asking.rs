//! Questions that wait for an answer.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::database::{Family, name};
use super::request::Question;
use crate::value::Value;

/// Which question; no two of a node are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionId(pub(super) u64);

/// What a question comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// All of a family.
    Family(Family),
    /// Its keys, in order.
    Keys(Vec<String>),
    /// Its values, in the order of their keys.
    Values(Vec<Value>),
    /// The answer does not fit into a packet (`DB-26`).
    TooLarge,
}

impl Answer {
    /// Takes the answer to a question; `None` if it has another shape (`DB-25`).
    pub(super) fn decode(question: Question, value: Value) -> Option<Answer> {
        Some(match (question, value) {
            (_, Value::Null) => Answer::TooLarge,
            (Question::Family, Value::Map(family)) => Answer::Family(family),
            (Question::Keys, Value::Array(keys)) => {
                Answer::Keys(keys.iter().map(|key| name(key).map(Into::into)).collect::<Option<_>>()?)
            }
            (Question::Values, Value::Array(values)) => Answer::Values(values),
            _ => return None,
        })
    }

    /// The answer as it is sent.
    pub(super) fn into_value(self) -> Value {
        match self {
            Answer::Family(family) => Value::Map(family),
            Answer::Keys(keys) => Value::Array(keys.into_iter().map(Value::Text).collect()),
            Answer::Values(values) => Value::Array(values),
            Answer::TooLarge => Value::Null,
        }
    }
}

/// A question that was not answered yet.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) family: String,
    name: String,
}

/// The questions that wait.
#[derive(Default)]
pub(super) struct Questions {
    waiting: BTreeMap<QuestionId, Asked>,
    by_name: BTreeMap<String, QuestionId>,
    last: u64,
}

impl Questions {
    pub(super) fn next(&mut self) -> QuestionId {
        self.last += 1;
        QuestionId(self.last)
    }

    /// A name for a query whose answer says only that it has come.
    pub(super) fn next_name(&mut self) -> String {
        letters(self.next().0)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds one, and gives the name under which it is sent.
    pub(super) fn add(&mut self, id: QuestionId, question: Question, family: &str) -> String {
        let name = letters(id.0);
        self.by_name.insert(name.clone(), id);
        self.waiting.insert(id, Asked { question, family: family.into(), name: name.clone() });
        name
    }

    /// Takes the answer to the one of that name, if it fits.
    pub(super) fn answer(&mut self, name: &str, value: Value) -> Option<(QuestionId, Answer)> {
        let id = *self.by_name.get(name)?;
        let answer = Answer::decode(self.waiting.get(&id)?.question, value)?;
        self.by_name.remove(name);
        self.waiting.remove(&id);
        Some((id, answer))
    }

    /// Nobody waits for the answer any more.
    pub(super) fn give_up(&mut self, id: QuestionId) {
        if let Some(asked) = self.waiting.remove(&id) {
            self.by_name.remove(&asked.name);
        }
    }

    /// All that wait, to be sent again: what is asked, of which family, and the name.
    pub(super) fn waiting(&self) -> Vec<(Question, String, String)> {
        self.waiting.values().map(|asked| (asked.question, asked.family.clone(), asked.name.clone())).collect()
    }

    /// Takes all that wait.
    pub(super) fn take(&mut self) -> BTreeMap<QuestionId, Asked> {
        self.by_name.clear();
        core::mem::take(&mut self.waiting)
    }
}

/// A number in letters: `b` is 1, `ba` is 26.
fn letters(mut number: u64) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            break;
        }
    }
    letters.into_iter().rev().collect()
}
