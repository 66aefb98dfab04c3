//! The kinds of memory that a node holds for its peers (`SEC-13`).

/// How many octets a node holds, or may hold, for its peers.
///
/// What is counted is the memory that is allocated, within a factor of about 1.5. The node's own programs count only where
/// they send more than goes out: what waits for others is in [`queues`](Self::queues).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What waits to be sent. A peer for which much waits reads too slowly, or is sent too much.
    pub queues: usize,
    /// Packets that have not arrived whole, and what waits behind them.
    pub packets: usize,
    /// What others have set in the database, and what is watched of it.
    pub database: usize,
    /// Tables: peers and connections, watches, spawned ports, data connections that are expected.
    pub tables: usize,
}

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MemoryKind {
    /// What waits to be sent.
    Queues,
    /// Packets that have not arrived whole.
    Packets,
    /// The database.
    Database,
    /// Tables.
    Tables,
}

impl Memory {
    /// The shares of a ceiling for all together: three eighths for the database, a quarter each for queues and for packets,
    /// an eighth for tables.
    ///
    /// ```
    /// use aemp_proto::engine::Memory;
    /// assert_eq!(Memory::of(1 << 30).packets, 256 << 20);
    /// ```
    pub const fn of(ceiling: usize) -> Self {
        let eighth = ceiling / 8;
        Memory { queues: 2 * eighth, packets: 2 * eighth, database: 3 * eighth, tables: eighth }
    }

    /// All of it.
    pub const fn total(&self) -> usize {
        self.queues.saturating_add(self.packets).saturating_add(self.database).saturating_add(self.tables)
    }
}

/// 1 GiB.
impl Default for Memory {
    fn default() -> Self {
        Memory::of(1 << 30)
    }
}
