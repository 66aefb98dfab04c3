//! A tokio node that speaks AEMP: sockets, timers and a thread around the state machine of `aemp-proto`.
//!
//! A [`Node`] runs on a thread of its own, where its ports live and their code runs. What others hold is a handle: it is
//! `Send`, cheap to clone, and reaches the node with [`with`](Node::with).
//!
//! ```
//! use aemp_node::{Config, Node};
//! use aemp_proto::{auth::Secret, value::Value};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let mut config = Config::new("greeter-node".parse_id().unwrap());
//! config.binds = vec!["127.0.0.1:0".into()];
//! config.node.link.secret = Some(Secret::new(b"swordfish").unwrap());
//! let node = Node::start(config).await.unwrap();
//!
//! // A port that answers whoever asks, as `call` asks: with its own port as the last element.
//! let greeter = node.with(|context| {
//!     context.port(|context, elements| {
//!         let (name, whom): (String, aemp_proto::names::PortId) = elements.rest()?;
//!         Ok(context.send(&whom, &format!("hello, {name}"))?)
//!     })
//! }).await.unwrap();
//!
//! let answer = node.call(&greeter, vec!["Ada".into()], None).await.unwrap();
//! assert_eq!(answer, vec![Value::from("hello, Ada")]);
//! # });
//! # use aemp_proto::names::NodeId;
//! # trait ParseId { fn parse_id(&self) -> Option<NodeId>; }
//! # impl ParseId for str { fn parse_id(&self) -> Option<NodeId> { NodeId::new(self).ok() } }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod connection;
mod driver;
mod handle;
mod services;

pub use handle::{CallError, Config, Node, Stopped};
pub use services::{echo, log};

pub use aemp_proto as proto;
