//! What a loader returns.

use std::time::Duration;

use crate::CacheKey;

/// A value that a loader has read from the database.
pub struct Fresh<K: CacheKey> {
    /// Version of the row, for the `ETag`.
    pub version: i64,
    /// Decides which users may see the value.
    pub head: K::Head,
    /// The value.
    pub value: K::Value,
    /// Time for which it is kept at least, and not loaded again unless it is invalidated.
    pub pin: Option<Duration>,
    /// Time for which it is served at most, if that is shorter than [`Life::hard`](crate::Life::hard): for a value that says
    /// itself when it ends, such as a token. It counts from the moment at which the loader returns, prevails over `pin`, and
    /// leaves no time in which the value is stale.
    pub life: Option<Duration>,
}

impl<K: CacheKey> Fresh<K> {
    /// Returns a value for the life of its key.
    pub fn new(version: i64, head: K::Head, value: K::Value) -> Self {
        Self { version, head, value, pin: None, life: None }
    }

    /// Returns a value that nobody is kept from seeing, without a version.
    pub fn of(value: K::Value) -> Self
    where
        K: CacheKey<Head = ()>,
    {
        Self::new(0, (), value)
    }

    /// Keeps it for this time at least.
    #[must_use]
    pub fn pinned_for(self, pin: Duration) -> Self {
        Self { pin: Some(pin), ..self }
    }

    /// Serves it for this time at most.
    #[must_use]
    pub fn lasting(self, life: Duration) -> Self {
        Self { life: Some(life), ..self }
    }
}
