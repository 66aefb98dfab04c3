//! What a node takes, and for how long it waits: options of `aemp run`.

use aemp_node::Config;
use aemp_node::proto::actor::Memory;
use aemp_node::proto::framing::Limits as PacketLimits;
use clap::Args;

use crate::Failure;
use crate::options::seconds;

/// For how long a node waits for others.
#[derive(Args)]
#[command(next_help_heading = "Time-outs")]
pub(crate) struct Times {
    /// Seconds that a handshake may take as a whole
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    handshake_timeout: f64,
    /// Seconds that the other side may take for its greeting
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    greeting_timeout: f64,
    /// Seconds for which a node without a connection is tried
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    connect_timeout: f64,
    /// Seconds of silence after which a peer is asked for a sign of life
    #[arg(long, alias = "quiet", value_name = "SECONDS", default_value_t = 10.0)]
    keep_alive_interval: f64,
    /// The longest time in seconds between two tries to reach a seed
    #[arg(long, alias = "backoff", value_name = "SECONDS", default_value_t = 30.0)]
    max_reconnect_delay: f64,
    /// Seconds after which code that holds up the node is logged
    #[arg(long, alias = "slow", value_name = "SECONDS", default_value_t = 0.2)]
    slow_handler: f64,
}

impl Times {
    pub(crate) fn put_into(&self, config: &mut Config) -> Result<(), Failure> {
        config.node.link.handshake_timeout = seconds("--handshake-timeout", self.handshake_timeout)?;
        config.node.greeting_timeout = seconds("--greeting-timeout", self.greeting_timeout)?;
        config.node.connect_timeout = seconds("--connect-timeout", self.connect_timeout)?;
        config.node.quiet = seconds("--keep-alive-interval", self.keep_alive_interval)?.min(config.node.silence / 3);
        config.node.backoff = seconds("--max-reconnect-delay", self.max_reconnect_delay)?;
        config.slow_handler = seconds("--slow-handler", self.slow_handler)?;
        Ok(())
    }
}

/// What others may cost a node. Sizes are in octets, or end in K, M or G.
#[derive(Args)]
#[command(next_help_heading = "Limits (sizes in octets, or with K, M or G behind the number)")]
pub(crate) struct Limits {
    /// The size of a packet that is taken [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_packet: Option<usize>,
    /// How deeply the values in a packet may be nested [default: 128]
    #[arg(long, value_name = "NUMBER")]
    max_depth: Option<usize>,
    /// How many values a packet may have
    #[arg(long, value_name = "NUMBER")]
    max_values: Option<usize>,
    /// The size of a packet that is sent to nodes that do not say what they take; raise it where all of them take more
    /// [default: 1M]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_sent: Option<usize>,
    /// What may wait for one peer before its connection is given up [default: 64M]
    #[arg(long, alias = "max-queue", value_name = "SIZE", value_parser = size)]
    max_send_buffer_per_peer: Option<usize>,
    /// Memory that all peers together may take: three eighths of it for the database, a quarter for what waits to be sent, a
    /// quarter for packets that have not arrived whole, an eighth for tables [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_memory: Option<usize>,
    /// Work for one connection before others have their turn, in units of some nanoseconds [default: 100000]
    #[arg(long, value_name = "NUMBER")]
    turn_budget: Option<u64>,
    /// Connections that may be in their handshake at once [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    max_handshakes: Option<usize>,
    /// Those of them that one address may have [default: 250]
    #[arg(long, value_name = "NUMBER")]
    max_handshakes_of_address: Option<usize>,
    /// Nodes without a connection that are tried at once [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    max_connecting: Option<usize>,
    /// Those of them that are tried because of one peer [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    max_connecting_of_peer: Option<usize>,
    /// Watches that one peer may have on ports of this node [default: 1000000]
    #[arg(long, value_name = "NUMBER")]
    max_watches: Option<usize>,
    /// Ports that all peers together may have spawned [default: 100000]
    #[arg(long, value_name = "NUMBER")]
    max_spawned: Option<usize>,
    /// Ports that one peer may have spawned [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    max_spawned_by_peer: Option<usize>,
    /// Data connections that are expected at once [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    max_data: Option<usize>,
    /// Data connections that one peer may have this node expect [default: 100]
    #[arg(long, value_name = "NUMBER")]
    max_data_of_peer: Option<usize>,
    /// Entries of the database that one node may set here [default: 100000]
    #[arg(long, value_name = "NUMBER")]
    max_entries: Option<usize>,
    /// Memory that the entries of one node may take [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_database: Option<usize>,
    /// Entries that another global node may set with the nodes behind it [default: 10000000]
    #[arg(long, value_name = "NUMBER")]
    max_global_entries: Option<usize>,
    /// Memory that those entries may take [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_global_database: Option<usize>,
    /// Node IDs of globals that may set as much as those two limits say, with `*` for any characters; all others may set
    /// what --max-entries and --max-database say. Without it, they are the seeds of this node
    #[arg(long, value_name = "PATTERN")]
    trust_global: Vec<String>,
    /// Families that one peer may watch [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    max_watched: Option<usize>,
    /// Global nodes that were lost and are remembered [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    max_lost: Option<usize>,
    /// Nodes that are searched at once [default: 10000]
    #[arg(long, value_name = "NUMBER")]
    max_searched: Option<usize>,
}

impl Limits {
    pub(crate) fn put_into(&self, config: &mut Config) {
        let set = |limit: &mut usize, value: Option<usize>| *limit = value.unwrap_or(*limit);
        let node = &mut config.node;
        set(&mut node.link.limits.octets, self.max_packet);
        set(&mut node.link.limits.depth, self.max_depth);
        set(&mut node.link.limits.values, self.max_values);
        if let Some(octets) = self.max_sent {
            // What one packet may have in it grows with its size.
            let times = octets.div_ceil(PacketLimits::LEAST.octets);
            let values = PacketLimits::LEAST.values.saturating_mul(times);
            node.link.send_limits = PacketLimits { octets, values, ..PacketLimits::LEAST };
        }
        set(&mut node.queue, self.max_send_buffer_per_peer);
        node.memory = self.max_memory.map_or(node.memory, Memory::of);
        node.turn_budget = self.turn_budget.unwrap_or(node.turn_budget);
        set(&mut node.handshakes, self.max_handshakes);
        set(&mut node.handshakes_of_address, self.max_handshakes_of_address);
        set(&mut node.connecting, self.max_connecting);
        set(&mut node.connecting_of_peer, self.max_connecting_of_peer);
        set(&mut node.watches, self.max_watches);
        set(&mut node.spawned, self.max_spawned);
        set(&mut node.spawned_by_peer, self.max_spawned_by_peer);
        set(&mut node.data_expected, self.max_data);
        set(&mut node.data_expected_of_peer, self.max_data_of_peer);
        let database = &mut node.database;
        set(&mut database.slave.entries, self.max_entries);
        set(&mut database.slave.octets, self.max_database);
        set(&mut database.global.entries, self.max_global_entries);
        set(&mut database.global.octets, self.max_global_database);
        set(&mut database.watched, self.max_watched);
        set(&mut database.lost, self.max_lost);
        set(&mut database.searched, self.max_searched);
        database.globals.clone_from(&self.trust_global);
    }
}

/// A number of octets: `65536`, `64K`, `64M`, `1G`.
fn size(text: &str) -> Result<usize, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let octets = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    octets.ok_or_else(|| format!("{text:?} is no size: a number of octets, or one with K, M or G behind it"))
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, octets) in [("0", 0), ("65536", 65536), ("64K", 65536), ("64m", 64 << 20), ("2G", 2 << 30)] {
            assert_eq!(size(text), Ok(octets));
        }
        for wrong in ["", "K", "1.5M", "-1", "10T", "99999999999999G", "ä"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
