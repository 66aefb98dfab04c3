//! A whole node without I/O, as a protocol machine: ports, monitors, requests, the database, and the peers that the node
//! reaches over many connections. It has one writer.
//!
//! The engine runs nobody's code. What concerns code it hands to its [`Host`] at once: a message to a port, a call of a
//! function, a monitor that has fired. [`actor`](crate::actor) is one such host, made of closures; a binding to another
//! language, a game loop or a test can be another one. The engine holds no closure and is [`Send`].
//!
//! # How to drive it
//!
//! 1. Create an [`Engine`] from a configuration, randomness and the time.
//! 2. Call [`poll_output`](Engine::poll_output) and do what each [`Output`] says, until it is a [time-out](Output::Timeout).
//! 3. Then wait for input until that time, and hand it over:
//!    - a connection that stands: [`open`](Engine::open), also for one that was dialled; else
//!      [`dial_failed`](Engine::dial_failed),
//!    - bytes that have arrived on it: [`receive`](Engine::receive). Do not read from a connection that does not
//!      [want input](Engine::wants_input); the answer changes to yes only when an [`Output::Writable`] names the connection,
//!    - its end: [`closed`](Engine::closed),
//!    - TLS that stands: [`tls_established`](Engine::tls_established),
//!    - what the program wants: [`with`](Engine::with).
//! 4. When the time of the time-out has come, call [`run`](Engine::run).
//! 5. Go on with step 2. Each call may have caused output: this is the one invariant.
//!
//! Here are two engines and a pair of buffers. The host counts messages:
//!
//! ```
//! use std::time::Duration;
//! use aemp_proto::engine::{ConnectionId, Core, Engine, Host, NodeConfig, Output, PortKey};
//! use aemp_proto::{auth::Secret, framing::Elements, link, names::NodeId};
//!
//! #[derive(Default)]
//! struct Counter(usize);
//!
//! impl Host for Counter {
//!     fn deliver(&mut self, _: &mut Core, _: PortKey, _: &NodeId, elements: Elements<'_>) {
//!         let (greeting, number): (String, u64) = elements.rest().unwrap();
//!         assert_eq!(greeting, "hello");
//!         self.0 += number as usize;
//!     }
//! }
//!
//! /// Does what an engine says, until it has nothing more to do now. Returns what it has written.
//! fn drive(engine: &mut Engine, host: &mut Counter, now: Duration) -> Vec<u8> {
//!     let mut written = Vec::new();
//!     loop {
//!         match engine.poll_output() {
//!             Output::Writable(id) => {
//!                 written.extend_from_slice(engine.output(id));
//!                 engine.advance_output(id, engine.output(id).len());
//!             }
//!             Output::Event(event) => println!("{event:?}"),
//!             Output::Timeout(Some(at)) if at <= now => engine.run(host, now),
//!             Output::Timeout(_) => return written,
//!             other => panic!("there is one connection, without TLS: {other:?}"),
//!         }
//!     }
//! }
//!
//! let now = Duration::ZERO;
//! let mut node = |name: &str, role| -> (Engine, Counter, ConnectionId) {
//!     let mut config = link::Config::new(NodeId::new(name).unwrap());
//!     config.secret = Some(Secret::new(b"swordfish").unwrap());
//!     let mut engine = Engine::new(NodeConfig::new(config), 1, now, now);
//!     // This must be new for each connection, and come from the operating system.
//!     let id = engine.open(now, role, [name.as_bytes()[0]; 32], None, None).unwrap();
//!     (engine, Counter::default(), id)
//! };
//! let (mut alice, mut of_alice, to_bob) = node("alice", link::Role::Opener);
//! let (mut bob, mut of_bob, to_alice) = node("bob", link::Role::Acceptor);
//! let port = bob.with(&mut of_bob, now, |core, _| {
//!     let port = core.make_port();
//!     core.port_id(port)
//! });
//! // Alice may send before there is a connection: messages wait.
//! alice.with(&mut of_alice, now, |core, _| core.send(&port, &("hello", 2))).unwrap();
//! for _ in 0..4 {
//!     let bytes = drive(&mut alice, &mut of_alice, now);
//!     bob.receive(&mut of_bob, now, to_alice, &bytes);
//!     let bytes = drive(&mut bob, &mut of_bob, now);
//!     alice.receive(&mut of_alice, now, to_bob, &bytes);
//! }
//! assert_eq!(of_bob.0, 2);
//! ```
//!
//! `examples/node.rs` does the same over `std::net`.
//!
//! # The floors
//!
//! | folder or file | contents |
//! |---|---|
//! | `tables/` | plain data: ports, monitors, peers, functions, timers, steps, searches; each table knows only those below it |
//! | `state.rs` | the state of the engine, all of it |
//! | `host.rs` | the [`Host`] |
//! | `protocol/` | the rules of the chapters of `spec/`: the node port, monitors, spawning, the database, data connections |
//! | `transport/` | connections, admission, dialling, the choice between two connections, and driving all of it |

mod config;
mod event;
mod host;
mod protocol;
mod state;
mod tables;
mod transport;

pub use config::NodeConfig;
pub use event::{Action, NodeEvent, Output};
pub use host::Host;
pub use state::{Core, Engine};
pub use tables::data_connections::{DataConnection, DataTaker};
pub use tables::denials::Denied;
pub use tables::functions::Access;
pub use tables::keys::{ConnectionId, DbEntry, DialId, FunctionId, MonitorHandle, PortKey, Released, TimerHandle, Token};
pub use tables::memory::{Memory, MemoryKind};
pub use tables::monitors::MonitorAction;
pub use tables::reasons::{Failure, IntoOutcome, Outcome, Reasons};
pub use tables::refusal::Refusal;
pub use transport::counts::Tables;
