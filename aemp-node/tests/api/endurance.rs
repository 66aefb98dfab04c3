//! What others do to a node, on purpose or not, that must neither stop it nor starve anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use aemp_node::proto::actor::{NodeEvent, Reasons};
use aemp_node::proto::auth::Secret;
use aemp_node::proto::link::Config as LinkConfig;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::{Config, ContextExt, LocalError, LocalPort, Node, SendError, Tap};

fn config(id: &str, seed: Option<&Node>) -> Config {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.listen = vec!["127.0.0.1:*".into()];
    config.seeds = seed.iter().map(|seed| seed.addresses()[0].to_string()).collect();
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    config
}

async fn start(config: Config) -> Node {
    let has_seed = !config.seeds.is_empty();
    let node = Node::start(config).await.expect("it listens");
    let mut events = node.events();
    while has_seed && !matches!(events.recv().await.expect("it runs"), NodeEvent::Up(_)) {}
    node
}

/// The node answers: it is neither deaf nor gone.
async fn lives(node: &Node) {
    let port = node.port(|context, elements| Ok(context.send(&elements.rest::<PortId>()?, &())?)).await.expect("it runs");
    let answer = tokio::time::timeout(Duration::from_secs(10), node.call(&port, &(), None)).await;
    answer.expect("it answers").expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_floods_a_node_does_not_keep_others_waiting_until_the_end() {
    const FLOOD: u64 = 60_000;
    let seed = start(config("seed", None)).await;
    let handled = Arc::new(AtomicU64::new(0));
    let count = handled.clone();
    let busy = seed.port(move |_, _| {
        std::thread::sleep(Duration::from_micros(5));
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let busy = busy.await.expect("it runs");
    let (flooder, other) = (start(config("flooder", Some(&seed))).await, start(config("other", Some(&seed))).await);
    for _ in 0..FLOOD {
        flooder.send(&busy, &()).expect("there is room");
    }
    while handled.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    other.call(&seed.id().port(""), &"snd", None).await.expect("it answers");
    assert!(handled.load(Ordering::Relaxed) < FLOOD, "the other one had to wait until all was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_leave_timers_their_turn() {
    const COMMANDS: u64 = 5_000;
    let node = start(Config::local()).await;
    let done = Arc::new(AtomicU64::new(0));
    let (fire, fired) = mpsc::channel();
    for number in 0..COMMANDS {
        let (node, done, fire) = (node.clone(), done.clone(), fire.clone());
        tokio::spawn(async move {
            let work = move |context: &mut aemp_node::Context<'_>| {
                if number == 0 {
                    context.after(Duration::from_millis(1), move |_| fire.send(()).expect("the test waits"));
                }
                std::thread::sleep(Duration::from_micros(100));
                done.fetch_add(1, Ordering::Relaxed)
            };
            node.with(work).await
        });
    }
    tokio::task::spawn_blocking(move || fired.recv()).await.expect("no panic").expect("it fires");
    assert!(done.load(Ordering::Relaxed) < COMMANDS, "the timer had to wait until all was done");
}

#[tokio::test]
async fn times_without_end_are_times() {
    let mut endless = config("endless", None);
    endless.node.probe_timeout = Duration::MAX;
    endless.node.silence = Duration::MAX;
    endless.node.backoff = Duration::MAX;
    endless.host_timeout = Duration::MAX;
    endless.slow_handler = Duration::MAX;
    let node = start(endless).await;
    let other = start(config("other", Some(&node))).await;
    let port = node.port(|context, elements| Ok(context.send(&elements.rest::<PortId>()?, &())?)).await.expect("it runs");
    for from in [&node, &other] {
        from.call(&port, &(), Some(Duration::MAX)).await.expect("it answers");
    }
    lives(&node).await;
}

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a grenade was dropped");
    }
}

#[tokio::test]
async fn a_panic_while_code_is_dropped_ends_nothing_else() {
    let node = start(Config::local()).await;
    let thrower = |ends_itself: bool| {
        let grenade = Grenade;
        move |context: &mut aemp_node::Context<'_>, _: aemp_node::proto::framing::Elements<'_>| {
            let _held = &grenade;
            if let (true, Some(own)) = (ends_itself, context.own_port()) {
                context.end(&own, Reasons::normal());
            }
            Ok(())
        }
    };
    let (from_inside, from_outside) = (node.port(thrower(true)).await, node.port(thrower(false)).await);
    let (from_inside, from_outside) = (from_inside.expect("it runs"), from_outside.expect("it runs"));
    let watches = [node.watch(&from_inside).await, node.watch(&from_outside).await];
    node.send(&from_inside, &()).expect("small");
    node.end(&from_outside, Reasons::normal());
    for watch in watches {
        assert_eq!(watch.expect("it runs").await, Ok(Reasons::normal()));
    }
    let replaced = node
        .with(move |context| {
            let port = context.port(thrower(false));
            context.receive(&port, |_, _| Ok(()));
            let timer = context.after(Duration::from_secs(1000), {
                let grenade = Grenade;
                move |_| drop(grenade)
            });
            context.cancel(&timer);
        })
        .await;
    assert_eq!(replaced, Ok(()));
    lives(&node).await;
}

#[tokio::test]
async fn a_future_that_comes_back_while_the_node_is_in_use_is_told_so() {
    /// Comes back when it is dropped.
    struct Boomerang(LocalPort, mpsc::Sender<Option<LocalError>>);
    impl Drop for Boomerang {
        fn drop(&mut self) {
            self.1.send(self.0.with(|_| ()).err()).expect("the test waits");
        }
    }
    let node = start(Config::local()).await;
    let (told, tell) = mpsc::channel();
    let port = node.port(move |context, _| {
        let told = told.clone();
        context.run_future(async move |port| {
            let (own, boomerang) = (port.id().cloned(), Boomerang(port.clone(), told));
            port.with(move |context| {
                let own = own.unwrap_or_else(|| context.node().port(""));
                context.receive(&own, move |_, _| {
                    let _held = &boomerang;
                    Ok(())
                });
                context.receive(&own, |_, _| Ok(()));
            })?;
            Ok(())
        });
        Ok(())
    });
    node.send(&port.await.expect("it runs"), &()).expect("small");
    let error = tokio::task::spawn_blocking(move || tell.recv_timeout(Duration::from_secs(10))).await.expect("no panic");
    assert_eq!(error, Ok(Some(LocalError::InUse)));
    lives(&node).await;
}

#[tokio::test]
async fn a_tap_that_panics_costs_no_connection() {
    let seed = start(config("seed", None)).await;
    let mut tapped = config("tapped", Some(&seed));
    tapped.tap = Some(Tap::new(|_| panic!("nobody reads this")));
    let tapped = start(tapped).await;
    tapped.call(&seed.id().port(""), &"snd", None).await.expect("it answers");
    lives(&tapped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_arrives_though_the_other_side_talks_meanwhile() {
    let seed = start(config("seed", None)).await;
    let mut mailbox = seed.mailbox().await.expect("it runs");
    for stopped in [true, false] {
        let worker = start(config("worker", Some(&seed))).await;
        let silent = worker.port(|_, _| Ok(())).await.expect("it runs");
        let (chatty, busy) = (seed.clone(), seed.port(|_, _| Ok(())).await.expect("it runs"));
        let chat = tokio::spawn(async move {
            loop {
                chatty.send(&silent, &"blah").expect("small");
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        let text = "x".repeat(100_000);
        for number in 0..50u64 {
            worker.send(&busy, &text).expect("there is room");
            worker.send(mailbox.id(), &(number, &text)).expect("there is room");
        }
        if stopped {
            worker.stop().await;
            assert!(matches!(worker.send(mailbox.id(), &()), Err(SendError::Stopped(_))));
        }
        drop(worker);
        for expected in 0..50u64 {
            let (number, _): (u64, String) = mailbox.recv().await.expect("it arrives").decode().expect("as it was sent");
            assert_eq!(number, expected);
        }
        chat.abort();
    }
}

#[tokio::test]
async fn what_waits_for_the_nodes_thread_is_counted_with_what_it_costs() {
    let mut small = Config::local();
    small.node.queue = 1 << 20;
    let node = start(small).await;
    let (hold, held) = mpsc::channel::<()>();
    let port = node.port(|_, _| Ok(())).await.expect("it runs");
    let (busy, (begun, begins)) = (node.clone(), tokio::sync::oneshot::channel());
    tokio::spawn(async move {
        let keep_busy = move |_: &mut aemp_node::Context<'_>| {
            begun.send(()).expect("the test waits");
            held.recv()
        };
        busy.with(keep_busy).await
    });
    begins.await.expect("it begins");
    let taken = (0..100_000).take_while(|_| node.send(&port, &()).is_ok()).count();
    assert!(taken < 10_000, "{taken} messages of nearly nothing fit into a MiB");
    let call = tokio::time::timeout(Duration::from_secs(10), node.call(&port, &(), None)).await.expect("at once");
    assert!(matches!(call, Err(aemp_node::CallError::NotSent(SendError::Full(_)))), "{call:?}");
    drop(hold);
    lives(&node).await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_given_up() {
    let seed = start(config("seed", None)).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let silent =
        seed.port(move |_, elements| tell.send(elements.rest::<PortId>()?).map_err(|error| error.to_string().into()));
    let silent = silent.await.expect("it runs");
    let worker = start(config("worker", Some(&seed))).await;
    let reply = tokio::select! {
        biased;
        _ = worker.call(&silent, &(), None) => panic!("nobody answers"),
        reply = told.recv() => reply.expect("it was called"),
    };
    let ended = seed.watch(&reply).await.expect("it runs").await.expect("it runs");
    assert!(ended.is_normal() || ended.values()[0] == "no_such_port".into(), "{ended}");
}

#[tokio::test]
async fn code_that_is_slow_for_one_node_is_not_for_another() {
    let mut strict = Config::local();
    strict.slow_handler = Duration::from_millis(4);
    let mut patient = Config::local();
    patient.slow_handler = Duration::from_secs(5);
    let (strict, patient) = (start(strict).await, start(patient).await);
    for (node, is_slow) in [(&strict, true), (&patient, false)] {
        let mut events = node.events();
        let port = node.port(|context, elements| {
            std::thread::sleep(Duration::from_millis(100));
            Ok(context.send(&elements.rest::<PortId>()?, &())?)
        });
        node.call(&port.await.expect("it runs"), &(), None).await.expect("it answers");
        let event = tokio::time::timeout(Duration::from_millis(300), events.recv()).await;
        assert_eq!(event.is_ok(), is_slow, "{event:?}");
    }
}

#[tokio::test]
async fn a_mailbox_takes_what_the_node_takes() {
    let deep = |id: &str, seed: Option<&Node>| {
        let mut config = config(id, seed);
        let link: &mut LinkConfig = &mut config.node.link;
        (link.limits.depth, link.send_limits.depth) = (1000, 1000);
        config
    };
    let seed = start(deep("seed", None)).await;
    let worker = start(deep("worker", Some(&seed))).await;
    let mut mailbox = seed.mailbox().await.expect("it runs");
    let nested = (0..700).fold(aemp_node::proto::value::Value::Null, |inner, _| vec![inner].into());
    worker.send(mailbox.id(), &(&nested,)).expect("within the limits");
    let message = mailbox.recv().await.expect("it arrives");
    assert!(message.octets() > 700);
}

#[tokio::test]
async fn a_port_that_holds_a_way_back_to_itself_does_not_keep_its_node_alive() {
    let node = start(Config::local()).await;
    let mut events = node.events();
    let port = node.port(|context, _| {
        context.run_future(async |port| {
            let (own, held) = (port.id().cloned(), port.clone());
            port.with(move |context| {
                let own = own.unwrap_or_else(|| context.node().port(""));
                context.receive(&own, move |_, _| held.with(|_| ()).map_err(Into::into));
            })?;
            Ok(())
        });
        Ok(())
    });
    node.send(&port.await.expect("it runs"), &()).expect("small");
    lives(&node).await;
    drop(node);
    let ends = async { while events.recv().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("it ends");
}

#[tokio::test]
async fn what_a_stranger_sends_moves_nobodys_cursor() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (show, shown) = mpsc::channel();
    let mut tapped = config("tapped", None);
    tapped.tap = Some(Tap::new(move |passed| show.send(passed.to_string()).expect("the test waits")));
    let tapped = start(tapped).await;
    let mut stream = tokio::net::TcpStream::connect(tapped.addresses()[0]).await.expect("it listens");
    stream.write_all(b"aemp;1;\x1b]0;pwned\x07;x;y\n").await.expect("it reads");
    while stream.read(&mut [0; 1000]).await.expect("it closes in order") > 0 {}
    let shown: Vec<_> = shown.try_iter().collect();
    assert!(shown.iter().any(|line| line.contains(r"\u{1b}]0;pwned\u{7}")), "{shown:?}");
    assert!(!shown.concat().contains(char::is_control), "{shown:?}");
}
