//! What was measured, as text.

use std::fmt::Write;
use std::time::Duration;

use super::measure::Measured;

/// Tables in Markdown.
pub(crate) fn tables(all: &[Measured]) -> String {
    let mut text = String::from("### Start\n\n");
    text += "| nodes | globals | connections | messages | a node | octets | a node | of handshakes | converged, s | processor, s |\n";
    text += "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for Measured { size, start, converged, processor, .. } in all {
        let nodes = size.nodes as u64;
        let cells = [
            grouped(start.connections),
            grouped(start.messages),
            grouped(start.messages / nodes),
            grouped(start.octets),
            grouped(start.octets / nodes),
            format!("{} %", start.handshakes * 100 / start.octets.max(1)),
            format!("{:.2}", converged.as_secs_f64()),
            seconds(*processor),
        ];
        row(&mut text, size.nodes, size.globals, &cells);
    }
    text += "\n### A change, a watch, and the loss of a global\n\n";
    text += "| nodes | globals | change: messages | octets | watch: octets | loss: slaves | all have a master, ms | messages | octets |\n";
    text += "|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for Measured { size, change, watch, loss, .. } in all {
        let mut cells = vec![grouped(change.messages), grouped(change.octets), grouped(watch.octets)];
        match loss {
            Some(loss) => cells.extend([
                grouped(loss.slaves as u64),
                format!("{:.1}", loss.time.as_secs_f64() * 1000.0),
                grouped(loss.traffic.messages),
                grouped(loss.traffic.octets),
            ]),
            None => cells.extend([const { String::new() }; 4]),
        }
        row(&mut text, size.nodes, size.globals, &cells);
    }
    text += "\n### One node sends a message to each other one\n\n";
    text += "| nodes | globals | reached | by new connections | messages | octets | quiet after, ms | processor, s |\n";
    text += "|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for Measured { size, reach, .. } in all {
        let cells = [
            grouped(reach.nodes as u64),
            grouped(reach.traffic.connections),
            grouped(reach.traffic.messages),
            grouped(reach.traffic.octets),
            format!("{:.1}", reach.time.as_secs_f64() * 1000.0),
            seconds(reach.processor),
        ];
        row(&mut text, size.nodes, size.globals, &cells);
    }
    text += "\n### Memory, and a minute in which nothing happens\n\n";
    text += "| nodes | globals | heap of an ordinary node | of a global | for a watch | minute: messages a node | octets a node | processor, µs a node |\n";
    text += "|--:|--:|--:|--:|--:|--:|--:|--:|\n";
    for Measured { size, ordinary, global, view, idle, idle_processor, .. } in all {
        let nodes = size.nodes as u64;
        let processor = idle_processor.map_or_else(String::new, |time| grouped(time.as_micros() as u64 / nodes));
        let cells = [
            grouped(*ordinary as u64),
            grouped(*global as u64),
            grouped(*view as u64),
            grouped(idle.messages / nodes),
            grouped(idle.octets / nodes),
            processor,
        ];
        row(&mut text, size.nodes, size.globals, &cells);
    }
    text
}

fn row(text: &mut String, nodes: usize, globals: usize, cells: &[String]) {
    let _ = writeln!(text, "| {} | {globals} | {} |", grouped(nodes as u64), cells.join(" | "));
}

/// One line for each network.
pub(crate) fn csv(all: &[Measured]) -> String {
    let mut text = String::from(
        "nodes,globals,connections,messages,octets,handshake_octets,converged_ms,processor_ms,change_messages,change_octets,\
         watch_messages,watch_octets,lost_slaves,loss_ms,loss_messages,loss_octets,ordinary_heap,global_heap,watch_heap,idle_messages,\
         idle_octets,idle_processor_ms,reached,reach_connections,reach_messages,reach_octets,reach_ms,reach_processor_ms\n",
    );
    for measured in all {
        let Measured { size, start, change, watch, idle, reach, .. } = measured;
        let milliseconds = |time: Duration| format!("{:.3}", time.as_secs_f64() * 1000.0);
        let maybe = |time: Option<Duration>| time.map_or_else(String::new, milliseconds);
        let loss = measured.loss.as_ref().map_or_else(
            || ",,,".into(),
            |loss| format!("{},{},{},{}", loss.slaves, milliseconds(loss.time), loss.traffic.messages, loss.traffic.octets),
        );
        let cells = [
            format!(
                "{},{},{},{},{},{}",
                size.nodes, size.globals, start.connections, start.messages, start.octets, start.handshakes
            ),
            format!("{},{}", milliseconds(measured.converged), maybe(measured.processor)),
            format!("{},{},{},{}", change.messages, change.octets, watch.messages, watch.octets),
            loss,
            format!("{},{},{}", measured.ordinary, measured.global, measured.view),
            format!("{},{},{}", idle.messages, idle.octets, maybe(measured.idle_processor)),
            format!("{},{},{},{}", reach.nodes, reach.traffic.connections, reach.traffic.messages, reach.traffic.octets),
            format!("{},{}", milliseconds(reach.time), maybe(reach.processor)),
        ];
        text += &cells.join(",");
        text.push('\n');
    }
    text
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64()))
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
