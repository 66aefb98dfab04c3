//! What was measured, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::Figures;
use super::options::Plan;

/// The figures of one run.
pub(super) struct Report {
    framing: &'static str,
    size: u32,
    connections: u32,
    local: bool,
    cores: Option<String>,
    available: usize,
    lines: Vec<Line>,
}

struct Line {
    what: What,
    name: &'static str,
    figures: Figures,
}

/// What is counted: figures are compared with their like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    OneWay,
    RoundTrips,
}

/// The shares of round trips whose times are shown.
const SHARES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        Report {
            framing: plan.arrangement.framing.name(),
            size: plan.arrangement.size,
            connections: plan.arrangement.connections,
            local: plan.local,
            cores: plan.cores.clone(),
            available: std::thread::available_parallelism().map_or(0, usize::from),
            lines: Vec::new(),
        }
    }

    /// Adds a line. The second one of what is counted is the floor.
    pub(super) fn add(&mut self, what: What, name: &'static str, figures: Figures) {
        self.lines.push(Line { what, name, figures });
    }

    /// What part of its floor a line reaches.
    fn of_floor(&self, line: &Line) -> Option<f64> {
        let floor = self.lines.iter().filter(|other| other.what == line.what).nth(1)?;
        Some(line.per_second() / floor.per_second())
    }

    fn processes(&self) -> &'static str {
        if self.local { "one process" } else { "two processes" }
    }

    pub(super) fn table(&self) -> String {
        let cores = match &self.cores {
            Some(cores) => format!("on cores {cores}"),
            None => format!("{} cores", self.available),
        };
        let mut table = format!(
            "{}, {} octets of payload, connections: {}, {}, {cores}\n\n",
            self.framing,
            self.size,
            self.connections,
            self.processes()
        );
        row(&mut table, "", &["messages/s", "MB/s", "ns/message", "of floor"].map(String::from));
        for line in &self.lines {
            let of_floor = self.of_floor(line).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let megabytes = format!("{:.1}", self.megabytes(line));
            let cells = [grouped(line.per_second()), megabytes, grouped(line.nanoseconds()), of_floor];
            row(&mut table, line.name, &cells);
        }
        table.push('\n');
        row(&mut table, "microseconds", &["p50", "p90", "p99", "p99.9", "max"].map(String::from));
        for line in &self.lines {
            let Some(latencies) = &line.figures.latencies else { continue };
            let times = SHARES.map(|(_, share)| latencies.within(share)).into_iter().chain([latencies.longest()]);
            let cells: Vec<_> = times.map(|time| format!("{:.1}", microseconds(time))).collect();
            row(&mut table, line.name, &cells);
        }
        table.pop();
        table
    }

    pub(super) fn json(&self) -> String {
        let results = self.lines.iter().map(|line| {
            json!({
                "name": line.name,
                "messages": line.figures.count,
                "seconds": line.figures.time.as_secs_f64(),
                "messages_per_second": line.per_second(),
                "megabytes_per_second": self.megabytes(line),
                "nanoseconds_per_message": line.nanoseconds(),
                "of_floor": self.of_floor(line),
                "latency_microseconds": line.latencies(),
            })
        });
        let results: Vec<Value> = results.collect();
        let report = json!({
            "framing": self.framing,
            "size": self.size,
            "connections": self.connections,
            "processes": if self.local { 1 } else { 2 },
            "cores": self.cores,
            "available_cores": self.available,
            "results": results,
        });
        format!("{report:#}")
    }

    fn megabytes(&self, line: &Line) -> f64 {
        line.per_second() * f64::from(self.size) / 1e6
    }
}

impl Line {
    fn per_second(&self) -> f64 {
        self.figures.count as f64 / self.figures.time.as_secs_f64()
    }

    fn nanoseconds(&self) -> f64 {
        1e9 / self.per_second()
    }

    fn latencies(&self) -> Value {
        let Some(latencies) = &self.figures.latencies else { return Value::Null };
        let shares = SHARES.map(|(name, share)| (name, latencies.within(share)));
        let all = shares.into_iter().chain([("max", latencies.longest())]);
        all.map(|(name, time)| (name, microseconds(time))).collect()
    }
}

fn row(table: &mut String, name: &str, cells: &[String]) {
    let cells = cells.iter().fold(format!("{name:<30}"), |mut row, cell| {
        let _cannot_fail = write!(row, "{cell:>12}");
        row
    });
    table.push_str(cells.trim_end());
    table.push('\n');
}

/// A whole number with commas between its thousands.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn microseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7.4, 999.0, 1000.0, 18_900_000.2].map(super::grouped), ["7", "999", "1,000", "18,900,000"]);
    }
}
