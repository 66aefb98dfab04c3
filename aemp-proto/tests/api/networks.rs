//! Networks that are drawn from a number: seeds, globals and slaves, some of which do not listen, under latency, cuts,
//! crashes and slow readers, while entries come and go. In half of them some nodes behave as the Perl reference does, faults
//! included. What must hold at any time is checked throughout; once all has healed, what section 8.9 of the specification
//! promises must hold.
//!
//! Some nodes of ours talk as much as the reference does, too, which repeats itself. A failing number replays exactly:
//! `SEED=number cargo test -p aemp-proto --test api networks`. More numbers than the usual: `SEEDS=count`, best with
//! `--release`.

use std::time::Duration;

use crate::support::community::{Community, Fault};
use crate::support::promises::TABLES;
use crate::support::reference::Misdeeds;

/// A tenth of a second.
fn tenth(community: &mut Community, number: usize) {
    community.world.run_for(Duration::from_millis(100));
    community.check();
    if number.is_multiple_of(10) {
        community.check_values();
    }
}

fn simulate(seed: u64, mixed: bool, fault: Fault) -> Community {
    let mut community = Community::new(seed, mixed, fault);
    for _ in 0..8 {
        // While everybody dials at once.
        community.world.run_for(Duration::from_millis(20));
        community.check();
    }
    for number in 0..80 {
        community.misfortune();
        community.live();
        tenth(&mut community, number);
    }
    if seed.is_multiple_of(3) {
        community.cut_in_two();
        // Longer than it takes to find that out.
        for number in 0..100 {
            community.live();
            tenth(&mut community, number);
        }
    }
    community.heal();
    (0..250).for_each(|number| tenth(&mut community, number));
    community.check_healed();
    community
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

#[test]
fn after_healing_all_nodes_see_the_same_database_which_is_that_of_all_that_live() {
    // GLOBAL-4, GLOBAL-9, GLOBAL-12, GLOBAL-16, GLOBAL-17, GLOBAL-18, DB-7, DB-9, DB-10, DB-12, DB-13, DB-14, DB-20, DB-21
    if let Some(seed) = number("SEED") {
        simulate(seed, false, Fault::None);
        return;
    }
    for seed in 0..number("SEEDS").unwrap_or(200) {
        simulate(seed, false, Fault::None);
    }
}

#[test]
fn among_nodes_that_behave_as_the_reference_does_ours_keep_what_they_promise() {
    // GLOBAL-9, GLOBAL-12, GLOBAL-18, GLOBAL-22, DB-7, DB-9, DB-18, DB-19, DB-20, FRAME-4, MON-7, MON-8, PEER-3, PEER-5
    if let Some(seed) = number("SEED") {
        simulate(seed, true, Fault::None);
        return;
    }
    let (mut all, mut dropped, mut deaf, mut promised) = (Misdeeds::default(), 0, 0, [0; 3]);
    for seed in 0..number("SEEDS").unwrap_or(150) {
        let community = simulate(seed, true, Fault::None);
        for reference in &community.references {
            let mut reference = reference.borrow_mut();
            all += reference.with_roles(|roles| roles.misdeeds);
            dropped += usize::from(reference.has_dropped_in_silence());
            deaf += reference.deaf();
        }
        promised.iter_mut().zip(*community.promised.borrow()).for_each(|(all, here)| *all += here);
    }
    let Misdeeds { forgets_master, updates_without_database, tells_who_left, counts_as_changed } = all;
    let faults = [forgets_master, updates_without_database, tells_who_left, counts_as_changed, dropped, deaf];
    assert!(faults.iter().chain(&promised).all(|&times| times > 0), "{all:?} {dropped} {deaf} {promised:?}");
    println!("{all:?}, {dropped} dropped in silence, {deaf} deaf; promised {promised:?}");
}

#[test]
fn each_check_finds_the_fault_that_it_is_for() {
    let everywhere = [
        (Fault::SecondMaster, ""),
        (Fault::SilentGlobal, ""),
        (Fault::MissedChange, ""),
        (Fault::InventedValue, "which nobody has set"),
        (Fault::LostWatch, "a watch was lost"),
        (Fault::RepeatedWatch, "a watch fired more than once"),
        (Fault::InventedReason, "a watch fired for no reason"),
        (Fault::OpenConnections, "connections: PEER-5"),
        (Fault::LongQueues, "of waiting"),
        (Fault::ManyHandshakes, "of handshakes"),
        (Fault::ManyLost, "of lost"),
        (Fault::ManySearched, "of searches"),
        (Fault::NoMaster, "could have a master"),
    ];
    let overfull = (0..TABLES).map(|place| (Fault::Overfull(place), " at most"));
    for (fault, what) in everywhere.into_iter().chain(overfull) {
        let finds = |(seed, mixed)| {
            let Err(said) = std::panic::catch_unwind(|| simulate(seed, mixed, fault)) else { return false };
            said.downcast_ref::<String>().is_some_and(|said| said.contains(what))
        };
        assert!((0..60).flat_map(|seed| [(seed, false), (seed, true)]).any(finds), "{fault:?} went unnoticed");
    }
}
