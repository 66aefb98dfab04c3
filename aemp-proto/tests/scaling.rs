//! The program that measures how networks scale, on small ones: whatever it counts must be what the protocol says.

#[path = "../examples/scaling/main.rs"]
#[allow(dead_code, reason = "it has a main of its own")]
mod scaling;

use scaling::measure::{Measured, Size, measure};
use scaling::{picture, report};

/// Measures a network. That all globals have all entries, at the start and again after the loss of one, that each node has a
/// master, and that a change arrives, is an error of the measurement if it is not so.
fn measured(nodes: usize, globals: usize) -> Measured {
    measure(Size { nodes, globals }).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn each_count_that_follows_from_the_protocol_is_right() {
    // GLOBAL-9, GLOBAL-12, GLOBAL-16, DB-5, DB-7, DB-10, DB-13, DB-14, DB-16, FIND-4
    for (nodes, globals) in [(10, 1), (10, 3), (100, 3), (100, 10)] {
        let measured = measured(nodes, globals);
        let (size, counts) =
            (measured.size, |counted: u64, right: usize| assert_eq!(counted, right as u64, "{nodes}:{globals}"));
        // To the master, and from there to each other global.
        counts(measured.change.messages, size.globals);
        // The request and the answer.
        counts(measured.watch.messages, 2);
        // Two nodes went before, and perhaps a global.
        counts(measured.reach.nodes as u64, nodes - 3 - usize::from(globals > 1));
        if let Some(loss) = &measured.loss {
            // Each other global tells the others that it is gone, and its addresses. Each slave of it tells another one its
            // two entries, and that one tells the others.
            let others = globals - 1;
            counts(loss.traffic.messages, 2 * others * (others - 1) + loss.slaves * (1 + 2 * (others - 1)));
        }
        // At least one of each node is a slave that somebody has told of itself, or a global.
        assert!(measured.start.connections >= nodes as u64 - 1 && measured.start.messages >= 2 * nodes as u64 - 2);
        assert!(measured.start.handshakes < measured.start.octets);
        assert_eq!((measured.loss.is_some(), measured.loss.is_some_and(|loss| loss.slaves > 0)), (globals > 1, nodes > 10));
    }
}

#[test]
fn the_same_network_gives_the_same_figures() {
    let figures = |measured: Measured| (measured.start, measured.converged, measured.change, measured.watch, measured.idle);
    assert_eq!(figures(measured(20, 4)), figures(measured(20, 4)));
}

#[test]
fn a_table_has_a_row_and_the_picture_a_point_for_each_network() {
    let all = [measured(10, 1), measured(10, 3), measured(30, 3)];
    let tables = report::tables(&all);
    for row in ["| 10 | 1 |", "| 10 | 3 |", "| 30 | 3 |"] {
        assert_eq!(tables.matches(row).count(), 4, "{row} in\n{tables}");
    }
    let csv = report::csv(&all);
    let columns: Vec<_> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(columns, [columns[0]; 4], "{csv}");
    let svg = picture::picture(&all);
    // One line for each number of globals in both panels, and one for ordinary nodes, of which there are two sizes.
    assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (5, 8), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}
