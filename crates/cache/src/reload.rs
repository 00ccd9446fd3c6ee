//! Reloads: a load now, whatever is cached.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Cache, CacheKey, Cached, Fresh, ReadError, Source,
    acquire::{Acquired, Lease, Refresh},
    cache::Inner,
    flight::{FlightTicket, Outcome},
    keys::{KeyNames, RedisKeys},
    load::{FIRST_POLL, MAX_POLL},
    redis::Redis,
    request::ReadRequest,
};

impl Cache {
    /// Loads the value of `key` now, whatever is cached, and caches it instead: for a value that has changed without an
    /// invalidation, such as a count or a rate. Other processes read it within milliseconds. Until it is loaded, and if
    /// `load` fails, the cached value is served on.
    ///
    /// `load` begins after the call, and under the key's lease: if a change of the key is invalidated meanwhile, the value
    /// that was read before it is returned here and stored nowhere. So there is no way to store a value that was read
    /// before a change, after it. [`Source::Bypass`] means that nothing was stored, since Redis is down or a change is
    /// being committed.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn reload<K, E, F>(
        &self,
        key: &K,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Option<Cached<K>>, Source), ReadError>
    where
        K: CacheKey,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        let load = async move { load().await.map_err(ReadError::loader) };
        let key = self.inner.identify(key, &self.inner.name(key))?;
        let request = ReadRequest::of::<K>(&key, self.options, load);
        let nested = self.nested_wait(&key.name)?;
        // A task: the load goes on if the caller is cancelled.
        let reload = self.inner.runtime.handle().spawn(Arc::clone(&self.inner).reload(request, nested.is_some()));
        let (entry, source) = reload.await.unwrap_or_else(|_| Err(ReadError::Panicked))?;
        Ok((Cached::of(entry, &key.name)?, source))
    }
}

impl Inner {
    async fn reload(self: Arc<Self>, request: ReadRequest, is_nested: bool) -> Outcome {
        let key = request.key.clone();
        if self.servers.is_none() {
            return self.reload_local(request).await;
        }
        let keys = self.redis_keys(&key);
        let permit = if is_nested { None } else { Some(self.permits.wait_in_background().await) };
        let reloaded = if let Some((redis, lease)) = self.lease_now(&keys, &key).await {
            self.load_and_fill(&redis, request, lease, None).await.map(|entry| (entry, Source::Loaded))
        } else {
            drop(permit);
            let ticket = FlightTicket::void();
            if is_nested {
                ticket.flight.needed.notify_one();
            }
            self.load_unleased(request, None, &ticket).await
        };
        let result = if reloaded.is_ok() { "ok" } else { "error" };
        metrics::counter!("cache_refreshes_total", "result" => result).increment(1);
        if reloaded.is_ok() {
            self.drop_local(&key.name); // before the message of the fill arrives
        }
        reloaded
    }

    /// Reloads in memory alone, as a flight of its own: one that is in flight may have read before.
    async fn reload_local(self: Arc<Self>, request: ReadRequest) -> Outcome {
        let flight = loop {
            self.flights.taint(&request.key.name);
            if let (flight, true) = self.flights.join(&request.key) {
                break flight;
            }
        };
        self.runtime.handle().spawn(Arc::clone(&self).run_flight(Arc::clone(&flight), request));
        flight.landed().await
    }

    /// Acquires the lease of a key whether or not there is a value; waits for a load that is in flight, since it may have
    /// read before. Returns `None` if nothing can be stored now.
    async fn lease_now(&self, keys: &RedisKeys, key: &KeyNames) -> Option<(Arc<Redis>, Lease)> {
        let (give_up, mut pause): (_, Duration) = (Instant::now() + self.settings.longest_lease(), FIRST_POLL);
        while Instant::now() < give_up {
            let redis = self.trusted_redis(key)?;
            match redis.acquire(keys, Refresh::Always).await {
                Ok(Acquired::Lease(lease)) => return Some((redis, lease)),
                Ok(Acquired::Busy) => tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await,
                Err(error) if self.servers.redirect(&error) => {}
                Ok(_) | Err(_) => return None,
            }
            pause = (pause * 2).min(MAX_POLL);
        }
        None
    }
}
