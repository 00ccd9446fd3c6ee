//! The verbs that read and keep; those that take away are in `invalidate`.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use examhall_core::{CacheKey, Life};

use crate::{
    Cache, Cached, Error, Fresh, ReadError,
    cache::Inner,
    entry::Entry,
    flight::Waiting,
    local::Warrant,
    redis::{Acquired, Anew},
};

/// Readers that may wait at once; more are sent away.
const MOST_WAITING: usize = 20_000;

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
        let waiting = Waiting::begin(&self.0.flights.waiting, MOST_WAITING);
        let Some(_waiting) = waiting else { return Err(ReadError::crowded()) };
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

    /// Keeps a value for `life` instead of the key's own. Where it gives `true`, this process reads that value from now on,
    /// and the others within milliseconds. `false` where that is not sure, and what stood under the key may still be read:
    /// Redis is away or did not answer in time, the value is too large, somebody is just loading it, a change of it is
    /// being committed, or it was invalidated meanwhile.
    ///
    /// # Errors
    /// [`Error::Json`].
    pub async fn set<K: CacheKey>(&self, key: &K, fresh: Fresh<K>, life: Duration) -> Result<bool, Error> {
        let name = self.0.name(key);
        let mut entry = Entry::of_fresh(fresh, Duration::ZERO)?;
        (entry.grace, entry.pin) = (Duration::ZERO, Some(life)); // its end is the given one
        if !entry.is_storable() {
            return Ok(false);
        }
        let Some(redis) = self.0.trusted_redis(&name) else {
            return Ok(self.0.redis.is_none() && self.0.keep_for(&name, entry, life));
        };
        let names = self.0.names(&name);
        let Ok(Acquired::Lease(token)) = redis.acquire(&names, Anew::Always).await else { return Ok(false) };
        let filled = redis.fill(&names, token, entry.encode(), life).await;
        self.0.drop_local(&name); // not only once Redis tells of it
        Ok(filled.unwrap_or(false))
    }
}

impl Inner {
    fn keep_for(&self, name: &str, entry: Entry, life: Duration) -> bool {
        let Some(local) = &self.local else { return false };
        let epoch = local.epoch();
        let (flight, is_ours) = self.flights.join(name);
        if is_ours {
            let (pass, until) = (self.flights.enter(&flight), Instant::now() + life);
            let keep = || local.keep(&name.into(), &Arc::new(entry), until, Warrant::Brevity, epoch);
            self.flights.if_clean(&pass, keep);
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
