//! Chapter 8, as `spec/vectors/global.json` has it: what a live node sends, to whom, and tells, when this and that happens.

mod event;
mod matching;

use std::sync::LazyLock;

use serde_json::Value as Json;

use self::event::Stage;
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step};
use crate::subject::Feature::{Limits, Listen};
use crate::subject::Level::Global;
use crate::test::Test;

/// A case for each vector that can be played to a live node.
pub(super) static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| VECTORS.iter().map(case).collect());

static VECTORS: LazyLock<Vec<Json>> = LazyLock::new(|| {
    let file: Json = serde_json::from_str(include_str!("../../spec/vectors/global.json")).unwrap_or_default();
    let vectors = file["cases"].as_array().cloned().unwrap_or_default();
    vectors.into_iter().filter(can_be_played).collect()
});

/// No verb of the contract changes where a node can be reached; without an address only its seeds can be connected to it;
/// and whoever asks which nodes are connected hears of the one by which the suite controls it, too.
fn can_be_played(vector: &Json) -> bool {
    let steps = vector["steps"].as_array().map_or(&[][..], |steps| steps);
    let listens = vector["addresses"].as_array().is_some_and(|addresses| !addresses.is_empty());
    // What is left open is for those who have an opinion on it.
    let is_open = vector["verdict"] == "either";
    listens && !is_open && !steps.iter().any(|step| step["does"][0] == "set_addresses" || step["receives"][1] == "eval")
}

fn case(vector: &Json) -> Case {
    let text = |field: &str| vector[field].as_str().unwrap_or_default().to_owned();
    // Cases live as long as the program.
    let name: &'static str = format!("global-vectors/{}", text("id").trim_start_matches("global-")).leak();
    let about: &'static str = (text("about") + ".").leak();
    let requirements = vector["requirements"].as_array().into_iter().flatten();
    let proves: Vec<&'static str> = requirements.filter_map(Json::as_str).map(|id| &*id.to_owned().leak()).collect();
    let needs = if vector["limits"].is_object() { &[Listen, Limits][..] } else { &[Listen] };
    Case::new(name, proves.leak(), about, play).level(Global).needs(needs).alone()
}

fn play(t: &mut Test<'_>) -> Step {
    let id = t.name().trim_start_matches("global-vectors/").to_owned();
    let vector =
        VECTORS.iter().find(|vector| vector["id"].as_str().is_some_and(|other| other.trim_start_matches("global-") == id));
    let vector = vector.ok_or_else(|| Failure::Suite(format!("there is no vector {id}")))?;
    let mut stage = Stage::new(t, vector)?;
    for (number, step) in (1..).zip(vector["steps"].as_array().into_iter().flatten()) {
        t.log.note(0, format!("step {number} of the vector: {step}"));
        let played = stage.play(t, step);
        played.map_err(|failure| match failure {
            Failure::Wrong { requirement, expected, actual } => {
                Failure::Wrong { requirement, expected: format!("in step {number}: {expected}"), actual }
            }
            other => other,
        })?;
    }
    stage.end().breaks(t.proves())
}
