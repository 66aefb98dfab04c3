//! Actors: ports with closures, and what they can do, on top of the [engine](crate::engine).

mod call;
mod context;
mod data_verbs;
mod hosting;
mod node;
mod state;
mod supervisor;

pub use call::NoAnswer;
pub use node::Node;
pub use state::{Context, Function, Handler};
pub use supervisor::{Conduct, Supervisor};

pub use crate::engine::{
    Access, Action, ConnectionId, DataConnection, DataTaker, DbEntry, Denied, DialId, Failure, IntoOutcome, Memory,
    MemoryKind, MonitorHandle, NodeConfig, NodeEvent, Outcome, Output, Reasons, Refusal, Tables, TimerHandle,
};
