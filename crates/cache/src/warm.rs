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

impl Cache {
    /// Sees to it that `key` can be served from Redis for at least `lasting`: where what is there ends earlier, or nothing
    /// is, reads it from `load`, which says by [`Fresh::pin`] how long it is to stay. For an exam that opens soon.
    ///
    /// However many processes do so, one loads. Done again it costs next to nothing, and makes up for a load that failed,
    /// for a process that died in it, and for what was invalidated meanwhile. Gives whether this call has loaded.
    pub async fn warm<K, E, F>(&self, key: &K, lasting: Duration, load: impl FnOnce() -> F + Send + 'static) -> bool
    where
        K: CacheKey,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<Option<Fresh<K>>, E>> + Send,
    {
        let (name, lasting) = (self.0.name(key), lasting + K::LIFE.stale_on_error);
        let Some(redis) = self.0.trusted_redis(&name) else { return false };
        if redis.left(&name).await.is_ok_and(|left| left > lasting) {
            return false;
        }
        let decode: fn(&Bytes) -> Option<Entry> = Entry::decode::<K>;
        let load = to_load(async move { load().await.map_err(|error| ReadError::Load(Arc::new(error))) });
        let plan = Plan { key: name.into(), life: K::LIFE, decode, load };
        Arc::clone(&self.0).refresh(plan, Anew::IfLeft(lasting)).await
    }
}
