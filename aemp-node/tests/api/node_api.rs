//! The library, as async code uses it.

use std::sync::mpsc;
use std::time::Duration;

use aemp_node::proto::actor::{NoAnswer, NodeEvent, Reasons};
use aemp_node::proto::auth::Secret;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::{
    CallError, Capacity, Config, Context, ContextExt, DatabaseError, JoinError, Mailbox, Node, Overflow, SendError,
    StartError,
};
use tokio::io::AsyncReadExt as _;

fn config(id: &str) -> Config {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    config
}

/// Waits until all that was sent to a node has arrived there.
async fn arrived(from: &Node, to: &Node) {
    from.call(&to.id().port(""), &"snd", None).await.expect("it answers");
}

/// Two nodes that are connected.
async fn two() -> (Node, Node) {
    let mut seed = config("seed");
    seed.listen = vec!["127.0.0.1:0".into()];
    let seed = Node::start(seed).await.expect("it listens");
    let mut worker = config("worker");
    worker.seeds = vec![seed.addresses()[0].to_string()];
    let worker = Node::start(worker).await.expect("it starts");
    let mut events = worker.events();
    while !matches!(events.recv().await.expect("it runs"), NodeEvent::Up(_)) {}
    (seed, worker)
}

#[tokio::test]
async fn a_mailbox_holds_what_fits_and_ends_or_drops_beyond() {
    let (seed, worker) = two().await;
    let (mut ends, mut drops) = (Capacity::default(), Capacity::default());
    (ends.messages, ends.overflow) = (3, Overflow::End);
    (drops.messages, drops.overflow) = (3, Overflow::Drop);
    let mut ending = seed.mailbox_with(ends).await.expect("it runs");
    let mut dropping = seed.mailbox_with(drops).await.expect("it runs");
    let watch = worker.watch(ending.id()).await.expect("it runs");
    for number in 0..5u64 {
        worker.send(ending.id(), &number).expect("small");
        worker.send(dropping.id(), &number).expect("small");
    }
    let reasons = watch.await.expect("it runs");
    assert_eq!(reasons.values()[0], "overflow".into(), "{reasons:?}");
    for expected in 0..3u64 {
        assert_eq!(ending.recv().await.expect("it arrived").decode::<u64>().expect("a number"), expected);
    }
    assert!(ending.recv().await.is_none());
    assert_eq!(ending.ended(), Some(&reasons));
    // An echo proves that the rest has arrived, too.
    arrived(&worker, &seed).await;
    for expected in 0..3u64 {
        let message = dropping.recv().await.expect("it arrived");
        assert_eq!(message.source(), Some(worker.id()));
        assert_eq!(message.decode::<u64>().expect("a number"), expected);
    }
    assert_eq!((dropping.dropped(), dropping.ended()), (2, None));
    worker.send(dropping.id(), &7u64).expect("small");
    assert_eq!(dropping.recv().await.expect("there is room again").decode::<u64>().expect("a number"), 7);
}

#[tokio::test]
async fn a_mailbox_that_is_dropped_is_a_port_that_ended() {
    let (seed, worker) = two().await;
    let mailbox = seed.mailbox().await.expect("it runs");
    let watch = worker.watch(mailbox.id()).await.expect("it runs");
    arrived(&worker, &seed).await;
    drop(mailbox);
    assert_eq!(watch.await.expect("it runs"), Reasons::normal());
}

#[tokio::test]
async fn whoever_monitors_a_mailbox_hears_the_truth_about_its_end() {
    let (seed, worker) = two().await;
    /// What a task does with its mailbox, once something has come.
    type Task = fn(Mailbox);
    let panic: Task = |_mailbox| panic!("oh no");
    let fails: Task = |mailbox| {
        let failing = || -> Result<(), String> { Err("no disk".into()) };
        if let Err(error) = failing() {
            mailbox.close_with(Reasons::die(error));
        }
    };
    for (messages, task, reasons) in [
        (1, drop as Task, Reasons::normal()),
        (2, drop as Task, Reasons::new(["unread", "1 message in its mailbox was not read"])),
        (4, drop as Task, Reasons::new(["unread", "3 messages in its mailbox were not read"])),
        (4, Mailbox::close, Reasons::normal()),
        (1, panic, Reasons::die("the task that read its mailbox panicked")),
        (4, panic, Reasons::die("the task that read its mailbox panicked, and 3 messages in its mailbox were not read")),
        (4, fails, Reasons::die("no disk")),
    ] {
        let mut mailbox = seed.mailbox().await.expect("it runs");
        let watch = worker.watch(mailbox.id()).await.expect("it runs");
        for number in 0..messages {
            worker.send(mailbox.id(), &number).expect("small");
        }
        arrived(&worker, &seed).await;
        assert_eq!((mailbox.len(), mailbox.is_empty()), (messages, false));
        assert_eq!(mailbox.recv().await.expect("it has come").decode::<u64>(), Ok(0));
        // It ends as tokio's tasks do; that of the task itself is nobody's error here.
        let _ended = tokio::spawn(async move { task(mailbox) }).await;
        assert_eq!(watch.await.expect("it runs"), reasons);
    }
}

#[tokio::test]
async fn a_mailbox_gives_what_waits_and_does_not_wait_for_more() {
    let node = Node::start(Config::local()).await.expect("it starts");
    let mut mailbox = node.mailbox().await.expect("it runs");
    assert_eq!((mailbox.len(), mailbox.try_recv()), (0, None));
    for number in 0..3u64 {
        node.send(mailbox.id(), &number).expect("small");
    }
    node.call(&node.id().port(""), &"snd", None).await.expect("it runs");
    for number in 0..3u64 {
        assert_eq!(mailbox.len() as u64, 3 - number);
        assert_eq!(mailbox.try_recv().expect("it has come").decode::<u64>(), Ok(number));
    }
    assert!(mailbox.is_empty() && mailbox.try_recv().is_none());
}

#[tokio::test]
async fn panics_end_the_port_and_the_node_goes_on() {
    let (seed, worker) = two().await;
    let fragile = seed.port(|_, elements| panic!("no {}", elements.rest::<String>()?)).await.expect("it runs");
    let watch = worker.watch(&fragile).await.expect("it runs");
    worker.send(&fragile, &"way").expect("small");
    assert_eq!(watch.await.expect("it runs"), Reasons::new(["die", "no way"]));
    let panicked = tokio::spawn({
        let seed = seed.clone();
        async move { seed.with(|_| panic!("mine")).await }
    });
    assert!(panicked.await.expect_err("it panics here").is_panic());
    assert_eq!(seed.up_nodes().await.expect("it runs"), [worker.id().clone()]);
}

#[tokio::test]
async fn a_future_goes_with_its_port_and_its_failure_ends_that() {
    let (seed, worker) = two().await;
    let (told, tell) = mpsc::channel();
    let port = seed
        .port(move |context, elements| {
            let word: String = elements.rest()?;
            let told = told.clone();
            context.run_future(async move |_| {
                // It tells when it is dropped.
                struct Tell(mpsc::Sender<&'static str>);
                impl Drop for Tell {
                    fn drop(&mut self) {
                        self.0.send("dropped").expect("the test waits");
                    }
                }
                let _tell = Tell(told);
                match word.as_str() {
                    "wait" => std::future::pending().await,
                    "panic" => panic!("in a future"),
                    _ => Err("failed in a future".into()),
                }
            });
            Ok(())
        })
        .await
        .expect("it runs");
    let watch = worker.watch(&port).await.expect("it runs");
    worker.send(&port, &"wait").expect("small");
    worker.send(&port, &"panic").expect("small");
    assert_eq!(watch.await.expect("it runs"), Reasons::new(["die", "in a future"]));
    for _ in 0..2 {
        tell.recv_timeout(Duration::from_secs(10)).expect("both futures are dropped");
    }
}

#[tokio::test]
async fn a_call_has_one_answer_or_one_reason() {
    let (seed, worker) = two().await;
    let silent = seed.port(|_, _| Ok(())).await.expect("it runs");
    let timeout = Duration::from_millis(20);
    let answer = worker.call(&silent, &1, Some(timeout)).await;
    assert_eq!(answer, Err(CallError::NoAnswer(NoAnswer::TimedOut(timeout))));
    let too_large = "x".repeat(2 << 20);
    assert!(matches!(worker.call(&silent, &too_large, None).await, Err(CallError::NotSent(SendError::Encode(_)))));
    let (answer, ()) = tokio::join!(worker.call(&silent, &1, None), async {
        arrived(&worker, &seed).await;
        seed.end(&silent, Reasons::new(["enough"]));
    });
    assert_eq!(answer, Err(CallError::NoAnswer(NoAnswer::Ended(Reasons::new(["enough"])))));
}

#[tokio::test]
async fn a_watch_that_is_dropped_is_given_up() {
    let (seed, worker) = two().await;
    let port = seed.port(|_, _| Ok(())).await.expect("it runs");
    let watch = worker.watch(&port).await.expect("it runs");
    drop(watch);
    arrived(&worker, &seed).await;
    let fired = worker.watch(&port).await.expect("it runs");
    arrived(&worker, &seed).await;
    seed.end(&port, Reasons::new(["enough"]));
    assert_eq!(fired.await.expect("it runs"), Reasons::new(["enough"]));
}

#[tokio::test]
async fn who_sends_without_waiting_is_told_before_memory_runs_out() {
    let mut small = config("small");
    small.node.queue = 1 << 20;
    let node = Node::start(small).await.expect("it starts");
    let (hold, held) = mpsc::channel::<()>();
    let port = node.port(|_, _| Ok(())).await.expect("it runs");
    let busy = node.clone();
    let (begun, begins) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let keep_busy = move |_: &mut Context<'_>| {
            begun.send(()).expect("the test waits");
            held.recv()
        };
        busy.with(keep_busy).await
    });
    begins.await.expect("it begins");
    let text = "x".repeat(100_000);
    let refused = (0..100).find_map(|_| node.send(&port, &text).err());
    assert!(matches!(refused, Some(SendError::Full(_))), "{refused:?}");
    drop(hold);
    node.ready(port.node()).await.expect("it runs");
    assert_eq!(node.send(&port, &text), Ok(()));
}

#[tokio::test]
async fn code_that_holds_up_the_node_is_told_with_its_port() {
    let mut impatient = config("impatient");
    impatient.slow_handler = Duration::from_millis(8);
    let node = Node::start(impatient).await.expect("it starts");
    let mut events = node.events();
    let sloth = node
        .port(|context, elements| {
            let reply: PortId = elements.rest()?;
            std::thread::sleep(Duration::from_millis(300));
            Ok(context.send(&reply, &())?)
        })
        .await
        .expect("it runs");
    node.call(&sloth, &(), None).await.expect("it answers");
    let event = events.recv().await.expect("it runs");
    assert!(matches!(&event, NodeEvent::Slow { port, .. } if *port == sloth), "{event:?}");
}

#[tokio::test]
async fn what_was_sent_before_the_last_handle_went_still_arrives() {
    let (seed, worker) = two().await;
    let mut mailbox = seed.mailbox().await.expect("it runs");
    let text = "x".repeat(500_000);
    for number in 0..20u64 {
        worker.send(mailbox.id(), &(number, &text)).expect("there is room");
    }
    drop(worker);
    for expected in 0..20u64 {
        let (number, _): (u64, String) = mailbox.recv().await.expect("it arrives").decode().expect("as it was sent");
        assert_eq!(number, expected);
    }
}

#[tokio::test]
async fn a_node_that_cannot_prove_itself_does_not_start_if_it_is_to_meet_others() {
    let bare = |change: fn(&mut Config)| {
        let mut config = Config::new(NodeId::new("bare").expect("a node ID"));
        change(&mut config);
        Node::start(config)
    };
    for error in [
        bare(|config| config.listen = vec!["127.0.0.1:0".into()]).await.expect_err("it listens"),
        bare(|config| config.seeds = vec!["127.0.0.1:1".into()]).await.expect_err("it dials"),
    ] {
        assert!(matches!(error, StartError::NoCredentials), "{error:?}");
        assert!(error.to_string().contains("config.node.link.secret"), "{error}");
    }
    bare(|_| {}).await.expect("it talks to itself").joined(Duration::ZERO).await.expect("there is nothing to join");
}

#[tokio::test]
async fn whoever_waits_to_join_hears_why_a_node_does_not_get_in() {
    let mut seed = config("seed");
    seed.listen = vec!["127.0.0.1:0".into()];
    let seed = Node::start(seed).await.expect("it listens");
    let address = seed.addresses()[0].to_string();
    let start = async |id: &str, secret: &[u8]| {
        let mut config = config(id);
        config.node.link.secret = Some(Secret::new(secret).expect("a secret"));
        config.seeds = vec![address.clone()];
        Node::start(config).await.expect("it starts")
    };
    let worker = start("worker", b"swordfish").await;
    worker.joined(Duration::from_secs(10)).await.expect("it joins");
    assert_eq!(worker.db_keys("'g").await.expect("it has a master"), ["seed"]);

    let stranger = start("stranger", b"haddock").await;
    let error = stranger.joined(Duration::from_secs(1)).await.expect_err("it has the wrong secret");
    assert!(matches!(&error, JoinError::TimedOut { why, .. } if why.contains(&address)), "{error:?}");
    assert!(error.to_string().contains("the secret is wrong"), "{error}");
    // So do a call, and a question to the database.
    let called = stranger.call(&"seed#echo".parse().expect("a port ID"), &1, Some(Duration::from_secs(60))).await;
    let Err(CallError::NoAnswer(NoAnswer::Ended(reasons))) = called else { panic!("{called:?}") };
    assert_eq!(reasons.values()[0], "transport_error".into());
    assert!(reasons.to_string().contains("the secret is wrong"), "{reasons}");
    let asked = stranger.db_family("any").await;
    assert!(matches!(&asked, Err(DatabaseError::NotJoined(why)) if why.contains("the secret is wrong")), "{asked:?}");

    let twin = start("seed", b"swordfish").await;
    let error = twin.joined(Duration::from_secs(10)).await.expect_err("that is another node");
    assert!(matches!(error, JoinError::SameId(_)), "{error:?}");
}

#[tokio::test]
async fn a_watch_says_when_nobody_follows_its_family() {
    let (seed, worker) = two().await;
    worker.joined(Duration::from_secs(10)).await.expect("it joins");
    let changes = worker.db_watch("workers").await.expect("it runs");
    assert!(!changes.is_stale());
    let mut events = worker.events();
    seed.stop().await;
    while !matches!(events.recv().await.expect("it runs"), NodeEvent::Master(None)) {}
    assert!(changes.is_stale());
}

/// Sends numbers as fast as `ready` lets it.
async fn send_numbers(from: &Node, to: &PortId, numbers: u64) {
    for number in 0..numbers {
        if number % 100 == 0 {
            from.ready(to.node()).await.expect("it runs");
        }
        // Beside the low-water mark there is room for what is sent in between.
        from.send(to, &number).expect("there is room");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_full_pauses_its_sender_and_nobody_else_and_loses_nothing() {
    const NUMBERS: u64 = 100_000;
    let (seed, worker) = two().await;
    let mut other = config("other");
    other.seeds = vec![seed.addresses()[0].to_string()];
    let other = Node::start(other).await.expect("it starts");
    other.joined(Duration::from_secs(10)).await.expect("it joins");
    let echo = seed.with(|context| context.named_port("echo", aemp_node::echo)).await.expect("it runs").expect("it is free");
    let mut capacity = Capacity::default();
    capacity.messages = 1000;
    let mut mailbox = seed.mailbox_with(capacity).await.expect("it runs");
    let mut watch = worker.watch(mailbox.id()).await.expect("it runs");
    let (to, from) = (mailbox.id().clone(), worker.clone());
    let sending = tokio::spawn(async move { send_numbers(&from, &to, NUMBERS).await });
    // Nobody reads: the worker is stopped, and all that it sends.
    while mailbox.len() <= 1000 {
        tokio::task::yield_now().await;
    }
    let waits = worker.call(&echo, &"from the worker", Some(Duration::from_millis(200))).await;
    assert_eq!(waits, Err(CallError::NoAnswer(NoAnswer::TimedOut(Duration::from_millis(200)))));
    // The others go on, and so does the own node, whose messages have room of their own.
    let answer = other.call(&echo, &"from another", None).await.expect("it is not paused");
    assert_eq!(answer.decode::<String>(), Ok("from another".into()));
    seed.send(mailbox.id(), &u64::MAX).expect("small");
    seed.call(&echo, &1, None).await.expect("it runs");
    let (mut next, mut most, mut own) = (0, 0, 0);
    while next < NUMBERS {
        most = most.max(mailbox.len());
        match mailbox.recv().await.expect("it has not ended").decode::<u64>().expect("a number") {
            u64::MAX => own += 1,
            number => {
                assert_eq!(number, next);
                next += 1;
            }
        }
    }
    assert_eq!(own, 1);
    assert!(most <= 1002, "{most} messages waited");
    sending.await.expect("all was sent");
    let answer = worker.call(&echo, &"again", None).await.expect("it goes on");
    assert_eq!(answer.decode::<String>(), Ok("again".into()));
    assert!(tokio::time::timeout(Duration::ZERO, &mut watch).await.is_err(), "the port lives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_nobody_reads_ends_and_its_senders_go_on() {
    let (seed, worker) = two().await;
    let mut capacity = Capacity::default();
    (capacity.messages, capacity.patience) = (10, Duration::from_millis(200));
    let mut mailbox = seed.mailbox_with(capacity).await.expect("it runs");
    let watch = worker.watch(mailbox.id()).await.expect("it runs");
    for number in 0..100 {
        worker.send(mailbox.id(), &number).expect("small");
    }
    let reasons = watch.await.expect("it runs");
    assert_eq!(reasons, Reasons::new(["overflow", "the mailbox is full: 11 messages, 22 octets"]));
    // Another node may hear it before the mailbox does.
    while mailbox.recv().await.is_some() {}
    assert_eq!(mailbox.ended(), Some(&reasons));
    arrived(&worker, &seed).await;
    // What the own node sends cannot wait: it has as much room, and beyond it the port ends at once.
    let mut capacity = Capacity::default();
    capacity.messages = 10;
    let mailbox = seed.mailbox_with(capacity).await.expect("it runs");
    let watch = seed.watch(mailbox.id()).await.expect("it runs");
    for number in 0..11 {
        seed.send(mailbox.id(), &number).expect("small");
    }
    assert_eq!(watch.await.expect("it runs").values()[0], "overflow".into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_open_greets_nobody_until_it_is() {
    let mut closed = config("closed");
    closed.listen = vec!["127.0.0.1:0".into()];
    let node = Node::start_closed(closed).await.expect("it starts");
    let mut stream = tokio::net::TcpStream::connect(node.addresses()[0]).await.expect("it listens");
    let mut greeting = [0; 5];
    let early = tokio::time::timeout(Duration::from_millis(200), stream.read_exact(&mut greeting)).await;
    assert!(early.is_err(), "{early:?}");
    node.open();
    stream.read_exact(&mut greeting).await.expect("it greets now");
    assert_eq!(&greeting, b"aemp;");
}
