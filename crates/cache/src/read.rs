//! Reads: one key, with or without a loader.

use std::{future::Future, sync::Arc};

use crate::{
    Cache, CacheKey, Cached, Fresh, ReadError, Source,
    entry::{Decoded, Entry},
    flight::WaiterGuard,
    nested::{self, NestedWait},
    request::{ReadRequest, to_load},
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
        let request = |name: &str| {
            let load = to_load(async move { load().await.map_err(ReadError::loader) });
            ReadRequest::of::<K>(name, load)
        };
        self.get_or(key, request).await
    }

    /// As [`get_or_load`](Self::get_or_load), with a request whose type is erased.
    pub(crate) async fn get_or<K: CacheKey>(
        &self,
        key: &K,
        request: impl FnOnce(&str) -> ReadRequest,
    ) -> Result<(Option<Cached<K>>, Source), ReadError> {
        let name = self.0.name(key);
        if let Some(entry) = self.0.local.as_ref().and_then(|local| local.get(&name)) {
            count(if entry.is_nothing() { "negative" } else { "l1" });
            return Ok((Cached::of(entry, &name)?, Source::Local));
        }
        self.0.spaces.check_key(&name)?;
        let answer = self.join_flight(&name, || request(&name)).await;
        if answer.is_err() {
            count("error");
        }
        let (entry, source) = answer?;
        Ok((Cached::of(entry, &name)?, source))
    }

    async fn join_flight(
        &self,
        name: &str,
        request: impl FnOnce() -> ReadRequest,
    ) -> Result<(Arc<Entry>, Source), ReadError> {
        let waiter = WaiterGuard::begin(&self.0.flights.waiting, self.0.settings.max_waiters);
        let Some(_waiter) = waiter else { return Err(ReadError::crowded()) };
        let nested = self.nested_wait(name)?;
        let (flight, is_ours) = self.0.flights.join(name);
        if nested.is_some() {
            flight.needed.notify_one();
        }
        if is_ours {
            self.0.runtime.handle().spawn(Arc::clone(&self.0).run_flight(Arc::clone(&flight), request()));
        } else {
            drop(request); // other keys of its call do not wait for it
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

    /// Records, if a loader reads, that its load waits for this key.
    pub(crate) fn nested_wait(&self, name: &str) -> Result<Option<NestedWait>, ReadError> {
        let Some(loads) = nested::running() else { return Ok(None) };
        let wait = NestedWait::begin(loads, self.0.id.load(&name.into()));
        wait.map(Some).ok_or_else(|| ReadError::Circular { key: name.to_owned() })
    }

    /// Returns the cached value of `key`, and loads nothing.
    pub async fn get<K: CacheKey>(&self, key: &K) -> Option<Cached<K>> {
        let name = self.0.name(key);
        if let Some(entry) = self.0.local.as_ref().and_then(|local| local.get(&name)) {
            return Cached::of(entry, &name).ok().flatten();
        }
        let bytes = self.0.trusted_redis(&name)?.peek(&name).await.ok().flatten()?;
        let Decoded::Entry(entry) = Entry::decode::<K>(&bytes) else { return None };
        if !self.0.is_current(&name, &entry) {
            return None;
        }
        Cached::of(entry, &name).ok().flatten()
    }
}

fn count(outcome: &'static str) {
    if outcome == "l1" {
        // This metric's key is built at compile time, since it is counted on every hit.
        metrics::counter!("cache_requests_total", "outcome" => "l1").increment(1);
        return;
    }
    metrics::counter!("cache_requests_total", "outcome" => outcome).increment(1);
}
