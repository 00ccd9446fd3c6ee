//! What the cache holds, under which key, and for how long.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

/// A key of the cache that knows what stands under it, so a value cannot be read as something else.
pub trait CacheKey: Clone + Send + Sync + 'static {
    /// What stands under the key and is sent: kept as the JSON that goes out.
    type Value: Serialize + DeserializeOwned + Send + 'static;

    /// What is kept beside it and never sent: what decides who may see it.
    type Head: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// How long it may be served.
    const LIFE: Life;

    /// The key in Redis, without the prefix. Begins with one of the spaces that the cache was built with.
    fn redis_key(&self) -> String;
}

/// How long a cached value may be served. Redis takes up to a tenth off, so that what was stored in one moment does not
/// end in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Longest time between the read from the database and the last time the value is served from Redis.
    pub hard: Duration,
    /// From then on it is read anew in the background while it is served; never where absent.
    pub soft: Option<Duration>,
    /// Longest time in a process's own memory; zero keeps it out of there.
    pub local: Duration,
    /// The last part of `hard`: within it the value is served only where the database gives no other. Zero: never.
    pub stale_on_error: Duration,
}

impl Life {
    /// A life of `hours`: read anew in the background after 30 min, for 1 min in memory, its last 10 min only on errors.
    pub const fn hours(hours: u64) -> Self {
        Self {
            hard: Duration::from_hours(hours),
            soft: Some(Duration::from_mins(30)),
            local: Duration::from_mins(1),
            stale_on_error: Duration::from_mins(10),
        }
    }
}
