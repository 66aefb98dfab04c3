//! Asking everything, and what comes of it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::case::{Case, Question, Verdict};
use super::judging::judge;
use super::program::{Program, shortened};
use crate::failure::{Failure, Step};
use crate::run::{self, Outcome};
use crate::subject::Level;
use crate::wire::{Direction, Entry};

/// How often a program is started again after it failed to answer.
const RESTARTS: usize = 10;

/// The name of the case that says how the program ended.
pub const END: &str = "program/ends";

/// Asks a program all questions of these cases, and tells each outcome as it comes, until it is told to stop.
///
/// A program that gives no answer to a question is started again, and asked those behind it.
///
/// # Errors
///
/// When it cannot be started at all: then nothing is told.
pub fn run(
    command: &[String],
    cases: &[Case],
    patience: Duration,
    mut tell: impl FnMut(Outcome) -> ControlFlow<()>,
) -> Step {
    let lines: Arc<[String]> = lines(cases).into();
    let program = Some(Program::start(command, lines.clone(), 0, patience)?);
    let mut asking = Asking { command, lines, patience, next: 0, program, failures: 0 };
    for case in cases {
        if tell(asking.case(case)).is_break() {
            return Ok(());
        }
    }
    let _ = tell(asking.end());
    Ok(())
}

/// The requests, each with its line end.
pub fn lines(cases: &[Case]) -> Vec<String> {
    let questions = cases.iter().flat_map(|case| &case.questions);
    let requests = questions.enumerate().map(|(number, question)| {
        let mut request = question.request.clone();
        request["id"] = (number + 1).into();
        request.to_string() + "\n"
    });
    requests.collect()
}

/// An answer as a line, and what it says.
pub type Answer = (String, Json);

/// What comes of a case, when its questions are answered so. Instead of an answer there may be what came, and why it is
/// none.
pub fn judged(case: &Case, mut answer: impl FnMut(&Question) -> Result<Answer, (Failure, String)>) -> Outcome {
    let mut outcome = case.outcome();
    for question in &case.questions {
        let judged =
            answer(question).and_then(|(line, answer)| judge(case, question, &answer).map_err(|failure| (failure, line)));
        match judged {
            Ok(remark) => outcome.outcome = outcome.outcome.or(remark.map(str::to_owned)),
            // One wrong answer is enough to say what is wrong with a case.
            Err((failure, line)) if outcome.findings.is_empty() => {
                let request = question.request.to_string();
                outcome.wire = vec![passed(Direction::Sent, &request), passed(Direction::Received, &line)];
                outcome.judge(failure);
                if line.is_empty() {
                    // No answer says nothing about a requirement, nor how strong it is.
                    outcome.findings.iter_mut().for_each(|finding| (finding.requirement, finding.sentence) = (None, None));
                    if [run::Verdict::NotStrict, run::Verdict::Informational].contains(&outcome.verdict) {
                        outcome.verdict = run::Verdict::Fail;
                    }
                }
            }
            Err(_) => {}
        }
    }
    outcome
}

struct Asking<'a> {
    command: &'a [String],
    lines: Arc<[String]>,
    patience: Duration,
    /// The question whose answer is waited for.
    next: usize,
    program: Option<Program>,
    failures: usize,
}

impl Asking<'_> {
    fn case(&mut self, case: &Case) -> Outcome {
        let begun = Instant::now();
        let mut outcome = judged(case, |_| self.answer());
        if outcome.verdict != run::Verdict::Pass {
            outcome.errors = self.program.as_ref().map(Program::errors).unwrap_or_default();
        }
        outcome.took = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        outcome
    }

    /// The next answer, with its line; or what is wrong, and the line.
    fn answer(&mut self) -> Result<Answer, (Failure, String)> {
        let number = self.next;
        self.next += 1;
        if self.program.is_none() {
            if self.failures > RESTARTS {
                let what = format!("the program failed to answer {} times; it was not asked any more", self.failures);
                return Err((Failure::Suite(what), String::new()));
            }
            let program = Program::start(self.command, self.lines.clone(), number, self.patience);
            self.program = Some(program.map_err(|failure| {
                // There is no use in trying that again.
                self.failures = RESTARTS + 1;
                (failure, String::new())
            })?);
        }
        let line = self.program.as_mut().map_or_else(|| Err(String::new()), Program::line);
        let read = line.and_then(|line| match read(number, &line) {
            Ok(answer) => Ok((line, answer)),
            Err(what) => Err(format!("{what}: {:?}", shortened(&line))),
        });
        read.map_err(|what| {
            let errors = self.program.take().map(Program::last_words).unwrap_or_default();
            self.failures += 1;
            let what = format!("{what}\n{}", errors.trim_end());
            (Failure::wrong(format!("one line, the answer to request {}", number + 1), what.trim_end()), String::new())
        })
    }

    /// Whether the program ends when it should, and says nothing that it was not asked.
    fn end(&mut self) -> Outcome {
        let case = Case {
            name: END.into(),
            about: "Each request is answered by one line, and the program ends when its input does.".into(),
            framing: None,
            requirements: Vec::new(),
            level: Level::Simple,
            needs: Vec::new(),
            verdict: Verdict::Valid,
            errors: Vec::new(),
            order_is_free: false,
            questions: Vec::new(),
        };
        let mut outcome = case.outcome();
        if let Some(mut program) = self.program.take() {
            if let Err(what) = program.end() {
                outcome.judge(Failure::wrong("the end of its output, behind the last answer", what));
                outcome.errors = program.errors();
            }
        } else if self.failures > 0 {
            outcome.judge(Failure::wrong("an answer to each request", "none to some: see the cases"));
        }
        outcome
    }
}

fn read(number: usize, line: &str) -> Result<Json, String> {
    let answer: Json = serde_json::from_str(line).map_err(|error| format!("a line that is no JSON ({error})"))?;
    match answer["id"].as_u64() {
        Some(id) if usize::try_from(id).is_ok_and(|id| id == number + 1) => Ok(answer),
        _ => Err(format!("an answer with the id {}", answer["id"])),
    }
}

fn passed(direction: Direction, line: &str) -> Entry {
    Entry { at: 0, connection: 0, direction, meaning: shortened(line), octets: String::new(), length: 0 }
}
