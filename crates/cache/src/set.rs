//! Writes of a value that the caller has.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_core::CacheKey;

use crate::{
    Cache, Error, Fresh,
    acquire::{Acquired, Refresh},
    cache::Inner,
    entry::Entry,
    local::{Basis, LocalEntry},
};

impl Cache {
    /// Caches a value for `ttl` instead of the key's own life. `true`: this process reads that value from now on, and the
    /// others within milliseconds. `false`: a former value may still be read, since Redis is down or did not answer in
    /// time, the value is too large, it is being loaded, a change of it is being committed, or it was invalidated
    /// meanwhile.
    ///
    /// # Errors
    /// Returns [`Error::Json`] if the value cannot be serialized.
    pub async fn set<K: CacheKey>(&self, key: &K, fresh: Fresh<K>, ttl: Duration) -> Result<bool, Error> {
        let name = self.0.name(key);
        let mut entry = Entry::of_fresh(fresh, Duration::ZERO)?;
        (entry.grace, entry.pin) = (Duration::ZERO, Some(ttl)); // it ends after `ttl`, no earlier and no later
        if !entry.is_storable() {
            return Ok(false);
        }
        let Some(redis) = self.0.trusted_redis(&name) else {
            return Ok(self.0.redis.is_none() && self.0.set_local(&name, entry, ttl));
        };
        let keys = self.0.redis_keys(&name);
        let Ok(Acquired::Lease(token)) = redis.acquire(&keys, Refresh::Always).await else { return Ok(false) };
        let filled = redis.fill(&keys, token, entry.encode(K::SHAPE), ttl).await;
        self.0.drop_local(&name); // before the invalidation message arrives
        Ok(filled.unwrap_or(false))
    }
}

impl Inner {
    fn set_local(&self, name: &str, entry: Entry, ttl: Duration) -> bool {
        let Some(local) = &self.local else { return false };
        let epoch = local.epoch();
        let (flight, is_ours) = self.flights.join(name);
        if is_ours {
            let ticket = self.flights.enter(&flight, epoch);
            let entry = LocalEntry { entry: Arc::new(entry), until: Instant::now() + ttl, epoch, basis: Basis::Ttl };
            self.flights.if_untainted(&ticket, || local.insert(name.into(), entry));
            self.flights.leave(&flight);
        }
        is_ours
    }
}
