//! What fails by itself, beside a probe.

use std::time::Duration;

use aemp_node::proto::framing::Framing;

use super::ground::{Ground, size};
use super::member::Member;

#[test]
fn the_node_stands_still() {
    let ground = Ground::new("the process is stopped and goes on", &[]);
    ground.victim.borrow().signal("STOP");
    std::thread::sleep(Duration::from_secs(size(1, 20) as u64));
    ground.victim.borrow().signal("CONT");
    ground.end();
}

#[test]
fn members_that_vanish_in_the_middle_of_a_packet() {
    let ground = Ground::new("members that vanish in the middle of a packet", &[]);
    for number in 0..size(50, 2_000) {
        let mut member = ground.member(&format!("gone{number}"), Framing::Json);
        member.say(br#"["echo","#);
        Member::leave(member);
    }
    ground.end();
}
