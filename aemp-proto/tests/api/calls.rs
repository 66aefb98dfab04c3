//! Calls: one answer, or one reason why there is none.

use std::time::Duration;

use crate::support::ports::{Log, heard, log, noting_reasons, port, two, values, with};
use crate::support::world::World;
use aemp_proto::actor::{Context, NoAnswer, Outcome, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

fn noting_answer(log: &Log) -> impl FnOnce(&mut Context<'_>, Result<Elements<'_>, NoAnswer>) -> Outcome + 'static {
    let log = log.clone();
    move |_, answer| {
        log.borrow_mut().push(match answer {
            Ok(elements) => elements.rest()?,
            Err(NoAnswer::Ended(reasons)) => Value::Array(reasons.values().to_vec()),
            Err(error) => error.to_string().into(),
        });
        Ok(())
    }
}

/// A port on `b` that doubles numbers and keeps silent about others.
fn doubler(world: &mut World, b: usize) -> PortId {
    with(world, b, |context| {
        context.port(|context, elements| {
            if let Ok((number, reply)) = elements.rest::<(u64, PortId)>() {
                context.send(&reply, &("doubled", 2 * number))?;
                context.send(&reply, &"once more")?;
            }
            Ok(())
        })
    })
}

#[test]
fn the_first_answer_counts_and_the_watch_goes() {
    let (mut world, a, b) = two();
    let answers = log();
    let id = doubler(&mut world, b);
    for host in [a, b] {
        for timeout in [None, Some(Duration::from_secs(1))] {
            with(&mut world, host, |context| context.call(&id, &21, timeout, noting_answer(&answers)).expect("small"));
            world.run_for(Duration::from_secs(2));
            assert_eq!(heard(&answers), [Value::Array(vec!["doubled".into(), 42u64.into()])]);
        }
    }
    assert_eq!(world.node(b).watched(), 0);
    with(&mut world, b, |context| context.end(&id, Reasons::new(["late"])));
    world.settle();
    assert_eq!(heard(&answers), []);
}

#[test]
fn a_call_ends_with_the_port_or_by_the_clock() {
    let (mut world, a, b) = two();
    let answers = log();
    let id = doubler(&mut world, b);
    with(&mut world, a, |context| {
        context.call(&id, &"no number", None, noting_answer(&answers)).expect("small");
        context.call(&id, &"no number", Some(Duration::from_secs(1)), noting_answer(&answers)).expect("small");
        context.call(&port("b#none"), &1, None, noting_answer(&answers)).expect("small");
    });
    world.settle();
    assert_eq!(heard(&answers), [values(["no_such_port", "cannot monitor nonexistent port", "b#none"])]);
    world.run_for(Duration::from_secs(2));
    assert_eq!(heard(&answers), ["no answer within 1s".into()]);
    world.crash(b, false);
    world.run_for(Duration::from_secs(1));
    assert_eq!(heard(&answers), [values(["transport_error", "b", "Unexpected end-of-file"])]);
}

#[test]
fn a_call_with_a_time_out_hears_the_true_reason_at_once_and_once() {
    let (mut world, a, b) = two();
    let answers = log();
    let timeout = Some(Duration::from_secs(3600));
    let silent = doubler(&mut world, b);
    with(&mut world, a, |context| {
        context.call(&port("b#none"), &1, timeout, noting_answer(&answers)).expect("small");
    });
    world.settle();
    assert_eq!(heard(&answers), [values(["no_such_port", "cannot monitor nonexistent port", "b#none"])]);
    with(&mut world, a, |context| {
        context.call(&silent, &"no number", timeout, noting_answer(&answers)).expect("small");
    });
    world.settle();
    with(&mut world, b, |context| context.end(&silent, Reasons::new(["enough"])));
    world.settle();
    assert_eq!(heard(&answers), [values(["enough"])]);
    with(&mut world, a, |context| {
        context.call(&port("mispelt#p"), &1, timeout, noting_answer(&answers)).expect("small");
    });
    // Far less than the time-out: as long as a node that nobody knows is looked for.
    world.run_for(Duration::from_secs(60));
    let reasons = heard(&answers);
    assert!(matches!(&reasons[..], [Value::Array(reasons)] if reasons[0] == "transport_error".into()), "{reasons:?}");
    // Neither the time-out nor anything else is left.
    world.run_for(Duration::from_secs(7200));
    assert_eq!(heard(&answers), []);
    assert_eq!(world.node(b).watched(), 0);
}

#[test]
fn a_request_is_taken_as_it_was_given_to_call() {
    #[derive(serde::Serialize, serde::Deserialize)]
    enum Request {
        Sum(Vec<u64>),
        Neg { number: i64 },
    }
    let (mut world, a, b) = two();
    let answers = log();
    let calculator = with(&mut world, b, |context| {
        context.port(|context, elements| {
            let (request, reply) = elements.request::<Request>()?;
            match request {
                Request::Sum(numbers) => context.send(&reply, &numbers.iter().sum::<u64>())?,
                Request::Neg { number } => context.send(&reply, &-number)?,
            }
            Ok(())
        })
    });
    for host in [a, b] {
        for (request, answer) in [(Request::Sum(vec![20, 22]), 42), (Request::Neg { number: 7 }, -7i64)] {
            with(&mut world, host, |context| {
                context.call(&calculator, &request, None, noting_answer(&answers)).expect("small")
            });
            world.settle();
            assert_eq!(heard(&answers), [Value::Array(vec![answer.into()])]);
        }
    }
}

#[test]
fn a_call_goes_with_its_port_and_its_failure_ends_that() {
    let (mut world, a, b) = two();
    let (answers, ended) = (log(), log());
    let id = doubler(&mut world, b);
    with(&mut world, a, |context| {
        let callers = [context.port_without_code(), context.port_without_code()];
        for caller in &callers {
            context.watch(caller, noting_reasons(&ended));
        }
        let (to, answers) = (id.clone(), answers.clone());
        context.run_in(&callers[0], move |context| {
            context.call(&to, &"no number", None, noting_answer(&answers)).expect("small");
            let own = context.own_port().expect("it lives");
            context.end(&own, Reasons::normal());
        });
        let to = id.clone();
        context.run_in(&callers[1], move |context| {
            context.call(&to, &4, None, |_, answer| -> Outcome {
                let (_, number): (String, u64) = answer.expect("there is one").rest()?;
                Err(format!("{number} is too much").into())
            })?;
            Ok(())
        });
    });
    world.settle();
    let [first, second] = heard(&ended).try_into().expect("both have ended");
    assert_eq!(first, Value::Array(Vec::new()));
    assert_eq!(second, values(["die", "8 is too much"]));
    world.crash(b, false);
    world.run_for(Duration::from_secs(1));
    assert_eq!(heard(&answers), []);
}

#[test]
fn a_call_that_cannot_be_written_is_an_error_and_leaves_nothing() {
    let (mut world, a, _) = two();
    let answers = log();
    with(&mut world, a, |context| {
        let too_large = "x".repeat(65 << 20);
        let called = context.call(&port("b#p"), &too_large, None, noting_answer(&answers));
        assert!(called.is_err(), "{called:?}");
    });
    world.run_for(Duration::from_secs(1));
    assert_eq!(heard(&answers), []);
}
