//! Attacks on a real node over loopback, with a probe beside each: an honest peer that talks all the while, and newcomers.
//!
//! Each attack prints one line: what it cost the node for each octet that the attackers sent and got, how long the probe had
//! to wait, and what memory the node took. What is asserted does not depend on time: the probe lost nothing, got everything
//! in order and kept its connection, and the memory stayed below the ceiling.
//!
//! `AEMP_HOSTILE=full` makes the attacks as large as those in `docs/hardening.md`, `AEMP_HOSTILE_PROGRAM` names another
//! `aemp` to attack:
//!
//! ```text
//! cargo build --release -p aemp
//! AEMP_HOSTILE=full AEMP_HOSTILE_PROGRAM=target/release/aemp cargo test -p aemp --test hostile -- --nocapture --test-threads 1
//! ```
#![cfg(target_os = "linux")]

mod costs;
mod faults;
mod ground;
mod member;
mod memory;
mod others;
mod probe;
mod process;
mod strangers;
