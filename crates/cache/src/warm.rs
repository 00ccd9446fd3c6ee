//! Cache warming: loads before the first read.

use std::{sync::Arc, time::Duration};

use crate::{
    Cache, CacheKey, Fresh, KeyError, ReadError,
    acquire::Refresh,
    entry::{RELEASE_BYTES, is_outdated},
    request::ReadRequest,
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
        let key = self.inner.identify(key, &self.inner.name(key))?;
        let load = async move { load().await.map_err(ReadError::loader) };
        let request = ReadRequest::of::<K>(&key, self.options, load);
        let (keys, lasting) = (self.inner.redis_keys(&key), lasting + request.life.stale_on_error);
        let Some(redis) = self.inner.trusted_redis(&key) else { return Ok(false) };
        let refresh = match redis.beginning(&keys, RELEASE_BYTES).await {
            Ok(Some((beginning, Some(ttl)))) if ttl > lasting => {
                if !is_outdated::<K>(&beginning) {
                    return Ok(false);
                }
                Refresh::IfStill(beginning)
            }
            _ => Refresh::IfTtlAtMost(lasting),
        };
        Ok(Arc::clone(&self.inner).refresh(request, refresh).await)
    }
}
