//! The cache: its parts, its health, and closing it.

use std::{sync::Arc, time::Duration};

use examhall_redis::SlotSet;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    CacheKey, Error, entry::Entry, flight::Flights, journal::Journal, keys::RedisKeys, local::Local, nested::CacheId,
    pending::PendingInvalidations, permits::Permits, redis::Redis, runtime::CacheRuntime, servers::Servers,
    settings::Settings, spaces::Spaces, trust::Trust,
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
    pub(crate) servers: Servers,
    /// Whether Redis reports changes to this process: it has a memory.
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
        if self.0.servers.is_none() {
            return Ok(());
        }
        let is_ready = || self.0.servers.are_trusted() && (!self.0.is_linked || self.is_live());
        while !is_ready() && !self.0.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Returns whether the process's own memory may answer now; in a Redis Cluster for the keys of all masters.
    pub fn is_live(&self) -> bool {
        self.0.local.is_some() && (!self.0.is_linked || self.0.servers.are_proven())
    }

    /// Pings Redis, in a cluster all of its masters.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] or [`Error::Slow`] if it does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        let servers = self.0.servers.all();
        if servers.is_empty() && !self.0.servers.is_none() {
            return Err(Error::Slow); // no master of the cluster is known
        }
        for redis in servers {
            redis.ping().await?;
        }
        Ok(())
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.0.stop.cancel();
        for redis in self.0.servers.all() {
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

    /// Returns the server of this key if it may be read.
    pub(crate) fn trusted_redis(&self, name: &str) -> Option<Arc<Redis>> {
        self.redis_if(name, Trust::Trusted)
    }

    /// Returns the server of this key if the key is not known to be wrong there, and its values are trusted that far.
    pub(crate) fn redis_if(&self, name: &str, least: Trust) -> Option<Arc<Redis>> {
        let is_right = |redis: &Arc<Redis>| redis.trust() >= least && !self.pending.contains(name);
        self.servers.of(name).filter(is_right).filter(|_| !self.servers.is_moving(name))
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

    /// Removes the keys of these slots from memory, since messages about them may have been missed, and fences loads of
    /// them that are in flight.
    pub(crate) fn clear_slots(&self, slots: &SlotSet, cause: &'static str) {
        if slots.is_empty() {
            return;
        }
        if let Some(local) = &self.local {
            local.begin_epoch(slots, cause);
        }
        self.flights.taint_where(|name| slots.contains(self.servers.slot(name)));
    }

    /// Returns the epoch of a key's slot.
    pub(crate) fn epoch(&self, name: &str) -> u64 {
        self.local.as_ref().map_or(0, |local| local.epoch(self.servers.slot(name)))
    }
}
