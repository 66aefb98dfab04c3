//! Questions that wait for an answer.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::database::{Family, Name, family};
use super::request::{Question, Reply};
use crate::framing::Encoded;
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
    /// The family is larger than this node takes (`DB-38`).
    TooLarge,
}

impl Answer {
    /// Takes the answer to a question; `None` if it has another shape (`DB-25`).
    fn decode(question: Question, reply: &Reply) -> Option<Answer> {
        Some(match (question, reply) {
            (Question::Family, Reply::Map(entries)) => {
                Answer::Family(family(entries.iter().map(|(key, value)| (key, value))))
            }
            (Question::Keys, Reply::Keys(keys)) => Answer::Keys(keys.iter().map(|key| String::from(&**key)).collect()),
            (Question::Keys, Reply::Array(keys)) => Answer::Keys(keys.iter().map(name).collect::<Option<_>>()?),
            (Question::Values, Reply::Array(values)) => Answer::Values(values.iter().map(Encoded::value).collect()),
            _ => return None,
        })
    }

    /// The answer from entries in order.
    pub(super) fn of<'e>(question: Question, entries: impl Iterator<Item = (&'e Name, &'e Encoded)>) -> Answer {
        match question {
            Question::Family => Answer::Family(family(entries)),
            Question::Keys => Answer::Keys(entries.map(|(key, _)| String::from(&**key)).collect()),
            Question::Values => Answer::Values(entries.map(|(_, value)| value.value()).collect()),
        }
    }
}

/// A key, as a receiver takes it.
fn name(value: &Encoded) -> Option<String> {
    match value.value() {
        Value::Integer(integer) => Some(alloc::string::ToString::to_string(&integer)),
        other => other.into_text(),
    }
}

/// A question that was not answered yet.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) family: Name,
    name: String,
    /// The master has answered that the answer is too large, and the family is fetched (`DB-38`).
    is_fetched: bool,
}

/// What an answer from the master comes to.
pub(super) enum Heard {
    /// The answer to a question.
    Answer(QuestionId, Answer),
    /// The answer is too large, so the family is to be fetched.
    Fetch(QuestionId, Name),
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
    pub(super) fn add(&mut self, id: QuestionId, question: Question, family: &Name) -> String {
        let name = letters(id.0);
        self.by_name.insert(name.clone(), id);
        let asked = Asked { question, family: family.clone(), name: name.clone(), is_fetched: false };
        self.waiting.insert(id, asked);
        name
    }

    /// Takes the answer to the one of that name, if it fits.
    pub(super) fn answer(&mut self, name: &str, reply: &Reply) -> Option<Heard> {
        let id = *self.by_name.get(name)?;
        let asked = self.waiting.get_mut(&id).filter(|asked| !asked.is_fetched)?;
        if *reply == Reply::Null {
            asked.is_fetched = true;
            return Some(Heard::Fetch(id, asked.family.clone()));
        }
        let answer = Answer::decode(asked.question, reply)?;
        self.give_up(id);
        Some(Heard::Answer(id, answer))
    }

    /// What a question is about, if it waits.
    pub(super) fn get(&self, id: QuestionId) -> Option<&Asked> {
        self.waiting.get(&id)
    }

    /// Nobody waits for the answer any more.
    pub(super) fn give_up(&mut self, id: QuestionId) {
        if let Some(asked) = self.waiting.remove(&id) {
            self.by_name.remove(&asked.name);
        }
    }

    /// All that wait, to be sent again to another master: what is asked, of which family, and the name.
    pub(super) fn ask_again(&mut self) -> Vec<(Question, Name, String)> {
        self.waiting
            .values_mut()
            .map(|asked| {
                asked.is_fetched = false;
                (asked.question, asked.family.clone(), asked.name.clone())
            })
            .collect()
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
