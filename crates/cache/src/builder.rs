//! Configures and opens a cache.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    Cache, Error, cache::Inner, flight::Flights, journal::Journal, link, local::Local, metric_names, nested::CacheId,
    nodes, pending::PendingInvalidations, permits::Permits, runtime::CacheRuntime, servers::Servers,
    settings::Settings, spaces::Spaces,
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

    /// Sets the time after which a stale value is served while its load goes on; 100 ms by default.
    pub fn soft_load_limit(mut self, limit: Duration) -> Self {
        self.settings.soft_load_limit = limit;
        self
    }

    /// Sets the time after which a load without a stale value fails with [`ReadError::TooSlow`](crate::ReadError::TooSlow);
    /// 3 s by default.
    pub fn hard_load_limit(mut self, limit: Duration) -> Self {
        self.settings.hard_load_limit = limit;
        self
    }

    /// Sets the time for which a failure is the answer to all readers of its key in this process; 250 ms by default.
    pub fn failure_ttl(mut self, ttl: Duration) -> Self {
        self.settings.failure_ttl = ttl;
        self
    }

    /// Sets the time for which the fact that there is no value is cached; 5 s by default, 1 ms at least.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.settings.negative_ttl = ttl.max(Duration::from_millis(1));
        self
    }

    /// Sets the part of a life that is cut off at random, so that values stored together do not expire together: of a life
    /// in Redis (0.1 by default), and in memory (0.2). Below 0 counts as 0, above 0.9 as 0.9.
    pub fn jitter(mut self, in_redis: f64, in_memory: f64) -> Self {
        (self.settings.redis_jitter, self.settings.local_jitter) =
            (in_redis.clamp(0.0, 0.9), in_memory.clamp(0.0, 0.9));
        self
    }

    /// Sets how many readers of this process may wait at once; 20,000 by default. More are rejected with
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

    /// Limits what is stored in Redis: the JSON of a value with its compressed form, 16 MiB by default. A larger value is
    /// loaded once by each process, which keeps it in its own memory if it fits into a quarter of that.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes;
        self
    }

    /// Limits the loads that this process runs at once, 64 by default and 1 at least; others wait. While Redis is away they
    /// are 8.
    pub fn concurrent_loads(mut self, loads: usize) -> Self {
        self.settings.concurrent_loads = loads.max(1);
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
    /// Returns [`Error::Spaces`] if the key spaces overlap, [`Error::Redis`] if the URL cannot be used, [`Error::Thread`] if
    /// no thread can be started.
    pub fn open(self, url: &str) -> Result<Cache, Error> {
        Spaces::new(&self.prefix, &self.spaces).check()?;
        self.build(Some(url))
    }

    /// Opens the cache with the process's own memory alone: right if there is one process.
    pub fn local_only(self) -> Cache {
        self.build(None).unwrap_or_else(|error| unreachable!("there is no URL that could be bad: {error}"))
    }

    fn build(self, url: Option<&str>) -> Result<Cache, Error> {
        metric_names::describe();
        let (loads, runtime) = (Handle::current(), CacheRuntime::start(url.is_some())?);
        let handle = runtime.handle().clone();
        let _inside = handle.enter(); // connections are served by the runtime in which they are opened
        let servers = Servers::open(url)?;
        let is_cluster = servers.cluster().is_some();
        let local = self.local_bytes.map(|bytes| Local::new(bytes, is_cluster));
        let inner = Arc::new(Inner {
            id: CacheId::next(),
            spaces: Spaces::new(&self.prefix, &self.spaces),
            permits: Permits::new(self.settings.concurrent_loads),
            settings: self.settings,
            prefix: self.prefix,
            is_linked: url.is_some() && local.is_some(),
            local,
            servers,
            flights: Flights::default(),
            pending: PendingInvalidations::default(),
            journal: Journal::new(),
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
        let stop = inner.stop.clone().drop_guard();
        Ok(Cache(inner, Arc::new(stop)))
    }
}

/// Starts what keeps Redis's values right: the watch over its trust, and the retries of unconfirmed invalidations.
fn start_upkeep(cache: &Arc<Inner>) {
    let (trust, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(trust.maintain_trust()).await });
    let (retries, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(retries.retry_unconfirmed()).await });
}
