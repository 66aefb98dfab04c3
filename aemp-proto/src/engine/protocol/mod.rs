//! What the chapters of the specification rule, as far as it needs no connection: `impl Core`, one subject a file.

mod data_asking;
pub(in crate::engine) mod data_requests;
mod database;
mod monitoring;
pub(in crate::engine) mod node_port;
mod peer_states;
mod port_life;
mod rights;
mod running;
mod sending;
mod spawning;
mod telling_ends;
mod timing;
