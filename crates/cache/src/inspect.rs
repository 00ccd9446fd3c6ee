//! The state of a cache and of single keys, for a page that operators look at.

use std::time::Duration;

use crate::{
    Cache, CacheKey, Error, Trust,
    entry::RELEASE_BYTES,
    local::{Epoch, Local},
    redis::Redis,
};

/// The state of a cache in this process; see [`Cache::status`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether the process's own memory may answer now.
    pub is_live: bool,
    /// The Redis servers: none, one, or the known masters of a cluster.
    pub servers: Vec<ServerStatus>,
    /// How often memory was cleared since an invalidation may have been missed; the first connection is one.
    pub epochs: u64,
    /// Why and when that was last.
    pub last_epoch: Option<Epoch>,
    /// Invalidations that Redis has not confirmed.
    pub unconfirmed: usize,
}

/// The state of one Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The beginning of its ID in a cluster, empty for the only one.
    pub name: String,
    /// How far its values may be trusted.
    pub trust: Trust,
    /// Whether it is left alone, since it does not answer.
    pub is_circuit_open: bool,
}

/// Where the value of a key is cached; see [`Cache::locate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// Whether this process's memory would answer.
    pub in_memory: bool,
    /// Whether Redis holds it, or that there is no value, and for how long.
    pub in_redis: Option<Remaining>,
}

/// How long something stays in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// For this long.
    For(Duration),
    /// Without an end: somebody has removed it.
    Endless,
}

impl Cache {
    /// Returns the state of the cache. It asks nobody.
    pub fn status(&self) -> Status {
        let status = |redis: &Redis| ServerStatus {
            name: redis.label(),
            trust: redis.trust(),
            is_circuit_open: redis.is_circuit_open(),
        };
        let (epochs, last_epoch) = self.inner.local.as_ref().map_or((0, None), Local::epochs);
        Status {
            is_live: self.is_live(),
            servers: self.inner.servers.all().iter().map(|redis| status(redis)).collect(),
            epochs,
            last_epoch,
            unconfirmed: self.inner.pending.unconfirmed().len(),
        }
    }

    /// Returns where the value of a key is cached. It loads nothing, and does not read the value from Redis.
    ///
    /// # Errors
    /// Returns [`Error::Key`] if the key cannot be cached, another error if Redis does not answer or is not read now.
    pub async fn locate<K: CacheKey>(&self, key: &K) -> Result<Location, Error> {
        let name = self.inner.name(key);
        let keys = self.inner.identify(key, &name)?;
        let in_memory = self.inner.local.as_ref().is_some_and(|local| local.get(&name).is_some());
        if self.inner.servers.is_none() {
            return Ok(Location { in_memory, in_redis: None });
        }
        let redis = self.inner.trusted_redis(&keys).ok_or(Error::Bypassed)?;
        let found = redis.beginning(&self.inner.redis_keys(&keys), RELEASE_BYTES).await?;
        let in_redis = found.map(|(_, ttl)| ttl.map_or(Remaining::Endless, Remaining::For));
        Ok(Location { in_memory, in_redis })
    }
}

impl Remaining {
    /// Returns whether it is longer than `span`.
    pub fn exceeds(self, span: Duration) -> bool {
        match self {
            Self::For(left) => left > span,
            Self::Endless => true,
        }
    }
}
