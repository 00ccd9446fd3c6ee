//! Configures and opens a cache.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    Cache, Error, cache::Inner, flight::Flights, link, local::Local, metric_names, nested::CacheId,
    pending::PendingInvalidations, redis::Redis, runtime::CacheRuntime,
};

/// Default limit of the process's own memory, in bytes.
const LOCAL_BYTES: u64 = 64 * 1024 * 1024;
/// Concurrent loads while no lease limits them.
const UNLEASED_LOADS: usize = 8;

/// Settings of a [`Cache`]; see [`Cache::builder`].
/// ```no_run
/// # fn run() -> Result<(), examhall_cache::Error> {
/// let cache = examhall_cache::Cache::builder(&["user:", "order:"]).prefix("shop:").open("redis://127.0.0.1:6379")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    spaces: &'static [&'static str],
    prefix: String,
    local_bytes: Option<u64>,
}

impl Cache {
    /// Returns a builder for a cache whose keys begin with one of `spaces`, such as `exam:`: Redis reports changes under
    /// these. A space's name without its colon is the label `ns` of metrics.
    pub fn builder(spaces: &'static [&'static str]) -> Builder {
        Builder { spaces, prefix: String::new(), local_bytes: Some(LOCAL_BYTES) }
    }
}

impl Builder {
    /// Begins all keys in Redis with `prefix`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Limits the process's own memory, 64 MiB by default.
    pub fn local_bytes(mut self, bytes: u64) -> Self {
        self.local_bytes = Some(bytes);
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
    /// Returns [`Error::Redis`] if the URL cannot be used, [`Error::Thread`] if no thread can be started.
    pub fn open(self, url: &str) -> Result<Cache, Error> {
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
        let redis = url.map(Redis::open).transpose()?;
        let local = self.local_bytes.map(Local::new);
        let is_cluster = redis.as_ref().is_some_and(|redis| redis.commands().is_clustered());
        let inner = Arc::new(Inner {
            id: CacheId::next(),
            spaces: self.spaces,
            prefix: self.prefix,
            is_linked: url.is_some() && local.is_some() && !is_cluster,
            local,
            redis,
            flights: Flights::default(),
            pending: PendingInvalidations::default(),
            unleased: Semaphore::new(UNLEASED_LOADS),
            loads,
            runtime,
            stop: CancellationToken::new(),
        });
        if let Some(url) = url {
            link::start(&inner, url)?;
        }
        let stop = inner.stop.clone().drop_guard();
        Ok(Cache(inner, Arc::new(stop)))
    }
}
