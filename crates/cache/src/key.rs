//! Keys of the cache: type, name and life of a cached value.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

/// A typed cache key, so a value cannot be read as another type.
pub trait CacheKey: Clone + Send + Sync + 'static {
    /// The value; it is stored as the JSON that is sent.
    type Value: Serialize + DeserializeOwned + Send + 'static;

    /// Stored with the value and never sent: decides which users may see it.
    type Head: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// How long a value may be served.
    const LIFE: Life;

    /// Number of the JSON form of `Value` and `Head`. Increase it with every change of it after which a release cannot read
    /// what the other one has stored: during a rolling deployment both run. An entry of a lower number is loaded again and
    /// replaced; one of a higher number is left alone, and this process loads for itself.
    const SHAPE: u32 = 1;

    /// Returns the key in Redis, without prefix. It begins with one of the key spaces of the cache.
    fn redis_key(&self) -> String;
}

/// How long a cached value may be served. In Redis up to a tenth is taken off at random, so that values stored together
/// do not expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Longest time between the read from the database and the last time the value is served from Redis.
    pub hard: Duration,
    /// Age from which it is refreshed in the background while it is served; `None`: never.
    pub soft: Option<Duration>,
    /// Longest time in a process's own memory; zero: not kept there.
    pub local: Duration,
    /// Last part of `hard`, in which the value is stale: served only if the database returns no other. Zero: none.
    pub stale_on_error: Duration,
}

impl Life {
    /// A life of `hours`: refreshed in the background after 30 min, 1 min in memory, stale in its last 10 min.
    pub const fn hours(hours: u64) -> Self {
        Self {
            hard: Duration::from_hours(hours),
            soft: Some(Duration::from_mins(30)),
            local: Duration::from_mins(1),
            stale_on_error: Duration::from_mins(10),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Profile {
        pub(crate) name: String,
    }

    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct ProfileKey;

    impl CacheKey for ProfileKey {
        type Value = Profile;
        type Head = ();
        const LIFE: Life = Life::hours(1);

        fn redis_key(&self) -> String {
            "user:ada".to_owned()
        }
    }
}
