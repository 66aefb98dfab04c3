//! Connections and what is done to have them: `impl Engine`, one subject a file.

mod admission;
mod connections;
pub(in crate::engine) mod counts;
mod data_opening;
mod dialling;
mod driving;
mod ledger;
mod tie_break;
