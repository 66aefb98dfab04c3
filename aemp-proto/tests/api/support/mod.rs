//! What several tests need.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test uses a part of it")]

pub mod community;
pub mod globals;
pub mod host;
pub mod hostile;
pub mod network;
pub mod pair;
pub mod ports;
pub mod promises;
pub mod reference;
pub mod traffic;
pub mod values;
pub mod vectors;
pub mod world;
