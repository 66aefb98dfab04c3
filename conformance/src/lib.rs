//! A conformance suite for AEMP nodes in any language.
//!
//! The suite is a second, small implementation of AEMP that does on purpose what a node may meet, right or wrong, and looks
//! at what the node under test makes of it. From the bottom up:
//!
//! | module | |
//! |---|---|
//! | [`requirement`] | the sentences of the specification that bind, by their IDs |
//! | [`failure`] | what a case found |
//! | [`hex`] | octets as people read them |
//! | [`diagnosis`] | what is usually wrong with a token |
//! | [`hidden`] | a secret that nobody is to read in a report |
//! | [`wire`] | what passed on the connections of a case, to be shown when it fails |
//! | [`certificates`] | certificates for TLS, made for one run |
//! | [`tls`] | one side of TLS, right or wrong |
//! | [`peer`] | the suite's side of one connection |
//! | [`subject`] | the node under test: how it is started, and what it says it can do |
//! | [`test`](mod@test) | what a case has in its hands while it runs |
//! | [`case`] | what a case is |
//! | [`written`] | what a sender must and must not do, looked for in octets |
//! | [`cases`] | all cases, chapter by chapter |
//! | [`run`](mod@run) | running them, and judging |
//! | [`vectors`] | parts of an implementation, without sockets: questions to a program |
//! | [`codec`] | a program that answers them, right or wrong |
//! | [`appendix`] | which case shows which requirement, and what nothing shows |
//! | [`faults`] | deliberately wrong nodes, which show that the suite can fail |
//! | [`pattern`], [`expected`] | picking cases by name, and failures that are expected |
//! | [`report`] | what people and programs read about that |

#![forbid(unsafe_code)]

pub mod appendix;
pub mod case;
pub mod cases;
pub mod certificates;
pub mod codec;
pub mod diagnosis;
pub mod expected;
pub mod failure;
pub mod faults;
pub mod hex;
pub mod hidden;
pub mod pattern;
pub mod peer;
pub mod report;
pub mod requirement;
pub mod run;
pub mod subject;
pub mod test;
pub mod tls;
pub mod vectors;
pub mod wire;
pub mod written;
