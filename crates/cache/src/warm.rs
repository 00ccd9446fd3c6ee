//! Cache warming: loads before the first read.

use std::{sync::Arc, time::Duration};

use crate::{
    Cache, CacheKey, Fresh, KeyError, ReadError,
    acquire::Refresh,
    entry::{RELEASE_BYTES, is_outdated},
    request::{ReadRequest, to_load},
};

impl Cache {
    /// Makes sure that `key` can be served from Redis for at least `lasting`, for example for an exam that opens soon. If
    /// its value ends earlier, is absent or of an older release, runs `load`, which sets by [`Fresh::pin`] how long the value stays. Returns
    /// whether this call has loaded.
    ///
    /// # Errors
    /// Returns [`KeyError`] if the key cannot be cached. A failed load is `false`.
    ///
    /// One of all processes loads. A repeated call costs next to nothing, and makes up for a load that failed, for a
    /// process that died in it, and for an invalidation meanwhile.
    pub async fn warm<K, E, F>(
        &self,
        key: &K,
        lasting: Duration,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<bool, KeyError>
    where
        K: CacheKey,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        let (name, lasting) = (self.0.name(key), lasting + K::LIFE.stale_on_error);
        self.0.spaces.check_key(&name)?;
        let Some(redis) = self.0.trusted_redis(&name) else { return Ok(false) };
        let mut refresh = Refresh::IfTtlAtMost(lasting);
        if redis.ttl(&name).await.is_ok_and(|ttl| ttl > lasting) {
            match redis.beginning(&name, RELEASE_BYTES).await {
                Ok(beginning) if is_outdated::<K>(&beginning) => refresh = Refresh::IfStill(beginning),
                _ => return Ok(false),
            }
        }
        let load = to_load(async move { load().await.map_err(ReadError::loader) });
        Ok(Arc::clone(&self.0).refresh(ReadRequest::of::<K>(&name, load), refresh).await)
    }
}
