//! The tests of the crate and of the program `aemp`, in one program: each module holds what belongs together.

#[path = "../../../aemp-proto/tests/api/support/vectors.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod recordings;
mod support;

mod bad_data_connections;
mod bad_database;
mod bad_input;
mod bench;
mod corpora;
mod data_connections;
mod data_volume;
mod endurance;
mod first_hour;
mod harmless;
mod hidden;
mod hosts;
mod live;
mod logs_programs;
mod network;
mod node_api;
mod octets;
mod operator;
mod outcomes;
mod permissions;
mod pipe;
mod programs;
mod rotation;
mod tls;
mod tls_peers;
mod tls_programs;
