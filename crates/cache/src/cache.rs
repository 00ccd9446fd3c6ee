//! The cache: its parts, its health, and closing it.

use std::{sync::Arc, time::Duration};

use examhall_redis::{SlotSet, slot};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    CacheKey, Error, Event, Events, KeyError, KeyName, ReadOptions,
    counters::Counters,
    entry::Entry,
    events::EventSender,
    flight::Flights,
    journal::Journal,
    keys::{KeyNames, RedisKeys},
    local::Local,
    nested::CacheId,
    pending::PendingInvalidations,
    permits::Permits,
    redis::Redis,
    runtime::CacheRuntime,
    servers::Servers,
    settings::Settings,
    spaces::Spaces,
    trust::Trust,
};

/// The cache. Cheap to clone; clones share everything. When the last one is dropped, its connections, tasks and thread end;
/// loads in flight end first.
#[derive(Clone)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
    pub(crate) options: ReadOptions,
    /// Stops the cache's tasks, which share the rest, when the last clone is dropped.
    pub(crate) stop: Arc<DropGuard>,
}

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
    pub(crate) counters: Counters,
    pub(crate) events: EventSender,
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
        if self.inner.servers.is_none() {
            return Ok(());
        }
        let is_ready = || self.inner.servers.are_trusted() && (!self.inner.is_linked || self.is_live());
        while !is_ready() && !self.inner.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Returns whether the process's own memory may answer now; in a Redis Cluster for the keys of all masters.
    pub fn is_live(&self) -> bool {
        self.inner.local.is_some() && (!self.inner.is_linked || self.inner.servers.are_proven())
    }

    /// From now on connections to Redis that are made again log in with the user and password of another URL; what is connected
    /// stays so. The rest of the URL is not used.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if the URL is none, or the cache's leads through Sentinel.
    pub fn use_login(&self, url: &str) -> Result<(), Error> {
        self.inner.servers.use_login(url)
    }

    /// Pings Redis, in a cluster all of its masters.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] or [`Error::Slow`] if it does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        let servers = self.inner.servers.all();
        if servers.is_empty() && !self.inner.servers.is_none() {
            return Err(Error::Slow); // no master of the cluster is known
        }
        for redis in servers {
            redis.ping().await?;
        }
        Ok(())
    }

    /// Returns this cache with other options for reads: for one read, or to keep. It shares everything else.
    #[must_use]
    pub fn with(&self, options: ReadOptions) -> Self {
        let Self { inner, stop, .. } = self.clone();
        Self { inner, options, stop }
    }

    /// Returns a stream of what happens in this cache from now on. It costs next to nothing; a reader that falls behind by
    /// 512 events misses the oldest, and receives [`Event::Missed`](crate::Event::Missed).
    pub fn events(&self) -> Events {
        self.inner.events.subscribe()
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.inner.stop.cancel();
        for redis in self.inner.servers.all() {
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

    /// Returns the names of a key, whose own is `name`, and of its groups.
    ///
    /// # Errors
    /// Returns an error if it cannot be kept coherent.
    pub(crate) fn identify<K: CacheKey>(&self, key: &K, name: &str) -> Result<KeyNames, KeyError> {
        Ok(KeyNames { groups: self.checked_groups(key, name)?.into(), name: name.into() })
    }

    /// Checks that a key can be kept coherent, and returns the names of its groups.
    pub(crate) fn checked_groups<K: CacheKey>(&self, key: &K, name: &str) -> Result<Vec<String>, KeyError> {
        self.spaces.check_key(name)?;
        let groups: Vec<String> = key.groups().iter().map(|group| self.with_prefix(&group.key_name())).collect();
        for group in &groups {
            self.spaces.check_key(group)?;
            if self.is_cluster() && slot(group) != slot(name) {
                return Err(KeyError::GroupSlot { key: name.to_owned(), group: group.clone() });
            }
        }
        Ok(groups)
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.servers.cluster().is_some()
    }

    pub(crate) fn redis_keys(&self, key: &KeyNames) -> RedisKeys {
        RedisKeys::of(&key.name, &key.groups, self.space(&key.name))
    }

    /// Returns the kind of a key, as the label `ns` of metrics.
    pub(crate) fn space(&self, name: &str) -> &'static str {
        self.spaces.label(name)
    }

    /// Returns the server of this key if it may be read.
    pub(crate) fn trusted_redis(&self, key: &KeyNames) -> Option<Arc<Redis>> {
        self.redis_if(key, Trust::Trusted)
    }

    /// Returns the server of this key if the key is not known to be wrong there, and its values are trusted that far.
    pub(crate) fn redis_if(&self, key: &KeyNames, least: Trust) -> Option<Arc<Redis>> {
        let is_pending = || key.all().any(|name| self.pending.contains(name));
        let is_right = |redis: &Arc<Redis>| redis.trust() >= least && !is_pending();
        self.servers.of(&key.name).filter(is_right).filter(|_| !self.servers.is_moving(&key.name))
    }

    /// Returns whether a value from Redis includes all changes of its key and its groups that are known.
    pub(crate) fn is_current(&self, key: &KeyNames, entry: &Entry) -> bool {
        key.all().all(|name| self.journal.is_in(&entry.includes, name.strip_prefix(&self.prefix).unwrap_or(name)))
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
        self.events.send(|| Event::MemoryCleared { cause });
    }

    /// Returns the epoch of a key's slot.
    pub(crate) fn epoch(&self, name: &str) -> u64 {
        self.local.as_ref().map_or(0, |local| local.epoch(self.servers.slot(name)))
    }
}
