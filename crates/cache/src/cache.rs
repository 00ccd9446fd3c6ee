//! The cache as a whole: how it is built, and what it is made of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_core::CacheKey;
use tokio::runtime::{self, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    Builder, Error,
    flight::Flights,
    invalidate::Undelivered,
    link,
    local::Local,
    names,
    redis::Redis,
    script::{self, Names},
};

/// Loads at once while Redis does not spread them.
const UNLEASED_LOADS: usize = 8;

/// The cache. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) spaces: &'static [&'static str],
    pub(crate) prefix: String,
    pub(crate) local: Option<Local>,
    pub(crate) redis: Option<Redis>,
    /// Hears of what others change; absent in a cluster, whose nodes tell only of their own keys, and without Redis.
    pub(crate) is_linked: bool,
    pub(crate) flights: Flights,
    pub(crate) undelivered: Undelivered,
    pub(crate) unleased: tokio::sync::Semaphore,
    /// Where loads run: they outlive whoever asked for them.
    pub(crate) loads: Handle,
    /// Where everything else does.
    pub(crate) own: Own,
    pub(crate) stop: CancellationToken,
}

/// A thread of the cache's own: who keeps a lease or hears of changes must not stand in line behind ten thousand
/// readers. Without Redis there is neither, and no such thread.
pub(crate) struct Own(Option<Runtime>, Handle);

impl Own {
    fn start(has_redis: bool) -> Result<Self, Error> {
        let build = || runtime::Builder::new_multi_thread().worker_threads(1).thread_name("cache").enable_all().build();
        let runtime = has_redis.then(build).transpose()?;
        let handle = runtime.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone());
        Ok(Self(runtime, handle))
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.1
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background(); // waiting is not allowed in a task
        }
    }
}

impl Cache {
    /// A builder for a cache whose keys begin with one of `spaces`, such as `exam:`: of these it notices what other processes
    /// change. A space's name without its colon is the label `ns` of metrics.
    pub fn builder(spaces: &'static [&'static str]) -> Builder {
        Builder::new(spaces)
    }

    pub(crate) fn build(builder: Builder, url: Option<&str>) -> Result<Self, Error> {
        names::describe();
        let Builder { spaces, prefix, local_bytes } = builder;
        let (loads, own) = (Handle::current(), Own::start(url.is_some())?);
        let handle = own.handle().clone();
        let _inside = handle.enter(); // connections are served where they are opened
        let redis = url.map(|url| Redis::open(url, spaces)).transpose()?;
        let local = local_bytes.map(Local::new);
        let is_cluster = redis.as_ref().is_some_and(|redis| redis.commands().is_clustered());
        let is_linked = url.is_some() && local.is_some() && !is_cluster;
        let inner = Arc::new(Inner {
            spaces,
            prefix,
            local,
            redis,
            is_linked,
            flights: Flights::default(),
            undelivered: Undelivered::default(),
            unleased: tokio::sync::Semaphore::new(UNLEASED_LOADS),
            loads,
            own,
            stop: CancellationToken::new(),
        });
        if let Some(url) = url {
            link::start(&inner, url)?;
        }
        Ok(Self(inner))
    }

    /// Waits until Redis is connected, and the link that keeps the memory coherent is proven; for as long as that takes.
    ///
    /// # Errors
    /// [`Error::Redis`] where the cache was closed meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        let Some(redis) = &self.0.redis else { return Ok(()) };
        redis.ready().await?;
        let is_ready = || redis.is_trusted() && (!self.0.is_linked || self.is_live());
        while !is_ready() && !self.0.stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Whether the process's own memory may answer now.
    pub fn is_live(&self) -> bool {
        let local = self.0.local.as_ref();
        local.is_some_and(|local| !self.0.is_linked || local.is_proven(Instant::now()))
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn ping(&self) -> Result<(), Error> {
        match &self.0.redis {
            Some(redis) => redis.ping().await,
            None => Ok(()),
        }
    }

    /// Lets go of the connections.
    pub async fn close(&self) {
        self.0.stop.cancel();
        if let Some(redis) = &self.0.redis {
            redis.close().await;
        }
    }
}

impl Inner {
    /// The key in Redis.
    pub(crate) fn name<K: CacheKey>(&self, key: &K) -> String {
        let name = key.redis_key();
        if self.prefix.is_empty() { name } else { format!("{}{name}", self.prefix) }
    }

    /// The Redis keys of a cache key.
    pub(crate) fn names(&self, key: &str) -> Names {
        Names::of(key, self.spaces)
    }

    /// The kind of a key, as the label `ns` of metrics.
    pub(crate) fn space(&self, key: &str) -> &'static str {
        script::space(key, self.spaces)
    }

    /// Redis, where it can be relied on for this key.
    pub(crate) fn trusted_redis(&self, name: &str) -> Option<&Redis> {
        let redis = self.redis.as_ref().filter(|redis| redis.is_trusted());
        redis.filter(|_| !self.undelivered.holds(name))
    }
}
