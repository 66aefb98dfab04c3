//! Helpers of several modules of tests.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "a program of tests uses its part")]

pub mod attacker;
pub mod certificates;
pub mod process;

pub use process::{Running, SECRET, free_address, output, text};
