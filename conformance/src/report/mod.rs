//! What people and programs read about a run.

pub mod text;
