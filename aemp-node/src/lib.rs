//! An AEMP node on tokio: sockets, timers and a thread around the state machine of `aemp-proto`.
//!
//! A [`Node`] runs on its own thread. Its *ports* and their handlers run there. Async tasks and other threads hold
//! handles. A handle is `Send`, cheap to clone, and usable in any async task.
//!
//! ```
//! use aemp_node::{Config, Node};
//! use aemp_node::proto::{auth::Secret, names::NodeId};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let mut config = Config::new(NodeId::new("greeter-node").unwrap());
//! config.listen = vec!["127.0.0.1:0".into()];
//! config.node.link.secret = Some(Secret::new(b"swordfish").unwrap());
//! let node = Node::start(config).await.unwrap();
//!
//! // A port that answers whoever asks, as `call` asks: with a port for the answer as the last element.
//! let greeter = node.port(|context, elements| {
//!     let (name, whom) = elements.request::<String>()?;
//!     Ok(context.send(&whom, &format!("hello, {name}"))?)
//! }).await.unwrap();
//!
//! let answer: String = node.call(&greeter, &"Ada", None).await.unwrap().decode().unwrap();
//! assert_eq!(answer, "hello, Ada");
//! # });
//! ```
//!
//! # Two ways to be a port
//!
//! A *handler on the node's thread* ([`Node::port`], [`Context::port`]) is cheap and receives each message still
//! encoded, as soon as it arrives. It must not block. A *[`Mailbox`]* is for async tasks and heavy work. It queues
//! messages up to a limit, and pauses a node that sends more until there is room.
//! [`run_future`](ContextExt::run_future) is in between: it runs a future on the node's thread in the context of a
//! port.
//!
//! A message is a tuple, sequence, enum or single value that serde can encode: a task sends `("ping", 1)`, and the
//! receiver decodes a `(String, u64)`. The receiver decodes the type that was sent: a message with
//! [`rest`](proto::framing::Elements::rest) or [`Message::decode`], and a request, which ends with a reply port, with
//! [`request`](proto::framing::Elements::request) or [`Message::request`]. The [table of
//! shapes](proto::framing#one-rule-for-every-shape) lists each case. A receiver that does not know the shape decodes a
//! `Vec<`[`Value`](proto::value::Value)`>`. If a handler fails to decode a message, its port ends, and the monitors of
//! the port get the reason.
//!
//! # The verbs
//!
//! | AnyEvent::MP | from an async task | in the code of a port |
//! |---|---|---|
//! | `port` | [`Node::port`], [`Node::mailbox`] | [`Context::port`], [`named_port`](Context::named_port) |
//! | `rcv` | [`Mailbox::recv`] | [`receive`](Context::receive), [`receive_tag`](Context::receive_tag) |
//! | `snd` | [`Node::send`], [`Node::ready`] | [`send`](Context::send), [`forward`](Context::forward), [`when_ready`](Context::when_ready) |
//! | `mon` | [`Node::watch`] | [`watch`](Context::watch), [`link`](Context::link), [`watch_with_message`](Context::watch_with_message) |
//! | `kil` | [`Node::end`] | [`end`](Context::end) |
//! | `spawn` | [`Node::spawn`], [`Node::register`] | [`spawn`](Context::spawn), [`register`](Context::register) |
//! | `cal` | [`Node::call`] | [`call`](Context::call) |
//! | `after` | | [`after`](Context::after), [`send_after`](Context::send_after), [`cancel`](Context::cancel) |
//! | `peval`, `psub` | [`Node::within`] | [`run_in`](Context::run_in), [`later`](Context::later), [`run_future`](ContextExt::run_future) |
//! | `mon_nodes` | [`Node::events`] | |
//! | `AnyEvent::MP::DataConn::connect_to` | [`Node::data_connect`], [`Node::data_accept`] | |
//! | `db_set`, `db_del`, `db_reg` | [`Node::db_set`], [`Node::db_del`], [`Node::db_reg`] | the same |
//! | `db_family`, `db_keys`, `db_values` | [`Node::db_family`], … | the same |
//! | `db_mon` | [`Node::db_watch`] | [`db_watch`](Context::db_watch) |
//!
//! Timers, monitors, calls and futures end with the port in whose context they were created. So a port can end at any
//! time and leaves nothing behind:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # use std::time::Duration;
//! # use aemp_node::{Config, Node, proto::names::PortId};
//! # let node = Node::start(Config::local()).await.unwrap();
//! let mut mailbox = node.mailbox().await.unwrap();
//! let whom = mailbox.id().clone();
//! let reminder = node.with(move |context| {
//!     let reminder = context.port_without_code();
//!     context.run_in(&reminder, move |context| {
//!         context.link(&whom); // If nobody is there to be reminded, the reminder ends too.
//!         context.send_after(Duration::from_millis(10), &whom, &("remember", 1))?;
//!         context.send_after(Duration::from_secs(3600), &whom, &("remember", 2))?;
//!         Ok(())
//!     });
//!     reminder
//! }).await.unwrap();
//! assert_eq!(mailbox.recv().await.unwrap().decode::<(&str, u64)>().unwrap(), ("remember", 1));
//! node.end(&reminder, Default::default()); // And nobody is reminded in an hour.
//! # });
//! ```
//!
//! # Data connections
//!
//! A node holds each message in memory as a whole, and later messages wait for it. Use a [`DataStream`] for large data:
//! a byte stream between programs on two nodes, with the authentication and TLS of the network. Either node can open
//! its connection. [`Node::data_accept`] accepts data connections under a name, and [`Node::data_connect`] requests
//! one.
//!
//! # Networks
//!
//! A node must know the address of one other node, a *seed*. It finds all other nodes by name, and connects to a node
//! when it first sends a message there. [`Node::start`] does not wait for other nodes. [`Node::joined`] waits, and its
//! error says why a node has not joined. All nodes of a network share the database: an entry stays until the node that
//! set it removes it or is lost.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # use aemp_node::{Config, Node, proto::{auth::Secret, names::NodeId}};
//! # let config = |id: &str| {
//! #     let mut config = Config::new(NodeId::new(id).unwrap());
//! #     config.listen = vec!["127.0.0.1:*".into()];
//! #     config.node.link.secret = Some(Secret::new(b"swordfish").unwrap());
//! #     config
//! # };
//! let seed = Node::start(config("seed")).await.unwrap();
//! let mut nodes = Vec::new();
//! for id in ["doubler", "client"] {
//!     let mut config = config(id);
//!     config.seeds = vec![seed.addresses()[0].to_string()];
//!     nodes.push(Node::start(config).await.unwrap());
//! }
//! let [doubler, client] = &nodes[..] else { unreachable!() };
//!
//! let port = doubler.port(|context, elements| {
//!     let (number, reply) = elements.request::<u64>()?;
//!     Ok(context.send(&reply, &(2 * number))?)
//! }).await.unwrap();
//! let _registered = doubler.db_reg(&port, "doublers", &()).await.unwrap();
//!
//! // The client has never heard of the node doubler, nor of its address.
//! let mut doublers = client.db_watch("doublers").await.unwrap();
//! let found = loop {
//!     if let Some(port) = doublers.next().await.unwrap().added.keys().next() {
//!         break port.parse().unwrap();
//!     }
//! };
//! assert_eq!(client.call(&found, &21, None).await.unwrap().decode::<u64>().unwrap(), 42);
//! # });
//! ```
//!
//! # What is logged
//!
//! The node logs with `tracing`. At level info: connections, including data connections, that open and close. At level
//! warn: messages that could not be sent and that nothing monitors, failures that end no port, and handlers that block
//! the node, with their ports. Warnings that other nodes can cause are limited to a [rate](LogRate) for each kind. The
//! node logs those above the rate at level debug, and counts them.
//!
//! Text from other nodes is logged unchanged. A subscriber that writes for people should show it as [`Escaped`]. A
//! subscriber that writes to a pipe or a disk should do so on its own thread, so that the node does not wait for it. A
//! [`LogLayer`] lets other nodes read all records of a program ([`Node::offer_logs`]); [`Node::catch_logs`] reads the
//! records of other nodes.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod addresses;
mod config;
mod connection;
mod credentials;
mod data;
mod database;
mod driver;
mod early;
mod escape;
mod events;
mod handle;
mod host;
mod joining;
#[cfg(feature = "logs")]
mod logs;
mod mailbox;
mod message;
#[cfg(feature = "permissions")]
pub mod permissions;
mod rate;
mod services;
mod socket;
mod supervisor;
mod tasks;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod waiting;
mod watch;
mod wire;

pub use config::Config;
pub use data::{AcceptError, DataError, DataListener, DataStream};
pub use database::{DatabaseError, Entry, FamilyChanges};
pub use escape::Escaped;
pub use events::Events;
pub use handle::{CallError, Node, SendError, StartError, Stopped};
pub use joining::JoinError;
#[cfg(feature = "logs")]
pub use logs::{CAUGHT, CaughtLogs, LogLayer, LogLevel, LogLevelError, Record};
pub use mailbox::{Capacity, Mailbox, Overflow};
pub use message::Message;
pub use rate::LogRate;
pub use services::{echo, log, serve_database};
pub use tasks::{ContextExt, LocalError, LocalPort};
pub use tls::Certificates;
#[cfg(feature = "tls")]
pub use tls::{CertificatesError, certificate_uri};
pub use watch::Watch;
pub use wire::{Passed, Tap};

pub use aemp_proto as proto;
pub use aemp_proto::actor::{Access, Context};
