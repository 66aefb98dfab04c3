//! The program `aemp` as its users run it: each module holds what belongs together.

mod support;

mod bench;
mod first_hour;
mod harmless;
mod hidden;
mod hosts;
mod live;
mod logs_programs;
mod network;
mod octets;
mod operator;
mod pipe;
mod programs;
mod tls_programs;
