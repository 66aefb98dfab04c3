//! Chapter 8, section 8.9: networks of three nodes under test, which come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::members::{asked, control, until_has, watch};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::Global;
use crate::subject::Subject;
use crate::test::{Test, unique};

/// The cases of whole networks.
pub(super) const CASES: &[Case] = &[
    network(
        "networks/slaves-and-their-global",
        &["GLOBAL-4", "GLOBAL-8", "GLOBAL-11", "GLOBAL-12", "DB-5", "DB-9", "DB-16", "DB-17", "DB-21"],
        "Two slaves and a global, each of which is killed and comes back: all have the same again, and a watch is told what is different.",
        slaves_and_their_global,
    ),
    network(
        "networks/two-globals-and-a-slave",
        &["GLOBAL-12", "GLOBAL-16", "GLOBAL-18", "DB-7", "DB-9", "DB-10", "DB-13", "DB-14"],
        "Two globals and a slave, each of which is killed and comes back: all have the same again.",
        two_globals_and_a_slave,
    ),
    network(
        "networks/messages-by-name",
        &["PEER-1", "FIND-1", "FIND-2", "FIND-4", "PEER-2"],
        "Two slaves that know each other by name only send each other messages, in the order in which they were sent.",
        messages_by_name,
    ),
];

const fn network(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).level(Global).needs(&[Listen]).once().alone()
}

/// A node under test, with a connection by which it is told what to do.
struct Member {
    subject: Arc<Subject>,
    control: Peer,
    seeds: Vec<String>,
}

impl Member {
    fn start(t: &mut Test<'_>, prefix: &str, seeds: Vec<String>) -> Step<Self> {
        let node = unique(prefix)?;
        let address = t.vacant()?.to_string(); // nobody takes it while the node is away
        let subject = t.start(|start| {
            start.node.clone_from(&node);
            start.listen = Some(address);
            start.seeds.clone_from(&seeds);
        })?;
        Member { control: control(t, &subject)?, subject, seeds }.introduced()
    }

    /// It has an entry of its own.
    fn introduced(mut self) -> Step<Self> {
        self.control.control(&json!(["db_set", "members", self.subject.node, "here"]))?;
        Ok(self)
    }

    fn address(&self) -> String {
        self.subject.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// Comes back where it was.
    fn restart(self, t: &mut Test<'_>) -> Step<Self> {
        let Member { subject, seeds, .. } = self;
        subject.kill();
        let again = t.start(|start| {
            start.node.clone_from(&subject.node);
            start.listen = subject.address.map(|address| address.to_string());
            start.seeds.clone_from(&seeds);
        })?;
        Member { control: control(t, &again)?, subject: again, seeds }.introduced()
    }
}

/// Waiting for a seed may take 4.8 seconds, and for a global too.
fn patience(t: &Test<'_>) -> Duration {
    t.patience.max(Duration::from_secs(10))
}

/// Waits until all of them have all of them in the database.
fn converge(t: &Test<'_>, members: &mut [&mut Member]) -> Step {
    let all: Json = members.iter().map(|member| (member.subject.node.clone(), json!("here"))).collect::<Map<_, _>>().into();
    for member in members {
        until_has(&mut member.control, "members", &all, patience(t))?;
    }
    Ok(())
}

/// What a watch has been told, as it adds up.
struct View {
    name: &'static str,
    entries: Map<String, Json>,
}

impl View {
    fn new(member: &mut Member, name: &'static str) -> Step<Self> {
        watch(&mut member.control, name, "members")?;
        Ok(View { name, entries: Map::new() })
    }

    /// Takes what is told until these are the keys. What is told must be different from what was there.
    fn until(&mut self, t: &Test<'_>, member: &mut Member, others: &[&str]) -> Step {
        let until = Instant::now() + patience(t);
        let right: Map<_, _> = others.iter().map(|node| ((*node).to_owned(), json!("here"))).collect();
        while self.entries != right {
            let what = format!("to be told until {} is in the view, which has {}", json!(right), json!(self.entries));
            let came = member.control.find_before(until, &what, |message| message.port() == self.name).breaks("DB-20")?;
            let wrong = || Failure::wrong("a difference", came.shown()).breaks("DB-20");
            let (Some(added), Some(changed), Some(deleted)) =
                (came.elements.get(2), came.elements.get(3), came.elements.get(4))
            else {
                return Err(wrong());
            };
            for (key, value) in added.as_object().into_iter().flatten() {
                if self.entries.insert(key.clone(), value.clone()).is_some() {
                    return Err(wrong());
                }
            }
            for (key, value) in changed.as_object().into_iter().flatten() {
                if self.entries.insert(key.clone(), value.clone()).is_none_or(|before| before == *value) {
                    return Err(wrong());
                }
            }
            for key in deleted.as_array().into_iter().flatten().filter_map(Json::as_str) {
                self.entries.remove(key).ok_or_else(wrong)?;
            }
        }
        Ok(())
    }
}

fn slaves_and_their_global(t: &mut Test<'_>) -> Step {
    let mut hub = Member::start(t, "hub", Vec::new())?;
    let mut one = Member::start(t, "one", vec![hub.address()])?;
    let mut two = Member::start(t, "two", vec![hub.address()])?;
    let names = [&hub, &one, &two].map(|member| member.subject.node.clone());
    let [of_hub, of_one, of_two] = names.each_ref().map(String::as_str);
    let mut view = View::new(&mut two, "view")?;
    converge(t, &mut [&mut hub, &mut one, &mut two])?;
    view.until(t, &mut two, &[of_hub, of_one, of_two])?;

    one.subject.kill();
    view.until(t, &mut two, &[of_hub, of_two]).breaks("DB-9")?;
    converge(t, &mut [&mut hub, &mut two]).breaks("DB-9")?;
    one = one.restart(t)?;
    view.until(t, &mut two, &[of_hub, of_one, of_two]).breaks("DB-17")?;
    converge(t, &mut [&mut hub, &mut one, &mut two])?;

    // A view is kept when there is no master, and what is set meanwhile comes to the next one.
    hub.subject.kill();
    one.control.control(&json!(["db_set", "meanwhile", "k", "v"]))?;
    one.control.settle()?;
    hub = hub.restart(t)?;
    converge(t, &mut [&mut hub, &mut one, &mut two]).breaks("GLOBAL-12")?;
    until_has(&mut two.control, "meanwhile", &json!({"k": "v"}), patience(t)).breaks("GLOBAL-11")?;
    view.until(t, &mut two, &[of_hub, of_one, of_two]).breaks("DB-21")?;

    two = two.restart(t)?;
    converge(t, &mut [&mut hub, &mut one, &mut two])
}

fn two_globals_and_a_slave(t: &mut Test<'_>) -> Step {
    let mut one = Member::start(t, "one", Vec::new())?;
    let mut two = Member::start(t, "two", vec![one.address()])?;
    // Both are seeds, so both are globals.
    let mut slave = Member::start(t, "slave", vec![one.address(), two.address()])?;
    let globals = json!({one.subject.node.as_str(): null, two.subject.node.as_str(): null});
    for round in 0..2 {
        converge(t, &mut [&mut one, &mut two, &mut slave])?;
        for member in [&mut one, &mut two, &mut slave] {
            until_has(&mut member.control, "'g", &globals, patience(t)).breaks("DB-13")?;
        }
        let (lost, stays) = if round == 0 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        lost.subject.kill();
        converge(t, &mut [stays, &mut slave]).breaks("GLOBAL-12")?;
        if round == 0 {
            one = one.restart(t)?;
        } else {
            two = two.restart(t)?;
        }
    }
    converge(t, &mut [&mut one, &mut two, &mut slave])?;
    slave.subject.kill();
    converge(t, &mut [&mut one, &mut two]).breaks("DB-9")?;
    slave = slave.restart(t)?;
    converge(t, &mut [&mut one, &mut two, &mut slave])?;
    // Each has said where it can be reached, in words of its own.
    let mut names = [&one, &two, &slave].map(|member| member.subject.node.clone());
    names.sort_unstable();
    for member in [&mut one, &mut two, &mut slave] {
        let mut known = asked(&mut member.control, "db_keys", "'l")?;
        known.as_array_mut().into_iter().for_each(|keys| keys.sort_by_key(Json::to_string));
        check(known == json!(names), format!("{} in the family \"'l\"", json!(names)), known).breaks("DB-14")?;
    }
    Ok(())
}

fn messages_by_name(t: &mut Test<'_>) -> Step {
    let mut hub = Member::start(t, "hub", Vec::new())?;
    let mut one = Member::start(t, "one", vec![hub.address()])?;
    let mut two = Member::start(t, "two", vec![hub.address()])?;
    converge(t, &mut [&mut hub, &mut one, &mut two])?;
    for (from_one, to) in [(true, two.subject.node.clone()), (false, one.subject.node.clone())] {
        let (sender, receiver) =
            if from_one { (&mut one.control, &mut two.control) } else { (&mut two.control, &mut one.control) };
        for number in 0..10 {
            sender.control(&json!(["send", format!("{to}#echo"), format!("{number}"), receiver.port("came")]))?;
        }
        for number in 0..10 {
            receiver.expect("came", &json!([format!("{number}")])).breaks("PEER-2")?;
        }
    }
    Ok(())
}
