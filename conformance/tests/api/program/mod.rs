//! The program `aemp-conformance` as its users meet it: what it says, what it writes, and its exit codes. The nodes and
//! codecs behind it are small, and the cases few: what the cases themselves find is tested elsewhere.
//!
//! Needs `python3`. Systems name their errors in their own ways, and these are those of Unix.

mod connecting;
mod documents;
mod expected;
mod help;
mod refused;
mod reports;
mod running;
mod selecting;
mod terminal;
