//! The tests of the crate, in one program: each module holds what belongs together.

#[path = "../../../fuzz/checks.rs"]
mod checks;
mod support;

mod admission;
mod agreement;
mod authority;
mod calls;
mod corpora;
mod data_connections;
mod data_strangers;
mod database_cost;
mod database_limits;
mod discovery;
mod documents;
mod fairness;
mod floors;
mod global;
mod global_vectors;
mod hosts;
mod ledger;
mod lifetimes;
mod links;
mod lost_globals;
mod memory;
mod misbehaviour;
mod networks;
mod node_vectors;
mod nodes;
mod packet_limits;
mod peers;
mod permissions;
mod programs;
mod properties;
mod recordings;
mod reference_roles;
mod requirements;
mod shapes;
mod simulation;
mod storable;
mod strangers;
mod typed_messages;
mod vectors;
mod work;
