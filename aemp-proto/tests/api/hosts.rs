//! The engine under hosts of other kinds than actors.

use std::time::Duration;

use aemp_proto::auth::Secret;
use aemp_proto::engine::{
    Access, ConnectionId, Core, Engine, FunctionId, Host, MonitorAction, NodeConfig, PortKey, Reasons, Token,
};
use aemp_proto::framing::Elements;
use aemp_proto::link::{Config, Role};
use aemp_proto::names::{NodeId, PortId};

/// What has happened to a host, in its order.
#[derive(Debug, PartialEq)]
enum Happened {
    Message(PortKey, String),
    Spawned(PortKey, String),
    Called(String),
    Resumed(Token),
    Fired(Token, Option<String>),
}

/// A host without a single closure: it writes down what happens, and answers each message with an echo.
#[derive(Default)]
struct Diary(Vec<Happened>);

fn text(elements: &Elements<'_>) -> String {
    elements.clone().name().unwrap_or_default().into_owned()
}

impl Host for Diary {
    fn deliver(&mut self, core: &mut Core, port: PortKey, _: &NodeId, mut elements: Elements<'_>) {
        self.0.push(Happened::Message(port, text(&elements)));
        elements.name();
        if let Some(to) = elements.name().and_then(|to| to.parse::<PortId>().ok()) {
            core.send(&to, &("echo",)).expect("small");
        }
    }

    fn call(&mut self, _: &mut Core, _: FunctionId, _: &NodeId, elements: Elements<'_>) {
        self.0.push(Happened::Called(text(&elements)));
    }

    fn spawned(&mut self, _: &mut Core, port: PortKey, _: FunctionId, _: &NodeId, elements: Elements<'_>) {
        self.0.push(Happened::Spawned(port, text(&elements)));
    }

    fn resume(&mut self, _: &mut Core, _: Option<PortKey>, token: Token) {
        self.0.push(Happened::Resumed(token));
    }

    fn fired(&mut self, _: &mut Core, _: Option<PortKey>, token: Token, reasons: Reasons) {
        self.0.push(Happened::Fired(token, reasons.kind().map(Into::into)));
    }
}

/// Two engines that are connected.
struct Two {
    engines: [Engine; 2],
    hosts: [Diary; 2],
    ids: [ConnectionId; 2],
}

impl Two {
    fn new() -> Self {
        let engine = |name: &str| {
            let mut config = Config::new(NodeId::new(name).expect("a node ID"));
            config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
            Engine::new(NodeConfig::new(config), 1, Duration::ZERO, Duration::ZERO)
        };
        let mut engines = [engine("a"), engine("b")];
        let mut open = |place: usize, role| {
            engines[place].open(Duration::ZERO, role, [place as u8; 32], None, None).expect("a connection")
        };
        let ids = [open(0, Role::Opener), open(1, Role::Acceptor)];
        let mut two = Two { engines, hosts: Default::default(), ids };
        two.settle();
        assert_eq!(two.engines[0].up_nodes().count(), 1, "the two are connected");
        two
    }

    /// Carries bytes until nothing is left to do.
    fn settle(&mut self) {
        let Two { engines, hosts, ids } = self;
        for from in [0, 1].into_iter().cycle().take(20) {
            let bytes = engines[from].output(ids[from]).to_vec();
            engines[from].advance_output(ids[from], bytes.len());
            let to = 1 - from;
            engines[to].receive(&mut hosts[to], Duration::ZERO, ids[to], &bytes);
            while engines[to].has_work() {
                engines[to].run(&mut hosts[to], Duration::ZERO);
            }
        }
    }
}

#[test]
fn an_engine_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Engine>();
    is_send::<Core>();
}

#[test]
fn a_host_without_closures_gets_messages_spawns_calls_and_ends() {
    let mut two = Two::new();
    let Two { engines: [a, b], hosts: [of_a, of_b], .. } = &mut two;
    let (port, function) = b.with(of_b, Duration::ZERO, |core, _| {
        (core.make_port(), core.register_function("work", Access::BOTH).expect("a short name"))
    });
    assert_eq!(b.with(of_b, Duration::ZERO, |core, _| core.register_function("work", Access::BOTH)), Some(function));
    let remote = b.core().port_id(port);
    let (own, spawned) = a.with(of_a, Duration::ZERO, |core, _| {
        let own = core.make_port();
        let reply = core.port_id(own).to_string();
        core.monitor(&remote, MonitorAction::Notify(Some(own), Token(7)));
        core.send(&remote, &("hello", reply)).expect("small");
        core.send(&NodeId::new("b").expect("a node ID").port(""), &("work", "argument")).expect("small");
        core.defer(Some(own), Token(8));
        (own, core.spawn(remote.node(), "work", &("made",)).expect("small"))
    });
    two.settle();
    let Two { engines: [a, b], hosts: [of_a, of_b], .. } = &mut two;
    let made = b.core().find_port(&spawned).expect("the port was spawned");
    let (hello, argument) = (Happened::Message(port, "hello".into()), Happened::Called("argument".into()));
    assert_eq!(of_b.0, [hello, argument, Happened::Spawned(made, "made".into())]);
    // The task was deferred behind the turn in which the echo arrived.
    assert_eq!(of_a.0, [Happened::Message(own, "echo".into()), Happened::Resumed(Token(8))]);
    a.with(of_a, Duration::ZERO, |core, _| core.kill(&remote, &Reasons::new(["enough"])));
    of_a.0.clear();
    two.settle();
    assert_eq!(two.hosts[0].0, [Happened::Fired(Token(7), Some("enough".into()))]);
    assert!(!two.engines[1].core().has_port(port), "the port has ended");
}

#[test]
fn the_engine_names_what_its_host_need_not_keep_any_more() {
    use aemp_proto::engine::Released;
    let Two { engines: [mut a, _], hosts: [mut host, _], .. } = Two::new();
    let port = a.with(&mut host, Duration::ZERO, |core, _| {
        let port = core.make_port();
        core.after(Duration::from_secs(1), Some(port), Token(1));
        core.monitor(&NodeId::new("b").expect("a node ID").port(""), MonitorAction::Notify(Some(port), Token(2)));
        core.end(port, &Reasons::normal());
        port
    });
    let released: Vec<_> = std::iter::from_fn(|| a.core_mut().poll_released()).collect();
    assert_eq!(released, [Released::Token(Token(1)), Released::Token(Token(2)), Released::Port(port)]);
}
