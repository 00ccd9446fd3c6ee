//! Where a value came from.

/// Level that answered a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The process's own memory (L1).
    Local,
    /// Redis (L2).
    Redis,
    /// The database; the value is now cached.
    Loaded,
    /// The database, because Redis is down or a change is being committed.
    Bypass,
    /// Redis, past its time to live, because the database returned no value. It was never invalidated.
    Stale,
}

impl Source {
    /// Returns whether the value came without a query to the database.
    pub fn is_hit(self) -> bool {
        !matches!(self, Self::Loaded | Self::Bypass)
    }
}
