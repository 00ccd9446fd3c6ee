//! The cache's face: how it is built, and its verbs.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use examhall_core::{CacheKey, Life};
use fred::interfaces::ClientLike;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    Cached, Error, Fresh, ReadError,
    entry::Entry,
    flight::{Flights, Waiting},
    invalidate::Undelivered,
    link,
    local::Local,
    names,
    redis::{Acquired, Anew, Names, Redis},
};

/// Readers that may wait at once; more are sent away.
const MOST_WAITING: usize = 20_000;
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

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The process's own memory.
    Local,
    /// Redis.
    Redis,
    /// The database; kept for the next reader.
    Loaded,
    /// The database, while Redis is away or a change is being committed.
    Bypass,
    /// Redis, past its time: the database gave none. It was never invalidated.
    Stale,
}

/// A load, whatever its type.
pub(crate) type Load = Pin<Box<dyn Future<Output = Result<Entry, ReadError>> + Send>>;

/// How to get what stands under one key.
pub(crate) struct Plan {
    pub(crate) key: Arc<str>,
    pub(crate) life: Life,
    pub(crate) decode: fn(&Bytes) -> Option<Entry>,
    pub(crate) load: Load,
}

impl Source {
    /// Whether the database was not asked.
    pub fn is_hit(self) -> bool {
        !matches!(self, Self::Loaded | Self::Bypass)
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

    /// Gives the value of `key`: from memory, from Redis, or from `load`, whose result is then kept for the key's life.
    /// `load` answers `None` where there is nothing; that is kept too, for 5 s.
    ///
    /// However many ask at once, `load` runs once in all processes that share the Redis, and to its end though whoever
    /// asked goes away.
    ///
    /// # Errors
    /// Those of `load`, shared by all who waited for it, and [`ReadError::TooSlow`], [`ReadError::Crowded`]. None comes
    /// from Redis: while it is away, every process loads for itself.
    pub async fn get_or_load<K, E, F>(
        &self,
        key: &K,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Option<Cached<K>>, Source), ReadError>
    where
        K: CacheKey,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        self.get_or(key, || to_load(async move { load().await.map_err(|error| ReadError::Load(Arc::new(error))) }))
            .await
    }

    /// As [`get_or_load`](Self::get_or_load), with a load whose type is forgotten.
    pub(crate) async fn get_or<K: CacheKey>(
        &self,
        key: &K,
        load: impl FnOnce() -> Load,
    ) -> Result<(Option<Cached<K>>, Source), ReadError> {
        let name = self.0.name(key);
        if let Some(entry) = self.0.local.as_ref().and_then(|local| local.get(&name)) {
            count(if entry.is_nothing() { "negative" } else { "l1" });
            return Ok((Cached::of(entry), Source::Local));
        }
        let answer = self.read(&name, K::LIFE, Entry::decode::<K>, load).await;
        if answer.is_err() {
            count("error");
        }
        let (entry, source) = answer?;
        Ok((Cached::of(entry), source))
    }

    async fn read(
        &self,
        name: &str,
        life: Life,
        decode: fn(&Bytes) -> Option<Entry>,
        load: impl FnOnce() -> Load,
    ) -> Result<(Arc<Entry>, Source), ReadError> {
        let retry_after = || Duration::from_millis(fastrand::u64(1000..=3000));
        let waiting = Waiting::begin(&self.0.flights.waiting, MOST_WAITING);
        let Some(_waiting) = waiting else { return Err(ReadError::Crowded { retry_after: retry_after() }) };
        let (flight, is_ours) = self.0.flights.join(name);
        if is_ours {
            let plan = Plan { key: name.into(), life, decode, load: load() };
            self.0.own.handle().spawn(Arc::clone(&self.0).fly(Arc::clone(&flight), plan));
        }
        let outcome = flight.landed().await;
        if let Ok((entry, source)) = &outcome {
            count(match source {
                _ if !is_ours => "joined",
                Source::Loaded => "loaded",
                Source::Bypass => "bypass",
                _ if entry.is_nothing() => "negative",
                Source::Stale => "stale",
                Source::Local | Source::Redis => "l2",
            });
        }
        outcome
    }

    /// Gives what is kept under `key`, and loads nothing.
    pub async fn get<K: CacheKey>(&self, key: &K) -> Option<Cached<K>> {
        let name = self.0.name(key);
        if let Some(entry) = self.0.local.as_ref().and_then(|local| local.get(&name)) {
            return Cached::of(entry);
        }
        let bytes = self.0.trusted_redis(&name)?.peek(&name).await.ok().flatten()?;
        Cached::of(Arc::new(Entry::decode::<K>(&bytes)?))
    }

    /// Keeps a value for `life` instead of the key's own. `false` where it was not kept: Redis is away, the value is too
    /// large, somebody is just loading it, or it was invalidated meanwhile.
    ///
    /// # Errors
    /// [`Error::Json`].
    pub async fn set<K: CacheKey>(&self, key: &K, fresh: Fresh<K>, life: Duration) -> Result<bool, Error> {
        let name = self.0.name(key);
        let mut entry = Entry::of_fresh(fresh, Duration::ZERO)?;
        (entry.grace, entry.pin) = (Duration::ZERO, Some(life)); // its end is the given one
        let Some(redis) = self.0.trusted_redis(&name) else {
            return Ok(self.0.redis.is_none() && self.0.keep_for(&name, entry, life));
        };
        let names = Names::of(&name);
        let Ok(Acquired::Lease(token)) = redis.acquire(&names, Anew::Always).await else { return Ok(false) };
        Ok(entry.is_storable() && redis.fill(&names, token, entry.encode(), life).await.unwrap_or(false))
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

    fn keep_for(&self, name: &str, entry: Entry, life: Duration) -> bool {
        let Some(local) = &self.local else { return false };
        let epoch = local.epoch();
        let (flight, is_ours) = self.flights.join(name);
        if is_ours {
            let kept = (Arc::new(entry), Instant::now() + life, crate::local::Warrant::Brevity);
            local.keep(&name.into(), kept, &self.flights.enter(&flight), epoch);
            self.flights.leave(&flight);
        }
        is_ours
    }
}

/// A loader of one type as one of any.
pub(crate) fn to_load<K: CacheKey>(
    load: impl Future<Output = Result<Option<Fresh<K>>, ReadError>> + Send + 'static,
) -> Load {
    Box::pin(async move {
        let began = Instant::now();
        match load.await? {
            Some(fresh) => Entry::of_fresh(fresh, began.elapsed()).map_err(|error| ReadError::Load(Arc::new(error))),
            None => Ok(Entry::nothing(began.elapsed())),
        }
    })
}

pub(crate) fn count(outcome: &'static str) {
    if outcome == "l1" {
        // Its name is put together at compile time: this one is counted on every hit.
        metrics::counter!("cache_requests_total", "outcome" => "l1").increment(1);
        return;
    }
    metrics::counter!("cache_requests_total", "outcome" => outcome).increment(1);
}
