//! Invalidation: before a commit, after it, or without one; repeated where Redis did not confirm it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_core::CacheKey;
use futures_util::future::join_all;

use crate::{
    Cache, Error,
    cache::Inner,
    redis::{InvalidationKind, Redis},
};

/// First and longest pause between attempts to deliver an unconfirmed invalidation.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Keys invalidated concurrently: with more, the last answers would come after their time limit.
const CONCURRENCY: usize = 256;

impl Cache {
    /// Removes the value of a key in all processes, and keeps values that were read before from being stored.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if other processes may still serve the old value; it is retried in the background.
    pub async fn delete<K: CacheKey>(&self, key: &K) -> Result<(), Error> {
        self.delete_many(std::slice::from_ref(key)).await
    }

    /// As [`delete`](Self::delete), for many keys in one round trip.
    ///
    /// # Errors
    /// As [`delete`](Self::delete).
    pub async fn delete_many<K: CacheKey>(&self, keys: &[K]) -> Result<(), Error> {
        let names: Vec<String> = keys.iter().map(|key| self.0.name(key)).collect();
        self.0.invalidate(&names, InvalidationKind::Delete, "delete").await
    }

    /// Removes the values of these keys, given without prefix, which `commit` is about to change. Until
    /// [`after_commit`](Self::after_commit), or for 10 s if that never comes, nothing is stored under them.
    pub async fn before_commit(&self, commit: uuid::Uuid, keys: &[String]) {
        // A failure is made up for after the commit; until then the old value is still true.
        let commit = commit.to_string();
        if let Err(error) = self.0.invalidate(&self.names(keys), InvalidationKind::Mark(&commit), "mark").await {
            tracing::debug!(%error, "a commit was not announced to the cache");
        }
    }

    /// Removes the values of these keys after `commit` has succeeded or failed. Returns whether every process that Redis
    /// reaches has dropped them. If not, this process has, retries in the background, and does not read these keys from
    /// Redis meanwhile.
    pub async fn after_commit(&self, commit: uuid::Uuid, keys: &[String]) -> bool {
        let commit = commit.to_string();
        self.0.invalidate(&self.names(keys), InvalidationKind::Clear(&commit), "commit").await.is_ok()
    }

    /// Removes the values of these keys, given without prefix, for commits of a process that could not do so.
    pub async fn replay(&self, keys: &[String]) -> bool {
        self.0.invalidate(&self.names(keys), InvalidationKind::Delete, "outbox").await.is_ok()
    }

    /// Sets the source of the keys, without prefix, that any process has changed within the last minute. It is read now,
    /// and whenever Redis was replaced, before Redis is read again; it returns `None` if that is unknown for the moment.
    /// Only the first call counts.
    pub fn ask_for_recent_keys<F>(&self, keys: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Option<Vec<String>>> + Send + 'static,
    {
        if self.0.pending.elsewhere.set(Box::new(move || Box::pin(keys()))).is_err() {
            return tracing::warn!("the cache already has a source of recent keys");
        }
        // Values read so far may come from a Redis that lost its last second before this process started.
        if let Some(redis) = &self.0.redis {
            redis.distrust();
            self.0.pending.distrust();
        }
    }

    fn names(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| format!("{}{key}", self.0.prefix)).collect()
    }
}

impl Inner {
    async fn invalidate(
        &self,
        names: &[String],
        kind: InvalidationKind<'_>,
        origin: &'static str,
    ) -> Result<(), Error> {
        let mut results = Vec::with_capacity(names.len());
        for names in names.chunks(CONCURRENCY) {
            results.extend(join_all(names.iter().map(|name| self.invalidate_one(name, kind))).await);
        }
        let result = if results.iter().all(Result::is_ok) { "ok" } else { "failed" };
        metrics::counter!("cache_invalidations_total", "origin" => origin, "result" => result)
            .increment(names.len() as u64);
        results.into_iter().collect()
    }

    async fn invalidate_one(&self, name: &str, kind: InvalidationKind<'_>) -> Result<(), Error> {
        let (began, is_final) = (Instant::now(), !matches!(kind, InvalidationKind::Mark(_)));
        self.drop_local(name);
        let Some(redis) = &self.redis else { return Ok(()) };
        if is_final {
            self.pending.add_recent(name);
        }
        let result = redis.invalidate(&self.redis_keys(name), kind).await;
        if is_final {
            self.pending.record(name, result.is_ok());
            metrics::histogram!("cache_invalidation_lag_seconds").record(began.elapsed());
        }
        // Again: a load that began meanwhile may have found the old value in Redis.
        self.drop_local(name);
        result
    }

    /// Retries unconfirmed invalidations, forever.
    pub(crate) async fn retry_unconfirmed(self: Arc<Self>) {
        let Some(redis) = &self.redis else { return };
        let mut pause = FIRST_PAUSE;
        loop {
            let names = self.pending.unconfirmed();
            if names.is_empty() {
                pause = FIRST_PAUSE;
                self.pending.added().await;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
            for name in names {
                let is_confirmed = redis.invalidate(&self.redis_keys(&name), InvalidationKind::Delete).await.is_ok();
                self.pending.record(&name, is_confirmed);
                if !is_confirmed {
                    break;
                }
                self.drop_local(&name);
                metrics::counter!("cache_invalidations_total", "origin" => "retry", "result" => "ok").increment(1);
            }
        }
    }

    /// Repeats all recent invalidations, including those of other processes. Returns whether that succeeded.
    pub(crate) async fn repeat_recent(&self, redis: &Redis) -> bool {
        let elsewhere = match self.pending.elsewhere.get() {
            Some(ask) => ask().await,
            None => Some(Vec::new()),
        };
        let Some(elsewhere) = elsewhere else { return false };
        let mut names: BTreeSet<String> = elsewhere.iter().map(|key| format!("{}{key}", self.prefix)).collect();
        names.extend(self.pending.recent());
        // A key without a value shows whether Redis takes writes: one that refuses them must not be read. It has no
        // braces, like all value keys, since its lease and marks would not be in its slot otherwise.
        names.insert(format!("cc:{}none", self.prefix));
        let names: Vec<_> = names.into_iter().collect();
        for names in names.chunks(CONCURRENCY) {
            let repeat = async |name: &String| redis.invalidate(&self.redis_keys(name), InvalidationKind::Delete).await;
            if join_all(names.iter().map(repeat)).await.iter().any(Result::is_err) {
                return false;
            }
            for name in names {
                self.pending.record(name, true);
            }
        }
        true
    }
}
