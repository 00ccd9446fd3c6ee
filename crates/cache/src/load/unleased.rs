//! Loads without a lease: Redis is away, not trusted, or must not store what is read now.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::StaleValue;
use crate::{
    ReadError, Source,
    cache::Inner,
    entry::Decoded,
    flight::{FlightTicket, Outcome},
    keys::KeyNames,
    local::Basis,
    permits::Permit,
    request::{Decode, ReadRequest},
    retention::Retention,
    trust::Trust,
};

impl Inner {
    /// Loads without Redis: no invalidation arrives, so memory keeps the value for 2 s at most.
    pub(super) async fn load_alone(&self, request: ReadRequest, ticket: &FlightTicket) -> Outcome {
        self.load_unleased(request, Some(Basis::Ttl), ticket).await
    }

    /// Loads while the values in Redis are not trusted. One that is merely unverified is served if nothing can be loaded
    /// and its key allows stale values.
    pub(super) async fn load_untrusted(self: Arc<Self>, request: ReadRequest, ticket: FlightTicket) -> Outcome {
        let (key, decode, options) = (request.key.clone(), request.decode, request.options);
        let allowed = if options.refuses_stale { Duration::ZERO } else { request.life.stale_on_error };
        let cache = Arc::clone(&self);
        let mut load = self.runtime.handle().spawn(async move { cache.load_alone(request, &ticket).await });
        let ended = match tokio::time::timeout(options.load_limits(&self.settings).0, &mut load).await {
            Ok(ended) => ended,
            Err(_) => match self.unverified_value(&key, decode, allowed).await {
                Some(stale) => return Ok(self.serve_stale(&key, stale)), // the load goes on
                None => load.await,
            },
        };
        let outcome = ended.unwrap_or(Err(ReadError::Panicked));
        let Some(redis) = self.servers.of(&key.name).filter(|_| outcome.is_err() && !allowed.is_zero()) else {
            return outcome;
        };
        redis.wait_until_reachable().await;
        let stale = self.unverified_value(&key, decode, allowed).await;
        stale.map_or(outcome, |stale| Ok(self.serve_stale(&key, stale)))
    }

    /// Returns a value of which it is not known whether it was changed, for as long as stale values are `allowed`.
    async fn unverified_value(&self, key: &KeyNames, decode: Decode, allowed: Duration) -> Option<StaleValue> {
        let redis = self.redis_if(key, Trust::Unverified)?;
        let age = redis.reachable_since_loss().filter(|age| *age < allowed)?;
        let (bytes, ttl) = redis.value(&self.redis_keys(key)).await.ok()??;
        let Decoded::Entry(entry) = decode(&bytes) else { return None };
        let entry = Arc::new(entry.read_with(ttl));
        self.is_current(key, &entry).then_some(StaleValue { entry, age })
    }

    /// Loads without a lease and stores nothing in Redis; memory keeps the value if there is a `basis`. Only a few such
    /// loads run at once; a reader that waits longer than a load may take is rejected.
    pub(crate) async fn load_unleased(
        &self,
        request: ReadRequest,
        basis: Option<Basis>,
        ticket: &FlightTicket,
    ) -> Outcome {
        let is_away = basis == Some(Basis::Ttl) && self.servers.is_away(&request.key.name);
        let _permit = if request.is_one_of_many {
            Permit::of_many()
        } else if is_away {
            self.permits.wait_without_redis(&ticket.flight).await?
        } else {
            self.permits.wait(&ticket.flight, Instant::now() + self.settings.max_load_wait).await?
        };
        let began = Instant::now();
        let (key, local) = (request.key.clone(), request.life.local);
        let entry = Arc::new(self.load_limited(request).await?);
        if let Some(basis) = basis {
            // Without Redis this process is the only one that changes anything.
            let is_alone = self.servers.is_none();
            let ttl = if basis == Basis::Link || is_alone { local } else { self.settings.proof().min(local) };
            let spent = if is_alone { Duration::ZERO } else { began.elapsed() };
            self.keep_local(&key, &entry, Retention { ttl: ttl.saturating_sub(spent), basis }, ticket);
        }
        Ok((entry, if self.servers.is_none() { Source::Loaded } else { Source::Bypass }))
    }
}
