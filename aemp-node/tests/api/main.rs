//! The tests of the crate, in one program: each module holds what belongs together.

#[path = "../../../aemp-proto/tests/api/support/vectors.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod recordings;
mod support;

mod bad_data_connections;
mod bad_database;
mod bad_input;
mod corpora;
mod data_connections;
mod data_volume;
mod endurance;
mod node_api;
mod outcomes;
mod permissions;
mod rotation;
mod tls;
mod tls_peers;
