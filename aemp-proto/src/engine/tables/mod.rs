//! The tables of the engine: plain data, each of which knows only itself and the tables below it.

pub(in crate::engine) mod data_connections;
pub(in crate::engine) mod denials;
pub(in crate::engine) mod functions;
pub(in crate::engine) mod keys;
pub(in crate::engine) mod memory;
pub(in crate::engine) mod monitors;
pub(in crate::engine) mod peers;
pub(in crate::engine) mod ports;
pub(in crate::engine) mod reasons;
pub(in crate::engine) mod refusal;
pub(in crate::engine) mod searches;
pub(in crate::engine) mod seeds;
pub(in crate::engine) mod steps;
pub(in crate::engine) mod strangers;
pub(in crate::engine) mod timers;
