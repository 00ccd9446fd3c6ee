//! A guard for one commit: it invalidates before and after, and cannot be forgotten.

use std::sync::{Arc, Weak};

use uuid::Uuid;

use crate::{Cache, Error, KeyName, cache::Inner};

/// Invalidation of the keys of one commit, from [`Cache::invalidation`]: until it ends, nothing is stored under them.
///
/// Dropping it means that the outcome is unknown, for example because the caller was cancelled or panicked: its keys are
/// cleared in the background, at once and again within 10 s, since the commit may still be in progress.
#[must_use = "dropping it counts as a commit of unknown outcome"]
pub struct Invalidation {
    cache: Cache,
    commit: Uuid,
    keys: Arc<[String]>,
    is_ended: bool,
}

impl Cache {
    /// Invalidates `keys`, which a commit is about to change: their values are removed, and until the returned guard
    /// ends, or for 10 s, nothing is stored under them. Call it in the transaction, just before the commit. If Redis does
    /// not answer, it is made up for after the commit; until then the old values are still true.
    ///
    /// # Errors
    /// Returns [`Error::Key`] if a key is outside the key spaces; then nothing is invalidated.
    pub async fn invalidation(&self, keys: &[impl KeyName]) -> Result<Invalidation, Error> {
        let keys: Arc<[String]> = keys.iter().map(KeyName::key_name).collect();
        for key in &*keys {
            self.inner.spaces.check_key(&self.inner.with_prefix(key))?;
        }
        let invalidation = Invalidation { cache: self.clone(), commit: Uuid::new_v4(), keys, is_ended: false };
        self.before_commit(invalidation.commit, &invalidation.keys).await;
        Ok(invalidation)
    }

    /// Runs `commit`, which changes the values of `keys`, with their invalidation before and after it.
    ///
    /// ```
    /// # async fn run(cache: examhall_cache::Cache) -> Result<(), examhall_cache::Error> {
    /// # async fn commit() -> Result<(), examhall_cache::Error> { Ok(()) }
    /// cache.change(&["order:7", "order:7:lines"], async || commit().await).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the error of `commit`; that counts as an unknown outcome. Returns [`Error::Key`] if a key is outside the
    /// key spaces; then `commit` is not run.
    pub async fn change<T, E: From<Error>>(
        &self,
        keys: &[impl KeyName],
        commit: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let invalidation = self.invalidation(keys).await?;
        let result = commit().await;
        if result.is_ok() {
            invalidation.committed().await;
        } else {
            invalidation.unknown().await;
        }
        result
    }
}

impl Invalidation {
    /// Identifies the commit, for its row in a transactional outbox.
    pub fn commit(&self) -> Uuid {
        self.commit
    }

    /// Ends it after a successful commit. Returns whether every process that Redis reaches has dropped the old values;
    /// then a row in a transactional outbox is no longer needed. If not, this process has, and retries in the background.
    pub async fn committed(mut self) -> bool {
        self.is_ended = true;
        self.clear().await
    }

    /// Ends it after a rollback. Returns whether Redis has confirmed.
    pub async fn rolled_back(mut self) -> bool {
        self.is_ended = true;
        self.clear().await
    }

    /// Ends it after a commit that may have happened or not: clears now, and again in the background.
    async fn unknown(self) {
        self.cache.inner.unmark(self.commit, &self.keys).await;
    }

    /// Clears in a task: a caller that is cancelled meanwhile does not stop it.
    async fn clear(&self) -> bool {
        let (cache, commit, keys) = (Arc::clone(&self.cache.inner), self.commit, Arc::clone(&self.keys));
        let clear = self.cache.inner.runtime.handle().spawn(async move { cache.clear(commit, &keys, "commit").await });
        clear.await.unwrap_or(false)
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        if !self.is_ended {
            let clears = clear_unknown(Arc::downgrade(&self.cache.inner), self.commit, Arc::clone(&self.keys));
            self.cache.inner.runtime.handle().spawn(clears);
        }
    }
}

async fn clear_unknown(cache: Weak<Inner>, commit: Uuid, keys: Arc<[String]>) {
    let Some(pauses) = cache.upgrade().map(|cache| cache.settings.unknown_cleared()) else { return };
    for pause in pauses {
        tokio::time::sleep(pause).await;
        let Some(cache) = cache.upgrade() else { return };
        cache.unmark(commit, &keys).await;
    }
}
