//! The cache: its parts, its health, and closing it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    CacheKey, Error, entry::Entry, flight::Flights, journal::Journal, keys::RedisKeys, local::Local, nested::CacheId,
    pending::PendingInvalidations, permits::Permits, redis::Redis, runtime::CacheRuntime, settings::Settings,
    spaces::Spaces, trust::Trust,
};

/// The cache. Cheap to clone; clones share everything. When the last one is dropped, its connections, tasks and thread end;
/// loads in flight end first.
#[derive(Clone)]
pub struct Cache(
    pub(crate) Arc<Inner>,
    #[expect(dead_code, reason = "stops the cache's tasks, which share the rest, when the last clone is dropped")]
    pub(crate) Arc<DropGuard>,
);

pub(crate) struct Inner {
    pub(crate) id: CacheId,
    pub(crate) spaces: Spaces,
    pub(crate) settings: Settings,
    pub(crate) prefix: String,
    pub(crate) local: Option<Local>,
    pub(crate) redis: Option<Redis>,
    /// Whether Redis reports changes to this process; not in a cluster, whose nodes report only their own keys.
    pub(crate) is_linked: bool,
    pub(crate) flights: Flights,
    pub(crate) pending: PendingInvalidations,
    pub(crate) journal: Journal,
    pub(crate) permits: Permits,
    /// Runtime of the loads, which outlive the callers that caused them.
    pub(crate) loads: Handle,
    /// Runtime of everything else.
    pub(crate) runtime: CacheRuntime,
    pub(crate) stop: CancellationToken,
}

impl Cache {
    /// Waits until Redis is connected and the link that keeps memory coherent is proven. There is no time limit.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if the cache is closed meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        let Some(redis) = &self.0.redis else { return Ok(()) };
        redis.ready().await?;
        let is_ready = || redis.is_trusted() && (!self.0.is_linked || self.is_live());
        while !is_ready() && !self.0.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Returns whether the process's own memory may answer now.
    pub fn is_live(&self) -> bool {
        let local = self.0.local.as_ref();
        local.is_some_and(|local| !self.0.is_linked || local.is_proven(Instant::now()))
    }

    /// Pings Redis.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if it does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        match &self.0.redis {
            Some(redis) => redis.ping().await,
            None => Ok(()),
        }
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.0.stop.cancel();
        if let Some(redis) = &self.0.redis {
            redis.close().await;
        }
    }
}

impl Inner {
    /// Returns the key's name in Redis.
    pub(crate) fn name<K: CacheKey>(&self, key: &K) -> String {
        let name = key.redis_key();
        if self.prefix.is_empty() { name } else { self.with_prefix(&name) }
    }

    pub(crate) fn with_prefix(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn redis_keys(&self, name: &str) -> RedisKeys {
        RedisKeys::of(name, self.space(name))
    }

    /// Returns the kind of a key, as the label `ns` of metrics.
    pub(crate) fn space(&self, name: &str) -> &'static str {
        self.spaces.label(name)
    }

    /// Returns Redis if it may be read for this key.
    pub(crate) fn trusted_redis(&self, name: &str) -> Option<&Redis> {
        self.redis_if(name, Trust::Trusted)
    }

    /// Returns Redis if this key is not known to be wrong there, and values are trusted that far.
    pub(crate) fn redis_if(&self, name: &str, least: Trust) -> Option<&Redis> {
        let redis = self.redis.as_ref().filter(|redis| redis.trust() >= least);
        redis.filter(|_| !self.pending.contains(name))
    }

    /// Returns whether a value from Redis includes all changes of its key that are known.
    pub(crate) fn is_current(&self, name: &str, entry: &Entry) -> bool {
        self.journal.is_in(&entry.includes, name.strip_prefix(&self.prefix).unwrap_or(name))
    }

    /// Removes a key from this process's memory, and fences loads of it that are in flight.
    pub(crate) fn drop_local(&self, name: &str) {
        self.flights.taint(name);
        if let Some(local) = &self.local {
            local.remove(name);
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.local.as_ref().map_or(0, Local::epoch)
    }
}
