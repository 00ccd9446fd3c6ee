//! The cache as a whole: how it is built, and what it is made of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_core::CacheKey;
use fred::interfaces::ClientLike;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{Error, flight::Flights, invalidate::Undelivered, link, local::Local, names, redis::Redis};

/// Room in memory, in bytes.
const LOCAL_BYTES: u64 = 64 * 1024 * 1024;
/// Loads at once while Redis does not spread them.
const UNLEASED_LOADS: usize = 8;

/// The cache. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
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
        let build = || Builder::new_multi_thread().worker_threads(1).thread_name("cache").enable_all().build();
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
    /// Both levels, with the Redis at `url`, whose keys begin with `prefix`. Starts connecting and returns at once; must
    /// be called within a Tokio runtime, on which its loads will run.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn open(url: &str, prefix: &str) -> Result<Self, Error> {
        Self::build(Some(url), prefix, Some(Local::new(LOCAL_BYTES)))
    }

    /// Only Redis: every read asks it.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn redis_only(url: &str, prefix: &str) -> Result<Self, Error> {
        Self::build(Some(url), prefix, None)
    }

    /// Only the process's own memory: right where there is one process.
    pub fn local_only() -> Self {
        let built = Self::build(None, "", Some(Local::new(LOCAL_BYTES)));
        built.unwrap_or_else(|error| unreachable!("there is no URL that could be bad: {error}"))
    }

    fn build(url: Option<&str>, prefix: &str, local: Option<Local>) -> Result<Self, Error> {
        names::describe();
        let (loads, own) = (Handle::current(), Own::start(url.is_some())?);
        let handle = own.handle().clone();
        let _inside = handle.enter(); // connections are served where they are opened
        let redis = url.map(Redis::open).transpose()?;
        let is_cluster = redis.as_ref().is_some_and(|redis| redis.commands().client_config().server.is_clustered());
        let is_linked = url.is_some() && local.is_some() && !is_cluster;
        let inner = Arc::new(Inner {
            prefix: prefix.to_owned(),
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

    /// Redis, where it can be relied on for this key.
    pub(crate) fn trusted_redis(&self, name: &str) -> Option<&Redis> {
        let redis = self.redis.as_ref().filter(|redis| redis.is_trusted());
        redis.filter(|_| !self.undelivered.holds(name))
    }
}
