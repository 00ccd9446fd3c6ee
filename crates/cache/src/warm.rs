//! Loading before anybody asks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use examhall_core::CacheKey;

use crate::{
    Cache, Fresh, ReadError,
    entry::Entry,
    redis::Anew,
    verbs::{Plan, to_load},
};

/// Loads of one moment are spread over this time.
const SPREAD: Duration = Duration::from_secs(20);
/// How long it is remembered that somebody has warmed a key for a certain moment.
const REMEMBERED: Duration = Duration::from_mins(10);

impl Cache {
    /// Reads `key` anew from `load` and keeps it, though it may be fresh: for an exam that opens `occasion`, a moment in
    /// ms after 1970. Done once in all processes for each occasion, some seconds from now. `load` says by
    /// [`Fresh::pin`] how long it is to stay. Gives whether this call did it.
    pub async fn warm<K, E, F>(&self, key: &K, occasion: i64, load: impl FnOnce() -> F + Send + 'static) -> bool
    where
        K: CacheKey,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        self.warm_within(SPREAD, key, occasion, load).await
    }

    /// As [`warm`](Self::warm), after a pause of up to `spread`.
    pub async fn warm_within<K, E, F>(
        &self,
        spread: Duration,
        key: &K,
        occasion: i64,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> bool
    where
        K: CacheKey,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        let name = self.0.name(key);
        let Some(redis) = self.0.trusted_redis(&name) else { return false };
        if !redis.claim(&format!("cw:{{{name}}}:{occasion}"), REMEMBERED).await.unwrap_or(false) {
            return false;
        }
        tokio::time::sleep(spread.mul_f64(fastrand::f64())).await;
        let decode: fn(&Bytes) -> Option<Entry> = Entry::decode::<K>;
        let load = to_load(async move { load().await.map_err(|error| ReadError::Load(Arc::new(error))) });
        let plan = Plan { key: name.into(), life: K::LIFE, decode, load };
        Arc::clone(&self.0).refresh(plan, Anew::Always).await
    }
}
