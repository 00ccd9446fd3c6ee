//! Configures and opens a cache.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    Cache, Error, ReadOptions, cache::Inner, counters::Counters, events::EventSender, flight::Flights,
    journal::Journal, link, local::Local, metric_names, nested::CacheId, nodes, pending::PendingInvalidations,
    permits::Permits, runtime::CacheRuntime, servers::Servers, settings::Settings, spaces::Spaces,
};

/// Default limit of the process's own memory, in bytes.
const LOCAL_BYTES: u64 = 64 * 1024 * 1024;

/// Settings of a [`Cache`]; see [`Cache::builder`].
/// ```no_run
/// # fn run() -> Result<(), examhall_cache::Error> {
/// let cache = examhall_cache::Cache::builder(["user:", "order:"]).prefix("shop:").open("redis://127.0.0.1:6379")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    spaces: Vec<String>,
    prefix: String,
    settings: Settings,
    local_bytes: Option<u64>,
}

impl Cache {
    /// Returns a builder for a cache whose keys begin with one of `spaces`, such as `user:`: Redis reports changes under
    /// these, and a key outside of them is refused. No space may begin with another one. A space's name without its colon
    /// is the label `ns` of metrics.
    pub fn builder(spaces: impl IntoIterator<Item = impl AsRef<str>>) -> Builder {
        Builder {
            spaces: spaces.into_iter().map(|space| space.as_ref().to_owned()).collect(),
            prefix: String::new(),
            settings: Settings::default(),
            local_bytes: Some(LOCAL_BYTES),
        }
    }
}

impl Builder {
    /// Begins all keys in Redis with `prefix`; none by default.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the time after which a stale value is served while its load goes on; 100 ms by default, up to
    /// 10 min.
    pub fn soft_load_limit(mut self, limit: Duration) -> Self {
        self.settings.soft_load_limit = limit;
        self
    }

    /// Sets the time after which a load without a stale value fails with [`ReadError::TooSlow`](crate::ReadError::TooSlow);
    /// 3 s by default, 1 ms to 10 min.
    pub fn hard_load_limit(mut self, limit: Duration) -> Self {
        self.settings.hard_load_limit = limit;
        self
    }

    /// Sets the time for which a failure is the answer to all readers of its key in this process; 250 ms by default, up to
    /// 1 min.
    pub fn failure_ttl(mut self, ttl: Duration) -> Self {
        self.settings.failure_ttl = ttl;
        self
    }

    /// Sets the time for which the fact that there is no value is cached; 5 s by default, 1 ms to 1 day.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.settings.negative_ttl = ttl;
        self
    }

    /// Sets the part of a life that is cut off at random, so that values stored together do not expire together: of a life
    /// in Redis (0.1 by default), and in memory (0.2); 0 to 0.9.
    pub fn jitter(mut self, in_redis: f64, in_memory: f64) -> Self {
        (self.settings.redis_jitter, self.settings.local_jitter) = (in_redis, in_memory);
        self
    }

    /// Sets how many readers of this process may wait at once; 20,000 by default, 1 at least. More are rejected with
    /// [`ReadError::Crowded`](crate::ReadError::Crowded).
    pub fn max_waiters(mut self, readers: usize) -> Self {
        self.settings.max_waiters = readers;
        self
    }

    /// Limits the process's own memory, 64 MiB by default.
    pub fn local_bytes(mut self, bytes: u64) -> Self {
        self.local_bytes = Some(bytes);
        self
    }

    /// Limits what is stored in Redis: the bytes of a value with their compressed form, 16 MiB by default, 512 MiB at most.
    /// A larger value is loaded once by each process, which keeps it in its own memory if it fits into a quarter of that.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes;
        self
    }

    /// Limits the loads that this process runs at once, 64 by default; 1 to 100,000. Others wait.
    pub fn concurrent_loads(mut self, loads: usize) -> Self {
        self.settings.concurrent_loads = loads;
        self
    }

    /// Limits them while Redis is away, when each process loads every key for itself: 8 by default; 1 to 100,000.
    pub fn concurrent_loads_without_redis(mut self, loads: usize) -> Self {
        self.settings.concurrent_loads_without_redis = loads;
        self
    }

    /// Sets how long a reader waits for its turn to load, after which it is rejected with
    /// [`ReadError::Crowded`](crate::ReadError::Crowded); 30 s by default, 1 ms to 10 min. While Redis is away it waits 3 s
    /// at most.
    pub fn max_load_wait(mut self, wait: Duration) -> Self {
        self.settings.max_load_wait = wait;
        self
    }

    /// Sets how long a lease lasts unless it is renewed, which the process that loads does three times meanwhile: so long do
    /// others wait if it dies. 1 s by default, 200 ms to 1 min. A lease that ends early costs one more load.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Sets how long a mark prevents fills if its writer dies: **longer than a commit may take**, or a value that was read
    /// before a change may be stored after it, until the journal reports the change. 10 s by default, 1 s to 10 min; the same
    /// for all processes.
    pub fn mark(mut self, mark: Duration) -> Self {
        self.settings.mark = mark;
        self
    }

    /// Sets the interval of heartbeats on the link to Redis, 500 ms by default; 20 ms to 10 s. Memory answers for four of
    /// them after the last that was answered: so late may this process show a change if the link breaks silently. A value
    /// that is loaded while Redis is away is kept as long.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval;
        self
    }

    /// Sets how long a reader waits for a Redis that answers nobody, after which the circuit opens: 50 ms by default, 10 ms to
    /// 1 s. While it answers others, or another process loads, readers wait five times as long.
    pub fn redis_timeout(mut self, timeout: Duration) -> Self {
        self.settings.redis_timeout = timeout;
        self
    }

    /// Sets how long large values and background work may take in Redis, 500 ms by default and longer from 2 MB on: from
    /// [`redis_timeout`](Self::redis_timeout) to 1.5 s.
    pub fn bulk_timeout(mut self, timeout: Duration) -> Self {
        self.settings.bulk_timeout = timeout;
        self
    }

    /// Sets how often the journal is read ([`Cache::follow`]), 1 s by default; 10 ms to 1 min.
    pub fn journal_interval(mut self, interval: Duration) -> Self {
        self.settings.journal_interval = interval;
        self
    }

    /// Keeps nothing in the process's own memory: every read asks Redis.
    pub fn redis_only(mut self) -> Self {
        self.local_bytes = None;
        self
    }

    /// Opens the cache with the Redis at `url`. Starts connecting and returns at once; must be called within a Tokio
    /// runtime, on which its loads will run.
    ///
    /// # Errors
    /// Returns [`Error::Spaces`] if the key spaces overlap, [`Error::Option`] if an option is out of its range,
    /// [`Error::Redis`] if the URL cannot be used, [`Error::Thread`] if no thread can be started.
    pub fn open(self, url: &str) -> Result<Cache, Error> {
        self.build(Some(url))
    }

    /// Opens the cache with the process's own memory alone: right if there is one process.
    ///
    /// # Errors
    /// Returns [`Error::Spaces`] if the key spaces overlap, [`Error::Option`] if an option is out of its range.
    pub fn local_only(self) -> Result<Cache, Error> {
        self.build(None)
    }

    fn build(self, url: Option<&str>) -> Result<Cache, Error> {
        let spaces = Spaces::new(&self.prefix, &self.spaces);
        spaces.check()?;
        self.settings.check()?;
        metric_names::describe();
        let (loads, runtime) = (Handle::current(), CacheRuntime::start(url.is_some())?);
        let handle = runtime.handle().clone();
        let _inside = handle.enter(); // connections are served by the runtime in which they are opened
        let events = EventSender::new();
        let servers = Servers::open(url, &self.settings, &events)?;
        let is_cluster = servers.cluster().is_some();
        let local = self.local_bytes.map(|bytes| Local::new(bytes, self.settings.proof(), is_cluster));
        let inner = Arc::new(Inner {
            id: CacheId::next(),
            spaces,
            permits: Permits::new(&self.settings),
            journal: Journal::new(self.settings.settled()),
            settings: self.settings,
            prefix: self.prefix,
            is_linked: url.is_some() && local.is_some(),
            local,
            servers,
            flights: Flights::default(),
            pending: PendingInvalidations::default(),
            counters: Counters::default(),
            events,
            loads,
            runtime,
            stop: CancellationToken::new(),
        });
        if is_cluster {
            nodes::start(&inner);
        }
        for redis in inner.servers.all() {
            link::start(&inner, &redis, &inner.stop);
        }
        if url.is_some() {
            start_upkeep(&inner);
        }
        let stop = Arc::new(inner.stop.clone().drop_guard());
        Ok(Cache { inner, options: ReadOptions::new(), stop })
    }
}

/// Starts what keeps Redis's values right: the watch over its trust, and the retries of unconfirmed invalidations.
fn start_upkeep(cache: &Arc<Inner>) {
    let (trust, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(trust.maintain_trust()).await });
    let (retries, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(retries.retry_unconfirmed()).await });
}
