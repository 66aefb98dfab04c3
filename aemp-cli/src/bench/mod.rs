//! `aemp bench`: how fast two nodes talk, beside what plain sockets do in the same run.

mod floor;
mod latency;
mod options;
mod receiver;
mod report;
mod sender;

use std::time::Duration;

use floor::Kind;
pub(crate) use options::Bench;
use receiver::Receivers;
use report::{Report, What};

use crate::{Failure, say};

/// What was measured of one kind of traffic.
struct Figures {
    /// Messages that arrived, or round trips.
    count: u64,
    /// From the first message until the last one was known to have arrived.
    time: Duration,
    /// How long round trips took.
    latencies: Option<latency::Latencies>,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if let Some(options::Side::Receive(arrangement)) = &self.side {
            return receiver::serve(arrangement).await;
        }
        let plan = self.plan()?;
        let report = plan.measure().await?;
        say(if plan.json { report.json() } else { report.table() })
    }
}

impl options::Plan {
    async fn measure(&self) -> Result<Report, Failure> {
        let secret = receiver::new_secret()?;
        let receivers = match self.local {
            true => Receivers::here(&self.arrangement, &secret).await?,
            false => Receivers::elsewhere(&self.arrangement, &secret)?,
        };
        let senders = sender::connect(&self.arrangement, &secret, &receivers.nodes).await?;
        let mut report = Report::new(self);
        report.add(What::OneWay, "one-way", sender::one_way(&senders, self.time).await?);
        if self.floor {
            report.add(What::OneWay, "one-way, plain sockets", self.floor(Kind::OneWay, &receivers).await?);
        }
        report.add(What::RoundTrips, "round trips", sender::round_trips(&senders, self.time).await?);
        if self.floor {
            report.add(What::RoundTrips, "round trips, blocking sockets", self.floor(Kind::Blocking, &receivers).await?);
            report.add(What::RoundTrips, "round trips, tokio sockets", self.floor(Kind::Tokio, &receivers).await?);
        }
        Ok(report)
    }

    async fn floor(&self, kind: Kind, receivers: &Receivers) -> Result<Figures, Failure> {
        floor::measure(kind, receivers.floor, &self.arrangement, self.time).await
    }
}

/// The figures of several pairs that talked at once, and for how long they did.
fn together(each: Vec<Figures>, time: Duration) -> Figures {
    let count = each.iter().map(|figures| figures.count).sum();
    let latencies = each.into_iter().filter_map(|figures| figures.latencies).reduce(latency::Latencies::with);
    Figures { count, time, latencies }
}
