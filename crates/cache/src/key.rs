//! Keys of the cache: type, name and life of a cached value.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{CacheValue, Group};

/// A typed cache key, so a value cannot be read as another type.
pub trait CacheKey: Clone + Send + Sync + 'static {
    /// The value; it is stored as the bytes that are sent: JSON, unless the type has another codec.
    type Value: CacheValue;

    /// Stored with the value and never sent: decides which users may see it.
    type Head: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// How long a value may be served.
    const LIFE: Life;

    /// Number of the form of the bytes of `Value` and `Head`. Increase it with every change of it after which a release cannot read
    /// what the other one has stored: during a rolling deployment both run. An entry of a lower number is loaded again and
    /// replaced; one of a higher number is left alone, and this process loads for itself.
    const SHAPE: u32 = 1;

    /// Returns the key in Redis, without prefix. It begins with one of the key spaces of the cache.
    fn redis_key(&self) -> String;

    /// Returns the groups with which the value is invalidated; none by default. They follow from the key: a group that only
    /// the loader knows could be invalidated between its read of the database and the moment at which it names the group.
    /// A release with other groups needs another [`SHAPE`](Self::SHAPE).
    fn groups(&self) -> Vec<Group> {
        Vec::new()
    }
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

/// A key by its name: any [`CacheKey`] or [`Group`], or its name without prefix, for keys of several types.
pub trait KeyName {
    /// Returns the name, without prefix.
    fn key_name(&self) -> String;
}

impl<K: CacheKey> KeyName for K {
    fn key_name(&self) -> String {
        self.redis_key()
    }
}

impl KeyName for String {
    fn key_name(&self) -> String {
        self.clone()
    }
}

impl KeyName for &str {
    fn key_name(&self) -> String {
        (*self).to_owned()
    }
}

impl KeyName for Group {
    fn key_name(&self) -> String {
        self.name().to_owned()
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
