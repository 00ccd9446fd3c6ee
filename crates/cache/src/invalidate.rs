//! Invalidation: before a commit, after it, without one; and again, where Redis did not hear.

use std::{
    collections::{BTreeSet, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use examhall_core::CacheKey;
use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::{
    Cache, Error,
    cache::Inner,
    redis::{Because, Redis},
};

/// How long an invalidation is said again to a Redis that may have lost it in a failover.
const RECENT: Duration = Duration::from_mins(1);
/// First and longest pause between attempts to deliver what Redis did not hear.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Keys that Redis is told of at once: more would wait for each other for so long that its answers seem late.
const AT_ONCE: usize = 256;

type Keys = Pin<Box<dyn Future<Output = Option<Vec<String>>> + Send>>;

/// Invalidations that Redis has not heard, or may forget.
#[derive(Default)]
pub(crate) struct Undelivered {
    pending: Mutex<BTreeSet<String>>,
    recent: Mutex<VecDeque<(Instant, String)>>,
    late: Notify,
    distrusted: Notify,
    elsewhere: OnceLock<Box<dyn Fn() -> Keys + Send + Sync>>,
}

impl Undelivered {
    /// Whether Redis may still hold what was invalidated here.
    pub(crate) fn holds(&self, name: &str) -> bool {
        lock(&self.pending).contains(name)
    }

    /// Redis refuses to be told.
    pub(crate) fn distrust(&self) {
        self.distrusted.notify_one();
    }

    pub(crate) async fn distrusted(&self) {
        self.distrusted.notified().await;
    }

    fn note_recent(&self, name: &str) {
        self.recent().push_back((Instant::now(), name.to_owned()));
    }

    /// What was invalidated here within the last minute.
    fn recent(&self) -> MutexGuard<'_, VecDeque<(Instant, String)>> {
        let mut recent = lock(&self.recent);
        while recent.front().is_some_and(|(since, _)| since.elapsed() > RECENT) {
            recent.pop_front();
        }
        recent
    }

    fn note(&self, name: &str, heard: bool) {
        let mut pending = lock(&self.pending);
        if heard {
            pending.remove(name);
        } else {
            pending.insert(name.to_owned());
            self.late.notify_one();
        }
        metrics::gauge!("cache_invalidation_pending").set(f64::from(u32::try_from(pending.len()).unwrap_or(u32::MAX)));
    }
}

impl Cache {
    /// Takes away what stands under the key, everywhere, and keeps what was read before from being stored.
    ///
    /// # Errors
    /// [`Error::Redis`]: other processes may still serve the old value; it is tried again in the background.
    pub async fn delete<K: CacheKey>(&self, key: &K) -> Result<(), Error> {
        self.delete_many(std::slice::from_ref(key)).await
    }

    /// As [`delete`](Self::delete), for many keys in one round trip.
    ///
    /// # Errors
    /// As of [`delete`](Self::delete).
    pub async fn delete_many<K: CacheKey>(&self, keys: &[K]) -> Result<(), Error> {
        let names: Vec<String> = keys.iter().map(|key| self.0.name(key)).collect();
        self.0.invalidate(&names, Because::Delete, "delete").await
    }

    /// The values of these keys, given without prefix, are about to be changed by `commit`: they are taken away, and
    /// until [`after_commit`](Self::after_commit), or for 10 s where that never comes, nothing is stored under them.
    pub async fn before_commit(&self, commit: uuid::Uuid, keys: &[String]) {
        // What fails here is said again after the commit; until then readers may see the old value, which is still true.
        let commit = commit.to_string();
        if let Err(error) = self.0.invalidate(&self.names(keys), Because::Mark(&commit), "mark").await {
            tracing::debug!(%error, "a commit was not announced to the cache");
        }
    }

    /// `commit` has happened, or not. `true` where every process that Redis reaches has let go of the old values;
    /// otherwise this process has, tells Redis as soon as it can, and does not read these keys there meanwhile.
    pub async fn after_commit(&self, commit: uuid::Uuid, keys: &[String]) -> bool {
        let commit = commit.to_string();
        self.0.invalidate(&self.names(keys), Because::Clear(&commit), "commit").await.is_ok()
    }

    /// Takes away what stands under these keys, given without prefix: for commits of a process that could not do so.
    pub async fn replay(&self, keys: &[String]) -> bool {
        self.0.invalidate(&self.names(keys), Because::Delete, "outbox").await.is_ok()
    }

    /// Whom to ask which keys, without prefix, any process has changed within the last minute. Asked now, and whenever
    /// Redis was replaced, before it is read; `None` where that is not known now. Counts once.
    pub fn ask_for_recent_keys<F>(&self, keys: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Option<Vec<String>>> + Send + 'static,
    {
        if self.0.undelivered.elsewhere.set(Box::new(move || Box::pin(keys()))).is_err() {
            return tracing::warn!("the cache knew whom to ask already");
        }
        // What it has read until now may be what a Redis holds that lost its last second before this process began.
        if let Some(redis) = &self.0.redis {
            redis.distrust();
            self.0.undelivered.distrust();
        }
    }

    fn names(&self, keys: &[String]) -> Vec<String> {
        keys.iter().map(|key| format!("{}{key}", self.0.prefix)).collect()
    }
}

impl Inner {
    async fn invalidate(&self, names: &[String], because: Because<'_>, origin: &'static str) -> Result<(), Error> {
        let is_final = !matches!(because, Because::Mark(_));
        let mut told = Vec::with_capacity(names.len());
        for names in names.chunks(AT_ONCE) {
            told.extend(join_all(names.iter().map(|name| self.invalidate_one(name, because, is_final))).await);
        }
        let result = if told.iter().all(Result::is_ok) { "ok" } else { "failed" };
        metrics::counter!("cache_invalidations_total", "origin" => origin, "result" => result)
            .increment(names.len() as u64);
        told.into_iter().collect()
    }

    async fn invalidate_one(&self, name: &str, because: Because<'_>, is_final: bool) -> Result<(), Error> {
        let began = Instant::now();
        self.drop_local(name);
        let Some(redis) = &self.redis else { return Ok(()) };
        if is_final {
            self.undelivered.note_recent(name);
        }
        let told = redis.invalidate(name, because).await;
        if is_final {
            self.undelivered.note(name, told.is_ok());
            metrics::histogram!("cache_invalidation_lag_seconds").record(began.elapsed());
        }
        // Again: a load that began meanwhile may have found the old value in Redis.
        self.drop_local(name);
        told
    }

    /// Tells Redis what it did not hear, for ever.
    pub(crate) async fn deliver_late(self: Arc<Self>) {
        let Some(redis) = &self.redis else { return };
        let mut pause = RETRY.0;
        loop {
            let late: Vec<String> = lock(&self.undelivered.pending).iter().cloned().collect();
            if late.is_empty() {
                pause = RETRY.0;
                self.undelivered.late.notified().await;
                continue;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
            for name in late {
                let told = redis.invalidate(&name, Because::Delete).await.is_ok();
                self.undelivered.note(&name, told);
                if !told {
                    break;
                }
                self.drop_local(&name);
                metrics::counter!("cache_invalidations_total", "origin" => "retry", "result" => "ok").increment(1);
            }
        }
    }

    /// Says all recent invalidations again, those of other processes too. `false` where that did not succeed.
    pub(crate) async fn repeat_recent(&self, redis: &Redis) -> bool {
        let elsewhere = match self.undelivered.elsewhere.get() {
            Some(ask) => ask().await,
            None => Some(Vec::new()),
        };
        let Some(elsewhere) = elsewhere else { return false };
        let mut names: BTreeSet<String> = elsewhere.iter().map(|key| format!("{}{key}", self.prefix)).collect();
        names.extend(self.undelivered.recent().iter().map(|(_, name)| name.clone()));
        // One that is nobody's: a Redis that refuses to be told is not to be read. Without braces, as all keys of values:
        // those of its lease and marks could not stand in its slot otherwise.
        names.insert(format!("cc:{}none", self.prefix));
        let names: Vec<_> = names.into_iter().collect();
        for names in names.chunks(AT_ONCE) {
            let told = join_all(names.iter().map(|name| redis.invalidate(name, Because::Delete))).await;
            if told.iter().any(Result::is_err) {
                return false;
            }
            for name in names {
                self.undelivered.note(name, true);
            }
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
