//! Reads: one key, with or without a loader.

use std::{future::Future, sync::Arc};

use crate::{
    Cache, CacheKey, Cached, Fresh, ReadError, Source,
    counters::Outcome,
    entry::{Decoded, Entry},
    flight::{self, Flight, WaiterGuard},
    keys::KeyNames,
    nested::{self, NestedWait},
    request::ReadRequest,
};

impl Cache {
    /// Returns the value of `key`: from memory, from Redis, or from `load`, whose result is then cached for the key's
    /// life. `load` returns `None` if there is no value; that is cached too, for 5 s by default.
    ///
    /// Concurrent reads share one run of `load` in all processes that use the same Redis (single flight). It runs to its
    /// end even if its callers are cancelled.
    ///
    /// # Errors
    /// Returns the error of `load`, shared by all who waited for it, or [`ReadError::TooSlow`], [`ReadError::Crowded`]; for
    /// mistakes of the program [`ReadError::Panicked`], [`ReadError::Circular`], [`ReadError::Key`],
    /// [`ReadError::OtherType`]. An outage of Redis is no error: every process then loads for itself.
    pub async fn get_or_load<K, E, F>(
        &self,
        key: &K,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Option<Cached<K>>, Source), ReadError>
    where
        K: CacheKey,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        let request = |key: &KeyNames| {
            let load = async move { load().await.map_err(ReadError::loader) };
            ReadRequest::of::<K>(key, self.options, load)
        };
        self.get_or(key, request).await
    }

    /// As [`get_or_load`](Self::get_or_load), with a request whose type is erased.
    pub(crate) async fn get_or<K: CacheKey>(
        &self,
        key: &K,
        request: impl FnOnce(&KeyNames) -> ReadRequest,
    ) -> Result<(Option<Cached<K>>, Source), ReadError> {
        let name = self.inner.name(key);
        if let Some(entry) = self.in_memory(&name) {
            self.inner.counters.read(if entry.is_nothing() { Outcome::Negative } else { Outcome::Memory });
            return Ok((Cached::of(entry, &name)?, Source::Local));
        }
        let key = self.inner.identify(key, &name)?;
        let answer = self.join_flight(&key, || request(&key)).await;
        if answer.is_err() {
            self.inner.counters.read(Outcome::Error);
        }
        let (entry, source) = answer?;
        Ok((Cached::of(entry, &name)?, source))
    }

    /// Returns the entry in this process's memory, if this read takes it.
    fn in_memory(&self, name: &str) -> Option<Arc<Entry>> {
        let local = self.inner.local.as_ref().filter(|_| !self.options.skips_memory)?;
        local.get(name).filter(|entry| self.options.takes(entry))
    }

    async fn join_flight(&self, key: &KeyNames, request: impl FnOnce() -> ReadRequest) -> flight::Outcome {
        let waiter = WaiterGuard::begin(&self.inner.flights.waiting, self.inner.settings.max_waiters);
        let Some(_waiter) = waiter else { return Err(ReadError::crowded()) };
        let nested = self.nested_wait(&key.name)?;
        let mut request = Some(request);
        loop {
            let (flight, is_ours) = self.inner.flights.join(key);
            if nested.is_some() {
                flight.needed.notify_one();
            }
            let ours = request.take_if(|_| is_ours);
            if let Some(request) = ours {
                return self.fly(flight, request()).await;
            }
            if self.options.takes_all() {
                request = None; // other keys of its call do not wait for it
            }
            let joined = flight.landed().await?;
            if self.options.takes_joined(&joined.0, joined.1) {
                self.inner.counters.read(Outcome::Joined);
                return Ok(joined);
            }
            // That flight was for readers that take more. A stale answer stays for a moment: this reader flies alone.
            if let Some(request) = request.take_if(|_| joined.1 == Source::Stale) {
                return self.fly(Arc::new(Flight::of(key)), request()).await;
            }
        }
    }

    /// Runs a flight, and waits for its outcome.
    async fn fly(&self, flight: Arc<Flight>, request: ReadRequest) -> flight::Outcome {
        self.inner.runtime.handle().spawn(Arc::clone(&self.inner).run_flight(Arc::clone(&flight), request));
        let outcome = flight.landed().await;
        if let Ok((entry, source)) = &outcome {
            self.inner.counters.read(match source {
                Source::Loaded => Outcome::Loaded,
                Source::Bypass => Outcome::Bypass,
                _ if entry.is_nothing() => Outcome::Negative,
                Source::Stale => Outcome::Stale,
                Source::Local | Source::Redis => Outcome::Redis,
            });
        }
        outcome
    }

    /// Records, if a loader reads, that its load waits for this key.
    pub(crate) fn nested_wait(&self, name: &Arc<str>) -> Result<Option<NestedWait>, ReadError> {
        let Some(loads) = nested::running() else { return Ok(None) };
        let wait = NestedWait::begin(loads, self.inner.id.load(name));
        wait.map(Some).ok_or_else(|| ReadError::Circular { key: name.to_string() })
    }

    /// Returns the cached value of `key`, and loads nothing.
    pub async fn get<K: CacheKey>(&self, key: &K) -> Option<Cached<K>> {
        let name = self.inner.name(key);
        if let Some(entry) = self.in_memory(&name) {
            return Cached::of(entry, &name).ok().flatten();
        }
        let key = self.inner.identify(key, &name).ok()?;
        let redis = self.inner.trusted_redis(&key)?;
        let losses = redis.losses();
        let (bytes, ttl) = redis.value(&self.inner.redis_keys(&key)).await.ok().flatten()?;
        if redis.losses() != losses {
            return None; // the answer may be another server's
        }
        let Decoded::Entry(entry) = Entry::decode::<K>(&bytes) else { return None };
        let entry = entry.read_with(ttl);
        let is_stale = ttl.is_some_and(|ttl| ttl <= entry.grace);
        let is_taken = self.options.takes(&entry) && !(is_stale && self.options.refuses_stale);
        if !is_taken || !self.inner.is_current(&key, &entry) {
            return None;
        }
        Cached::of(entry.into(), &name).ok().flatten()
    }
}
